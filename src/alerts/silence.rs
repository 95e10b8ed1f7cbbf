//! Silences: nobody is told of an alert until a given time.
//!
//! A silenced alert is evaluated as ever; when the silence ends and it still fires, it is told then.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The name that silences every alert.
pub const EVERY_ALERT: &str = "*";

/// Silences of a site; the oldest gives way.
const MOST: usize = 100;

/// Nobody is to be told of `alert` until `expires`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// The alert's name, or [`EVERY_ALERT`].
    pub alert: String,
    /// Who wants it so.
    pub author: String,
    /// Why.
    pub comment: String,
    /// Since when, seconds since the epoch.
    pub created: u64,
    /// Until when, seconds since the epoch.
    pub expires: u64,
}

/// The silences of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silences {
    /// Grows with every change.
    pub generation: u64,
    list: Vec<Silence>,
}

impl Silences {
    /// Puts `silence` in the place of an earlier one of the same alert. One that ends in the past only
    /// removes it.
    pub fn put(&mut self, silence: Silence, now: Timestamp) {
        self.list.retain(|known| known.alert != silence.alert && known.expires > now.secs());
        if silence.expires > now.secs() {
            self.list.push(silence);
        }
        let too_many = self.list.len().saturating_sub(MOST);
        self.list.drain(..too_many);
        self.generation += 1;
    }

    /// The silences in force at `now`.
    pub fn current(&self, now: Timestamp) -> impl Iterator<Item = &Silence> {
        self.list.iter().filter(move |silence| silence.expires > now.secs())
    }

    /// Whether nobody is to be told of `alert` at `now`.
    pub fn cover(&self, alert: &str, now: Timestamp) -> bool {
        self.current(now).any(|silence| silence.alert == alert || silence.alert == EVERY_ALERT)
    }
}
