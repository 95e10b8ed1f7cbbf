//! Moving a site while it is restored: other addresses, another table prefix.
//!
//! Owns: what is replaced where. Rows are rewritten on their way into the tables beside the site, so
//! nothing is read twice and a malformed value can do no harm: it is left as it was and counted. Refuses
//! to do: unserialize, and touch files.

mod rows;
mod serialized;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::Document;
use super::database::TableFilter;
use super::fault::fault;
use super::format::{DatabasePart, Object, TablePart};
use crate::error::Result;

pub(crate) use rows::{Rows, Tally};
pub use serialized::{Rewritten, rewrite};
pub use text::Pairs;

/// What shall be different.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Old texts and new ones.
    pub search_replace: Vec<(String, String)>,
    /// The site's new address: what the backup says it was is replaced by it.
    pub new_url: Option<String>,
    /// What the names of its tables shall begin with.
    pub table_prefix: Option<String>,
}

/// The rewriting of one restore.
#[derive(Debug)]
pub(crate) struct Rewrite {
    pairs: Option<Pairs>,
    prefix: Option<(String, String)>,
    names: BTreeMap<String, String>,
    rows: AtomicU64,
    malformed: AtomicU64,
}

impl Rewrite {
    /// What `wanted` comes to for the backup of `part`, whose settings are `document`. `None` when
    /// nothing shall be different.
    ///
    /// # Errors
    /// The backup does not say what is to be replaced.
    pub fn new(wanted: &Wanted, part: &DatabasePart, document: Option<&Document>) -> Result<Option<Self>> {
        let mut pairs = wanted.search_replace.clone();
        if let Some(new) = &wanted.new_url {
            pairs.extend(addresses(new, document)?);
        }
        let prefix = match (&wanted.table_prefix, &part.filter) {
            (None, _) => None,
            (Some(to), TableFilter::Prefix(from)) => Some((from.clone(), to.clone())),
            (Some(_), _) => return Err(fault("table_prefix: the backup is not of the tables of one prefix")),
        };
        if pairs.is_empty() && prefix.is_none() {
            return Ok(None);
        }
        let pairs = (!pairs.is_empty()).then(|| Pairs::new(&pairs));
        let mut new = Self {
            pairs,
            prefix,
            names: BTreeMap::new(),
            rows: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
        };
        let tables = part.tables.iter().map(|table| &table.name);
        let names: Vec<&String> = tables.chain(part.objects.iter().map(|object| &object.name)).collect();
        new.names = names.into_iter().map(|name| (name.clone(), new.name(name))).collect();
        Ok(Some(new))
    }

    /// The name that the table or object `name` gets.
    pub fn name(&self, name: &str) -> String {
        let moved = self
            .prefix
            .as_ref()
            .and_then(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from.as_str())?)));
        moved.unwrap_or_else(|| name.to_owned())
    }

    /// Whether names change.
    pub fn renames(&self) -> bool {
        self.prefix.is_some()
    }

    /// The tables that are the site's afterwards.
    pub fn filter(&self, filter: &TableFilter) -> TableFilter {
        self.prefix.as_ref().map_or_else(|| filter.clone(), |(_, to)| TableFilter::Prefix(to.clone()))
    }

    /// `text`, SQL as the server prints it, with every name in it that changes.
    pub fn definition(&self, text: &str) -> String {
        let is_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
        let mut new = String::with_capacity(text.len() + 64);
        let mut rest = text;
        while let Some(start) = rest.find(is_name) {
            let (before, from) = rest.split_at(start);
            let (word, after) = from.split_at(from.find(|letter| !is_name(letter)).unwrap_or(from.len()));
            new.push_str(before);
            new.push_str(self.names.get(word).map_or(word, String::as_str));
            rest = after;
        }
        new.push_str(rest);
        new
    }

    /// The clause of a foreign key. Its name is unique in the database, where the old one may still be.
    pub fn foreign_key(&self, clause: &str) -> String {
        let new = self.definition(clause);
        let named = self.prefix.as_ref().and_then(|(from, to)| {
            let (name, rest) = new.strip_prefix("CONSTRAINT `")?.split_once("` FOREIGN KEY")?;
            let bare =
                name.strip_prefix(from.as_str()).or_else(|| name.strip_prefix(to.as_str())).unwrap_or(name);
            let name: String = format!("{to}{bare}").chars().take(64).collect();
            Some(format!("CONSTRAINT `{name}` FOREIGN KEY{rest}"))
        });
        named.unwrap_or(new)
    }

    /// `object` as it is defined afterwards.
    pub fn object(&self, object: &Object) -> Object {
        let about = object.about.iter().map(|name| self.names.get(name).unwrap_or(name).clone());
        Object {
            name: self.name(&object.name),
            create: self.definition(&object.create),
            about: about.collect(),
            ..object.clone()
        }
    }

    /// The rewriting of the rows of `table`.
    pub fn rows(&self, table: &TablePart) -> Rows<'_> {
        let prefix = self.prefix.as_ref().map(|(from, to)| (from.as_str(), to.as_str()));
        let own = match &prefix {
            Some((from, _)) => table.name.strip_prefix(from).unwrap_or(&table.name),
            // The prefix is whatever stands before the names that are looked for.
            None => ["posts", "options", "usermeta"]
                .into_iter()
                .find(|name| table.name.ends_with(&format!("_{name}")))
                .unwrap_or(&table.name),
        };
        Rows::new(own, &table.columns, self.pairs.as_ref(), prefix)
    }

    /// Counts what was done.
    pub fn count(&self, tally: Tally) {
        self.rows.fetch_add(tally.rows, Ordering::Relaxed);
        self.malformed.fetch_add(tally.malformed, Ordering::Relaxed);
    }

    /// What was done until now.
    pub fn tally(&self) -> Tally {
        Tally { rows: self.rows.load(Ordering::Relaxed), malformed: self.malformed.load(Ordering::Relaxed) }
    }
}

/// What the site's addresses are replaced by: with the scheme, with the other one, and without.
fn addresses(new: &str, document: Option<&Document>) -> Result<Vec<(String, String)>> {
    let new = new.trim_end_matches('/');
    let facts = document.map(|document| &document.facts);
    let known = ["home", "siteurl"].into_iter().filter_map(|key| facts?.get(key).and_then(Value::as_str));
    let mut pairs: Vec<(String, String)> = Vec::new();
    for old in known.map(|old| old.trim_end_matches('/')) {
        let (Some((_, old)), Some((_, bare))) = (old.split_once("://"), new.split_once("://")) else {
            continue;
        };
        pairs.push((format!("https://{old}"), new.to_owned()));
        pairs.push((format!("http://{old}"), new.to_owned()));
        pairs.push((format!("//{old}"), format!("//{bare}")));
        // What lies below the first lies below the new address as well.
        if pairs.len() >= 3 {
            break;
        }
    }
    if pairs.is_empty() {
        return Err(fault("new_url: the backup does not say what its address was; use search_replace"));
    }
    Ok(pairs)
}
