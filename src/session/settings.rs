//! How sessions are to be kept, apart from where.

use std::time::Duration;

use super::policy::LONGEST_LOCK;
use crate::error::{Error, Kind, Result};
use crate::ports::Environment;

/// How requests that use a session at the same time are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One after the other.
    #[default]
    Locked,
    /// All at once; the first to write wins, and the others learn that they did not.
    Optimistic,
    /// All at once, and nobody writes.
    ReadOnly,
}

impl Mode {
    /// Every mode with its name in php.ini.
    pub const ALL: [(&'static str, Self); 3] =
        [("locked", Self::Locked), ("optimistic", Self::Optimistic), ("read_only", Self::ReadOnly)];

    /// Reads a mode; `origin` is what an error message blames.
    ///
    /// # Errors
    /// [`Kind::Config`] when it is none.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode);
        found.ok_or_else(|| {
            Error::new(
                Kind::Config,
                format!("{origin}: expected locked, optimistic or read_only, got '{text}'"),
            )
        })
    }
}

/// How sessions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How requests are kept apart.
    pub mode: Mode,
    /// How long a lock lives whose holder does not give it back.
    pub lock_ttl: Duration,
    /// How long to wait for one.
    pub lock_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { mode: Mode::Locked, lock_ttl: Duration::from_secs(30), lock_wait: Duration::from_secs(10) }
    }
}

impl Settings {
    /// Reads `slbp.session_mode`, `slbp.session_lock_ttl` and `slbp.session_lock_wait`.
    ///
    /// # Errors
    /// [`Kind::Config`] that names the directive and what was expected.
    pub fn read(env: &dyn Environment) -> Result<Self> {
        let default = Self::default();
        let mode = env.ini("slbp.session_mode").map(|text| Mode::parse(&text, "php.ini slbp.session_mode"));
        Ok(Self {
            mode: mode.transpose()?.unwrap_or_default(),
            lock_ttl: seconds(env, "slbp.session_lock_ttl", Duration::from_secs(1))?
                .unwrap_or(default.lock_ttl),
            lock_wait: seconds(env, "slbp.session_lock_wait", Duration::ZERO)?.unwrap_or(default.lock_wait),
        })
    }
}

fn seconds(env: &dyn Environment, name: &str, least: Duration) -> Result<Option<Duration>> {
    let Some(text) = env.ini(name) else { return Ok(None) };
    let range = least..=LONGEST_LOCK;
    let parsed = text.trim().parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    parsed.filter(|duration| range.contains(duration)).map(Some).ok_or_else(|| {
        let (least, most) = (least.as_secs(), LONGEST_LOCK.as_secs());
        Error::new(
            Kind::Config,
            format!("php.ini {name}: expected seconds from {least} to {most}, got '{text}'"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn directives_are_read_and_wrong_ones_named() {
        let env = HashMap::from([("slbp.session_mode", "optimistic"), ("slbp.session_lock_wait", "0.5")]);
        let settings = Settings::read(&env).unwrap();
        assert_eq!((settings.mode, settings.lock_wait), (Mode::Optimistic, Duration::from_millis(500)));
        assert_eq!(settings.lock_ttl, Duration::from_secs(30));
        for (name, wrong) in
            [("slbp.session_mode", "none"), ("slbp.session_lock_ttl", "0"), ("slbp.session_lock_wait", "NAN")]
        {
            let error = Settings::read(&HashMap::from([(name, wrong)])).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
