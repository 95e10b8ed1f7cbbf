//! The segment: a mapping with a header that says what is in it.
//!
//! Owns: creating and opening a segment, and finding its parts.
//!
//! What was read from the header is checked once and kept in the process, so that a neighbour who
//! scribbles over a shared file later cannot send anyone out of bounds.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use portable_atomic::AtomicU128;

use super::file::{self, Opened};
use super::header::{self, Header};
use super::layout::{Part, Placement, Plan, RegionKind};
use super::lock::{Locks, RobustMutex};
use super::map::Mapping;
use super::region::Region;
use super::{Cells, Counters, Hasher, Leases, RecordTable, WordTable, counters};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::{Error, Kind, Result};

/// Where a segment is to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Memory of this process and its children (`slbp.shm_path` is empty).
    Anonymous,
    /// A file that unrelated processes share.
    File {
        /// `slbp.shm_path`.
        path: PathBuf,
        /// The uid that may own the file, besides the one that opens it (`slbp.shm_owner`). When
        /// root creates the file, it is given to this user.
        owner: Option<u32>,
    },
}

/// How a segment is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// With the processes forked from the one that made it.
    Anonymous,
    /// With whoever maps the same file.
    File(PathBuf),
    /// Not at all: each process has its own. The fallback.
    Private,
}

impl Mode {
    /// `anonymous`, `file` or `private`.
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Anonymous => "anonymous",
            Mode::File(_) => "file",
            Mode::Private => "private",
        }
    }
}

/// A mapped segment. Dropping it only unmaps: nobody destroys what others may still use.
pub struct Segment {
    mapping: Mapping,
    mode: Mode,
    placements: Vec<Placement>,
    hasher: Hasher,
    /// Keeps the shared lock on the file that tells others that somebody lives in it.
    _file: Option<std::fs::File>,
}

impl Segment {
    /// Opens or creates the segment at `place`; when that fails, a small private one stands in, so
    /// that PHP always starts, and the reason is returned with it.
    pub fn obtain(place: &Place, plan: &Plan) -> Result<(Self, Option<Error>)> {
        let wanted = match place {
            Place::Anonymous => Self::anonymous(plan),
            Place::File { path, owner } => Self::file(path, plan, *owner),
        };
        match wanted {
            Ok(segment) => Ok((segment, None)),
            Err(error) => Ok((Self::private(&Plan::smallest())?, Some(error))),
        }
    }

    /// A segment for this process and the children it will fork.
    ///
    /// # Errors
    /// [`Kind::SharedMemory`] when the system gives no memory, or the processor cannot compare and
    /// swap 16 bytes (no x86-64 server since 2006 lacks it).
    pub fn anonymous(plan: &Plan) -> Result<Self> {
        require_wide_cas()?;
        let mapping = Mapping::shared(plan.total()).map_err(|e| failed("cannot map shared memory", &e))?;
        Self::create(mapping, plan, Mode::Anonymous, None)
    }

    /// A segment of this process alone.
    ///
    /// # Errors
    /// [`Kind::SharedMemory`] when the system gives no memory.
    pub fn private(plan: &Plan) -> Result<Self> {
        let mapping = Mapping::private(plan.total()).map_err(|e| failed("cannot map memory", &e))?;
        Self::create(mapping, plan, Mode::Private, None)
    }

    /// The segment in the file at `path`, which is created when it is missing, from another boot,
    /// of another version, or of another size while nobody uses it. A file of another size that is
    /// in use is joined as it is: two php.ini with different sizes must not evict each other.
    ///
    /// The file has mode 0600 and belongs to the caller's effective uid or to `owner`.
    ///
    /// # Errors
    /// [`Kind::SharedMemory`] when `path` is a symbolic link, no regular file, or owned by anybody
    /// else; when its file system has no room for all of it; or when another process does not
    /// finish creating it.
    pub fn file(path: &Path, plan: &Plan, owner: Option<u32>) -> Result<Self> {
        require_wide_cas()?;
        let opened =
            file::open(path, owner, plan.total(), &|mapping| header::read(mapping).is_ok(), &|mapping| {
                header::write(mapping, plan)
            });
        let Opened { file, mapping } = opened.map_err(|e| e.context(path.display().to_string()))?;
        let placements = header::read(&mapping)?;
        Ok(Self::assemble(mapping, placements, Mode::File(path.to_owned()), Some(file)))
    }

    fn create(mapping: Mapping, plan: &Plan, mode: Mode, file: Option<std::fs::File>) -> Result<Self> {
        header::write(&mapping, plan)?;
        Ok(Self::assemble(mapping, plan.placements(), mode, file))
    }

    fn assemble(
        mapping: Mapping,
        placements: Vec<Placement>,
        mode: Mode,
        file: Option<std::fs::File>,
    ) -> Self {
        let secret = Header::of(&mapping).secret.each_ref().map(|word| word.load(Relaxed));
        Self { mapping, mode, placements, hasher: Hasher::new(secret), _file: file }
    }

    /// The hash under this segment's secret.
    pub fn hasher(&self) -> Hasher {
        self.hasher
    }

