//! Where counters are kept.
//!
//! Owns: the contract of a store. Refuses to do: arithmetic ([`super::policy`]) and choosing
//! quotas ([`super::rules`]). There are two kinds: a table of words ([`Words`]: [`local`] and
//! [`shm`]), to which [`Counted`] brings the policy, and [`redis`], which runs the same policy as a
//! script and stands behind [`guarded`]. `tests/limiter.rs` holds every store to one suite.
//!
//! Contract: a request is charged to all its limits or to none. A request that is refused spends
//! nothing; under concurrency a store may for a moment hold what it is about to give back, so it
//! can refuse a request that would just have fitted, and never admits one too many.

mod counted;
pub mod guarded;
pub mod local;
pub mod redis;
pub mod shm;

use std::time::Duration;

pub use counted::{Counted, Words, Write};

use super::keys::ClientKey;
use super::policy::{Verdict, Wait};
use super::rules::Limit;
use crate::clock::Timestamp;
use crate::error::Result;

/// What a client wants to be charged.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// Who.
    pub client: ClientKey,
    /// What for: the limits of one rule.
    pub limits: &'a [Limit],
    /// How many units of each.
    pub cost: u32,
    /// The present, by this host's clock. It may be a little old.
    pub now: Timestamp,
}

/// The answer: the limit that decided, and what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Position of the deciding limit in [`Charge::limits`]: of those that refuse the one that does
    /// longest, else the one with the smallest share left.
    pub limit: usize,
    /// Its verdict, with instants by this host's clock.
    pub verdict: Verdict,
}

/// What a charge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To charge every limit if all have room, else none.
    Spend,
    /// To learn what the answer would be; `remaining` and `reset` are the present ones.
    Peek,
}

/// Counts what clients spend.
pub trait Store: Send + Sync {
    /// Decides on `charge`, and with [`Intent::Spend`] carries it out.
    ///
    /// # Errors
    /// When the store cannot answer now; nothing is known then, and the rule's `on_store_failure`
    /// decides.
    fn charge(&self, charge: &Charge<'_>, intent: Intent) -> Result<Answer>;

    /// Forgets what `client` spent on `counters`.
    ///
    /// # Errors
    /// As [`Store::charge`].
    fn forget(&self, client: ClientKey, counters: &[u128]) -> Result<()>;
}

/// Folds the verdicts of a rule's limits into its answer.
#[derive(Debug, Default)]
pub(super) struct Tightest {
    found: Option<(Answer, u32)>,
}

impl Tightest {
    /// Looks at the verdict of the limit at `position`.
    pub(super) fn consider(&mut self, position: usize, limit: &Limit, verdict: Verdict) {
        let capacity = limit.quota.capacity();
        let tighter = match &self.found {
            None => true,
            Some((answer, of)) => match (answer.verdict.allowed, verdict.allowed) {
                (true, false) => true,
                (false, true) => false,
                (false, false) => longer(verdict.wait, answer.verdict.wait),
                (true, true) => {
                    u64::from(verdict.remaining) * u64::from(*of)
                        < u64::from(answer.verdict.remaining) * u64::from(capacity)
                }
            },
        };
        if tighter {
            self.found = Some((Answer { limit: position, verdict }, capacity));
        }
    }

    /// The answer, if there was a limit at all.
    pub(super) fn answer(self) -> Option<Answer> {
        self.found.map(|(answer, _)| answer)
    }
}

fn longer(this: Wait, that: Wait) -> bool {
    let length = |wait| match wait {
        Wait::For(duration) => duration,
        Wait::Forever => Duration::MAX,
    };
    length(this) > length(that)
}
