//! The sessions that this worker has open.
//!
//! They are opened when a script first needs them, and serve later requests too, with their
//! connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::binding::{ini, segment};
use crate::clock::SystemClock;
use crate::error::Result;
use crate::ports::Environment;
use crate::remote::database::DatabaseLink;
use crate::session::address::Place;
use crate::session::facade::{Host, Sessions};
use crate::session::store::Store;
use crate::session::store::cells::CellStore;
use crate::session::store::database::DatabaseCells;
use crate::session::store::guarded::Guarded;
use crate::session::store::memcached::MemcachedCells;
use crate::session::store::redis::RedisStore;
use crate::session::store::shm::ShmCells;

/// So many stay open between requests.
const KEPT: usize = 8;

/// Directives alone: a session may be started before WordPress has defined its constants, and must be
/// found all the same.
pub struct IniOnly;

impl Environment for IniOnly {
    fn constant(&self, _name: &str) -> Option<String> {
        None
    }

    fn ini(&self, name: &str) -> Option<String> {
        ini::text(name)
    }
}

struct Opened {
    places: Vec<Place>,
    secret: Option<Vec<u8>>,
    sessions: Rc<Sessions>,
}

thread_local! {
    static OPENED: RefCell<Vec<Opened>> = const { RefCell::new(Vec::new()) };
}

/// The sessions in `places`, of the site that knows `secret`.
///
/// # Errors
/// There is no shared memory, or no room in it.
pub fn find_or_open(places: Vec<Place>, secret: Option<Vec<u8>>) -> Result<Rc<Sessions>> {
    let known = OPENED.with_borrow(|all| {
        let found = all.iter().find(|one| one.places == places && one.secret == secret);
        found.map(|one| Rc::clone(&one.sessions))
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let stores: Vec<_> = places.iter().map(store).collect::<Result<_>>()?;
    let host = Host {
        clock: Arc::new(SystemClock),
        sleep: std::thread::sleep,
        secret: secret.clone(),
        realm: realm(&places),
    };
    let sessions = Rc::new(Sessions::new(host, stores));
    OPENED.with_borrow_mut(|all| all.push(Opened { places, secret, sessions: Rc::clone(&sessions) }));
    Ok(sessions)
}

/// What only this site knows by its directives.
pub fn directive_secret() -> Option<Vec<u8>> {
    ini::text("slbp.signing_key").map(String::into_bytes)
}

/// Closes those that were opened first, where there are too many. Phase: post-deactivate.
pub fn tidy() {
    OPENED.with_borrow_mut(|all| {
        let surplus = all.len().saturating_sub(KEPT);
        all.drain(..surplus);
    });
}

/// `slbp.site` tells sites apart that share a store, and in shared memory the user does as well: pools of
/// one master have one segment.
fn realm(places: &[Place]) -> Vec<u8> {
    let site = ini::text("slbp.site").unwrap_or_default();
    // SAFETY: geteuid cannot fail and touches no memory. No lock.
    let user = places.contains(&Place::Shm).then(|| unsafe { libc::geteuid() });
    format!("{site}\0{}", user.map_or(String::new(), |user| user.to_string())).into_bytes()
}

fn store(place: &Place) -> Result<Box<dyn Store>> {
    let (segment, clock) = (segment::get()?, Arc::new(SystemClock));
    Ok(match place {
        Place::Shm => Box::new(CellStore(ShmCells::new(segment, clock)?)),
        Place::Redis(settings) => Box::new(Guarded::new(RedisStore::new(settings), segment, clock)?),
        Place::Memcached(settings) => Box::new(CellStore(MemcachedCells::new(settings, segment, clock)?)),
        Place::Database(settings, table) => {
            let cells = DatabaseCells::new(DatabaseLink::new(settings.clone()), table);
            Box::new(Guarded::new(CellStore(cells), segment, clock)?)
        }
    })
}
