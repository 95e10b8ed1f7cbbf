//! One worker's way to Redis, whatever stands behind it: a server, a cluster or sentinels.
//!
//! Owns: opening the connection when it is first needed, dropping it after any failure, and never
//! using one that was opened before a fork (parent and child would read each other's replies).
//! Refuses to do: decide whether to call at all; that is [`super::breaker`]'s.

use std::collections::HashMap;
use std::process;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use ::redis::{Cmd, Value};

use super::cluster::Cluster;
use super::fault::{Fault, FaultKind, kind_of_code};
use super::sentinel;
use super::settings::{RedisSettings, Topology};
use super::wire::Wire;

/// A server-side script with the name Redis caches it under.
#[derive(Debug)]
pub struct Script {
    source: &'static str,
    sha1: String,
}

impl Script {
    /// The script `source`; hashing it costs a few microseconds, so keep it in a `LazyLock`.
    pub fn new(source: &'static str) -> Self {
        Self { source, sha1: ::redis::Script::new(source).get_hash().to_owned() }
    }

    fn command(&self, name: &str, body: &str, keys: &[&[u8]], arguments: &[&[u8]]) -> Cmd {
        let mut command = ::redis::cmd(name);
        command.arg(body).arg(keys.len());
        keys.iter().chain(arguments).for_each(|argument| {
            command.arg(*argument);
        });
        command
    }
}

/// Whether a command may be sent again on a new connection when the old one broke before its
/// reply came: the server may have executed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Doing it twice is the same as doing it once.
    Safe,
    /// Doing it twice would count twice.
    Never,
}

/// A lazily opened connection to the Redis that `settings` name.
pub struct RedisLink {
    settings: RedisSettings,
    opened_by: u32,
    route: Option<Route>,
}

enum Route {
    Single(Wire),
    Cluster(Cluster),
}

impl RedisLink {
    /// A link that connects at its first command.
    pub fn new(settings: RedisSettings) -> Self {
        Self { settings, opened_by: 0, route: None }
    }

    /// Where it connects to.
    pub fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// Sends `command` and returns its reply.
    ///
    /// # Errors
    /// A [`Fault`]; [`FaultKind::Command`] when the server answered with an error of this command,
    /// after which the connection stays in use.
    pub fn run(&mut self, command: &Cmd, replay: Replay) -> Result<Value, Fault> {
        without_error(single(self.batch(std::slice::from_ref(command), replay)?)?)
    }

    /// Sends `commands` in one go and returns their replies in order. A command that failed alone
    /// has a [`Value::ServerError`] in its place. In a cluster each command is routed by its first
    /// argument (a script's first key).
    ///
    /// # Errors
    /// A [`Fault`] when the batch as a whole failed; what of it was executed is unknown.
    pub fn batch(&mut self, commands: &[Cmd], replay: Replay) -> Result<Vec<Value>, Fault> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        self.leave_what_the_parent_opened();
        let was_open = self.route.is_some();
        match self.attempt(commands) {
            // An idle connection that the server closed, or its restart: worth one new try.
            Err(fault) if was_open && worth_a_retry(&fault, replay) => self.attempt(commands),
            result => result,
        }
    }

    /// Runs `script` by its hash; a server that does not know it gets the source.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn eval(
        &mut self,
        script: &Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
        replay: Replay,
    ) -> Result<Value, Fault> {
        let by_hash = script.command("EVALSHA", &script.sha1, keys, arguments);
        let reply = single(self.batch(std::slice::from_ref(&by_hash), replay)?)?;
        if !matches!(&reply, Value::ServerError(error) if error.code() == "NOSCRIPT") {
            return without_error(reply);
        }
        self.run(&script.command("EVAL", script.source, keys, arguments), replay)
    }

    /// Closes the connection; the next command opens another.
    pub fn close(&mut self) {
        self.route = None;
    }

    fn leave_what_the_parent_opened(&mut self) {
        let me = process::id();
        if self.opened_by != me {
            self.route = None;
            self.opened_by = me;
        }
    }

    fn attempt(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, Fault> {
        let mut route = match self.route.take() {
            Some(route) => route,
            None => Route::open(&self.settings)?,
        };
        let replies = route.batch(commands)?;
        if let Some(fault) = replies.iter().find_map(outage_in_reply) {
            return Err(fault);
        }
        self.route = Some(route);
        Ok(replies)
    }
}

impl Route {
    fn open(settings: &RedisSettings) -> Result<Self, Fault> {
        match &settings.topology {
            Topology::Single(address) => Wire::connect(address, settings).map(Self::Single),
            Topology::Cluster(seeds) => Cluster::connect(seeds, settings).map(Self::Cluster),
            Topology::Sentinel { service, sentinels } => {
                sentinel::connect_to_master(service, sentinels, settings).map(Self::Single)
            }
        }
    }

    fn batch(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, Fault> {
        match self {
            Self::Cluster(cluster) => cluster.batch(commands),
            Self::Single(wire) => {
                let mut packed = Vec::new();
                commands.iter().for_each(|command| command.write_packed_command(&mut packed));
                wire.send(&packed)?;
                commands.iter().map(|_| wire.receive()).collect()
            }
        }
    }
}

fn worth_a_retry(fault: &Fault, replay: Replay) -> bool {
    match fault.kind() {
        FaultKind::Down => replay == Replay::Safe,
        // A refusing server did nothing: after a failover the new master is one question away.
        FaultKind::Refused => true,
        _ => false,
    }
}

fn outage_in_reply(reply: &Value) -> Option<Fault> {
    let Value::ServerError(error) = reply else { return None };
    let kind = kind_of_code(error.code());
    (kind != FaultKind::Command).then(|| Fault::new(kind, error.to_string()))
}

fn single(mut replies: Vec<Value>) -> Result<Value, Fault> {
    replies.pop().ok_or_else(|| Fault::new(FaultKind::Protocol, "no reply"))
}

fn without_error(reply: Value) -> Result<Value, Fault> {
    match reply {
        Value::ServerError(error) => Err(Fault::new(FaultKind::Command, error.to_string())),
        value => Ok(value),
    }
}

/// Idle connections one process keeps before it closes those that nobody holds.
const MAX_LINKS: usize = 16;

/// A link that several users in one process share.
pub type SharedLink = Arc<Mutex<RedisLink>>;

/// Connections outlive the request that opened them: one link per distinct settings per process.
pub fn shared(settings: &RedisSettings) -> SharedLink {
    static LINKS: LazyLock<Mutex<HashMap<RedisSettings, SharedLink>>> = LazyLock::new(Mutex::default);
    let mut links = LINKS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(link) = links.get(settings) {
        return Arc::clone(link);
    }
    // A bound for a process whose settings differ from request to request.
    if links.len() >= MAX_LINKS {
        links.retain(|_, link| Arc::strong_count(link) > 1);
    }
    let link = Arc::new(Mutex::new(RedisLink::new(settings.clone())));
    links.insert(settings.clone(), Arc::clone(&link));
    link
}
