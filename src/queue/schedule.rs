//! When a task shall run: what people write, and the instant it means.
//!
//! Instants are microseconds since the epoch in UTC; once a task is stored, a change of the site's
//! zone does not move it. A date without an offset is wall-clock time in the site's zone, with the
//! two rules of RFC 5545 §3.3.5 that PHP follows too: a time that a forward change skips (the gap)
//! is read with the offset from before it, which moves it forward by the size of the gap; a time
//! that a backward change repeats is its first occurrence.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::error::{Error, Result};

/// What public `datetime` columns hold and show.
const COLUMN: &str = "%Y-%m-%d %H:%M:%S";

/// The last instant a `datetime` column can hold, in seconds: the end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// A site's time zone: a name of the IANA database or a fixed offset, as WordPress has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// `Europe/Berlin`.
    Named(Tz),
    /// `+05:30`.
    Fixed(FixedOffset),
}

impl Zone {
    /// Universal time.
    pub const UTC: Zone = Zone::Named(Tz::UTC);

    /// Seconds to add to UTC at the instant `micros`.
    pub fn offset_at(self, micros: i64) -> i32 {
        let utc = DateTime::from_timestamp_micros(micros).unwrap_or_default().naive_utc();
        self.offset_at_utc(utc).local_minus_utc()
    }

    /// The instant `micros` on the zone's clock, as the public columns show it.
    pub fn show(self, micros: i64) -> String {
        let local = micros.saturating_add(i64::from(self.offset_at(micros)) * 1_000_000);
        DateTime::from_timestamp_micros(local).unwrap_or_default().format(COLUMN).to_string()
    }

    /// The instant at which the zone's clock shows what a public column holds.
    pub fn read_column(self, text: &str) -> Option<i64> {
        Some(self.instant_of(NaiveDateTime::parse_from_str(text, COLUMN).ok()?))
    }

    fn offset_at_utc(self, utc: NaiveDateTime) -> FixedOffset {
        match self {
            Self::Named(zone) => zone.offset_from_utc_datetime(&utc).fix(),
            Self::Fixed(offset) => offset,
        }
    }

    fn instant_of(self, local: NaiveDateTime) -> i64 {
        let found = match self {
            Self::Named(zone) => zone.offset_from_local_datetime(&local).map(|offset| offset.fix()),
            Self::Fixed(offset) => offset.offset_from_local_datetime(&local),
        };
        // No clock change is longer than a day, so a day earlier is before the gap.
        let offset = found.earliest().unwrap_or_else(|| {
            self.offset_at_utc(local.checked_sub_signed(TimeDelta::days(1)).unwrap_or(local))
        });
        let utc = local.and_utc().timestamp_micros();
        utc.saturating_sub(i64::from(offset.local_minus_utc()) * 1_000_000)
    }
}

impl FromStr for Zone {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("time zone", format!("expected a name or an offset, got '{text}'"));
        if text.starts_with(['+', '-']) {
            return text.parse().map(Self::Fixed).map_err(|_| wrong());
        }
        text.parse().map(Self::Named).map_err(|_| wrong())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(zone) => f.write_str(zone.name()),
            Self::Fixed(offset) => offset.fmt(f),
        }
    }
}

/// Reads a date: `Y-m-d H:i:s` in `zone` (also without seconds or time, or with `T`), ISO 8601
/// with an offset or `Z`, or unix time as digits or `@digits`, with decimals if wished.
///
/// # Errors
/// Invalid argument for anything else, among it `0000-00-00` and dates outside 1970 to 9999.
pub fn parse(text: &str, zone: Zone) -> Result<i64> {
    let text = text.trim();
    let instant = unix_time(text).or_else(|| with_offset(text)).or_else(|| wall_clock(text, zone));
    instant.filter(|micros| (0..=LAST_SECOND * 1_000_000).contains(micros)).ok_or_else(|| {
        Error::invalid(
            "scheduled_at",
            format!("expected 'Y-m-d H:i:s', ISO 8601 or unix time from 1970 to 9999, got '{text}'"),
        )
    })
}

