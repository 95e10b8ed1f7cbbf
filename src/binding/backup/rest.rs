//! The backups' REST answers. Who may ask is decided by [`may_ask`], which the routes and the class
//! share.
//!
//! The documented procedure sends JSON with `curl -d`, which calls it a form: a body that begins with
//! a brace is read as JSON whatever it is called.

use serde_json::{Map, Value, json};

use super::arguments::{self, Components};
use super::{HostedBackups, Performed, results};
use crate::backup::BackupId;
use crate::backup::format::Component;
use crate::backup::job::Work;
use crate::backup::settings::{OPTION, Settings};
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::binding::wordpress::hooks;
use crate::binding::wordpress::request::Request;
use crate::binding::wordpress::response::Response;
use crate::config::lax;
use crate::error::{Error, Kind, Result};
use crate::ports::{Environment, Options};

/// The constant with the token of scripts that restore a site.
const TOKEN: &str = "SLBP_BACKUP_TOKEN";

/// Where backups and their copies, the database and the site's folders are, and who can read backups. The
/// network may repeat them, as it was shown them, and not change them: whoever could would read any file
/// that PHP can.
const PLACES: [&str; 5] = ["backup_dir", "database", "files", "encryption_key", "remote"];

/// Shorter tokens could be guessed.
const LEAST_TOKEN: usize = 32;

/// Whether whoever sent `request` may see and change backups: administrators, and who has the token.
pub fn may_ask(request: &Request<'_>) -> bool {
    hooks::current_user_can("manage_options") || has_token(request)
}

fn has_token(request: &Request<'_>) -> bool {
    let token = PhpEnvironment.constant(TOKEN).filter(|token| token.len() >= LEAST_TOKEN);
    let header = request.header("authorization");
    let given = header.as_deref().and_then(|header| header.strip_prefix("Bearer "));
    // Hashes are compared, so that the time it takes says nothing about the token.
    matches!((token, given), (Some(token), Some(given)) if blake3::hash(token.as_bytes()) == blake3::hash(given.trim().as_bytes()))
}

impl HostedBackups {
    /// POST `type`, `components`, `tables`, `async` (on unless it is false).
    pub fn create_endpoint(&self, request: &Request<'_>) -> Response {
        let order = || {
            let body = body(request, &["type", "components", "tables", "async"])?;
            let kind = body.get("type").map_or(Ok("full"), |value| text(value, "type"))?;
            let components = components(&body)?;
            let (create, detached) =
                arguments::create(kind, components, &options(&body, &["tables", "async"]))?;
            Ok((create, detached))
        };
        let (create, detached) = match order() {
            Ok(order) => order,
            Err(error) => return refusal(&error),
        };
        match self.perform(Work::Create(create), detached) {
            Ok(performed) => {
                answer(&performed, results::created(&performed, self.info_of(&performed).as_ref()))
            }
            Err(error) => refusal_with(&error, results::not_created(&error)),
        }
    }

    /// GET with the filters of `list_backups`.
    pub fn list_endpoint(&self, request: &Request<'_>) -> Response {
        let mut filters = Map::new();
        for key in ["type", "status", "component", "purpose", "limit"] {
            filters.extend(request.param(key).map(|value| (key.to_owned(), value)));
        }
        let listed = self.list().and_then(|all| arguments::filter(all, &Value::Object(filters)));
        match listed {
            Ok(backups) => {
                let total = backups.len();
                Response::ok(json!({"success": true, "backups": results::tree(&backups), "total": total}))
            }
            Err(error) => refusal(&error),
        }
    }

    /// POST `components`, `dry_run`, `tables`, `keep_new_tables`, `safety_backup`, `async`. Where to
    /// restore to is not for the network to say.
    pub fn restore_endpoint(&self, request: &Request<'_>) -> Response {
        let keys = ["dry_run", "tables", "keep_new_tables", "safety_backup", "async"];
        let order = || {
            let id = id_of(request)?;
            let mut known = vec!["components"];
            known.extend(keys);
            let body = body(request, &known)?;
            arguments::restore(id, components(&body)?, &options(&body, &keys))
        };
        let order = match order() {
            Ok(order) => order,
            Err(error) => return refusal(&error),
        };
        let (id, components) = (order.restore.backup.clone(), order.restore.components.clone());
        if let Some(missing) = self.missing(&id) {
            return missing;
        }
        let outcome = if order.dry_run {
            let job = self.job(Work::Restore(order.restore.clone()));
            job.and_then(|job| job.preview(&order.restore))
                .map(|preview| Response::ok(results::planned(&id, &components, &preview)))
        } else {
            self.perform(Work::Restore(order.restore), order.detached)
                .map(|performed| answer(&performed, results::restored(&id, &components, &performed)))
        };
        outcome.unwrap_or_else(|error| refusal_with(&error, results::not_restored(&id, &error)))
    }

