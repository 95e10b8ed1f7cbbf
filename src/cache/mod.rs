//! The cache: shared memory in front of Redis or Memcached, kept coherent.
//!
//! Owns: what `SLBP_Performance_Optimizer`'s cache methods and the WordPress drop-in do, from the
//! encoding of a value to the order of the layers. Refuses to do: convert PHP's values; the binding
//! writes them into an [`codec::Encoder`] and builds them with a [`value::Builder`].
//!
//! From the outside in: [`facade`] is what callers use; [`l1`] is the shared memory, [`backing`] the
//! stores behind it; [`entry`] and [`auth`] are how values travel there, [`codec`] what they look
//! like; [`listener`] hears of changes that other hosts make.

pub mod auth;
pub mod backing;
pub mod codec;
pub mod entry;
pub mod facade;
pub mod keys;
pub mod l1;
pub mod listener;
pub mod meta;
pub mod settings;
pub mod value;
