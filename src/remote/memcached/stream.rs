//! One connection to one Memcached server.
//!
//! Invariant: an exchange that does not end well ends the connection, so that a late reply is never
//! taken for the next one. Connecting, sending and each answer are bounded in time.

use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::protocol::{Reply, parse};
use crate::remote::fault::{Fault, FaultKind};
use crate::remote::settings::{Address, MemcachedSettings};

/// How much is read at once.
const CHUNK: usize = 16 << 10;

enum Socketed {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection, and what was read from it beyond the last reply.
pub(super) struct Stream {
    socket: Socketed,
    unread: Vec<u8>,
    answer_limit: Duration,
}

impl Stream {
    /// Connects to `address`, and logs in where the settings say how.
    pub(super) fn connect(address: &Address, settings: &MemcachedSettings) -> Result<Self, Fault> {
        let socket = match address {
            Address::Unix(path) => Socketed::Unix(connect_unix(path)?),
            Address::Tcp { tls: true, .. } => {
                return Err(Fault::new(
                    FaultKind::Refused,
                    format!("{address}: TLS to Memcached is not supported"),
                ));
            }
            Address::Tcp { host, port, .. } => Socketed::Tcp(connect_tcp(host, *port, settings.timeout)?),
        };
        let mut stream = Self { socket, unread: Vec::new(), answer_limit: settings.read_timeout };
        stream.limit(settings.read_timeout)?;
        if let Some((user, password)) = &settings.login {
            stream.log_in(user, password.reveal())?;
        }
        Ok(stream)
    }

    /// Whether the server has closed the connection, or said something that nobody asked for. One
    /// system call, and nothing need ever be sent twice.
    pub(super) fn is_stale(&self) -> bool {
        let mut byte = [MaybeUninit::<u8>::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        let peeked = match &self.socket {
            Socketed::Tcp(socket) => SockRef::from(socket).recv_with_flags(&mut byte, flags),
            Socketed::Unix(socket) => SockRef::from(socket).recv_with_flags(&mut byte, flags),
        };
        !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        match &mut self.socket {
            Socketed::Tcp(socket) => socket.write_all(bytes),
            Socketed::Unix(socket) => socket.write_all(bytes),
        }
        .map_err(io)
    }

    /// Reads the next reply. A server that sends it drop by drop is not waited for either.
    pub(super) fn receive(&mut self) -> Result<Reply, Fault> {
        let started = Instant::now();
        loop {
            if let Some((reply, len)) = parse(&self.unread)? {
                self.unread.drain(..len);
                return Ok(reply);
            }
            if started.elapsed() > self.answer_limit {
                return Err(Fault::new(FaultKind::Timeout, "memcached's answer does not end"));
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
        let read = match &mut self.socket {
            Socketed::Tcp(socket) => socket.read(&mut chunk),
            Socketed::Unix(socket) => socket.read(&mut chunk),
        };
        match read.map_err(io)? {
            0 => Err(Fault::new(FaultKind::Down, "memcached closed the connection")),
            read => {
                self.unread.extend_from_slice(chunk.get(..read).unwrap_or(&[]));
                Ok(())
            }
        }
    }

    fn limit(&self, limit: Duration) -> Result<(), Fault> {
        match &self.socket {
            Socketed::Tcp(socket) => socket
                .set_nodelay(true)
                .and(socket.set_read_timeout(Some(limit)))
                .and(socket.set_write_timeout(Some(limit))),
            Socketed::Unix(socket) => {
                socket.set_read_timeout(Some(limit)).and(socket.set_write_timeout(Some(limit)))
            }
        }
        .map_err(io)
    }
}

fn connect_tcp(host: &str, port: u16, limit: Duration) -> Result<TcpStream, Fault> {
    let mut last = Fault::new(FaultKind::Down, format!("{host}: no such host"));
    for address in (host, port).to_socket_addrs().map_err(io)? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = io(error),
        }
    }
    Err(last)
}

/// Connecting to a unix socket is done at once, or the server's queue is full.
fn connect_unix(path: &std::path::Path) -> Result<UnixStream, Fault> {
    let connect = || -> std::io::Result<UnixStream> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)?;
        socket.set_nonblocking(false)?;
        Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
    };
    connect().map_err(io)
}

fn io(error: std::io::Error) -> Fault {
    let kind = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => FaultKind::Timeout,
        _ => FaultKind::Down,
    };
    Fault::new(kind, format!("memcached: {error}"))
}
