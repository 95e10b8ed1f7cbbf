//! Which objects can be taken apart and put together again by their properties alone.
//!
//! Owns: that question, asked of a class in both directions: a class may have changed since one of its
//! objects was stored.

use ext_php_rs::ffi::{
    ZEND_ACC_ABSTRACT, ZEND_ACC_ANON_CLASS, ZEND_ACC_ENUM, ZEND_ACC_IMPLICIT_ABSTRACT_CLASS,
    ZEND_ACC_INTERFACE, ZEND_ACC_NOT_SERIALIZABLE, ZEND_ACC_TRAIT, std_object_handlers, zend_hash_str_find,
    zend_standard_class_def,
};
use ext_php_rs::types::ZendObject;
use ext_php_rs::zend::ClassEntry;

use super::zend::bytes_of;

const USER_CLASS: std::ffi::c_char = 2;

/// How objects of a class are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// By their properties.
    Properties,
    /// By PHP's serializer: the class has a say in it, or is PHP's own.
    Serializer,
    /// Not at all.
    Refused,
}

/// How objects of `class` are stored.
pub fn storage_of(class: &ClassEntry) -> Storage {
    if class.ce_flags & (ZEND_ACC_NOT_SERIALIZABLE | ZEND_ACC_ANON_CLASS) != 0 {
        return Storage::Refused;
    }
    // SAFETY: set by the engine when it starts, and never changed. No lock.
    if std::ptr::eq(class, unsafe { zend_standard_class_def }) {
        return Storage::Properties;
    }
    let has_say = !class.__serialize.is_null()
        || !class.__unserialize.is_null()
        || class.serialize.is_some()
        || class.unserialize.is_some()
        || has_method(class, "__sleep")
        || has_method(class, "__wakeup");
    // SAFETY: of the union's views this is the one that classes have; interfaces are never asked for.
    let is_built_specially = unsafe { class.__bindgen_anon_2.create_object }.is_some();
    if class.type_ != USER_CLASS || class.ce_flags & ZEND_ACC_ENUM != 0 || has_say || is_built_specially {
        Storage::Serializer
    } else {
        Storage::Properties
    }
}

/// How `object` is stored.
pub fn storage_of_object(object: &ZendObject, class: &ClassEntry) -> Storage {
    match storage_of(class) {
        // SAFETY: the address of a static of the engine. No lock.
        Storage::Properties
            if !std::ptr::eq(object.handlers, &raw const std_object_handlers) || is_lazy(object) =>
        {
            Storage::Serializer
        }
        storage => storage,
    }
}

/// Whether an object of `class` may be made without its constructor and given its properties.
pub fn can_be_built(class: &ClassEntry) -> bool {
    const NO_OBJECTS: u32 = ZEND_ACC_INTERFACE
        | ZEND_ACC_TRAIT
        | ZEND_ACC_ENUM
        | ZEND_ACC_IMPLICIT_ABSTRACT_CLASS
        | ZEND_ACC_ABSTRACT;
    class.ce_flags & NO_OBJECTS == 0 && storage_of(class) == Storage::Properties
}

/// The name of a class.
pub fn name_of(class: &ClassEntry) -> &[u8] {
    // SAFETY: a class has a name, which lives as long as it does.
    unsafe { bytes_of(class.name) }
}

fn has_method(class: &ClassEntry, name: &str) -> bool {
    // SAFETY: a linked class; the lookup only reads its table. No lock.
    unsafe { !zend_hash_str_find(&class.function_table, name.as_ptr().cast(), name.len()).is_null() }
}

/// PHP 8.4's lazy objects are initialized by whoever looks at their properties.
fn is_lazy(object: &ZendObject) -> bool {
    #[cfg(php84)]
    return object.extra_flags & (1 << 31 | 1 << 30) != 0;
    #[cfg(not(php84))]
    {
        let _ = object;
        false
    }
}
