//! A list as a document that the host can store (the WordPress options).
//!
//! An entry without a reason and without an end is its text alone, as the existing plugin writes it;
//! any other is an object.

use serde_json::{Value, json};

use super::{Entry, ListKind, Listed, Lists};
use crate::clock::Timestamp;
use crate::config::fields::Fields;
use crate::error::{Error, Result};

const KEYS: [&str; 5] = ["entry", "reason", "source", "added", "expires"];
const DEFAULT_SOURCE: &str = "admin";

impl Lists {
    /// The stored entries of a list, without the settings' and without bans.
    pub fn export(&self, kind: ListKind, now: Timestamp) -> Value {
        self.list(kind).shared.entries(now).iter().map(written).collect()
    }

    /// Makes a list hold what `document` says and nothing else; returns how many entries that are.
    /// Expired ones are left out.
    ///
    /// # Errors
    /// Invalid argument when an entry is malformed or may not stand there; the list is as it was.
    /// When the table is full, the list may hold a part of the document.
    pub fn import(&self, kind: ListKind, document: &Value, now: Timestamp) -> Result<usize> {
        let wanted = read_all(document, now)?;
        for listed in &wanted {
            self.check(kind, listed)?;
        }
        let mut gone: Vec<Entry> =
            self.list(kind).shared.entries(now).into_iter().map(|old| old.entry).collect();
        let kept: std::collections::HashSet<String> =
            wanted.iter().map(|new| new.entry.to_string()).collect();
        gone.retain(|entry| !kept.contains(&entry.to_string()));
        for entry in &gone {
            self.remove(kind, entry, now)?;
        }
        for listed in &wanted {
            self.add(kind, listed, now)?;
        }
        Ok(wanted.len())
    }
}

fn written(listed: &Listed) -> Value {
    let entry = listed.entry.to_string();
    if listed.reason.is_empty() && listed.expires.is_none() {
        return Value::String(entry);
    }
    json!({
        "entry": entry,
        "reason": listed.reason,
        "source": listed.source,
        "added": listed.added.secs(),
        "expires": listed.expires.map(Timestamp::secs),
    })
}

fn read_all(document: &Value, now: Timestamp) -> Result<Vec<Listed>> {
    let items: Vec<&Value> = match document {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        Value::Null => Vec::new(),
        _ => return Err(Error::invalid("list", "expected an array of entries")),
    };
    let live = |listed: &Listed| listed.expires.is_none_or(|expires| expires > now);
    let read = items.into_iter().map(|item| read_one(item, now));
    read.filter(|listed| listed.as_ref().map_or(true, live)).collect()
}

fn read_one(item: &Value, now: Timestamp) -> Result<Listed> {
    if let Value::String(text) = item {
        let (reason, source) = (String::new(), DEFAULT_SOURCE.to_owned());
        return Ok(Listed { entry: Entry::parse(text)?, reason, source, added: now, expires: None });
    }
    let fields = Fields::of("list entry", item, &KEYS)?;
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
    let entry = text("entry").ok_or_else(|| fields.wrong("entry", "missing"))?;
    Ok(Listed {
        entry: Entry::parse(&entry)?,
        reason: text("reason").unwrap_or_default(),
        source: text("source").unwrap_or_else(|| DEFAULT_SOURCE.to_owned()),
        added: fields.whole("added")?.map_or(now, Timestamp::from_secs),
        expires: fields.whole("expires")?.map(Timestamp::from_secs),
    })
}
