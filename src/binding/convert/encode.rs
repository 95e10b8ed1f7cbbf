//! From a PHP value straight to its encoding.
//!
//! Owns: the walk. References are followed, so what comes back has none. Objects are written by their
//! properties where that is all there is to them, else by PHP's serializer; an object that is met
//! twice is too much for that, and the whole value goes to the serializer ([`Walk::is_shared`]).
//! Refuses to do: store closures, resources, and objects of classes without a name or that forbid it.
//!
//! `__serialize` and its like are PHP code that may change what is being walked. So every container
//! on the way is held, tables are walked by position, and a count that no longer fits is an error.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use ext_php_rs::exception::throw_object;
use ext_php_rs::ffi::{
    IS_ARRAY, IS_DOUBLE, IS_FALSE, IS_INDIRECT, IS_LONG, IS_NULL, IS_OBJECT, IS_REFERENCE, IS_STRING,
    IS_TRUE, IS_UNDEF, ZEND_ACC_ANON_CLASS,
};
use ext_php_rs::types::{ZendHashTable, ZendObject, Zval};
use ext_php_rs::zend::{ClassEntry, ExecutorGlobals};

use super::classes::{Storage, name_of, storage_of_object};
use super::serializer;
use super::zend::{Elements, Key, bytes_of, hold, is_list, kind_of};
use crate::binding::exceptions;
use crate::cache::codec::{EncodeError, Encoder};
use crate::cache::value::Source;

/// What a walk has seen.
#[derive(Default)]
pub struct Walk {
    objects: RefCell<HashSet<u32>>,
    shared: Cell<bool>,
}

impl Walk {
    /// Begins anew.
    pub fn reset(&mut self) {
        self.objects.get_mut().clear();
        self.shared.set(false);
    }

    /// Whether the walk ended because an object was met twice.
    pub fn is_shared(&self) -> bool {
        self.shared.get()
    }

    fn meets(&self, object: &ZendObject) -> Result<(), EncodeError> {
        if self.objects.borrow_mut().insert(object.handle) {
            return Ok(());
        }
        self.shared.set(true);
        Err(unsupported("an object that is met twice"))
    }
}

/// A PHP value to be encoded.
pub struct PhpValue<'a> {
    /// The value.
    pub zval: &'a Zval,
    /// What its walk has seen.
    pub walk: &'a Walk,
}

impl Source for PhpValue<'_> {
    fn write(&self, out: &mut Encoder) -> Result<(), EncodeError> {
        write(self.zval, out, self.walk)
    }
}

/// A PHP value to be encoded as PHP's serializer writes it.
pub struct Serialized<'a>(pub &'a Zval);

impl Source for Serialized<'_> {
    fn write(&self, out: &mut Encoder) -> Result<(), EncodeError> {
        write_serialized(self.0, out)
    }
}

fn write(zval: &Zval, out: &mut Encoder, walk: &Walk) -> Result<(), EncodeError> {
    // SAFETY: each view of the value is the one that its type says; what it points to lives at least
    // as long as the value, which the caller holds. No lock.
    unsafe {
        match kind_of(zval) {
            IS_UNDEF | IS_NULL => out.null(),
            IS_FALSE => out.bool(false),
            IS_TRUE => out.bool(true),
            IS_LONG => out.int(zval.value.lval),
            IS_DOUBLE => out.float(zval.value.dval),
            IS_STRING => out.string(bytes_of(zval.value.str_)),
            IS_ARRAY => {
                let table = &*zval.value.arr;
                let _held = hold(table);
                write_array(table, out, walk)
            }
            IS_OBJECT => {
                let held = zval.shallow_clone();
                write_object(&*held.value.obj, &held, out, walk)
            }
            IS_REFERENCE => write(&(*zval.value.ref_).val, out, walk),
            IS_INDIRECT => write(&*zval.value.zv, out, walk),
            _ => Err(unsupported("a resource")),
        }
    }
}

fn write_array(table: &ZendHashTable, out: &mut Encoder, walk: &Walk) -> Result<(), EncodeError> {
    let count = table.nNumOfElements as usize;
    let is_list = is_list(table);
    if is_list {
        out.begin_list(count)?;
    } else {
        out.begin_map(count)?;
    }
    let mut written = 0;
    for (key, zval) in Elements::of(table) {
        written += 1;
        if !is_list {
            // SAFETY: a key of a table that the caller holds.
            out.key(unsafe { key.as_array_key() })?;
        }
        // SAFETY: an element of a table that the caller holds, and that holds the element.
        write(unsafe { &*zval }, out, walk).map_err(|error| at_element(key, error))?;
    }
    out.end();
    if written == count { Ok(()) } else { Err(changed()) }
}

fn write_object(object: &ZendObject, zval: &Zval, out: &mut Encoder, walk: &Walk) -> Result<(), EncodeError> {
    // SAFETY: a live object has a class, which lives as long as the request.
    let class: &ClassEntry = unsafe { &*object.ce };
    match storage_of_object(object, class) {
        Storage::Refused => Err(unsupported(&described(class))),
        Storage::Serializer => {
            walk.meets(object)?;
            write_serialized(zval, out)
        }
        Storage::Properties => {
            walk.meets(object)?;
            write_properties(object, class, out, walk)
        }
    }
}

