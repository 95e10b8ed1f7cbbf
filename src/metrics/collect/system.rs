//! The machine: memory, processor, load, disk. Limits of the control group stand in for the machine's.

use std::fs;

use crate::metrics::model::Family;

/// Everything that can be read; what cannot is absent.
pub fn families() -> Vec<Family> {
    memory_of_this_process().into_iter().collect()
}

fn memory_of_this_process() -> Option<Family> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split_ascii_whitespace().skip(1).map(|field| field.parse::<u64>().ok());
    let (resident, shared) = (pages.next()??, pages.next()??);
    let bytes = resident.saturating_sub(shared) * rustix::param::page_size() as u64;
    Some(Family::gauge(
        "slbp_system_memory_usage",
        "Private memory of the largest PHP worker, in bytes.",
        bytes as f64,
    ))
}
