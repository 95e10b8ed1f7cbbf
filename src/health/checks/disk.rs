//! Room on the disk, in bytes and in inodes.

use std::path::Path;

use crate::health::check::{Check, Probe, Profile};
use crate::health::finding::{Outcome, Unit};
use crate::health::state::Groups;

/// Percent in use: degraded, unhealthy.
const LIMITS: (f64, f64) = (85.0, 95.0);

/// How full the file system of `folder` is.
pub fn space(folder: &Path) -> Box<dyn Check + '_> {
    let profile = Profile::new("disk", "system", "utilization").asked_by(Groups::HEALTH);
    Box::new(Probe::new(profile, || {
        used(folder, |stat| (stat.f_blocks, stat.f_bfree, stat.f_bavail), "the disk is nearly full")
    }))
}

/// How many of its inodes are taken.
pub fn inodes(folder: &Path) -> Box<dyn Check + '_> {
    let profile = Profile::new("inodes", "system", "utilization").asked_by(Groups::HEALTH);
    Box::new(Probe::new(profile, || {
        used(folder, |stat| (stat.f_files, stat.f_ffree, stat.f_favail), "the disk has hardly an inode left")
    }))
}

fn used(folder: &Path, of: impl Fn(&rustix::fs::StatVfs) -> (u64, u64, u64), what: &str) -> Outcome {
    match rustix::fs::statvfs(folder) {
        Ok(stat) => {
            let (total, free, available) = of(&stat);
            Outcome::graded(percent(total, free, available), Unit::Percent, LIMITS.0, LIMITS.1, what)
        }
        Err(error) => Outcome::degraded(format!("the disk cannot be looked at: {error}")),
    }
}

/// As df says it: of what is not kept for root. File systems without a number of inodes say 0.
fn percent(total: u64, free: u64, available: u64) -> f64 {
    let used = total.saturating_sub(free);
    let all = used.saturating_add(available);
    if all == 0 { 0.0 } else { used as f64 / all as f64 * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn what_is_kept_for_root_counts_as_df_counts_it() {
        assert!((percent(1000, 100, 50) - 94.74).abs() < 0.01);
        assert_eq!(percent(0, 0, 0), 0.0, "btrfs has no number of inodes");
    }
}
