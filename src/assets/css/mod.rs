//! Stylesheets.
//!
//! Owns: minifying one ([`minify`]), its URLs when it moves ([`rebase`]), and joining several in
//! order ([`join`]). Refuses to do: read or write files.

pub mod join;
pub mod minify;
pub mod rebase;
