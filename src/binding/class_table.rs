//! Finding classes and interfaces that PHP itself defines, at MINIT.
//!
//! `ClassEntry::try_find` reads `EG(class_table)`, which is null until the first request, so MINIT
//! has to look in `CG(class_table)`.

use ext_php_rs::ffi::{ext_php_rs_compiler_globals, zend_hash_str_find};
use ext_php_rs::zend::ClassEntry;

/// The class whose name in lower case is `name`, or `None` when no loaded extension defines it.
/// Phase: MINIT or later.
pub fn find(name: &str) -> Option<&'static ClassEntry> {
    // SAFETY: MINIT runs after the engine has built CG(class_table), whose entries live until module
    // shutdown; the lookup only reads. No lock is held and none is needed.
    unsafe {
        let globals = ext_php_rs_compiler_globals().as_ref()?;
        let entry = zend_hash_str_find(globals.class_table, name.as_ptr().cast(), name.len()).as_ref()?;
        entry.ptr::<ClassEntry>()?.as_ref()
    }
}
