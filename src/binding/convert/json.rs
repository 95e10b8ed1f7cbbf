//! PHP arrays to `serde_json` trees and back: settings, options, REST bodies. Never cache values.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::types::{ZendHashTable, Zval};
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

/// Settings nest a few levels; more is a cycle or an attack.
const MAX_DEPTH: usize = 32;

/// The tree of a PHP value. A list stays a list, any other array becomes an object in its order.
///
/// # Errors
/// An object, a resource, or arrays nested deeper than 32 levels: none belongs in settings.
pub fn from_zval(zval: &Zval) -> Result<Value> {
    read(zval, 0)
}

/// The tree of a PHP array.
///
/// # Errors
/// As [`from_zval`].
pub fn from_table(table: &ZendHashTable) -> Result<Value> {
    read_array(table, 0)
}

fn read(zval: &Zval, depth: usize) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(Error::invalid("array", format!("nested deeper than {MAX_DEPTH} levels")));
    }
    let zval = zval.dereference();
    if let Some(number) = zval.long() {
        Ok(Value::from(number))
    } else if let Some(text) = zval.zend_str() {
        Ok(Value::String(String::from_utf8_lossy(text.as_bytes()).into_owned()))
    } else if let Some(flag) = zval.bool() {
        Ok(Value::Bool(flag))
    } else if let Some(number) = zval.double() {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    } else if zval.is_null() {
        Ok(Value::Null)
    } else if let Some(array) = zval.array() {
        read_array(array, depth)
    } else {
        Err(Error::invalid("array", format!("{} cannot stand in settings", type_name(zval))))
    }
}

fn read_array(array: &ZendHashTable, depth: usize) -> Result<Value> {
    if entries(array).enumerate().all(|(at, (key, _))| key.long() == i64::try_from(at).ok()) {
        return entries(array)
            .map(|(_, item)| read(item, depth + 1))
            .collect::<Result<_>>()
            .map(Value::Array);
    }
    let mut map = Map::new();
    for (key, item) in entries(array) {
        map.insert(key_text(&key), read(item, depth + 1)?);
    }
    Ok(Value::Object(map))
}

/// Keys and values. The crate's own iterator panics at a key that is not UTF-8, which a visitor can
/// send in a query string.
pub fn entries(array: &ZendHashTable) -> impl Iterator<Item = (Zval, &Zval)> {
    let mut rest = array.iter();
    std::iter::from_fn(move || rest.next_zval())
}

/// A key as text.
pub fn key_text(key: &Zval) -> String {
    match (key.long(), key.zend_str()) {
        (Some(index), _) => index.to_string(),
        (None, Some(text)) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        (None, None) => String::new(),
    }
}

/// The PHP value of a tree; objects become arrays with string keys.
pub fn to_zval(value: &Value) -> Zval {
    let mut zval = Zval::new();
    match value {
        Value::Null => zval.set_null(),
        Value::Bool(flag) => zval.set_bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => zval.set_long(whole),
            None => zval.set_double(number.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(text) => zval.set_binary(text.as_bytes().to_vec()),
        Value::Array(_) | Value::Object(_) => zval.set_hashtable(to_array(value)),
    }
    zval
}

/// The PHP array of a tree; a scalar becomes an array of one.
pub fn to_array(value: &Value) -> ZBox<ZendHashTable> {
    let mut table = ZendHashTable::new();
    match value {
        Value::Array(items) => {
            for item in items {
                // Fails only when the table is full at 2^31 entries, which no tree of ours reaches.
                let _ = table.push(to_zval(item));
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                let _ = table.insert(key.as_str(), to_zval(item));
            }
        }
        scalar => {
            let _ = table.push(to_zval(scalar));
        }
    }
    table
}

/// The type as PHP names it in its own errors.
pub fn type_name(zval: &Zval) -> &'static str {
    if zval.is_null() {
        "null"
    } else if zval.is_bool() {
        "bool"
    } else if zval.is_long() {
        "int"
    } else if zval.is_double() {
        "float"
    } else if zval.is_string() {
        "string"
    } else if zval.is_array() {
        "array"
    } else if zval.is_object() {
        "object"
    } else {
        "resource"
    }
}
