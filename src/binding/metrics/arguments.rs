//! Arguments of the metrics' methods.

use ext_php_rs::types::{ZendHashTable, Zval};
use serde_json::{Map, Value};

use super::Labels;
use crate::binding::convert::json;
use crate::error::{Error, Result};
use crate::metrics::{Kind, Snapshot};

/// The categories of the specification. What is in none of them is `custom`.
const CATEGORIES: [&str; 8] =
    ["system", "database", "performance", "business", "security", "background", "php", "http"];

/// Label names: a list of strings.
///
/// # Errors
/// Invalid argument for anything else.
pub fn names(table: &ZendHashTable) -> Result<Vec<String>> {
    let name = |(_, value): (_, &Zval)| value.dereference().str().map(str::to_owned);
    let names: Option<Vec<String>> = json::entries(table).map(name).collect();
    names.ok_or_else(|| Error::invalid("$labels", "expected a list of names"))
}

/// Label values: name => string, number or boolean. Bytes that are not UTF-8 are replaced.
///
/// # Errors
/// Invalid argument for anything else.
pub fn labels(table: &ZendHashTable) -> Result<Labels> {
    let pair = |(key, value): (Zval, &Zval)| Some((json::key_text(&key), text(value.dereference())?));
    let labels: Option<Labels> = json::entries(table).map(pair).collect();
    labels.ok_or_else(|| Error::invalid("$labels", "expected name => string, number or boolean"))
}

fn text(value: &Zval) -> Option<String> {
    if let Some(text) = value.zend_str() {
        return Some(String::from_utf8_lossy(text.as_bytes()).into_owned());
    }
    match value.bool() {
        Some(flag) => Some(if flag { "true" } else { "false" }.to_owned()),
        None => value.long().map(|number| number.to_string()).or_else(|| Some(value.double()?.to_string())),
    }
}

/// Upper bounds of buckets.
///
/// # Errors
/// Invalid argument for what is no number.
pub fn bounds(table: &ZendHashTable) -> Result<Vec<f64>> {
    let number = |(_, value): (_, &Zval)| {
        let value = value.dereference();
        value.double().or_else(|| value.long().map(|n| n as f64)).or_else(|| value.str()?.trim().parse().ok())
    };
    let bounds: Option<Vec<f64>> = json::entries(table).map(number).collect();
    bounds.ok_or_else(|| Error::invalid("$buckets", "expected a list of numbers"))
}

/// The kind of a security event as a label: a word of letters, digits and '_', which whoever records
/// events chooses and no visitor.
///
/// # Errors
/// Invalid argument for anything else.
pub fn event_kind(kind: &str) -> Result<String> {
    let word = kind.trim().to_ascii_lowercase().replace(['-', ' ', '.'], "_");
    let is_word = !word.is_empty() && word.len() <= 40;
    if is_word && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(word);
    }
    Err(Error::invalid("$kind", format!("expected up to 40 letters, digits and '_', got '{kind}'")))
}

/// A snapshot by category and name: `['system' => ['memory_usage' => 123.0, …], …]`.
pub fn tree(snapshot: &Snapshot) -> Value {
    let mut categories = Map::new();
    for family in snapshot.families().iter().filter(|family| family.kind != Kind::Info) {
        let Some(value) = snapshot.value(&family.name) else { continue };
        let (category, name) = category(&family.name);
        let entry = categories.entry(category).or_insert_with(|| Value::Object(Map::new()));
        if let Some(map) = entry.as_object_mut() {
            map.insert(name.to_owned(), value.into());
        }
    }
    Value::Object(categories)
}

fn category(name: &str) -> (&str, &str) {
    let known = name.strip_prefix("slbp_").and_then(|rest| rest.split_once('_'));
    known.filter(|(category, _)| CATEGORIES.contains(category)).unwrap_or(("custom", name))
}
