//! How starved the machine is while a test measures time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between writing and being seen on another host some eight threads and processes wake one another.
const HANDOVERS: u32 = 8;

/// A thread that naps, works for a moment, and notices how much longer that takes than it should. On a
/// machine with nothing else to do that is a fraction of a millisecond, and a test's limit is what it says.
pub struct Lateness {
    worst: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lateness {
    /// Watches from now on.
    pub fn watch() -> Self {
        let (worst, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (worst, stop) = (Arc::clone(&worst), Arc::clone(&stop));
            move || {
                let (nap, work) = (Duration::from_millis(1), Duration::from_micros(200));
                while !stop.load(SeqCst) {
                    let began = Instant::now();
                    std::thread::sleep(nap);
                    let woken = Instant::now();
                    while woken.elapsed() < work {}
                    worst.fetch_max((began.elapsed() - nap - work).as_micros() as u64, SeqCst);
                }
            }
        });
        Self { worst, stop, thread: Some(thread) }
    }

    /// Fails the test when `took` is more than `limit` and what the machine's lateness explains.
    pub fn check(&self, took: Duration, limit: Duration) {
        // One more nap, so that what is late at this very moment is noticed.
        std::thread::sleep(Duration::from_millis(2));
        let late = Duration::from_micros(self.worst.load(SeqCst));
        let allowed = limit + late * HANDOVERS;
        assert!(
            took < allowed,
            "it took {took:?}, and {limit:?} is the limit; threads were woken {late:?} late"
        );
    }
}

/// The time that 49 of 50 took at most: a machine that is busy with other things stalls now and then.
pub fn most(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 49 / 50]
}

impl Drop for Lateness {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
