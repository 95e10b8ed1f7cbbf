//! What can be set, and how it is written.
//!
//! Owns: the keys of `SLBP_Backup_Manager`'s `$config`, the option, constant and directive behind
//! them, and what follows from the site itself: where the backups are, which tables and folders
//! belong to it. Precedence: `$config`, then the option, then the constant, then php.ini, then the
//! default.
//!
//! The folder's default name holds a token that only the site's salts give, so that it cannot be
//! guessed where it has to lie below a web root.

mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use mysql::Opts;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::age::Keys;
use super::database::TableFilter;
use super::files::{Root, Source};
use super::format::Component;
use super::gzip::LEVEL;
use super::remote::{Place, places};
use super::retention::Policy;
use super::schedule::{Every, Schedule, jitter};
use crate::config::fields::Fields;
use crate::error::{Error, Kind, Result};
use crate::ports::Environment;
use crate::remote::database::{DatabaseSettings, options};

pub use values::components;
use values::{every, files, keys, level, notify, number, tables, truth, up_to, whole};

/// The option that holds the settings.
pub const OPTION: &str = "slbp_backup_config";

const CONSTANT: &str = "SLBP_BACKUP_DIR";
const DIRECTIVE: &str = "slbp.backup_dir";

const KEY_CONSTANT: &str = "SLBP_BACKUP_ENCRYPTION_KEY";
const KEY_DIRECTIVE: &str = "slbp.backup_encryption_key";

const KEYS: [&str; 15] = [
    "enabled",
    "schedule",
    "hour",
    "retention_days",
    "monthly_retention_months",
    "compression",
    "daily_components",
    "weekly_components",
    "notifications",
    "backup_dir",
    "database",
    "tables",
    "files",
    "encryption_key",
    "remote",
];

/// What is below wp-content and can be made again, as globs over paths in the archive.
const REBUILT: [&str; 7] = [
    "wp-content/cache",
    "wp-content/upgrade",
    "wp-content/upgrade-temp-backup",
    "wp-content/debug.log",
    "wp-content/uploads/slbp-cache",
    "wp-content/slbp-backups-*",
    "wp-content/uploads/slbp-backups",
];

/// What the host knows of the site without asking anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// WordPress' own folder (`ABSPATH`).
    pub root: Option<PathBuf>,
    /// `WP_CONTENT_DIR`.
    pub content: Option<PathBuf>,
    /// `$table_prefix`.
    pub prefix: Option<String>,
    /// Hexadecimal digits that only this site has.
    pub token: String,
    /// The name of its time zone.
    pub zone: Option<String>,
}

/// Who is told about the end of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Tell that a scheduled or detached backup was made.
    pub completion: bool,
    /// Tell that one could not be made.
    pub failure: bool,
    /// The address; the site's administrator when there is none.
    pub email: Option<String>,
}

/// Everything that backups are told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the backups; `None` when nothing says where it could be.
    pub folder: Option<PathBuf>,
    /// Where the database is; `None` when none is named.
    pub database: Option<DatabaseSettings>,
    /// Which tables belong to the site.
    pub tables: TableFilter,
    /// Which folders do.
    pub files: Source,
    /// The gzip level, 0 to 9.
    pub level: u32,
    /// How backups are encrypted; `None` when they are not.
    pub encryption: Option<Keys>,
    /// When backups are made; `None` when they are not made by themselves.
    pub schedule: Option<Schedule>,
    /// How long they are kept.
    pub retention: Policy,
    /// Where copies go.
    pub remote: Vec<Place>,
    /// Who is told.
    pub notify: Notify,
    /// WordPress' `.maintenance` file; `None` where we may not write it: the site then stays open while a
    /// restore puts all into place, which takes a moment.
    pub maintenance: Option<PathBuf>,
    prefix: String,
}

