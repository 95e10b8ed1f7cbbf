//! Hearing of what other hosts write, so that shared memory may be believed in front of Redis.
//!
//! Owns: one thread per host and site that holds the links on which Redis pushes invalidations
//! ([`crate::remote::push`]), removes what they name from shared memory, and says with every beat
//! that it still listens. It runs in whatever worker got the lease first; when that worker dies the
//! next request of any other takes over. Refuses to do: touch PHP, or any memory of a request.
//!
//! Order at the start, which leaves no gap: tracking is on; the generations are read; all that this
//! host had is distrusted; only then does it say that it listens. When a link is lost the reverse:
//! from that moment nobody believes shared memory, and not before all of this was done again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::backing;
use super::backing::redis::RedisBacking;
use super::l1::{L1, Site};
use crate::clock::{Clock, Timestamp};
use crate::remote::push::{Event, PushLink};
use crate::remote::settings::RedisSettings;
use crate::remote::{Fault, FaultKind};
use crate::shm::{Acquired, Counter, Lease, Owner, Segment, spawn_quietly};

/// The lease outlives a few beats; a dead holder is noticed earlier, by its process.
const LEASE: Duration = Duration::from_secs(3);

/// Pause before a lost link is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// What to listen to, and for whom.
#[derive(Clone)]
pub(super) struct Post {
    pub segment: &'static Segment,
    pub clock: Arc<dyn Clock>,
    pub site: Vec<u8>,
    pub redis: RedisSettings,
    pub prefix: String,
    /// How long a link may be silent.
    pub patience: Duration,
}

