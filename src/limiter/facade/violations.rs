//! From bad behaviour to a ban.

use std::time::Duration;

use super::{Limiter, named};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::limiter::abuse::{DENIALS_PER_VIOLATION, Names, Strikes, USUAL_NAMES};
use crate::limiter::keys::Client;
use crate::limiter::lists::{Entry, ListKind, Listed, ListedUntil};
use crate::limiter::policy::{Quota, Verdict};
use crate::limiter::store::{Words, Write};
use crate::shm::Counter;

/// Counters of abuse, beside those of the rules.
const VIOLATIONS: u128 = 0x5ee1_0c75_9a0b_43d2_8f8e_77a6_01d4_93b1;
const STRIKES: u128 = 0xc2a1_44f0_6d3e_4b59_9be7_25f3_c80a_616d;
const NAMES: u128 = 0x1db7_93ce_f25a_40e8_a64c_3f9e_5b12_d877;

/// The kind of a violation that is only impatience.
const DENIED: &str = "denied";

const SOURCE: &str = "auto_ban";

/// The id of a client without an address: the command line.
const NOBODY: &[u8] = b"ip:unknown";

/// What a violation led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Violation {
    /// Whether the client is banned now.
    pub banned: bool,
    /// Violations in the window, this one included.
    pub violations: u32,
    /// How many ban.
    pub threshold: u32,
    /// Length of the ban that this violation began, in seconds.
    pub ban_seconds: u64,
    /// Unix time at which the ban ends; 0 without one.
    pub ban_expires: u64,
    /// Whether the client can never be banned.
    pub exempt: bool,
}

impl Limiter {
    /// Records `weight` violations of some `kind` (`failed_login`, `not_found`, …) and bans the client
    /// when they are too many. A request that came although its limit was used up is of kind
    /// `denied`, and weighs a tenth.
    ///
    /// # Errors
    /// Invalid argument for an empty client or kind or a weight below 1; an error of the segment when
    /// it has no room for the count or the ban.
    pub fn record_violation(&self, client: &[u8], kind: &str, weight: i64) -> Result<Violation> {
        if kind.trim().is_empty() {
            return Err(Error::invalid("kind", "expected a word such as 'failed_login'"));
        }
        let weight = match u32::try_from(weight) {
            Ok(weight) if weight > 0 => weight,
            _ => return Err(Error::invalid("weight", format!("expected at least 1, got {weight}"))),
        };
        self.counters.add(Counter::LimiterViolations, 1);
        let denials = if kind == DENIED { 1 } else { DENIALS_PER_VIOLATION };
        self.record(client, kind, weight.saturating_mul(denials))
    }

    /// Records a failed login as `username`. Many names from one client weigh more: each that is new
    /// beyond the first few counts as two.
    ///
    /// # Errors
    /// As [`Limiter::record_violation`].
    pub fn record_failed_login(&self, client: &[u8], username: &[u8]) -> Result<Violation> {
        let who = named(client)?;
        let now = self.clock.now();
        let name = self.keys.client(&Client::Named(&username.to_ascii_lowercase()));
        let mut spraying = false;
        self.words.update(self.keys.client(&who) ^ NAMES, now, &mut |word| {
            let mut names = Names::at(word, now, &self.settings.auto_ban);
            spraying = names.add(name) && names.count() > USUAL_NAMES;
            Some(Write { word: names.word(), idle_at: now.plus(seconds(self.settings.auto_ban.window)) })
        })?;
        match spraying {
            true => self.record_violation(client, "many_usernames", 2),
            false => self.record_violation(client, "failed_login", 1),
        }
    }

    fn record(&self, client: &[u8], kind: &str, denials: u32) -> Result<Violation> {
        let who = named(client)?;
        let auto_ban = &self.settings.auto_ban;
        let now = self.clock.now();
        let outcome = Violation { threshold: auto_ban.threshold, ..Violation::default() };
        if client == NOBODY
            || self.lists.is_protected(&Entry::of_client(&who))
            || self.is_listed(ListKind::Whitelist, client)
        {
            return Ok(Violation { exempt: true, ..outcome });
        }
        if let Some(ListedUntil::Then(end)) = self.lists.find(ListKind::Bans, &who, client, now) {
            let violations = auto_ban.threshold;
            return Ok(Violation { banned: true, violations, ban_expires: end.secs(), ..outcome });
        }
        let quota = auto_ban.quota()?;
        let verdict = self.count(&who, &quota, denials, now)?;
        let spent = quota.limit() - verdict.remaining.min(quota.limit());
        let outcome = Violation { violations: spent / DENIALS_PER_VIOLATION, ..outcome };
        if verdict.allowed && verdict.remaining > 0 || !auto_ban.enabled {
            return Ok(outcome);
        }
        let end = self.ban(&who, kind, now)?;
        Ok(Violation {
            banned: true,
            violations: auto_ban.threshold,
            ban_seconds: end.since(now).as_secs(),
            ban_expires: end.secs(),
            ..outcome
        })
    }

    fn count(&self, who: &Client<'_>, quota: &Quota, denials: u32, now: Timestamp) -> Result<Verdict> {
        let mut verdict = quota.peek(0, now, 0).verdict;
        self.words.update(self.keys.client(who) ^ VIOLATIONS, now, &mut |word| {
            let step = quota.spend(word, now, denials);
            verdict = step.verdict;
            step.write.map(|word| Write { word, idle_at: verdict.reset })
        })?;
        Ok(verdict)
    }

    /// Bans a client; when the ban ends. Its violations start again from nothing afterwards.
    fn ban(&self, who: &Client<'_>, kind: &str, now: Timestamp) -> Result<Timestamp> {
        let auto_ban = &self.settings.auto_ban;
        let key = self.keys.client(who);
        let random = (self.random)();
        let mut end = now;
        self.words.update(key ^ STRIKES, now, &mut |word| {
            let strikes = Strikes::from_word(word).before(now, auto_ban);
            let length = auto_ban.length(strikes, random);
            end = Timestamp::from_secs(now.plus(length).secs());
            let (record, idle_at) = Strikes::after(strikes, end, auto_ban);
            Some(Write { word: record.word(), idle_at })
        })?;
        let listed = Listed {
            entry: Entry::of_client(who),
            reason: kind.to_owned(),
            source: SOURCE.to_owned(),
            added: now,
            expires: Some(end),
        };
        self.lists.add(ListKind::Bans, &listed, now)?;
        self.words.remove(key ^ VIOLATIONS);
        self.counters.add(Counter::LimiterBans, 1);
        Ok(end)
    }

    /// Lifts a client's ban and forgets what led to it.
    pub(super) fn pardon(&self, who: &Client<'_>) -> Result<()> {
        let key = self.keys.client(who);
        [VIOLATIONS, STRIKES, NAMES].iter().for_each(|counter| self.words.remove(key ^ counter));
        self.lists.remove(ListKind::Bans, &Entry::of_client(who), self.clock.now())?;
        Ok(())
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}
