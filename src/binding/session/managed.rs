//! Sessions as `SLBP_Scalability_Manager` has them: a handler for PHP's own sessions, and data under names
//! of the caller's, in the same store.

use std::cell::RefCell;

use ext_php_rs::convert::IntoZval;
use ext_php_rs::types::Zval;
use serde_json::{Map, Value};

use super::{HostedSessions, are_there};
use crate::binding::classes::session_handler::SessionHandler;
use crate::binding::convert::serializer;
use crate::binding::wordpress::options::HostOptions;
use crate::binding::wordpress::{hooks, site};
use crate::error::{Error, Result};
use crate::ports::Options;
use crate::session::address::HANDLERS;

/// Which handler the site wants; nothing is configured where it is empty.
const OPTION: &str = "slbp_session_handler";

/// What `configure_session_handler` chose, and what belongs to it.
pub struct ManagedSessions {
    config: Map<String, Value>,
    chosen: RefCell<Option<String>>,
}

impl ManagedSessions {
    /// Takes `$config['session']`, whose keys are those of `SLBP_Session_Handler`.
    ///
    /// # Errors
    /// It is no array with string keys.
    pub fn new(config: &Value) -> Result<Self> {
        let config = match config.get("session") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map.clone(),
            Some(Value::Array(list)) if list.is_empty() => Map::new(),
            Some(_) => return Err(Error::invalid("session", "expected an array with string keys")),
        };
        Ok(Self { config, chosen: RefCell::default() })
    }

    /// Has PHP keep its sessions in `handler`; false when it is too late in this request, or PHP has none.
    ///
    /// # Errors
    /// There is no such handler, or its settings are wrong.
    pub fn configure(&self, handler: &str) -> Result<bool> {
        if !HANDLERS.contains(&handler) {
            let known = HANDLERS.join(", ");
            return Err(Error::invalid("handler", format!("expected {known}, got '{handler}'")));
        }
        let hosted = self.hosted(Some(handler))?;
        if !are_there() {
            return Ok(false);
        }
        *self.chosen.borrow_mut() = Some(handler.to_owned());
        let Ok(object) = SessionHandler::holding(hosted).into_zval(false) else { return Ok(false) };
        let set = hooks::call("session_set_save_handler", vec![&object, &true]);
        Ok(set.is_some_and(|set| set.bool() == Some(true)))
    }

    /// Does so with what the option `slbp_session_handler` names, if a session can still be begun.
    ///
    /// # Errors
    /// As [`Self::configure`].
    pub fn begin(&self) -> Result<bool> {
        let wanted = HostOptions::find().get(OPTION).and_then(|value| value.as_str().map(str::to_owned));
        let Some(handler) = wanted.filter(|handler| !handler.is_empty()) else { return Ok(false) };
        let is_late = hooks::call("headers_sent", Vec::new()).is_some_and(|sent| sent.bool() == Some(true));
        if is_late || super::is_active() { Ok(false) } else { self.configure(&handler) }
    }

    /// Keeps `data` under `id` for so many seconds; none or less deletes it.
    ///
    /// # Errors
    /// As for a handler.
    pub fn store(&self, id: &[u8], data: &Zval, seconds: i64) -> Result<bool> {
        if seconds <= 0 {
            return self.delete(id);
        }
        // What it is to be is made before anything is opened: it may run PHP code.
        let Some(text) = serializer::serialize(data) else { return Ok(false) };
        let hosted = self.hosted(None)?.with_lifetime(seconds.unsigned_abs());
        let id = own_id(id);
        Ok(hosted.write(&id, text.as_bytes()) & hosted.close())
    }

    /// What is kept under `id`.
    ///
    /// # Errors
    /// As for a handler.
    pub fn get(&self, id: &[u8]) -> Result<Option<Zval>> {
        let hosted = self.hosted(None)?.read_only();
        let id = own_id(id);
        if !hosted.validate(&id) {
            return Ok(None);
        }
        let Some(data) = hosted.read(&id).filter(|data| !data.is_empty()) else { return Ok(None) };
        // Without a secret nobody knows who wrote it, so no object is built from it.
        Ok(match site::secret().is_some() {
            true => serializer::unserialize(&data),
            false => plain(&data),
        })
    }

    /// Forgets it.
    ///
    /// # Errors
    /// As for a handler.
    pub fn delete(&self, id: &[u8]) -> Result<bool> {
        Ok(self.hosted(None)?.destroy(&own_id(id)))
    }

    fn hosted(&self, handler: Option<&str>) -> Result<HostedSessions> {
        let mut config = self.config.clone();
        let chosen = handler.map(str::to_owned).or_else(|| self.chosen.borrow().clone());
        if let Some(handler) = chosen {
            config.insert("handler".to_owned(), handler.into());
        }
        HostedSessions::new(&Value::Object(config))
    }
}

/// Apart from PHP's ids, and whatever the caller's look like.
fn own_id(id: &[u8]) -> Vec<u8> {
    format!("data,{}", blake3::hash(id).to_hex()).into_bytes()
}

/// `unserialize()` that builds no objects.
fn plain(data: &[u8]) -> Option<Zval> {
    let text = crate::binding::convert::zend::string(data);
    let options = crate::binding::convert::json::to_zval(&serde_json::json!({"allowed_classes": false}));
    hooks::call("unserialize", vec![&text, &options])
}
