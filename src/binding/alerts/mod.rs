//! What stands between `SLBP_Monitoring_Manager`'s alerts and the domain: the host's side.
//!
//! Owns: which rules are in force ([`rules`]), where figures come from ([`readings`]), the site's
//! mailer ([`mail`]), when it is time and who ticks ([`tick`]), REST answers ([`rest`]). Refuses to do:
//! compare, decide, word a message.
//!
//! While the database is down WordPress does not boot, so nothing here asks WordPress when a tick runs
//! at the end of such a request: rules come from the mirror file, mail goes through PHP's `mail()`.

pub mod mail;
pub mod readings;
pub mod rest;
pub mod rules;
pub mod tick;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use self::mail::HostMailer;
use self::readings::HostReadings;
use self::rules::{InForce, Place};
use super::failure::log;
use super::segment;
use super::wordpress::constants::PhpEnvironment;
use super::wordpress::hooks;
use super::wordpress::options::HostOptions;
use super::wordpress::site;
use super::wordpress::wpdb::Wpdb;
use crate::alerts::notify::{Courier, Notice, Outcome, Post, Receiver};
use crate::alerts::shelf::{self, Claim, InFile, InSegment, Kept, Shelf};
use crate::alerts::silence::{EVERY_ALERT, Silence, Silences};
use crate::alerts::{Engine, Report, rule};
use crate::clock::{Clock, SystemClock};
use crate::config::lax;
use crate::error::{Error, Kind, Result};
use crate::ports::{Database, Environment};
use crate::remote::database::{DatabaseLink, DatabaseSettings};
use crate::remote::http::Reach;
use crate::remote::settings::Secret;
use crate::shm::{Acquired, Owner};

/// No tick takes longer; a worker that does has lost its lease.
const TICK: Duration = Duration::from_secs(90);

/// A process with another segment that holds the files for longer is stopped.
const STUCK: Duration = Duration::from_secs(180);

/// Whether WordPress may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// PHP code runs.
    Running,
    /// Only internal functions may be called: RSHUTDOWN.
    Ending,
}

/// The alerts of this request's site.
pub struct HostedAlerts<'a> {
    /// The site's options; none at the end of a request.
    options: Option<&'a HostOptions>,
    stage: Stage,
    place: Place,
    in_force: InForce,
}

impl<'a> HostedAlerts<'a> {
    /// With the rules of `config`, else those of the option, else of the mirror, else the usual ones.
    ///
    /// # Errors
    /// A mistake in `config`, or no shared memory at all.
    pub fn new(config: &Value, options: &'a HostOptions) -> Result<Self> {
        let place = Place::of_site(site::identity());
        let in_force = rules::in_force(config, options, &place)?;
        Ok(Self { options: Some(options), stage: Stage::Running, place, in_force })
    }

    /// At the end of a request in which WordPress may not have come up: what the mirror says.
    pub fn ending() -> Option<Self> {
        let place = Place::of_site(site::identity());
        let in_force = rules::mirrored(&place)?;
        Some(Self { options: None, stage: Stage::Ending, place, in_force })
    }

    /// One tick, unless another worker is at it: what has changed, and how things stand.
    pub fn check(&self) -> Report {
        self.try_check().unwrap_or_else(|error| {
            log(&format!("alerts: {error}"));
            self.standing()
        })
    }

    fn try_check(&self) -> Result<Report> {
        let segment = segment::get()?;
        let leases = segment.leases()?;
        let key = segment.hasher().key_of(&[b"alerts tick", &self.place.site]);
        let lease = match leases.acquire(key, Owner::current(), SystemClock.now(), TICK) {
            Acquired::Mine(lease) => Some(lease),
            Acquired::Theirs { .. } => return Ok(self.standing()),
            Acquired::Unavailable => None,
        };
        let is_mine = || lease.is_none_or(|lease| leases.holds(lease, SystemClock.now()));
        let report = self.tick(&is_mine);
        lease.map(|lease| leases.release(lease));
        report
    }

