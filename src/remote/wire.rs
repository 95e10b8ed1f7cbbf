//! One connection to one Redis server.
//!
//! Invariant: after the first time-out, broken read or protocol error the connection is dead for
//! good. The `redis` crate keeps such a connection and counts the replies it still owes; it goes on
//! reading a pipeline after a time-out, one full time-out per command, so a batch of 100 against a
//! stopped server would wait 100 times; and its time-out is for each read, so that a server which
//! sends drop by drop is waited for without limit. So connecting, login, sending and receiving are
//! done here, on a [`Socket`] that bounds each reply in time and size; the crate packs and parses.

use std::io::Write;

use ::redis::{Cmd, Parser, ProtocolVersion, Value, cmd};

use super::fault::{Fault, FaultKind};
use super::settings::{Address, RedisSettings, Secret};
use super::socket::Socket;

/// A connection that has logged in.
pub(super) struct Wire {
    socket: Socket,
    parser: Parser,
    dead: bool,
}

impl Wire {
    /// Connects to `address` and logs in.
    pub(super) fn connect(address: &Address, settings: &RedisSettings) -> Result<Self, Fault> {
        Self::connect_speaking(address, settings, ProtocolVersion::RESP2)
    }

    /// The same in a protocol in which the server may speak unasked (RESP3) or not.
    pub(super) fn connect_speaking(
        address: &Address,
        settings: &RedisSettings,
        protocol: ProtocolVersion,
    ) -> Result<Self, Fault> {
        let connect = || {
            let mut socket = Socket::connect(address, settings.timeout, &settings.tls)?;
            socket.set_limit(settings.read_timeout)?;
            Ok(socket)
        };
        let socket = connect().map_err(|error| Fault::of_io(&address.to_string(), &error))?;
        let mut wire = Self { socket, parser: Parser::new(), dead: false };
        for command in login(settings, protocol) {
            if let Value::ServerError(error) = wire.run(&command)? {
                return Err(Fault::new(FaultKind::Refused, format!("{address}: {error}")));
            }
        }
        Ok(wire)
    }

    /// Sends one command and reads its reply; an error reply is a value here.
    pub(super) fn run(&mut self, command: &Cmd) -> Result<Value, Fault> {
        self.send(&command.get_packed_command())?;
        self.receive()
    }

    /// Sends packed commands without reading.
    pub(super) fn send(&mut self, packed: &[u8]) -> Result<(), Fault> {
        self.refuse_if_dead()?;
        let mut send = || {
            self.socket.next_answer()?;
            self.socket.write_all(packed)?;
            self.socket.flush()
        };
        let sent = send().map_err(|error| Fault::of_io("redis", &error));
        self.note(sent)
    }

    /// Reads the next reply that is still owed. It may take as long as the settings say, however many
    /// pieces it comes in.
    pub(super) fn receive(&mut self) -> Result<Value, Fault> {
        self.refuse_if_dead()?;
        let ready = self.socket.next_answer().map_err(|error| Fault::of_io("redis", &error));
        let received = ready.and_then(|()| Ok(self.parser.parse_value(&mut self.socket)?));
        self.note(received)
    }

    fn refuse_if_dead(&self) -> Result<(), Fault> {
        match self.dead {
            true => Err(Fault::new(FaultKind::Down, "the connection failed before")),
            false => Ok(()),
        }
    }

    fn note<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.inspect_err(|_| self.dead = true)
    }
}

fn login(settings: &RedisSettings, protocol: ProtocolVersion) -> Vec<Cmd> {
    let mut commands = Vec::new();
    let credentials = settings.password.as_ref().map(|password| (&settings.username, password.reveal()));
    match (protocol, credentials) {
        (ProtocolVersion::RESP2, None) => {}
        (ProtocolVersion::RESP2, Some((user, password))) => {
            let mut auth = cmd("AUTH");
            user.iter().for_each(|user| _ = auth.arg(user));
            commands.push(auth.arg(password).clone());
        }
        (_, credentials) => {
            let mut hello = cmd("HELLO");
            hello.arg(3);
            if let Some((user, password)) = credentials {
                hello.arg("AUTH").arg(user.as_deref().unwrap_or("default")).arg(password);
            }
            commands.push(hello);
        }
    }
    if settings.database != 0 {
        commands.push(cmd("SELECT").arg(settings.database).clone());
    }
    commands
}

/// The same servers without a login, for sentinels, which have their own.
pub(super) fn anonymous(settings: &RedisSettings) -> RedisSettings {
    RedisSettings { username: None, password: None::<Secret>, database: 0, ..settings.clone() }
}
