//! A mutex that survives the death of its owner.
//!
//! Owns: locking between processes that may be killed at any instruction. It is a pthread mutex,
//! process-shared, robust and error-checking. When its owner died, the next one who locks it gets
//! the lock together with the duty to repair what it guards; the caller passes that repair along,
//! so nobody can forget it.
//!
//! Refuses to do: wait for ever. The wait is bounded, and it is cut into slices of 50 ms because
//! the hand-over of a robust mutex can lose its wake-up: a waiter that is never woken looks again.
//!
//! Invariant: whoever holds a [`Guard`] sees a shard that is whole. A repair that is itself cut
//! short, and a panic while the lock is held, leave the mutex marked, and the next owner repairs.
//! No call into PHP under a guard: PHP may jump over the frame that would unlock it.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long a waiter sleeps before it looks at the mutex again.
const SLICE: Duration = Duration::from_millis(50);

/// How often the mutex is tried before the waiter sleeps: about as long as a shard is held.
const SPINS: u32 = 64;

/// A robust process-shared mutex, alone on its cache line.
#[repr(C, align(64))]
pub struct RobustMutex {
    raw: UnsafeCell<libc::pthread_mutex_t>,
    /// Non-zero while what the mutex guards may be broken.
    broken: AtomicU32,
}

// SAFETY: the pthread mutex may be used from any thread of any process that maps it.
unsafe impl Sync for RobustMutex {}

impl RobustMutex {
    /// Makes zeroed memory a mutex; false when the system refuses.
    ///
    /// # Safety
    /// Nobody else uses the mutex yet: the segment is being created.
    pub(super) unsafe fn init(&self) -> bool {
        let mut attributes = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialised before they are used and destroyed once; the mutex
        // is ours alone (contract of this function).
        unsafe {
            if libc::pthread_mutexattr_init(attributes) != 0 {
                return false;
            }
            let made = libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) == 0
                && libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) == 0
                && libc::pthread_mutexattr_settype(attributes, libc::PTHREAD_MUTEX_ERRORCHECK) == 0
                && libc::pthread_mutex_init(self.raw.get(), attributes) == 0;
            libc::pthread_mutexattr_destroy(attributes);
            made
        }
    }

    /// 0, EOWNERDEAD, or why not.
    fn acquire(&self, wait: Duration) -> libc::c_int {
        let first = self.try_acquire();
        if first != libc::EBUSY || wait.is_zero() {
            return first;
        }
        for _ in 0..SPINS {
            std::hint::spin_loop();
            let result = self.try_acquire();
            if result != libc::EBUSY {
                return result;
            }
        }
        let started = Instant::now();
        loop {
            let left = wait.saturating_sub(started.elapsed());
            if left.is_zero() {
                return libc::ETIMEDOUT;
            }
            let result = timed_lock(self.raw.get(), left.min(SLICE));
            if result != libc::ETIMEDOUT {
                return result;
            }
        }
    }

    fn try_acquire(&self) -> libc::c_int {
        // SAFETY: the mutex was initialised when the segment was created and is never destroyed.
        unsafe { libc::pthread_mutex_trylock(self.raw.get()) }
    }

    fn make_consistent(&self) {
        // SAFETY: called by the owner only, right after EOWNERDEAD.
        unsafe { libc::pthread_mutex_consistent(self.raw.get()) };
    }
}

/// Waits at most `wait` on the monotonic clock, which nobody can set back.
#[cfg(target_env = "gnu")]
fn timed_lock(mutex: *mut libc::pthread_mutex_t, wait: Duration) -> libc::c_int {
    unsafe extern "C" {
        fn pthread_mutex_clocklock(
            mutex: *mut libc::pthread_mutex_t,
            clock: libc::clockid_t,
            until: *const libc::timespec,
        ) -> libc::c_int;
    }
    let until = deadline(libc::CLOCK_MONOTONIC, wait);
    // SAFETY: the mutex is initialised; glibc has this function since 2.30.
    unsafe { pthread_mutex_clocklock(mutex, libc::CLOCK_MONOTONIC, &until) }
}

/// Waits at most `wait` on the wall clock, the only one this C library offers.
#[cfg(not(target_env = "gnu"))]
fn timed_lock(mutex: *mut libc::pthread_mutex_t, wait: Duration) -> libc::c_int {
    let until = deadline(libc::CLOCK_REALTIME, wait);
    // SAFETY: the mutex is initialised.
    unsafe { libc::pthread_mutex_timedlock(mutex, &until) }
}

fn deadline(clock: libc::clockid_t, wait: Duration) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer.
    unsafe { libc::clock_gettime(clock, &mut now) };
    let nanos = now.tv_nsec + i64::from(wait.subsec_nanos());
    libc::timespec {
        tv_sec: now.tv_sec + wait.as_secs() as libc::time_t + nanos / 1_000_000_000,
        tv_nsec: nanos % 1_000_000_000,
    }
}

/// The locks of a region.
#[derive(Clone, Copy)]
pub struct Locks<'a> {
    mutexes: &'a [RobustMutex],
    recoveries: &'a AtomicU64,
    timeouts: &'a AtomicU64,
}

impl<'a> Locks<'a> {
    /// Long enough for any live owner, short enough for a person who waits for a page.
    pub const PATIENCE: Duration = Duration::from_millis(500);

    pub(super) fn new(
        mutexes: &'a [RobustMutex],
        recoveries: &'a AtomicU64,
        timeouts: &'a AtomicU64,
    ) -> Self {
        Self { mutexes, recoveries, timeouts }
    }

    /// How many locks there are.
    pub fn len(&self) -> usize {
        self.mutexes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.mutexes.is_empty()
    }

    /// Takes lock `index`, waiting at most `wait` (zero: only if it is free now).
    ///
    /// When the last owner died (or panicked) while it held the lock, `repair` is run before the
    /// guard is handed out and the recovery is counted. `repair` must make the shard whole from any
    /// state, including one that an earlier repair left when it was killed.
    ///
    /// `None`: there is no such lock, this thread holds it already, or it was not free in time.
    pub fn lock(&self, index: usize, wait: Duration, repair: impl FnOnce()) -> Option<Guard<'a>> {
        let mutex = self.mutexes.get(index)?;
        match mutex.acquire(wait) {
            0 => {}
            libc::EOWNERDEAD => {
                mutex.broken.store(1, Relaxed);
                mutex.make_consistent();
            }
            libc::ETIMEDOUT => {
                self.timeouts.fetch_add(1, Relaxed);
                return None;
            }
            _ => return None,
        }
        let mut guard = Guard { mutex, recovered: false, thread: PhantomData };
        if mutex.broken.load(Relaxed) != 0 {
            repair();
            mutex.broken.store(0, Relaxed);
            guard.recovered = true;
            self.recoveries.fetch_add(1, Relaxed);
        }
        Some(guard)
    }
}

/// A held lock; dropping it unlocks.
pub struct Guard<'a> {
    mutex: &'a RobustMutex,
    recovered: bool,
    /// A pthread mutex must be unlocked by the thread that locked it.
    thread: PhantomData<*const ()>,
}

impl Guard<'_> {
    /// Whether the lock was taken over from a dead owner, and the shard repaired.
    pub fn recovered(&self) -> bool {
        self.recovered
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.mutex.broken.store(1, Relaxed);
        }
        // SAFETY: this thread holds the mutex, as the guard proves.
        unsafe { libc::pthread_mutex_unlock(self.mutex.raw.get()) };
    }
}
