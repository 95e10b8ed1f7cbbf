//! When bad behaviour becomes a ban, and for how long.
//!
//! Owns: the arithmetic of violations, strikes and distinct names, on words like the quotas.
//! Refuses to do: keep a ban (a ban is a list entry that expires: [`super::lists`]) and decide who is
//! exempt (the facade does, which knows the lists).
//!
//! Violations are counted by the sliding window of [`super::policy`]. A ban doubles with every one
//! that follows within `max_ban` of the end of the last, up to `max_ban`; jitter spreads the ends, so
//! that a botnet does not come back in one second.

use std::time::Duration;

use serde_json::Value;

use super::policy::{Algorithm, Quota};
use crate::clock::Timestamp;
use crate::config::fields::Fields;
use crate::error::Result;

/// A refused request weighs this part of a violation: a client that merely polls too often should
/// meet its limit, not a ban.
pub const DENIALS_PER_VIOLATION: u32 = 10;

/// From this many names on, each further one that an address tries is a sign of password spraying.
pub const USUAL_NAMES: u32 = 5;

/// The fields of `auto_ban`.
pub(super) const KEYS: [&str; 6] = ["enabled", "threshold", "window", "ban", "max_ban", "jitter"];

/// Settings of the automatic ban.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutoBan {
    /// Whether there is one.
    pub enabled: bool,
    /// How many violations ban.
    pub threshold: u32,
    /// Within how many seconds.
    pub window: u32,
    /// Seconds of a first ban.
    pub ban: u32,
    /// Seconds of the longest ban.
    pub max_ban: u32,
    /// By what part of its length a ban may be longer or shorter.
    pub jitter: f64,
}

impl Default for AutoBan {
    fn default() -> Self {
        Self { enabled: true, threshold: 20, window: 600, ban: 600, max_ban: 86_400, jitter: 0.1 }
    }
}

impl AutoBan {
    /// Reads the array `auto_ban`; what it leaves out is the default.
    ///
    /// # Errors
    /// Invalid argument naming the field.
    pub fn read(value: &Value) -> Result<Self> {
        let fields = Fields::of("auto_ban", value, &KEYS)?;
        let default = Self::default();
        let seconds = |key: &str, default: u32| match fields.whole(key)? {
            None => Ok(default),
            Some(given) => u32::try_from(given)
                .ok()
                .filter(|seconds| *seconds > 0)
                .ok_or_else(|| fields.wrong(key, format!("expected 1 to {}, got {given}", u32::MAX))),
        };
        let ban = seconds("ban", default.ban)?;
        let read = Self {
            enabled: fields.truth("enabled")?.unwrap_or(default.enabled),
            threshold: seconds("threshold", default.threshold)?,
            window: seconds("window", default.window)?,
            ban,
            max_ban: seconds("max_ban", default.max_ban.max(ban))?,
            jitter: fields.number("jitter")?.unwrap_or(default.jitter),
        };
        if !(0.0..=1.0).contains(&read.jitter) {
            return Err(fields.wrong("jitter", format!("expected 0 to 1, got {}", read.jitter)));
        }
        if read.max_ban < ban {
            return Err(
                fields.wrong("max_ban", format!("expected at least 'ban' ({ban}), got {}", read.max_ban))
            );
        }
        read.quota().map_err(|error| fields.blame(error))?;
        Ok(read)
    }

    /// The quota of violations, in denials.
    ///
    /// # Errors
    /// Invalid argument when threshold and window do not fit into a counter.
    pub fn quota(&self) -> Result<Quota> {
        let limit = u64::from(self.threshold) * u64::from(DENIALS_PER_VIOLATION);
        Quota::new(Algorithm::SlidingWindow, limit, self.window.into(), None)
    }

    /// How long a ban lasts that follows `strikes` others. `random` is any number, evenly drawn.
    pub fn length(&self, strikes: u32, random: u64) -> Duration {
        let doubled = u64::from(self.ban) << strikes.min(31);
        let capped = doubled.min(self.max_ban.into()) as f64;
        let spread = (random >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0;
        let seconds = capped * (1.0 + self.jitter * spread);
        Duration::from_secs_f64(seconds.clamp(1.0, f64::from(self.max_ban)))
    }
}

/// A client's record of bans: how many, and when the last one ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strikes {
    count: u8,
    end: Timestamp,
}

impl Strikes {
    /// Reads a word: end in seconds (56 bits), count (8 bits).
    pub fn from_word(word: u64) -> Self {
        Self { count: word as u8, end: Timestamp::from_secs(word >> 8) }
    }