    fn tick(&self, is_mine: &dyn Fn() -> bool) -> Result<Report> {
        let claim = self.place.file("lock").map(|path| shelf::claim(&path, SystemClock.now(), STUCK));
        if matches!(claim, Some(Claim::Theirs)) {
            return Ok(self.standing());
        }
        if self.stage == Stage::Running {
            self.in_force.mirror(&self.place);
        }
        let readings = HostReadings::take(&self.in_force.rules);
        let kept = self.kept();
        self.with_engine(&kept, |engine| {
            let mut report = engine.evaluate(&readings)?;
            let mailer = HostMailer { stage: self.stage };
            let post = Logged(Post::new(reach(), &mailer, secret(), &SystemClock)?);
            engine.deliver(&post, &mut report, is_mine)?;
            tick::count(&report);
            if is_mine() && readings.database_answers != Some(false) {
                self.record(engine)?;
            }
            Ok(report)
        })
    }

    /// Brings the history up to date. That it cannot be written is no reason not to alert.
    fn record(&self, engine: &Engine<'_>) -> Result<()> {
        let outcome = match (self.stage, Wpdb::find()) {
            (Stage::Running, Some(wpdb)) => engine.record(&wpdb, &table()),
            _ => match link() {
                Some(link) => engine.record(&link, &table()),
                None => Ok(()),
            },
        };
        match outcome {
            Err(error) if error.kind() == Kind::Store => {
                log(&format!("alerts: the history waits: {error}"));
                Ok(())
            }
            other => other,
        }
    }

    /// How things stand, with nothing done.
    pub fn standing(&self) -> Report {
        let kept = self.kept();
        let phases = self.with_engine(&kept, |engine| {
            let (book, _) = engine.look();
            let enabled = self.in_force.rules.iter().filter(|rule| rule.enabled);
            enabled.map(|rule| (rule.name.clone(), book.phase_of(&rule.name))).collect()
        });
        Report { states: phases, ..Report::default() }
    }

    /// Silences `alert` for `seconds`, or takes its silence back with none.
    ///
    /// # Errors
    /// Invalid argument for an alert that there is not, and a time that is none.
    pub fn silence(&self, alert: &str, seconds: i64, comment: &str) -> Result<bool> {
        let is_known = self.in_force.rules.iter().any(|rule| rule.name == alert);
        if alert != EVERY_ALERT && !is_known {
            return Err(rule::unknown(alert, &self.in_force.rules));
        }
        const LONGEST: i64 = 366 * 24 * 3600;
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds <= LONGEST as u64);
        let expected = "expected 0 to take a silence back, or seconds up to a year";
        let seconds = seconds.ok_or_else(|| Error::invalid("$seconds", expected))?;
        let now = SystemClock.now();
        let cut = |text: &str| text.chars().take(300).collect::<String>();
        let silence = Silence {
            alert: alert.to_owned(),
            author: author(),
            comment: cut(comment),
            created: now.secs(),
            expires: now.secs() + seconds,
        };
        let kept = self.kept();
        let mut silences: Silences = kept.silences.load();
        silences.put(silence, now);
        kept.silences.store(&silences)?;
        Ok(true)
    }

    /// Sends a test over `channel` to `target`: whether it arrived, and what was said.
    ///
    /// # Errors
    /// Invalid argument for an unknown channel or a target that is none.
    pub fn test(&self, channel: &str, target: &str) -> Result<Value> {
        let receiver = Receiver::named(channel, target, may_be_private())?;
        let mailer = HostMailer { stage: self.stage };
        let post = Post::new(reach(), &mailer, secret(), &SystemClock)?;
        let notice = Notice::test(&instance(), &self.in_force.site_url, SystemClock.now());
        let shown = receiver.shown();
        Ok(match post.deliver(&receiver, &notice) {
            Outcome::Delivered => {
                json!({"success": true, "message": format!("{shown} took the test message.")})
            }
            Outcome::Failed { reason, .. } => json!({"success": false, "message": reason}),
        })
    }

    fn kept(&self) -> Shelves {
        let shelves = |name: &'static str| {
            let mut shelves: Vec<Box<dyn Shelf>> = Vec::new();
            if let Ok(segment) = segment::get() {
                shelves.push(Box::new(InSegment::new(segment, &self.place.site, name)));
            }
            if let Some(path) = self.place.file(name) {
                shelves.push(Box::new(InFile::new(path)));
            }
            Kept::on(shelves)
        };
        Shelves { book: shelves("book"), silences: shelves("silences") }
    }

    fn with_engine<T>(&self, kept: &Shelves, work: impl FnOnce(&Engine<'_>) -> T) -> T {
        let instance = instance();
        work(&Engine {
            rules: &self.in_force.rules,
            book: &kept.book,
            silences: &kept.silences,
            clock: &SystemClock,
            instance: &instance,
            site_url: &self.in_force.site_url,
            random: &random,
        })
    }
}

