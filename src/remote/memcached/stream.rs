//! One connection to one Memcached server.
//!
//! Invariant: an exchange that does not end well ends the connection, so that a late reply is never
//! taken for the next one. Connecting, sending and each answer are bounded in time.

use std::io::{Read, Write};

use super::protocol::{Reply, parse};
use crate::remote::fault::{Fault, FaultKind};
use crate::remote::settings::{Address, MemcachedSettings, TlsFiles};
use crate::remote::socket::Socket;

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// A connection, and what was read from it beyond the last reply.
pub(super) struct Stream {
    socket: Socket,
    unread: Vec<u8>,
}

impl Stream {
    /// Connects to `address`, and logs in where the settings say how.
    pub(super) fn connect(address: &Address, settings: &MemcachedSettings) -> Result<Self, Fault> {
        if matches!(address, Address::Tcp { tls: true, .. }) {
            let why = format!("{address}: TLS to Memcached is not supported");
            return Err(Fault::new(FaultKind::Refused, why));
        }
        let connect = || {
            let mut socket = Socket::connect(address, settings.timeout, &TlsFiles::default())?;
            socket.set_limit(settings.read_timeout)?;
            Ok(socket)
        };
        let socket = connect().map_err(io)?;
        let mut stream = Self { socket, unread: Vec::new() };
        if let Some((user, password)) = &settings.login {
            stream.log_in(user, password.reveal())?;
        }
        Ok(stream)
    }

    /// Whether nothing more can come of the connection.
    pub(super) fn is_stale(&self) -> bool {
        self.socket.is_stale()
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.socket.next_answer().and_then(|()| self.socket.write_all(bytes)).map_err(io)
    }

    /// Reads the next reply, which may take as long as the settings say, however many pieces it
    /// comes in.
    pub(super) fn receive(&mut self) -> Result<Reply, Fault> {
        self.socket.next_answer().map_err(io)?;
        loop {
            if let Some((reply, len)) = parse(&self.unread)? {
                self.unread.drain(..len);
                return Ok(reply);
            }
            self.read_more()?;
        }
    }

    /// The ASCII login of a server that was started with `-Y`.
    fn log_in(&mut self, user: &str, password: &str) -> Result<(), Fault> {
        let secret = format!("{user} {password}");
        self.send(format!("set auth 0 0 {}\r\n{secret}\r\n", secret.len()).as_bytes())?;
        match self.receive()? {
            Reply::Done => Ok(()),
            _ => Err(Fault::new(FaultKind::Refused, "memcached refuses user and password")),
        }
    }

    fn read_more(&mut self) -> Result<(), Fault> {
        let mut chunk = [0; CHUNK];
        match self.socket.read(&mut chunk).map_err(io)? {
            0 => Err(Fault::new(FaultKind::Down, "memcached closed the connection")),
            read => {
                self.unread.extend_from_slice(chunk.get(..read).unwrap_or(&[]));
                Ok(())
            }
        }
    }
}

fn io(error: std::io::Error) -> Fault {
    Fault::of_io("memcached", &error)
}
