//! Chance, from the operating system: lease tokens that no other worker has, and jitter.

/// A random number with 63 bits, never 0, so that it fits a signed column and differs from "none".
pub fn token() -> u64 {
    (getrandom::u64().unwrap_or_else(|_| fallback()) >> 1).max(1)
}

/// A random number in 0..1.
pub fn unit() -> f64 {
    (token() >> 10) as f64 / (1u64 << 53) as f64
}

/// The kernel has no randomness only in the first moments of a boot; the standard library's hash
/// keys, mixed per call, are then the best there is.
fn fallback() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::time::Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_units_stay_in_range() {
        let tokens: std::collections::HashSet<u64> = (0..1000).map(|_| token()).collect();
        assert_eq!(tokens.len(), 1000);
        assert!((0..1000).map(|_| unit()).all(|unit| (0.0..1.0).contains(&unit)));
    }
}
