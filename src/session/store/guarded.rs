//! A store behind the circuit breaker that all workers of the host share.

use std::sync::Arc;
use std::time::Duration;

use super::{Close, Closed, Open, Opened, Store, Tombstone};
use crate::clock::Clock;
use crate::error::{Error, Result as CrateResult};
use crate::remote::Fault;
use crate::remote::breaker::{Breaker, Policy};
use crate::session::name::Name;
use crate::shm::{Cell, Segment};

/// The breaker for what is called `name`.
///
/// # Errors
/// A shared-memory error when there is no room for it.
pub fn breaker(segment: &'static Segment, name: &str) -> CrateResult<Breaker<Cell<'static>>> {
    let key = segment.hasher().key_of(&[b"session breaker", name.as_bytes()]);
    let cell = segment.cells()?.cell(key).map_err(Error::from)?;
    Ok(Breaker::new(cell, Policy::default()))
}

/// `S`, not called for a while after it failed.
pub struct Guarded<S> {
    store: S,
    breaker: Breaker<Cell<'static>>,
    clock: Arc<dyn Clock>,
}

impl<S: Store> Guarded<S> {
    /// Puts the host's breaker before `store`.
    ///
    /// # Errors
    /// As [`breaker`].
    pub fn new(store: S, segment: &'static Segment, clock: Arc<dyn Clock>) -> CrateResult<Self> {
        let breaker = breaker(segment, store.name())?;
        Ok(Self { store, breaker, clock })
    }

    fn call<T>(&self, call: impl FnOnce(&S) -> Result<T, Fault>) -> Result<T, Fault> {
        self.breaker.call(&*self.clock, || call(&self.store))
    }
}

impl<S: Store> Store for Guarded<S> {
    fn open(&self, request: &Open<'_>) -> Result<Opened, Fault> {
        self.call(|store| store.open(request))
    }

    fn close(&self, request: &Close<'_>) -> Result<Closed, Fault> {
        self.call(|store| store.close(request))
    }

    fn mirror(&self, name: &Name, version: u64, sealed: &[u8], lifetime: Duration) -> Result<bool, Fault> {
        self.call(|store| store.mirror(name, version, sealed, lifetime))
    }

    fn destroy(&self, name: &Name, tombstone: &Tombstone) -> Result<(), Fault> {
        self.call(|store| store.destroy(name, tombstone))
    }

    fn collect(&self) -> Result<u64, Fault> {
        self.call(S::collect)
    }

    fn count(&self) -> Result<Option<u64>, Fault> {
        self.call(S::count)
    }

    fn name(&self) -> &str {
        self.store.name()
    }
}
