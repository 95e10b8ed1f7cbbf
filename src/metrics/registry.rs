//! The metrics of one site: registering, updating, reading.
//!
//! Owns: which errors are the caller's (an unknown name, a counter that is to fall) and which are
//! nobody's: an update that finds no room is counted in `slbp_metrics_series_dropped_total`, and the
//! caller is not troubled.
//!
//! An update without labels of a series that is there costs a hash of its name, a look at one slot
//! and one atomic add.

use std::sync::atomic::Ordering::Relaxed;

use super::definition::{Definition, stem};
use super::labels::{self, Encoded};
use super::model::{Family, Histogram, Kind, Series, Value};
use super::table::{Block, Claim, FamilySlot, Head, HistorySlot, SeriesSlot, SiteSlot, Table};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::shm::{Hasher, Segment};

/// Series that one family may have beside its overflow series.
const FAMILY_CAP: u64 = 200;

/// Label names and values, in any order.
type Labels<'l> = &'l [(String, String)];

/// Handle to a site's metrics.
#[derive(Clone)]
pub struct Registry<'a> {
    table: Table<'a>,
    hasher: Hasher,
    site: &'a SiteSlot,
    tag: u64,
}

impl<'a> Registry<'a> {
    /// The metrics of `site` (opaque bytes) in the segment.
    ///
    /// # Errors
    /// [`ErrorKind::SharedMemory`] when the segment has no room for any, or for another site.
    pub fn open(segment: &'a Segment, site: &[u8]) -> Result<Self> {
        let hasher = segment.hasher();
        Self::tagged(segment, half(hasher.key_of(&[b"metrics", site]).bits()))
    }

