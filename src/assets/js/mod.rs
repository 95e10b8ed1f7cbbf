//! Scripts.
//!
//! Owns: minifying one ([`minify`]) and running several from one file as if each were its own
//! ([`isolate`]). Refuses to do: read or write files; change what a script does.

pub mod isolate;
pub mod minify;
