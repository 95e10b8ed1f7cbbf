//! What the extension says about itself: `slbp_version()`, `slbp_info()`, phpinfo.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::ZendHashTable;
use ext_php_rs::zend::ModuleEntry;
use ext_php_rs::{info_table_end, info_table_header, info_table_row, info_table_start};

use super::convert::json;
use super::segment;

/// The extension's version, from Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Registers the functions of this file.
pub fn functions(module: ModuleBuilder<'_>) -> ModuleBuilder<'_> {
    module.function(wrap_function!(slbp_version)).function(wrap_function!(slbp_info))
}

/// The version of the extension.
#[php_function]
pub fn slbp_version() -> &'static str {
    VERSION
}

/// The state of the shared segment and of the backends, as an array.
#[php_function]
pub fn slbp_info() -> ZBox<ZendHashTable> {
    json::to_array(&segment::describe())
}

/// The slbp section of phpinfo(), with every directive below it.
pub extern "C" fn phpinfo(module: *mut ModuleEntry) {
    // A panic here would abort the worker in the middle of a page.
    let _ = std::panic::catch_unwind(|| {
        info_table_start!();
        info_table_header!("slbp", "enabled");
        info_table_row!("Version", VERSION);
        if let serde_json::Value::Object(state) = segment::describe() {
            for (name, value) in state.iter().filter(|(_, value)| !value.is_object() && !value.is_array()) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                info_table_row!(name.replace('_', " "), value);
            }
        }
        info_table_end!();
    });
    // SAFETY: PHP calls this with its own live module entry, between MINIT and MSHUTDOWN; no lock.
    unsafe { ext_php_rs::ffi::display_ini_entries(module) };
}
