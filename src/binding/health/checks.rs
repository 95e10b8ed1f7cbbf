//! The checks of this host, with the probes that only it can hand in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::HostedHealth;
use super::cache;
use super::settings::drain_file;
use crate::backup::catalog::Status;
use crate::backup::schedule::Every;
use crate::binding::backup::HostedBackups;
use crate::binding::convert::json;
use crate::binding::convert::params::Settings as Config;
use crate::binding::queue::HostedQueue;
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::binding::wordpress::{hooks, site};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::health::Health;
use crate::health::check::Check;
use crate::health::checks::backup::BackupSnapshot;
use crate::health::checks::php::{OpcacheSnapshot, PoolSnapshot};
use crate::health::checks::queue::QueueSnapshot;
use crate::health::checks::{backup, cron, database, disk, external, filesystem, memory, node, php, queue};
use crate::ports::Environment;
use crate::remote::database::DatabaseLink;

/// Those that need neither WordPress nor a connection.
pub fn of_node<'a>(health: &Health<'a>, folder: &'a Path) -> Vec<Box<dyn Check + 'a>> {
    vec![
        node::drain(health.drain(), drain_file()),
        node::maintenance(folder.to_owned()),
        disk::space(folder),
        disk::inodes(folder),
        memory::used(),
    ]
}

/// Those that readiness and health ask for, once the site's settings are known.
pub fn of_site<'a>(
    health: &Health<'a>,
    link: &'a DatabaseLink,
    folders: &'a Folders,
) -> Vec<Box<dyn Check + 'a>> {
    let mut all = of_node(health, &folders.root);
    all.extend([database::latency(link), node::migrations(migrations_pending)]);
    all
}

/// Those for whoever runs the site. The queue, the backups and the schedule are looked at in WordPress
/// alone: elsewhere nobody says that there are any, and looking would create them.
pub fn of_operator<'a>(
    hosted: &'a HostedHealth,
    link: &'a DatabaseLink,
    folders: &'a Folders,
) -> Vec<Box<dyn Check + 'a>> {
    let mut all = vec![database::replication(link), database::clock_skew(link)];
    all.extend(cache::layers());
    all.extend(folders.uploads.as_deref().map(filesystem::writable));
    if hooks::exists("get_option") {
        all.extend([queue::backlog(queue_snapshot), queue::stuck(queue_snapshot)]);
        all.extend([backup::age(backups), cron::lateness(cron_lateness)]);
    }
    all.extend([php::opcache(opcache), php::pool(pool)]);
    let apis = hosted.settings.external.iter();
    all.extend(apis.map(|address| external::reachable(address.clone(), hosted.settings.external_ca.clone())));
    all
}

/// Where the site's files are.
pub struct Folders {
    /// WordPress itself.
    pub root: PathBuf,
    /// What visitors upload.
    pub uploads: Option<PathBuf>,
}

impl Folders {
    /// Those of this request; outside WordPress the working directory.
    pub fn find() -> Self {
        let root = PhpEnvironment.constant("ABSPATH").map(|path| PathBuf::from(path.trim_end_matches('/')));
        let uploads = hooks::call("wp_get_upload_dir", vec![]).and_then(|dir| json::from_zval(&dir).ok());
        let uploads = uploads.and_then(|dir| dir.get("basedir")?.as_str().map(PathBuf::from));
        Self { root: root.unwrap_or_else(|| PathBuf::from(".")), uploads }
    }
}

/// `None` outside WordPress' reach, where nothing can be pending.
fn migrations_pending() -> Option<bool> {
    let Some(stored) = hooks::call("get_option", vec![&"db_version"]) else { return Some(false) };
    let stored = stored.string()?.parse::<u64>().ok()?;
    Some(stored < wanted_version()?)
}

/// `$wp_db_version` of wp-includes/version.php.
fn wanted_version() -> Option<u64> {
    site::global("wp_db_version")?.long().and_then(|version| u64::try_from(version).ok())
}

fn queue_snapshot() -> Result<QueueSnapshot, String> {
    let queue = HostedQueue::new(Config::empty()).map_err(|error| error.to_string())?;
    let stats = queue.with_store(|store| Ok(store.stats()?)).map_err(|error| error.to_string())?;
    let waiting = stats.pending.saturating_sub(stats.scheduled);
    Ok(QueueSnapshot { waiting, held: stats.held, oldest: stats.oldest_pending_age })
}

fn backups() -> Result<BackupSnapshot, String> {
    let read = || {
        let hosted = HostedBackups::new(Config::empty())?;
        let every = hosted.settings()?.schedule.map(|schedule| interval(schedule.every));
        if every.is_none() {
            return Ok(BackupSnapshot::default());
        }
        let good = hosted.list()?.into_iter().filter(|backup| backup.status == Status::Completed);
        let last = good.map(|backup| Timestamp::from_secs(backup.created_at)).max();
        Ok(BackupSnapshot { last, every })
    };
    read().map_err(|error: crate::error::Error| error.to_string())
}

fn interval(every: Every) -> Duration {
    const DAY: Duration = Duration::from_secs(86_400);
    match every {
        Every::Daily => DAY,
        Every::Weekly => DAY * 7,
        Every::Monthly => DAY * 31,
    }
}

/// How long ago the earliest of WordPress' events was due.
fn cron_lateness() -> Option<Duration> {
    let events = json::from_zval(&hooks::call("_get_cron_array", vec![])?).ok()?;
    let earliest = match &events {
        Value::Object(events) => events.keys().filter_map(|due| due.parse().ok()).min(),
        _ => None,
    };
    Some(earliest.map_or(Duration::ZERO, |due| SystemClock.now().since(Timestamp::from_secs(due))))
}

fn opcache() -> Option<OpcacheSnapshot> {
    let status = json::from_zval(&hooks::call("opcache_get_status", vec![&false])?).ok()?;
    let number = |part: &str, key: &str| status.get(part)?.get(key)?.as_f64();
    let (used, free) = (number("memory_usage", "used_memory"), number("memory_usage", "free_memory"));
    let (used, free, wasted) = (used?, free?, number("memory_usage", "wasted_memory")?);
    Some(OpcacheSnapshot {
        enabled: status.get("opcache_enabled").and_then(Value::as_bool)?,
        used: (used + wasted) / (used + wasted + free).max(1.0) * 100.0,
        restarts: number("opcache_statistics", "oom_restarts").unwrap_or(0.0) as u64,
    })
}

fn pool() -> Option<PoolSnapshot> {
    let status = json::from_zval(&hooks::call("fpm_get_status", vec![])?).ok()?;
    let number = |key: &str| status.get(key)?.as_u64();
    Some(PoolSnapshot {
        active: number("active-processes")?,
        most: number("total-processes")?,
        waiting: number("listen-queue").unwrap_or(0),
    })
}
