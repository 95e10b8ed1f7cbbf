//! Lists of queries for people: filtered, sorted, and with what to do about each.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hints::{Trouble, hint};
use super::observed::{Observed, Tally};
use super::policy::Thresholds;
use super::settings::Scope;
use crate::config::{Section, lax};
use crate::error::{Error, Result};
use crate::ports::Detached;

/// One line of a list. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Names the shape: sixteen hexadecimal digits.
    pub id: String,
    /// The shape.
    pub fingerprint: String,
    /// What it does.
    pub verb: &'static str,
    /// The first table that it names.
    pub table: String,
    /// Executions.
    pub count: u64,
    /// What they took.
    pub total_time: f64,
    /// What one took.
    pub average_time: f64,
    /// What the longest took.
    pub max_time: f64,
    /// What 95 of 100 took less than; off by at most a fifth.
    pub p95_time: f64,
    /// Executions that were slow.
    pub slow: u64,
    /// Executions that the server refused.
    pub failed: u64,
    /// Requests in which it was an N+1.
    pub n_plus_one: u64,
    /// The most executions in one such request.
    pub most_in_request: u64,
    /// Executions whose answer the same request had already.
    pub duplicates: u64,
    /// Requests that executed it.
    pub requests: u64,
    /// The part of the site that asked.
    pub component: String,
    /// Where in it.
    pub call_site: String,
    /// What to do about it; empty where nothing is wrong.
    pub hint: String,
    /// When it was last seen, unix time.
    pub last_seen: u64,
}

/// Which queries are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// All.
    All,
    /// Those with slow executions.
    Slow,
    /// Those that were an N+1.
    NPlusOne,
    /// Those asked again with the same values.
    Duplicates,
}

/// What a list is sorted by, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Time in all.
    #[default]
    TotalTime,
    /// Time of one.
    AverageTime,
    /// Time of the longest.
    MaxTime,
    /// Time that 95 of 100 took less than.
    P95Time,
    /// Executions.
    Count,
    /// When it was last seen.
    LastSeen,
}

/// `$options` of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Which requests.
    pub scope: Option<Scope>,
    /// Only of this part of the site.
    pub component: Option<String>,
    /// Only shapes with this in them.
    pub search: Option<String>,
    /// How it is sorted.
    pub order: Order,
    /// How many lines at most.
    pub limit: usize,
}

const OPTIONS: Section =
    Section { name: "$options", keys: &["scope", "component", "search", "order", "limit"], fallbacks: &[] };

/// Lines of a list when nobody says.
const PAGE: u64 = 50;

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    scope: Option<Scope>,
    #[serde(deserialize_with = "lax::text")]
    component: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    search: Option<String>,
    order: Order,
    #[serde(deserialize_with = "lax::u64")]
    limit: u64,
}

impl Default for Raw {
    fn default() -> Self {
        Self { scope: None, component: None, search: None, order: Order::default(), limit: PAGE }
    }
}

impl Options {
    /// Reads `$options`.
    ///
    /// # Errors
    /// Invalid argument for an unknown option or a wrong value.
    pub fn read(options: Value) -> Result<Self> {
        let raw: Raw = OPTIONS.read(options, &Detached::default())?;
        let limit = usize::try_from(raw.limit).ok().filter(|limit| (1..=1000).contains(limit));
        Ok(Self {
            scope: raw.scope,
            component: raw.component,
            search: raw.search,
            order: raw.order,
            limit: limit
                .ok_or_else(|| Error::invalid("limit", format!("expected 1 to 1000, got {}", raw.limit)))?,
        })
    }

    fn wants(&self, list: List, query: &Observed) -> bool {
        let is_listed = match list {
            List::All => true,
            List::Slow => query.tally.slow > 0,
            List::NPlusOne => query.n_plus_one > 0,
            List::Duplicates => query.duplicates > 0,
        };
        is_listed
            && self.component.as_ref().is_none_or(|wanted| query.site.component.label() == *wanted)
            && self.search.as_ref().is_none_or(|wanted| contains(&query.shape, wanted))
    }
}

fn contains(text: &str, wanted: &str) -> bool {
    text.to_lowercase().contains(&wanted.to_lowercase())
}

/// The lines of `list`.
pub fn rows(seen: impl IntoIterator<Item = Observed>, list: List, options: &Options) -> Vec<Row> {
    let mut rows: Vec<Row> =
        seen.into_iter().filter(|query| options.wants(list, query)).map(|query| row(&query, list)).collect();
    rows.sort_by(|one, other| {
        options.order.of(other).total_cmp(&options.order.of(one)).then_with(|| one.id.cmp(&other.id))
    });
    rows.truncate(options.limit);
    rows
}

impl Order {
    fn of(self, row: &Row) -> f64 {
        match self {
            Order::TotalTime => row.total_time,
            Order::AverageTime => row.average_time,
            Order::MaxTime => row.max_time,
            Order::P95Time => row.p95_time,
            Order::Count => row.count as f64,
            Order::LastSeen => row.last_seen as f64,
        }
    }
}

fn row(query: &Observed, list: List) -> Row {
    let Tally { count, total, max, failed, slow, histogram } = &query.tally;
    Row {
        id: format!("{:016x}", query.fingerprint),
        fingerprint: query.shape.clone(),
        verb: query.verb.name(),
        table: query.table.clone(),
        count: *count,
        total_time: seconds(*total),
        average_time: seconds(*total) / (*count).max(1) as f64,
        max_time: seconds(*max),
        p95_time: seconds(histogram.quantile(0.95).min(*max)),
        slow: *slow,
        failed: *failed,
        n_plus_one: query.n_plus_one,
        most_in_request: query.worst,
        duplicates: query.duplicates,
        requests: query.requests,
        component: query.site.component.label(),
        call_site: query.site.place.clone(),
        hint: trouble(query, list).map(|trouble| hint(trouble, query).to_owned()).unwrap_or_default(),
        last_seen: query.last_seen,
    }
}

