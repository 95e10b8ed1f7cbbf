//! A site's recent past, for the dashboard: what happened in each minute, quarter of an hour or hour.

use super::registry::Registry;
use super::table::{HistorySlot, Period, Total, Totals};
use crate::clock::Timestamp;
use crate::shm::{Counter, Counters};

/// How far back, and in which steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeframe {
    /// `1h`, `6h`, `24h` or `7d`.
    pub name: &'static str,
    /// Seconds.
    pub length: u64,
    period: Period,
}

impl Timeframe {
    /// Every timeframe.
    pub const ALL: [Timeframe; 4] = [
        Timeframe { name: "1h", length: 3_600, period: Period::Minute },
        Timeframe { name: "6h", length: 6 * 3_600, period: Period::Minute },
        Timeframe { name: "24h", length: 24 * 3_600, period: Period::Quarter },
        Timeframe { name: "7d", length: 7 * 24 * 3_600, period: Period::Hour },
    ];

    /// The timeframe of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|timeframe| timeframe.name == name)
    }

    /// Seconds between two points.
    pub fn step(&self) -> u64 {
        self.period.seconds()
    }
}

/// What happened in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// When it began, seconds since the epoch.
    pub at: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Those that ended with a status of 500 and above.
    pub errors: u64,
    /// Mean duration of a request in milliseconds; `None` without any.
    pub response_time: Option<f64>,
    /// Mean memory peak of a request in bytes; `None` without any.
    pub memory: Option<f64>,
    /// Values the cache found per hundred looked for, all sites; `None` without any.
    pub cache_hit_ratio: Option<f64>,
}

impl Point {
    fn between(at: u64, from: &Totals, to: &Totals) -> Self {
        let grown = |total: Total| {
            let of = |totals: &Totals| totals.get(total as usize).copied().unwrap_or_default();
            of(to).saturating_sub(of(from))
        };
        let mean = |total: Total, count: u64| (count > 0).then(|| grown(total) as f64 / count as f64);
        let requests = grown(Total::Requests);
        Self {
            at,
            requests,
            errors: grown(Total::Errors),
            response_time: mean(Total::Micros, requests).map(|micros| micros / 1000.0),
            memory: mean(Total::Memory, requests),
            cache_hit_ratio: mean(Total::CacheHits, grown(Total::CacheLookups))
                .map(|share| (share * 100.0).min(100.0)),
        }
    }
}

impl Registry<'_> {
    /// The points of `timeframe` until `now`, oldest first. Steps in which nothing happened are left out.
    pub fn points(&self, timeframe: Timeframe, counters: &Counters<'_>, now: Timestamp) -> Vec<Point> {
        let Some(history) = self.noted_history(counters, now) else { return Vec::new() };
        let notes = history.since(timeframe.period, now.secs().saturating_sub(timeframe.length));
        let ends = notes.iter().skip(1).map(|(_, totals)| *totals).chain([history.now()]);
        let points = notes.iter().zip(ends).map(|((at, from), to)| Point::between(*at, from, &to));
        points.filter(|point| point.requests > 0 || point.cache_hit_ratio.is_some()).collect()
    }

    /// The site's recent past, noted down if a minute has begun; `None` when there is no room for it.
    /// The cache's counts are kept elsewhere and copied here.
    pub(super) fn noted_history(&self, counters: &Counters<'_>, now: Timestamp) -> Option<&HistorySlot> {
        let history = self.history()?;
        if history.is_due(now.secs()) {
            let found = counters.get(Counter::CacheL1Hits) + counters.get(Counter::CacheL2Hits);
            let missed = counters.get(Counter::CacheL1Misses) + counters.get(Counter::CacheL1Bypassed);
            history.copy(Total::CacheHits, found);
            history.copy(Total::CacheLookups, counters.get(Counter::CacheL1Hits) + missed);
            history.note(now.secs());
        }
        Some(history)
    }

    /// Remembers an event that bears on security.
    pub fn remember_security_event(&self, counters: &Counters<'_>, now: Timestamp) {
        if let Some(history) = self.noted_history(counters, now) {
            history.add(Total::SecurityEvents, 1);
        }
    }

    /// Events that bear on security of the last 24 hours, and refused REST requests of the last hour,
    /// each to a step's precision.
    pub fn security_counts(&self, now: Timestamp) -> Option<(u64, u64)> {
        let history = self.history()?;
        let since = |period: Period, length: u64, total: Total| {
            let of = |totals: &Totals| totals.get(total as usize).copied().unwrap_or_default();
            let first = history.since(period, now.secs().saturating_sub(length)).into_iter().next();
            first.map_or(0, |(_, totals)| of(&history.now()).saturating_sub(of(&totals)))
        };
        Some((
            since(Period::Quarter, 24 * 3_600, Total::SecurityEvents),
            since(Period::Minute, 3_600, Total::RefusedRest),
        ))
    }

    /// What happened since the last full minute began: between one and two minutes. `None` before the
    /// first request.
    pub fn last_minute(&self, now: Timestamp) -> Option<Point> {
        let history = self.history()?;
        let from = (now.secs() / 60).saturating_sub(1) * 60;
        let (at, totals) = history.since(Period::Minute, from).into_iter().next()?;
        Some(Point::between(at, &totals, &history.now()))
    }
}
