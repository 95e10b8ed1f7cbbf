//! The database: whether it answers and how fast, how far a replica is behind, and whether its clock
//! is ours (leases and due dates of the queue are on the database's clock).

use std::time::{Duration, Instant};

use crate::clock::{Clock, SystemClock};
use crate::health::check::{Check, Probe, Profile};
use crate::health::finding::{Outcome, Unit};
use crate::health::state::Groups;
use crate::ports::{Database, DatabaseFault, Row};

/// A statement that takes longer than this on an idle table is worth a look.
const SLOW: Duration = Duration::from_millis(250);

/// Seconds that two clocks may differ: degraded, unhealthy.
const SKEW: (f64, f64) = (2.0, 30.0);

/// Seconds a replica may be behind: degraded, unhealthy.
const LAG: (f64, f64) = (30.0, 300.0);

/// What is known of the check without running it: the probes before WordPress ask for it too.
pub fn profile() -> Profile {
    Profile::new("database", "datastore", "responseTime").asked_by(Groups::READY).critical().good_for(2)
}

/// Round trip of `SELECT 1` on an own connection, connecting and login included.
pub fn latency<'a>(database: &'a dyn Database) -> Box<dyn Check + 'a> {
    Box::new(Probe::new(profile(), || {
        let began = Instant::now();
        let answer = database.query("SELECT 1");
        let seconds = began.elapsed().as_secs_f64();
        match answer {
            Ok(_) => {
                Outcome::graded(seconds, Unit::Seconds, SLOW.as_secs_f64(), f64::INFINITY, "slow to answer")
            }
            Err(fault) => Outcome::unhealthy(reason(&fault)),
        }
    }))
}

/// The difference between the database's clock and ours.
pub fn clock_skew<'a>(database: &'a dyn Database) -> Box<dyn Check + 'a> {
    let profile = Profile::new("database_clock", "datastore", "clockSkew").good_for(60);
    Box::new(Probe::new(profile, || {
        let before = SystemClock.now();
        let rows = database.query("SELECT UNIX_TIMESTAMP(NOW(6))");
        let after = SystemClock.now();
        let theirs = rows.map(|rows| rows.first()?.first()?.as_ref()?.parse::<f64>().ok());
        match theirs {
            Ok(Some(theirs)) => {
                let middle = before.nanos().midpoint(after.nanos()) as f64 / 1e9;
                let skew = (theirs - middle).abs();
                Outcome::graded(
                    skew,
                    Unit::Seconds,
                    SKEW.0,
                    SKEW.1,
                    "the clocks of this host and the database differ",
                )
            }
            Ok(None) => Outcome::degraded("the database does not tell its time"),
            Err(fault) => Outcome::degraded(reason(&fault)),
        }
    }))
}

/// How far this server is behind its primary, where it is a replica and we may know.
pub fn replication<'a>(database: &'a dyn Database) -> Box<dyn Check + 'a> {
    let profile = Profile::new("database_replication", "datastore", "lag");
    Box::new(Probe::new(profile, || {
        // The newer word first; each server knows one of them.
        let newer = database.query("SHOW REPLICA STATUS");
        let answer = match newer {
            Err(fault) if !fault.is_lost() => database.query("SHOW SLAVE STATUS"),
            other => other,
        };
        match answer {
            Ok(rows) => rows.iter().map(lag).max_by_key(|outcome| outcome.state).unwrap_or_default(),
            Err(fault) if fault.is_lost() => Outcome::degraded(reason(&fault)),
            Err(_) => Outcome {
                message: "no right to see the state of replication".to_owned(),
                ..Outcome::healthy()
            },
        }
    }))
}

/// Where the statement's columns stand, on every MySQL and MariaDB since 5.0: new ones are appended.
const IO_RUNNING: usize = 10;
const SQL_RUNNING: usize = 11;
const SECONDS_BEHIND: usize = 32;

fn lag(row: &Row) -> Outcome {
    let column = |at: usize| row.get(at).and_then(Option::as_deref);
    match (column(IO_RUNNING), column(SQL_RUNNING), column(SECONDS_BEHIND).and_then(|text| text.parse().ok()))
    {
        (Some("Yes"), Some("Yes"), Some(seconds)) => {
            Outcome::graded(seconds, Unit::Seconds, LAG.0, LAG.1, "the replica is behind")
        }
        _ => Outcome::unhealthy("replication does not run"),
    }
}

fn reason(fault: &DatabaseFault) -> String {
    match fault.code {
        DatabaseFault::NO_ANSWER => "no answer".to_owned(),
        code => format!("error {code}: {fault}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::state::State;

    fn replica(io: &str, behind: Option<&str>) -> State {
        let mut row: Row = vec![None; 40];
        row[IO_RUNNING] = Some(io.to_owned());
        row[SQL_RUNNING] = Some("Yes".to_owned());
        row[SECONDS_BEHIND] = behind.map(str::to_owned);
        lag(&row).state
    }

    #[test]
    fn a_replica_is_judged_by_how_far_it_is_behind() {
        assert_eq!(replica("Yes", Some("0")), State::Healthy);
        assert_eq!(replica("Yes", Some("31")), State::Degraded);
        assert_eq!(replica("Yes", Some("4000")), State::Unhealthy);
        assert_eq!(replica("Connecting", None), State::Unhealthy);
        assert_eq!(replica("Yes", None), State::Unhealthy);
    }
}
