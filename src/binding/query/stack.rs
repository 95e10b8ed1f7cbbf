//! Where a query comes from: PHP's call stack.
//!
//! [`fingerprint`] hashes the positions in the code that called, which is what every query pays;
//! [`site`] reads files and lines, once for each new hash.

use ext_php_rs::ffi::{ext_php_rs_executor_globals, zend_execute_data, zend_op_array, zend_string};

use crate::binding::convert::zend::bytes_of;
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::ports::Environment;
use crate::query::component::{CallSite, Frame, Roots};

/// Frames that are looked at, the innermost first.
const DEEPEST: usize = 48;

/// Such a function's type has this bit.
const INTERNAL: u8 = 1;

/// The frame that runs.
pub fn current() -> *const zend_execute_data {
    // SAFETY: a request is running on this thread. No lock.
    unsafe { ext_php_rs_executor_globals().as_ref() }
        .map_or(std::ptr::null(), |globals| globals.current_execute_data.cast_const())
}

/// The frames of PHP code below `frame`, innermost first, with what each is about to execute.
fn frames(
    frame: *const zend_execute_data,
) -> impl Iterator<Item = (&'static zend_op_array, &'static zend_execute_data)> {
    let mut next = frame;
    let every = std::iter::from_fn(move || {
        // SAFETY: a request is running on this thread; a frame and those it was called from live as long
        // as the call, which outlives this walk, and so do their functions. Nothing is kept. No lock.
        unsafe {
            let frame: &'static zend_execute_data = next.as_ref()?;
            next = frame.prev_execute_data;
            let code = frame.func.as_ref().filter(|function| function.type_ & INTERNAL == 0);
            Some(code.map(|function| (&function.op_array, frame)))
        }
    });
    every.take(DEEPEST * 2).flatten().take(DEEPEST)
}

/// A hash of the positions that led to `frame`.
#[inline]
pub fn fingerprint(frame: *const zend_execute_data) -> u64 {
    frames(frame).fold(0, |hash: u64, (code, frame)| {
        // The file too: code of another file may come to lie where this one's was.
        let position = (frame.opline.addr() as u64) ^ (code.filename.addr() as u64).rotate_left(32);
        (hash.rotate_left(5) ^ position).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// The place that led to `frame`, in words.
pub fn site(frame: *const zend_execute_data, roots: &Roots) -> CallSite {
    let stack: Vec<Frame> = frames(frame).map(|(code, frame)| read(code, frame)).collect();
    CallSite::of(&stack, roots)
}

fn read(code: &zend_op_array, frame: &zend_execute_data) -> Frame {
    // SAFETY: as in `frames`; a frame of PHP code has its position in `opline`, null before it starts.
    let (line, class) = unsafe {
        let class = code.scope.as_ref().and_then(|class| text(class.name));
        (frame.opline.as_ref().map_or(code.line_start, |op| op.lineno), class)
    };
    Frame { file: text(code.filename).unwrap_or_default(), line, class, function: text(code.function_name) }
}

fn text(string: *const zend_string) -> Option<String> {
    // SAFETY: null, or a name that lives as long as the code it belongs to; copied at once. No lock.
    (!string.is_null()).then(|| String::from_utf8_lossy(unsafe { bytes_of(string) }).into_owned())
}

/// Where the site keeps its parts, as far as it has said so yet.
pub fn roots() -> Roots {
    let folder = |name: &str| {
        let path = PhpEnvironment.constant(name)?;
        Some(path.trim_end_matches('/').to_owned()).filter(|path| !path.is_empty())
    };
    Roots {
        site: folder("ABSPATH"),
        plugins: folder("WP_PLUGIN_DIR"),
        mu_plugins: folder("WPMU_PLUGIN_DIR"),
        content: folder("WP_CONTENT_DIR"),
    }
}
