//! One file per PHP class. A method converts, calls one domain function and converts back.

pub mod rate_limiter;