/// What a list is about; in the list of all the worst that is wrong with a query.
fn trouble(query: &Observed, list: List) -> Option<Trouble> {
    match list {
        List::Slow => Some(Trouble::Slow),
        List::NPlusOne => Some(Trouble::NPlusOne),
        List::Duplicates => Some(Trouble::Duplicate),
        List::All if query.n_plus_one > 0 => Some(Trouble::NPlusOne),
        List::All if query.tally.slow > 0 => Some(Trouble::Slow),
        List::All if query.duplicates > 0 => Some(Trouble::Duplicate),
        List::All => None,
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// All queries in numbers. Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Executions.
    pub total_queries: u64,
    /// Executions that were slow.
    pub slow_queries: u64,
    /// What one took.
    pub average_execution_time: f64,
    /// What all took.
    pub total_execution_time: f64,
    /// Executions that the server refused.
    pub failed_queries: u64,
    /// Shapes and places that were an N+1.
    pub n_plus_one: u64,
    /// Executions whose answer the same request had already.
    pub duplicates: u64,
    /// Different shapes and places.
    pub distinct_queries: u64,
    /// From when on a query is slow.
    pub slow_query_threshold: f64,
    /// The ten that took most time.
    pub top: Vec<Row>,
}

/// Sums up. `totals` is what was counted beside the list, when there is more than is in it.
pub fn stats(seen: Vec<Observed>, totals: Option<Tally>, thresholds: &Thresholds) -> Stats {
    let totals = totals.unwrap_or_else(|| {
        let mut sum = Tally::default();
        seen.iter().for_each(|query| sum.merge(&query.tally));
        sum
    });
    Stats {
        total_queries: totals.count,
        slow_queries: totals.slow,
        average_execution_time: seconds(totals.total) / totals.count.max(1) as f64,
        total_execution_time: seconds(totals.total),
        failed_queries: totals.failed,
        n_plus_one: seen.iter().filter(|query| query.n_plus_one > 0).count() as u64,
        duplicates: seen.iter().map(|query| query.duplicates).sum(),
        distinct_queries: seen.len() as u64,
        slow_query_threshold: thresholds.slow.as_secs_f64(),
        top: rows(seen, List::All, &Options { limit: 10, ..Options::default() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::component::{CallSite, Component};
    use crate::query::outline::Verb;
    use serde_json::json;

    fn seen(number: u64, component: Component, nanos: &[u64]) -> Observed {
        let mut tally = Tally::default();
        nanos.iter().for_each(|nanos| tally.record(*nanos, false, *nanos >= 1_000_000_000));
        Observed {
            fingerprint: number,
            shape: format!("SELECT a{number} FROM wp_postmeta"),
            verb: Verb::Select,
            table: "wp_postmeta".to_owned(),
            site: CallSite { component, place: "a.php:1".to_owned() },
            tally,
            n_plus_one: u64::from(number == 1),
            worst: 0,
            duplicates: 0,
            requests: 1,
            last_seen: number,
        }
    }

    fn sample() -> Vec<Observed> {
        vec![
            seen(1, Component::Plugin("billing".into()), &[1_000_000; 40]),
            seen(2, Component::Core, &[2_000_000_000]),
            seen(3, Component::Core, &[1_000]),
        ]
    }

    #[test]
    fn lists_hold_what_they_are_about_sorted_and_with_a_remedy() {
        let options = Options::read(json!({"limit": "2"})).unwrap();
        let ids = |list| rows(sample(), list, &options).iter().map(|row| row.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(List::All), ["0000000000000002", "0000000000000001"]);
        assert_eq!(ids(List::Slow), ["0000000000000002"]);
        assert_eq!(ids(List::NPlusOne), ["0000000000000001"]);
        let [row] = rows(sample(), List::NPlusOne, &options).try_into().unwrap();
        assert!(row.hint.contains("update_meta_cache"));
        assert_eq!((row.count, row.component.as_str(), row.total_time), (40, "plugin:billing", 0.04));
        assert!(row.p95_time <= row.max_time);
        let by_count =
            Options { order: Order::Count, component: Some("core".into()), limit: 9, ..Options::default() };
        assert_eq!(rows(sample(), List::All, &by_count).len(), 2);
        let found = Options { search: Some("A3 from".into()), limit: 9, ..Options::default() };
        assert_eq!(rows(sample(), List::All, &found).len(), 1);
    }

    #[test]
    fn wrong_options_are_named() {
        for (wrong, named) in [
            (json!({"limit": 0}), "limit"),
            (json!({"order": "size"}), "order"),
            (json!({"scop": 1}), "scope"),
        ] {
            assert!(Options::read(wrong.clone()).unwrap_err().to_string().contains(named), "{wrong}");
        }
    }

    #[test]
    fn everything_adds_up() {
        let stats = stats(sample(), None, &Thresholds::default());
        assert_eq!((stats.total_queries, stats.slow_queries, stats.n_plus_one), (42, 1, 1));
        assert!((stats.total_execution_time - 2.040_001).abs() < 1e-9);
        assert_eq!(stats.top.len(), 3);
    }
}
