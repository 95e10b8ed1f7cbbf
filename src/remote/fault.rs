//! What can go wrong with a remote store.

use std::borrow::Cow;
use std::fmt;

use crate::error::Error;

/// How a remote call failed, as coarse as its caller must react.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Nobody answered at that address, or the connection broke.
    Down,
    /// No answer within the time allowed.
    Timeout,
    /// What came back is not the protocol, or not the reply that was asked for.
    Protocol,
    /// The server refuses to work for us: credentials, permissions, loading, read-only.
    Refused,
    /// Nothing was sent: the store failed a moment ago and is given time.
    BreakerOpen,
    /// The server works but answered this command with an error (out of memory, wrong type).
    Command,
}

/// A failed remote call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    message: Cow<'static, str>,
}

impl Fault {
    /// A failure of `kind`.
    pub fn new(kind: FaultKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What the system said about the connection to `server`.
    pub(super) fn of_io(server: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{InvalidData, Other, TimedOut, WouldBlock};
        let kind = match error.kind() {
            WouldBlock | TimedOut => FaultKind::Timeout,
            InvalidData => FaultKind::Protocol,
            Other => FaultKind::Refused,
            _ => FaultKind::Down,
        };
        Self::new(kind, format!("{server}: {error}"))
    }

    /// How the call failed.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// Whether the store as a whole is of no use now: what the breaker counts.
    pub fn is_outage(&self) -> bool {
        self.kind != FaultKind::Command
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::store(fault.message)
    }
}

impl From<::redis::RedisError> for Fault {
    fn from(error: ::redis::RedisError) -> Self {
        let kind = match error.kind() {
            ::redis::ErrorKind::AuthenticationFailed => FaultKind::Refused,
            _ if error.is_timeout() => FaultKind::Timeout,
            ::redis::ErrorKind::Io => FaultKind::Down,
            _ => error.code().map_or(FaultKind::Protocol, kind_of_code),
        };
        Self::new(kind, error.to_string())
    }
}

/// Whether an error reply speaks of the whole server or of this one command.
pub(super) fn kind_of_code(code: &str) -> FaultKind {
    const WHOLE_SERVER: [&str; 9] = [
        "LOADING",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "READONLY",
        "NOAUTH",
        "WRONGPASS",
        "NOPERM",
        "BUSY",
        "MISCONF",
    ];
    if WHOLE_SERVER.contains(&code) { FaultKind::Refused } else { FaultKind::Command }
}
