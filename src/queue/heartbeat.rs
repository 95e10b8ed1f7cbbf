//! Signs of life for the tasks a worker has, while PHP is busy with one of them.
//!
//! A thread with a connection of its own renews the leases at a third of their time. It calls
//! nothing of PHP's. It starts with the first claim, after any fork, and is joined before the
//! worker is gone, because the extension may then be unloaded. It stops renewing the task that has
//! run out of its own time: a handler that hangs loses its task like one that died.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::schedule::Zone;
use super::schema::Tables;
use super::store::Store;
use crate::ports::DatabaseFault;
use crate::remote::database::{DatabaseLink, DatabaseSettings};

/// What the thread needs to know of the queue.
#[derive(Clone)]
pub struct HeartbeatSettings {
    /// Where the queue is.
    pub database: DatabaseSettings,
    /// Its tables.
    pub tables: Tables,
    /// How long a lease lasts without a sign of life.
    pub lease: Duration,
    /// What the thread does first.
    pub thread_start: fn(),
}

/// The thread's end of the worker.
pub struct Heartbeat {
    shared: Arc<Shared>,
    settings: HeartbeatSettings,
    thread: Option<(u32, JoinHandle<()>)>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    leases: Vec<Lease>,
    /// The running task and when its time is over.
    running: Option<(u64, Instant)>,
    cancelled: HashSet<u64>,
    stop: bool,
}

/// Tasks taken by one claim.
#[derive(Clone)]
struct Lease {
    token: u64,
    ids: Vec<u64>,
    renewed: Instant,
}

impl Heartbeat {
    /// A heartbeat that does not beat yet.
    pub fn new(settings: HeartbeatSettings) -> Self {
        let shared = Shared { state: Mutex::default(), changed: Condvar::new() };
        Self { shared: Arc::new(shared), settings, thread: None }
    }

    /// Keeps tasks alive that were taken at `since`.
    pub fn keep(&mut self, token: u64, ids: Vec<u64>, since: Instant) {
        self.shared.lock().leases.push(Lease { token, ids, renewed: since });
        if self.thread.as_ref().is_none_or(|(process, _)| *process != std::process::id()) {
            self.start();
        }
    }

    /// Lets go of a task.
    pub fn release(&self, id: u64) {
        let mut state = self.shared.lock();
        for lease in &mut state.leases {
            lease.ids.retain(|kept| *kept != id);
        }
        state.leases.retain(|lease| !lease.ids.is_empty());
        state.cancelled.remove(&id);
    }

    /// Notes which task runs, and for how long it may.
    pub fn running(&self, task: Option<(u64, Duration)>) {
        self.shared.lock().running = task.map(|(id, limit)| (id, Instant::now() + limit));
    }

    /// Whether this task is surely still ours: its lease was renewed not long ago. A process that
    /// was frozen finds out here, before it begins a task that somebody else may have.
    pub fn is_fresh(&self, id: u64) -> bool {
        let state = self.shared.lock();
        let fresh = |lease: &Lease| lease.renewed.elapsed() < self.settings.lease / 2;
        state.leases.iter().any(|lease| lease.ids.contains(&id) && fresh(lease))
    }

    /// Whether somebody asked this task to stop.
    pub fn is_cancelled(&self, id: u64) -> bool {
        self.shared.lock().cancelled.contains(&id)
    }

    fn start(&mut self) {
        self.forget_foreign_thread();
        let (shared, settings) = (Arc::clone(&self.shared), self.settings.clone());
        let body = move || {
            (settings.thread_start)();
            beat(&shared, &settings);
        };
        if let Ok(handle) = std::thread::Builder::new().name("slbp-heartbeat".to_owned()).spawn(body) {
            self.thread = Some((std::process::id(), handle));
        }
    }

    /// A thread does not survive a fork; its handle in the child means nothing.
    fn forget_foreign_thread(&mut self) {
        std::mem::forget(self.thread.take_if(|(process, _)| *process != std::process::id()));
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.forget_foreign_thread();
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some((_, handle)) = self.thread.take() {
            // A panic in the thread has been reported by the hook; there is nothing left to do.
            let _ = handle.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next beat; false when there shall be none.
    fn wait(&self, time: Duration) -> bool {
        let state = self.lock();
        let wait = self.changed.wait_timeout_while(state, time, |state| !state.stop);
        !wait.unwrap_or_else(PoisonError::into_inner).0.stop
    }
}

fn beat(shared: &Shared, settings: &HeartbeatSettings) {
    let interval = settings.lease / 3;
    // An answer that comes later than this is of no use to a lease.
    let read_timeout = settings.database.read_timeout.min(interval);
    let link = DatabaseLink::new(DatabaseSettings { read_timeout, ..settings.database.clone() });
    while shared.wait(interval) {
        // A fault is left to the next beat: there are two more before the lease ends.
        let _ = renew(shared, settings, &link);
    }
}

fn renew(shared: &Shared, settings: &HeartbeatSettings, link: &DatabaseLink) -> Result<(), DatabaseFault> {
    let origin = OnceLock::new();
    let store = Store { db: link, tables: &settings.tables, zone: Zone::UTC, origin: &origin };
    let leases = shared.lock().alive();
    for lease in leases {
        let asked = Instant::now();
        let ours = store.renew(&lease.ids, lease.token, settings.lease)?;
        let cancelled = store.cancel_requests(&lease.ids)?;
        shared.lock().renewed(lease.token, &ours, asked, cancelled);
    }
    Ok(())
}

impl State {
    /// The leases without the task that has run out of time.
    fn alive(&self) -> Vec<Lease> {
        let overdue = self.running.filter(|(_, end)| *end <= Instant::now()).map(|(id, _)| id);
        let mut leases = self.leases.clone();
        for lease in &mut leases {
            lease.ids.retain(|id| Some(*id) != overdue);
        }
        leases.retain(|lease| !lease.ids.is_empty());
        leases
    }

    fn renewed(&mut self, token: u64, ours: &[u64], at: Instant, cancelled: Vec<u64>) {
        for lease in self.leases.iter_mut().filter(|lease| lease.token == token) {
            lease
                .ids
                .retain(|id| ours.contains(id) || self.running.is_some_and(|(running, _)| running == *id));
            lease.renewed = at;
        }
        self.cancelled.extend(cancelled);
    }
}
