//! Arrays that this worker has built before.
//!
//! Owns: a table from encodings to the arrays that they encode ([`Kept`]). The same bytes make the same
//! array, so nothing here can be out of date: what is in the cache, and whether it may be believed, was
//! decided before. A WordPress worker reads the same `alloptions` in every request; comparing 40,000
//! bytes takes 2 µs, building the array from them 60.
//!
//! An array is kept when it is read for the second time. All together take at most [`BUDGET`];
//! what made room for another is freed when the request is over.

use std::cell::RefCell;

use ext_php_rs::types::Zval;
use xxhash_rust::xxh3::xxh3_64;

use crate::binding::convert::kept::Kept;
use crate::cache::codec;

const PLACES: usize = 1024;

/// Bytes that a worker keeps.
const BUDGET: usize = 16 << 20;

/// Bytes of the largest encoding.
const LARGEST: usize = 1 << 20;

#[derive(Default)]
struct Place {
    /// Of the encoding that was last seen here and is not kept.
    seen: u64,
    hash: u64,
    kept: Option<(Box<[u8]>, Kept)>,
}

#[derive(Default)]
struct Memo {
    places: Vec<Place>,
    /// What made room for another.
    replaced: Vec<Kept>,
    bytes: usize,
}

thread_local! {
    static MEMO: RefCell<Memo> = RefCell::default();
}

/// The array that `body` encodes, if it is kept.
pub fn recall(body: &[u8]) -> Option<Zval> {
    if !may_be_kept(body) {
        return None;
    }
    let hash = xxh3_64(body);
    MEMO.with_borrow(|memo| {
        let place = memo.places.get(hash as usize % PLACES)?;
        let (bytes, kept) = place.kept.as_ref().filter(|_| place.hash == hash)?;
        (**bytes == *body).then(|| kept.share())
    })
}

/// Notes that `body` was decoded; the second time its array is kept.
pub fn learn(body: &[u8]) {
    if !may_be_kept(body) {
        return;
    }
    let hash = xxh3_64(body);
    MEMO.with_borrow_mut(|memo| {
        if memo.places.is_empty() {
            memo.places.resize_with(PLACES, Place::default);
        }
        let Some(place) = memo.places.get_mut(hash as usize % PLACES) else { return };
        if std::mem::replace(&mut place.seen, hash) != hash || memo.bytes + body.len() > BUDGET {
            return;
        }
        let Some(kept) = Kept::decode(body) else { return };
        place.seen = 0;
        if memo.bytes + kept.bytes() > BUDGET {
            // SAFETY: nobody has seen it yet.
            return unsafe { kept.free() };
        }
        memo.bytes += kept.bytes();
        place.hash = hash;
        if let Some((_, old)) = place.kept.replace((body.into(), kept)) {
            memo.replaced.push(old);
        }
    });
}

/// Frees what made room for another, and everything when that was not enough. Phase: post-deactivate.
pub fn tidy() {
    MEMO.with_borrow_mut(|memo| {
        if memo.bytes + LARGEST > BUDGET {
            memo.replace_all();
        }
        memo.free_replaced();
    });
}

/// Frees everything. Phase: MSHUTDOWN.
pub fn clear() {
    MEMO.with_borrow_mut(|memo| {
        memo.replace_all();
        memo.free_replaced();
    });
}

impl Memo {
    fn replace_all(&mut self) {
        let kept = self.places.drain(..).filter_map(|place| place.kept);
        self.replaced.extend(kept.map(|(_, kept)| kept));
    }

    fn free_replaced(&mut self) {
        for kept in self.replaced.drain(..) {
            self.bytes -= kept.bytes();
            // SAFETY: post-deactivate or later; the request's variables are gone, and with them all who
            // could hold it.
            unsafe { kept.free() };
        }
    }
}

fn may_be_kept(body: &[u8]) -> bool {
    body.len() <= LARGEST && codec::is_filled_array(body)
}
