//! The one error type of the crate.
//!
//! Owns: what kind of failure it was, a sentence for a person, where it happened, and whether
//! trying again can help. Refuses to do: name PHP exception classes; `binding::exceptions` holds
//! the one exhaustive map from [`Kind`] to them.
//!
//! Rule: misuse by the programmer is [`Kind::InvalidArgument`] and names the argument and what was
//! expected. Everything else is operational: the caller turns it into the documented failure
//! value, logs it and counts it.

use std::borrow::Cow;
use std::fmt;

/// What went wrong, as coarse as a caller needs to react to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The caller passed something the contract does not allow.
    InvalidArgument,
    /// A setting (php.ini, constant, option) is missing or wrong.
    Config,
    /// The cache could not do its work.
    Cache,
    /// The task queue could not do its work.
    Queue,
    /// A backup or a restore could not be done.
    Backup,
    /// The rate limiter could not do its work.
    RateLimit,
    /// An asset could not be optimized.
    Assets,
    /// A remote store (Redis, Memcached, the database) did not answer as it should.
    Store,
    /// Shared memory could not be mapped, or what is in it is not ours.
    SharedMemory,
}

impl Kind {
    /// Every kind, for tests that must not forget one.
    pub const ALL: [Kind; 9] = [
        Kind::InvalidArgument,
        Kind::Config,
        Kind::Cache,
        Kind::Queue,
        Kind::Backup,
        Kind::RateLimit,
        Kind::Assets,
        Kind::Store,
        Kind::SharedMemory,
    ];
}

/// Whether doing the same again later can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call will fail the same way.
    Never,
    /// The cause is outside and may pass.
    Later,
}

/// A failure, with what a person needs to act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: Cow<'static, str>,
    context: Option<String>,
    retry: Retry,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that trying again does not cure.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), context: None, retry: Retry::Never }
    }

    /// Misuse: `argument` was wrong, `expected` says what would have been right.
    pub fn invalid(argument: &str, expected: impl fmt::Display) -> Self {
        Self::new(Kind::InvalidArgument, format!("{argument}: {expected}"))
    }

    /// A remote store failed in a way that may pass.
    pub fn store(message: impl Into<Cow<'static, str>>) -> Self {
        Self { retry: Retry::Later, ..Self::new(Kind::Store, message) }
    }

    /// The same error with `context` (where, which file, which server) put before its message.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(match self.context {
            Some(inner) => format!("{}: {inner}", context.into()),
            None => context.into(),
        });
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether trying again later can succeed.
    pub fn retry(&self) -> Retry {
        self.retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.context {
            Some(context) => write!(f, "{context}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_reads_from_the_outside_in() {
        let error = Error::invalid("window", "expected seconds >= 1, got 0")
            .context("rule 'auth'")
            .context("slbp_rate_limits");
        assert_eq!(error.to_string(), "slbp_rate_limits: rule 'auth': window: expected seconds >= 1, got 0");
        assert_eq!(error.retry(), Retry::Never);
        assert_eq!(Error::store("timed out").retry(), Retry::Later);
    }
}
