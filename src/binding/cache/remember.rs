//! Computing a value while others wait for it.

use std::rc::Rc;
use std::time::Duration;

use ext_php_rs::types::{ZendCallable, ZendHashTable, Zval};
use ext_php_rs::zend::BailoutGuard;

use super::HostedCache;
use super::arguments::Items;
use super::open::Opened;
use super::scratch;
use super::values::{Outcome, build};
use crate::binding::convert::json;
use crate::cache::facade::{Computation, Expiry, Lookup, RememberOptions};
use crate::cache::keys::Key;
use crate::config::fields::Fields;
use crate::error::{Error, Result};

const OPTIONS: &[&str] = &["grace", "wait", "beta", "lease", "tags"];

/// The duty to compute a value. It is given back even when the callback never returns.
struct Duty {
    computation: Computation<'static>,
    /// What the computation borrows from; dropped after it.
    _opened: Rc<Opened>,
}

impl HostedCache {
    /// The value of `key`, computed by `callback` if need be. When that throws, the exception is
    /// pending and the lease is free.
    ///
    /// # Errors
    /// A wrong option, or a computed value that cannot be stored.
    pub fn remember(
        &self,
        key: Key<'_>,
        callback: &ZendCallable<'_>,
        expiry: Expiry,
        options: &ZendHashTable,
    ) -> Result<Zval> {
        if let Some(duty) = self.look_up(key, expiry, options)? {
            return match duty {
                Ok(value) => Ok(value),
                Err(duty) => self.compute(callback, BailoutGuard::new(duty)),
            };
        }
        // What is stored cannot be built any more: it is computed anew, by whoever notices.
        let Ok(value) = callback.try_call(Vec::new()) else { return Ok(Zval::null()) };
        self.store(key, &value, super::When::Always, expiry, Items::empty().table())?;
        Ok(value)
    }

    /// The value, or the duty to compute it; `None` when there is a value that cannot be built.
    fn look_up(
        &self,
        key: Key<'_>,
        expiry: Expiry,
        options: &ZendHashTable,
    ) -> Result<Option<std::result::Result<Zval, Duty>>> {
        scratch::with(|scratch| {
            let found = {
                let fields = Fields::of("$options", &json::from_table(options)?, OPTIONS)?;
                let tags = tags_of(&fields)?;
                let tags: Vec<&[u8]> = tags.iter().map(|tag| tag.as_bytes()).collect();
                let options = read_options(&fields, expiry, &tags)?;
                match self.get().remember(key, &options, &mut scratch.body)? {
                    Lookup::Found(found) => found,
                    Lookup::Compute(computation) => {
                        // SAFETY: it borrows from the cache in `opened`, which the duty keeps alive and
                        // drops after it.
                        let computation = unsafe {
                            std::mem::transmute::<Computation<'_>, Computation<'static>>(computation)
                        };
                        return Ok(Some(Err(Duty { computation, _opened: Rc::clone(&self.opened) })));
                    }
                }
            };
            Ok(scratch.body.get(..found.len).and_then(|body| build(body, &found.facts)).map(Ok))
        })
    }

    fn compute(&self, callback: &ZendCallable<'_>, duty: BailoutGuard<Duty>) -> Result<Zval> {
        let Ok(value) = callback.try_call(Vec::new()) else { return Ok(Zval::null()) };
        scratch::with(|scratch| {
            if let Outcome::Encoded(encoded) = self.encode(&value, scratch)? {
                duty.into_inner().computation.finish(&encoded);
                scratch.spare = encoded.bytes;
            }
            Ok(value)
        })
    }
}

fn read_options<'t>(fields: &Fields, expiry: Expiry, tags: &'t [&'t [u8]]) -> Result<RememberOptions<'t>> {
    let default = RememberOptions::default();
    let seconds = |key: &str, default: Duration| match fields.number(key)? {
        None => Ok(default),
        Some(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|_| fields.wrong(key, format!("expected seconds >= 0, got {seconds}"))),
    };
    let beta = fields.number("beta")?.unwrap_or(default.beta);
    if beta < 0.0 {
        return Err(fields.wrong("beta", format!("expected a number >= 0, got {beta}")));
    }
    Ok(RememberOptions {
        expiry,
        grace: seconds("grace", default.grace)?,
        wait: seconds("wait", default.wait)?,
        beta,
        lease: seconds("lease", default.lease)?,
        tags,
    })
}

fn tags_of(fields: &Fields) -> Result<Vec<String>> {
    let Some(tags) = fields.get("tags") else { return Ok(Vec::new()) };
    let texts =
        tags.as_array().and_then(|tags| tags.iter().map(|tag| tag.as_str().map(str::to_owned)).collect());
    texts.ok_or_else(|| -> Error { fields.wrong("tags", "expected a list of strings") })
}
