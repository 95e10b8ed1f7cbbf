//! Metrics: counters, gauges and histograms that every worker adds to and any worker can show.
//!
//! | what | type |
//! |---|---|
//! | what a metric is called and made of | [`Definition`] |
//! | the metrics of a site in shared memory | [`Registry`] |
//! | the php-fpm workers that live | [`Workers`] |
//! | a moment's values, from the registry and from collectors | [`Snapshot`] |
//! | a snapshot as Prometheus reads it | [`expose`] |
//!
//! Owns: the `metrics` region. Refuses to do: ask a database, call PHP, or decide when to raise an
//! alarm.
//!
//! Invariant: there is no lock. A series is claimed by one compare-and-swap of its key, and all that
//! is written after that follows from the key: whoever finds a series half made (its maker was
//! killed) finishes it with the same bytes. A value is changed by one atomic operation, so that an
//! update is counted wholly or not at all. The table never grows: what has no room goes into a
//! series named `overflow`, so that totals stay right, and is counted.

pub mod collect;
mod definition;
pub mod expose;
mod history;
mod labels;
mod model;
mod registry;
pub mod requests;
pub mod sample;
mod table;
mod workers;

pub use definition::{DEFAULT_BOUNDS, Definition, MAX_BOUNDS, MAX_LABELS};
pub use history::{Point, Timeframe};
pub use labels::OVERFLOW;
pub use model::{Family, Histogram, Kind, Series, Snapshot, Value};
pub use registry::Registry;
pub use table::Worker;
pub use workers::Workers;
