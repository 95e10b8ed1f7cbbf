//! Round trips through the layers of the object cache.

use std::time::{Duration, Instant};

use ext_php_rs::types::{ZendHashTable, Zval};
use serde_json::json;

use crate::binding::cache::{HostedCache, When};
use crate::binding::convert::params::Settings as Config;
use crate::cache::facade::Expiry;
use crate::cache::keys::Key;
use crate::cache::settings::Backend;
use crate::error::Result;
use crate::health::check::Check;
use crate::health::checks::cache::{Layer, layer};
use crate::remote::redis::{RedisLink, Replay};

/// A value of a check that died is gone after so many seconds.
const LIFETIME: i64 = 10;

/// One check for each layer that the site's cache has.
pub fn layers<'a>() -> Vec<Box<dyn Check + 'a>> {
    let mut all = vec![layer(Layer::SharedMemory, || timed(memory_round_trip))];
    let backend = HostedCache::new(Config::empty(), &[]).map(|cache| cache.get().settings().backend.clone());
    match backend {
        Ok(Backend::Redis(settings)) => all.push(layer(Layer::Remote, move || {
            let mut link = RedisLink::new(settings.clone());
            timed(|| link.run(&redis::cmd("PING"), Replay::Safe).map(drop).map_err(|fault| fault.to_string()))
        })),
        Ok(Backend::Memcached(_)) => all.push(layer(Layer::Remote, || timed(memcached_round_trip))),
        Ok(Backend::Shm) => {}
        Err(error) => {
            let reason = error.to_string();
            all.push(layer(Layer::Remote, move || Err(reason.clone())));
        }
    }
    all
}

fn memory_round_trip() -> Result<(), String> {
    let mut config = Config::empty();
    config.tree = json!({"backend": "shm"});
    let cache = HostedCache::new(config, &[]).map_err(|error| error.to_string())?;
    round_trip(&cache)
}

/// Values go through memory to the server; whether it took them the breaker knows.
fn memcached_round_trip() -> Result<(), String> {
    let cache = HostedCache::new(Config::empty(), &[]).map_err(|error| error.to_string())?;
    round_trip(&cache)?;
    match cache.get().stats().breaker {
        None | Some("closed") => Ok(()),
        Some(_) => Err("the server does not answer".to_owned()),
    }
}

fn round_trip(cache: &HostedCache) -> Result<(), String> {
    let name = format!("{}-{:x}", std::process::id(), std::ptr::from_ref(cache).addr());
    let key = Key::new(b"slbp-health", name.as_bytes());
    let mut value = Zval::new();
    value.set_long(i64::from(std::process::id()));
    let stored =
        cache.store(key, &value, When::Always, Expiry::from_seconds(Some(LIFETIME)), &ZendHashTable::new());
    if !stored.map_err(|error| error.to_string())? {
        return Err("a value was not stored".to_owned());
    }
    let read = cache.read(key).and_then(|read| read.long());
    cache.remove(key);
    if read == value.long() { Ok(()) } else { Err("what was read is not what was written".to_owned()) }
}

fn timed(work: impl FnOnce() -> Result<(), String>) -> Result<Duration, String> {
    let began = Instant::now();
    work().map(|()| began.elapsed())
}
