//! Rules as they are written in settings.
//!
//! `['limit' => 10, 'window' => 60]`, or several limits at once:
//! `['limits' => [['limit' => 10, 'window' => 1], ['limit' => 1000, 'window' => 3600]]]`. What every
//! limit of a rule shares (`algorithm`, `burst`, `window`) may stand beside `limits`.

use serde_json::{Map, Value};

use super::{Algorithm, DEFAULT_WINDOW, DEFAULTS, Limit, OnStoreFailure, Quota, Rule};
use crate::config::fields::Fields;
use crate::error::{Error, Result};

/// The fields of a rule.
pub(in crate::limiter) const RULE_KEYS: [&str; 8] =
    ["limit", "window", "limits", "algorithm", "burst", "cost", "dry_run", "on_store_failure"];
const LIMIT_KEYS: [&str; 4] = ["limit", "window", "algorithm", "burst"];

/// More limits than this on one rule are a mistake, and each costs a look at the store.
const MAX_LIMITS: usize = 8;

/// What a rule takes from the settings around it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadingDefaults {
    /// How requests are counted.
    pub algorithm: Algorithm,
    /// What happens while the store does not answer.
    pub on_store_failure: OnStoreFailure,
}

impl ReadingDefaults {
    /// The rules that every site has.
    pub(super) fn built_in(&self) -> Result<Vec<Rule>> {
        DEFAULTS.iter().map(|(name, _)| self.read(name, &Value::Null)).collect()
    }

    /// Reads the rule `name`. A built-in rule's missing limit is its default.
    fn read(&self, name: &str, value: &Value) -> Result<Rule> {
        let fields = Fields::of(format!("rule '{name}'"), value, &RULE_KEYS)?;
        let shared = Shared {
            algorithm: fields.choice("algorithm", &Algorithm::NAMES)?.unwrap_or(self.algorithm),
            window: fields.whole("window")?.unwrap_or(DEFAULT_WINDOW),
            burst: fields.whole("burst")?,
            limit: DEFAULTS.iter().find(|(built_in, _)| *built_in == name).map(|(_, limit)| *limit),
        };
        let quotas = match fields.get("limits") {
            None => vec![shared.quota(&fields)?],
            Some(_) if fields.get("limit").is_some() => {
                return Err(fields.wrong("limits", "a rule has either 'limit' or 'limits'"));
            }
            Some(list) => shared.list(list).map_err(|error| fields.blame(error))?,
        };
        let cost = fields.whole("cost")?.unwrap_or(1);
        Ok(Rule {
            name: name.to_owned(),
            limits: quotas.iter().enumerate().map(|(at, quota)| Limit::new(name, at, *quota)).collect(),
            cost: u32::try_from(cost)
                .ok()
                .filter(|cost| *cost > 0)
                .ok_or_else(|| fields.wrong("cost", format!("expected 1 to {}, got {cost}", u32::MAX)))?,
            dry_run: fields.truth("dry_run")?.unwrap_or(false),
            on_store_failure: fields
                .choice("on_store_failure", &OnStoreFailure::NAMES)?
                .unwrap_or(self.on_store_failure),
        })
    }
}

/// What a rule says once for all its limits.
struct Shared {
    algorithm: Algorithm,
    window: u64,
    burst: Option<u64>,
    limit: Option<u64>,
}

impl Shared {
    fn list(&self, list: &Value) -> Result<Vec<Quota>> {
        let items: Vec<&Value> = match list {
            Value::Array(items) => items.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        };
        if !(1..=MAX_LIMITS).contains(&items.len()) {
            return Err(Error::invalid("limits", format!("expected a list of 1 to {MAX_LIMITS} limits")));
        }
        let read = |(at, item)| self.quota(&Fields::of(format!("limits[{at}]"), item, &LIMIT_KEYS)?);
        items.into_iter().enumerate().map(read).collect()
    }

    fn quota(&self, fields: &Fields) -> Result<Quota> {
        let algorithm = fields.choice("algorithm", &Algorithm::NAMES)?.unwrap_or(self.algorithm);
        let window = fields.whole("window")?.unwrap_or(self.window);
        let burst = fields.whole("burst")?.or(self.burst);
        let limit = fields
            .whole("limit")?
            .or(self.limit)
            .ok_or_else(|| fields.wrong("limit", "missing, expected how many requests a window allows"))?;
        Quota::new(algorithm, limit, window, burst).map_err(|error| fields.blame(error))
    }
}

/// Reads `['general' => [...], 'auth' => [...]]`, in its order.
///
/// # Errors
/// Invalid argument naming the rule and the field.
pub fn read_rules(value: &Value, defaults: &ReadingDefaults) -> Result<Vec<Rule>> {
    let rules = named(value, "expected ['rule' => ['limit' => ..., 'window' => ...], ...]")?;
    rules.iter().map(|(name, rule)| defaults.read(name, rule)).collect()
}

/// Reads `['plan' => ['rule' => [...]], ...]`.
///
/// # Errors
/// Invalid argument naming the plan, the rule and the field.
pub fn read_plans(value: &Value, defaults: &ReadingDefaults) -> Result<Vec<(String, Vec<Rule>)>> {
    let plans = named(value, "expected ['plan' => ['rule' => [...]], ...]")?;
    let read = |(name, rules): (&String, &Value)| {
        let rules = read_rules(rules, defaults).map_err(|error| error.context(format!("plan '{name}'")))?;
        Ok((name.clone(), rules))
    };
    plans.iter().map(read).collect()
}

/// PHP's empty array may arrive as a list.
fn named(value: &Value, expected: &'static str) -> Result<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map.clone()),
        Value::Null => Ok(Map::new()),
        Value::Array(list) if list.is_empty() => Ok(Map::new()),
        _ => Err(Error::invalid("limits", expected)),
    }
}