impl Settings {
    /// Reads `$config`; what it leaves out from `option`, then from `env`, then from what `site` is.
    ///
    /// # Errors
    /// Invalid argument naming the key and what was expected; [`Kind::Config`] when the mistake is in
    /// the option, a constant or a directive.
    pub fn read(config: &Value, option: Option<&Value>, env: &dyn Environment, site: &Site) -> Result<Self> {
        let sources = Sources {
            given: Fields::of("$config", config, &KEYS)?,
            stored: Fields::of(OPTION, &only_known(option), &KEYS)?,
        };
        let database = sources.database(env, site)?;
        let prefix = database.as_ref().map(|settings| settings.prefix.clone());
        let prefix = site.prefix.clone().or(prefix).unwrap_or_default();
        let folder = sources.folder(env, site)?;
        let forbidden: Vec<&Path> = [folder.as_deref(), site.root.as_deref()].into_iter().flatten().collect();
        let remote = sources.pick("remote", |value| places(value, env, &forbidden))?.unwrap_or_default();
        Ok(Self {
            folder,
            remote,
            tables: sources.pick("tables", |value| tables(value, &prefix))?.unwrap_or_else(|| whole(&prefix)),
            files: sources.pick("files", |value| files(value, site))?.unwrap_or_else(|| site.files()),
            level: sources.pick("compression", level)?.unwrap_or(LEVEL),
            encryption: sources.encryption(env)?,
            schedule: sources.schedule(site)?,
            retention: sources.retention()?,
            notify: sources.pick("notifications", notify)?.unwrap_or_else(Notify::usual),
            maintenance: site
                .root
                .as_ref()
                .filter(|root| may_write(root))
                .map(|root| root.join(".maintenance")),
            database,
            prefix,
        })
    }

    /// The tables that `options['tables']` or the setting of that name stands for.
    ///
    /// # Errors
    /// Anything but `site`, `slbp`, `all` or a list of names and globs.
    pub fn tables_named(&self, value: &Value) -> Result<TableFilter> {
        tables(value, &self.prefix).map_err(|expected| Error::invalid("tables", expected))
    }

    /// How to connect to the database, or to the database `name` of the same server.
    pub fn opts(&self, name: Option<&str>) -> Option<Opts> {
        let mut settings = self.database.clone()?;
        if let Some(name) = name {
            name.clone_into(&mut settings.name);
        }
        Some(options(&settings))
    }
}

impl Notify {
    fn usual() -> Self {
        Self { failure: true, ..Self::default() }
    }
}

impl Site {
    /// Everything below wp-content that is not made again by itself.
    fn files(&self) -> Source {
        let roots =
            self.content.iter().map(|path| Root { name: "wp-content".to_owned(), path: path.clone() });
        Source { roots: roots.collect(), exclude: REBUILT.map(str::to_owned).to_vec() }
    }

    /// A folder beside the site, else one in wp-content. One that is there already goes first, or
    /// another user on the command line would find another folder.
    fn folder(&self) -> Option<PathBuf> {
        let name = format!("slbp-backups-{}", self.token);
        let beside = self.root.as_deref().and_then(Path::parent);
        let inside = self.content.as_deref();
        let places: Vec<&Path> = beside.into_iter().chain(inside).collect();
        let there = places.iter().find(|place| place.join(&name).is_dir());
        let writable = || places.iter().find(|place| may_write(place)).or(places.last());
        there.or_else(writable).map(|place| place.join(&name))
    }
}

struct Sources {
    given: Fields,
    stored: Fields,
}

impl Sources {
    /// The value of `key` as `read` understands it, from `$config` or else from the option.
    fn pick<T>(&self, key: &str, read: impl Fn(&Value) -> Result<T, String>) -> Result<Option<T>> {
        if let Some(value) = self.given.get(key) {
            return read(value).map(Some).map_err(|expected| self.given.wrong(key, expected));
        }
        let Some(value) = self.stored.get(key) else { return Ok(None) };
        let in_option = |expected| Error::new(Kind::Config, format!("option {OPTION}: {key}: {expected}"));
        read(value).map(Some).map_err(in_option)
    }

    /// An empty key in `$config` or the option turns off what a constant or php.ini turned on.
    fn encryption(&self, env: &dyn Environment) -> Result<Option<Keys>> {
        if let Some(given) = self.pick("encryption_key", keys)? {
            return Ok(given);
        }
        let constant = env.constant(KEY_CONSTANT).map(|text| (format!("constant {KEY_CONSTANT}"), text));
        let named = constant.or_else(|| Some((format!("php.ini {KEY_DIRECTIVE}"), env.ini(KEY_DIRECTIVE)?)));
        let Some((origin, text)) = named else { return Ok(None) };
        keys(&text.into()).map_err(|wrong| Error::new(Kind::Config, format!("{origin}: {wrong}")))
    }

