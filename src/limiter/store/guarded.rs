//! Redis behind a circuit breaker and a cache of denials, both in shared memory.
//!
//! Owns: that a Redis that is down or slow costs the site three short time-outs and not one per
//! request, and that a blocked client costs no round trip: a denial is kept until the instant at
//! which Redis would allow the request again. Refuses to do: answer in Redis' place; the facade asks
//! the local store then, as the rule says.
//!
//! Only a client that has nothing left is cached, and only for the cost that was refused under the
//! quota that refused it (a client may move to a larger plan meanwhile), so that what the cache says is
//! what Redis would say. A denial is two words under the counter's key, apart from the counter: until
//! when and for which cost; when the quota is whole again and which quota it was.

use std::sync::Arc;
use std::time::Duration;

use super::redis::RedisCounters;
use super::{Answer, Charge, Intent, Store, Words, Write};
use crate::clock::{Clock, NANOS_PER_SEC, Timestamp};
use crate::error::Result;
use crate::limiter::keys::ClientKey;
use crate::limiter::policy::{Quota, Verdict, Wait};
use crate::limiter::rules::Limit;
use crate::remote::Fault;
use crate::remote::breaker::{Breaker, Policy, State};
use crate::shm::{Cell, Counter, Counters};

const DENIED_UNTIL: u128 = 0x8f1d_60c3_37aa_4e0f_b1c9_5d27_e4f0_9a66;
const DENIED_RESET: u128 = 0x2b94_c7e5_0d18_4f73_86aa_f3b0_719c_e25d;

const COST_BITS: u32 = 22;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Redis with what keeps it from being asked in vain.
pub struct Guarded<W> {
    redis: RedisCounters,
    breaker: Breaker<Cell<'static>>,
    denials: W,
    clock: Arc<dyn Clock>,
    counters: Counters<'static>,
}

impl<W: Words> Guarded<W> {
    /// Guards `redis` by the breaker in `state`, and keeps denials in `denials`.
    pub fn new(
        redis: RedisCounters,
        state: Cell<'static>,
        denials: W,
        clock: Arc<dyn Clock>,
        counters: Counters<'static>,
    ) -> Self {
        Self { redis, breaker: Breaker::new(state, Policy::default()), denials, clock, counters }
    }

    fn call<T>(&self, call: impl FnOnce() -> Result<T, Fault>) -> Result<T> {
        let before = self.breaker.state();
        let result = self.breaker.call(self.clock.as_ref(), call);
        match (before, self.breaker.state()) {
            (State::Closed { .. }, State::Open { .. }) => self.counters.add(Counter::BreakerOpened, 1),
            (State::Open { .. } | State::Probing { .. }, State::Closed { .. }) => {
                self.counters.add(Counter::BreakerClosed, 1);
            }
            _ => {}
        }
        Ok(result?)
    }

    /// The longest denial that is known of this charge.
    fn denied(&self, charge: &Charge<'_>) -> Option<Answer> {
        let now = charge.now;
        let denied = |(position, limit): (usize, &Limit)| {
            let key = charge.client ^ limit.counter;
            let (until, cost) = unpack(self.read(key ^ DENIED_UNTIL, now));
            let wait = until.since(now);
            // A denial for longer than a quota can make anybody wait is from before a clock step.
            let possible = wait > Duration::ZERO && wait <= longest_wait(&limit.quota);
            if !possible || cost != charge.cost {
                return None;
            }
            let (reset, terms) = unpack_reset(self.read(key ^ DENIED_RESET, now));
            let verdict =
                Verdict { allowed: false, remaining: 0, wait: Wait::For(wait), reset: reset.max(until) };
            (terms == terms_of(&limit.quota)).then_some(Answer { limit: position, verdict })
        };
        let until = |answer: &Answer| match answer.verdict.wait {
            Wait::For(wait) => wait,
            Wait::Forever => Duration::MAX,
        };
        charge.limits.iter().enumerate().filter_map(denied).max_by_key(until)
    }

    /// A table without room only costs the round trip that the cache would have saved.
    fn remember(&self, charge: &Charge<'_>, answer: &Answer, now: Timestamp) {
        let Verdict { allowed: false, remaining: 0, wait: Wait::For(wait), reset } = answer.verdict else {
            return;
        };
        let Some(limit) = charge.limits.get(answer.limit).filter(|_| charge.cost >> COST_BITS == 0) else {
            return;
        };
        let key = charge.client ^ limit.counter;
        let until = now.plus(wait);
        let reset = pack_reset(reset, terms_of(&limit.quota));
        self.write(key ^ DENIED_RESET, now, Write { word: reset, idle_at: until });
        self.write(key ^ DENIED_UNTIL, now, Write { word: pack(until, charge.cost), idle_at: until });
    }

    fn read(&self, key: u128, now: Timestamp) -> u64 {
        let mut found = 0;
        let looked = self.denials.update(key, now, &mut |word| {
            found = word;
            None
        });
        if looked.is_ok() { found } else { 0 }
    }

    fn write(&self, key: u128, now: Timestamp, write: Write) {
        let _ = self.denials.update(key, now, &mut |_| Some(write));
    }
}

impl<W: Words> Store for Guarded<W> {
    fn charge(&self, charge: &Charge<'_>, intent: Intent) -> Result<Answer> {
        if let Some(answer) = self.denied(charge) {
            self.counters.add(Counter::LimiterDenialCached, 1);
            return Ok(answer);
        }
        let answer = self.call(|| self.redis.charge(charge, intent))?;
        self.remember(charge, &answer, self.clock.now());
        Ok(answer)
    }

    fn forget(&self, client: ClientKey, counters: &[u128]) -> Result<()> {
        for counter in counters {
            self.denials.remove(client ^ counter ^ DENIED_UNTIL);
            self.denials.remove(client ^ counter ^ DENIED_RESET);
        }
        self.call(|| self.redis.forget(client, counters))
    }
}

/// Milliseconds since the epoch (42 bits), rounded up so that the wait that is told stays true, and
/// the cost (22 bits).
fn pack(until: Timestamp, cost: u32) -> u64 {
    until.nanos().div_ceil(NANOS_PER_MILLI) << COST_BITS | u64::from(cost)
}

fn unpack(word: u64) -> (Timestamp, u32) {
    let until = Timestamp::from_nanos((word >> COST_BITS) * NANOS_PER_MILLI);
    (until, (word & ((1 << COST_BITS) - 1)) as u32)
}

/// Seconds since the epoch, rounded up as they are told (32 bits, until 2106), and the quota's terms.
fn pack_reset(reset: Timestamp, terms: u32) -> u64 {
    reset.nanos().div_ceil(NANOS_PER_SEC) << 32 | u64::from(terms)
}

fn unpack_reset(word: u64) -> (Timestamp, u32) {
    (Timestamp::from_secs(word >> 32), word as u32)
}

/// What tells a quota from another one on the same counter: limit and burst, mixed into 32 bits.
fn terms_of(quota: &Quota) -> u32 {
    quota.limit().wrapping_mul(0x9e37_79b1) ^ quota.capacity()
}

/// Two windows for the sliding window, a whole burst for GCRA.
fn longest_wait(quota: &Quota) -> Duration {
    let windows = 2 * u64::from(quota.window());
    let burst = u64::from(quota.window()) * u64::from(quota.capacity()).div_ceil(quota.limit().into());
    Duration::from_secs(windows.max(burst))
}