    /// The same by the site's tag.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn tagged(segment: &'a Segment, tag: u64) -> Result<Self> {
        let table = Table::open(segment)?;
        let full = || Error::new(ErrorKind::SharedMemory, "the metrics region has no room for this site");
        let site = table.site(tag).ok_or_else(full)?;
        Ok(Self { table, hasher: segment.hasher(), site, tag })
    }

    /// What stands for the site in shared memory: half of a keyed hash of its identity, never 0.
    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// Makes a metric known; doing so again is cheap and changes nothing. False when there is no room
    /// for it: its updates are then counted as dropped.
    ///
    /// # Errors
    /// Invalid argument when the name is known with another type, other labels or other buckets.
    pub fn register(&self, definition: &Definition) -> Result<bool> {
        let key = self.key(&[b"family", stem(&definition.name).as_bytes()]);
        let known = self.table.family(key).map(|(_, slot)| slot);
        let Some(slot) = known.or_else(|| self.claim_family(key)) else {
            self.drop_update();
            return Ok(false);
        };
        if !slot.settle(definition, self.signature(definition), self.tag) {
            return Ok(false);
        }
        match slot.read() {
            Some(known) => same(&known, definition).map(|()| true),
            None => Ok(false),
        }
    }

    /// Makes a metric known unless one of its name is: for metrics of our own, whose definition does not
    /// change and is not worth building in every request. False when there is no room for it.
    ///
    /// # Errors
    /// As [`Registry::register`].
    pub fn ensure(&self, name: &str, define: impl FnOnce() -> Result<Definition>) -> Result<bool> {
        let key = self.key(&[b"family", stem(name).as_bytes()]);
        match self.table.family(key).is_some_and(|(_, slot)| slot.is_settled()) {
            true => Ok(true),
            false => self.register(&define()?),
        }
    }

    /// Adds to a counter, or changes a gauge.
    ///
    /// # Errors
    /// Invalid argument for an unknown name, other labels than the registered ones, a histogram, a
    /// number that is not finite, or a negative one for a counter.
    pub fn increment(&self, name: &str, by: f64, labels: Labels<'_>, clock: &dyn Clock) -> Result<()> {
        finite("$by", by)?;
        let Some((slot, head)) = self.series(name, labels, clock)? else { return Ok(()) };
        match head.kind {
            Kind::Counter if by >= 0.0 => slot.count(by),
            Kind::Counter => {
                return Err(Error::invalid("$by", format!("a counter only grows, got {by}")));
            }
            Kind::Gauge => slot.change(by),
            other => return Err(wrong_kind(name, other, "a counter or a gauge")),
        }
        Ok(())
    }

    /// Sets a gauge.
    ///
    /// # Errors
    /// As [`Registry::increment`], for what is no gauge.
    pub fn set(&self, name: &str, value: f64, labels: Labels<'_>, clock: &dyn Clock) -> Result<()> {
        finite("$value", value)?;
        let Some((slot, head)) = self.series(name, labels, clock)? else { return Ok(()) };
        match head.kind {
            Kind::Gauge => slot.set(value),
            other => return Err(wrong_kind(name, other, "a gauge")),
        }
        Ok(())
    }

    /// Counts an observation in a histogram.
    ///
    /// # Errors
    /// As [`Registry::increment`], for what is no histogram, and for a negative value, which would let
    /// the sum fall.
    pub fn observe(&self, name: &str, value: f64, labels: Labels<'_>, clock: &dyn Clock) -> Result<()> {
        finite("$value", value)?;
        if value < 0.0 {
            return Err(Error::invalid("$value", format!("expected a number >= 0, got {value}")));
        }
        let Some((slot, head)) = self.series(name, labels, clock)? else { return Ok(()) };
        if head.kind != Kind::Histogram {
            return Err(wrong_kind(name, head.kind, "a histogram"));
        }
        let family = self.table.families.get(head.family);
        match family.zip(self.table.claim_block(slot)) {
            Some((family, block)) => {
                block.observe(family.bucket_of(value), (value * family.scale()).round() as u64);
            }
            None => self.drop_update(),
        }
        Ok(())
    }

    /// Keeps what was sampled elsewhere: gauges, and counters that somebody else counts.
    ///
    /// # Errors
    /// Somebody has registered one of the names otherwise.
    pub fn keep(&self, families: &[Family], clock: &dyn Clock) -> Result<()> {
        for family in families {
            let Some(first) = family.series.first() else { continue };
            let names: Vec<String> = first.labels.iter().map(|(name, _)| name.to_string()).collect();
            self.register(&Definition::new(&family.name, family.kind, &family.help, &names, &[])?)?;
            for series in &family.series {
                let labels: Vec<(String, String)> =
                    series.labels.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
                let (Value::Number(value), Some((slot, head))) =
                    (&series.value, self.series(&family.name, &labels, clock)?)
                else {
                    continue;
                };
                match head.kind {
                    Kind::Counter => slot.take_over(*value as u64),
                    _ => slot.set(*value),
                }
            }
        }
        Ok(())
    }

    /// Every family that was registered, with its series in the order of their labels.
    pub fn families(&self) -> Vec<Family> {
        let mut families: Vec<(usize, &FamilySlot, Definition, Vec<Series>)> = self
            .table
            .families
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.site.load(Relaxed) == self.tag)
            .filter_map(|(index, slot)| Some((index, slot, slot.read()?, Vec::new())))
            .collect();
        for slot in self.table.series {
            let Some(head) = slot.head() else { continue };
            if let Some((_, family, definition, series)) =
                families.iter_mut().find(|(index, ..)| *index == head.family)
                && let Some(value) = self.value(slot, head, family, definition)
            {
                series.push(read(slot, head, definition, value));
            }
        }
        families.sort_by(|(.., one, _), (.., other, _)| one.name.cmp(&other.name));
        families.into_iter().map(|(_, _, definition, series)| into_family(definition, series)).collect()
    }

    /// The value of a gauge without labels; `None` when it was never set.
    pub fn gauge(&self, name: &str) -> Option<f64> {
        let slot = self.table.series(self.key(&[b"series", name.as_bytes(), b""]))?;
        slot.head().filter(|head| head.kind == Kind::Gauge).map(|_| slot.gauge())
    }

    /// Updates that found no room for a series of their own since the segment was made.
    pub fn dropped(&self) -> u64 {
        self.site.dropped.load(Relaxed)
    }

    /// The series, made if it is new; `None` when there is no room for it, nor for its overflow.
    fn series(
        &self,
        name: &str,
        labels: Labels<'_>,
        clock: &dyn Clock,
    ) -> Result<Option<(&'a SeriesSlot, Head)>> {
        if labels.is_empty()
            && let Some(slot) = self.table.series(self.key(&[b"series", name.as_bytes(), b""]))
            && let Some(head) = slot.head()
        {
            return Ok(Some((slot, head)));
        }
        let key = self.key(&[b"family", stem(name).as_bytes()]);
        let known = self.table.family(key).and_then(|(at, slot)| Some((at, slot, slot.read()?)));
        let Some((family, slot, definition)) = known.filter(|(.., definition)| definition.name == name)
        else {
            return Err(Error::invalid("$name", format!("'{name}' is not registered")));
        };
        let values = labels::in_order(name, &definition.labels, labels)?;
        let wanted = Encoded::of(values.into_iter());
        if let Some(found) = self.settled(family, slot, &definition, &wanted, false, clock) {
            return Ok(Some(found));
        }
        self.drop_update();
        let overflow = Encoded::overflow(definition.labels.len());
        Ok(self.settled(family, slot, &definition, &overflow, true, clock))
    }

    /// The series with these label values, finished; `None` when there is no room.
    fn settled(
        &self,
        family: usize,
        slot: &FamilySlot,
        definition: &Definition,
        labels: &Encoded,
        is_overflow: bool,
        clock: &dyn Clock,
    ) -> Option<(&'a SeriesSlot, Head)> {
        let key = self.key(&[b"series", definition.name.as_bytes(), labels.bytes()]);
        let series = match self.table.series(key) {
            Some(series) => series,
            None if is_overflow => self.table.claim_series(key, true)?.0,
            None => self.claim_member(slot, key)?,
        };
        if series.head().is_none() {
            series.settle(definition.kind, family, labels, clock.now().nanos() / 1_000_000);
        }
        series.head().map(|head| (series, head))
    }

    /// A new series within the limits of its family and its site.
    fn claim_member(&self, family: &FamilySlot, key: u64) -> Option<&'a SeriesSlot> {
        let all = self.table.series.len();
        let limits =
            [(&family.members, FAMILY_CAP.min(all as u64 / 4)), (&self.site.series, Table::share(all))];
        if limits.iter().any(|(count, limit)| count.load(Relaxed) >= *limit) {
            return None;
        }
        let (series, claim) = self.table.claim_series(key, false)?;
        if claim == Claim::New {
            for (count, _) in limits {
                count.fetch_add(1, Relaxed);
            }
        }
        Some(series)
    }

    fn claim_family(&self, key: u64) -> Option<&'a FamilySlot> {
        if self.site.families.load(Relaxed) >= Table::share(self.table.families.len()) {
            return None;
        }
        let (slot, claim) = self.table.claim_family(key)?;
        if claim == Claim::New {
            self.site.families.fetch_add(1, Relaxed);
        }
        Some(slot)
    }

    /// `None` for a histogram whose block was never taken: nothing was observed.
    fn value(
        &self,
        slot: &SeriesSlot,
        head: Head,
        family: &FamilySlot,
        definition: &Definition,
    ) -> Option<Value> {
        Some(match head.kind {
            Kind::Counter | Kind::Info => Value::Number(slot.counted()),
            Kind::Gauge => Value::Number(slot.gauge()),
            Kind::Histogram => {
                let block: &Block = self.table.block(slot)?;
                let counts = block.counts(definition.bounds.len() + 1);
                let sum = block.sum() as f64 / family.scale();
                Value::Histogram(Histogram { bounds: definition.bounds.clone(), counts, sum })
            }
        })
    }

    /// The site's recent past; `None` when there is no room for it.
    pub(super) fn history(&self) -> Option<&'a HistorySlot> {
        self.table.history(self.tag)
    }

    /// Counts an update that found no room.
    pub fn drop_update(&self) {
        self.site.dropped.fetch_add(1, Relaxed);
    }

    fn key(&self, parts: &[&[u8]]) -> u64 {
        let tag = self.tag.to_ne_bytes();
        half(
            match parts {
                [one, two] => self.hasher.key_of(&[&tag, one, two]),
                [one, two, three] => self.hasher.key_of(&[&tag, one, two, three]),
                _ => self.hasher.key_of(parts),
            }
            .bits(),
        )
    }

    fn signature(&self, definition: &Definition) -> u64 {
        let labels = definition.labels.join("\0");
        let bounds: Vec<u8> =
            definition.bounds.iter().flat_map(|bound| bound.to_bits().to_ne_bytes()).collect();
        let parts = [
            b"definition",
            definition.name.as_bytes(),
            definition.kind.name().as_bytes(),
            definition.help.as_bytes(),
            labels.as_bytes(),
            &bounds,
        ];
        half(self.hasher.key_of(&parts).bits())
    }
}

