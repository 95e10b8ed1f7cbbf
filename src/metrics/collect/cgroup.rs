//! The limits of the control group that this process is in: version 2, else version 1.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the group's files are.
#[derive(Clone, Debug)]
pub struct Cgroup {
    root: PathBuf,
    /// The group's path below the mount, without a slash at its start; empty inside a container.
    path: PathBuf,
}

impl Cgroup {
    /// This process' group.
    pub fn here() -> Self {
        Self::at(Path::new("/"))
    }

    /// The same below another root folder.
    pub fn at(root: &Path) -> Self {
        let told = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let path = told.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        Self { root: root.join("sys/fs/cgroup"), path: PathBuf::from(path.trim()) }
    }

    /// How much memory the group may have, and how much it has without file pages that can be freed at
    /// once. `None` without a limit.
    pub fn memory(&self) -> Option<(u64, u64)> {
        let version_2 = || {
            let limit = self.number("memory.max")?;
            Some((limit, self.number("memory.current")?, self.freeable("memory.stat", "inactive_file")))
        };
        let version_1 = || {
            let limit = self.number("memory/memory.limit_in_bytes")?;
            let used = self.number("memory/memory.usage_in_bytes")?;
            Some((limit, used, self.freeable("memory/memory.stat", "total_inactive_file")))
        };
        let (limit, used, freeable) = version_2().or_else(version_1)?;
        Some((limit, used.saturating_sub(freeable)))
    }

    /// How many processors the group may use, in fractions. `None` without a limit.
    pub fn processors(&self) -> Option<f64> {
        let version_2 = || {
            let text = self.read("cpu.max")?;
            let (quota, period) = text.trim().split_once(' ')?;
            Some((quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?))
        };
        let version_1 = || {
            Some((self.number("cpu/cpu.cfs_quota_us")? as f64, self.number("cpu/cpu.cfs_period_us")? as f64))
        };
        let (quota, period) = version_2().or_else(version_1)?;
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    }

    fn freeable(&self, file: &str, name: &str) -> u64 {
        let text = self.read(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    }

    /// `max` and `-1` are no numbers.
    fn number(&self, file: &str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }

    /// In a container the group's own folder is mounted as the root.
    fn read(&self, file: &str) -> Option<String> {
        let own = fs::read_to_string(self.root.join(&self.path).join(file));
        own.or_else(|_| fs::read_to_string(self.root.join(file))).ok()
    }
}
