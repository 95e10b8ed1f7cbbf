//! A limiter for a test: its own segment, its own clock.

use std::sync::Arc;

use serde_json::Value;
use slbp::clock::{ManualClock, Timestamp};
use slbp::error::Result;
use slbp::limiter::settings::Settings;
use slbp::limiter::{Check, Host, Limiter, Request};
use slbp::ports::Detached;
use slbp::shm::{Plan, Segment};

/// A multiple of an hour, so that windows begin with the test.
pub const START: u64 = 1_700_002_800;

pub struct Bench {
    pub segment: &'static Segment,
    pub clock: Arc<ManualClock>,
}

impl Bench {
    pub fn new() -> Self {
        let segment = Box::leak(Box::new(Segment::anonymous(&Plan::smallest()).unwrap()));
        Self { segment, clock: Arc::new(ManualClock::at(Timestamp::from_secs(START))) }
    }

    pub fn host(&self, site: &str) -> Host {
        Host {
            segment: self.segment,
            clock: self.clock.clone(),
            site: site.as_bytes().to_vec(),
            server_addresses: vec!["192.0.2.80".parse().unwrap()],
            random: Box::new(|| u64::MAX / 2),
        }
    }

    pub fn try_limiter(&self, config: Value) -> Result<Limiter> {
        let detached = Detached::default();
        Limiter::new(Settings::read(&config, &detached, &detached)?, self.host("site"))
    }

    pub fn limiter(&self, config: Value) -> Limiter {
        self.try_limiter(config).unwrap()
    }

    pub fn at(&self, seconds: u64) {
        self.clock.set(Timestamp::from_secs(START + seconds));
    }
}

pub fn check<'a>(limiter: &'a Limiter, client: &str, endpoint: &str) -> Check<'a> {
    limiter.check(&Request::new(client.as_bytes(), endpoint.as_bytes())).unwrap()
}

pub fn peek<'a>(limiter: &'a Limiter, client: &str, endpoint: &str) -> Check<'a> {
    limiter.peek(&Request::new(client.as_bytes(), endpoint.as_bytes())).unwrap()
}
