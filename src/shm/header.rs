//! The first page of a segment: what it is, and what lies where in it.
//!
//! Owns: writing the header before anybody else can see the segment, and deciding later whether a
//! segment is one that this process may use. After that only its two health counts change.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::layout::{HEADER_BYTES, Part, Placement, Plan, RegionKind};
use super::lock::RobustMutex;
use super::map::Mapping;
use super::region::shared_struct;
use super::{counters, segment::failed};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Kind, Result};

const MAGIC: u64 = u64::from_ne_bytes(*b"slbp.shm");

/// Raise it when the meaning of any shared byte changes.
const LAYOUT_VERSION: u64 = 2;

/// Layout, version, sizes and names that two processes must agree on to share a file.
const FINGERPRINT: u64 = {
    let seed =
        LAYOUT_VERSION << 32 | (size_of::<libc::pthread_mutex_t>() as u64) << 8 | size_of::<usize>() as u64;
    counters::fingerprint(seed, env!("CARGO_PKG_VERSION"))
};

const MAX_REGIONS: usize = 16;

shared_struct! {
    pub(super) struct Header {
        magic: AtomicU64,
        fingerprint: AtomicU64,
        size: AtomicU64,
        /// Nanoseconds since the epoch.
        pub created: AtomicU64,
        /// Random, so that a replaced segment is told from its successor.
        pub instance: AtomicU64,
        /// The boot in which the locks mean something.
        boot: [AtomicU64; 2],
        pub secret: [AtomicU64; 2],
        pub recoveries: AtomicU64,
        pub lock_timeouts: AtomicU64,
        regions: [RegionEntry; MAX_REGIONS],
    }
}

shared_struct! {
    struct RegionEntry {
        kind: AtomicU64,
        offset: AtomicU64,
        locks: AtomicU64,
        capacity: AtomicU64,
        bytes: AtomicU64,
    }
}

const _: () = assert!(size_of::<Header>() <= HEADER_BYTES);

impl Header {
    /// The header of a mapping.
    pub fn of(mapping: &Mapping) -> &Self {
        // SAFETY: a mapping has at least HEADER_BYTES and starts on a page; Header is Shared.
        unsafe { mapping.base().cast::<Self>().as_ref() }
    }
}

/// Makes zeroed memory a segment. Nobody else may see it before this is done.
pub(super) fn write(mapping: &Mapping, plan: &Plan) -> Result<()> {
    let header = Header::of(mapping);
    let set = |word: &AtomicU64, value: u64| word.store(value, Relaxed);
    set(&header.magic, MAGIC);
    set(&header.fingerprint, FINGERPRINT);
    set(&header.size, mapping.len() as u64);
    set(&header.created, SystemClock.now().nanos());
    let [instance, first, second] = random()?;
    set(&header.instance, instance);
    header.secret.iter().zip([first, second]).for_each(|(word, value)| set(word, value));
    header.boot.iter().zip(boot()).for_each(|(word, value)| set(word, value));
    for (entry, placement) in header.regions.iter().zip(plan.placements()) {
        set(&entry.offset, placement.offset as u64);
        set(&entry.locks, placement.part.locks as u64);
        set(&entry.capacity, placement.part.capacity as u64);
        set(&entry.bytes, placement.part.bytes as u64);
        set(&entry.kind, placement.kind as u64);
        init_locks(mapping, &placement)?;
    }
    Ok(())
}

fn init_locks(mapping: &Mapping, placement: &Placement) -> Result<()> {
    for index in 0..placement.part.locks {
        let at = placement.offset + index * size_of::<RobustMutex>();
        // SAFETY: the plan put the lock inside the mapping, aligned; nobody else sees the segment yet.
        let made = unsafe { mapping.base().add(at).cast::<RobustMutex>().as_ref().init() };
        if !made {
            return Err(Error::new(Kind::SharedMemory, "the system has no robust process-shared mutexes"));
        }
    }
    Ok(())
}

/// Where everything lies, if this is a segment that we may use.
pub(super) fn read(mapping: &Mapping) -> Result<Vec<Placement>> {
    let header = Header::of(mapping);
    let refuse = |why: &'static str| Err(Error::new(Kind::SharedMemory, why));
    if header.magic.load(Relaxed) != MAGIC {
        return refuse("not a segment of this extension");
    }
    if header.fingerprint.load(Relaxed) != FINGERPRINT || header.size.load(Relaxed) != mapping.len() as u64 {
        return refuse("a segment of another version");
    }
    if header.boot.each_ref().map(|word| word.load(Relaxed)) != boot() {
        return refuse("a segment from before the machine was started");
    }
    let placements: Option<Vec<_>> = RegionKind::ALL
        .iter()
        .zip(&header.regions)
        .map(|(kind, entry)| entry.placement(*kind, mapping.len()))
        .collect();
    placements.ok_or_else(|| Error::new(Kind::SharedMemory, "a segment with a broken region table"))
}

impl RegionEntry {
    /// The region that the entry describes, if it is `kind` and lies inside `size` bytes.
    fn placement(&self, kind: RegionKind, size: usize) -> Option<Placement> {
        let word = |word: &AtomicU64| usize::try_from(word.load(Relaxed)).ok();
        if word(&self.kind)? != kind as usize {
            return None;
        }
        let part =
            Part { locks: word(&self.locks)?, capacity: word(&self.capacity)?, bytes: word(&self.bytes)? };
        let offset = word(&self.offset)?;
        let locks = part.locks.checked_mul(size_of::<RobustMutex>())?;
        let end = offset.checked_add(locks)?.checked_add(part.bytes)?;
        (offset >= HEADER_BYTES && offset.is_multiple_of(HEADER_BYTES) && end <= size).then_some(Placement {
            kind,
            offset,
            part,
        })
    }
}

fn random() -> Result<[u64; 3]> {
    use std::io::Read;
    let mut bytes = [0; 24];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|e| failed("cannot read /dev/urandom", &e))?;
    let mut words = [0; 3];
    let (chunks, _) = bytes.as_chunks::<8>();
    words.iter_mut().zip(chunks).for_each(|(word, chunk)| *word = u64::from_ne_bytes(*chunk));
    Ok(words)
}

/// Which start of the machine this is; zeros where the system does not say.
fn boot() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id = u128::from_str_radix(&digits, 16).unwrap_or(0);
    [(id >> 64) as u64, id as u64]
}
