//! The queries of this request.
//!
//! Owns: the digest, the places that were seen in it, and what was prepared in which statement object.
//! All of it is this process' own memory, bounded, and forgotten when the request is over; what it saw is
//! added to shared memory once, at RSHUTDOWN.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use ext_php_rs::ffi::{zend_execute_data, zval};
use ext_php_rs::types::{ZendHashTable, Zval};
use serde_json::Value;

use super::stack;
use super::targets::{Object, Reads};
use crate::binding::convert::zend::{Elements, bytes_of};
use crate::binding::segment;
use crate::binding::wordpress::site;
use crate::clock::{Clock, SystemClock};
use crate::config::only;
use crate::error::Result;
use crate::query::component::{CallSite, Roots};
use crate::query::digest::{Digest, Execution};
use crate::query::fingerprint::{Scan, scan};
use crate::query::observed::{Observed, Tally};
use crate::query::policy::Thresholds;
use crate::query::settings::{KEYS, Scope, Settings};
use crate::query::shared::SharedQueries;
use crate::shm::Counter;

/// Call stacks that are told apart in one request.
const MOST_STACKS: usize = 4_000;

/// Statement objects whose text is known.
const MOST_STATEMENTS: usize = 1_000;

/// More of a prepared statement is not kept.
const LONGEST_STATEMENT: usize = 16 << 10;

/// Stands for a statement that was prepared where nobody watched.
const UNKNOWN_STATEMENT: &[u8] = b"EXECUTE ?";

/// A call that was made.
pub struct Call<'a> {
    /// Where its SQL is.
    pub reads: Reads,
    /// Its frame.
    pub frame: &'a zend_execute_data,
    /// What it returned.
    pub result: &'a zval,
    /// Nanoseconds it took.
    pub nanos: u64,
    /// Whether it returned false or threw.
    pub failed: bool,
}

struct Place {
    number: u64,
    site: Rc<CallSite>,
}

#[derive(Default)]
struct Watch {
    is_off: bool,
    digest: Digest,
    places: HashMap<u64, Place>,
    statements: HashMap<u32, Rc<[u8]>>,
    executed: u64,
    roots: Roots,
}

thread_local! {
    static WATCH: RefCell<Watch> = RefCell::default();
}

/// Whether this request is watched.
#[inline]
pub fn is_on() -> bool {
    WATCH.try_with(|watch| watch.try_borrow().is_ok_and(|watch| !watch.is_off)).unwrap_or(false)
}

/// Takes over what `config` says of queries, for this request; an object that says nothing of them
/// changes nothing. Returns what its statistics cover.
///
/// # Errors
/// A wrong value.
pub fn configure(config: &Value) -> Result<Scope> {
    let own = only(config, KEYS);
    let is_silent = own.as_object().is_none_or(|own| own.keys().all(|key| key == "scope"));
    let settings = Settings::read(own)?;
    if !is_silent {
        WATCH.with_borrow_mut(|watch| {
            watch.is_off = !settings.enabled;
            watch.digest.thresholds = settings.thresholds;
        });
    }
    Ok(settings.scope)
}

/// Notes a call.
pub fn note(call: &Call<'_>) {
    let _ = WATCH.try_with(|watch| {
        if let Ok(mut watch) = watch.try_borrow_mut() {
            watch.note(call);
        }
    });
}

/// Counts a query that a script measured itself, unless it was seen when it was made: the last one was
/// the same. `query_id` names it in the call site; `started` is `microtime( true )` before it.
pub fn monitor(query_id: &str, query: &[u8], started: f64) {
    let elapsed = SystemClock.now().nanos() as f64 / 1e9 - started;
    let nanos = Duration::try_from_secs_f64(elapsed).unwrap_or_default().as_nanos();
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
    WATCH.with_borrow_mut(|watch| {
        let scan = scan(query);
        if watch.is_off || watch.digest.has_just_seen(scan) {
            return;
        }
        watch.find_roots();
        let found = stack::site(stack::current(), &watch.roots);
        let site = found.named(query_id);
        let execution = Execution { scan, place: site.number(), nanos, failed: false };
        watch.digest.record(execution, || (query, Rc::new(site)));
    });
}

/// What this request has asked until now, with what did not fit into the list.
pub fn seen() -> (Vec<Observed>, Tally) {
    let now = SystemClock.now().secs();
    WATCH.with_borrow(|watch| (watch.digest.observed(now).collect(), watch.digest.totals().clone()))
}

/// What counts as slow in this request.
pub fn thresholds() -> Thresholds {
    WATCH.with_borrow(|watch| watch.digest.thresholds)
}

/// Adds what this request asked to what all requests did. Phase: RSHUTDOWN, while constants exist.
pub fn end_request() {
    WATCH.with_borrow_mut(|watch| {
        if watch.digest.is_empty() {
            return;
        }
        let Ok(segment) = segment::get() else { return };
        segment.counters().add(Counter::QueriesSeen, watch.digest.totals().count);
        if let Ok(shared) = SharedQueries::open(segment) {
            let (site, now) = (site::identity(), SystemClock.now().secs());
            watch.digest.observed(now).for_each(|seen| shared.merge(&site, &seen));
        }
        watch.digest.clear();
    });
}

/// Forgets what this request has asked until now.
pub fn clear() {
    WATCH.with_borrow_mut(|watch| watch.digest.forget());
}

/// Forgets the request. Phase: post-deactivate.
pub fn forget_request() {
    WATCH.with_borrow_mut(|watch| {
        watch.is_off = false;
        watch.digest.clear();
        watch.places.clear();
        watch.statements.clear();
        watch.executed = 0;
        watch.roots = Roots::default();
    });
}

