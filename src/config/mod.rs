//! Typed settings and the one precedence by which they are found.
//!
//! Owns: explicit argument > WordPress constant > php.ini > default, and the refusal of unknown
//! keys (a misspelt limit must not silently become the default). Refuses to do: any meaning; each
//! domain declares its own struct with serde and says which constants and directives fill it.
//!
//! Values arrive from PHP, where `"60"` and `60` are the same setting, so the structs read numbers
//! and booleans through [`lax`].

pub mod fields;
pub mod lax;
pub mod recorded;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result};
use crate::ports::Environment;

/// What serde found wrong, and at which key.
type WrongValue = serde_path_to_error::Error<serde_json::Error>;

/// Where a key's value is looked for when `$config` does not name it.
#[derive(Clone, Copy, Debug)]
pub struct Fallback {
    /// The key in `$config`.
    pub key: &'static str,
    /// The WordPress constant that stands in for it.
    pub constant: Option<&'static str>,
    /// The php.ini directive that stands in for both.
    pub ini: Option<&'static str>,
}

/// The part of `config` that `keys` name, where one array holds several sections.
pub fn only(config: &Value, keys: &[&str]) -> Value {
    let Value::Object(map) = config else { return config.clone() };
    let own = map.iter().filter(|(key, _)| keys.contains(&key.as_str()));
    own.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// What a section of settings may contain and where the rest of it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// How error messages call the section: `$config`, `$config['redis']`, …
    pub name: &'static str,
    /// Every key that may appear.
    pub keys: &'static [&'static str],
    /// Constants and directives behind the keys.
    pub fallbacks: &'static [Fallback],
}

impl Section {
    /// Reads the section from `explicit` (an object, or null for "nothing given").
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for an unknown key (naming the nearest known one) or a value of
    /// the wrong type or range; [`Kind::Config`] when the wrong value came from a constant or php.ini.
    pub fn read<T: DeserializeOwned>(&self, explicit: Value, env: &dyn Environment) -> Result<T> {
        let mut given = as_object(self.name, explicit)?;
        self.refuse_unknown(&given)?;
        let mut origins = Vec::new();
        for fallback in self.fallbacks {
            if given.contains_key(fallback.key) {
                continue;
            }
            if let Some((origin, text)) = fallback.find(env) {
                given.insert(fallback.key.to_owned(), Value::String(text));
                origins.push((fallback.key, origin));
            }
        }
        serde_path_to_error::deserialize(Value::Object(given)).map_err(|error| self.blame(&error, &origins))
    }

    /// Whether any of `keys` has a value, wherever it comes from.
    pub fn names_any(&self, keys: &[&str], explicit: &Value, env: &dyn Environment) -> bool {
        let is_fallback = |fallback: &&Fallback| keys.contains(&fallback.key);
        keys.iter().any(|key| explicit.get(key).is_some_and(|value| !value.is_null()))
            || self.fallbacks.iter().filter(is_fallback).any(|fallback| fallback.find(env).is_some())
    }

    fn refuse_unknown(&self, given: &Map<String, Value>) -> Result<()> {
        match given.keys().find(|key| !self.keys.contains(&key.as_str())) {
            Some(key) => Err(unknown_key(self.name, key, self.keys)),
            None => Ok(()),
        }
    }

    /// An explicit wrong value is the caller's mistake, one from a constant or php.ini the operator's.
    fn blame(&self, error: &WrongValue, origins: &[(&str, String)]) -> Error {
        let (key, expected) = (error.path().to_string(), error.inner());
        match origins.iter().find(|(fallback, _)| *fallback == key) {
            Some((_, origin)) => Error::new(Kind::Config, format!("{origin}: {expected}")),
            None => Error::invalid(&key, expected).context(self.name),
        }
    }
}

impl Fallback {
    fn find(&self, env: &dyn Environment) -> Option<(String, String)> {
        let constant = self.constant.and_then(|name| Some((format!("constant {name}"), env.constant(name)?)));
        constant.or_else(|| self.ini.and_then(|name| Some((format!("php.ini {name}"), env.ini(name)?))))
    }
}

/// The error for a key that `section` does not have. A known key is offered when at most a third of
/// the letters would have to change: further off it is another word, and naming it misleads.
pub fn unknown_key(section: &str, key: &str, known: &[&str]) -> Error {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(candidate, key), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.len().max(key.len()))
        .min()
        .map_or(String::new(), |(_, candidate)| format!(", did you mean '{candidate}'?"));
    Error::invalid(section, format!("unknown key '{key}'{nearest} (known: {})", known.join(", ")))
}

/// PHP's empty array cannot tell a list from a map, so `[]` and null read as an empty object.
fn as_object(name: &str, value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        Value::Array(list) if list.is_empty() => Ok(Map::new()),
        other => Err(Error::invalid(
            name,
            format!("expected an array with string keys, got {}", lax::describe(&other)),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Sample {
        #[serde(default, deserialize_with = "lax::u64")]
        port: u64,
    }

    struct Env;
    impl Environment for Env {
        fn constant(&self, name: &str) -> Option<String> {
            (name == "SAMPLE_PORT").then(|| "7000".to_owned())
        }
        fn ini(&self, name: &str) -> Option<String> {
            (name == "slbp.port").then(|| "8000".to_owned())
        }
    }

    const BOTH: Section = Section {
        name: "$config",
        keys: &["port"],
        fallbacks: &[Fallback { key: "port", constant: Some("SAMPLE_PORT"), ini: Some("slbp.port") }],
    };
    const INI_ONLY: Section = Section {
        fallbacks: &[Fallback { key: "port", constant: Some("NOT_DEFINED"), ini: Some("slbp.port") }],
        ..BOTH
    };

    #[test]
    fn explicit_beats_constant_beats_ini() {
        assert_eq!(BOTH.read::<Sample>(json!({"port": "9"}), &Env).unwrap().port, 9);
        assert_eq!(BOTH.read::<Sample>(json!([]), &Env).unwrap().port, 7000);
        assert_eq!(INI_ONLY.read::<Sample>(Value::Null, &Env).unwrap().port, 8000);
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = BOTH.read::<Sample>(json!({"prot": 1}), &Env).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        assert_eq!(error.to_string(), "$config: unknown key 'prot', did you mean 'port'? (known: port)");
    }

    #[test]
    fn an_unknown_key_that_resembles_none_gets_no_guess() {
        let error = BOTH.read::<Sample>(json!({"database": 1}), &Env).unwrap_err();
        assert_eq!(error.to_string(), "$config: unknown key 'database' (known: port)");
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        let error = BOTH.read::<Sample>(json!({"port": "many"}), &Env).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        assert_eq!(error.to_string(), "$config: port: expected a whole number >= 0, got 'many'");
    }

    #[test]
    fn a_wrong_value_from_elsewhere_names_the_place() {
        struct Typo;
        impl Environment for Typo {
            fn constant(&self, _: &str) -> Option<String> {
                None
            }
            fn ini(&self, _: &str) -> Option<String> {
                Some("many".to_owned())
            }
        }
        let error = BOTH.read::<Sample>(Value::Null, &Typo).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(error.to_string(), "php.ini slbp.port: expected a whole number >= 0, got 'many'");
    }
}
