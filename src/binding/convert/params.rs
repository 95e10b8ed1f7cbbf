//! Parameter types that accept what PHP's weak mode accepts.
//!
//! WordPress passes `"60"` where an int is declared, and keys that are not UTF-8. The types of
//! ext-php-rs refuse both. These declare the plain PHP type in Reflection (`int`, `string`,
//! `array`), coerce as weak mode does, and throw PHP's own kind of `TypeError` otherwise.
//! `null` and non-numeric strings are never taken for zero.

use std::borrow::Cow;
use std::ffi::CString;

use ext_php_rs::convert::{FromZval, StubLiteral};
use ext_php_rs::exception::PhpException;
use ext_php_rs::ffi::{ext_php_rs_executor_globals, zend_argument_type_error};
use ext_php_rs::flags::DataType;
use ext_php_rs::types::{ZendCallable, ZendHashTable, Zval};
use ext_php_rs::zend::ce;
use serde_json::Value;

use super::json;
use crate::error::{Error, Kind, Result};

/// An `int` or `float` parameter that also takes numeric strings.
#[derive(Clone, Copy, Debug)]
pub struct Lax<T>(pub T);

impl Lax<i64> {
    /// The int that weak mode would make of `zval`; `None`, and no exception, when there is none.
    pub fn of(zval: &Zval) -> Option<i64> {
        whole(zval)
    }
}

impl FromZval<'_> for Lax<i64> {
    const TYPE: DataType = DataType::Long;

    fn from_zval(zval: &Zval) -> Option<Self> {
        whole(zval).map(Lax).or_else(|| type_error("int", zval))
    }
}

impl FromZval<'_> for Lax<f64> {
    const TYPE: DataType = DataType::Double;

    fn from_zval(zval: &Zval) -> Option<Self> {
        let number =
            zval.double().or_else(|| zval.long().map(|n| n as f64)).or_else(|| flag(zval).map(|n| n as f64));
        number.or_else(|| zval.str()?.trim().parse().ok()).map(Lax).or_else(|| type_error("float", zval))
    }
}

impl<T: StubLiteral> StubLiteral for Lax<T> {
    fn stub_literal(&self) -> String {
        self.0.stub_literal()
    }
}

/// A `string` parameter as bytes: keys and values need not be UTF-8.
#[derive(Clone, Debug)]
pub struct Bytes<'a>(pub Cow<'a, [u8]>);

impl Bytes<'_> {
    /// The bytes as text, with what is not UTF-8 replaced; for names and messages, not for keys.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl<'a> FromZval<'a> for Bytes<'a> {
    const TYPE: DataType = DataType::String;

    fn from_zval(zval: &'a Zval) -> Option<Self> {
        if let Some(text) = zval.zend_str() {
            return Some(Bytes(Cow::Borrowed(text.as_bytes())));
        }
        let coerced = if zval.is_null() { None } else { zval.coerce_to_string() };
        coerced.map(|text| Bytes(Cow::Owned(text.into_bytes()))).or_else(|| type_error("string", zval))
    }
}

impl From<&'static str> for Bytes<'_> {
    fn from(text: &'static str) -> Self {
        Bytes(Cow::Borrowed(text.as_bytes()))
    }
}

impl StubLiteral for Bytes<'_> {
    fn stub_literal(&self) -> String {
        format!("'{}'", self.text().replace('\\', "\\\\").replace('\'', "\\'"))
    }
}

/// A `?int`, `?string`, … parameter with the default null. `Option` would ask `T` about the null first,
/// and `T` throws.
#[derive(Clone, Copy, Debug)]
pub struct OrNull<T>(pub Option<T>);

impl<'a, T: FromZval<'a>> FromZval<'a> for OrNull<T> {
    const TYPE: DataType = T::TYPE;
    const NULLABLE: bool = true;

    fn from_zval(zval: &'a Zval) -> Option<Self> {
        if zval.is_null() { Some(Self(None)) } else { T::from_zval(zval).map(|value| Self(Some(value))) }
    }

    fn from_missing() -> Option<Self> {
        Some(Self(None))
    }
}

/// The `$config` parameter: an array read whole into a tree, with the callables at its top level kept
/// beside it, because a tree cannot hold one.
pub struct Settings {
    /// Everything but callables.
    pub tree: Value,
    callables: Vec<(String, Zval)>,
}

impl Settings {
    /// The default `[]`.
    pub fn empty() -> Self {
        Self { tree: Value::Null, callables: Vec::new() }
    }

    /// Takes out the callable under `key`. It may live as long as the object that keeps it, which the
    /// engine frees before the request ends.
    ///
    /// # Errors
    /// Something stands there that cannot be called.
    pub fn take_callable(&mut self, key: &str) -> Result<Option<ZendCallable<'static>>> {
        if let Some(at) = self.callables.iter().position(|(name, _)| name == key) {
            let (_, callable) = self.callables.swap_remove(at);
            return ZendCallable::new_owned(callable).map(Some).map_err(|_| not_callable(key));
        }
        let Some(given) = self.tree.as_object_mut().and_then(|map| map.remove(key)) else { return Ok(None) };
        ZendCallable::new_owned(json::to_zval(&given)).map(Some).map_err(|_| not_callable(key))
    }

    fn read(table: &ZendHashTable) -> Result<Self> {
        let mut callables = Vec::new();
        let mut rest = ZendHashTable::new();
        for (key, value) in json::entries(table) {
            let value = value.dereference();
            if value.is_object() && value.is_callable() {
                callables.push((json::key_text(&key), value.shallow_clone()));
            } else {
                // Fails only on a full table.
                let _ = match key.long() {
                    Some(index) => rest.insert_at_index(index, value.shallow_clone()),
                    None => rest.insert(json::key_text(&key).as_str(), value.shallow_clone()),
                };
            }
        }
        Ok(Self { tree: json::from_table(&rest)?, callables })
    }
}

