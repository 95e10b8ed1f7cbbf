//! The checks that a site's PHP has registered, as the probes see them that run before any PHP.
//!
//! Owns: up to [`MOST`] profiles per site in shared memory. One that nobody registers any more is
//! forgotten after [`KEPT`]. A probe that finds no good finding for one of them must ask PHP.

use std::time::Duration;

use super::check::{NAME_BYTES, Profile};
use super::state::Groups;
use super::{GROUP, Site};
use crate::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::shm::{Key, Record, Segment};

/// How many checks a site may register.
pub const MOST: usize = 16;

/// How long a check is known after it was last registered.
pub const KEPT: Duration = Duration::from_secs(600);

/// The registered checks of one site.
pub struct Known<'a> {
    segment: &'a Segment,
    site: Site,
    clock: &'a dyn Clock,
}

impl<'a> Known<'a> {
    /// Those of `site`.
    pub fn new(segment: &'a Segment, site: Site, clock: &'a dyn Clock) -> Self {
        Self { segment, site, clock }
    }

    /// All of them.
    pub fn profiles(&self) -> Vec<Profile> {
        (0..MOST).filter_map(|place| self.at(place)).map(|(profile, _)| profile).collect()
    }

    /// Makes a check known. Writes only when it is new, has changed, or would soon be forgotten.
    ///
    /// # Errors
    /// There are [`MOST`] others, or the shared table is full or locked for too long.
    pub fn note(&self, profile: &Profile) -> Result<()> {
        let now = self.clock.now().secs();
        let mut vacant = None;
        for place in 0..MOST {
            match self.at(place) {
                Some((known, expires)) if known.name == profile.name => {
                    let lasts = expires > now + KEPT.as_secs() / 2;
                    return if lasts && known == *profile { Ok(()) } else { self.write(place, profile, now) };
                }
                Some(_) => {}
                None => vacant = vacant.or(Some(place)),
            }
        }
        let full = || Error::new(Kind::Config, format!("more than {MOST} health checks are registered"));
        self.write(vacant.ok_or_else(full)?, profile, now)
    }

    fn write(&self, place: usize, profile: &Profile, now: u64) -> Result<()> {
        let record = Record::new(self.key(place), GROUP, Some(now + KEPT.as_secs()), &encode(profile))?;
        self.segment.records()?.put(&record, now)?;
        Ok(())
    }

    fn at(&self, place: usize) -> Option<(Profile, u64)> {
        let record = self.segment.records().ok()?.get(self.key(place), self.clock.now().secs())?;
        Some((decode(record.payload())?, record.expires?))
    }

    fn key(&self, place: usize) -> Key {
        self.segment.hasher().key_of(&[b"health check", &self.site.bytes(), &[place as u8]])
    }
}

/// A registered check, whose measurement nobody has named.
pub fn profile(name: String) -> Profile {
    Profile { name: name.into(), ..Profile::new("", "component", "status") }
}

fn encode(profile: &Profile) -> Vec<u8> {
    let flags = u8::from(profile.critical)
        | u8::from(profile.groups.ready) << 1
        | u8::from(profile.groups.health) << 2;
    let mut bytes = vec![flags];
    for duration in [profile.ttl, profile.timeout] {
        bytes.extend(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).to_le_bytes());
    }
    bytes.extend(profile.name.bytes().take(NAME_BYTES));
    bytes
}

fn decode(bytes: &[u8]) -> Option<Profile> {
    let (flags, rest) = bytes.split_first()?;
    let (ttl, rest) = rest.split_first_chunk()?;
    let (timeout, name) = rest.split_first_chunk()?;
    let millis = |bytes: &[u8; 4]| Duration::from_millis(u32::from_le_bytes(*bytes).into());
    Some(Profile {
        groups: Groups { ready: flags & 2 != 0, health: flags & 4 != 0 },
        critical: flags & 1 != 0,
        ttl: millis(ttl),
        timeout: millis(timeout),
        ..profile(String::from_utf8(name.to_vec()).ok()?)
    })
}
