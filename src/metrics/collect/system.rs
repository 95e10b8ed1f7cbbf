//! The machine: memory, processor, load, disk. Where a control group limits memory or processors, its
//! limits are the machine's.

use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup::Cgroup;
use crate::metrics::model::{Family, Kind};

/// Where the kernel tells.
#[derive(Clone, Debug)]
pub struct System {
    proc: PathBuf,
    cgroup: Cgroup,
}

impl System {
    /// This machine.
    pub fn here() -> Self {
        Self { proc: "/proc".into(), cgroup: Cgroup::here() }
    }

    /// Everything that can be read; what cannot is absent. `disk` is a path on the disk to look at.
    pub fn families(&self, disk: &Path) -> Vec<Family> {
        let load = self.load().into_iter();
        load.chain(self.memory()).chain(self.processor()).chain(disk_families(disk)).collect()
    }

    fn load(&self) -> Option<Family> {
        let text = fs::read_to_string(self.proc.join("loadavg")).ok()?;
        let load = text.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Family::gauge(
            "slbp_system_load_average",
            "Processes that ran or wanted to, mean of a minute.",
            load,
        ))
    }

    fn memory(&self) -> Vec<Family> {
        let Some((total, available)) = self.machine_memory() else { return Vec::new() };
        let (limit, used) = match self.cgroup.memory() {
            Some((limit, used)) if limit < total => (limit, used),
            _ => (total, total.saturating_sub(available)),
        };
        vec![
            Family::gauge(
                "slbp_system_memory_limit_bytes",
                "Memory that there is, or that the control group may have.",
                limit as f64,
            ),
            Family::gauge(
                "slbp_system_memory_used_bytes",
                "Memory of that which is in use and could not be freed at once.",
                used as f64,
            ),
        ]
    }

    fn machine_memory(&self) -> Option<(u64, u64)> {
        let text = fs::read_to_string(self.proc.join("meminfo")).ok()?;
        let find = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
        };
        Some((find("MemTotal")?, find("MemAvailable")?))
    }

    fn processor(&self) -> Vec<Family> {
        let Ok(text) = fs::read_to_string(self.proc.join("stat")) else { return Vec::new() };
        let cores = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
        let limit = self.cgroup.processors().map_or(cores as f64, |limit| limit.min(cores as f64));
        let help = "Processors that there are, or that the control group may use.";
        let mut families = vec![Family::gauge("slbp_system_cpu_limit", help, limit)];
        families.extend(cpu_seconds(&text));
        families
    }
}

/// The first line of `/proc/stat`, in hundredths of a second.
fn cpu_seconds(stat: &str) -> Option<Family> {
    let mut fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let help = "Time of all processors of the machine by what they did.";
    let mut family = Family::new("slbp_system_cpu_seconds_total", Kind::Counter, help);
    for mode in ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"] {
        let ticks: u64 = fields.next()?.parse().ok()?;
        family =
            family.with(&[("mode", mode)], ticks as f64 / rustix::param::clock_ticks_per_second() as f64);
    }
    Some(family)
}

fn disk_families(path: &Path) -> Vec<Family> {
    let Ok(disk) = rustix::fs::statvfs(path) else { return Vec::new() };
    let (total, free) = (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize);
    let used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize;
    let mut families = vec![
        Family::gauge("slbp_system_disk_size_bytes", "Size of the disk that the site lies on.", total as f64),
        Family::gauge("slbp_system_disk_free_bytes", "What of it the site may still take.", free as f64),
    ];
    if used + free > 0 {
        let share = 100.0 * used as f64 / (used + free) as f64;
        families.push(Family::gauge(
            "slbp_system_disk_usage",
            "Used share of that disk in percent, as df shows it.",
            share,
        ));
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let system = System { proc: folder.path().join("proc"), cgroup: Cgroup::at(folder.path()) };
        (folder, system)
    }

    fn value(families: &[Family], name: &str) -> f64 {
        let mut snapshot = crate::metrics::Snapshot::default();
        snapshot.extend(families.iter().cloned());
        snapshot.value(name).unwrap_or_else(|| panic!("{name} is absent"))
    }

    const MEMINFO: &str = "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n";
    const STAT: &str = "cpu  100 0 50 900 10 0 0 0 0 0\ncpu0 1 2\ncpu1 1 2\nintr 5\n";

    #[test]
    fn the_machine_is_read() {
        let (_folder, system) =
            machine(&[("proc/meminfo", MEMINFO), ("proc/stat", STAT), ("proc/loadavg", "1.5 1 1 1/2 3\n")]);
        let families = system.families(Path::new("/"));
        assert_eq!(value(&families, "slbp_system_memory_limit_bytes"), 1_024_000.0);
        assert_eq!(value(&families, "slbp_system_memory_used_bytes"), 614_400.0);
        assert_eq!(value(&families, "slbp_system_load_average"), 1.5);
        assert_eq!(value(&families, "slbp_system_cpu_limit"), 2.0);
        assert_eq!(value(&families, "slbp_system_cpu_seconds_total"), 10.6);
        assert!((0.0..=100.0).contains(&value(&families, "slbp_system_disk_usage")));
    }

    #[test]
    fn limits_of_the_control_group_stand_in_for_the_machines() {
        let (_folder, system) = machine(&[
            ("proc/meminfo", MEMINFO),
            ("proc/stat", STAT),
            ("proc/self/cgroup", "0::/docker/abc\n"),
            ("sys/fs/cgroup/docker/abc/memory.max", "512000\n"),
            ("sys/fs/cgroup/docker/abc/memory.current", "300000\n"),
            ("sys/fs/cgroup/docker/abc/memory.stat", "inactive_file 100000\n"),
            ("sys/fs/cgroup/docker/abc/cpu.max", "50000 100000\n"),
        ]);
        let families = system.families(Path::new("/"));
        assert_eq!(value(&families, "slbp_system_memory_limit_bytes"), 512_000.0);
        assert_eq!(value(&families, "slbp_system_memory_used_bytes"), 200_000.0);
        assert_eq!(value(&families, "slbp_system_cpu_limit"), 0.5);
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        let (_folder, system) = machine(&[("proc/meminfo", "nonsense"), ("proc/stat", "cpu x")]);
        let names: Vec<_> =
            system.families(Path::new("/nowhere")).iter().map(|f| f.name.to_string()).collect();
        assert_eq!(names, ["slbp_system_cpu_limit"]);
    }
}
