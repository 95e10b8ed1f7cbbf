//! Which rules are in force, and their mirror: the file that is read when the database cannot be.

use std::path::PathBuf;
use std::sync::Once;

use serde_json::{Map, Value, json};

use super::{may_be_private, state_folder};
use crate::alerts::rule::{self, OPTION, Rule};
use crate::alerts::shelf::{self, InFile, Shelf};
use crate::binding::failure::log;
use crate::binding::wordpress::hooks;
use crate::binding::wordpress::options::HostOptions;
use crate::error::Result;
use crate::ports::Options;

/// Keys of `$config` that are no rules.
const OTHER_KEYS: [&str; 2] = ["monitoring_ips", "trusted_proxies"];

/// One line in the log of each process is enough.
static SAID: Once = Once::new();

/// Where a site keeps its files.
pub struct Place {
    /// The site's identity.
    pub site: Vec<u8>,
    folder: Option<PathBuf>,
    name: String,
}

impl Place {
    /// The place of `site`. Without a folder that is ours alone there are no files, and a line in the log.
    pub fn of_site(site: Vec<u8>) -> Self {
        let folder = state_folder();
        let folder = match shelf::folder(&folder) {
            Ok(()) => Some(folder),
            Err(error) => {
                SAID.call_once(|| log(&format!("alerts are kept in memory only: {error}")));
                None
            }
        };
        let name = blake3::hash(&site).to_hex().get(..16).unwrap_or_default().to_owned();
        Self { site, folder, name }
    }

    /// Removes the files.
    pub fn clear(&self) {
        for path in ["rules", "book", "silences", "lock"].iter().filter_map(|what| self.file(what)) {
            // What is not there need not be removed.
            let _ = std::fs::remove_file(path);
        }
    }

    /// The file called `what`.
    pub fn file(&self, what: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("alerts-{}-{what}", self.name)))
    }
}

/// The rules that count now.
pub struct InForce {
    /// As they were written.
    pub config: Value,
    /// As they are read.
    pub rules: Vec<Rule>,
    /// The site's address, for links in messages.
    pub site_url: String,
}

impl InForce {
    fn of(config: Value, site_url: String) -> Result<Self> {
        let rules = rule::read(&config, may_be_private())?;
        Ok(Self { config, rules, site_url })
    }

    /// Writes the mirror if it says anything else.
    pub fn mirror(&self, place: &Place) {
        let Some(path) = place.file("rules") else { return };
        let file = InFile::new(path);
        let wanted = json!({"rules": self.config, "site_url": self.site_url}).to_string().into_bytes();
        if file.load().as_ref() == Some(&wanted) {
            return;
        }
        if let Err(error) = file.store(&wanted) {
            log(&format!("alerts would not work while the database is down: {error}"));
        }
    }
}

/// The rules of `config`, else of the option, else of the mirror, else the usual ones. An option that
/// cannot be read is logged, and the last good rules stay in force.
///
/// # Errors
/// A mistake in `config`.
pub fn in_force(config: &Value, options: &HostOptions, place: &Place) -> Result<InForce> {
    let site_url = hooks::call("home_url", vec![]).and_then(|url| url.string()).unwrap_or_default();
    if let Some(given) = given(config) {
        return InForce::of(given, site_url);
    }
    match stored(options) {
        Some(stored) => InForce::of(stored, site_url).or_else(|error| {
            log(&format!("option {OPTION} is not in force: {error}"));
            mirrored(place).map_or_else(|| usual(String::new()), Ok)
        }),
        None => usual(site_url),
    }
}

/// Refuses rules in `config` that cannot be read; rules elsewhere are not looked at.
///
/// # Errors
/// The first mistake.
pub fn check(config: &Value) -> Result<()> {
    given(config).map_or(Ok(()), |rules| rule::read(&rules, may_be_private()).map(drop))
}

fn usual(site_url: String) -> Result<InForce> {
    InForce::of(rule::usual(), site_url)
}

/// What the mirror says, if there is one and it can be read.
pub fn mirrored(place: &Place) -> Option<InForce> {
    let mirror: Value = serde_json::from_slice(&InFile::new(place.file("rules")?).load()?).ok()?;
    let site_url = mirror.get("site_url").and_then(Value::as_str).unwrap_or_default().to_owned();
    InForce::of(mirror.get("rules")?.clone(), site_url).ok()
}

/// The rules in `$config`: under `alerts`, or all of it but what is no rule.
fn given(config: &Value) -> Option<Value> {
    if let Some(alerts) = config.get("alerts").filter(|alerts| alerts.get("metric").is_none()) {
        return Some(alerts.clone());
    }
    let map: Map<String, Value> = config.as_object()?.clone();
    let rules: Map<String, Value> =
        map.into_iter().filter(|(key, _)| !OTHER_KEYS.contains(&key.as_str())).collect();
    (!rules.is_empty()).then_some(Value::Object(rules))
}

/// The option, unless there is none or it is empty.
fn stored(options: &HostOptions) -> Option<Value> {
    let stored = options.get(OPTION)?;
    let is_empty = stored.is_null()
        || stored.as_object().is_some_and(Map::is_empty)
        || stored.as_array().is_some_and(Vec::is_empty);
    (!is_empty).then_some(stored)
}
