//! What a check found, and the 128 bytes in which all workers share it.

use std::time::Duration;

use super::state::State;
use crate::clock::Timestamp;
use crate::shm::PAYLOAD_BYTES;

/// What a number measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share of a whole, 0 to 100.
    Percent,
    /// Things.
    Count,
}

impl Unit {
    const ALL: [Unit; 4] = [Unit::Seconds, Unit::Bytes, Unit::Percent, Unit::Count];

    /// The unit as answers show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::Percent => "percent",
            Self::Count => "count",
        }
    }
}

/// The answer of a check.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// How it is.
    pub state: State,
    /// The number behind it.
    pub value: Option<(f64, Unit)>,
    /// A sentence for whoever runs the site; cut after some 100 bytes. Never shown to the public.
    pub message: String,
}

impl Outcome {
    /// All is well.
    pub fn healthy() -> Self {
        Self::default()
    }

    /// Somebody should look.
    pub fn degraded(message: impl Into<String>) -> Self {
        Self { state: State::Degraded, value: None, message: message.into() }
    }

    /// It does not work.
    pub fn unhealthy(message: impl Into<String>) -> Self {
        Self { state: State::Unhealthy, value: None, message: message.into() }
    }

    /// With the number behind it.
    #[must_use]
    pub fn measured(mut self, value: f64, unit: Unit) -> Self {
        self.value = Some((value, unit)).filter(|_| value.is_finite());
        self
    }

    /// `value` against two limits: from `warn` on degraded, from `fail` on unhealthy.
    pub fn graded(value: f64, unit: Unit, warn: f64, fail: f64, what: &str) -> Self {
        let state = if value >= fail {
            State::Unhealthy
        } else if value >= warn {
            State::Degraded
        } else {
            State::Healthy
        };
        let message = if state == State::Healthy { String::new() } else { what.to_owned() };
        Self { state, value: None, message }.measured(value, unit)
    }
}

/// An outcome with its date.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What was found.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
    /// How long it took to find out.
    pub took: Duration,
}

const VERSION: u8 = 1;
const HEAD: usize = 24;

/// No number behind the outcome.
const NO_UNIT: u8 = u8::MAX;

impl Finding {
    /// What is said of something that nobody has looked at yet: not a no, which would take a node
    /// out of service, and not a yes.
    pub fn unknown(message: &str, now: Timestamp) -> Self {
        Self { outcome: Outcome::degraded(message), at: now, took: Duration::ZERO }
    }

    /// The finding in a record.
    pub fn encode(&self) -> Vec<u8> {
        let unit = self.outcome.value.and_then(|(_, unit)| Unit::ALL.iter().position(|known| *known == unit));
        let value = self.outcome.value.map_or(0.0, |(value, _)| value);
        let took = u32::try_from(self.took.as_micros()).unwrap_or(u32::MAX);
        let mut bytes = vec![VERSION, self.outcome.state as u8, unit.map_or(NO_UNIT, |at| at as u8), 0];
        bytes.extend(took.to_le_bytes());
        bytes.extend(self.at.nanos().to_le_bytes());
        bytes.extend(value.to_le_bytes());
        bytes.extend(cut(&self.outcome.message, PAYLOAD_BYTES - HEAD).as_bytes());
        bytes
    }

    /// The finding of a record; `None` when it is none of ours.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, message) = bytes.split_at_checked(HEAD)?;
        let [version, state, unit, ..] = head else { return None };
        let number = |at: usize| head.get(at..at + 8)?.first_chunk::<8>().copied();
        let took = u32::from_le_bytes(*head.get(4..8)?.first_chunk()?);
        let value = f64::from_le_bytes(number(16)?);
        let outcome = Outcome {
            state: *State::ALL.get(usize::from(*state))?,
            value: Unit::ALL.get(usize::from(*unit)).map(|unit| (value, *unit)),
            message: String::from_utf8_lossy(message).into_owned(),
        };
        let at = Timestamp::from_nanos(u64::from_le_bytes(number(8)?));
        (*version == VERSION).then_some(Self { outcome, at, took: Duration::from_micros(took.into()) })
    }
}

/// The start of `text` that fits into `bytes`, without half a letter at its end.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_finding_comes_back_from_its_record(
            state in 0usize..3, unit in proptest::option::of(0usize..4), value: f64, at: u64, micros: u32, message: String
        ) {
            let mut outcome = Outcome { state: State::ALL[state], value: None, message };
            if let Some(unit) = unit { outcome = outcome.measured(value, Unit::ALL[unit]); }
            let took = Duration::from_micros(micros.into());
            let finding = Finding { outcome, at: Timestamp::from_nanos(at), took };
            let bytes = finding.encode();
            prop_assert!(bytes.len() <= PAYLOAD_BYTES);
            let back = Finding::decode(&bytes).unwrap();
            prop_assert!(finding.outcome.message.starts_with(&back.outcome.message));
            prop_assert!(finding.outcome.message.len() - back.outcome.message.len() < 4 || bytes.len() > PAYLOAD_BYTES - 4);
            prop_assert_eq!((back.at, back.took, back.outcome.state, back.outcome.value),
                (finding.at, finding.took, finding.outcome.state, finding.outcome.value));
        }

        #[test]
        fn whatever_lies_in_a_record_is_read_or_refused(bytes: Vec<u8>) {
            let _ = Finding::decode(&bytes);
        }
    }

    #[test]
    fn a_number_is_graded_against_its_limits() {
        let states =
            [10.0, 80.0, 95.0].map(|used| Outcome::graded(used, Unit::Percent, 80.0, 95.0, "full").state);
        assert_eq!(states, State::ALL);
    }
}