fn unix_time(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('@').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let seconds: i64 = whole.parse().ok()?;
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

fn with_offset(text: &str) -> Option<i64> {
    const FORMS: [&str; 4] =
        ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z"];
    let text = match text.strip_suffix(['Z', 'z']) {
        Some(rest) => format!("{rest}+00:00"),
        None => text.to_owned(),
    };
    FORMS.iter().find_map(|form| DateTime::parse_from_str(&text, form).ok()).map(|at| at.timestamp_micros())
}

fn wall_clock(text: &str, zone: Zone) -> Option<i64> {
    const FORMS: [&str; 4] =
        ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
    let midnight = || Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN));
    let local =
        FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()).or_else(midnight)?;
    Some(zone.instant_of(local))
}

/// An instant in ISO 8601, UTC, for messages and REST bodies.
pub fn iso(micros: i64) -> String {
    let at: DateTime<Utc> = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str, zone: &str) -> String {
        iso(parse(text, zone.parse().unwrap()).unwrap())
    }

    #[test]
    fn a_date_without_an_offset_is_on_the_sites_clock() {
        for (text, zone, instant) in [
            ("2024-01-01 09:00:00", "UTC", "2024-01-01T09:00:00Z"),
            ("2024-01-01 09:00:00", "America/New_York", "2024-01-01T14:00:00Z"),
            ("2024-07-01 09:00:00", "America/New_York", "2024-07-01T13:00:00Z"),
            ("2024-01-01T09:00", "+05:30", "2024-01-01T03:30:00Z"),
            ("2024-01-01", "Asia/Kathmandu", "2023-12-31T18:15:00Z"),
        ] {
            assert_eq!(at(text, zone), instant, "{text} {zone}");
        }
    }

    #[test]
    fn an_offset_or_unix_time_needs_no_zone() {
        for text in [
            "2024-01-01T09:00:00Z",
            "2024-01-01T10:00:00+01:00",
            "2024-01-01T10:00:00+0100",
            "2024-01-01 10:00:00.000 +01:00",
            "2024-01-01T09:00Z",
            "1704099600",
            "@1704099600",
            " 1704099600.0 ",
        ] {
            assert_eq!(at(text, "Pacific/Apia"), "2024-01-01T09:00:00Z", "{text}");
        }
        assert_eq!(parse("1704099600.25", Zone::UTC).unwrap(), 1_704_099_600_250_000);
    }

    #[test]
    fn a_skipped_time_moves_forward_by_the_gap() {
        assert_eq!(at("2024-03-31 02:30:00", "Europe/Berlin"), "2024-03-31T01:30:00Z", "03:30 summer time");
        assert_eq!(at("2024-10-06 02:15:00", "Australia/Lord_Howe"), "2024-10-05T15:45:00Z", "half an hour");
        assert_eq!(at("2011-12-30 12:00:00", "Pacific/Apia"), "2011-12-30T22:00:00Z", "a whole day");
    }

    #[test]
    fn a_repeated_time_is_the_first_one() {
        assert_eq!(at("2024-10-27 02:30:00", "Europe/Berlin"), "2024-10-27T00:30:00Z", "still summer time");
        assert_eq!(at("2024-11-03 01:30:00", "America/New_York"), "2024-11-03T05:30:00Z");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for wrong in [
            "",
            "0000-00-00 00:00:00",
            "2024-02-30 10:00:00",
            "2024-01-01 25:00:00",
            "tomorrow",
            "-5",
            "@",
            ".",
            "1969-12-31 23:59:59",
            "10000-01-01",
            "999999999999999999999",
            "2024-01-01T09:00:00+99:00",
        ] {
            assert!(parse(wrong, Zone::UTC).is_err(), "{wrong}");
        }
        assert!("Mars/Olympus".parse::<Zone>().is_err());
    }

    #[test]
    fn public_columns_show_the_sites_clock() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let winter = parse("2024-01-01T09:00:00Z", Zone::UTC).unwrap();
        assert_eq!(berlin.show(winter), "2024-01-01 10:00:00");
        assert_eq!(berlin.read_column("2024-01-01 10:00:00"), Some(winter));
        assert_eq!(berlin.read_column("0000-00-00 00:00:00"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = parse(&text, Zone::UTC);
        }

        #[test]
        fn what_a_column_shows_reads_back_unless_the_hour_repeats(seconds in 0..4_000_000_000i64) {
            let zone: Zone = "America/Sao_Paulo".parse().unwrap();
            let instant = seconds * 1_000_000;
            let read = zone.read_column(&zone.show(instant)).unwrap();
            prop_assert!(read == instant || read == instant - 3_600_000_000);
        }
    }
}
