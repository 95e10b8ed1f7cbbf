//! What the probes at the door answer: see [`crate::binding::door`].
//!
//! Before WordPress has run in a folder for the first time nothing is known of its site, and it is
//! WordPress that answers. So it is whenever only PHP can tell: a registered check whose finding is
//! too old, or a database whose password this worker has not seen yet.

use std::path::{Path, PathBuf};

use super::{checks, learned, settings};
use crate::binding::door::{Answer, visit::Visit};
use crate::binding::failure::log;
use crate::binding::segment;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::health::check::Check;
use crate::health::checks::database::{self, latency};
use crate::health::checks::node;
use crate::health::front::{self, Front};
use crate::health::known::Known;
use crate::health::render::{Format, render};
use crate::health::report::{Entry, Report};
use crate::health::state::{Group, State};
use crate::health::{Health, instance};
use crate::remote::database::DatabaseLink;

/// The REST prefix of a site that has not said another.
const USUAL_PREFIX: &str = "wp-json";

/// GET /live: needs nothing and nobody.
pub fn live(visit: &Visit) -> Option<Answer> {
    Some(sent(visit, &Report::new(Group::Live, SystemClock.now(), Vec::new())))
}

/// GET /ready.
pub fn ready(visit: &Visit) -> Option<Answer> {
    answer(visit, Group::Ready)
}

/// GET /health.
pub fn health(visit: &Visit) -> Option<Answer> {
    answer(visit, Group::Health)
}

/// GET /health/detailed: most of it only WordPress knows. When it cannot run, because the database is
/// away, whoever php.ini lets see details gets what can be had without it.
pub fn detailed(visit: &Visit) -> Option<Answer> {
    if !visit.may_see(settings::ADDRESSES, settings::TOKEN) {
        return None;
    }
    let (front, folder) = (known(visit)?, PathBuf::from(visit.folder()?));
    let database = learned::database(front.site).map(DatabaseLink::new)?;
    let health = Health::new(segment::get().ok()?, front.site, &SystemClock);
    let mut own = checks::of_node(&health, &folder);
    own.push(latency(&database));
    let is_away =
        |entry: &Entry| entry.profile.name == "database" && entry.finding.outcome.state == State::Unhealthy;
    let report = health.report(Group::Detailed, &own).ok()?;
    report.entries.iter().any(is_away).then(|| sent(visit, &report))
}

/// Whether the site's database answers, as the check that the probes share has found; `None` where this
/// worker does not know how to reach it.
pub fn database_answers(visit: &Visit) -> Option<bool> {
    let front = known(visit)?;
    let link = learned::database(front.site).map(DatabaseLink::new)?;
    let health = Health::new(segment::get().ok()?, front.site, &SystemClock);
    let report = health.report(Group::Ready, &[latency(&link)]).ok()?;
    Some(report.state != State::Unhealthy)
}

/// The REST prefix of the site that is asked.
pub fn prefix(visit: &Visit) -> String {
    known(visit).map_or_else(|| USUAL_PREFIX.to_owned(), |front| front.prefix)
}

fn known(visit: &Visit) -> Option<Front> {
    front::find(segment::get().ok()?, visit.folder()?.as_bytes(), SystemClock.now())
}

fn answer(visit: &Visit, group: Group) -> Option<Answer> {
    let folder = PathBuf::from(visit.folder()?);
    let front = known(visit)?;
    match report(group, &front, &folder) {
        Ok(report) => report.map(|report| sent(visit, &report)),
        Err(error) => {
            log(&error.to_string());
            None
        }
    }
}

fn report(group: Group, front: &Front, folder: &Path) -> Result<Option<Report>> {
    let segment = segment::get()?;
    let health = Health::new(segment, front.site, &SystemClock);
    let link = learned::database(front.site).map(DatabaseLink::new);
    let mut own: Vec<Box<dyn Check + '_>> = checks::of_node(&health, folder);
    let mut borrowed = Known::new(segment, front.site, &SystemClock).profiles();
    borrowed.push(node::migrations_profile());
    match &link {
        Some(link) => own.push(latency(link)),
        None => borrowed.push(database::profile()),
    }
    let is_closed = node::is_in_maintenance(folder);
    health.report_from_outside(group, &own, &borrowed, is_closed)
}

fn sent(visit: &Visit, report: &Report) -> Answer {
    let format = Format::for_accept(visit.variable("HTTP_ACCEPT").as_deref());
    let body = render(report, format, &instance::id(settings::instance().as_deref()));
    Answer {
        status: report.http_status(),
        content_type: format.media_type(),
        body: body.to_string().into_bytes(),
    }
}
