//! This process' view of the shared segment.
use serde_json::{Value, json};
/// Maps
pub fn map() {}
/// State
pub fn describe() -> Value {
    json!({"size": 0})
}
