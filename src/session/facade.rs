//! Opening, saving and ending sessions, as PHP asks for it.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::chain::{Chain, Found, Held, Write};
use super::name::{Name, Namer};
use super::seal::{LARGEST, Sealer};
use super::settings::{Mode, Settings};
use super::store::{Closed, Kind, Open, Store, Token};
use crate::clock::Clock;
use crate::error::{Error, Result};

/// What sessions need of their host.
pub struct Host {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Waits for so long.
    pub sleep: fn(Duration),
    /// What only this site knows: ids are hashed and data is signed with it.
    pub secret: Option<Vec<u8>>,
    /// Tells sites apart that share a store.
    pub realm: Vec<u8>,
}

/// The sessions of a site.
pub struct Sessions {
    chain: Chain,
    namer: Namer,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    sleep: fn(Duration),
}

/// How a session is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Mode and times.
    pub settings: Settings,
    /// Whether one is made that is not there.
    pub create: bool,
    /// How long it lives unused.
    pub lifetime: Duration,
}

/// A session in use.
#[derive(Clone, Debug)]
pub struct Session {
    name: Name,
    token: Token,
    mode: Mode,
    lifetime: Duration,
    is_locked: bool,
    held: Option<Held>,
    /// What was stored in the place of its data is not ours, or not intact, and was not used.
    pub is_forged: bool,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is stored.
    Yes,
    /// Nobody is to see it: the mode is read-only, or the session has another id now.
    Unwanted,
    /// Somebody else wrote or ended the session meanwhile; nothing was written.
    Overtaken,
}

impl Sessions {
    /// The sessions in `stores`, in their order.
    pub fn new(host: Host, stores: Vec<Box<dyn Store>>) -> Self {
        let secret = host.secret.as_deref();
        Self {
            chain: Chain::new(stores),
            namer: Namer::new(secret, &host.realm),
            sealer: Sealer::new(secret),
            clock: host.clock,
            sleep: host.sleep,
        }
    }

    /// Opens the session with `id`, waiting for its lock if need be; `None`: there is no such session, or
    /// the id is none.
    ///
    /// # Errors
    /// No store answers, or the lock is not to be had in time.
    pub fn open(&self, id: &[u8], ask: &Ask) -> Result<Option<Session>> {
        let Some(name) = self.namer.name(id) else { return Ok(None) };
        let (token, mode) = (Token::random(), ask.settings.mode);
        let lock = (mode == Mode::Locked).then_some(ask.settings.lock_ttl);
        let request = Open { name: &name, token, lock, create: ask.create, lifetime: ask.lifetime };
        let mut backoff = Backoff::new(self.clock.now(), ask.settings.lock_wait, token.0 as u64);
        let session = |held, is_locked, is_forged| {
            Some(Session { name, token, mode, lifetime: ask.lifetime, is_locked, held, is_forged })
        };
        loop {
            match self.chain.open(&request, &self.sealer)? {
                Found::Missing => return Ok(None),
                Found::Moved => return Ok(session(None, false, false)),
                Found::Open(held) => {
                    let is_forged = held.is_forged;
                    // In strict mode what is not ours is no session, or a visitor could bring one.
                    if is_forged && !ask.create {
                        self.chain.leave_alone(
                            &self.write_of(&name, token, ask.lifetime),
                            &mut held.clone(),
                            false,
                        )?;
                        return Ok(None);
                    }
                    return Ok(session(Some(held), lock.is_some(), is_forged));
                }
                Found::Busy(left) => match backoff.next(self.clock.now(), left) {
                    Some(wait) => (self.sleep)(wait),
                    None => {
                        let waited = ask.settings.lock_wait.as_secs_f64();
                        return Err(Error::store(format!(
                            "another request has held the session for {waited} s"
                        )));
                    }
                },
            }
        }
    }

    /// Takes out what was read; empty for a new session.
    pub fn take_data(&self, session: &mut Session) -> Vec<u8> {
        session.held.as_mut().and_then(Held::take_data).unwrap_or_default()
    }

    /// Stores `data` and gives the lock back.
    ///
    /// # Errors
    /// No store answers, or it refuses; or the data is too large.
    pub fn save(&self, session: &mut Session, data: &[u8]) -> Result<Saved> {
        let Some(held) = session.held.as_mut().filter(|_| session.mode != Mode::ReadOnly) else {
            return Ok(Saved::Unwanted);
        };
        if data.len() > LARGEST {
            let (len, most) = (data.len(), LARGEST);
            return Err(Error::store(format!("{len} bytes of session data: at most {most} can be stored")));
        }
        let version = held.next_version(self.clock.now().nanos() / 1000);
        let sealed = self.sealer.seal(&session.name, version, data);
        let (name, token, lifetime) = (&session.name, session.token, session.lifetime);
        let write = Write { name, token, version, sealed: &sealed, lifetime };
        let closed = self.chain.write(&write, held)?;
        session.is_locked = false;
        Ok(match closed {
            Closed::Done => Saved::Yes,
            Closed::Lost => Saved::Overtaken,
        })
    }

    /// Leaves the session as it is: gives the lock back, and prolongs its life where `refresh`. Without a
    /// lock there is nothing to do, for opening it prolonged its life.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn leave(&self, session: &mut Session, refresh: bool) -> Result<()> {
        if !std::mem::take(&mut session.is_locked) {
            return Ok(());
        }
        let write = self.write_of(&session.name, session.token, session.lifetime);
        match session.held.as_mut() {
            Some(held) => Ok(self.chain.leave_alone(&write, held, refresh).map(drop)?),
            None => Ok(()),
        }
    }

    /// Ends the session with `id`: data and lock go together, and a tombstone stays for 30 s.
    ///
    /// # Errors
    /// No store answers.
    pub fn destroy(&self, id: &[u8], kind: Kind, lifetime: Duration) -> Result<()> {
        let Some(name) = self.namer.name(id) else { return Ok(()) };
        Ok(self.chain.destroy(&name, kind, self.clock.now().nanos() / 1000, lifetime)?)
    }

    /// Removes what has expired, a few thousand at most; how many.
    ///
    /// # Errors
    /// A store does not answer.
    pub fn collect(&self) -> Result<u64> {
        Ok(self.chain.collect()?)
    }

    /// How many sessions there are; `None` where the store cannot tell.
    ///
    /// # Errors
    /// No store answers.
    pub fn count(&self) -> Result<Option<u64>> {
        Ok(self.chain.count()?)
    }

    fn write_of<'a>(&self, name: &'a Name, token: Token, lifetime: Duration) -> Write<'a> {
        Write { name, token, version: 0, sealed: &[], lifetime }
    }
}