    /// The word.
    pub fn word(self) -> u64 {
        self.end.secs() << 8 | u64::from(self.count)
    }

    /// How many bans came before one that is given at `now`: none once a whole `max_ban` was quiet,
    /// and none when the record is from a future that a clock set back has left behind.
    pub fn before(self, now: Timestamp, auto_ban: &AutoBan) -> u32 {
        let memory = Duration::from_secs(auto_ban.max_ban.into());
        let remembered = now < self.end.plus(memory) && self.end < now.plus(2 * memory);
        if remembered { self.count.into() } else { 0 }
    }

    /// The record after a ban until `end` that followed `strikes` others, and until when it is kept.
    pub fn after(strikes: u32, end: Timestamp, auto_ban: &AutoBan) -> (Self, Timestamp) {
        let count = strikes.saturating_add(1).min(u8::MAX.into()) as u8;
        (Self { count, end }, end.plus(Duration::from_secs(auto_ban.max_ban.into())))
    }
}

/// Roughly how many different names an address has tried in this window, in one word.
///
/// Linear counting (Whang, Vander-Zanden, Taylor 1990) on 48 bits: exact for a handful, within a
/// few for dozens, and bounded whatever an attacker sends. Word: window index modulo 2^16, bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    window: u16,
    seen: u64,
}

const NAME_BITS: u32 = 48;

impl Names {
    /// Reads a word at `now`; the names of an earlier window are forgotten.
    pub fn at(word: u64, now: Timestamp, auto_ban: &AutoBan) -> Self {
        let window = (now.secs() / u64::from(auto_ban.window)) as u16;
        let seen = if (word >> NAME_BITS) as u16 == window { word & ((1 << NAME_BITS) - 1) } else { 0 };
        Self { window, seen }
    }

    /// The word.
    pub fn word(self) -> u64 {
        u64::from(self.window) << NAME_BITS | self.seen
    }

    /// Marks the name with this hash; true when it is (as far as can be told) a new one.
    pub fn add(&mut self, hash: u128) -> bool {
        let bit = 1 << (hash % u128::from(NAME_BITS));
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new
    }

    /// How many names there were, about.
    pub fn count(self) -> u32 {
        let empty = NAME_BITS - self.seen.count_ones();
        let bits = f64::from(NAME_BITS);
        (bits * (bits / f64::from(empty.max(1))).ln()).round() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn jitter_reaches_both_ends_and_the_cap_holds() {
        let auto_ban = AutoBan { ban: 1000, max_ban: 4000, jitter: 0.1, ..AutoBan::default() };
        let seconds = |strikes, random| auto_ban.length(strikes, random).as_secs_f64().round();
        assert_eq!((seconds(0, 0), seconds(0, u64::MAX / 2), seconds(0, u64::MAX)), (900.0, 1000.0, 1100.0));
        assert_eq!(seconds(1, u64::MAX / 2), 2000.0);
        assert_eq!((seconds(2, 0), seconds(2, u64::MAX), seconds(200, u64::MAX)), (3600.0, 4000.0, 4000.0));
    }

    #[test]
    fn distinct_names_are_counted_roughly_and_forgotten_with_the_window() {
        let auto_ban = AutoBan::default();
        let now = Timestamp::from_secs(6_000_000);
        let mut names = Names::at(0, now, &auto_ban);
        let hash = |n: u8| u128::from_le_bytes(*blake3::hash(&[n]).as_bytes().first_chunk().unwrap());
        assert_eq!((0..20).filter(|n| names.add(hash(*n))).count(), names.seen.count_ones() as usize);
        assert!((15..=25).contains(&names.count()), "{}", names.count());
        assert!(!Names::at(names.word(), now, &auto_ban).add(hash(0)), "seen before");
        let later = now.plus(Duration::from_secs(auto_ban.window.into()));
        assert_eq!(Names::at(names.word(), later, &auto_ban).count(), 0);
    }

    proptest! {
        #[test]
        fn no_word_whatever_makes_it_panic(word: u64, now in 0_u64..1 << 40, random: u64, hash: u128) {
            let (auto_ban, now) = (AutoBan::default(), Timestamp::from_secs(now));
            let strikes = Strikes::from_word(word).before(now, &auto_ban);
            let length = auto_ban.length(strikes, random);
            prop_assert!(length >= Duration::from_secs(1) && length <= Duration::from_secs(86_400));
            let mut names = Names::at(word, now, &auto_ban);
            names.add(hash);
            prop_assert!(names.count() >= 1);
        }
    }
}
