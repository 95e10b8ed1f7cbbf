//! opcache as its own status function tells of it.

use serde_json::Value;

use crate::metrics::model::{Family, Kind};

/// `opcache_get_status(false)`; nothing where opcache is off.
pub fn opcache(status: &Value) -> Vec<Family> {
    let number = |group: &str, key: &str| status.get(group)?.get(key)?.as_f64();
    let memory = |key: &str| number("memory_usage", key);
    let statistics = |key: &str| number("opcache_statistics", key);
    let families = || {
        let (used, free, wasted) = (memory("used_memory")?, memory("free_memory")?, memory("wasted_memory")?);
        let (hits, misses) = (statistics("hits")?, statistics("misses")?);
        let mut families = vec![
            Family::new("slbp_opcache_memory_bytes", Kind::Gauge, "opcache's memory by use.")
                .with(&[("state", "used")], used)
                .with(&[("state", "free")], free)
                .with(&[("state", "wasted")], wasted),
            Family::counter("slbp_opcache_hits_total", "Scripts that opcache had.", hits),
            Family::counter("slbp_opcache_misses_total", "Scripts that opcache did not have.", misses),
            Family::gauge("slbp_opcache_scripts", "Scripts in opcache.", statistics("num_cached_scripts")?),
        ];
        if hits + misses > 0.0 {
            let help = "Scripts that opcache had per hundred asked for.";
            families.push(Family::gauge(
                "slbp_performance_opcache_hit_ratio",
                help,
                100.0 * hits / (hits + misses),
            ));
        }
        families.extend(restarts(&statistics));
        Some(families)
    };
    families().unwrap_or_default()
}

fn restarts(statistics: &dyn Fn(&str) -> Option<f64>) -> Option<Family> {
    let help = "Times that opcache threw everything away, by cause.";
    let family = Family::new("slbp_opcache_restarts_total", Kind::Counter, help);
    let causes = [("memory", "oom_restarts"), ("keys", "hash_restarts"), ("manual", "manual_restarts")];
    causes
        .into_iter()
        .try_fold(family, |family, (cause, key)| Some(family.with(&[("cause", cause)], statistics(key)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_php_does_not_tell_is_absent() {
        assert!(opcache(&json!(false)).is_empty());
        assert!(opcache(&json!({"opcache_enabled": true})).is_empty());
    }
}
