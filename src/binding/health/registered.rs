//! Checks written in PHP: `register_health_check()`.
//!
//! Owns: that whatever such a check does, the probe answers. An error, an exception and `exit()` mean
//! unhealthy; an answer that cannot be understood means degraded. A fatal error ends the request, as
//! anywhere in PHP; the others then go on with the last finding, and after its lease with a new one.

use ext_php_rs::types::Zval;
use serde_json::Value;

use crate::binding::convert::json;
use crate::binding::queue::handlers::{Answer, call, wp_error};
use crate::binding::wordpress::hooks;
use crate::config::fields::Fields;
use crate::error::{Error, Result};
use crate::health::check::{Check, Profile, is_name};
use crate::health::finding::{Outcome, Unit};
use crate::health::known;
use crate::health::state::{Group, Groups, State};

/// A check that leaves more output buffers open than this keeps them.
const MOST_BUFFERS: usize = 16;

/// A check in PHP.
pub struct Registered {
    /// What is known of it.
    pub profile: Profile,
    callable: Zval,
}

impl Registered {
    /// Reads what `register_health_check()` was given.
    ///
    /// # Errors
    /// Invalid argument: the name is none, or an option is unknown or wrong.
    pub fn new(name: &str, callable: Zval, options: &Value) -> Result<Self> {
        if !is_name(name) {
            return Err(Error::invalid("name", format!("expected up to 40 of a-z 0-9 _, got '{name}'")));
        }
        let fields = Fields::of("$options", options, &["critical", "groups", "ttl", "timeout"])?;
        let default = known::profile(name.to_owned());
        let seconds = |key: &str, or: std::time::Duration, least: f64| match fields.number(key)? {
            None => Ok(or),
            Some(seconds) if (least..=3600.0).contains(&seconds) => {
                Ok(std::time::Duration::from_secs_f64(seconds))
            }
            Some(seconds) => {
                Err(fields.wrong(key, format!("expected {least} to 3600 seconds, got {seconds}")))
            }
        };
        let profile = Profile {
            critical: fields.truth("critical")?.unwrap_or(false),
            groups: groups(&fields)?,
            ttl: seconds("ttl", default.ttl, 1.0)?,
            timeout: seconds("timeout", default.timeout, 0.001)?,
            ..default
        };
        Ok(Self { profile, callable })
    }

    /// The same, to be asked now.
    pub fn shared(&self) -> Self {
        Self { profile: self.profile.clone(), callable: self.callable.shallow_clone() }
    }
}

impl Check for Registered {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn run(&self) -> Outcome {
        match silently(|| call(&self.callable, vec![])) {
            Answer::Value(value) => outcome(&value),
            Answer::Threw(message) => Outcome::unhealthy(message),
            Answer::Exited => Outcome::unhealthy("the check called exit()"),
            Answer::Fatal => Outcome::unhealthy("the check ended in a fatal error"),
            Answer::Missing => Outcome::unhealthy("the check cannot be called"),
        }
    }
}

/// What a check prints would come before the answer, and send its headers with a 200.
fn silently(work: impl FnOnce() -> Answer) -> Answer {
    let level = || hooks::call("ob_get_level", vec![]).and_then(|level| level.long()).unwrap_or(0);
    let before = level();
    hooks::call("ob_start", vec![]);
    let answer = work();
    // PHP is ending the script, and will flush what there is: nothing may be called now.
    if matches!(answer, Answer::Fatal) {
        return answer;
    }
    for _ in 0..MOST_BUFFERS {
        if level() <= before {
            break;
        }
        hooks::call("ob_end_clean", vec![]);
    }
    answer
}

fn groups(fields: &Fields) -> Result<Groups> {
    let Some(given) = fields.get("groups") else { return Ok(Groups::HEALTH) };
    let names = crate::config::lax::list(given.clone()).map_err(|error| fields.wrong("groups", error))?;
    let mut groups = Groups::DETAILED;
    for name in names {
        match Group::from_name(&name) {
            Some(Group::Ready) => groups.ready = true,
            Some(Group::Health) => groups.health = true,
            Some(Group::Detailed) => {}
            Some(Group::Live) | None => {
                return Err(
                    fields.wrong("groups", format!("expected 'ready', 'health' or 'detailed', got '{name}'"))
                );
            }
        }
    }
    Ok(groups)
}

/// true or a good word: healthy. false, null or a bad word: unhealthy. An array says more.
fn outcome(value: &Zval) -> Outcome {
    if let Some(message) = wp_error(value) {
        return Outcome::unhealthy(message);
    }
    match json::from_zval(value) {
        Ok(Value::Bool(true)) => Outcome::healthy(),
        Ok(Value::Bool(false)) => Outcome::unhealthy("the check returned false"),
        Ok(Value::Null) => Outcome::unhealthy("the check returned nothing"),
        Ok(Value::String(word)) => {
            named(&word).unwrap_or_else(|| Outcome::degraded(format!("the check returned '{word}'")))
        }
        Ok(Value::Object(map)) => {
            let word = map.get("status").and_then(Value::as_str).unwrap_or_default();
            let known = named(word)
                .unwrap_or_else(|| Outcome::degraded(format!("the check returned the status '{word}'")));
            let message = map.get("message").and_then(Value::as_str).map_or(known.message, str::to_owned);
            let said = Outcome { state: known.state, value: None, message };
            match map.get("value").and_then(Value::as_f64) {
                Some(value) => said.measured(value, Unit::Count),
                None => said,
            }
        }
        _ => Outcome::degraded("the check returned something that is no answer"),
    }
}

fn named(word: &str) -> Option<Outcome> {
    State::from_name(word).map(|state| Outcome { state, ..Outcome::default() })
}
