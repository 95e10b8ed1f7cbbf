//! What can be set, and how it is written.
//!
//! Owns: the keys of `SLBP_Rate_Limiter`'s `$config`, the WordPress options and php.ini directives
//! behind them, and both spellings of the rules: below `limits`, or at the top level as the
//! specification writes them. Precedence: `$config`, then the option, then php.ini, then the default.

use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::abuse::AutoBan;
use super::client::{ForwardedBy, TrustedProxies};
use super::lists::Entry;
use super::policy::Algorithm;
use super::rules::{OnStoreFailure, ReadingDefaults, Rules, read_plans, read_rules};
use crate::config::fields::Fields;
use crate::config::lax;
use crate::error::{Error, Kind, Result};
use crate::ports::{Environment, Options};
use crate::remote::settings::RedisSettings;

/// The option that holds the rules.
pub const RULES_OPTION: &str = "slbp_rate_limits";
/// The option that holds the settings of the automatic ban.
pub const AUTO_BAN_OPTION: &str = "slbp_auto_ban_config";
/// The option that holds the trusted proxies.
pub const TRUSTED_PROXIES_OPTION: &str = "slbp_trusted_proxies";

/// How long an answer of Redis may take.
const ANSWER_LIMIT: Duration = Duration::from_millis(20);

/// How long a connection may take, TLS and login included.
const CONNECTION_LIMIT: Duration = Duration::from_millis(50);

const KEYS: [&str; 13] = [
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
    "auto_ban",
    "dry_run",
    "on_store_failure",
];

/// Which store counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Redis where `WP_REDIS_HOST` (or a cluster or sentinels) is defined, else shared memory.
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

    /// Constants that say where a Redis is.
    const REDIS_CONSTANTS: [&'static str; 4] =
        ["WP_REDIS_HOST", "WP_REDIS_PATH", "WP_REDIS_CLUSTER", "WP_REDIS_SENTINEL"];

    fn is_redis(self, env: &dyn Environment) -> bool {
        match self {
            Self::Auto => Self::REDIS_CONSTANTS.iter().any(|name| env.constant(name).is_some()),
            Self::Shm => false,
            Self::Redis => true,
        }
    }
}

/// Everything the limiter is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The rules, with those of plans.
    pub rules: Rules,
    /// The Redis that counts; without one, shared memory does.
    pub redis: Option<RedisSettings>,
    /// Entries that hold without being stored.
    pub whitelist: Vec<Entry>,
    /// Entries that hold without being stored.
    pub blacklist: Vec<Entry>,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// Which forwarding header they set.
    pub client_ip_header: ForwardedBy,
    /// Addresses of this server, which are never banned.
    pub server_addresses: Vec<IpNet>,
    /// When and how long bad behaviour bans.
    pub auto_ban: AutoBan,
    /// Whether every refusal is only reported.
    pub dry_run: bool,
}

