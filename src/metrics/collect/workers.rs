//! php-fpm's workers: how many serve a request, and what memory they have.
//!
//! Memory is what a process has for itself alone: pages that it shares (opcache, our own segment) are
//! each counted in every process by `resident`, and would make a small worker look large.

use std::fs;

use crate::metrics::model::{Family, Kind};
use crate::metrics::table::Worker;

/// Of all workers that live, whatever site they serve, and of the process that asks.
pub fn families(workers: &[Worker]) -> Vec<Family> {
    let busy = workers.iter().filter(|worker| worker.busy_since > 0).count();
    let mut pids: Vec<u32> = workers.iter().map(|worker| worker.pid).collect();
    pids.push(std::process::id());
    pids.sort_unstable();
    pids.dedup();
    let memory: Vec<u64> = pids.into_iter().filter_map(private_bytes).collect();
    let (max, sum) = (memory.iter().max().copied().unwrap_or(0), memory.iter().sum::<u64>());
    vec![
        Family::gauge(
            "slbp_system_memory_usage",
            "Private memory of the largest PHP worker in bytes, all sites of this host.",
            max as f64,
        ),
        Family::new(
            "slbp_php_worker_memory_bytes",
            Kind::Gauge,
            "Private memory of PHP workers: the largest, and all together.",
        )
        .with(&[("stat", "max")], max as f64)
        .with(&[("stat", "sum")], sum as f64),
        Family::new(
            "slbp_php_workers",
            Kind::Gauge,
            "PHP workers that live, by whether they serve a request.",
        )
        .with(&[("state", "busy")], busy as f64)
        .with(&[("state", "idle")], (workers.len() - busy) as f64),
        Family::gauge(
            "slbp_http_requests_in_flight",
            "Requests that are being served, all sites of this host.",
            busy as f64,
        ),
    ]
}

fn private_bytes(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = statm.split_ascii_whitespace().skip(1).map(|field| field.parse::<u64>().ok());
    let (resident, shared) = (pages.next()??, pages.next()??);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_largest() {
        let grown = vec![1u8; 32 << 20];
        let families = families(&[
            Worker { pid: 1, busy_since: 5, requests: 0 },
            Worker { pid: 2, busy_since: 0, requests: 9 },
        ]);
        let mut snapshot = crate::metrics::Snapshot::default();
        snapshot.extend(families);
        assert!(snapshot.value("slbp_system_memory_usage").unwrap() > grown.len() as f64);
        assert_eq!(snapshot.value("slbp_http_requests_in_flight"), Some(1.0));
        assert_eq!(snapshot.value("slbp_php_workers"), Some(2.0));
    }
}
