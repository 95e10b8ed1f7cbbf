//! Asset optimization: stylesheets, scripts and pages that weigh less and do the same.
//!
//! Owns: minifying ([`css`], [`js`]), bundles in the upload folder ([`Assets`]), and rewriting pages
//! ([`html`]). Refuses to do: decide which files of a page are meant; change what a file means for the
//! sake of a few bytes.
//!
//! Invariant: whatever goes wrong (a file that is missing, not UTF-8, not parsable, nested a million
//! deep; a full disk; a worker that dies half way) the page works as it did without this: a call answers
//! "no", or names the original.

mod build;
pub mod css;
mod facade;
mod fitness;
mod folder;
mod guard;
pub mod html;
pub mod js;
pub mod settings;
mod source;

use std::path::Path;

pub use facade::{Assets, Optimized};
pub use fitness::Unfit;

use crate::error::{Error, Kind, Result};

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A stylesheet.
    Css,
    /// A script.
    Js,
}

impl Type {
    /// The type called `name`.
    ///
    /// # Errors
    /// Invalid argument for another than `css` and `js`.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "css" => Ok(Self::Css),
            "js" => Ok(Self::Js),
            other => Err(Error::invalid("asset_type", format!("expected 'css' or 'js', got '{other}'"))),
        }
    }

    /// The end of its files' names.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Css => "css",
            Self::Js => "js",
        }
    }

    fn is_name_of(self, path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(self.extension()))
    }
}

/// An operational failure of this domain.
fn fault(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Assets, message)
}