/// A thread of this process.
struct Running {
    process: u32,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

static RUNNING: LazyLock<Mutex<HashMap<Vec<u8>, Running>>> = LazyLock::new(Mutex::default);

/// Starts to listen in this process if nobody on the host does.
pub(super) fn ensure(post: &Post) {
    let me = std::process::id();
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    forget_parents(&mut running, me);
    running.retain(|_, thread| !thread.thread.is_finished());
    if running.contains_key(&post.site) {
        return;
    }
    let Some(lease) = take_lease(post) else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let thread = spawn_quietly("slbp-listen", {
        let (post, stop) = (post.clone(), Arc::clone(&stop));
        move || keep_listening(&post, &stop, lease)
    });
    match thread {
        Ok(thread) => drop(running.insert(post.site.clone(), Running { process: me, stop, thread })),
        Err(_) => release_lease(post, lease),
    }
}

/// Ends the threads of this process, before its code or its shared memory goes away. Takes about a
/// beat.
pub fn stop_all() {
    let mut running = std::mem::take(&mut *RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
    forget_parents(&mut running, std::process::id());
    running.values().for_each(|thread| thread.stop.store(true, Release));
    for thread in running.into_values() {
        // A thread that panicked has ended too.
        let _ = thread.thread.join();
    }
}

/// A forked child has its parent's list, but not its threads: their handles lead nowhere.
fn forget_parents(running: &mut HashMap<Vec<u8>, Running>, me: u32) {
    let inherited: Vec<Vec<u8>> =
        running.iter().filter(|(_, thread)| thread.process != me).map(|(site, _)| site.clone()).collect();
    inherited.iter().filter_map(|site| running.remove(site)).for_each(std::mem::forget);
}

fn keep_listening(post: &Post, stop: &AtomicBool, lease: Lease) {
    let now = post.clock.now();
    let Some((l1, site)) = L1::open(post.segment, 1.0).ok().and_then(|l1| {
        let site = l1.site(&post.site, now)?;
        Some((l1, site))
    }) else {
        return release_lease(post, lease);
    };
    while !stop.load(Acquire) && renew_lease(post, lease) {
        let session = Session { post, stop, lease, l1: &l1, site, broken: AtomicBool::new(false) };
        if session.listen().is_err() {
            post.segment.counters().add(Counter::CacheLinksLost, 1);
            std::thread::sleep(PAUSE);
        }
    }
    release_lease(post, lease);
}

/// One life of the links.
struct Session<'s> {
    post: &'s Post,
    stop: &'s AtomicBool,
    lease: Lease,
    l1: &'s L1<'static>,
    site: Site<'static>,
    /// One of several links is lost: the others are of no use.
    broken: AtomicBool,
}

impl Session<'_> {
    fn listen(&self) -> Result<(), Fault> {
        let entries = RedisBacking::entry_prefix(&self.post.prefix);
        let generations = RedisBacking::generations_key(&self.post.prefix);
        let prefixes: [&[u8]; 2] = [&entries, &generations];
        let mut links = PushLink::open(&self.post.redis, &prefixes, self.post.patience)?;
        let backing = Mutex::new(RedisBacking::unguarded(&self.post.redis, &self.post.prefix));
        self.take_over(&backing)?;
        self.site.distrust();
        let beats: Vec<AtomicU64> = links.iter().map(|_| AtomicU64::new(self.now())).collect();
        self.say_alive(&beats);

        let ended = std::thread::scope(|scope| {
            let threads: Vec<_> = links
                .iter_mut()
                .zip(&beats)
                .map(|(link, beat)| {
                    let (beats, backing) = (&beats, &backing);
                    scope.spawn(move || {
                        let ended = self.follow(link, beat, beats, backing);
                        self.broken.store(true, Release);
                        self.site.unheard();
                        ended
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(lost())))
                .collect::<Vec<_>>()
        });
        // Only now is it certain that none of them says that it is alive.
        self.site.unheard();
        ended.into_iter().collect()
    }

    /// Obeys one link until it is lost or the thread is to stop.
    fn follow(
        &self,
        link: &mut PushLink,
        beat: &AtomicU64,
        beats: &[AtomicU64],
        backing: &Mutex<RedisBacking>,
    ) -> Result<(), Fault> {
        let generations = RedisBacking::generations_key(&self.post.prefix);
        let entries = RedisBacking::entry_prefix(&self.post.prefix);
        while !self.stop.load(Acquire) && !self.broken.load(Acquire) {
            match link.wait()? {
                Event::Beat => {
                    if !renew_lease(self.post, self.lease) {
                        return Ok(());
                    }
                }
                Event::Changed(keys) => {
                    let now = self.post.clock.now();
                    for key in &keys {
                        if *key == generations {
                            self.take_over(backing)?;
                        } else if let Some(name) = key.strip_prefix(entries.as_slice()) {
                            self.l1.remove(&self.site, name, now);
                        }
                    }
                    self.post.segment.counters().add(Counter::CacheInvalidations, keys.len() as u64);
                }
                Event::Emptied => {
                    self.site.distrust();
                    self.take_over(backing)?;
                }
            }
            beat.store(self.now(), Release);
            self.say_alive(beats);
        }
        Ok(())
    }

    /// Says when the most silent of the links was heard last.
    fn say_alive(&self, beats: &[AtomicU64]) {
        let oldest = beats.iter().map(|beat| beat.load(Acquire)).min().unwrap_or(0);
        if !self.broken.load(Acquire) {
            self.site.heard(Timestamp::from_nanos(oldest));
        }
    }

    fn take_over(&self, backing: &Mutex<RedisBacking>) -> Result<(), Fault> {
        let backing = backing.lock().unwrap_or_else(PoisonError::into_inner);
        backing::adopt(&*backing, &self.site, |backing| backing.generations())
    }

    fn now(&self) -> u64 {
        self.post.clock.now().nanos()
    }
}

fn lost() -> Fault {
    Fault::new(FaultKind::Down, "the listener failed")
}

fn take_lease(post: &Post) -> Option<Lease> {
    match post.segment.leases().ok()?.acquire(lease_key(post), Owner::current(), post.clock.now(), LEASE) {
        Acquired::Mine(lease) => Some(lease),
        Acquired::Theirs { .. } | Acquired::Unavailable => None,
    }
}

fn renew_lease(post: &Post, lease: Lease) -> bool {
    post.segment.leases().is_ok_and(|leases| leases.renew(lease, post.clock.now(), LEASE))
}

fn release_lease(post: &Post, lease: Lease) {
    if let Ok(leases) = post.segment.leases() {
        leases.release(lease);
    }
}

fn lease_key(post: &Post) -> crate::shm::Key {
    post.segment.hasher().key_of(&[b"cache listener", &post.site])
}
