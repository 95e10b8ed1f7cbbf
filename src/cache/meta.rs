//! What is known of a value besides its bytes: where it belongs and how long it may be served.

use std::time::Duration;

use crate::clock::Timestamp;

/// Generation slots one entry may refer to: its group and its tags.
pub const MAX_REFS: usize = 32;

/// Where keys cannot be told apart one by one, they fall on so many slots, alike on all hosts: a store
/// that pushes no invalidations counts the writes to each, and a host stops trusting the keys of one.
pub const KEY_SLOTS: usize = 64;

/// The longest key, its group included, in bytes.
pub const MAX_KEY: usize = 4096;

/// The generation slots that an entry depends on, besides its site's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refs {
    len: u8,
    slots: [u16; MAX_REFS],
}

impl Refs {
    /// The group's slot and those of the tags; `None` when there are more than [`MAX_REFS`].
    pub fn new(group: u16, tags: impl IntoIterator<Item = u16>) -> Option<Self> {
        let mut refs = Self { len: 0, slots: [0; MAX_REFS] };
        for slot in std::iter::once(group).chain(tags) {
            *refs.slots.get_mut(usize::from(refs.len))? = slot;
            refs.len += 1;
        }
        Some(refs)
    }

    /// The same from slots that were stored.
    pub fn from_slots(slots: &[u16]) -> Option<Self> {
        let mut refs = Self { len: u8::try_from(slots.len()).ok()?, slots: [0; MAX_REFS] };
        refs.slots.get_mut(..slots.len())?.copy_from_slice(slots);
        (!slots.is_empty()).then_some(refs)
    }

    /// The slots, the group's first.
    pub fn slots(&self) -> &[u16] {
        self.slots.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

const GRACE_BITS: u32 = 22;
const MAX_GRACE: u32 = (1 << GRACE_BITS) - 1;
/// From here on an instant does not fit, and as good as never is never.
const END_OF_TIME: u64 = 1 << (64 - GRACE_BITS);

/// How long a value may be served, in one word: 42 bits of milliseconds since the epoch (until the
/// year 2109), 22 bits of seconds (48 days).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    fresh_until: u64,
    grace: u32,
}

/// Whether a value may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Yes.
    Fresh,
    /// Only by those who rather have an old value than wait.
    Stale,
    /// No.
    Over,
}

impl Times {
    /// For ever.
    pub const ENDLESS: Self = Self { fresh_until: 0, grace: 0 };

    /// Fresh until `until`, then stale for `grace`. After the year 2109 that is for ever.
    pub fn until(until: Timestamp, grace: Duration) -> Self {
        let grace = u32::try_from(grace.as_secs()).unwrap_or(MAX_GRACE).min(MAX_GRACE);
        match millis(until) {
            END_OF_TIME.. => Self::ENDLESS,
            millis => Self { fresh_until: millis.max(1), grace },
        }
    }

    /// Fresh for `ttl` from `now`, then stale for `grace`; without a `ttl` for ever.
    pub fn lasting(ttl: Option<Duration>, grace: Duration, now: Timestamp) -> Self {
        ttl.map_or(Self::ENDLESS, |ttl| Self::until(now.plus(ttl), grace))
    }

    /// The age at `now`.
    pub fn age(&self, now: Timestamp) -> Age {
        let now = millis(now);
        if self.fresh_until == 0 || now < self.fresh_until {
            Age::Fresh
        } else if now < self.fresh_until + u64::from(self.grace) * 1000 {
            Age::Stale
        } else {
            Age::Over
        }
    }

    /// How long a store has to keep the value from `now`; `None` is for ever.
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        (self.fresh_until != 0).then(|| {
            let end = self.fresh_until + u64::from(self.grace) * 1000;
            Duration::from_millis(end.saturating_sub(millis(now)))
        })
    }

    /// How long it is still fresh at `now`; `None` is for ever.
    pub fn fresh_for(&self, now: Timestamp) -> Option<Duration> {
        (self.fresh_until != 0).then(|| Duration::from_millis(self.fresh_until.saturating_sub(millis(now))))
    }

    /// These times, but not beyond `end`.
    #[must_use]
    pub fn capped(&self, end: Timestamp) -> Self {
        let end = millis(end).max(1);
        if self.fresh_until != 0 && self.fresh_until <= end {
            *self
        } else {
            Self { fresh_until: end, grace: 0 }
        }
    }

    pub(super) fn pack(self) -> u64 {
        self.fresh_until << GRACE_BITS | u64::from(self.grace)
    }

    pub(super) fn unpack(word: u64) -> Self {
        Self { fresh_until: word >> GRACE_BITS, grace: word as u32 & MAX_GRACE }
    }
}

/// What is known of a value besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Of the generations that were current when the value came to be.
    pub fingerprint: u64,
    /// How long it may be served.
    pub times: Times,
    /// How long it took to compute, in milliseconds; 0 when nobody measured.
    pub cost: u32,
    /// Of [`flags`].
    pub flags: u8,
    /// Generations it depends on.
    pub refs: Refs,
}

impl Meta {
    /// What a reader is told.
    pub fn facts(&self) -> Facts {
        Facts { fingerprint: self.fingerprint, times: self.times, cost: self.cost, flags: self.flags }
    }
}

/// What a reader is told of a value that was found current: [`Meta`] without the generations. These take
/// most of its bytes, and every read would copy them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// See [`Meta::fingerprint`].
    pub fingerprint: u64,
    /// How long it may be served.
    pub times: Times,
    /// How long it took to compute, in milliseconds; 0 when nobody measured.
    pub cost: u32,
    /// Of [`flags`].
    pub flags: u8,
}

/// Bits of [`Meta::flags`].
pub mod flags {
    /// The body is one integer, kept so that it can be added to in place.
    pub const COUNTER: u8 = 1;
    /// Reading the body back runs the host's object machinery.
    pub const OBJECTS: u8 = 2;
    /// There is no value, but somebody who reads it elsewhere may store it here.
    pub const RESERVED: u8 = 16;
}

/// Milliseconds since the epoch: what expiries are counted in.
fn millis(instant: Timestamp) -> u64 {
    instant.nanos() / 1_000_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_value_ends_before_its_time(ttl in 1_u64..=u64::MAX, later in 0_u64..1 << 40, grace: u64) {
            let now = Timestamp::from_secs(1_800_000_000);
            let times = Times::lasting(Some(Duration::from_secs(ttl)), Duration::from_secs(grace), now);
            let kept = Times::unpack(times.pack());
            prop_assert_eq!(kept, times);
            if later < ttl {
                prop_assert_eq!(kept.age(now.plus(Duration::from_millis(later))), Age::Fresh);
            }
        }
    }
}