    fn folder(&self, env: &dyn Environment, site: &Site) -> Result<Option<PathBuf>> {
        let outside = |path: &Path| {
            let served = site.root.as_deref().is_some_and(|root| path.starts_with(root));
            if !path.is_absolute() || served {
                return Err(format!("expected an absolute path outside {}", shown(site.root.as_deref())));
            }
            Ok(path.to_owned())
        };
        let given = self.pick("backup_dir", |value| match value.as_str().unwrap_or_default() {
            "" if value.is_string() => Ok(None),
            text => outside(Path::new(text)).map(Some),
        })?;
        if let Some(path) = given.flatten() {
            return Ok(Some(path));
        }
        let constant = env.constant(CONSTANT).map(|path| (format!("constant {CONSTANT}"), path));
        let named = constant.or_else(|| Some((format!("php.ini {DIRECTIVE}"), env.ini(DIRECTIVE)?)));
        match named {
            Some((origin, path)) => {
                let wrong = |expected| Error::new(Kind::Config, format!("{origin}: {expected}"));
                outside(Path::new(&path)).map(Some).map_err(wrong)
            }
            None => Ok(site.folder()),
        }
    }

    fn database(&self, env: &dyn Environment, site: &Site) -> Result<Option<DatabaseSettings>> {
        let mut given = match self.pick("database", |value| Ok(value.clone()))?.unwrap_or_default() {
            Value::Null => Value::Object(Map::new()),
            Value::Array(list) if list.is_empty() => Value::Object(Map::new()),
            other => other,
        };
        if let (Value::Object(map), Some(prefix)) = (&mut given, &site.prefix) {
            map.entry("prefix").or_insert_with(|| prefix.clone().into());
        }
        let read = DatabaseSettings::read(given, env)?;
        Ok(Some(read).filter(|settings| !settings.name.is_empty()))
    }

    fn schedule(&self, site: &Site) -> Result<Option<Schedule>> {
        let enabled = self.pick("enabled", truth)?.unwrap_or(true);
        let every = self.pick("schedule", every)?.unwrap_or(Every::Daily);
        let hour = self.pick("hour", |value| number(value).and_then(|hour| up_to(hour, 23)))?.unwrap_or(3);
        let daily = self.pick("daily_components", components)?;
        let weekly = self.pick("weekly_components", components)?;
        let zone = site.zone.as_deref().and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC);
        Ok(enabled.then(|| Schedule {
            every,
            zone,
            hour,
            jitter: jitter(&site.token, Duration::from_secs(1800)),
            daily: daily.unwrap_or_else(|| vec![Component::Database, Component::Config]),
            weekly: weekly.unwrap_or_else(|| Component::ALL.to_vec()),
        }))
    }

    fn retention(&self) -> Result<Policy> {
        let usual = Policy::default();
        let days = |value: &Value| number(value).and_then(|days| up_to(days, 36_500));
        let months = |value: &Value| number(value).and_then(|months| up_to(months, 1200));
        Ok(Policy {
            days: self.pick("retention_days", days)?.unwrap_or(usual.days),
            monthly_months: self.pick("monthly_retention_months", months)?.unwrap_or(usual.monthly_months),
            at_least: usual.at_least,
        })
    }
}

