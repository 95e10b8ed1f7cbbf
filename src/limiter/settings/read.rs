//! Reading the settings from the places where they may stand.

use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::{AUTO_BAN_OPTION, RULES_OPTION, Settings, TRUSTED_PROXIES_OPTION};
use crate::config::fields::Fields;
use crate::config::lax;
use crate::error::{Error, Kind, Result};
use crate::limiter::abuse::{self, AutoBan};
use crate::limiter::client::{ForwardedBy, TrustedProxies};
use crate::limiter::lists::{self, Entry};
use crate::limiter::policy::Algorithm;
use crate::limiter::rules::{self, OnStoreFailure, ReadingDefaults, Rules, read_plans, read_rules};
use crate::ports::{Environment, Options};
use crate::remote::settings::RedisSettings;

/// How long an answer of Redis may take.
const ANSWER_LIMIT: Duration = Duration::from_millis(20);

/// How long a connection may take, TLS and login included.
const CONNECTION_LIMIT: Duration = Duration::from_millis(50);

/// `api_key_validator` is the host's, which takes it out; it stands here to be named among the known.
const KEYS: [&str; 14] = [
    "limits",
    "plans",
    "algorithm",
    "backend",
    "redis",
    "whitelist",
    "blacklist",
    "trusted_proxies",
    "server_addresses",
    "client_ip_header",
    "api_key_validator",
    "auto_ban",
    "dry_run",
    "on_store_failure",
];

/// Which store counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Redis where the site names one, in `$config`, a constant or php.ini; else shared memory.
    #[default]
    Auto,
    /// Shared memory: exact across the workers of this host.
    Shm,
    /// Redis: exact across hosts.
    Redis,
}

impl Backend {
    const NAMES: [(&'static str, Backend); 3] =
        [("auto", Backend::Auto), ("shm", Backend::Shm), ("redis", Backend::Redis)];
}

/// The places where settings stand.
pub(super) struct Sources<'a> {
    given: Fields,
    own_rules: Map<String, Value>,
    env: &'a dyn Environment,
    options: &'a dyn Options,
}

impl<'a> Sources<'a> {
    pub(super) fn new(config: &Value, env: &'a dyn Environment, options: &'a dyn Options) -> Result<Self> {
        let (config, own_rules) = part(config);
        Ok(Self { given: Fields::of("$config", &config, &KEYS)?, own_rules, env, options })
    }

    pub(super) fn settings(&self) -> Result<Settings> {
        Ok(Settings {
            rules: self.rules()?,
            redis: self.redis()?,
            whitelist: self.entries("whitelist")?,
            blacklist: self.entries("blacklist")?,
            trusted_proxies: TrustedProxies::new(self.trusted_proxies()?),
            client_ip_header: ForwardedBy::read(&self.given)?,
            server_addresses: self.networks("server_addresses")?.unwrap_or_default(),
            auto_ban: self.auto_ban()?,
            dry_run: self.given.truth("dry_run")?.unwrap_or(false),
        })
    }

    fn rules(&self) -> Result<Rules> {
        let failure = self.given.choice("on_store_failure", &OnStoreFailure::NAMES)?;
        let defaults = ReadingDefaults {
            algorithm: self.given.choice("algorithm", &Algorithm::NAMES)?.unwrap_or_default(),
            on_store_failure: failure.unwrap_or_default(),
        };
        let own = match self.option("limits", RULES_OPTION) {
            Some(stored) if self.own_rules.is_empty() => {
                let stored = each(&stored, |rule| only(rule, &rules::RULE_KEYS));
                read_rules(&stored, &defaults).map_err(|error| in_option(RULES_OPTION, &error))?
            }
            _ => read_rules(&self.both_spellings()?, &defaults)?,
        };
        let plans = read_plans(self.given.get("plans").unwrap_or(&Value::Null), &defaults)?;
        Rules::new(own, plans, &defaults)
    }

    /// The rules below `limits` and those at the top level.
    fn both_spellings(&self) -> Result<Value> {
        let mut rules = match self.given.get("limits") {
            Some(Value::Object(map)) => map.clone(),
            Some(other) if self.own_rules.is_empty() => return Ok(other.clone()),
            _ => Map::new(),
        };
        for (name, rule) in &self.own_rules {
            if rules.insert(name.clone(), rule.clone()).is_some() {
                let twice = format!("rule '{name}' stands both in 'limits' and at the top level");
                return Err(Error::invalid("$config", twice));
            }
        }
        Ok(Value::Object(rules))
    }

