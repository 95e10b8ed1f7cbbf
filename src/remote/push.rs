//! A connection on which Redis tells which keys have changed.
//!
//! Owns: server-assisted client-side caching in broadcasting mode (RESP3, `CLIENT TRACKING ON BCAST`):
//! the server remembers no keys for us, it tells every change of a key with one of our prefixes.
//!
//! Silence must not be taken for peace, so the server itself keeps time: a blocking pop on a list
//! that nobody fills returns empty-handed every [`BEAT`]. A link from which nothing has come for
//! longer is dead. (A time-out of ours on a quiet connection would do, but after one the `redis`
//! crate takes the next reply for the late one.)

use std::time::Duration;

use ::redis::{ProtocolVersion, PushKind, Value, cmd};

use super::cluster::{Cluster, hash_slot};
use super::fault::{Fault, FaultKind};
use super::sentinel;
use super::settings::{Address, RedisSettings, Topology};
use super::wire::Wire;

/// How often a live link is heard of at least.
pub const BEAT: Duration = Duration::from_millis(200);

/// What came over a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is alive.
    Beat,
    /// These keys have changed.
    Changed(Vec<Vec<u8>>),
    /// Everything has changed: the server was emptied.
    Emptied,
}

/// A link to one server.
pub struct PushLink {
    wire: Wire,
    clock_key: Vec<u8>,
}

impl PushLink {
    /// Links to every master behind `settings`, on which changes of keys with one of `prefixes`
    /// are told from now on. No prefix may begin with another.
    ///
    /// # Errors
    /// A [`Fault`] when one of them cannot be had.
    pub fn open(
        settings: &RedisSettings,
        prefixes: &[&[u8]],
        patience: Duration,
    ) -> Result<Vec<Self>, Fault> {
        let settings = RedisSettings { read_timeout: patience.max(2 * BEAT), ..settings.clone() };
        let masters = match &settings.topology {
            Topology::Single(address) => vec![(address.clone(), None)],
            Topology::Sentinel { service, sentinels } => {
                vec![(sentinel::find_master(service, sentinels, &settings)?, None)]
            }
            Topology::Cluster(seeds) => {
                let masters = Cluster::connect(seeds, &settings)?.masters();
                masters.into_iter().map(|(address, slot)| (address, Some(slot))).collect()
            }
        };
        masters.iter().map(|(address, slot)| Self::to(address, *slot, &settings, prefixes)).collect()
    }

    fn to(
        address: &Address,
        slot: Option<u16>,
        settings: &RedisSettings,
        prefixes: &[&[u8]],
    ) -> Result<Self, Fault> {
        let mut wire = Wire::connect_speaking(address, settings, ProtocolVersion::RESP3)?;
        let mut tracking = cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST");
        prefixes.iter().for_each(|prefix| {
            tracking.arg("PREFIX").arg(*prefix);
        });
        match wire.run(&tracking)? {
            Value::Okay => {}
            other => return Err(Fault::new(FaultKind::Refused, format!("CLIENT TRACKING: {other:?}"))),
        }
        let prefix = prefixes.first().copied().unwrap_or(b"");
        let mut link = Self { wire, clock_key: clock_key(prefix, slot) };
        link.wind_clock()?;
        Ok(link)
    }

    /// Waits for the next event, at most as long as the link may be silent.
    ///
    /// # Errors
    /// A [`Fault`]: the link is dead, and events may have been missed.
    pub fn wait(&mut self) -> Result<Event, Fault> {
        match self.wire.receive()? {
            Value::Push { kind: PushKind::Invalidate, data } => changed(data),
            Value::Push { .. } => Ok(Event::Beat),
            Value::Nil => {
                self.wind_clock()?;
                Ok(Event::Beat)
            }
            other => Err(Fault::new(FaultKind::Protocol, format!("unexpected on a push link: {other:?}"))),
        }
    }

    fn wind_clock(&mut self) -> Result<(), Fault> {
        let mut pop = cmd("BLPOP");
        pop.arg(self.clock_key.as_slice()).arg(BEAT.as_secs_f64());
        self.wire.send(&pop.get_packed_command())
    }
}

fn changed(data: Vec<Value>) -> Result<Event, Fault> {
    match data.into_iter().next() {
        Some(Value::Nil) => Ok(Event::Emptied),
        Some(Value::Array(keys)) => Ok(Event::Changed(
            keys.into_iter()
                .filter_map(|key| match key {
                    Value::BulkString(key) => Some(key),
                    _ => None,
                })
                .collect(),
        )),
        other => Err(Fault::new(FaultKind::Protocol, format!("an invalidation of {other:?}"))),
    }
}

/// A list that nobody fills; in a cluster one that belongs to the node with `slot`.
fn clock_key(prefix: &[u8], slot: Option<u16>) -> Vec<u8> {
    let plain = [prefix, b"!clock"].concat();
    let Some(slot) = slot else { return plain };
    // 1 of 16384 names falls on the slot, so 200,000 of them fail to with a chance of 5 in a million.
    (0..200_000u32)
        .map(|n| [prefix, format!("!clock:{{{n}}}").as_bytes()].concat())
        .find(|key| hash_slot(key) == slot)
        .unwrap_or(plain)
}
