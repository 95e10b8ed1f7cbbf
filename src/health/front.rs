//! What is known of the site behind a front controller before any PHP of it has run.
//!
//! Owns: which site a folder with an `index.php` belongs to and how its REST prefix is called, as
//! WordPress itself has said when it last answered a probe there. A name is the folder that the web
//! server gave as the script's, which no visitor chooses. Nothing here is a secret.

use super::{GROUP, Site};
use crate::clock::{Clock, Timestamp};
use crate::error::Result;
use crate::shm::{Key, Record, Segment};

/// What WordPress said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// Which site it is.
    pub site: Site,
    /// `wp-json`, or what the filter `rest_url_prefix` made of it.
    pub prefix: String,
}

/// The longest prefix that is remembered.
const PREFIX_BYTES: usize = 96;

/// Remembers `front` for the folder.
///
/// # Errors
/// The shared table is full, or locked for too long.
pub fn learn(segment: &Segment, folder: &[u8], front: &Front, clock: &dyn Clock) -> Result<()> {
    if find(segment, folder, clock.now()).as_ref() == Some(front) || front.prefix.len() > PREFIX_BYTES {
        return Ok(());
    }
    let payload = [&front.site.bytes()[..], front.prefix.as_bytes()].concat();
    segment.records()?.put(&Record::new(key(segment, folder), GROUP, None, &payload)?, clock.now().secs())?;
    Ok(())
}

/// What is known of the folder.
pub fn find(segment: &Segment, folder: &[u8], now: Timestamp) -> Option<Front> {
    let record = segment.records().ok()?.get(key(segment, folder), now.secs())?;
    let (site, prefix) = record.payload().split_first_chunk::<16>()?;
    Some(Front { site: Site::from_bytes(*site), prefix: String::from_utf8(prefix.to_vec()).ok()? })
}

fn key(segment: &Segment, folder: &[u8]) -> Key {
    segment.hasher().key_of(&[b"health front", folder])
}
