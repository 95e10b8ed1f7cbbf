//! PHP's session module, which may not be there.
//!
//! Its functions are looked up by name, so that the extension loads into a PHP without it. Where the
//! module is a shared library it has to be loaded before this one, as in every distribution's ini files.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};

use ext_php_rs::ffi::zend_string;

/// `PS_MOD`: how the module calls a save handler. The layout is the same from PHP 7.1 on.
#[repr(C)]
pub struct SaveHandler {
    pub name: *const c_char,
    pub open: unsafe extern "C" fn(*mut *mut c_void, *const c_char, *const c_char) -> c_int,
    pub close: unsafe extern "C" fn(*mut *mut c_void) -> c_int,
    pub read:
        unsafe extern "C" fn(*mut *mut c_void, *mut zend_string, *mut *mut zend_string, c_long) -> c_int,
    pub write: unsafe extern "C" fn(*mut *mut c_void, *mut zend_string, *mut zend_string, c_long) -> c_int,
    pub destroy: unsafe extern "C" fn(*mut *mut c_void, *mut zend_string) -> c_int,
    pub gc: unsafe extern "C" fn(*mut *mut c_void, c_long, *mut c_long) -> c_long,
    pub create_sid: unsafe extern "C" fn(*mut *mut c_void) -> *mut zend_string,
    pub validate_sid: unsafe extern "C" fn(*mut *mut c_void, *mut zend_string) -> c_int,
    pub update_timestamp:
        unsafe extern "C" fn(*mut *mut c_void, *mut zend_string, *mut zend_string, c_long) -> c_int,
}

// SAFETY: the name is a string literal, and the rest are functions.
unsafe impl Sync for SaveHandler {}

/// Whether PHP has sessions. Phase: after the extension was loaded.
pub fn are_there() -> bool {
    !find(c"php_session_register_module").is_null()
}

/// Makes `handler` known; false when PHP has no sessions, or no room for another handler. Phase: MINIT.
pub fn register(handler: &'static SaveHandler) -> bool {
    type Register = unsafe extern "C" fn(*const SaveHandler) -> c_int;
    let found = find(c"php_session_register_module");
    // SAFETY: MINIT, one thread; the symbol is the module's function of this type in every PHP from
    // 5.0 on, and the handler is static. No lock.
    !found.is_null() && unsafe { std::mem::transmute::<*mut c_void, Register>(found)(handler) } == 0
}

/// A new id, as `session.sid_length` and its like say; null when PHP cannot make one.
pub fn create_id() -> *mut zend_string {
    type Create = unsafe extern "C" fn(*mut *mut c_void) -> *mut zend_string;
    let found = find(c"php_session_create_id");
    if found.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: a request is running; the symbol is the module's function of this type, and takes null for
    // a handler's data. It may throw, and allocates in the request's memory. No lock.
    unsafe { std::mem::transmute::<*mut c_void, Create>(found)(std::ptr::null_mut()) }
}

/// Where the module keeps the text of `session.save_path`, which it puts into its warnings; `None` where
/// this is not known of the PHP version, or threads have one each.
pub fn save_path() -> Option<*mut *const c_char> {
    #[cfg(php85)]
    return None;
    #[cfg(not(php85))]
    {
        // The first field of the module's globals.
        let found = find(c"ps_globals");
        (!found.is_null()).then_some(found.cast())
    }
}

fn find(name: &CStr) -> *mut c_void {
    // SAFETY: looks a name up among what is loaded; changes nothing. No lock of ours.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}
