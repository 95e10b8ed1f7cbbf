//! Reading values the way PHP's weak mode does: `"60"` is 60, `"1"` is true, `"abc"` is a mistake.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A whole number `>= 0`, given as a number or a numeric string.
pub fn u64<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(input)?;
    whole(&value)
        .ok_or_else(|| D::Error::custom(format!("expected a whole number >= 0, got {}", describe(&value))))
}

/// A finite number, given as a number or a numeric string.
pub fn f64<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(input)?;
    number(&value).ok_or_else(|| D::Error::custom(format!("expected a number, got {}", describe(&value))))
}

/// A boolean, given as one or as `0`, `1`, `""`, `"0"`, `"1"`, `"on"`, `"off"`, `"yes"`, `"no"`, `"true"`, `"false"`.
pub fn bool<'de, D: Deserializer<'de>>(input: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(input)?;
    truth(&value).ok_or_else(|| D::Error::custom(format!("expected true or false, got {}", describe(&value))))
}

/// Text, given as a string or a number (`'password' => 1234`); absent for null and `""`.
pub fn text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(input)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Value::Number(number) => Ok(Some(number.to_string())),
        other => Err(D::Error::custom(format!("expected a string, got {}", describe(&other)))),
    }
}

/// A list of strings, given as an array or as text: JSON, or separated by commas or blanks (the
/// form that constants and php.ini have).
pub fn list<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let value = Value::deserialize(input)?;
    strings(&value)
        .ok_or_else(|| D::Error::custom(format!("expected a list of strings, got {}", describe(&value))))
}

fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::Object(map) => map.values().map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::String(text) if text.trim_start().starts_with(['[', '{']) => {
            strings(&serde_json::from_str(text).ok()?)
        }
        Value::String(text) => {
            let parts = text.split(|c: char| c == ',' || c.is_whitespace());
            Some(parts.filter(|part| !part.is_empty()).map(str::to_owned).collect())
        }
        _ => None,
    }
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(n) => n.as_u64().or_else(|| {
            n.as_f64().filter(|f| *f >= 0.0 && f.fract() == 0.0 && *f < 2f64.powi(53)).map(|f| f as u64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|f| f.is_finite())
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Number(n) => match n.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "1" | "on" | "yes" | "true" => Some(true),
            "" | "0" | "off" | "no" | "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A value as an error message shows it: its type, and short scalars as they are.
pub fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(text) if text.chars().count() <= 40 => format!("'{text}'"),
        Value::String(text) => format!("'{}…'", text.chars().take(40).collect::<String>()),
        Value::Array(_) | Value::Object(_) => "an array".to_owned(),
    }
}