fn write_properties(
    object: &ZendObject,
    class: &ClassEntry,
    out: &mut Encoder,
    walk: &Walk,
) -> Result<(), EncodeError> {
    // SAFETY: null, or the live table of a live object.
    let _held = unsafe { object.properties.as_ref() }.and_then(hold);
    let count = properties(object, class).count();
    out.begin_object(name_of(class), count)?;
    let mut written = 0;
    for (name, value) in properties(object, class) {
        written += 1;
        out.property(name)?;
        // SAFETY: a property of an object that the caller holds.
        write(unsafe { &*value }, out, walk).map_err(|error| at_property(name, error))?;
    }
    out.end();
    if written == count { Ok(()) } else { Err(changed()) }
}

/// Names, as the engine mangles them, and values of the properties that are set.
fn properties<'a>(
    object: &'a ZendObject,
    class: &'a ClassEntry,
) -> impl Iterator<Item = (&'a [u8], *const Zval)> {
    // SAFETY: the table of properties is there once PHP code has added one or asked for all; it then
    // also names the declared ones, whose values stand in the object.
    let table = unsafe { object.properties.as_ref() };
    let named = table.into_iter().flat_map(Elements::of).filter_map(|(key, zval)| {
        // SAFETY: an element of a live table; the declared ones point into the live object.
        let zval =
            unsafe { if kind_of(&*zval) == IS_INDIRECT { (*zval).value.zv.cast_const() } else { zval } };
        match key {
            // SAFETY: a key of the same table; what is unset is of no type.
            Key::String(name) => unsafe { (kind_of(&*zval) != IS_UNDEF).then(|| (bytes_of(name), zval)) },
            Key::Int(_) => None,
        }
    });
    let slots =
        if table.is_some() { 0 } else { usize::try_from(class.default_properties_count).unwrap_or(0) };
    let declared = (0..slots).filter_map(|slot| {
        // SAFETY: the engine makes as many slots and entries of this table as the class declares
        // properties.
        unsafe {
            let info = (*class.properties_info_table.add(slot)).as_ref()?;
            let zval = object.properties_table.as_ptr().add(slot);
            (kind_of(&*zval) != IS_UNDEF).then(|| (bytes_of(info.name), zval))
        }
    });
    named.chain(declared)
}

fn write_serialized(zval: &Zval, out: &mut Encoder) -> Result<(), EncodeError> {
    match serializer::serialize(zval) {
        Some(text) => out.serialized(text.as_bytes()),
        None => Err(unsupported(&refusal())),
    }
}

/// What the serializer's exception says, if it is the engine's: that something cannot be serialized.
/// Any other stays pending, for it is the class' own; and so does the end of the script, which is no
/// exception at all.
fn refusal() -> String {
    let thrown = || String::from("an object whose class threw an exception");
    if exceptions::is_script_ending() {
        return thrown();
    }
    let Some(mut exception) = ExecutorGlobals::take_exception() else { return thrown() };
    let message = exception.try_call_method("getMessage", Vec::new()).ok().and_then(|text| text.string());
    let is_plain = exception.get_class_name().is_ok_and(|name| name == "Exception");
    match message.filter(|message| is_plain && message.starts_with("Serialization of")) {
        Some(message) => format!("something inside ({message})"),
        None => {
            let mut zval = Zval::new();
            zval.set_object(&mut exception);
            // Fails only for what is no exception.
            let _ = throw_object(zval);
            thrown()
        }
    }
}

fn described(class: &ClassEntry) -> String {
    match class.ce_flags & ZEND_ACC_ANON_CLASS {
        0 => format!("a {}", String::from_utf8_lossy(name_of(class))),
        _ => String::from("an object of an anonymous class"),
    }
}

fn unsupported(what: &str) -> EncodeError {
    EncodeError::Unsupported(format!(": {what} cannot be stored"))
}

fn changed() -> EncodeError {
    unsupported("something that changes while it is stored")
}

fn at_element(key: Key, error: EncodeError) -> EncodeError {
    within(error, || match key {
        Key::Int(index) => format!("[{index}]"),
        // SAFETY: a key of the table that is being walked, which is held.
        Key::String(name) => format!("['{}']", String::from_utf8_lossy(unsafe { bytes_of(name) })),
    })
}

fn at_property(name: &[u8], error: EncodeError) -> EncodeError {
    let plain = name.rsplit(|byte| *byte == 0).next().unwrap_or(name);
    within(error, || format!("->{}", String::from_utf8_lossy(plain)))
}

fn within(error: EncodeError, step: impl FnOnce() -> String) -> EncodeError {
    match error {
        EncodeError::Unsupported(what) => EncodeError::Unsupported(step() + &what),
        other => other,
    }
}