    /// DELETE.
    pub fn delete_endpoint(&self, request: &Request<'_>) -> Response {
        let id = match id_of(request) {
            Ok(id) => id,
            Err(error) => return refusal(&error),
        };
        if let Some(missing) = self.missing(&id) {
            return missing;
        }
        match self.delete(&id) {
            Ok(deleted) => Response::ok(results::deleted(&id, &deleted)),
            Err(error) => refusal_with(&error, results::not_deleted(&id, &error)),
        }
    }

    /// GET shows the settings of the option, POST replaces them once they were understood, but for the
    /// [`PLACES`], which stay.
    pub fn config_endpoint(&self, request: &Request<'_>) -> Response {
        if request.method() != "POST" {
            return self.show_config();
        }
        let stored = object(request).and_then(|body| {
            let body = Value::Object(self.with_places(body)?);
            Settings::read(&body, None, &PhpEnvironment, &super::host::site())?;
            Ok(self.options.set(OPTION, &body))
        });
        match stored {
            Ok(true) => self.show_config(),
            Ok(false) => Response::refused(500, "slbp_not_stored", "The settings could not be stored."),
            Err(error) => refusal(&error),
        }
    }

    /// POST; `async` is on unless it is false.
    pub fn drill_endpoint(&self, request: &Request<'_>) -> Response {
        let detached = match asynchronous(request) {
            Ok(detached) => detached,
            Err(error) => return refusal(&error),
        };
        match self.perform(Work::Drill, detached) {
            Ok(performed) => answer(&performed, results::drilled(&performed)),
            Err(error) => refusal_with(&error, results::not_drilled(&error)),
        }
    }

    /// POST `id`; `async` is on unless it is false.
    pub fn verify_endpoint(&self, request: &Request<'_>) -> Response {
        let order = id_of(request).and_then(|id| Ok((id, asynchronous(request)?)));
        let (id, detached) = match order {
            Ok(order) => order,
            Err(error) => return refusal(&error),
        };
        if let Some(missing) = self.missing(&id) {
            return missing;
        }
        match self.verify(&id, detached) {
            Ok(performed) => answer(&performed, results::verified(&id, &performed)),
            Err(error) => refusal_with(&error, results::not_verified(&id, &error)),
        }
    }

    /// POST `id`; `async` is on unless it is false.
    pub fn fetch_endpoint(&self, request: &Request<'_>) -> Response {
        let order = id_of(request).and_then(|id| Ok((id, asynchronous(request)?)));
        let (id, detached) = match order {
            Ok(order) => order,
            Err(error) => return refusal(&error),
        };
        match self.perform(Work::Fetch(id.clone()), detached) {
            Ok(performed) => answer(&performed, results::fetched(&id, &performed)),
            Err(error) => refusal_with(&error, results::not_fetched(&id, &error)),
        }
    }

    /// POST; `async` is on unless it is false.
    pub fn copy_endpoint(&self, request: &Request<'_>) -> Response {
        let detached = match asynchronous(request) {
            Ok(detached) => detached,
            Err(error) => return refusal(&error),
        };
        match self.perform(Work::Copy, detached) {
            Ok(performed) => answer(&performed, results::copied(&performed)),
            Err(error) => refusal_with(&error, results::not_copied(&error)),
        }
    }

    /// GET.
    pub fn progress_endpoint(&self, request: &Request<'_>) -> Response {
        match id_of(request).and_then(|id| self.progress(Some(&id))) {
            Ok(Some(report)) => Response::ok(results::tree(&report)),
            Ok(None) => not_found(),
            Err(error) => refusal(&error),
        }
    }

    fn with_places(&self, mut body: Map<String, Value>) -> Result<Map<String, Value>> {
        let stored = self.options.get(OPTION).unwrap_or_default();
        let shown = without_secrets(stored.clone());
        for key in PLACES {
            let place = stored.get(key);
            match body.get(key) {
                Some(given) if Some(given) != place && Some(given) != shown.get(key) => {
                    let expected = "set it in the option, a constant or php.ini, not over the network";
                    return Err(Error::invalid(key, expected));
                }
                _ => body.extend(place.map(|place| (key.to_owned(), place.clone()))),
            }
        }
        Ok(body)
    }

