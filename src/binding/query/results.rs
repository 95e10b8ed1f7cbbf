//! Lists of queries as PHP arrays.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::types::ZendHashTable;
use serde::Serialize;
use serde_json::Value;

use super::watch;
use crate::binding::convert::json;
use crate::binding::segment;
use crate::binding::wordpress::site;
use crate::error::Result;
use crate::query::observed::{Observed, Tally};
use crate::query::report::{self, List, Options, Row, Stats};
use crate::query::settings::Scope;
use crate::query::shared::SharedQueries;

/// The lines of `list` as `options` ask for them; of this site unless they say otherwise.
///
/// # Errors
/// A wrong option, or no shared memory.
pub fn rows(list: List, options: Value) -> Result<Vec<Row>> {
    let options = Options::read(options)?;
    let (seen, _) = seen(options.scope.unwrap_or(Scope::Site))?;
    Ok(report::rows(seen, list, &options))
}

/// All queries of `scope` in numbers.
///
/// # Errors
/// No shared memory.
pub fn stats(scope: Scope) -> Result<Stats> {
    let (seen, totals) = seen(scope)?;
    Ok(report::stats(seen, totals, &watch::thresholds()))
}

/// Forgets what the site's requests have asked.
///
/// # Errors
/// No shared memory.
pub fn clear() -> Result<()> {
    watch::clear();
    SharedQueries::open(segment::get()?)?.clear(&site::identity());
    Ok(())
}

/// Anything of the domain's as an array.
pub fn table(value: &impl Serialize) -> ZBox<ZendHashTable> {
    json::to_array(&serde_json::to_value(value).unwrap_or_default())
}

/// What is known: this request's own queries are added to those of the site, which learns of them when
/// it is over.
fn seen(scope: Scope) -> Result<(Vec<Observed>, Option<Tally>)> {
    let (own, totals) = watch::seen();
    if scope == Scope::Request {
        return Ok((own, Some(totals)));
    }
    let mut all = SharedQueries::open(segment::get()?)?.of_site(&site::identity());
    for query in own {
        match all.iter_mut().find(|known| known.fingerprint == query.fingerprint && known.site == query.site)
        {
            Some(known) => known.merge(&query),
            None => all.push(query),
        }
    }
    Ok((all, None))
}
