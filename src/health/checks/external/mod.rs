//! The APIs of others that the site depends on, asked for real: a TLS connection, one HEAD request,
//! and how long the certificate is still good.
//!
//! Owns: the addresses it may ask, which only the site's own settings name. Refuses to do: follow a
//! redirect, send a credential, or wait longer than its timeout (but for the resolver, which has its own).

mod address;
mod certificate;

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

pub use address::Address;

use crate::clock::{Clock, SystemClock};
use crate::health::check::{Check, NAME_BYTES, Probe, Profile};
use crate::health::finding::{Outcome, Unit};

/// Seconds that a certificate must still be good: fewer is degraded, unhealthy.
const EXPIRY: (f64, f64) = (14.0 * 86_400.0, 86_400.0);

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks `address`; `ca` names the authorities in PEM, the system's without it. Its failure is the
/// other side's, so it never takes a node out of service.
pub fn reachable(address: Address, ca: Option<PathBuf>) -> Box<dyn Check> {
    let profile = Profile {
        name: name_of(&address).into(),
        timeout: TIMEOUT,
        ttl: Duration::from_secs(300),
        ..Profile::new("", "component", "certificate")
    };
    Box::new(Probe::new(profile, move || match ask(&address, ca.as_deref()) {
        Ok(answer) if answer.status >= 500 => Outcome::unhealthy(format!("answers with {}", answer.status)),
        Ok(answer) => judge(answer.expires.map(|expires| expires - SystemClock.now().secs() as f64)),
        Err(error) => Outcome::unhealthy(error.to_string()),
    }))
}

fn judge(left: Option<f64>) -> Outcome {
    match left {
        Some(left) if left < EXPIRY.1 => {
            Outcome::unhealthy("the certificate ends within a day").measured(left, Unit::Seconds)
        }
        Some(left) if left < EXPIRY.0 => {
            Outcome::degraded("the certificate ends within two weeks").measured(left, Unit::Seconds)
        }
        Some(left) => Outcome::healthy().measured(left, Unit::Seconds),
        None => Outcome::degraded("the end of the certificate cannot be read"),
    }
}

/// `external_` and the host, in letters that a name may have.
fn name_of(address: &Address) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("external_{}", address.host.chars().map(letter).collect::<String>())
        .chars()
        .take(NAME_BYTES)
        .collect()
}

struct Answer {
    status: u16,
    /// Unix time.
    expires: Option<f64>,
}

fn ask(address: &Address, ca: Option<&Path>) -> io::Result<Answer> {
    let deadline = Instant::now() + TIMEOUT;
    let socket = connect(address, deadline)?;
    let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
    let session = ClientConnection::new(Arc::new(config(ca)?), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, socket);
    let request = format!(
        "HEAD {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: slbp-health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        address.path,
        address.authority()
    );
    stream.write_all(request.as_bytes())?;
    let status = status(&mut stream, deadline)?;
    let leaf = stream.conn.peer_certificates().and_then(|chain| chain.first());
    Ok(Answer { status, expires: leaf.and_then(|leaf| certificate::expiry(leaf)) })
}

fn connect(address: &Address, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
    for address in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(socket) => {
                socket.set_read_timeout(Some(left(deadline)?))?;
                socket.set_write_timeout(Some(left(deadline)?))?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The number in `HTTP/1.1 200 OK`.
fn status(stream: &mut StreamOwned<ClientConnection, TcpStream>, deadline: Instant) -> io::Result<u16> {
    let mut line = Vec::new();
    while line.len() < 256 && !line.contains(&b'\n') {
        stream.sock.set_read_timeout(Some(left(deadline)?))?;
        let mut piece = [0; 64];
        match stream.read(&mut piece)? {
            0 => break,
            read => line.extend(piece.iter().take(read)),
        }
    }
    let text = String::from_utf8_lossy(&line);
    let number = text.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn config(ca: Option<&Path>) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
                roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
            }
        }
        None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    Ok(builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth())
}
