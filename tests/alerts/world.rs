//! A site with alerts for a test: its own segment, its own clock, and a courier that writes down.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::Value;
use slbp::alerts::machine::Phase;
use slbp::alerts::notify::{Courier, Notice, Outcome, Receiver};
use slbp::alerts::rule::{self, Rule};
use slbp::alerts::shelf::{InSegment, Kept};
use slbp::alerts::silence::{Silence, Silences};
use slbp::alerts::{Engine, Report};
use slbp::clock::{Clock, ManualClock, Timestamp};
use slbp::shm::{Plan, Segment};

pub const START: u64 = 1_700_000_000;

/// What was told to whom: channel, rule, state, number of alerts.
pub type Line = (String, String, Phase, usize);

#[derive(Default)]
pub struct Recorder {
    pub told: RefCell<Vec<Line>>,
    pub notices: RefCell<Vec<Notice>>,
    /// What the next attempts come to; delivered when there is none left.
    pub outcomes: RefCell<VecDeque<Outcome>>,
}

impl Courier for Recorder {
    fn deliver(&self, receiver: &Receiver, notice: &Notice) -> Outcome {
        let line = (receiver.channel().to_owned(), notice.rule.clone(), notice.phase, notice.alerts.len());
        self.told.borrow_mut().push(line);
        self.notices.borrow_mut().push(notice.clone());
        self.outcomes.borrow_mut().pop_front().unwrap_or(Outcome::Delivered)
    }
}

pub struct World {
    pub clock: ManualClock,
    pub book: Kept,
    pub silences: Kept,
    pub rules: Vec<Rule>,
    pub post: Recorder,
}

pub fn segment() -> &'static Segment {
    Box::leak(Box::new(Segment::anonymous(&Plan::smallest()).unwrap()))
}

impl World {
    pub fn new(rules: &Value) -> Self {
        let segment = segment();
        let kept = |name| Kept::on(vec![Box::new(InSegment::new(segment, b"site", name))]);
        Self {
            clock: ManualClock::at(Timestamp::from_secs(START)),
            book: kept("book"),
            silences: kept("silences"),
            rules: rule::read(rules, true).unwrap(),
            post: Recorder::default(),
        }
    }

    pub fn engine(&self) -> Engine<'_> {
        Engine {
            rules: &self.rules,
            book: &self.book,
            silences: &self.silences,
            clock: &self.clock,
            instance: "web1",
            site_url: "https://billing.example/",
            random: &|| 7,
        }
    }

    /// One tick `secs` after the start with these figures: what was told.
    pub fn tick(&self, secs: u64, figures: &[(&'static str, f64)]) -> Vec<Line> {
        self.clock.set(Timestamp::from_secs(START + secs));
        let figures: BTreeMap<&str, f64> = figures.iter().copied().collect();
        let mut report = self.engine().evaluate(&figures).unwrap();
        self.deliver(&mut report);
        self.post.told.take()
    }

    pub fn deliver(&self, report: &mut Report) {
        self.engine().deliver(&self.post, report, &|| true).unwrap();
    }

    pub fn silence(&self, alert: &str, seconds: u64) {
        let now = self.clock.now();
        let mut silences: Silences = self.silences.load();
        let text = |text: &str| text.to_owned();
        let (author, comment) = (text("ann"), text("maintenance"));
        let (created, expires) = (now.secs(), now.plus(Duration::from_secs(seconds)).secs());
        silences.put(Silence { alert: text(alert), author, comment, created, expires }, now);
        self.silences.store(&silences).unwrap();
    }
}

pub fn line(channel: &str, rule: &str, phase: Phase) -> Line {
    (channel.to_owned(), rule.to_owned(), phase, 1)
}
