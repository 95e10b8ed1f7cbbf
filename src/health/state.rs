//! What a check or a whole site can be, and how that is told over HTTP.

/// How well something works. The order is from good to bad, so the worst of several is their maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should.
    #[default]
    Healthy,
    /// It works, and somebody should look. Also: nobody knows yet.
    Degraded,
    /// It does not work.
    Unhealthy,
}

impl State {
    /// Every state, from good to bad.
    pub const ALL: [State; 3] = [State::Healthy, State::Degraded, State::Unhealthy];

    /// The word for it in plain answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// The word for it in `application/health+json` (draft-inadarei-api-health-check-06, §3.1).
    pub const fn inadarei(self) -> &'static str {
        match self {
            Self::Healthy => "pass",
            Self::Degraded => "warn",
            Self::Unhealthy => "fail",
        }
    }

    /// The HTTP status: a degraded node still gets traffic.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Healthy | Self::Degraded => 200,
            Self::Unhealthy => 503,
        }
    }

    /// The state that people write as `name`, in either vocabulary.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "healthy" | "pass" | "ok" | "up" => Some(Self::Healthy),
            "degraded" | "warn" => Some(Self::Degraded),
            "unhealthy" | "fail" | "error" | "down" => Some(Self::Unhealthy),
            _ => None,
        }
    }

    /// What this state of one check makes of the whole: a check that is not critical never takes a
    /// node out of service.
    pub fn weighed(self, critical: bool) -> Self {
        if critical { self } else { self.min(Self::Degraded) }
    }
}

/// Who asks, and so which checks are answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Is this process alive? Depends on nothing: whoever is asked here may be killed for a no.
    Live,
    /// Shall this node get traffic?
    Ready,
    /// Does the site work, as far as that is cheap to say?
    Health,
    /// Everything, for whoever runs the site.
    Detailed,
}

impl Group {
    /// Every group.
    pub const ALL: [Group; 4] = [Group::Live, Group::Ready, Group::Health, Group::Detailed];

    /// What the group is called in settings and addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Ready => "ready",
            Self::Health => "health",
            Self::Detailed => "detailed",
        }
    }

    /// The group of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }
}

/// The groups a check belongs to. All belong to [`Group::Detailed`], none to [`Group::Live`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Whether it decides on readiness.
    pub ready: bool,
    /// Whether it is cheap enough for everybody who asks.
    pub health: bool,
}

impl Groups {
    /// Detailed alone.
    pub const DETAILED: Self = Self { ready: false, health: false };
    /// Health and detailed.
    pub const HEALTH: Self = Self { ready: false, health: true };
    /// Ready, health and detailed.
    pub const READY: Self = Self { ready: true, health: true };

    /// Whether a check with these groups is asked for `group`.
    pub const fn contains(self, group: Group) -> bool {
        match group {
            Group::Live => false,
            Group::Ready => self.ready,
            Group::Health => self.health,
            Group::Detailed => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_critical_takes_a_node_out_of_service() {
        assert_eq!(State::Unhealthy.weighed(true).http_status(), 503);
        assert_eq!(State::Unhealthy.weighed(false), State::Degraded);
        assert_eq!(State::Degraded.http_status(), 200);
    }

    #[test]
    fn names_are_read_back_in_both_vocabularies() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
            assert_eq!(State::from_name(state.inadarei()), Some(state));
        }
        assert_eq!(State::from_name("fine"), None);
    }

    #[test]
    fn liveness_depends_on_nothing() {
        for groups in [Groups::DETAILED, Groups::HEALTH, Groups::READY] {
            assert!(!groups.contains(Group::Live) && groups.contains(Group::Detailed));
        }
    }
}