    /// The event counts.
    pub fn counters(&self) -> Counters<'_> {
        Counters::new(self.region(RegionKind::Counters).carve().slice(counters::WORDS).unwrap_or(&[]))
    }

    /// The named words.
    ///
    /// # Errors
    /// [`Kind::SharedMemory`] when the segment has none; so for the other tables.
    pub fn cells(&self) -> Result<Cells<'_>> {
        Cells::new(self.region(RegionKind::Cells), self.capacity(RegionKind::Cells))
    }

    /// The leases.
    ///
    /// # Errors
    /// As [`Segment::cells`].
    pub fn leases(&self) -> Result<Leases<'_>> {
        Leases::new(self.region(RegionKind::Leases), self.capacity(RegionKind::Leases), self.counters())
    }

    /// The limiter's state words.
    ///
    /// # Errors
    /// As [`Segment::cells`].
    pub fn words(&self) -> Result<WordTable<'_>> {
        WordTable::new(self.region(RegionKind::Words), self.capacity(RegionKind::Words), self.counters())
    }

    /// Lists and bans.
    ///
    /// # Errors
    /// As [`Segment::cells`].
    pub fn records(&self) -> Result<RecordTable<'_>> {
        RecordTable::new(
            self.region(RegionKind::Records),
            self.capacity(RegionKind::Records),
            self.counters(),
        )
    }

    /// A part of the segment, to be laid out by its domain. Empty when the segment has none.
    pub fn region(&self, kind: RegionKind) -> Region<'_> {
        let header = Header::of(&self.mapping);
        let place = self.placements.iter().find(|placement| placement.kind == kind);
        let (offset, part) =
            place.map_or((0, Part { locks: 0, capacity: 0, bytes: 0 }), |p| (p.offset, p.part));
        // SAFETY: `header::read` or `Plan::placements` put offset, locks and bytes inside the
        // mapping, page-aligned, apart from every other region; the mapping lives as long as self.
        unsafe {
            let start = self.mapping.base().add(offset);
            let mutexes = std::slice::from_raw_parts(start.cast::<RobustMutex>().as_ptr(), part.locks);
            let locks = Locks::new(mutexes, &header.recoveries, &header.lock_timeouts);
            Region::new(start.add(part.locks * size_of::<RobustMutex>()), part.bytes, locks)
        }
    }

    fn capacity(&self, kind: RegionKind) -> usize {
        self.placements.iter().find(|p| p.kind == kind).map_or(0, |p| p.part.capacity)
    }

    /// What the segment looks like now. Counts what is used, so it costs milliseconds.
    pub fn info(&self) -> Info {
        let header = Header::of(&self.mapping);
        let regions = self.placements.iter().map(|placement| RegionInfo {
            kind: placement.kind,
            bytes: placement.part.bytes,
            capacity: placement.part.capacity,
            used: self.used(placement.kind),
        });
        Info {
            mode: self.mode.clone(),
            size: self.mapping.len(),
            created: Timestamp::from_nanos(header.created.load(Relaxed)),
            instance: header.instance.load(Relaxed),
            recoveries: header.recoveries.load(Relaxed),
            lock_timeouts: header.lock_timeouts.load(Relaxed),
            regions: regions.collect(),
        }
    }

    fn used(&self, kind: RegionKind) -> Option<usize> {
        let now = SystemClock.now().secs();
        match kind {
            RegionKind::Cells => self.cells().ok().map(|cells| cells.used()),
            RegionKind::Leases => self.leases().ok().map(|leases| leases.used(SystemClock.now())),
            RegionKind::Words => self.words().ok().map(|words| words.used(now)),
            RegionKind::Records => self.records().ok().map(|records| records.used()),
            RegionKind::Counters
            | RegionKind::ListHints
            | RegionKind::Metrics
            | RegionKind::Queries
            | RegionKind::Sessions
            | RegionKind::Cache => None,
        }
    }
}

/// A snapshot of a segment's state.
#[derive(Clone, Debug)]
pub struct Info {
    /// How it is shared.
    pub mode: Mode,
    /// Bytes mapped.
    pub size: usize,
    /// When it was created.
    pub created: Timestamp,
    /// Random number of this segment; another one means that everything in it was lost.
    pub instance: u64,
    /// Locks taken over from a process that died while it held them.
    pub recoveries: u64,
    /// Times that a lock was not free in time.
    pub lock_timeouts: u64,
    /// The parts.
    pub regions: Vec<RegionInfo>,
}

/// A snapshot of a part's state.
#[derive(Clone, Copy, Debug)]
pub struct RegionInfo {
    /// Which part.
    pub kind: RegionKind,
    /// Bytes, without locks.
    pub bytes: usize,
    /// Slots, entries or bytes.
    pub capacity: usize,
    /// How much of `capacity` is in use; `None` when the domain that lays the region out knows.
    pub used: Option<usize>,
}

fn require_wide_cas() -> Result<()> {
    if AtomicU128::is_lock_free() {
        return Ok(());
    }
    Err(Error::new(Kind::SharedMemory, "this processor cannot compare and swap 16 bytes at once"))
}

pub(super) fn failed(what: &'static str, error: &std::io::Error) -> Error {
    Error::new(Kind::SharedMemory, format!("{what}: {error}"))
}
