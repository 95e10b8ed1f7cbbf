//! When it is time to look, and who does.
//!
//! Of the workers that end a request in the same interval one looks: it swings a word in shared
//! memory. The plugin does so on WordPress' `shutdown`, when the response is out; a request in which
//! WordPress did not come up does so in RSHUTDOWN, after it has sent its response itself. Cron and the
//! command line look whenever they are asked to.

use std::sync::atomic::Ordering;

use ext_php_rs::prelude::*;

use super::HostedAlerts;
use super::rules::Place;
use crate::alerts::Report;
use crate::alerts::machine::Phase;
use crate::binding::failure::log;
use crate::binding::metrics::registry;
use crate::binding::segment;
use crate::binding::wordpress::constants::{self, PhpEnvironment};
use crate::binding::wordpress::hooks;
use crate::binding::wordpress::site;
use crate::clock::{Clock, NANOS_PER_SEC, SystemClock};
use crate::metrics::{Definition, Kind};
use crate::ports::Environment;

/// Seconds between two looks, unless php.ini says otherwise.
const USUAL_INTERVAL: u64 = 15;

const SENT: &str = "slbp_alert_notifications_total";
const FIRING: &str = "slbp_alerts_firing";

/// Registers the functions of this file.
pub fn functions(module: ModuleBuilder<'_>) -> ModuleBuilder<'_> {
    module.function(wrap_function!(slbp_alerts_due)).function(wrap_function!(slbp_forget_alerts))
}

/// Whether it is time to look at this site's alerts. True for one caller in `slbp.alert_interval` seconds, who should
/// call SLBP_Monitoring_Manager::check_alerts() once the response is out.
#[php_function]
pub fn slbp_alerts_due() -> bool {
    claim_turn().unwrap_or(false)
}

/// Removes what is kept of this site's alerts beside its memory. For a plugin that is deactivated: nothing
/// is looked at any more then, with the database down either.
#[php_function]
pub fn slbp_forget_alerts() {
    Place::of_site(site::identity()).clear();
}

fn claim_turn() -> Option<bool> {
    let segment = segment::get().ok()?;
    let name = segment.hasher().key_of(&[b"alerts turn", &site::identity()]);
    let last_look = segment.cells().ok()?.cell(name).ok()?;
    let (now, last) = (SystemClock.now().nanos(), last_look.load(Ordering::Acquire));
    // A look in the future was one before the clock was set back.
    if last <= now && now - last < interval() {
        return Some(false);
    }
    Some(last_look.compare_exchange(last, now, Ordering::AcqRel, Ordering::Acquire).is_ok())
}

/// Nanoseconds between two looks.
fn interval() -> u64 {
    let seconds = PhpEnvironment.ini("slbp.alert_interval").and_then(|text| text.trim().parse().ok());
    seconds.filter(|seconds| (1..=3600).contains(seconds)).unwrap_or(USUAL_INTERVAL) * NANOS_PER_SEC
}

/// A constant that WordPress defines once its plugins are loaded, and nobody else does.
const DEFINED_LATE: &str = "TEMPLATEPATH";

/// At the end of a request of php-fpm in which nobody has looked although it was time: WordPress did
/// not come up. Phase: RSHUTDOWN, where internal functions may still be called and PHP code may not.
pub fn at_end_of_request() {
    let came_up = constants::find(DEFINED_LATE).is_some();
    if came_up || constants::find("ABSPATH").is_none() || !serves_fpm() || claim_turn() != Some(true) {
        return;
    }
    let Some(alerts) = HostedAlerts::ending() else { return };
    hooks::call("fastcgi_finish_request", vec![]);
    alerts.check();
}

fn serves_fpm() -> bool {
    hooks::call("php_sapi_name", vec![]).and_then(|name| name.string()).as_deref() == Some("fpm-fcgi")
}

/// Shows in the metrics what a tick has done.
pub fn count(report: &Report) {
    if let Err(error) = try_count(report) {
        log(&format!("alerts: {error}"));
    }
}

fn try_count(report: &Report) -> crate::error::Result<()> {
    let registry = registry()?;
    let labels = ["channel".to_owned(), "outcome".to_owned()];
    let help = "Attempts to tell somebody of an alert, by channel.";
    registry.register(&Definition::new(SENT, Kind::Counter, help, &labels, &[])?)?;
    for (channel, (good, bad)) in &report.sent {
        for (outcome, count) in [("delivered", good), ("failed", bad)] {
            let given =
                [("channel".to_owned(), (*channel).to_owned()), ("outcome".to_owned(), outcome.to_owned())];
            if *count > 0 {
                registry.increment(SENT, f64::from(*count), &given, &SystemClock)?;
            }
        }
    }
    registry.register(&Definition::new(
        FIRING,
        Kind::Gauge,
        "Alerts that fire, as of the last look.",
        &[],
        &[],
    )?)?;
    let firing = report.states.values().filter(|phase| **phase == Phase::Firing).count();
    registry.set(FIRING, firing as f64, &[], &SystemClock)
}
