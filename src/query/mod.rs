//! What a site asks of its database, and what is wrong with it.
//!
//! Owns: the shape of a statement ([`fingerprint`]), what one request asked ([`digest`]), the same
//! over all workers in shared memory ([`shared`]), and judging it ([`policy`], [`hints`]): slow, asked
//! once per row (N+1), or asked again for nothing; and which index would help ([`advice`]).
//!
//! Refuses to do: keep a value. A statement's literals are hashed, to tell a loop over ids from a
//! repeated question, and forgotten; what is stored and shown is the fingerprint.
//!
//! Invariant: nothing here may cost a page. Reading a statement allocates nothing, every table is
//! bounded, and what does not fit is counted.

pub mod advice;
pub mod component;
pub mod digest;
pub mod fingerprint;
pub mod hints;
pub mod histogram;
mod keywords;
mod mix;
pub mod observed;
pub mod outline;
pub mod policy;
pub mod report;
pub mod settings;
pub mod shared;
mod token;
