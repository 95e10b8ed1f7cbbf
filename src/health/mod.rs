//! Health: how the node, the site and what they lean on are doing, and whether to send traffic here.
//!
//! Owns: the states and what each means over HTTP ([`state`]), the groups of checks, the findings that
//! all workers share ([`results`]), the checks themselves ([`checks`]), draining ([`drain`]), who may
//! see details ([`access`]), and what a load balancer is to be told ([`balancer`]). Refuses to do:
//! reach into other domains; the host hands in probes for the queue, the backups and the cache.
//!
//! Invariants: liveness depends on nothing; what nobody knows is degraded, never a no; a check that is
//! not critical never takes a node out of service; the public learns no version, path or message.
//!
//! ```text
//! probe → Health::report → Results::obtain → a good finding (about 50 ns), or
//!                                            one worker under a lease → Check::run → shared memory
//! ```

pub mod access;
pub mod balancer;
pub mod check;
pub mod checks;
pub mod drain;
pub mod finding;
pub mod front;
pub mod instance;
pub mod known;
pub mod render;
pub mod report;
pub mod results;
pub mod state;

use check::{Check, Profile};
use drain::Drain;
use finding::Finding;
use report::{Entry, Report};
use results::{Borrowed, Results};
use state::{Group, State};

use crate::clock::Clock;
use crate::error::Result;
use crate::shm::{Key, Segment};

/// The group of the shared table whose records are ours.
const GROUP: u16 = crate::shm::GROUPS as u16 - 1;

/// A site, as a keyed hash of what identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Site(u128);

impl Site {
    /// The site with this identity, in this segment.
    pub fn of(segment: &Segment, identity: &[u8]) -> Self {
        Self(segment.hasher().key_of(&[b"health site", identity]).bits())
    }

    /// The site with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Key::from_bits(u128::from_le_bytes(bytes)).bits())
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

/// The health of one site on this node.
pub struct Health<'a> {
    segment: &'a Segment,
    site: Site,
    clock: &'a dyn Clock,
}

impl<'a> Health<'a> {
    /// The health of `site`.
    pub fn new(segment: &'a Segment, site: Site, clock: &'a dyn Clock) -> Self {
        Self { segment, site, clock }
    }

    /// Which site it is.
    pub fn site(&self) -> Site {
        self.site
    }

    /// The flag that this node is to get no more traffic.
    pub fn drain(&self) -> Drain<'a> {
        Drain::new(self.segment, self.site, self.clock)
    }

    /// The findings that all workers share.
    ///
    /// # Errors
    /// There is no shared table.
    pub fn results(&self) -> Result<Results<'a>> {
        Results::new(self.segment, self.site, self.clock)
    }

    /// What those of `checks` that `group` asks for find.
    ///
    /// # Errors
    /// As [`Health::results`].
    pub fn report(&self, group: Group, checks: &[Box<dyn Check + '_>]) -> Result<Report> {
        let results = self.results()?;
        let asked = checks.iter().filter(|check| check.profile().groups.contains(group));
        let entries = asked
            .map(|check| Entry { profile: check.profile().clone(), finding: results.obtain(check.as_ref()) });
        let entries = entries.collect();
        Ok(Report::new(group, self.clock.now(), entries))
    }

    /// The report of somebody who can run only `own` checks and must borrow the findings of the others
    /// from the host. `None`: the host must be asked, because one of them is too old, and it is this
    /// caller's turn. While the host `is_closed` to everybody (maintenance) it is not asked, and what
    /// is not known is said to be unknown; so it is when the answer is a no anyway.
    ///
    /// # Errors
    /// As [`Health::results`].
    pub fn report_from_outside(
        &self,
        group: Group,
        own: &[Box<dyn Check + '_>],
        borrowed: &[Profile],
        is_closed: bool,
    ) -> Result<Option<Report>> {
        let (results, mut report) = (self.results()?, self.report(group, own)?);
        let is_decided = report.state == State::Unhealthy || is_closed;
        for profile in borrowed.iter().filter(|profile| profile.groups.contains(group)) {
            let finding = match results.borrow(profile) {
                Borrowed::Good(finding) => finding,
                Borrowed::Old(finding) if is_decided || !results.is_my_turn(profile) => finding,
                Borrowed::Missing if is_decided => Finding::unknown("not known yet", report.at),
                Borrowed::Old(_) | Borrowed::Missing => return Ok(None),
            };
            report.entries.push(Entry { profile: profile.clone(), finding });
        }
        Ok(Some(Report::new(group, report.at, report.entries)))
    }
}
