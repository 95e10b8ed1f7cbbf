//! Results as PHP sees them.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::types::ZendHashTable;
use serde_json::{Map, Value, json};

use super::HostedCache;
use super::arguments::{Name, array_key};
use crate::binding::convert::json::to_array;
use crate::binding::convert::zend::{Elements, Filling, flag};
use crate::cache::facade::{LayerStats, Snapshot};

/// Whether every value of the array is `true`.
pub fn all_true(answers: &ZendHashTable) -> bool {
    // SAFETY: elements of a table that the caller holds.
    Elements::of(answers).all(|(_, answer)| unsafe { &*answer }.is_true())
}

/// One `true` or `false` for each name.
pub(super) fn answers(names: &[Name<'_>], results: impl IntoIterator<Item = bool>) -> ZBox<ZendHashTable> {
    let mut table = Filling::map(names.len());
    for (name, result) in names.iter().zip(results) {
        table.insert(array_key(name), flag(result));
    }
    table.finish()
}

impl HostedCache {
    /// The array of `get_cache_stats()`.
    pub fn stats(&self) -> ZBox<ZendHashTable> {
        to_array(&describe(&self.get().stats()))
    }
}

fn describe(snapshot: &Snapshot) -> Value {
    let mut shm = layer(&snapshot.l1);
    shm.insert("items".to_owned(), snapshot.items.into());
    shm.insert("bytes".to_owned(), snapshot.bytes.into());
    shm.insert("capacity".to_owned(), snapshot.capacity.into());
    shm.insert("evictions".to_owned(), snapshot.evictions.into());
    shm.insert("expirations".to_owned(), snapshot.expirations.into());
    let mut layers = Map::from_iter([("shm".to_owned(), Value::Object(shm))]);
    if snapshot.breaker.is_some() {
        layers.insert(snapshot.backend.to_owned(), Value::Object(layer(&snapshot.l2)));
    }
    let counts = snapshot
        .counts
        .iter()
        .map(|(name, count)| (name.trim_start_matches("cache_").to_owned(), Value::from(*count)));
    json!({
        "backend": snapshot.backend,
        "layers": layers,
        "breaker": snapshot.breaker,
        "linked": snapshot.linked,
        "counters": counts.collect::<Map<_, _>>(),
    })
}

fn layer(stats: &LayerStats) -> Map<String, Value> {
    Map::from_iter([
        ("hits".to_owned(), stats.hits.into()),
        ("misses".to_owned(), stats.misses.into()),
        ("hit_ratio".to_owned(), stats.hit_ratio.into()),
    ])
}
