//! One worker's way to Memcached: a few servers among which keys are spread.
//!
//! Owns: which server has a key, a connection to each, and a breaker for each, so that one dead
//! server costs only its own keys. Refuses to do: move a dead server's keys to others; they would be
//! stale there when it is back.
//!
//! Own code on the meta protocol instead of the `memcache` crate (0.21), whose stable client
//! connects without a time-out, checks out every connection with a `version` round trip, puts one
//! that timed out back into its pool (`has_broken` is `false`), spreads keys by modulo, so that a
//! new server moves nearly all of them, and has no meta commands: no compare-and-swap that keeps the
//! time left, no pipelining. Its experimental client has these, but no unix sockets and no login.
//!
//! Servers are chosen by rendezvous hashing (Thaler, Ravishankar 1998): a server that comes or goes
//! moves only its own share of the keys.

pub mod protocol;
mod stream;

use std::collections::HashMap;
use std::process;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::breaker::{Admission, Breaker, State};
use super::fault::{Fault, FaultKind};
use super::settings::{Address, MemcachedSettings};
use crate::clock::Clock;
use crate::shm::Cell;
use protocol::{Reply, Request};
use stream::Stream;

/// Connections to the servers, opened when first needed.
pub struct MemcachedLink {
    settings: MemcachedSettings,
    servers: Vec<Server>,
    clock: Arc<dyn Clock>,
    opened_by: u32,
}

/// A link that several users in one process share.
pub type SharedLink = Arc<Mutex<MemcachedLink>>;

/// Idle links one process keeps before it closes those that nobody holds.
const MAX_LINKS: usize = 16;

struct Server {
    address: Address,
    seed: u64,
    breaker: Breaker<Cell<'static>>,
    stream: Option<Stream>,
}

/// A request and the server that it is for.
#[derive(Clone, Debug)]
pub struct Routed {
    /// Index of the server.
    pub server: usize,
    /// The request.
    pub request: Request,
}

impl MemcachedLink {
    /// A link to the servers that `settings` name, with one breaker for each.
    pub fn new(
        settings: MemcachedSettings,
        breakers: Vec<Breaker<Cell<'static>>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let servers = settings.servers.iter().zip(breakers).map(|(address, breaker)| Server {
            seed: xxh3_64(address.to_string().as_bytes()),
            address: address.clone(),
            breaker,
            stream: None,
        });
        Self { servers: servers.collect(), settings, clock, opened_by: 0 }
    }

    /// How many servers there are.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// The worst state among the breakers.
    pub fn state(&self) -> State {
        let states = self.servers.iter().map(|server| server.breaker.state());
        states
            .max_by_key(|state| matches!(state, State::Open { .. } | State::Probing { .. }))
            .unwrap_or(State::Closed { failures: 0 })
    }

    /// The server that has `key`.
    pub fn server_of(&self, key: &[u8]) -> usize {
        let scores = self.servers.iter().map(|server| xxh3_64_with_seed(key, server.seed));
        scores.enumerate().max_by_key(|(_, score)| *score).map_or(0, |(index, _)| index)
    }

    /// `request` for the server that has its key.
    pub fn route(&self, request: Request) -> Routed {
        Routed { server: self.server_of(request.key()), request }
    }

    /// Sends `requests`, to all servers before the first reply is read, and returns the replies in
    /// order. Those of a server that fails are faults.
    pub fn batch(&mut self, requests: &[Routed]) -> Vec<Result<Reply, Fault>> {
        self.leave_what_the_parent_opened();
        let mut failed: Vec<Option<Fault>> = vec![None; self.servers.len()];
        for (index, failure) in failed.iter_mut().enumerate() {
            let packed: Vec<u8> =
                of_server(requests, index).flat_map(|request| request.bytes().to_vec()).collect();
            if !packed.is_empty() {
                *failure = self.send(index, &packed).err();
            }
        }
        let mut replies = Vec::with_capacity(requests.len());
        for routed in requests {
            let failure = failed.get_mut(routed.server);
            let reply = match failure {
                Some(Some(fault)) => Err(fault.clone()),
                Some(unfailed) => {
                    self.receive(routed.server).inspect_err(|fault| *unfailed = Some(fault.clone()))
                }
                None => Err(Fault::new(FaultKind::Refused, "there is no such server")),
            };
            replies.push(reply);
        }
        for (index, failure) in failed.iter().enumerate() {
            if failure.is_none() && of_server(requests, index).next().is_some() {
                self.succeeded(index);
            }
        }
        replies
    }

    fn send(&mut self, index: usize, packed: &[u8]) -> Result<(), Fault> {
        let now = self.clock.now();
        let server =
            self.servers.get_mut(index).ok_or_else(|| Fault::new(FaultKind::Refused, "no such server"))?;
        if server.breaker.admit(now) == Admission::Refuse {
            return Err(Fault::new(
                FaultKind::BreakerOpen,
                format!("{} failed a moment ago", server.address),
            ));
        }
        server.send(packed, &self.settings).inspect_err(|_| server.breaker.failed(now))
    }

    fn receive(&mut self, index: usize) -> Result<Reply, Fault> {
        let now = self.clock.now();
        let server =
            self.servers.get_mut(index).ok_or_else(|| Fault::new(FaultKind::Refused, "no such server"))?;
        let stream = server.stream.as_mut().ok_or_else(|| Fault::new(FaultKind::Down, "not connected"))?;
        stream.receive().inspect_err(|_| {
            server.stream = None;
            server.breaker.failed(now);
        })
    }

    fn succeeded(&self, index: usize) {
        if let Some(server) = self.servers.get(index) {
            server.breaker.succeeded();
        }
    }

    /// The link that all users in this process share: one per distinct settings.
    pub fn shared(settings: &MemcachedSettings, open: impl FnOnce() -> Self) -> SharedLink {
        static LINKS: LazyLock<Mutex<HashMap<MemcachedSettings, SharedLink>>> = LazyLock::new(Mutex::default);
        let mut links = LINKS.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() >= MAX_LINKS {
            links.retain(|_, link| Arc::strong_count(link) > 1);
        }
        Arc::clone(links.entry(settings.clone()).or_insert_with(|| Arc::new(Mutex::new(open()))))
    }

    fn leave_what_the_parent_opened(&mut self) {
        let me = process::id();
        if self.opened_by != me {
            self.servers.iter_mut().for_each(|server| server.stream = None);
            self.opened_by = me;
        }
    }
}

impl Server {
    fn send(&mut self, packed: &[u8], settings: &MemcachedSettings) -> Result<(), Fault> {
        let mut stream = match self.stream.take() {
            Some(stream) if !stream.is_stale() => stream,
            _ => Stream::connect(&self.address, settings)?,
        };
        stream.send(packed)?;
        self.stream = Some(stream);
        Ok(())
    }
}

fn of_server(requests: &[Routed], index: usize) -> impl Iterator<Item = &Request> {
    requests.iter().filter(move |routed| routed.server == index).map(|routed| &routed.request)
}
