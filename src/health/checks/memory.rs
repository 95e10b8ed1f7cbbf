//! Memory: of the container where it has a limit, else of the machine.

use std::fs;
use std::path::{Path, PathBuf};

use crate::health::check::{Check, Probe, Profile};
use crate::health::finding::{Outcome, Unit};
use crate::health::state::Groups;

/// Percent in use: degraded, unhealthy.
const LIMITS: (f64, f64) = (90.0, 97.0);

/// How full memory is.
pub fn used() -> Box<dyn Check> {
    let profile = Profile::new("memory", "system", "utilization").asked_by(Groups::HEALTH).good_for(5);
    Box::new(Probe::new(profile, || {
        let root = Path::new("/");
        match of_cgroup(root).or_else(|| of_machine(root)) {
            Some(percent) => {
                Outcome::graded(percent, Unit::Percent, LIMITS.0, LIMITS.1, "memory is nearly full")
            }
            None => Outcome::degraded("memory cannot be looked at"),
        }
    }))
}

fn of_machine(root: &Path) -> Option<f64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    percent(kilobytes("MemTotal")?.checked_sub(kilobytes("MemAvailable")?)?, kilobytes("MemTotal")?)
}

/// The group of this process, in version 2 or 1; `None` when it has no limit. Pages of files can be
/// given back, so inactive ones do not count as used.
fn of_cgroup(root: &Path) -> Option<f64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => version_2(&group_folder(root, "sys/fs/cgroup", path)),
            "memory" => version_1(&group_folder(root, "sys/fs/cgroup/memory", path)),
            _ => None,
        }
    })
}

/// In a container the path is that of the host, while the container's own group is mounted at the top.
fn group_folder(root: &Path, mount: &str, path: &str) -> PathBuf {
    let top = root.join(mount);
    let inner = top.join(path.trim_start_matches('/'));
    if inner.is_dir() { inner } else { top }
}

fn version_2(folder: &Path) -> Option<f64> {
    let (limit, current) = (number(folder, "memory.max")?, number(folder, "memory.current")?);
    percent(current.saturating_sub(stat(folder, "inactive_file")), limit)
}

fn version_1(folder: &Path) -> Option<f64> {
    let (limit, current) =
        (number(folder, "memory.limit_in_bytes")?, number(folder, "memory.usage_in_bytes")?);
    // "No limit" is the largest multiple of a page.
    let limit = Some(limit).filter(|limit| *limit < 1 << 60)?;
    percent(current.saturating_sub(stat(folder, "total_inactive_file")), limit)
}

fn number(folder: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

fn stat(folder: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn percent(used: u64, total: u64) -> Option<f64> {
    (total > 0).then(|| used as f64 / total as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_containers_limit_counts_and_its_file_pages_do_not() {
        let container = machine(&[
            ("proc/self/cgroup", "0::/system.slice/pod\n"),
            ("sys/fs/cgroup/memory.max", "1000\n"),
            ("sys/fs/cgroup/memory.current", "800\n"),
            ("sys/fs/cgroup/memory.stat", "anon 500\ninactive_file 300\n"),
        ]);
        assert_eq!(of_cgroup(container.path()), Some(50.0));
    }

    #[test]
    fn a_group_without_a_limit_leaves_the_machine() {
        let two = machine(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "max\n")]);
        assert_eq!(of_cgroup(two.path()), None);
        let one = machine(&[
            ("proc/self/cgroup", "5:memory:/x\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "800\n"),
            ("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    250 kB\n"),
        ]);
        assert_eq!(of_cgroup(one.path()), None);
        assert_eq!(of_machine(one.path()), Some(75.0));
    }
}