/// A `callable` parameter that is kept. It may live as long as the object that keeps it, which the
/// engine frees before the request ends.
pub struct Callable(pub Zval);

impl FromZval<'_> for Callable {
    const TYPE: DataType = DataType::Callable;

    fn from_zval(zval: &Zval) -> Option<Self> {
        if zval.is_callable() { Some(Self(zval.shallow_clone())) } else { type_error("callable", zval) }
    }
}

/// An `array` parameter that is stored as JSON and must come back as it was: what JSON cannot hold is
/// an error for the method to answer, not a replacement.
pub struct Payload(pub Result<Value>);

impl Payload {
    /// The default `[]`.
    pub fn empty() -> Self {
        Self(Ok(Value::Array(Vec::new())))
    }
}

impl FromZval<'_> for Payload {
    const TYPE: DataType = DataType::Array;

    fn from_zval(zval: &Zval) -> Option<Self> {
        if zval.is_array() { Some(Self(payload(zval))) } else { type_error("array", zval) }
    }
}

impl StubLiteral for Payload {
    fn stub_literal(&self) -> String {
        "[]".to_owned()
    }
}

/// The tree of an array that JSON can hold.
///
/// # Errors
/// Invalid argument for objects, resources and arrays nested too deep; [`Kind::Queue`] for text that
/// is not UTF-8 and for numbers that are none.
pub fn payload(zval: &Zval) -> Result<Value> {
    let tree = json::from_zval(zval)?;
    require_json(zval)?;
    Ok(tree)
}

/// Called on what [`json::from_zval`] has accepted, so the depth is bounded.
fn require_json(zval: &Zval) -> Result<()> {
    let zval = zval.dereference();
    let refused = |what: &str| Err(Error::new(Kind::Queue, format!("{what} cannot be stored as JSON")));
    if let Some(text) = zval.zend_str() {
        if std::str::from_utf8(text.as_bytes()).is_err() {
            return refused("text that is not UTF-8");
        }
    } else if zval.double().is_some_and(|number| !number.is_finite()) {
        return refused("NAN or INF");
    } else if let Some(table) = zval.array() {
        for (key, item) in json::entries(table) {
            require_json(&key)?;
            require_json(item)?;
        }
    }
    Ok(())
}

fn not_callable(key: &str) -> Error {
    Error::invalid("$config", format!("{key}: expected a callable"))
}

impl FromZval<'_> for Settings {
    const TYPE: DataType = DataType::Array;

    fn from_zval(zval: &Zval) -> Option<Self> {
        let Some(table) = zval.array() else { return type_error("array", zval) };
        match Self::read(table) {
            Ok(settings) => Some(settings),
            Err(error) => {
                PhpException::from(error).throw();
                None
            }
        }
    }
}

impl StubLiteral for Settings {
    fn stub_literal(&self) -> String {
        "[]".to_owned()
    }
}

/// An int as weak mode reads it: ints, booleans, floats and numeric strings without a fraction.
fn whole(zval: &Zval) -> Option<i64> {
    if let Some(number) = zval.long() {
        return Some(number);
    }
    if let Some(text) = zval.str() {
        let text = text.trim();
        return text.parse().ok().or_else(|| without_fraction(text.parse().ok()?));
    }
    zval.double().and_then(without_fraction).or_else(|| flag(zval))
}

fn without_fraction(number: f64) -> Option<i64> {
    // 2^63 is the first float that an int cannot hold.
    let fits = number.is_finite() && number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_808.0;
    fits.then_some(number as i64)
}

fn flag(zval: &Zval) -> Option<i64> {
    zval.bool().map(i64::from)
}

/// Throws what PHP itself throws for a wrong type, naming the method, the position and the name of
/// the argument; the generated code then finds the exception pending and returns.
fn type_error<T>(expected: &str, given: &Zval) -> Option<T> {
    let wanted = format!("must be of type {expected}, {} given", json::type_name(given));
    match (argument_number(given), CString::new(wanted.as_str())) {
        // SAFETY: a PHP call is running on this thread and has at least `number` arguments; the
        // format takes exactly the one string that is passed. No lock.
        (Some(number), Ok(text)) => unsafe {
            zend_argument_type_error(number, c"%s".as_ptr(), text.as_ptr());
        },
        _ => PhpException::new(wanted, 0, ce::type_error()).throw(),
    }
    None
}

/// Which argument of the running call `given` is, counted from 1; `None` for a value inside one.
fn argument_number(given: &Zval) -> Option<u32> {
    // SAFETY: between RINIT and RSHUTDOWN, on the request's thread, while a native method reads its
    // arguments: the current frame is that method's and outlives this function. No lock.
    unsafe {
        let frame = ext_php_rs_executor_globals().as_ref()?.current_execute_data.as_ref()?;
        (0..frame.This.u2.num_args).find_map(|index| {
            let argument = frame.zend_call_arg(index as usize)?.dereference();
            std::ptr::eq(argument, given).then_some(index + 1)
        })
    }
}
