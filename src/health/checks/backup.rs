//! How old the last good backup is.

use std::time::Duration;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::health::check::{Check, Probe, Profile};
use crate::health::finding::{Outcome, Unit};

/// A backup may be later than its schedule by this factor: degraded, unhealthy.
const LATE: (f64, f64) = (1.5, 3.0);

/// The backups in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupSnapshot {
    /// When the last one that can be restored was made.
    pub last: Option<Timestamp>,
    /// How often one is to be made; `None` when nobody has asked for any.
    pub every: Option<Duration>,
}

/// The age of the last backup against its schedule.
pub fn age<'a>(look: impl Fn() -> Result<BackupSnapshot, String> + 'a) -> Box<dyn Check + 'a> {
    let profile = Profile::new("backup", "component", "age").good_for(60);
    Box::new(Probe::new(profile, move || match look() {
        Ok(backups) => judge(backups, SystemClock.now()),
        Err(reason) => Outcome::degraded(reason),
    }))
}

fn judge(backups: BackupSnapshot, now: Timestamp) -> Outcome {
    let age = backups.last.map(|last| now.since(last).as_secs_f64());
    match (backups.every, age) {
        (None, None) => Outcome { message: "no backups are scheduled".to_owned(), ..Outcome::healthy() },
        (None, Some(age)) => Outcome::healthy().measured(age, Unit::Seconds),
        (Some(_), None) => Outcome::degraded("there is no backup yet"),
        (Some(every), Some(age)) => {
            let (warn, fail) = (every.as_secs_f64() * LATE.0, every.as_secs_f64() * LATE.1);
            Outcome::graded(
                age,
                Unit::Seconds,
                warn,
                fail,
                "the last backup is older than the schedule allows",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::state::State;

    #[test]
    fn a_backup_is_late_by_its_own_schedule() {
        let now = Timestamp::from_secs(1_000_000);
        let state = |age: Option<u64>, every: Option<u64>| {
            let last = age.map(|age| Timestamp::from_secs(1_000_000 - age));
            judge(BackupSnapshot { last, every: every.map(Duration::from_secs) }, now).state
        };
        assert_eq!(state(Some(86_400), Some(86_400)), State::Healthy);
        assert_eq!(state(Some(2 * 86_400), Some(86_400)), State::Degraded);
        assert_eq!(state(Some(5 * 86_400), Some(86_400)), State::Unhealthy);
        assert_eq!(state(None, Some(86_400)), State::Degraded);
        assert_eq!(state(None, None), State::Healthy);
    }
}
