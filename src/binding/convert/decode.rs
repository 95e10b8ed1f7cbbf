//! From an encoding straight to a PHP value.
//!
//! Owns: building values as they are read, with no tree in between and arrays sized up front. A class
//! that is gone, or has changed so that its old properties no longer fit, makes the value unreadable,
//! which to the cache's caller is a miss. Its constructor never runs.

use std::cell::Cell;
use std::ptr::NonNull;

use ext_php_rs::ffi::{
    ZEND_ACC_NO_DYNAMIC_PROPERTIES, object_init_ex, zend_class_entry, zend_clear_exception, zend_hash_update,
    zend_lookup_class_ex, zend_property_info, zend_std_get_properties, zend_verify_property_type,
};
use ext_php_rs::types::{ZendStr, Zval};
use ext_php_rs::zend::{ClassEntry, ExecutorGlobals};

use super::classes::{can_be_built, name_of};
use super::serializer;
use super::zend::{Filling, bytes_of, flag, real, replace, string, whole};
use crate::cache::codec::DecodeError;
use crate::cache::value::{ArrayKey, Builder};

thread_local! {
    /// The class of the last object that was built in this request: the next one mostly has the same,
    /// and asking the engine takes a tenth of the time that an object of 20 properties takes.
    static LAST_CLASS: Cell<Option<NonNull<zend_class_entry>>> = const { Cell::new(None) };
}

/// Classes go with the request. Phase: post-deactivate; no object is built between their end and that.
pub fn forget_class() {
    LAST_CLASS.set(None);
}

/// Builds PHP values.
#[derive(Default)]
pub struct Zvals;

/// An object under construction.
pub struct Object {
    zval: Zval,
    /// Where the next property is expected: they mostly come in the order of their declaration.
    slot: usize,
    fits: bool,
}

impl Builder for Zvals {
    type Value = Zval;
    type Array = Filling;
    type Object = Object;

    #[inline]
    fn null(&mut self) -> Zval {
        Zval::null()
    }

    #[inline]
    fn bool(&mut self, value: bool) -> Zval {
        flag(value)
    }

    #[inline]
    fn int(&mut self, value: i64) -> Zval {
        whole(value)
    }

    fn float(&mut self, value: f64) -> Zval {
        real(value)
    }

    #[inline]
    fn string(&mut self, bytes: &[u8]) -> Zval {
        string(bytes)
    }

    fn list(&mut self, len: usize) -> Filling {
        Filling::list(len)
    }

    #[inline]
    fn push(&mut self, list: &mut Filling, value: Zval) {
        list.push(value);
    }

    fn map(&mut self, len: usize) -> Filling {
        Filling::map(len)
    }

    #[inline]
    fn insert(&mut self, map: &mut Filling, key: ArrayKey<'_>, value: Zval) {
        map.insert(key, value);
    }

    fn array(&mut self, array: Filling) -> Zval {
        let mut zval = Zval::new();
        zval.set_hashtable(array.finish());
        zval
    }

    fn object(&mut self, class: &[u8], _len: usize) -> Result<Object, DecodeError> {
        let class = self::class(class).ok_or(DecodeError::Rejected)?;
        let mut zval = Zval::new();
        // SAFETY: a request is running; a class of which objects can be made. Default values may be
        // constant expressions, so PHP code may run.
        let outcome = unsafe { object_init_ex(&raw mut zval, class.as_ptr()) };
        if outcome != 0 || ExecutorGlobals::has_exception() {
            return Err(DecodeError::Rejected);
        }
        Ok(Object { zval, slot: 0, fits: true })
    }

    fn property(&mut self, object: &mut Object, name: &[u8], value: Zval) {
        object.fits &= object.set(name, value);
    }

    fn finish(&mut self, object: Object) -> Result<Zval, DecodeError> {
        if object.fits { Ok(object.zval) } else { Err(DecodeError::Rejected) }
    }

    fn serialized(&mut self, bytes: &[u8]) -> Result<Zval, DecodeError> {
        serializer::unserialize(bytes).ok_or(DecodeError::Rejected)
    }
}

/// The class `name`, loaded if need be; `None` when there is none whose objects can be built.
fn class(name: &[u8]) -> Option<NonNull<zend_class_entry>> {
    // SAFETY: classes live until the request ends, and before that the last one is forgotten.
    let last = LAST_CLASS.get().filter(|last| unsafe { name_of(last.as_ref()) } == name);
    if last.is_some() {
        return last;
    }
    let mut name = ZendStr::new(name, false);
    // SAFETY: a request is running; the name outlives the call. An autoloader may run.
    let class = unsafe { zend_lookup_class_ex(&raw mut *name, std::ptr::null_mut(), 0) };
    // SAFETY: null or a class that lives until the request ends.
    let class = NonNull::new(class).filter(|class| can_be_built(unsafe { class.as_ref() }))?;
    LAST_CLASS.set(Some(class));
    Some(class)
}

impl Object {
    /// Sets a property; false when the class no longer has room for it.
    fn set(&mut self, name: &[u8], value: Zval) -> bool {
        // SAFETY: made by `object`, and ours alone. Its class declares as many properties as it has
        // slots; what is written takes the place of a default value.
        unsafe {
            let object = self.zval.value.obj;
            let class: &ClassEntry = &*(*object).ce;
            let Some((slot, info)) = self.declared(class, name) else {
                return self.add(class, name, value);
            };
            self.slot = slot + 1;
            let mut value = value;
            if !is_assignable(info, &mut value) {
                return false;
            }
            replace((*object).properties_table.as_mut_ptr().add(slot), value);
        }
        true
    }

    /// The declared property `name`, as the engine mangles names.
    fn declared(&self, class: &ClassEntry, name: &[u8]) -> Option<(usize, *mut zend_property_info)> {
        let slots = usize::try_from(class.default_properties_count).unwrap_or(0);
        (self.slot..slots).chain(0..self.slot.min(slots)).find_map(|slot| {
            // SAFETY: the table has an entry for every slot; infos live as long as the class.
            unsafe {
                let info = *class.properties_info_table.add(slot);
                (!info.is_null() && bytes_of((*info).name) == name).then_some((slot, info))
            }
        })
    }

    /// Adds a property that the class does not declare.
    fn add(&self, class: &ClassEntry, name: &[u8], value: Zval) -> bool {
        if class.ce_flags & ZEND_ACC_NO_DYNAMIC_PROPERTIES != 0 {
            return false;
        }
        let mut name = ZendStr::new(name, false);
        let mut value = std::mem::ManuallyDrop::new(value);
        // SAFETY: the object is ours alone; its table takes the value, and a share of the name.
        unsafe {
            let table = zend_std_get_properties(self.zval.value.obj);
            zend_hash_update(table, &raw mut *name, &raw mut *value);
        }
        true
    }
}

/// Whether `value` may stand in the property; it is converted if it has to be.
///
/// # Safety
/// `info` is a live class' property.
unsafe fn is_assignable(info: *mut zend_property_info, value: &mut Zval) -> bool {
    // SAFETY: as the caller says. The check may throw, and nobody is to see that.
    unsafe {
        if (*info).type_.type_mask == 0 || zend_verify_property_type(info, value, true) {
            return true;
        }
        zend_clear_exception();
    }
    false
}
