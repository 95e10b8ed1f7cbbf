//! Every conversion between PHP values and Rust ones, and nothing else.

pub mod json;
pub mod params;
pub mod record;
