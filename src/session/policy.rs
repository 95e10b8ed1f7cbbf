//! Who may do what with a session: arithmetic on its head.
//!
//! Pure: no clock, no store. `store/redis/*.lua` is the same once more, where the data is.
//!
//! The version moves with every write and with the end of the session. It begins with the time in
//! microseconds and never goes back, so the versions of two stores, or of a store that was emptied
//! in between, can be compared.

use std::time::Duration;

use super::store::{Change, Close, Kind, Open, Token, Tombstone};

/// Nobody can set a lock to live longer; one that seems to was set before the clock stepped back.
pub const LONGEST_LOCK: Duration = Duration::from_secs(3600);

/// What is known of a session besides its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Counts writes; 0 before the first.
    pub version: u64,
    /// Who holds the lock; [`Token::NOBODY`] when it is free.
    pub token: Token,
    /// When the lock ends, in milliseconds since the epoch.
    pub until: u64,
    /// Whether there still is a session.
    pub state: State,
}

/// Whether there still is a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is.
    Live,
    /// It was ended.
    Dead(Kind),
}

/// What opening comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// There is no such session, and none is to be made. The version is that of its tombstone, or 0.
    Missing(u64),
    /// It got another id a moment ago.
    Moved(u64),
    /// Somebody else holds the lock for that long at most.
    Busy(Duration),
    /// It is open, with this head to be stored where the lock was taken.
    Open {
        /// The head as it is from now on.
        head: Head,
        /// Whether it is another one than before.
        changed: bool,
        /// Whether it has data.
        is_new: bool,
    },
}

/// What closing comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The new data is stored under this head.
    Store(Head),
    /// The data stays, under this head.
    Unlock(Head),
    /// What was only locked and never written goes.
    Remove,
    /// There is nothing to do.
    Nothing,
    /// Somebody else wrote or ended it meanwhile. With this head the lock is given back, if it was held.
    Lost(Option<Head>),
}

impl Head {
    fn fresh() -> Self {
        Self { version: 0, token: Token::NOBODY, until: 0, state: State::Live }
    }

    fn free(self) -> Self {
        Self { token: Token::NOBODY, until: 0, ..self }
    }

    /// How long somebody else than `token` still holds the lock at `now`.
    fn held_from(&self, token: Token, now: u64) -> Option<Duration> {
        let left = Duration::from_millis(self.until.saturating_sub(now));
        let is_held = self.token != Token::NOBODY && !left.is_zero() && left <= LONGEST_LOCK;
        (is_held && self.token != token).then_some(left)
    }
}

/// Opens the session with `head` (`None`: there is none) at `now`.
pub fn open(head: Option<Head>, request: &Open<'_>, now: u64) -> Opening {
    let is_new = !matches!(head, Some(Head { state: State::Live, .. }));
    let head = match head {
        Some(head) => match head.state {
            State::Dead(Kind::Moved) => return Opening::Moved(head.version),
            State::Dead(Kind::Destroyed) if !request.create => return Opening::Missing(head.version),
            State::Dead(Kind::Destroyed) | State::Live => head,
        },
        None if !request.create => return Opening::Missing(0),
        None => Head::fresh(),
    };
    if let Some(left) = head.held_from(request.token, now).filter(|_| request.lock.is_some()) {
        return Opening::Busy(left);
    }
    match request.lock {
        None => Opening::Open { head, changed: false, is_new },
        Some(ttl) => {
            let until = now.saturating_add(millis(ttl.min(LONGEST_LOCK)));
            let head = Head { token: request.token, until, state: State::Live, ..head };
            Opening::Open { head, changed: true, is_new }
        }
    }
}

