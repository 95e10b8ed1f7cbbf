//! Redis: exact across every host that uses it.
//!
//! One round trip per check: a script charges all limits of a rule atomically, by the server's
//! clock, with the integers of [`crate::limiter::policy`]. All counters of a client carry its hash
//! as hash tag, so in a cluster they live on one node. Values expire when they are worth nothing.
//!
//! Refuses to do: decide what happens when Redis does not answer; that is [`super::guarded`].
//!
//! Needs Redis 5 or newer (scripts that read the clock and then write).

use std::sync::{Arc, LazyLock, PoisonError};
use std::time::Duration;

use redis::Value;

use super::{Answer, Charge, Intent, Tightest};
use crate::clock::{Clock, Timestamp};
use crate::limiter::keys::ClientKey;
use crate::limiter::policy::{Verdict, Wait};
use crate::remote::redis::{Replay, Script, SharedLink, shared};
use crate::remote::settings::RedisSettings;
use crate::remote::{Fault, FaultKind};

static CHARGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/charge.lua")));

/// Counters in Redis.
pub struct RedisCounters {
    link: SharedLink,
    prefix: String,
    clock: Arc<dyn Clock>,
}

impl RedisCounters {
    /// Counts in the Redis that `settings` name. `clock` only translates the server's instants.
    pub fn new(settings: &RedisSettings, clock: Arc<dyn Clock>) -> Self {
        Self { link: shared(settings), prefix: settings.prefix.clone(), clock }
    }

    pub(super) fn charge(&self, charge: &Charge<'_>, intent: Intent) -> Result<Answer, Fault> {
        let verb: &[u8] = match intent {
            Intent::Spend => b"spend",
            Intent::Peek => b"peek",
        };
        let keys: Vec<_> = charge.limits.iter().map(|limit| self.key(charge.client, limit.counter)).collect();
        let mut arguments = vec![verb.to_vec(), charge.cost.to_string().into_bytes()];
        for limit in charge.limits {
            let quota = &limit.quota;
            arguments.push(quota.algorithm().name().as_bytes().to_vec());
            let numbers = [quota.limit(), quota.window(), quota.capacity()];
            arguments.extend(numbers.map(|number| number.to_string().into_bytes()));
        }
        // When the connection breaks under a charge it is sent again. Counted twice, a request
        // makes its client wait a little early; not counted, it would be one too many.
        let reply = self.link.lock().unwrap_or_else(PoisonError::into_inner).eval(
            &CHARGE,
            &slices(&keys),
            &slices(&arguments),
            Replay::Safe,
        )?;
        answer(charge, reply, self.clock.now())
    }

    pub(super) fn forget(&self, client: ClientKey, counters: &[u128]) -> Result<(), Fault> {
        if counters.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("DEL");
        counters.iter().for_each(|counter| {
            command.arg(self.key(client, *counter));
        });
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.run(&command, Replay::Safe).map(|_| ())
    }

    fn key(&self, client: ClientKey, counter: u128) -> Vec<u8> {
        format!("{}rl:{{{client:032x}}}:{counter:032x}", self.prefix).into_bytes()
    }
}

fn slices(owned: &[Vec<u8>]) -> Vec<&[u8]> {
    owned.iter().map(Vec::as_slice).collect()
}

fn answer(charge: &Charge<'_>, reply: Value, now: Timestamp) -> Result<Answer, Fault> {
    let unexpected = || Fault::new(FaultKind::Protocol, "the script's reply is not what it returns");
    let numbers: Vec<i64> = redis::from_redis_value(reply).map_err(|_| unexpected())?;
    let mut tightest = Tightest::default();
    for (position, (limit, numbers)) in charge.limits.iter().zip(numbers.chunks_exact(4)).enumerate() {
        let [allowed, remaining, wait, reset] = numbers else { return Err(unexpected()) };
        let nanos = |number: &i64| Duration::from_nanos(u64::try_from(*number).unwrap_or(0));
        let verdict = Verdict {
            allowed: *allowed == 1,
            remaining: u32::try_from(*remaining).map_err(|_| unexpected())?,
            wait: if *wait < 0 { Wait::Forever } else { Wait::For(nanos(wait)) },
            reset: now.plus(nanos(reset)),
        };
        tightest.consider(position, limit, verdict);
    }
    tightest.answer().ok_or_else(unexpected)
}
