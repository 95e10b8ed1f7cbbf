//! One request's use of sessions, in the order in which PHP asks.
//!
//! Owns: that an id is opened once although PHP validates it first and reads it then; that writing
//! gives the lock back, for PHP closes right after; and telling a new id for the same session
//! (`session_regenerate_id(true)`) from the end of one (`session_destroy()`): both destroy, but only
//! the first makes another id next.

use std::rc::Rc;
use std::time::Duration;

use super::facade::{Ask, Saved, Session, Sessions};
use super::settings::{Mode, Settings};
use super::store::Kind;
use crate::error::{Error, Result};

/// The sessions of a site in the hands of one request.
pub struct Handler {
    sessions: Rc<Sessions>,
    settings: Settings,
    current: Option<Current>,
    /// The session that was destroyed by the last call.
    destroyed: Option<Vec<u8>>,
    /// The id that was made by the last call: nobody has it.
    fresh: Option<Vec<u8>>,
}

struct Current {
    id: Vec<u8>,
    session: Session,
    /// It was validated, and its data not yet asked for.
    is_unread: bool,
}

/// What a request reads.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// The data; empty for a new session.
    pub data: Vec<u8>,
    /// What was stored is not ours or not intact, and was not used.
    pub is_forged: bool,
}

impl Handler {
    /// A handler that has opened nothing.
    pub fn new(sessions: Rc<Sessions>, settings: Settings) -> Self {
        Self { sessions, settings, current: None, destroyed: None, fresh: None }
    }

    /// Takes other settings for what is opened from now on.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Takes another mode.
    pub fn set_mode(&mut self, mode: Mode) {
        self.settings.mode = mode;
    }

    /// Whether there is a session with this id. It is opened by asking, and read by [`Self::read`].
    ///
    /// # Errors
    /// No store answers, or the lock is not to be had in time; so in all methods.
    pub fn validate(&mut self, id: &[u8], lifetime: Duration) -> Result<bool> {
        self.destroyed = None;
        if self.fresh.take().is_some_and(|fresh| fresh == id) {
            return Ok(false);
        }
        self.let_go(false)?;
        self.open(id, lifetime, false)
    }

    /// The data of the session, which is made if it is not there.
    pub fn read(&mut self, id: &[u8], lifetime: Duration) -> Result<Read> {
        (self.destroyed, self.fresh) = (None, None);
        let is_validated = self.current.as_ref().is_some_and(|current| current.is_unread && current.id == id);
        if !is_validated {
            self.let_go(false)?;
            if !self.open(id, lifetime, true)? {
                return Err(Error::store(
                    "the session id is too long or has other characters than letters, digits, comma and minus",
                ));
            }
        }
        let Some(current) = self.current.as_mut() else {
            return Ok(Read { data: Vec::new(), is_forged: false });
        };
        current.is_unread = false;
        let data = self.sessions.take_data(&mut current.session);
        Ok(Read { data, is_forged: current.session.is_forged })
    }

    /// Saves the data of the session and gives its lock back.
    pub fn write(&mut self, id: &[u8], data: &[u8], lifetime: Duration) -> Result<Saved> {
        (self.destroyed, self.fresh) = (None, None);
        if self.current.as_ref().is_none_or(|current| current.id != id) {
            self.read(id, lifetime)?;
        }
        match self.current.as_mut() {
            Some(current) => self.sessions.save(&mut current.session, data),
            None => Ok(Saved::Unwanted),
        }
    }

    /// Leaves the session as it is, prolonged, and gives its lock back.
    pub fn touch(&mut self, id: &[u8], lifetime: Duration) -> Result<()> {
        match self.current.as_mut().filter(|current| current.id == id) {
            Some(current) => self.sessions.leave(&mut current.session, true),
            None => {
                self.read(id, lifetime)?;
                self.let_go(true)
            }
        }
    }

    /// Ends the session.
    pub fn destroy(&mut self, id: &[u8], lifetime: Duration) -> Result<()> {
        self.current = None;
        self.sessions.destroy(id, Kind::Destroyed, lifetime)?;
        self.destroyed = Some(id.to_vec());
        Ok(())
    }

    /// Takes note that `id` was made. If a session was destroyed just before, it is this one's old id.
    pub fn made(&mut self, id: &[u8], lifetime: Duration) -> Result<()> {
        self.fresh = Some(id.to_vec());
        match self.destroyed.take() {
            Some(old) => self.sessions.destroy(&old, Kind::Moved, lifetime),
            None => Ok(()),
        }
    }

    /// Gives back what is held. What was destroyed just before is remembered, for PHP closes in between.
    pub fn close(&mut self) -> Result<()> {
        self.let_go(false)
    }

    /// Removes what has expired; how many.
    pub fn collect(&self) -> Result<u64> {
        self.sessions.collect()
    }

    fn let_go(&mut self, refresh: bool) -> Result<()> {
        match self.current.take() {
            Some(mut current) => self.sessions.leave(&mut current.session, refresh),
            None => Ok(()),
        }
    }

    fn open(&mut self, id: &[u8], lifetime: Duration, create: bool) -> Result<bool> {
        let ask = Ask { settings: self.settings, create, lifetime };
        let session = self.sessions.open(id, &ask)?;
        self.current = session.map(|session| Current { id: id.to_vec(), session, is_unread: true });
        Ok(self.current.is_some())
    }
}
