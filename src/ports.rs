//! What a domain may ask of its host.
//!
//! Owns: the traits through which domains reach WordPress, PHP and the operating system's
//! configuration. Refuses to do: any work. `binding::wordpress` implements them over the real
//! host; tests use the in-memory [`Detached`] host, which is also what the extension uses when
//! WordPress is absent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Settings that come from outside a class' `$config`.
pub trait Environment {
    /// The PHP constant `name` as text, or `None` when it is not defined. `true` and `false` read
    /// as `"1"` and `""`.
    fn constant(&self, name: &str) -> Option<String>;
    /// The php.ini directive `name` as text, or `None` when it is not registered or empty.
    fn ini(&self, name: &str) -> Option<String>;
}

/// Named documents that outlive the process: WordPress options.
pub trait Options {
    /// The option's value, or `None` when it was never set.
    fn get(&self, name: &str) -> Option<Value>;
    /// Stores the option; false when the host refused.
    fn set(&self, name: &str, value: &Value) -> bool;
}

/// A host with no constants, no directives, and options that live as long as it does.
#[derive(Debug, Default)]
pub struct Detached {
    options: Mutex<HashMap<String, Value>>,
}

impl Environment for Detached {
    fn constant(&self, _name: &str) -> Option<String> {
        None
    }

    fn ini(&self, _name: &str) -> Option<String> {
        None
    }
}

impl Options for Detached {
    fn get(&self, name: &str) -> Option<Value> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn set(&self, name: &str, value: &Value) -> bool {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.clone());
        true
    }
}
