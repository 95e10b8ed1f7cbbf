//! When the next backup is due: pure policy over the history of backups.
//!
//! Daily: database and configuration, incremental. Weekly: everything in full. Monthly: the same,
//! kept longer. What is due is decided from the history alone, so a run that was missed (the host
//! was down, nobody visited the site) is caught up by the next tick, once, and a backup of a
//! stronger kind stands for the weaker of the same time.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::format::{BackupType, Component, Purpose};
use crate::clock::Timestamp;

/// When backups are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The most frequent kind that is made.
    pub every: Every,
    /// The site's time zone.
    pub zone: Tz,
    /// The hour of the day, 0 to 23, site time.
    pub hour: u32,
    /// How long after the hour this site begins, so that the sites of a host do not begin at once.
    pub jitter: Duration,
    /// The components of a daily backup.
    pub daily: Vec<Component>,
    /// The components of weekly and monthly backups.
    pub weekly: Vec<Component>,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// Daily, weekly and monthly backups.
    Daily,
    /// Weekly and monthly backups.
    Weekly,
    /// Monthly backups.
    Monthly,
}

/// A backup that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What for.
    pub purpose: Purpose,
    /// On what it builds.
    pub kind: BackupType,
    /// Of what.
    pub components: Vec<Component>,
    /// Since when.
    pub since: Timestamp,
}

/// Spreads sites over `most`, always the same for the same `site`.
pub fn jitter(site: &str, most: Duration) -> Duration {
    let hash = blake3::hash(site.as_bytes());
    let number = hash.as_bytes().iter().take(4).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    Duration::from_secs(number % most.as_secs().max(1))
}

impl Schedule {
    /// What is due at `now`, given what was made and when. The strongest kind goes first.
    pub fn due(&self, now: Timestamp, history: &[(Purpose, Timestamp)]) -> Option<Due> {
        self.kinds().into_iter().find_map(|purpose| {
            let since = self.slot(purpose, now)?;
            let made = |(what, at): &(Purpose, Timestamp)| stands_for(*what, purpose) && *at >= since;
            (!history.iter().any(made)).then(|| self.job(purpose, since))
        })
    }

    /// When the next backup of any kind begins, after `now`.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let next = |purpose| {
            let today = self.local(now)?.date_naive();
            (0..=31).find_map(|days| {
                let date = today.checked_add_days(Days::new(days))?;
                let begins = self.begin(date).filter(|_| falls_on(purpose, date))?;
                (begins > now).then_some(begins)
            })
        };
        self.kinds().into_iter().filter_map(next).min()
    }

    fn kinds(&self) -> Vec<Purpose> {
        match self.every {
            Every::Daily => vec![Purpose::Monthly, Purpose::Weekly, Purpose::Daily],
            Every::Weekly => vec![Purpose::Monthly, Purpose::Weekly],
            Every::Monthly => vec![Purpose::Monthly],
        }
    }

    fn job(&self, purpose: Purpose, since: Timestamp) -> Due {
        let (kind, components) = match purpose {
            Purpose::Daily => (BackupType::Incremental, self.daily.clone()),
            _ => (BackupType::Full, self.weekly.clone()),
        };
        Due { purpose, kind, components, since }
    }

    /// The latest time at or before `now` at which `purpose` had to begin.
    fn slot(&self, purpose: Purpose, now: Timestamp) -> Option<Timestamp> {
        let today = self.local(now)?.date_naive();
        (0..=31).find_map(|days| {
            let date = today.checked_sub_days(Days::new(days))?;
            let begins = self.begin(date).filter(|_| falls_on(purpose, date))?;
            (begins <= now).then_some(begins)
        })
    }

    fn local(&self, now: Timestamp) -> Option<DateTime<Tz>> {
        let utc = DateTime::<Utc>::from_timestamp(i64::try_from(now.secs()).ok()?, 0)?;
        Some(utc.with_timezone(&self.zone))
    }

    /// When the backup of `date` begins. An hour that a clock change skips begins at the next.
    fn begin(&self, date: NaiveDate) -> Option<Timestamp> {
        let at = |hour| NaiveTime::from_hms_opt(hour, 0, 0).map(|time| date.and_time(time));
        let local = |hour| self.zone.from_local_datetime(&at(hour)?).earliest();
        let begins = local(self.hour).or_else(|| local((self.hour + 1).min(23)))?;
        Some(Timestamp::from_secs(u64::try_from(begins.timestamp()).ok()?).plus(self.jitter))
    }
}

fn falls_on(purpose: Purpose, date: NaiveDate) -> bool {
    match purpose {
        Purpose::Weekly => date.weekday() == chrono::Weekday::Sun,
        Purpose::Monthly => date.day() == 1,
        _ => true,
    }
}

/// Whether a backup made for `made` is as good as one for `wanted`.
fn stands_for(made: Purpose, wanted: Purpose) -> bool {
    let strength = |purpose| match purpose {
        Purpose::Monthly => 3,
        Purpose::Weekly => 2,
        Purpose::Daily => 1,
        Purpose::Manual | Purpose::Safety | Purpose::Drill => 0,
    };
    strength(made) >= strength(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule {
            every: Every::Daily,
            zone: Tz::Europe__Berlin,
            hour: 3,
            jitter: Duration::from_secs(600),
            daily: vec![Component::Database, Component::Config],
            weekly: vec![Component::Database, Component::Files, Component::Config],
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::from_secs(DateTime::parse_from_rfc3339(text).unwrap().timestamp() as u64)
    }

    #[test]
    fn each_kind_is_made_once_and_a_missed_one_is_caught_up() {
        // 2026-07-01 is a Wednesday.
        let schedule = schedule();
        let mut history = Vec::new();
        let mut made = Vec::new();
        let mut now = at("2026-06-30T00:00:00Z");
        while now < at("2026-07-08T00:00:00Z") {
            let down = now > at("2026-07-02T12:00:00Z") && now < at("2026-07-04T12:00:00Z");
            if let Some(due) = schedule.due(now, &history).filter(|_| !down) {
                history.push((due.purpose, now));
                made.push((due.purpose, now));
            }
            now = now.plus(Duration::from_secs(300));
        }
        use Purpose::{Daily, Monthly, Weekly};
        let expected = [
            // An empty history is behind with everything; the strongest covers all.
            (Monthly, "2026-06-30T00:00:00Z"),
            (Daily, "2026-06-30T01:10:00Z"),
            (Monthly, "2026-07-01T01:10:00Z"),
            (Daily, "2026-07-02T01:10:00Z"),
            (Daily, "2026-07-04T12:00:00Z"),
            (Weekly, "2026-07-05T01:10:00Z"),
            (Daily, "2026-07-06T01:10:00Z"),
            (Daily, "2026-07-07T01:10:00Z"),
        ];
        assert_eq!(made, expected.map(|(purpose, text)| (purpose, at(text))));
    }

    #[test]
    fn a_day_without_that_hour_has_its_backup_an_hour_later() {
        let mut schedule = schedule();
        (schedule.hour, schedule.jitter) = (2, Duration::ZERO);
        // Berlin skips from 02:00 to 03:00 on 2026-03-29.
        assert_eq!(schedule.next(at("2026-03-28T12:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
    }

    #[test]
    fn a_site_begins_at_its_own_minute() {
        let most = Duration::from_secs(3600);
        assert_eq!(jitter("a.example", most), jitter("a.example", most));
        assert_ne!(jitter("a.example", most), jitter("b.example", most));
        assert!(jitter("a.example", most) < most);
    }
}
