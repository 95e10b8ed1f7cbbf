//! The tick: what only a database or a disk knows is asked at most once a minute, whoever asks for it.

use std::time::{Duration, Instant};

use super::database;
use crate::backup::catalog::Status;
use crate::binding::backup::HostedBackups;
use crate::binding::convert::params::Settings;
use crate::binding::failure;
use crate::binding::queue::HostedQueue;
use crate::binding::segment;
use crate::binding::wordpress::hooks;
use crate::binding::wordpress::wpdb::Wpdb;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::metrics::sample::{business, database as server};
use crate::metrics::{Family, Kind, Registry};
use crate::ports::Database;
use crate::shm::{Acquired, Owner};

const EVERY: Duration = Duration::from_secs(55);
const SIZE_EVERY: Duration = Duration::from_secs(600);

/// Samples what is due. What cannot be had is logged, and stays as it was.
pub fn take(registry: &Registry<'_>) {
    let Some(wpdb) = Wpdb::find().filter(|_| is_due(registry, b"all", EVERY)) else { return };
    let is_size_due = is_due(registry, b"size", SIZE_EVERY);
    for (what, sampled) in [
        ("database", server(&wpdb, is_size_due)),
        ("billing tables", business(&wpdb)),
        ("background tasks", queue()),
        ("backups", backups()),
    ] {
        let kept = sampled.and_then(|families| registry.keep(&families, &SystemClock));
        if let Err(error) = kept {
            failure::log(&format!("metrics of the {what}: {error}"));
        }
    }
    let now = SystemClock.now().nanos() as f64 / 1e9;
    let help = "When databases and disks were last asked; what they said is as old.";
    let _ =
        registry.keep(&[Family::gauge("slbp_metrics_sampled_timestamp_seconds", help, now)], &SystemClock);
}

/// Whether nobody has done it within `every`: a lease that is not given back.
fn is_due(registry: &Registry<'_>, what: &[u8], every: Duration) -> bool {
    let lease = || {
        let segment = segment::get()?;
        let key = segment.hasher().key_of(&[b"metrics sample", what, &registry.tag().to_ne_bytes()]);
        Ok::<_, crate::error::Error>(segment.leases()?.acquire(
            key,
            Owner::current(),
            SystemClock.now(),
            every,
        ))
    };
    matches!(lease(), Ok(Acquired::Mine(_)))
}

fn server(wpdb: &Wpdb, with_size: bool) -> Result<Vec<Family>> {
    let began = Instant::now();
    wpdb.query("SELECT 1")?;
    let mut families = vec![server::answer_time(began.elapsed().as_secs_f64())];
    families.extend(server::families(wpdb)?);
    if with_size {
        families.extend(server::size(wpdb)?);
    }
    database::note(true);
    Ok(families)
}

fn business(wpdb: &Wpdb) -> Result<Vec<Family>> {
    let ago = |seconds: u64| {
        let at = SystemClock.now().secs().saturating_sub(seconds);
        let text = hooks::call("wp_date", vec![&"Y-m-d H:i:s", &i64::try_from(at).unwrap_or(0)]);
        text.and_then(|text| text.string()).unwrap_or_default()
    };
    let since = business::Since { hour: ago(3_600), day: ago(86_400), month: ago(30 * 86_400) };
    Ok(business::families(wpdb, &Wpdb::prefix().unwrap_or_default(), &since)?)
}

fn queue() -> Result<Vec<Family>> {
    let stats = HostedQueue::new(Settings::empty())?.with_store(|store| Ok(store.stats()?))?;
    let tasks = Family::new("slbp_background_tasks", Kind::Gauge, "Background tasks by status.");
    let statuses = [
        ("pending", stats.pending),
        ("processing", stats.processing),
        ("held", stats.held),
        ("failed", stats.failed),
        ("completed", stats.completed),
        ("cancelled", stats.cancelled),
    ];
    let tasks = statuses
        .into_iter()
        .fold(tasks, |all, (status, count)| all.with(&[("status", status)], count as f64));
    Ok(vec![
        tasks,
        Family::gauge("slbp_background_queue_pending", "Background tasks that wait.", stats.pending as f64),
        Family::gauge(
            "slbp_background_queue_failed",
            "Background tasks that failed for good.",
            stats.failed as f64,
        ),
        Family::gauge(
            "slbp_background_oldest_pending_seconds",
            "How long the next ready task has been due.",
            stats.oldest_pending_age,
        ),
    ])
}

/// Absent until there is a backup, because an age without one would be a guess.
fn backups() -> Result<Vec<Family>> {
    let listed = HostedBackups::new(Settings::empty())?.list()?;
    let complete: Vec<_> = listed.iter().filter(|backup| backup.status == Status::Completed).collect();
    let mut families =
        vec![Family::gauge("slbp_backups", "Complete backups that are there.", complete.len() as f64)];
    if let Some(last) = complete.first() {
        let done = last.completed_at.unwrap_or(last.created_at);
        families.extend([
            Family::gauge(
                "slbp_backup_last_success_timestamp_seconds",
                "When the newest complete backup was done.",
                done as f64,
            ),
            Family::gauge(
                "slbp_backup_last_size_bytes",
                "Size of the newest complete backup.",
                last.size as f64,
            ),
            Family::gauge(
                "slbp_backup_last_duration_seconds",
                "How long the newest complete backup took.",
                last.duration.unwrap_or(0) as f64,
            ),
        ]);
    }
    Ok(families)
}