struct Shelves {
    book: Kept,
    silences: Kept,
}

/// A courier whose failures are in PHP's log.
struct Logged<'a>(Post<'a>);

impl Courier for Logged<'_> {
    fn deliver(&self, receiver: &Receiver, notice: &Notice) -> Outcome {
        let outcome = self.0.deliver(receiver, notice);
        if let Outcome::Failed { reason, .. } = &outcome {
            log(&format!("alert '{}' could not be told to {}: {reason}", notice.rule, receiver.shown()));
        }
        outcome
    }
}

/// What this host is called in messages: `slbp.instance_id`, else its own name. An option would be the
/// same on every web server.
fn instance() -> String {
    let own = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    PhpEnvironment.ini("slbp.instance_id").unwrap_or_else(own)
}

/// Who silences.
fn author() -> String {
    let user = hooks::call("wp_get_current_user", vec![]);
    let login = user.as_ref().and_then(|user| user.object()?.get_property::<String>("user_login").ok());
    login.filter(|login| !login.is_empty()).unwrap_or_else(|| "php".to_owned())
}

fn may_be_private() -> bool {
    let text = PhpEnvironment.ini("slbp.webhook_allow_private").unwrap_or_default();
    lax::bool(&Value::String(text)).unwrap_or(false)
}

fn reach() -> Reach {
    if may_be_private() { Reach::Anywhere } else { Reach::Public }
}

fn secret() -> Option<Secret> {
    let environment = PhpEnvironment;
    let named = environment.constant("SLBP_WEBHOOK_SECRET").filter(|secret| !secret.is_empty());
    named.or_else(|| environment.ini("slbp.webhook_secret")).map(Secret::new)
}

/// The history's table.
fn table() -> String {
    format!("{}slbp_alerts", Wpdb::prefix().or_else(site::table_prefix).unwrap_or_default())
}

/// A connection of our own to the site's database, that waits for nothing long; none where no database
/// is configured.
fn link() -> Option<DatabaseLink> {
    let settings = DatabaseSettings::read(Value::Null, &PhpEnvironment).ok();
    let mut settings = settings.filter(|settings| !settings.name.is_empty())?;
    settings.timeout = settings.timeout.min(Duration::from_secs(2));
    settings.read_timeout = settings.read_timeout.min(Duration::from_secs(5));
    Some(DatabaseLink::new(settings))
}

/// The newest events of the history, newest first; none while the database is down.
fn history(limit: u32) -> Vec<Value> {
    let of = |db: &dyn Database| crate::alerts::history::recent(db, &table(), limit);
    let found = match Wpdb::find() {
        Some(wpdb) => of(&wpdb),
        None => link().map_or_else(|| Ok(Vec::new()), |link| of(&link)),
    };
    found.unwrap_or_default()
}

fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

/// The folder of the files that PHP's user alone may read: `slbp.state_dir`, else one in the system's
/// folder for temporary files, with the user's number in its name.
fn state_folder() -> PathBuf {
    let named = PhpEnvironment.ini("slbp.state_dir").map(PathBuf::from);
    named
        .unwrap_or_else(|| std::env::temp_dir().join(format!("slbp-{}", rustix::process::geteuid().as_raw())))
}
