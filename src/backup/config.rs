//! The configuration component: the site's options that hold settings, and what a person needs to
//! know to rebuild the host.
//!
//! It is always complete, because it is small. An option that holds a secret is named, not written,
//! unless the backup is encrypted: a backup travels further than the site does.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ports::Options;

/// The document's name in a backup.
pub const DOCUMENT: &str = "config/config.json";

/// What the host hands over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Names of the options to keep.
    pub options: Vec<String>,
    /// Names of options and keys inside them that hold secrets.
    pub secrets: Vec<String>,
    /// Versions, constants and the like, for people.
    pub facts: Map<String, Value>,
}

/// `config/config.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Options and their values.
    pub options: Map<String, Value>,
    /// What was left out because it is secret, as `option` or `option.key`.
    pub withheld: Vec<String>,
    /// Versions, constants and the like.
    pub facts: Map<String, Value>,
}

impl Document {
    /// Reads the settings' options. One that was never set is not in the document.
    pub fn gather(settings: &Settings, options: &dyn Options) -> Self {
        let mut document = Self { facts: settings.facts.clone(), ..Self::default() };
        for name in &settings.options {
            if let Some(mut value) = options.get(name) {
                if settings.secrets.contains(name) {
                    document.withheld.push(name.clone());
                    continue;
                }
                withhold(&mut value, name, &settings.secrets, &mut document.withheld);
                document.options.insert(name.clone(), value);
            }
        }
        document
    }

    /// Sets the options of the document and returns the names of those the host refused. A secret
    /// that was withheld keeps the value the site has now; an option that is not in the document
    /// is left alone.
    pub fn apply(&self, options: &dyn Options) -> Vec<String> {
        let mut refused = Vec::new();
        for (name, value) in &self.options {
            let mut value = value.clone();
            if let Some(current) = options.get(name) {
                keep_withheld(&mut value, &current, name, &self.withheld);
            }
            if !options.set(name, &value) {
                refused.push(name.clone());
            }
        }
        refused
    }
}

fn withhold(value: &mut Value, path: &str, secrets: &[String], withheld: &mut Vec<String>) {
    if let Value::Array(items) = value {
        for (at, inner) in items.iter_mut().enumerate() {
            withhold(inner, &format!("{path}.{at}"), secrets, withheld);
        }
    }
    let Value::Object(map) = value else { return };
    map.retain(|key, _| {
        let secret = secrets.contains(key);
        if secret {
            withheld.push(format!("{path}.{key}"));
        }
        !secret
    });
    for (key, inner) in map {
        withhold(inner, &format!("{path}.{key}"), secrets, withheld);
    }
}

fn keep_withheld(value: &mut Value, current: &Value, path: &str, withheld: &[String]) {
    if let (Value::Array(items), Value::Array(now)) = (&mut *value, current) {
        for (at, (inner, kept)) in items.iter_mut().zip(now).enumerate() {
            keep_withheld(inner, kept, &format!("{path}.{at}"), withheld);
        }
    }
    let (Value::Object(map), Value::Object(now)) = (value, current) else { return };
    for (key, kept) in now {
        let below = format!("{path}.{key}");
        if withheld.contains(&below) {
            map.insert(key.clone(), kept.clone());
        } else if let Some(inner) = map.get_mut(key) {
            keep_withheld(inner, kept, &below, withheld);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ports::Detached;

    #[test]
    fn secrets_stay_on_the_site_and_survive_a_restore() {
        let site = Detached::default();
        site.set("slbp_gateway", &json!({"mode": "live", "api_key": "sk_1", "deep": {"token": "t", "n": 1}}));
        site.set("slbp_signing", &json!("secret"));
        let settings = Settings {
            options: vec!["slbp_gateway".to_owned(), "slbp_signing".to_owned(), "slbp_absent".to_owned()],
            secrets: vec!["api_key".to_owned(), "token".to_owned(), "slbp_signing".to_owned()],
            facts: Map::new(),
        };
        let document = Document::gather(&settings, &site);
        assert!(!serde_json::to_string(&document).unwrap().contains("sk_1"));
        assert_eq!(document.withheld, ["slbp_gateway.api_key", "slbp_gateway.deep.token", "slbp_signing"]);

        site.set("slbp_gateway", &json!({"mode": "test", "api_key": "sk_2", "deep": {"token": "u", "n": 2}}));
        assert!(document.apply(&site).is_empty());
        assert_eq!(
            site.get("slbp_gateway").unwrap(),
            json!({"mode": "live", "deep": {"n": 1, "token": "u"}, "api_key": "sk_2"})
        );
        assert_eq!(site.get("slbp_absent"), None);
    }

    #[test]
    fn a_secret_in_a_list_is_one_too() {
        let site = Detached::default();
        let place = |secret: &str| json!({"remote": [{"type": "s3", "token": secret}]});
        site.set("slbp_backup_config", &place("sk_1"));
        let settings = Settings {
            options: vec!["slbp_backup_config".to_owned()],
            secrets: vec!["token".to_owned()],
            facts: Map::new(),
        };
        let document = Document::gather(&settings, &site);
        assert_eq!(document.withheld, ["slbp_backup_config.remote.0.token"]);
        assert!(!serde_json::to_string(&document).unwrap().contains("sk_1"));
        site.set("slbp_backup_config", &place("sk_2"));
        document.apply(&site);
        assert_eq!(site.get("slbp_backup_config").unwrap(), place("sk_2"));
    }
}