/// An existing site's option may hold keys of the plugin that wrote it.
fn only_known(option: Option<&Value>) -> Value {
    let Some(Value::Object(map)) = option else { return Value::Null };
    map.iter()
        .filter(|(key, _)| KEYS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect::<Map<_, _>>()
        .into()
}

fn may_write(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

fn shown(root: Option<&Path>) -> String {
    root.map_or_else(|| "the web root".to_owned(), |root| root.display().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ports::Detached;

    fn site() -> Site {
        Site {
            root: Some("/srv/www".into()),
            content: Some("/srv/www/wp-content".into()),
            prefix: Some("wp_".to_owned()),
            token: "0123456789ab".to_owned(),
            zone: Some("Europe/Berlin".to_owned()),
        }
    }

    fn read(config: Value, option: Value) -> Result<Settings> {
        Settings::read(&config, Some(&option), &Detached::default(), &site())
    }

    #[test]
    fn the_specification_is_understood() {
        let config = json!({
            "enabled": true, "schedule": "daily", "retention_days": 30, "compression": true,
            "daily_components": ["database", "config"], "weekly_components": ["database", "files", "config"],
            "notifications": {"email_on_completion": false, "email_on_failure": true},
        });
        let settings = read(config, json!(null)).unwrap();
        assert_eq!(settings.retention, Policy::default());
        assert_eq!(settings.level, LEVEL);
        assert_eq!(settings.notify, Notify::usual());
        assert_eq!(settings.tables, TableFilter::Prefix("wp_".to_owned()));
        assert_eq!(settings.files.roots[0].path, Path::new("/srv/www/wp-content"));
        let schedule = settings.schedule.unwrap();
        assert_eq!((schedule.zone, schedule.weekly.len()), (Tz::Europe__Berlin, 3));
        assert_eq!(schedule.daily, [Component::Database, Component::Config]);
    }

    #[test]
    fn the_argument_goes_before_the_option_and_the_option_may_hold_more() {
        let option = json!({"retention_days": "7", "hour": 5, "remote_storage": "s3", "compression": "off"});
        let settings = read(json!({"retention_days": 3}), option).unwrap();
        assert_eq!((settings.retention.days, settings.level), (3, 0));
        assert_eq!(settings.schedule.unwrap().hour, 5);
        let error = read(json!({}), json!({"retention_days": "many"})).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().starts_with("option slbp_backup_config: retention_days"), "{error}");
    }

    #[test]
    fn backups_do_not_go_where_the_web_server_serves() {
        for folder in ["backups", "/srv/www", "/srv/www/wp-content/backups"] {
            let error = read(json!({"backup_dir": folder}), json!(null)).unwrap_err();
            assert!(error.to_string().contains("outside /srv/www"), "{error}");
        }
        let settings = read(json!({"backup_dir": "/srv/backups"}), json!(null)).unwrap();
        assert_eq!(settings.folder.as_deref(), Some(Path::new("/srv/backups")));
        let guessed = read(json!({}), json!(null)).unwrap().folder.unwrap();
        assert!(guessed.ends_with("slbp-backups-0123456789ab"), "{}", guessed.display());
    }

    #[test]
    fn a_key_comes_from_the_nearest_place_and_is_never_shown() {
        let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
        let read = |config: Value, env: &std::collections::HashMap<&str, &str>| {
            Settings::read(&config, None, env, &site()).map(|settings| settings.encryption)
        };
        let env = [("slbp.backup_encryption_key", recipient)].into();
        assert_eq!(read(json!({}), &env).unwrap().unwrap().names(), ["age1zvkyg2…unujwj"]);
        assert!(read(json!({"encryption_key": ""}), &env).unwrap().is_none());
        let env =
            [("SLBP_BACKUP_ENCRYPTION_KEY", "hunter2"), ("slbp.backup_encryption_key", recipient)].into();
        let error = read(json!({}), &env).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        let text = error.to_string();
        assert!(text.starts_with("constant SLBP_BACKUP_ENCRYPTION_KEY: key 1"), "{text}");
        let listed = json!({"encryption_key": [recipient, "AGE-SECRET-KEY-1HUNTER2"]});
        let error = format!("{text} {}", read(listed, &env).unwrap_err());
        assert!(error.contains("encryption_key: key 2: this identity is mistyped"), "{error}");
        assert!(!error.to_lowercase().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_folder_inside_the_site_keeps_its_path_and_another_its_name() {
        let roots = json!({"files": {"roots": ["/srv/www/wp-content/uploads", "/var/lib/courses"]}});
        let settings = read(roots, json!(null)).unwrap();
        let names: Vec<_> = settings.files.roots.iter().map(|root| root.name.as_str()).collect();
        assert_eq!(names, ["wp-content/uploads", "courses"]);
    }

    #[test]
    fn tables_by_word_or_by_name() {
        let settings = read(json!({}), json!(null)).unwrap();
        let named = |value| settings.tables_named(&value).unwrap();
        assert_eq!(named(json!("slbp")), TableFilter::Prefix("wp_slbp_".to_owned()));
        assert_eq!(named(json!("all")), TableFilter::All);
        assert_eq!(named(json!(["a", "b*"])), TableFilter::Named(vec!["a".to_owned(), "b*".to_owned()]));
        assert!(settings.tables_named(&json!("everything")).is_err());
    }
}
