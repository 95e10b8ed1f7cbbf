//! What settings were read from, so that another process can read the same.
//!
//! A process that is started for long work sees neither the constants of wp-config.php nor
//! php-fpm's php.ini. It is handed what was found there, and only what was asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ports::Environment;

/// Answers of an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    constants: BTreeMap<String, String>,
    directives: BTreeMap<String, String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

impl Environment for Recorded {
    fn constant(&self, name: &str) -> Option<String> {
        self.constants.get(name).cloned()
    }

    fn ini(&self, name: &str) -> Option<String> {
        self.directives.get(name).cloned()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

/// An environment that remembers what it answered.
pub struct Recorder<'a> {
    inner: &'a dyn Environment,
    heard: RefCell<Recorded>,
}

impl<'a> Recorder<'a> {
    /// Listens to `inner`.
    pub fn new(inner: &'a dyn Environment) -> Self {
        Self { inner, heard: RefCell::default() }
    }

    /// What was answered.
    pub fn into_recorded(self) -> Recorded {
        self.heard.into_inner()
    }
}

impl Environment for Recorder<'_> {
    fn constant(&self, name: &str) -> Option<String> {
        let value = self.inner.constant(name)?;
        self.heard.borrow_mut().constants.insert(name.to_owned(), value.clone());
        Some(value)
    }

    fn ini(&self, name: &str) -> Option<String> {
        let value = self.inner.ini(name)?;
        self.heard.borrow_mut().directives.insert(name.to_owned(), value.clone());
        Some(value)
    }

    fn variable(&self, name: &str) -> Option<String> {
        let value = self.inner.variable(name)?;
        self.heard.borrow_mut().variables.insert(name.to_owned(), value.clone());
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Env;
    impl Environment for Env {
        fn constant(&self, name: &str) -> Option<String> {
            (name != "ABSENT").then(|| format!("constant {name}"))
        }
        fn ini(&self, name: &str) -> Option<String> {
            Some(format!("ini {name}"))
        }
    }

    #[test]
    fn what_was_asked_for_is_told_again_and_nothing_else() {
        let recorder = Recorder::new(&Env);
        assert_eq!(recorder.constant("ABSENT"), None);
        recorder.constant("DB_HOST");
        recorder.ini("slbp.backup_dir");
        let told = serde_json::to_string(&recorder.into_recorded()).unwrap();
        let again: Recorded = serde_json::from_str(&told).unwrap();
        assert_eq!(again.constant("DB_HOST").as_deref(), Some("constant DB_HOST"));
        assert_eq!(again.ini("slbp.backup_dir").as_deref(), Some("ini slbp.backup_dir"));
        assert_eq!((again.constant("AUTH_SALT"), again.ini("slbp.redis_host")), (None, None));
    }
}
