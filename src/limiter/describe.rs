//! Settings written back as they may be given: what an administrator sees, and may send again.

use serde_json::{Map, Value, json};

use super::abuse::AutoBan;
use super::policy::{Algorithm, Quota};
use super::rules::{OnStoreFailure, Rule};
use super::settings::Settings;

impl Settings {
    /// The rules in force and the automatic ban: `['limits' => …, 'auto_ban' => …]`.
    pub fn describe(&self) -> Value {
        let limits = self.rules.iter().map(|rule| (rule.name.clone(), rule_as_given(rule)));
        json!({"limits": limits.collect::<Map<_, _>>(), "auto_ban": auto_ban_as_given(&self.auto_ban)})
    }
}

fn rule_as_given(rule: &Rule) -> Value {
    let failure = OnStoreFailure::NAMES.iter().find(|(_, choice)| *choice == rule.on_store_failure);
    let mut given = json!({
        "cost": rule.cost,
        "dry_run": rule.dry_run,
        "on_store_failure": failure.map(|(name, _)| *name),
    });
    match rule.limits.as_slice() {
        [only] => merge(&mut given, quota_as_given(&only.quota)),
        several => {
            let list = several.iter().map(|limit| Value::Object(quota_as_given(&limit.quota)));
            merge(&mut given, Map::from_iter([("limits".to_owned(), list.collect())]));
        }
    }
    given
}

fn quota_as_given(quota: &Quota) -> Map<String, Value> {
    let mut given = Map::new();
    given.insert("limit".to_owned(), quota.limit().into());
    given.insert("window".to_owned(), quota.window().into());
    given.insert("algorithm".to_owned(), quota.algorithm().name().into());
    if quota.algorithm() == Algorithm::Gcra {
        given.insert("burst".to_owned(), quota.capacity().into());
    }
    given
}

fn auto_ban_as_given(auto_ban: &AutoBan) -> Value {
    json!({
        "enabled": auto_ban.enabled,
        "threshold": auto_ban.threshold,
        "window": auto_ban.window,
        "ban": auto_ban.ban,
        "max_ban": auto_ban.max_ban,
        "jitter": auto_ban.jitter,
    })
}

fn merge(into: &mut Value, more: Map<String, Value>) {
    if let Value::Object(map) = into {
        map.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ports::Detached;

    #[test]
    fn what_is_described_can_be_given_again() {
        let given = json!({
            "limits": {
                "api": {"limits": [{"limit": 10, "window": 1}, {"limit": 1000, "window": 3600}], "cost": 2},
                "login*": {"limit": 5, "window": 60, "algorithm": "gcra", "burst": 2, "dry_run": true},
            },
            "auto_ban": {"threshold": 7, "jitter": 0},
        });
        let host = Detached::default();
        let first = Settings::read(&given, &host, &host).unwrap();
        let second = Settings::read(&first.describe(), &host, &host).unwrap();
        assert_eq!(first.describe(), second.describe());
        assert_eq!(second.rules.named("api"), first.rules.named("api"));
        assert_eq!(second.auto_ban, first.auto_ban);
    }
}
