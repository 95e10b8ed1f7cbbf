//! Deterministic.