/// Half of a key; 0 would mark a free slot.
fn half(bits: u128) -> u64 {
    (bits as u64).max(1)
}

fn read(slot: &SeriesSlot, head: Head, definition: &Definition, value: Value) -> Series {
    let names = definition.labels.iter().map(|name| name.clone().into());
    let created = (head.kind != Kind::Gauge)
        .then(|| Timestamp::from_nanos(slot.created_ms().saturating_mul(1_000_000)));
    Series { labels: names.zip(slot.labels(head)).collect(), value, created }
}

fn into_family(definition: Definition, mut series: Vec<Series>) -> Family {
    series.sort_by(|one, other| one.labels.cmp(&other.labels));
    Family { name: definition.name.into(), help: definition.help.into(), kind: definition.kind, series }
}

/// The help text may differ: the first one stays.
fn same(known: &Definition, wanted: &Definition) -> Result<()> {
    let differs = match () {
        () if known.name != wanted.name => Some(("$name", format!("'{}'", known.name))),
        () if known.kind != wanted.kind => Some(("$type", format!("a {}", known.kind.name()))),
        () if known.labels != wanted.labels => {
            Some(("$labels", format!("with the labels [{}]", known.labels.join(", "))))
        }
        () if known.bounds != wanted.bounds => Some(("$buckets", format!("with {:?}", known.bounds))),
        () => None,
    };
    match differs {
        Some((argument, what)) => Err(Error::invalid(
            argument,
            format!("'{}' is already known as {what}; a change needs a reload of php-fpm", wanted.name),
        )),
        None => Ok(()),
    }
}

fn finite(argument: &str, number: f64) -> Result<()> {
    match number.is_finite() {
        true => Ok(()),
        false => Err(Error::invalid(argument, format!("expected a finite number, got {number}"))),
    }
}

fn wrong_kind(name: &str, kind: Kind, wanted: &str) -> Error {
    Error::invalid("$name", format!("'{name}' is a {}, expected {wanted}", kind.name()))
}
