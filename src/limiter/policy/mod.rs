//! What a quota allows: arithmetic over one 64-bit word and an instant.
//!
//! Owns: the three algorithms, how each packs a client's whole history into one `u64`, and the
//! bounds inside which its integers are exact. Refuses to do: read a clock, know where the word is
//! kept, or name a client. A store loads a word, asks [`Quota::spend`], and writes the word that
//! comes back with one compare-and-swap, so no lock is needed and no two numbers can disagree.
//!
//! Invariants, each held by a property test below:
//! - A refused request spends nothing, and neither does a cost above the limit.
//! - [`Verdict::wait`] is true to the nanosecond: after it the same request is allowed, one
//!   nanosecond earlier it is not (as long as nobody else spends in between).
//! - The word 0 is a client that was never seen.
//! - A word from the future means that the clock was set back, or merely that another worker read
//!   it after us and wrote before us. The caller therefore reads the clock again when
//!   [`Step::from_the_future`] says so, and only what is still ahead then is moved to the present
//!   (and written back even by a peek or a refusal). Nobody waits longer than the quota itself ever
//!   makes them, whatever the clock does.
//!
//! The largest product of each algorithm stays below 2^53, so that the Lua script of the Redis
//! store, whose numbers are doubles, computes the very same integers.

mod fixed_window;
mod gcra;
mod sliding_window;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::clock::{NANOS_PER_SEC, Timestamp};
use crate::error::{Error, Result};

/// The longest window: 90 days. Its nanoseconds are the largest that a double holds exactly.
pub const MAX_WINDOW_SECS: u32 = 90 * 24 * 3600;

/// How requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Two counters, the older one fading: see [`mod@sliding_window`] for its bound.
    #[default]
    SlidingWindow,
    /// Generic cell rate algorithm: a burst, then a steady refill.
    Gcra,
    /// One counter, cleared at multiples of the window since the epoch.
    FixedWindow,
}

impl Algorithm {
    /// Every algorithm with the name it has in settings.
    pub const NAMES: [(&'static str, Algorithm); 3] = [
        ("sliding_window", Algorithm::SlidingWindow),
        ("gcra", Algorithm::Gcra),
        ("fixed_window", Algorithm::FixedWindow),
    ];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::SlidingWindow => "sliding_window",
            Self::Gcra => "gcra",
            Self::FixedWindow => "fixed_window",
        }
    }

    /// The largest limit whose arithmetic is exact over a window of `window` seconds.
    fn max_limit(self, window: u32) -> u32 {
        match self {
            Self::SlidingWindow => sliding_window::max_limit(window),
            Self::Gcra => gcra::max_limit(window),
            Self::FixedWindow => u32::MAX,
        }
    }
}

/// `limit` requests per `window` seconds, counted by one algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    algorithm: Algorithm,
    limit: u32,
    window: u32,
    burst: u32,
}

impl Quota {
    /// A quota of `limit` per `window` seconds. `burst` is how many may come at once, and is for
    /// [`Algorithm::Gcra`] only; without it that algorithm too lets a whole `limit` come at once,
    /// because "120 a minute" on a price list does not mean "two a second".
    ///
    /// # Errors
    /// Invalid argument, naming `limit`, `window` or `burst` and its bounds.
    pub fn new(algorithm: Algorithm, limit: u64, window: u64, burst: Option<u64>) -> Result<Self> {
        let window = bounded("window", window, 1, MAX_WINDOW_SECS.into(), "seconds")?;
        let most = algorithm.max_limit(window);
        let unit = format!("with algorithm {} and a window of {window} s", algorithm.name());
        let limit = bounded("limit", limit, 1, most.into(), &unit)?;
        let burst = match (algorithm, burst) {
            (Algorithm::Gcra, Some(burst)) => {
                bounded("burst", burst, 1, gcra::max_burst(limit, window).into(), &unit)?
            }
            (_, None) => limit,
            (_, Some(_)) => {
                return Err(Error::invalid("burst", "only algorithm 'gcra' has one, remove it"));
            }
        };
        Ok(Self { algorithm, limit, window, burst })
    }

