//! /metrics before WordPress has started: see [`crate::binding::door`].
//!
//! Whoever has not shown here that he may see them is left to WordPress, which knows more (who is
//! logged in, options that were changed a moment ago) and refuses him in its own words. So is
//! everybody until WordPress has run in the folder once.

use std::path::Path;

use super::access::Access;
use super::{database, learned, snapshot};
use crate::binding::door::Answer;
use crate::binding::door::visit::Visit;
use crate::binding::health;
use crate::binding::limiter::visitor::header_variable;
use crate::binding::segment;
use crate::metrics::Registry;
use crate::metrics::expose::{self, negotiate};

/// GET /metrics.
pub fn metrics(visit: &Visit) -> Option<Answer> {
    let folder = visit.folder()?;
    let tag = learned::site(&folder)?;
    // Apache passes credentials on under another name.
    let header = |name: &str| {
        let variable = header_variable(name);
        visit.variable(&variable).or_else(|| visit.variable(&format!("REDIRECT_{variable}")))
    };
    let access = Access::at_the_door(learned::addresses(tag));
    if !access.allows_peer(&visit.variable("REMOTE_ADDR")?, &header) {
        return None;
    }
    let registry = Registry::tagged(segment::get().ok()?, tag).ok()?;
    // What the last request of WordPress saw may be old; where this worker knows how, it looks itself.
    if let Some(reachable) = health::door::database_answers(visit) {
        let _ = database::found(&registry, reachable);
    }
    let format = negotiate(header("accept").as_deref());
    let text = expose::render(&snapshot::take(&registry, Path::new(&folder)), format);
    Some(Answer { status: 200, content_type: format.content_type(), body: text.into_bytes() })
}
