//! The policy over a table of words.

use std::sync::Arc;

use super::{Answer, Charge, Intent, Store, Tightest};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Kind, Result};
use crate::limiter::keys::ClientKey;
use crate::limiter::policy::{Quota, Step, Verdict};
use crate::limiter::rules::Limit;

/// A table of 64-bit words under 128-bit keys.
pub trait Words: Send + Sync {
    /// Hands the word under `key` (0 where there is none) to `step`, and replaces it by what `step`
    /// returns, as one atomic step. `step` is called again when another process was faster. At `now`
    /// places of idle words may be given away.
    ///
    /// # Errors
    /// When a new word finds no room.
    fn update(&self, key: u128, now: Timestamp, step: &mut dyn FnMut(u64) -> Option<Write>) -> Result<()>;

    /// Drops the word under `key`.
    fn remove(&self, key: u128);
}

impl<W: Words> Words for &W {
    fn update(&self, key: u128, now: Timestamp, step: &mut dyn FnMut(u64) -> Option<Write>) -> Result<()> {
        (**self).update(key, now, step)
    }

    fn remove(&self, key: u128) {
        (**self).remove(key);
    }
}

/// A word to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The word.
    pub word: u64,
    /// From when on it is worth no more than none, so that its place may be given away.
    pub idle_at: Timestamp,
}

/// A store that counts in a table of words.
pub struct Counted<W> {
    words: W,
    clock: Arc<dyn Clock>,
}

impl<W: Words> Counted<W> {
    /// Counts in `words` by `clock`.
    pub fn new(words: W, clock: Arc<dyn Clock>) -> Self {
        Self { words, clock }
    }

    /// Reads the clock only for a word from the future, as the policy asks.
    fn step(
        &self,
        key: u128,
        start: Timestamp,
        decide: impl Fn(u64, Timestamp) -> Step,
    ) -> Result<(Verdict, Timestamp)> {
        let mut outcome = None;
        self.words.update(key, start, &mut |word| {
            let mut now = start;
            let mut step = decide(word, now);
            if step.from_the_future {
                now = self.clock.now();
                step = decide(word, now);
            }
            outcome = Some((step.verdict, now));
            step.write.map(|word| Write { word, idle_at: step.verdict.reset })
        })?;
        outcome.ok_or_else(|| Error::new(Kind::RateLimit, "the table of counters did not look one up"))
    }

    fn spend_one(&self, charge: &Charge<'_>, limit: &Limit) -> Result<(Verdict, Timestamp)> {
        let key = charge.client ^ limit.counter;
        self.step(key, charge.now, |word, now| limit.quota.spend(word, now, charge.cost))
    }

    fn give_back(&self, client: ClientKey, taken: &[(&Limit, Timestamp)], cost: u32) -> Result<()> {
        for (limit, spent) in taken {
            self.refund(client ^ limit.counter, &limit.quota, *spent, cost)?;
        }
        Ok(())
    }

    fn refund(&self, key: u128, quota: &Quota, spent: Timestamp, cost: u32) -> Result<()> {
        let now = self.clock.now();
        self.words.update(key, now, &mut |word| {
            let word = quota.refund(word, spent, cost);
            Some(Write { word, idle_at: quota.peek(word, now, 0).verdict.reset })
        })
    }

    fn peek(&self, charge: &Charge<'_>) -> Result<Answer> {
        let mut tightest = Tightest::default();
        for (position, limit) in charge.limits.iter().enumerate() {
            let key = charge.client ^ limit.counter;
            let (verdict, _) =
                self.step(key, charge.now, |word, now| limit.quota.peek(word, now, charge.cost))?;
            tightest.consider(position, limit, verdict);
        }
        tightest.answer().ok_or_else(no_limits)
    }

    /// Only under a race does a limit refuse here what a peek has just found to fit.
    fn spend_all(&self, charge: &Charge<'_>) -> Result<Answer> {
        let mut taken = Vec::with_capacity(charge.limits.len());
        let mut tightest = Tightest::default();
        for (position, limit) in charge.limits.iter().enumerate() {
            let (verdict, now) = match self.spend_one(charge, limit) {
                Ok(decided) => decided,
                Err(error) => {
                    self.give_back(charge.client, &taken, charge.cost)?;
                    return Err(error);
                }
            };
            tightest.consider(position, limit, verdict);
            if !verdict.allowed {
                self.give_back(charge.client, &taken, charge.cost)?;
                break;
            }
            taken.push((limit, now));
        }
        tightest.answer().ok_or_else(no_limits)
    }
}

impl<W: Words> Store for Counted<W> {
    fn charge(&self, charge: &Charge<'_>, intent: Intent) -> Result<Answer> {
        match (intent, charge.limits) {
            (Intent::Spend, [limit]) => {
                let (verdict, _) = self.spend_one(charge, limit)?;
                Ok(Answer { limit: 0, verdict })
            }
            (Intent::Spend, _) => match self.peek(charge)? {
                fits if fits.verdict.allowed => self.spend_all(charge),
                refused => Ok(refused),
            },
            (Intent::Peek, _) => self.peek(charge),
        }
    }

    fn forget(&self, client: ClientKey, counters: &[u128]) -> Result<()> {
        counters.iter().for_each(|counter| self.words.remove(client ^ counter));
        Ok(())
    }
}

fn no_limits() -> Error {
    Error::new(Kind::RateLimit, "a rule without limits")
}
