//! PHP's own serializer, for objects that have a say in how they are stored.

use std::mem::ManuallyDrop;

use ext_php_rs::boxed::ZBox;
use ext_php_rs::ffi::{
    php_var_serialize, php_var_serialize_destroy, php_var_serialize_init, php_var_unserialize,
    php_var_unserialize_destroy, php_var_unserialize_init, smart_str,
};
use ext_php_rs::types::{ZendStr, Zval};
use ext_php_rs::zend::ExecutorGlobals;

/// What `serialize()` makes of `zval`; `None` when it threw, and the exception is pending.
pub fn serialize(zval: &Zval) -> Option<ZBox<ZendStr>> {
    let mut out = smart_str { s: std::ptr::null_mut(), a: 0 };
    // SAFETY: a request is running. PHP code may run and bail out; all that is held here is the
    // engine's and goes with the request. The value lives as long as the call, and is only read.
    let text = unsafe {
        let mut context = php_var_serialize_init();
        php_var_serialize(&raw mut out, std::ptr::from_ref(zval).cast_mut(), &raw mut context);
        php_var_serialize_destroy(context);
        let text = out.s.as_mut()?;
        // The builder leaves room behind the text, and no NUL.
        *(&raw mut text.val).cast::<u8>().add(text.len) = 0;
        ZBox::from_raw(text)
    };
    (!ExecutorGlobals::has_exception()).then_some(text)
}

/// What `unserialize()` makes of `bytes`; `None` when they are no serialization, or it threw.
pub fn unserialize(bytes: &[u8]) -> Option<Zval> {
    let mut value = Zval::new();
    let range = bytes.as_ptr_range();
    let mut at = range.start;
    // SAFETY: a request is running. PHP code may run and bail out; all that is held here is the
    // engine's. The bytes outlive the call and are not written to. The context is destroyed last,
    // because that is when delayed `__wakeup` and `__unserialize` methods run.
    let is_read = unsafe {
        let mut context = php_var_unserialize_init();
        let is_read = php_var_unserialize(&raw mut value, &raw mut at, range.end, &raw mut context) != 0;
        php_var_unserialize_destroy(context);
        is_read
    };
    let value = ManuallyDrop::new(value);
    // SAFETY: the engine left a value, or undef or null when it failed; either is ours.
    let value = unsafe { std::ptr::read(&raw const *value) };
    (is_read && at == range.end && !ExecutorGlobals::has_exception()).then_some(value)
}