    /// A visitor waits for every check, so an answer must come within [`ANSWER_LIMIT`], whatever the
    /// constants allow a cache; only `$config['redis']` itself may say otherwise.
    fn redis(&self) -> Result<Option<RedisSettings>> {
        let backend = self.given.choice("backend", &Backend::NAMES)?.unwrap_or_default();
        let given = self.given.get("redis").cloned().unwrap_or_default();
        let is_redis = match backend {
            Backend::Auto => RedisSettings::is_named(&given, self.env),
            Backend::Shm => false,
            Backend::Redis => true,
        };
        if !is_redis {
            return Ok(None);
        }
        let (own_timeout, own_read_timeout) =
            (given.get("timeout").is_some(), given.get("read_timeout").is_some());
        let read = RedisSettings::read(given, self.env)?;
        let timeout = if own_timeout { read.timeout } else { CONNECTION_LIMIT };
        let read_timeout = match (own_timeout, own_read_timeout) {
            (_, true) => read.read_timeout,
            (true, false) => read.timeout,
            (false, false) => ANSWER_LIMIT,
        };
        Ok(Some(RedisSettings { timeout, read_timeout, ..read }))
    }

    fn trusted_proxies(&self) -> Result<Vec<IpNet>> {
        const KEY: &str = "trusted_proxies";
        const DIRECTIVE: &str = "slbp.trusted_proxies";
        if let Some(given) = self.networks(KEY)? {
            return Ok(given);
        }
        if let Some(stored) = self.option(KEY, TRUSTED_PROXIES_OPTION) {
            return networks(&stored).map_err(|error| in_option(TRUSTED_PROXIES_OPTION, &error));
        }
        let directive = Value::String(self.env.ini(DIRECTIVE).unwrap_or_default());
        networks(&directive).map_err(|error| in_place(&format!("php.ini {DIRECTIVE}"), &error))
    }

    fn auto_ban(&self) -> Result<AutoBan> {
        match self.option("auto_ban", AUTO_BAN_OPTION) {
            Some(stored) => {
                let stored = only(&stored, &abuse::KEYS);
                AutoBan::read(&stored).map_err(|error| in_option(AUTO_BAN_OPTION, &error))
            }
            None => AutoBan::read(self.given.get("auto_ban").unwrap_or(&Value::Null)),
        }
    }

    fn entries(&self, key: &str) -> Result<Vec<Entry>> {
        let wrong = |error: &dyn std::fmt::Display| self.given.wrong(key, error);
        let Some(list) = self.given.get(key) else { return Ok(Vec::new()) };
        let texts = lax::list(list).map_err(|error| wrong(&error))?;
        texts.iter().map(|text| Entry::parse(text).map_err(|error| wrong(&error))).collect()
    }

    fn networks(&self, key: &str) -> Result<Option<Vec<IpNet>>> {
        let read = |list| networks(list).map_err(|error| self.given.wrong(key, error));
        self.given.get(key).map(read).transpose()
    }

    /// What the option `name` says for a `key` that is not given.
    fn option(&self, key: &str, name: &str) -> Option<Value> {
        match self.given.get(key) {
            Some(_) => None,
            None => self.options.get(name).filter(|value| !value.is_null()),
        }
    }
}

/// Parts rules at the top level from settings: a rule is an array that has a limit in it, or stands
/// under the name of a built-in one.
fn part(config: &Value) -> (Value, Map<String, Value>) {
    let Value::Object(map) = config else { return (config.clone(), Map::new()) };
    let is_rule = |key: &str, value: &Value| {
        let has_limit = |rule: &Map<_, _>| rule.contains_key("limit") || rule.contains_key("limits");
        let is_built_in = rules::DEFAULTS.iter().any(|(name, _)| *name == key);
        !KEYS.contains(&key) && value.as_object().is_some_and(|rule| is_built_in || has_limit(rule))
    };
    let (rules, settings): (Map<_, _>, Map<_, _>) =
        map.clone().into_iter().partition(|(key, value)| is_rule(key, value));
    (Value::Object(settings), rules)
}

/// An option may have been written by the existing plugin, with fields that mean nothing here.
fn only(value: &Value, known: &[&str]) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| known.contains(&key.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        other => other.clone(),
    }
}

fn each(value: &Value, change: impl Fn(&Value) -> Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), change(value))).collect(),
        other => other.clone(),
    }
}

fn networks(value: &Value) -> Result<Vec<IpNet>> {
    let texts = lax::list(value).map_err(|error| Error::invalid("list", error))?;
    texts.iter().map(|text| lists::network(text)).collect()
}

fn in_option(name: &str, error: &Error) -> Error {
    in_place(&format!("option {name}"), error)
}

/// A mistake in what is stored is the operator's, not the caller's.
fn in_place(place: &str, error: &Error) -> Error {
    Error::new(Kind::Config, error.to_string()).context(place)
}
