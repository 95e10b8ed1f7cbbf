//! One connection to one Redis server.
//!
//! Invariant: after the first time-out, broken read or protocol error the connection is dead for
//! good. The `redis` crate keeps such a connection and counts the replies it still owes; it also
//! goes on reading a pipeline after a time-out, one full time-out per command, so a batch of 100
//! against a stopped server would wait 100 times. Both are avoided here by sending and receiving
//! ourselves; the crate still does addresses, TLS, login, packing and parsing.

use std::fs;
use std::io::{Read, Write};

use ::redis::{
    Client, ClientTlsConfig, Cmd, Connection, ConnectionAddr, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, TlsCertificates, Value,
};
use socket2::{Domain, SockAddr, Socket, Type};

use super::fault::{Fault, FaultKind};
use super::settings::{Address, RedisSettings, Secret};

/// Who logs in where, and how long that may take: what one server needs of the settings.
pub(super) struct Wire {
    connection: Connection,
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
        refuse_if_stopped(address, settings)?;
        let login = login(settings).set_protocol(protocol);
        let info = connection_addr(address).into_connection_info()?.set_redis_settings(login);
        let client = match address {
            Address::Tcp { tls: true, .. } => Client::build_with_tls(info, certificates(settings)?)?,
            _ => Client::open(info)?,
        };
        let connection = client.get_connection_with_timeout(settings.timeout)?;
        connection.set_read_timeout(Some(settings.read_timeout))?;
        connection.set_write_timeout(Some(settings.read_timeout))?;
        Ok(Self { connection, dead: false })
    }

    /// Sends one command and reads its reply; an error reply is a value here.
    pub(super) fn run(&mut self, command: &Cmd) -> Result<Value, Fault> {
        self.send(&command.get_packed_command())?;
        self.receive()
    }

    /// Sends packed commands without reading.
    pub(super) fn send(&mut self, packed: &[u8]) -> Result<(), Fault> {
        self.refuse_if_dead()?;
        let sent = self.connection.send_packed_command(packed);
        self.note(sent)
    }

    /// Reads the next reply that is still owed.
    pub(super) fn receive(&mut self) -> Result<Value, Fault> {
        self.refuse_if_dead()?;
        let received = self.connection.recv_response();
        self.note(received)
    }

    fn refuse_if_dead(&self) -> Result<(), Fault> {
        match self.dead {
            true => Err(Fault::new(FaultKind::Down, "the connection failed before")),
            false => Ok(()),
        }
    }

    fn note<T>(&mut self, result: ::redis::RedisResult<T>) -> Result<T, Fault> {
        result.map_err(|error| {
            self.dead = true;
            Fault::from(error)
        })
    }
}

/// `connect` on a unix socket waits without limit once the queue of a stopped server is full, and
/// std offers no time-out for it. So a first, non-blocking connection asks for a sign of life.
fn refuse_if_stopped(address: &Address, settings: &RedisSettings) -> Result<(), Fault> {
    let Address::Unix(path) = address else { return Ok(()) };
    let ask = || -> std::io::Result<usize> {
        let mut socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)?;
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(settings.timeout))?;
        socket.write_all(b"PING\r\n")?;
        socket.read(&mut [0; 32])
    };
    match ask() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(Fault::new(FaultKind::Timeout, format!("{}: the server does not answer", path.display())))
        }
        Err(error) => Err(Fault::new(FaultKind::Down, format!("{}: {error}", path.display()))),
    }
}

fn connection_addr(address: &Address) -> ConnectionAddr {
    match address {
        Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
        Address::Tcp { host, port, tls: false } => ConnectionAddr::Tcp(host.clone(), *port),
        Address::Tcp { host, port, tls: true } => {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
    }
}

fn login(settings: &RedisSettings) -> RedisConnectionInfo {
    let mut login =
        RedisConnectionInfo::default().set_db(i64::from(settings.database)).set_skip_set_lib_name();
    if let Some(password) = &settings.password {
        login = login.set_password(password.reveal());
    }
    match &settings.username {
        Some(user) => login.set_username(user),
        None => login,
    }
}

fn certificates(settings: &RedisSettings) -> Result<TlsCertificates, Fault> {
    let read = |path: &std::path::Path| {
        fs::read(path).map_err(|error| Fault::new(FaultKind::Refused, format!("{}: {error}", path.display())))
    };
    let client_tls = match &settings.tls.identity {
        Some((cert, key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        None => None,
    };
    Ok(TlsCertificates { client_tls, root_cert: settings.tls.ca.as_deref().map(read).transpose()? })
}

/// The same servers without a login, for sentinels, which have their own.
pub(super) fn anonymous(settings: &RedisSettings) -> RedisSettings {
    RedisSettings { username: None, password: None::<Secret>, database: 0, ..settings.clone() }
}
