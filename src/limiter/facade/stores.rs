//! Who counts, and who does while that one cannot.

use std::sync::LazyLock;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::limiter::keys::{Client, Keyring};
use crate::limiter::rules::{OnStoreFailure, Rule};
use crate::limiter::settings::Settings;
use crate::limiter::store::guarded::Guarded;
use crate::limiter::store::local::LocalWords;
use crate::limiter::store::redis::RedisCounters;
use crate::limiter::store::shm::SharedWords;
use crate::limiter::store::{Answer, Charge, Counted, Intent, Store};
use crate::shm::{Counter, Counters};

use super::Host;

/// How many words the last resort may hold, when even the shared table has no room.
const LOCAL_WORDS: usize = 4096;

/// The last resort is the process', not the limiter's: a host makes a limiter for each request, and
/// a count that ended with it would be none. The keys tell sites apart.
static LAST_RESORT: LazyLock<LocalWords> = LazyLock::new(|| LocalWords::new(LOCAL_WORDS));

/// Two stores. Their keys differ: the hosts that share a Redis agree on a site's keys, those of a
/// segment are secret to it.
pub(super) struct Stores {
    first: Box<dyn Store>,
    first_keys: Keyring,
    second: Box<dyn Store>,
    second_keys: Keyring,
    counters: Counters<'static>,
}

/// What the stores said, or what the rule says when they say nothing.
pub(super) enum Outcome {
    Answered(Answer),
    LetThrough,
    Refuse,
}

impl Stores {
    pub(super) fn new(settings: &Settings, host: &Host, local: Keyring) -> Result<Self> {
        let counters = host.segment.counters();
        let shared_words = || Ok::<_, Error>(SharedWords::new(host.segment.words()?));
        let in_segment = Box::new(Counted::new(shared_words()?, host.clock.clone()));
        let Some(redis) = &settings.redis else {
            let second = Box::new(Counted::new(&*LAST_RESORT, host.clock.clone()));
            return Ok(Self { first: in_segment, first_keys: local, second, second_keys: local, counters });
        };
        // Every site of this host that uses the same servers learns from one failure.
        let servers = format!("{:?}", redis.topology);
        let breaker = host.segment.hasher().key_of(&[b"limiter breaker", servers.as_bytes()]);
        let first = Guarded::new(
            RedisCounters::new(redis, host.clock.clone()),
            host.segment.cells()?.cell(breaker)?,
            shared_words()?,
            host.clock.clone(),
            counters,
        );
        let first_keys = Keyring::shared(&host.site);
        Ok(Self { first: Box::new(first), first_keys, second: in_segment, second_keys: local, counters })
    }

    /// Charges `who` under `rule`.
    pub(super) fn charge(
        &self,
        rule: &Rule,
        who: &Client<'_>,
        cost: u32,
        now: Timestamp,
        intent: Intent,
    ) -> Outcome {
        let charge = |keys: &Keyring| Charge { client: keys.client(who), limits: &rule.limits, cost, now };
        if let Ok(answer) = self.first.charge(&charge(&self.first_keys), intent) {
            return Outcome::Answered(answer);
        }
        self.counters.add(Counter::LimiterStoreFallback, 1);
        match rule.on_store_failure {
            OnStoreFailure::Open => Outcome::LetThrough,
            OnStoreFailure::Closed => Outcome::Refuse,
            OnStoreFailure::Local => match self.second.charge(&charge(&self.second_keys), intent) {
                Ok(answer) => Outcome::Answered(answer),
                Err(_) => Outcome::LetThrough,
            },
        }
    }

    /// Forgets what `who` spent on `counters`, in both.
    pub(super) fn forget(&self, who: &Client<'_>, counters: &[u128]) -> Result<()> {
        self.second.forget(self.second_keys.client(who), counters)?;
        self.first.forget(self.first_keys.client(who), counters)
    }
}
