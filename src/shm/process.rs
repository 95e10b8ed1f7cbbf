//! Who a process is, for longer than its pid says.
//!
//! Owns: telling a live owner of a lease from a dead one whose pid was given to somebody else: the
//! start time of the process goes with its pid, and the pid namespace with both, because a
//! neighbour in another container may share a file-backed segment but not our process table.

use std::os::unix::fs::MetadataExt;

/// A process, told apart from any other that ever had its pid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Process id, in its own pid namespace.
    pub pid: u32,
    /// Clock ticks between the machine's start and the process' (field 22 of `/proc/<pid>/stat`).
    pub started: u64,
    /// The pid namespace (inode of `/proc/self/ns/pid`).
    pub namespace: u64,
}

impl Owner {
    /// The calling process (reads `/proc`: about 20 µs).
    pub fn current() -> Self {
        let pid = std::process::id();
        let started = match look(pid) {
            Seen::Started(ticks) => ticks,
            Seen::Dead | Seen::Hidden => 0,
        };
        Self { pid, started, namespace: namespace() }
    }

    /// Whether the process is certainly gone. One that cannot be seen from here may be alive.
    pub fn is_dead(&self) -> bool {
        if self.namespace != namespace() {
            return false;
        }
        match look(self.pid) {
            Seen::Started(ticks) => ticks != self.started,
            Seen::Dead => true,
            Seen::Hidden => false,
        }
    }
}

/// What `/proc` tells of a pid.
enum Seen {
    Started(u64),
    /// No such process, or one that only waits to be reaped.
    Dead,
    /// It exists, but /proc is mounted so that we may not look.
    Hidden,
}

fn look(pid: u32) -> Seen {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|stat| parse(&stat)) {
        Some(seen) => seen,
        None if exists(pid) => Seen::Hidden,
        None => Seen::Dead,
    }
}

fn parse(stat: &str) -> Option<Seen> {
    // The name in parentheses may hold spaces and parentheses, so fields are counted from its end.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return Some(Seen::Dead);
    }
    fields.nth(18)?.parse().ok().map(Seen::Started)
}

fn exists(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: signal 0 is sent to nobody, it only asks; a pid of 0 would mean our own group.
    pid > 0
        && (unsafe { libc::kill(pid, 0) } == 0
            || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH))
}

fn namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |data| data.ino())
}
