//! The figures that rules look at: what a scrape would show, and whether the database answers.

use std::collections::BTreeMap;

use super::link;
use crate::alerts::rule::Rule;
use crate::alerts::{Reading, Readings};
use crate::binding::metrics::{registry, snapshot};
use crate::metrics::{Family, Snapshot, Value};
use crate::ports::Database;

const CONNECTIONS: &str = "slbp_database_connections";
const UP: &str = "slbp_db_up";

/// What the figures were when they were taken.
pub struct HostReadings {
    snapshot: Snapshot,
    asked: BTreeMap<&'static str, f64>,
    /// Whether the database answered; `None` when no rule made it worth asking.
    pub database_answers: Option<bool>,
}

impl HostReadings {
    /// Takes them. The database is asked on a connection of our own, and only for a rule that needs it.
    pub fn take(rules: &[Rule]) -> Self {
        let snapshot =
            registry().map(|registry| snapshot::take(&registry, &snapshot::root())).unwrap_or_default();
        let needs = |rule: &Rule| rule.enabled && (rule.metric == CONNECTIONS || rule.metric == UP);
        if !rules.iter().any(needs) {
            return Self { snapshot, asked: BTreeMap::new(), database_answers: None };
        }
        // A site whose database nobody has configured has no figure, and no alert.
        let Some(link) = link() else {
            return Self { snapshot, asked: BTreeMap::new(), database_answers: None };
        };
        let connections = threads_connected(&link);
        let asked = BTreeMap::from([
            (CONNECTIONS, connections.unwrap_or(0.0)),
            (UP, f64::from(u8::from(connections.is_some()))),
        ]);
        Self { snapshot, asked, database_answers: Some(connections.is_some()) }
    }
}

/// Whoever cannot log in cannot reach the database either, so any failure is none.
fn threads_connected(db: &dyn Database) -> Option<f64> {
    let rows = db.query("SHOW GLOBAL STATUS LIKE 'Threads_connected'").ok()?;
    rows.first()?.get(1)?.as_ref()?.parse().ok()
}

impl Readings for HostReadings {
    fn of(&self, metric: &str) -> Vec<Reading> {
        match self.asked.get(metric) {
            Some(value) => vec![Reading::of(*value)],
            None => self.snapshot.family(metric).map(of_family).unwrap_or_default(),
        }
    }
}

/// Every series; of a histogram its mean.
fn of_family(family: &Family) -> Vec<Reading> {
    let reading = |series: &crate::metrics::Series| {
        let value = match &series.value {
            Value::Number(value) => *value,
            Value::Histogram(histogram) => histogram.sum / histogram.count() as f64,
        };
        let labels = series.labels.iter().map(|(name, value)| (name.to_string(), value.clone()));
        Reading { labels: labels.collect(), value }
    };
    family.series.iter().map(reading).collect()
}