impl Watch {
    fn note(&mut self, call: &Call<'_>) {
        match call.reads {
            Reads::Text(at) => {
                if let Some(sql) = text(call.frame, at) {
                    self.count(call, sql, scan(sql));
                }
            }
            Reads::TextAndValues(at) => {
                if let Some(sql) = text(call.frame, at) {
                    let shape = scan(sql);
                    self.count(call, sql, bound(shape, call.frame, at + 1).unwrap_or(shape));
                }
            }
            Reads::Prepared(at) => {
                if let (Some(sql), Some(statement)) = (text(call.frame, at), call.result.object()) {
                    self.remember(statement.handle, sql);
                }
            }
            Reads::PreparedInto(object, at) => {
                if let (Some(sql), Some(statement)) = (text(call.frame, at), handle(call.frame, object)) {
                    self.remember(statement, sql);
                }
            }
            Reads::Statement(object, values) => {
                let known = handle(call.frame, object).and_then(|statement| self.statements.get(&statement));
                let known = known.cloned();
                self.count_bound(call, known.as_deref().unwrap_or(UNKNOWN_STATEMENT), values);
            }
            Reads::QueryString => {
                let sql = query_string(call.frame);
                self.count_bound(call, sql.unwrap_or(UNKNOWN_STATEMENT), 0);
            }
        }
    }

    /// An execution whose values are in an argument, or were bound where we do not see them: then each
    /// is taken for another one's.
    fn count_bound(&mut self, call: &Call<'_>, sql: &[u8], values: usize) {
        self.executed += 1;
        let shape = scan(sql);
        let nth = self.executed.to_ne_bytes();
        let executed = bound(shape, call.frame, values).unwrap_or_else(|| shape.bound_to([nth.as_slice()]));
        self.count(call, sql, executed);
    }

    #[inline]
    fn count(&mut self, call: &Call<'_>, sql: &[u8], scan: Scan) {
        let stack = stack::fingerprint(call.frame);
        if !self.places.contains_key(&stack) {
            self.find_place(stack, call.frame);
        }
        let place = self.places.get(&stack);
        let execution = Execution {
            scan,
            place: place.map_or(0, |place| place.number),
            nanos: call.nanos,
            failed: call.failed,
        };
        self.digest.record(execution, || {
            let site = place.map_or_else(|| Rc::new(CallSite::unknown()), |place| Rc::clone(&place.site));
            (sql, site)
        });
    }

    #[cold]
    fn find_place(&mut self, stack: u64, frame: &zend_execute_data) {
        if self.places.len() < MOST_STACKS {
            self.find_roots();
            let site = stack::site(frame, &self.roots);
            self.places.insert(stack, Place { number: site.number(), site: Rc::new(site) });
        }
    }

    /// WordPress defines its folders one after the other while it starts.
    fn find_roots(&mut self) {
        if self.roots.plugins.is_none() {
            self.roots = stack::roots();
        }
    }

    fn remember(&mut self, statement: u32, sql: &[u8]) {
        if self.statements.len() < MOST_STATEMENTS || self.statements.contains_key(&statement) {
            let kept = sql.get(..LONGEST_STATEMENT).unwrap_or(sql);
            self.statements.insert(statement, Rc::from(kept));
        }
    }
}

fn argument(frame: &zend_execute_data, at: usize) -> Option<&Zval> {
    // SAFETY: every view of the union is the same four bytes; of a call it is the number of arguments.
    let given = unsafe { frame.This.u2.num_args } as usize;
    // SAFETY: the frame of a call that has just returned; its arguments are freed after us. No lock.
    (at < given).then(|| unsafe { frame.zend_call_arg(at) }).flatten().map(|argument| argument.dereference())
}

fn text(frame: &zend_execute_data, at: usize) -> Option<&[u8]> {
    argument(frame, at)?.zend_str().map(|text| text.as_bytes())
}

fn handle(frame: &zend_execute_data, object: Object) -> Option<u32> {
    let zval = match object {
        Object::First => argument(frame, 0)?,
        Object::This => &frame.This,
    };
    zval.object().map(|object| object.handle)
}

/// The statement bound to the values in an argument, if that is an array.
fn bound(shape: Scan, frame: &zend_execute_data, at: usize) -> Option<Scan> {
    let values: &ZendHashTable = argument(frame, at)?.array()?;
    let texts = Elements::of(values).map(|(_, value)| {
        // SAFETY: an element of a live array that nobody changes meanwhile.
        let value = unsafe { &*value }.dereference();
        match (value.long(), value.double()) {
            (Some(number), _) => number.to_string().into_bytes(),
            (_, Some(number)) => number.to_string().into_bytes(),
            _ => value.zend_str().map(|text| text.as_bytes().to_vec()).unwrap_or_default(),
        }
    });
    let texts: Vec<Vec<u8>> = texts.collect();
    Some(shape.bound_to(texts.iter().map(Vec::as_slice)))
}

/// `PDOStatement::$queryString`, the first property that the class declares.
fn query_string(frame: &zend_execute_data) -> Option<&[u8]> {
    let statement = frame.This.object()?;
    // SAFETY: the object of a running call; a class that declares a property has it in this place.
    unsafe {
        let declares = statement.ce.as_ref().is_some_and(|class| class.default_properties_count > 0);
        let [property] = &statement.properties_table;
        let string = property.zend_str().filter(|_| declares)?;
        Some(bytes_of(string))
    }
}