    fn show_config(&self) -> Response {
        let option = self.options.get(OPTION).unwrap_or_else(|| json!({}));
        let settings = match self.settings() {
            Ok(settings) => settings,
            Err(error) => return refusal(&error),
        };
        Response::ok(json!({
            "config": without_secrets(option),
            "backup_dir": settings.folder,
            "retention_days": settings.retention.days,
            "monthly_retention_months": settings.retention.monthly_months,
            "enabled": settings.schedule.is_some(),
            "encrypted_for": settings.encryption.map(|keys| keys.names()),
        }))
    }

    fn missing(&self, id: &BackupId) -> Option<Response> {
        match self.find(id) {
            Ok(Some(_)) => None,
            Ok(None) => Some(not_found()),
            Err(error) => Some(refusal(&error)),
        }
    }
}

/// Passwords and keys in the option are not for the network.
fn without_secrets(mut option: Value) -> Value {
    if let Some(database) = option.get_mut("database").and_then(Value::as_object_mut) {
        database.remove("password");
    }
    if let Some(map) = option.as_object_mut() {
        map.remove("encryption_key");
    }
    let hide = |place: &mut Value| {
        if let Some(place) = place.as_object_mut() {
            place.retain(|key, _| !matches!(key.as_str(), "access_key" | "secret_key" | "session_token"));
        }
    };
    match option.get_mut("remote") {
        Some(Value::Array(places)) => places.iter_mut().for_each(hide),
        Some(place) => {
            hide(place);
            place.as_object_mut().into_iter().flat_map(|places| places.values_mut()).for_each(hide);
        }
        None => {}
    }
    option
}

/// 202 for work that another process does.
fn answer(performed: &Performed, body: Value) -> Response {
    Response::new(if matches!(performed, Performed::Started(_)) { 202 } else { 200 }, body)
}

fn not_found() -> Response {
    Response::refused(404, "slbp_no_backup", "There is no such backup.")
}

/// Misuse over HTTP is a 400 that says what was wrong.
fn refusal(error: &Error) -> Response {
    match error.kind() {
        Kind::InvalidArgument => Response::refused(400, "slbp_invalid", &error.to_string()),
        _ => Response::refused(503, "slbp_unavailable", &error.to_string()),
    }
}

/// What failed while it was done is told in the shape of the method's own result.
fn refusal_with(error: &Error, body: Value) -> Response {
    match error.kind() {
        Kind::InvalidArgument => refusal(error),
        Kind::Backup => Response::new(409, body),
        _ => Response::new(503, body),
    }
}

/// Whether `async`, the only parameter, is not off.
fn asynchronous(request: &Request<'_>) -> Result<bool> {
    Ok(body(request, &["async"])?.get("async").is_none_or(truth))
}

fn id_of(request: &Request<'_>) -> Result<BackupId> {
    BackupId::parse(&request.text("id").unwrap_or_default())
}

/// The parameters of a request, which must all be `known`.
fn body(request: &Request<'_>, known: &[&str]) -> Result<Map<String, Value>> {
    let sent = object(request)?;
    if let Some(key) = sent.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(crate::config::unknown_key("body", key, known));
    }
    if !sent.is_empty() {
        return Ok(sent);
    }
    let named = |key: &&str| Some(((*key).to_owned(), request.param(key)?));
    Ok(known.iter().filter_map(named).collect())
}

/// The JSON object in the body; empty when there is none.
fn object(request: &Request<'_>) -> Result<Map<String, Value>> {
    let expected = || Error::invalid("body", "expected a JSON object");
    let sent = match request.json_body() {
        Some(body) => body,
        None => match request.body().filter(|text| text.trim_start().starts_with('{')) {
            Some(text) => serde_json::from_str(&text).map_err(|_| expected())?,
            None => return Ok(Map::new()),
        },
    };
    match sent {
        Value::Object(map) => Ok(map),
        Value::Array(list) if list.is_empty() => Ok(Map::new()),
        _ => Err(expected()),
    }
}

fn components(body: &Map<String, Value>) -> Result<Vec<Component>> {
    body.get("components").map_or(Ok(Component::ALL.to_vec()), |value| Components::read("components", value))
}

/// The keys of `body` that are options of the method, with `async` on unless it is off.
fn options(body: &Map<String, Value>, keys: &[&str]) -> Value {
    let mut options: Map<String, Value> = body
        .iter()
        .filter(|(key, _)| keys.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    options.entry("async").or_insert(Value::Bool(true));
    Value::Object(options)
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.as_str().ok_or_else(|| Error::invalid(name, "expected a string"))
}

fn truth(value: &Value) -> bool {
    lax::bool(value).unwrap_or(true)
}
