//! How foreign errors become this crate's: one sentence that names what was being done.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::error::{Error, Kind};

/// A backup or restore cannot go on.
pub(crate) fn fault(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Backup, message)
}

/// For `map_err`: the file operation `action` on `path` failed.
pub(crate) fn file<'a>(action: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |error| fault(format!("cannot {action} {}: {error}", path.display()))
}

/// For `map_err`: the database refused while `action`. Worth another try: servers restart.
pub(crate) fn database(action: impl Display) -> impl FnOnce(mysql::Error) -> Error {
    move |error| Error::store(format!("{action}: {error}"))
}

/// For `map_err`: `what` does not have the form that this version writes.
pub(crate) fn malformed(what: impl Display) -> impl FnOnce(serde_json::Error) -> Error {
    move |error| fault(format!("{what} is malformed: {error}"))
}
