//! Links to finished exports, and the way back from a link to its file.
//!
//! The key is the site's secret; where there is none (salts that nobody has set) there are no links.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use ext_php_rs::types::Zval;
use serde_json::{Value, json};

use crate::binding::wordpress::{hooks, site};
use crate::error::{Error, Result};
use crate::queue::builtin::export::{Link, LinkKey};

/// The longest life of a link: a month.
const MOST_SECONDS: i64 = 2_592_000;

/// Where exports are, or `None` outside WordPress.
pub fn folder() -> Option<PathBuf> {
    let folders = hooks::call("wp_upload_dir", vec![&Zval::null(), &false])?;
    let base = folders.array()?.get("basedir")?.string()?;
    Some(PathBuf::from(base).join("slbp-exports"))
}

/// A link to the export `name` for `lifetime` seconds; `None` when there is no such file, or no key.
///
/// # Errors
/// Invalid argument for a lifetime of nothing, or of more than a month.
pub fn sign(name: &str, lifetime: i64) -> Result<Option<Value>> {
    let seconds = u64::try_from(lifetime).ok().filter(|_| (1..=MOST_SECONDS).contains(&lifetime));
    let expected =
        || Error::invalid("$lifetime", format!("expected 1 to {MOST_SECONDS} seconds, got {lifetime}"));
    let expires = now().saturating_add(seconds.ok_or_else(expected)?);
    let Some(key) = key() else { return Ok(None) };
    let link = Link::sign(name, expires, &key);
    let exists = link.is_valid(now(), &key) && file(name).is_some();
    Ok(exists.then(|| json!({"name": link.name, "expires": link.expires, "signature": link.signature})))
}

/// The file behind a link that is ours and still good.
pub fn open(link: &Link) -> Option<PathBuf> {
    if link.is_valid(now(), &key()?) { file(&link.name) } else { None }
}

fn file(name: &str) -> Option<PathBuf> {
    let path = folder()?.join(name);
    path.is_file().then_some(path)
}

fn key() -> Option<LinkKey> {
    LinkKey::new(&site::secret()?).ok()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
