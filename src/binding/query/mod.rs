//! Watching what PHP asks the database, without being asked to.
//!
//! Owns: standing in for the functions and methods of mysqli and PDO that execute SQL ([`hook`]), what
//! they are ([`targets`]), where a query comes from ([`stack`]), the queries of this request
//! ([`watch`]), and the connection over which indexes are tried ([`advice`]). Refuses to do: judge them (`crate::query`), or stand before any other function: a
//! call that executes no SQL costs nothing.
//!
//! The original handler may jump away (a fatal error, a time limit), so nothing is owned and nothing is
//! borrowed while it runs. A panic of ours never reaches it: three of them end the watching.

pub mod advice;
mod hook;
pub mod results;
mod stack;
mod targets;
mod watch;

pub use hook::{install_functions, install_methods};
pub use watch::{configure, end_request, forget_request, monitor};
