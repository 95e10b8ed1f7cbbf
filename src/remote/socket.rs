//! A socket on which nothing takes longer than it may.
//!
//! Owns: connecting within a limit, a deadline for each answer as a whole, and the most bytes an
//! answer may have. The system's own time-out is for each read, so a server that sends a byte every
//! now and then could hold a worker for ever. Refuses to do: know where an answer ends; its reader
//! says when the next one begins.
//!
//! The system's time-out is changed only for answers that come in several pieces, so that the usual
//! one costs no system call more.

use std::fs;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, SockAddr, SockRef, Socket as RawSocket, Type};

use super::settings::{Address, TlsFiles};

/// More than any answer to a page's question. It is kept in memory that PHP's limit does not cover.
const MAX_ANSWER: usize = 256 << 20;

/// A connection to a server.
pub(super) enum Socket {
    Plain(Bounded),
    Tls(Box<StreamOwned<ClientConnection, Bounded>>),
}

/// What bytes go through, and how long the answer that is being read may still take.
pub(super) struct Bounded {
    raw: Raw,
    limit: Duration,
    began: Option<Instant>,
    /// The system's time-out is less than `limit`, because part of the time was used up.
    shortened: bool,
    left: usize,
}

enum Raw {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects to `address` within `limit`; each answer then has as long until [`Self::set_limit`].
    pub(super) fn connect(address: &Address, limit: Duration, tls: &TlsFiles) -> Result<Self> {
        match address {
            Address::Unix(path) => Ok(Self::Plain(Bounded::new(Raw::Unix(connect_unix(path)?), limit)?)),
            Address::Tcp { host, port, tls: false } => {
                Ok(Self::Plain(Bounded::new(Raw::Tcp(connect_tcp(host, *port, limit)?), limit)?))
            }
            Address::Tcp { host, port, tls: true } => {
                let name = ServerName::try_from(host.clone()).map_err(Error::other)?;
                let session = ClientConnection::new(Arc::new(config(tls)?), name).map_err(Error::other)?;
                let bounded = Bounded::new(Raw::Tcp(connect_tcp(host, *port, limit)?), limit)?;
                let mut stream = StreamOwned::new(session, bounded);
                stream.conn.complete_io(&mut stream.sock)?;
                Ok(Self::Tls(Box::new(stream)))
            }
        }
    }

    /// How long each answer may take from now on.
    pub(super) fn set_limit(&mut self, limit: Duration) -> Result<()> {
        self.bounded().set_limit(limit)
    }

    /// What is read next belongs to another answer, which has its own time.
    pub(super) fn next_answer(&mut self) -> Result<()> {
        self.bounded().next_answer()
    }

    /// Whether the server has closed the connection, or said something that nobody asked for. One
    /// system call, and nothing need ever be sent twice.
    pub(super) fn is_stale(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::<u8>::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        let raw = match self {
            Self::Plain(bounded) => &bounded.raw,
            Self::Tls(stream) => &stream.sock.raw,
        };
        let peeked = raw.as_socket().recv_with_flags(&mut byte, flags);
        !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    fn bounded(&mut self) -> &mut Bounded {
        match self {
            Self::Plain(bounded) => bounded,
            Self::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain(bounded) => bounded.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(bounded) => bounded.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Bounded {
    fn new(raw: Raw, limit: Duration) -> Result<Self> {
        let mut bounded = Self { raw, limit, began: None, shortened: false, left: MAX_ANSWER };
        bounded.set_limit(limit)?;
        Ok(bounded)
    }

    fn set_limit(&mut self, limit: Duration) -> Result<()> {
        self.limit = limit;
        let socket = self.raw.as_socket();
        socket.set_read_timeout(Some(limit))?;
        socket.set_write_timeout(Some(limit))?;
        self.shortened = false;
        self.next_answer()
    }

    fn next_answer(&mut self) -> Result<()> {
        self.began = None;
        self.left = MAX_ANSWER;
        if std::mem::take(&mut self.shortened) {
            self.raw.as_socket().set_read_timeout(Some(self.limit))?;
        }
        Ok(())
    }

    /// The time that is left, if this is not the first piece.
    fn time_left(&mut self) -> Result<Option<Duration>> {
        let Some(began) = self.began else {
            self.began = Some(Instant::now());
            return Ok(None);
        };
        let left = self.limit.saturating_sub(began.elapsed());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if let Some(left) = self.time_left()? {
            self.raw.as_socket().set_read_timeout(Some(left))?;
            self.shortened = true;
        }
        let read = match &mut self.raw {
            Raw::Tcp(socket) => socket.read(into)?,
            Raw::Unix(socket) => socket.read(into)?,
        };
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => return Err(Error::new(ErrorKind::InvalidData, "the answer does not end")),
        }
        Ok(read)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.time_left()?;
        match &mut self.raw {
            Raw::Tcp(socket) => socket.write(bytes),
            Raw::Unix(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Raw {
    fn as_socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(socket) => SockRef::from(socket),
            Self::Unix(socket) => SockRef::from(socket),
        }
    }
}

fn connect_tcp(host: &str, port: u16, limit: Duration) -> Result<TcpStream> {
    let mut last = Error::new(ErrorKind::NotFound, format!("{host}: no such host"));
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connecting to a unix socket is done at once, or the queue of a stopped server is full; a plain
/// `connect` would wait for room in it without limit.
fn connect_unix(path: &Path) -> Result<UnixStream> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
}

fn config(files: &TlsFiles) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &files.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(Error::other)?;
            }
        }
        None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    let builder = builder.map_err(Error::other)?.with_root_certificates(roots);
    match &files.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(Error::other)?;
            builder.with_client_auth_cert(certificates(certificate)?, key).map_err(Error::other)
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(&read(path)?).collect::<std::result::Result<_, _>>().map_err(Error::other)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::other(format!("{}: {error}", path.display())))
}