/// Closes the session with `head` at `now`. `has_data`: something was written to it at some time.
pub fn close(head: Option<Head>, has_data: bool, request: &Close<'_>, now: u64) -> Closing {
    let current = head.unwrap_or_else(Head::fresh);
    let is_mine = head.is_some_and(|head| head.token == request.token);
    match request.change {
        Change::Write { version, .. } => {
            let is_free = current.held_from(request.token, now).is_none();
            let is_dead = current.state == State::Dead(Kind::Moved);
            if current.version == request.seen && is_free && !is_dead {
                return Closing::Store(Head { version, state: State::Live, ..current.free() });
            }
            Closing::Lost(is_mine.then(|| current.free()))
        }
        Change::Refresh | Change::Release if !is_mine => Closing::Nothing,
        Change::Refresh | Change::Release if !has_data => Closing::Remove,
        Change::Refresh | Change::Release => Closing::Unlock(current.free()),
    }
}

/// The head that ends a session.
pub fn destroy(head: Option<Head>, tombstone: &Tombstone) -> Head {
    let version = head.map_or(0, |head| head.version).saturating_add(1).max(tombstone.version);
    Head { version, state: State::Dead(tombstone.kind), ..Head::fresh() }
}

/// The head under which a copy of `version` made elsewhere is stored; `None`: what is here is newer.
pub fn mirror(head: Option<Head>, version: u64) -> Option<Head> {
    let current = head.unwrap_or_else(Head::fresh);
    (current.version < version).then_some(Head { version, state: State::Live, ..current })
}

/// Whether a session with so much time left is to be prolonged: a quarter of its life is over.
pub fn is_to_be_refreshed(left: Duration, lifetime: Duration) -> bool {
    left <= lifetime - lifetime / 4
}