    /// How requests are counted.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// How many requests a window allows.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The window in seconds.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// How many requests may come at once: the limit, or the burst of a GCRA quota.
    pub fn capacity(&self) -> u32 {
        self.burst
    }

    /// Decides on a request of `cost` units by a client whose word is `word`.
    pub fn spend(&self, word: u64, now: Timestamp, cost: u32) -> Step {
        match self.algorithm {
            Algorithm::SlidingWindow => sliding_window::spend(self, word, now, cost),
            Algorithm::Gcra => gcra::spend(self, word, now, cost),
            Algorithm::FixedWindow => fixed_window::spend(self, word, now, cost),
        }
    }

    /// What [`Quota::spend`] would say to `cost`, spending nothing. Only a word from the future is
    /// written back.
    pub fn peek(&self, word: u64, now: Timestamp, cost: u32) -> Step {
        let asked = self.spend(word, now, cost).verdict;
        let nothing = self.spend(word, now, 0);
        let verdict = Verdict { allowed: asked.allowed, wait: asked.wait, ..nothing.verdict };
        Step { verdict, ..nothing }
    }

    /// What a decision means that was made elsewhere by the same rules: `fits` says how a request of
    /// `cost` at `now` was decided, and `word` is what was kept after it.
    pub fn explain(&self, fits: bool, word: u64, now: Timestamp, cost: u32) -> Verdict {
        // A request of nothing always fits, and shows what is left.
        self.spend(word, now, if fits { 0 } else { cost }).verdict
    }

    /// The word of a client whose state is kept as numbers: which window (for [`Algorithm::Gcra`] which
    /// microsecond), and two amounts. Sliding window: what the window before it and what it has seen;
    /// fixed window: what it has seen; GCRA: by how many nanoseconds the arrival time is ahead.
    /// Amounts that no client can reach become the largest that one can.
    pub fn word_of(&self, state: [u64; 3]) -> u64 {
        let [when, first, second] = state;
        let limit = u64::from(self.limit);
        match self.algorithm {
            Algorithm::SlidingWindow => sliding_window::pack(when, first.min(limit), second.min(limit)),
            Algorithm::Gcra => when.saturating_mul(1000).saturating_add(first),
            Algorithm::FixedWindow => fixed_window::pack(when as u32, first.min(limit) as u32),
        }
    }

    /// Gives back `cost` units that [`Quota::spend`] took at `spent`, for a request that another
    /// quota refused. Never gives more than was taken.
    pub fn refund(&self, word: u64, spent: Timestamp, cost: u32) -> u64 {
        match self.algorithm {
            Algorithm::SlidingWindow => sliding_window::refund(self, word, spent, cost),
            Algorithm::Gcra => gcra::refund(self, word, cost),
            Algorithm::FixedWindow => fixed_window::refund(self, word, spent, cost),
        }
    }

    const fn window_nanos(&self) -> u64 {
        self.window as u64 * NANOS_PER_SEC
    }
}

/// The answer to one request under one quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the request may go on.
    pub allowed: bool,
    /// How many requests of cost 1 would be allowed right after this one.
    pub remaining: u32,
    /// Zero when allowed; else how long until this very request is.
    pub wait: Wait,
    /// When the whole quota is free again if the client stays quiet. From then on the word is worth
    /// no more than 0 and a store may drop it.
    pub reset: Timestamp,
}

/// How long a refused request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Exactly this long.
    For(Duration),
    /// No waiting helps: the cost is above what the quota ever allows at once.
    Forever,
}

impl Wait {
    /// No wait at all.
    pub const NONE: Wait = Wait::For(Duration::ZERO);
}

/// A verdict, and the word to keep (`None`: leave the stored one as it is).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The answer.
    pub verdict: Verdict,
    /// The word to write, when it changed.
    pub write: Option<u64>,
    /// Whether the word was written at an instant that this clock reading has not reached.
    pub from_the_future: bool,
}

fn bounded(argument: &str, value: u64, least: u64, most: u64, unit: &str) -> Result<u32> {
    match u32::try_from(value) {
        Ok(fits) if (least..=most).contains(&value) => Ok(fits),
        _ => Err(Error::invalid(argument, format!("expected {least} to {most} ({unit}), got {value}"))),
    }
}
