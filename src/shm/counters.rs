//! Event counts that all workers add to.
//!
//! Owns: one list of events and a count for each. Adding is one relaxed atomic add. Each process
//! adds to one of sixteen stripes, picked by its pid, so that two busy workers do not fight over a
//! cache line; reading adds the stripes up.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Words of one stripe: room for this many events, so that a new one moves nothing.
const CAPACITY: usize = 128;
const STRIPES: usize = 16;

pub(super) const WORDS: usize = CAPACITY * STRIPES;
pub(super) const BYTES: usize = WORDS * size_of::<AtomicU64>();

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident => $text:literal),+ $(,)?) => {
        /// An event that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Counter { $($(#[$meta])* $name),+ }

        impl Counter {
            /// Every counter.
            pub const ALL: &'static [Counter] = &[$(Counter::$name),+];

            /// Its name in `slbp_info()` and in the metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Counter::$name => $text),+ }
            }
        }
    };
}

counters! {
    /// Requests that the limiter let through.
    LimiterAllowed => "limiter_allowed",
    /// Requests that the limiter refused.
    LimiterDenied => "limiter_denied",
    /// Requests that would have been refused outside dry-run.
    LimiterDryRun => "limiter_dry_run",
    /// Requests of banned clients.
    LimiterBanned => "limiter_banned",
    /// Requests of blacklisted clients.
    LimiterBlacklisted => "limiter_blacklisted",
    /// Requests of whitelisted clients.
    LimiterWhitelisted => "limiter_whitelisted",
    /// Checks that the local limit answered because the remote store did not.
    LimiterStoreFallback => "limiter_store_fallback",
    /// Checks answered from a cached denial.
    LimiterDenialCached => "limiter_denial_cached",
    /// Violations recorded.
    LimiterViolations => "limiter_violations",
    /// Bans begun.
    LimiterBans => "limiter_bans",
    /// Values found in shared memory.
    CacheL1Hits => "cache_l1_hits",
    /// Values not found in shared memory, though it could be trusted.
    CacheL1Misses => "cache_l1_misses",
    /// Times that shared memory was passed over, because it might be out of date.
    CacheL1Bypassed => "cache_l1_bypassed",
    /// Values found in Redis or Memcached.
    CacheL2Hits => "cache_l2_hits",
    /// Values not found there.
    CacheL2Misses => "cache_l2_misses",
    /// Calls of Redis or Memcached that failed or were not made because of earlier failures.
    CacheL2Failures => "cache_l2_failures",
    /// Values stored.
    CacheStored => "cache_stored",
    /// Values not stored because somebody else wrote since they were read.
    CacheOutrun => "cache_outrun",
    /// Values deleted.
    CacheDeleted => "cache_deleted",
    /// Values too large to be stored.
    CacheTooLarge => "cache_too_large",
    /// Entries that were not ours or not intact.
    CacheRefused => "cache_refused",
    /// Entries with objects whose signature is not the site's.
    CacheForged => "cache_forged",
    /// Values with objects that stayed in shared memory, for want of a key to sign them with.
    CacheUnsigned => "cache_unsigned",
    /// Stale values served while somebody computed new ones.
    CacheStaleServed => "cache_stale_served",
    /// Values computed anew before they expired.
    CacheEarlyRefreshes => "cache_early_refreshes",
    /// Waits for a value that somebody else computed.
    CacheWaits => "cache_waits",
    /// Such waits that ended without it.
    CacheWaitsInVain => "cache_waits_in_vain",
    /// Invalidations that Redis pushed.
    CacheInvalidations => "cache_invalidations",
    /// Times that the link on which they are pushed was lost.
    CacheLinksLost => "cache_links_lost",
    /// Deletions made up for after an outage.
    CacheReplayed => "cache_replayed",
    /// Times that a whole site was flushed after an outage, because there were too many of them.
    CacheOutageFlushes => "cache_outage_flushes",
    /// Queries that were seen.
    QueriesSeen => "queries_seen",
    /// Those that shared memory had no room for.
    QueriesDropped => "queries_dropped",
    /// Panics in what watches queries; three end it in that process.
    QueryHookPanics => "query_hook_panics",
    /// A store's circuit breaker opened.
    BreakerOpened => "breaker_opened",
    /// A store's circuit breaker closed again.
    BreakerClosed => "breaker_closed",
    /// A shared table had no room.
    TableFull => "table_full",
    /// A shared table was locked for too long.
    TableBusy => "table_busy",
    /// A lease was taken over from a dead owner.
    LeaseTakenOver => "lease_taken_over",
}

const _: () = assert!(Counter::ALL.len() <= CAPACITY);

/// Handle to the counts.
#[derive(Clone, Copy)]
pub struct Counters<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Counters<'a> {
    pub(super) fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// Counts `by` events.
    pub fn add(&self, counter: Counter, by: u64) {
        if let Some(word) = self.words.get(stripe() * CAPACITY + counter as usize) {
            word.fetch_add(by, Relaxed);
        }
    }

    /// How often the event happened since the segment was created.
    pub fn get(&self, counter: Counter) -> u64 {
        self.words.iter().skip(counter as usize).step_by(CAPACITY).map(|word| word.load(Relaxed)).sum()
    }

    /// Every count, by name.
    pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
        Counter::ALL.iter().map(|counter| (counter.name(), self.get(*counter))).collect()
    }
}

/// The stripe of this process. Remembered, because asking for the pid is a system call.
fn stripe() -> usize {
    static STRIPE: AtomicU32 = AtomicU32::new(u32::MAX);
    static WATCH_FORKS: Once = Once::new();

    extern "C" fn forget() {
        STRIPE.store(u32::MAX, Relaxed);
    }

    let known = STRIPE.load(Relaxed);
    if known != u32::MAX {
        return known as usize;
    }
    // SAFETY: `forget` does nothing but an atomic store, which is allowed in a forked child.
    WATCH_FORKS.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(forget));
    });
    let stripe = std::process::id() % STRIPES as u32;
    STRIPE.store(stripe, Relaxed);
    stripe as usize
}

/// FNV-1a over `seed`, `version` and the counters' names: what a shared file must agree on.
pub(super) const fn fingerprint(seed: u64, version: &str) -> u64 {
    let mut hash = mix(0xcbf2_9ce4_8422_2325 ^ seed, version);
    let mut rest = Counter::ALL;
    while let [counter, others @ ..] = rest {
        hash = mix(hash, counter.name());
        rest = others;
    }
    hash
}

const fn mix(mut hash: u64, text: &str) -> u64 {
    let mut rest = text.as_bytes();
    while let [byte, others @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(0x100_0000_01b3);
        rest = others;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_counter_has_its_own_name_and_the_fingerprint_knows_them() {
        let names: HashSet<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        assert_eq!(names.len(), Counter::ALL.len());
        assert_ne!(fingerprint(1, "0.1.0"), fingerprint(1, "0.1.1"));
        assert_ne!(fingerprint(1, "0.1.0"), fingerprint(2, "0.1.0"));
    }

    #[test]
    fn stripes_add_up() {
        let words: Vec<_> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        let counters = Counters::new(&words);
        counters.add(Counter::TableFull, 3);
        for stripe in 0..STRIPES {
            words[stripe * CAPACITY + Counter::TableFull as usize].fetch_add(1, Relaxed);
        }
        assert_eq!(counters.get(Counter::TableFull), 3 + STRIPES as u64);
        assert_eq!(counters.get(Counter::TableBusy), 0);
    }
}
