//! The one shape of all checks.

use std::borrow::Cow;
use std::time::Duration;

use super::finding::Outcome;
use super::state::Groups;

/// What is known of a check before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `[a-z0-9_]`, up to [`NAME_BYTES`].
    pub name: Cow<'static, str>,
    /// What it measures, as `application/health+json` names such things: `responseTime`.
    pub measurement: &'static str,
    /// `datastore`, `system` or `component`.
    pub component: &'static str,
    /// Who asks for it.
    pub groups: Groups,
    /// Whether the node must get no traffic while it fails.
    pub critical: bool,
    /// How long a finding is good.
    pub ttl: Duration,
    /// How long it may take. What takes longer is degraded, whatever it says.
    pub timeout: Duration,
}

/// The longest name.
pub const NAME_BYTES: usize = 40;

impl Profile {
    /// A check of the whole report alone, not critical, good for 10 s, allowed 2 s.
    pub const fn new(name: &'static str, component: &'static str, measurement: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            measurement,
            component,
            groups: Groups::DETAILED,
            critical: false,
            ttl: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
        }
    }

    /// Asked by these groups.
    #[must_use]
    pub const fn asked_by(mut self, groups: Groups) -> Self {
        self.groups = groups;
        self
    }

    /// Decides whether the node gets traffic.
    #[must_use]
    pub const fn critical(mut self) -> Self {
        self.critical = true;
        self
    }

    /// A finding is good for so many seconds.
    #[must_use]
    pub const fn good_for(mut self, seconds: u64) -> Self {
        self.ttl = Duration::from_secs(seconds);
        self
    }
}

/// Whether `name` may be a check's.
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed)
}

/// Something that can be looked at.
pub trait Check {
    /// What is known of it.
    fn profile(&self) -> &Profile;
    /// Looks. Must end by itself within the profile's timeout, or little later.
    fn run(&self) -> Outcome;
}

/// A check that is a closure: how the host hands in what only it can see.
pub struct Probe<'a> {
    profile: Profile,
    look: Box<dyn Fn() -> Outcome + 'a>,
}

impl<'a> Probe<'a> {
    /// A check that runs `look`.
    pub fn new(profile: Profile, look: impl Fn() -> Outcome + 'a) -> Self {
        Self { profile, look: Box::new(look) }
    }
}

impl Check for Probe<'_> {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn run(&self) -> Outcome {
        (self.look)()
    }
}