impl Settings {
    /// Reads `$config`, and what it leaves out from `options` and `env`.
    ///
    /// # Errors
    /// Invalid argument naming the rule and the field, or the unknown key and the nearest known
    /// one; [`Kind::Config`] when the mistake is in an option or a directive.
    pub fn read(config: &Value, env: &dyn Environment, options: &dyn Options) -> Result<Self> {
        let (config, own_rules) = part(config)?;
        let given = Fields::of("$config", &config, &KEYS)?;
        let stored = |key: &str, name: &str| match given.get(key) {
            Some(_) => None,
            None => options.get(name).filter(|value| !value.is_null()),
        };

        let defaults = ReadingDefaults {
            algorithm: given.choice("algorithm", &Algorithm::NAMES)?.unwrap_or_default(),
            on_store_failure: given.choice("on_store_failure", &OnStoreFailure::NAMES)?.unwrap_or_default(),
        };
        let own = match stored("limits", RULES_OPTION) {
            Some(rules) if own_rules.is_empty() => {
                read_rules(&rules, &defaults).map_err(|error| in_option(RULES_OPTION, &error))?
            }
            _ => read_rules(&merged(given.get("limits"), own_rules)?, &defaults)?,
        };
        let plans = read_plans(given.get("plans").unwrap_or(&Value::Null), &defaults)?;

        let trusted_proxies = match stored("trusted_proxies", TRUSTED_PROXIES_OPTION) {
            Some(list) => networks(&list).map_err(|error| in_option(TRUSTED_PROXIES_OPTION, &error))?,
            None => match (given.get("trusted_proxies"), env.ini("slbp.trusted_proxies")) {
                (Some(list), _) => networks(list).map_err(|error| given.wrong("trusted_proxies", error))?,
                (None, Some(text)) => networks(&Value::String(text))
                    .map_err(|error| in_place("php.ini slbp.trusted_proxies", &error))?,
                (None, None) => Vec::new(),
            },
        };
        let auto_ban = match stored("auto_ban", AUTO_BAN_OPTION) {
            Some(value) => AutoBan::read(&value).map_err(|error| in_option(AUTO_BAN_OPTION, &error))?,
            None => AutoBan::read(given.get("auto_ban").unwrap_or(&Value::Null))?,
        };
        let entries = |key: &str| match given.get(key) {
            Some(list) => lax::list(list)
                .map_err(|error| given.wrong(key, error))?
                .iter()
                .map(|text| Entry::parse(text).map_err(|error| given.wrong(key, error)))
                .collect(),
            None => Ok(Vec::new()),
        };
        Ok(Self {
            rules: Rules::new(own, plans, &defaults)?,
            redis: match given.choice("backend", &Backend::NAMES)?.unwrap_or_default() {
                backend if backend.is_redis(env) => Some(redis(given.get("redis"), env)?),
                _ => None,
            },
            whitelist: entries("whitelist")?,
            blacklist: entries("blacklist")?,
            trusted_proxies: TrustedProxies::new(trusted_proxies),
            client_ip_header: ForwardedBy::read(&given)?,
            server_addresses: match given.get("server_addresses") {
                Some(list) => networks(list).map_err(|error| given.wrong("server_addresses", error))?,
                None => Vec::new(),
            },
            auto_ban,
            dry_run: given.truth("dry_run")?.unwrap_or(false),
        })
    }
}

/// A visitor waits for every check, so an answer must come within [`ANSWER_LIMIT`], whatever the
/// constants allow a cache; only `$config['redis']` itself may say otherwise.
fn redis(given: Option<&Value>, env: &dyn Environment) -> Result<RedisSettings> {
    let given = given.cloned().unwrap_or_default();
    let says = |key: &str| given.get(key).is_some();
    let (own_timeout, own_read_timeout) = (says("timeout"), says("read_timeout"));
    let mut settings = RedisSettings::read(given, env)?;
    settings.read_timeout = match (own_timeout, own_read_timeout) {
        (_, true) => settings.read_timeout,
        (true, false) => settings.timeout,
        (false, false) => ANSWER_LIMIT,
    };
    if !own_timeout {
        settings.timeout = CONNECTION_LIMIT;
    }
    Ok(settings)
}

/// Parts rules at the top level from settings: a rule is an array that has a limit in it.
fn part(config: &Value) -> Result<(Value, Map<String, Value>)> {
    let Value::Object(map) = config else { return Ok((config.clone(), Map::new())) };
    let is_rule = |key: &str, value: &Value| {
        !KEYS.contains(&key)
            && value.as_object().is_some_and(|rule| rule.contains_key("limit") || rule.contains_key("limits"))
    };
    let (rules, settings): (Map<_, _>, Map<_, _>) =
        map.clone().into_iter().partition(|(key, value)| is_rule(key, value));
    Ok((Value::Object(settings), rules))
}

fn merged(limits: Option<&Value>, own: Map<String, Value>) -> Result<Value> {
    let mut rules = match limits {
        Some(Value::Object(map)) => map.clone(),
        Some(Value::Array(list)) if list.is_empty() => Map::new(),
        None => Map::new(),
        Some(other) => return Ok(other.clone()),
    };
    for (name, rule) in own {
        if rules.insert(name.clone(), rule).is_some() {
            return Err(Error::invalid(
                "$config",
                format!("rule '{name}' stands both in 'limits' and at the top level"),
            ));
        }
    }
    Ok(Value::Object(rules))
}

fn networks(value: &Value) -> Result<Vec<IpNet>> {
    let list = lax::list(value).map_err(|error| Error::invalid("list", error))?;
    list.iter().map(|text| super::lists::network(text)).collect()
}

fn in_option(name: &str, error: &Error) -> Error {
    in_place(&format!("option {name}"), error)
}

/// A mistake in what is stored is the operator's, not the caller's.
fn in_place(place: &str, error: &Error) -> Error {
    Error::new(Kind::Config, error.to_string()).context(place)
}
