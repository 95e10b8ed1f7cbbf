//! Reading an array of settings field by field, for shapes that a plain struct cannot hold.
//!
//! Owns: that every error names the array and the field. Refuses to do: know what a field means.

use serde_json::{Map, Value};

use super::{lax, unknown_key};
use crate::error::{Error, Result};

/// One array of settings, and what error messages call it: `rule 'auth'`.
#[derive(Clone, Debug)]
pub struct Fields {
    owner: String,
    map: Map<String, Value>,
}

impl Fields {
    /// Takes `value` apart; null and an empty list read as an empty array.
    ///
    /// # Errors
    /// Invalid argument when it is no array with string keys, or has a key that is not in `known`.
    pub fn of(owner: impl Into<String>, value: &Value, known: &[&str]) -> Result<Self> {
        let owner = owner.into();
        let map = super::as_object(&owner, value.clone())?;
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(unknown_key(&owner, key, known)),
            None => Ok(Self { owner, map }),
        }
    }

    /// The field as it was given, or `None` when it is absent or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The field as a whole number.
    ///
    /// # Errors
    /// Invalid argument when it is something else; so in all readers below.
    pub fn whole(&self, key: &str) -> Result<Option<u64>> {
        self.get(key).map(|value| lax::u64(value).map_err(|error| self.wrong(key, error))).transpose()
    }

    /// The field as a number.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.get(key).map(|value| lax::f64(value).map_err(|error| self.wrong(key, error))).transpose()
    }

    /// The field as a boolean.
    pub fn truth(&self, key: &str) -> Result<Option<bool>> {
        self.get(key).map(|value| lax::bool(value).map_err(|error| self.wrong(key, error))).transpose()
    }

    /// The field as one of `choices`.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let found = value.as_str().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        match found {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let names: Vec<_> = choices.iter().map(|(name, _)| format!("'{name}'")).collect();
                let expected = format!("expected {}, got {}", names.join(" or "), lax::describe(value));
                Err(self.wrong(key, expected))
            }
        }
    }

    /// The error that `key` was wrong: "rule 'auth': window: …".
    pub fn wrong(&self, key: &str, expected: impl std::fmt::Display) -> Error {
        Error::invalid(key, expected).context(self.owner.clone())
    }

    /// Puts the array's name before an error that names a field already.
    pub fn blame(&self, error: Error) -> Error {
        error.context(self.owner.clone())
    }
}
