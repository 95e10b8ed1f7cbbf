//! Seeing whether the site's database can be reached, at the moment somebody tries.
//!
//! WordPress connects through `mysqli_real_connect` and ends with an error page when that fails, before
//! a plugin runs. So the function's handler is replaced at MINIT by one that calls it and notes the
//! outcome: a scrape says at once that the database is gone, without asking it. Connections with
//! another user than WordPress' are somebody else's.

use std::panic::catch_unwind;
use std::sync::OnceLock;

use ext_php_rs::ffi::{ext_php_rs_compiler_globals, zend_function, zend_hash_str_find, zif_handler};
use ext_php_rs::types::Zval;
use ext_php_rs::zend::ExecuteData;

use super::database;
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::ports::Environment;

/// The place of `$username` among the arguments; the first is the link.
const USER: usize = 2;

static ORIGINAL: OnceLock<Handler> = OnceLock::new();

type Handler = unsafe extern "C" fn(*mut ExecuteData, *mut Zval);

/// Puts our handler before mysqli's, where mysqli is loaded. Phase: MINIT.
pub fn watch() {
    const NAME: &str = "mysqli_real_connect";
    // SAFETY: MINIT, on the only thread. Every extension's functions are in CG(function_table) before
    // the first MINIT; the entry is a pointer to a function that lives until the end of the process, and
    // its handler is exchanged before anybody calls it. No lock.
    unsafe {
        let Some(globals) = ext_php_rs_compiler_globals().as_ref() else { return };
        let entry = zend_hash_str_find(globals.function_table, NAME.as_ptr().cast(), NAME.len()).as_ref();
        let Some(function) = entry.and_then(|entry| entry.ptr::<zend_function>()?.as_mut()) else { return };
        let handler: &mut zif_handler = &mut function.internal_function.handler;
        if let Some(original) = handler.filter(|_| ORIGINAL.get().is_none()) {
            let _ = ORIGINAL.set(original);
            *handler = Some(connect);
        }
    }
}

/// Connects, then notes the outcome. Nothing of ours is held while the original runs: it may leave by
/// a jump.
unsafe extern "C" fn connect(call: *mut ExecuteData, result: *mut Zval) {
    let Some(original) = ORIGINAL.get() else { return };
    // SAFETY: the engine's own arguments, passed on as they came. A call is running on this thread.
    unsafe { original(call, result) };
    let noted = || {
        // SAFETY: the frame and its arguments live until this function returns; they are only read.
        let (call, result) = unsafe { (call.as_ref()?, result.as_ref()?) };
        // SAFETY: bounded by the number of arguments of the running call.
        let has_user = unsafe { call.This.u2.num_args } as usize > USER;
        // SAFETY: as above.
        let user =
            has_user.then(|| unsafe { call.zend_call_arg(USER) }).flatten()?.dereference().str()?.to_owned();
        (PhpEnvironment.constant("DB_USER")? == user).then(|| database::note(result.bool() == Some(true)))
    };
    // A panic must not pass into the engine.
    let _ = catch_unwind(std::panic::AssertUnwindSafe(noted));
}
