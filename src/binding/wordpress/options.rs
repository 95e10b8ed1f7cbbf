//! WordPress options as the [`Options`] port.

use serde_json::Value;

use super::hooks;
use crate::binding::convert::json;
use crate::ports::Options;

/// `get_option` and `update_option`. Without WordPress nothing is found and nothing is stored.
pub struct WordPressOptions;

impl WordPressOptions {
    /// Whether options can be stored at all.
    pub fn available() -> bool {
        hooks::exists("update_option")
    }
}

impl Options for WordPressOptions {
    fn get(&self, name: &str) -> Option<Value> {
        let stored = hooks::call("get_option", vec![&name])?;
        // `false` is how WordPress says "never set".
        (stored.bool() != Some(false)).then(|| json::from_zval(&stored).ok())?
    }

    fn set(&self, name: &str, value: &Value) -> bool {
        let value = json::to_zval(value);
        // update_option answers false for an unchanged value too, which is no failure here.
        hooks::call("update_option", vec![&name, &value.shallow_clone()]).is_some()
    }
}
