//! WordPress options as the [`Options`] port.

use serde_json::Value;

use super::hooks;
use crate::binding::convert::json;
use crate::ports::{Detached, Options};

/// Where a class keeps its options: in WordPress, or in the object itself.
pub enum HostOptions {
    /// `get_option` and `update_option`.
    WordPress,
    /// As long as the object lives.
    Object(Detached),
}

impl HostOptions {
    /// WordPress' options where WordPress is loaded.
    pub fn find() -> Self {
        if hooks::exists("update_option") { Self::WordPress } else { Self::Object(Detached::default()) }
    }

    /// Whether other requests will see what is stored.
    pub fn outlive_the_request(&self) -> bool {
        matches!(self, Self::WordPress)
    }

    /// Stores a large option, which WordPress is not to load on every request.
    pub fn set_large(&self, name: &str, value: &Value) -> bool {
        match self {
            Self::WordPress => update(name, value, false),
            Self::Object(options) => options.set(name, value),
        }
    }

    /// Removes an option.
    pub fn delete(&self, name: &str) {
        match self {
            Self::WordPress => {
                hooks::call("delete_option", vec![&name]);
            }
            Self::Object(options) => {
                options.set(name, &Value::Null);
            }
        }
    }
}

impl Options for HostOptions {
    fn get(&self, name: &str) -> Option<Value> {
        match self {
            Self::WordPress => {
                let stored = hooks::call("get_option", vec![&name])?;
                // `false` is how WordPress says "never set".
                if stored.bool() == Some(false) { None } else { json::from_zval(&stored).ok() }
            }
            Self::Object(options) => options.get(name).filter(|value| !value.is_null()),
        }
    }

    fn set(&self, name: &str, value: &Value) -> bool {
        match self {
            Self::WordPress => update(name, value, true),
            Self::Object(options) => options.set(name, value),
        }
    }
}

/// update_option answers false for an unchanged value too, which is no failure here.
fn update(name: &str, value: &Value, autoload: bool) -> bool {
    hooks::call("update_option", vec![&name, &json::to_zval(value), &autoload]).is_some()
}