/// The version of a write at `now` (microseconds) that follows `newest`.
pub fn next_version(newest: u64, now: u64) -> u64 {
    newest.saturating_add(1).max(now)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::name::{Name, Namer};
    use proptest::prelude::*;

    const TTL: Duration = Duration::from_secs(30);
    const ME: Token = Token(1);
    const OTHER: Token = Token(2);

    fn name() -> Name {
        Namer::new(None, b"").name(b"id").unwrap()
    }

    fn ask(name: &Name, token: Token, lock: Option<Duration>, create: bool) -> Open<'_> {
        Open { name, token, lock, create, lifetime: TTL }
    }

    fn write(name: &Name, token: Token, seen: u64, version: u64) -> Close<'_> {
        Close {
            name,
            token,
            seen,
            receipt: None,
            change: Change::Write { version, sealed: b"" },
            lifetime: TTL,
        }
    }

    fn opened(opening: Opening) -> Head {
        match opening {
            Opening::Open { head, .. } => head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_lock_keeps_others_out_until_it_ends_and_never_its_holder() {
        let name = name();
        let head = opened(open(None, &ask(&name, ME, Some(TTL), true), 1_000));
        assert_eq!(
            open(Some(head), &ask(&name, OTHER, Some(TTL), true), 2_000),
            Opening::Busy(TTL - Duration::from_secs(1))
        );
        assert_eq!(opened(open(Some(head), &ask(&name, ME, Some(TTL), true), 2_000)).until, 32_000);
        assert_eq!(
            opened(open(Some(head), &ask(&name, OTHER, None, true), 2_000)),
            head,
            "who takes no lock waits for none"
        );
        assert_eq!(opened(open(Some(head), &ask(&name, OTHER, Some(TTL), true), 31_000)).token, OTHER);
    }

    #[test]
    fn whoever_was_overtaken_writes_nothing() {
        let name = name();
        let mine = opened(open(None, &ask(&name, ME, Some(TTL), true), 0));
        let theirs = opened(open(Some(mine), &ask(&name, OTHER, Some(TTL), true), 30_000));
        assert_eq!(close(Some(theirs), false, &write(&name, ME, 0, 7), 30_001), Closing::Lost(None));
        let Closing::Store(stored) = close(Some(theirs), false, &write(&name, OTHER, 0, 8), 30_002) else {
            panic!()
        };
        assert_eq!(close(Some(stored), true, &write(&name, ME, 0, 9), 30_003), Closing::Lost(None));
    }

    #[test]
    fn without_a_lock_the_first_writer_wins_and_a_lock_goes_before() {
        let name = name();
        let head = Head { version: 5, ..Head::fresh() };
        let Closing::Store(stored) = close(Some(head), true, &write(&name, ME, 5, 6), 0) else { panic!() };
        assert_eq!(close(Some(stored), true, &write(&name, OTHER, 5, 7), 0), Closing::Lost(None));
        let locked = opened(open(Some(head), &ask(&name, OTHER, Some(TTL), false), 0));
        assert_eq!(close(Some(locked), true, &write(&name, ME, 5, 6), 1), Closing::Lost(None));
    }

    #[test]
    fn what_was_ended_stays_dead_for_those_who_come_late() {
        let name = name();
        let head =
            opened(open(Some(Head { version: 5, ..Head::fresh() }), &ask(&name, ME, Some(TTL), false), 0));
        for kind in [Kind::Destroyed, Kind::Moved] {
            let dead = destroy(Some(head), &Tombstone { version: 3, kind, ttl: TTL });
            assert_eq!(dead.version, 6);
            assert_eq!(close(Some(dead), false, &write(&name, ME, 5, 9), 1), Closing::Lost(None));
        }
        // Nor when the tombstone is gone too.
        assert_eq!(close(None, false, &write(&name, ME, 5, 9), 1), Closing::Lost(None));
    }

    #[test]
    fn a_tombstone_is_no_session_and_a_moved_one_says_so() {
        let name = name();
        let dead = destroy(None, &Tombstone { version: 9, kind: Kind::Destroyed, ttl: TTL });
        assert_eq!(open(Some(dead), &ask(&name, ME, Some(TTL), false), 0), Opening::Missing(9));
        assert_eq!(opened(open(Some(dead), &ask(&name, ME, Some(TTL), true), 0)).version, 9);
        let moved = destroy(None, &Tombstone { version: 9, kind: Kind::Moved, ttl: TTL });
        assert_eq!(open(Some(moved), &ask(&name, ME, Some(TTL), true), 0), Opening::Moved(9));
    }

    #[test]
    fn a_lock_from_before_the_clock_stepped_back_is_none() {
        let name = name();
        let head = opened(open(None, &ask(&name, ME, Some(TTL), true), 90_000_000));
        assert_eq!(opened(open(Some(head), &ask(&name, OTHER, Some(TTL), true), 1_000)).token, OTHER);
    }

    proptest! {
        /// However many clients open, write, give up and are overtaken: who is told that a write is
        /// stored had seen the write stored before it.
        #[test]
        fn acknowledged_writes_form_a_chain(steps in proptest::collection::vec((0u128..4, 0u8..4, 0u64..40_000), 1..200)) {
            let name = name();
            let (mut head, mut has_data, mut now, mut last) = (None, false, 1_000_000u64, 0u64);
            let mut seen: [Option<u64>; 4] = [None; 4];
            for (client, action, pause) in steps {
                now += pause;
                let (token, slot) = (Token(client + 1), client as usize);
                match action {
                    0 | 1 => {
                        let lock = (action == 0).then_some(TTL);
                        if let Opening::Open { head: new, changed, .. } = open(head, &ask(&name, token, lock, true), now) {
                            seen[slot] = Some(new.version);
                            if changed { head = Some(new); }
                        }
                    }
                    2 => if let Some(version) = seen[slot].take() {
                        let next = next_version(version, now);
                        match close(head, has_data, &write(&name, token, version, next), now) {
                            Closing::Store(new) => {
                                prop_assert_eq!(version, last);
                                (head, has_data, last) = (Some(new), true, next);
                            }
                            Closing::Lost(Some(new)) => head = Some(new),
                            other => prop_assert_eq!(other, Closing::Lost(None)),
                        }
                    },
                    _ => seen[slot] = None,
                }
            }
        }
    }
}
