//! Every conversion between PHP values and Rust ones, and nothing else.

pub mod classes;
pub mod decode;
pub mod encode;
pub mod json;
pub mod kept;
pub mod params;
pub mod record;
pub mod serializer;
mod words;
pub mod zend;
