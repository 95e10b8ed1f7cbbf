//! A small synchronous HTTP client: webhooks, remote copies of backups, checks of other services.
//!
//! Owns: one call over TLS (rustls with ring, the system's authorities) with a limit on everything: to
//! connect, between two pieces of data, the call as a whole, and the size of the answer. Follows no
//! redirect, uses no proxy of the environment, sends and keeps no cookie. With [`Reach::Public`] it
//! also refuses to talk to the inside of the network ([`guard`]): the name is looked up once, and the
//! connection goes to an address that was looked at, so a name that changes its mind in between
//! reaches nothing. Refuses to do: retry, and know what a status means to its caller.
//!
//! A fault names the host and never the rest of the address: the path of a webhook is its password.

pub mod guard;
mod resolve;
mod url;

use std::io::ErrorKind::PermissionDenied;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::DateTime;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, SendBody};

pub use url::Url;

use self::resolve::Lookup;
use super::fault::{Fault, FaultKind};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};

/// Where a client may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To any address. For targets that only an operator can name.
    Anywhere,
    /// To addresses of the public internet alone.
    Public,
}

/// What a client may do and how long it waits.
#[derive(Clone, Debug)]
pub struct Policy {
    /// To look a name up, and then again to connect, TLS included.
    pub connect: Duration,
    /// Between two pieces of data, either way.
    pub idle: Duration,
    /// The whole call with its answer; `None` for transfers whose size nobody knows.
    pub total: Option<Duration>,
    /// The most bytes of an answer's body.
    pub answer: u64,
    /// Where to.
    pub reach: Reach,
    /// A PEM file with the authorities to trust in place of the system's.
    pub ca: Option<PathBuf>,
}

impl Policy {
    /// A short exchange that takes `limit` in all, with an answer of at most 64 KiB.
    pub fn short(limit: Duration, reach: Reach) -> Self {
        Self { connect: limit, idle: limit, total: Some(limit), answer: 64 << 10, reach, ca: None }
    }

    /// A transfer that may go on for as long as data flows.
    pub fn transfer(connect: Duration, idle: Duration, reach: Reach) -> Self {
        Self { connect, idle, total: None, answer: u64::MAX, reach, ca: None }
    }
}

/// What is sent.
pub enum Body<'a> {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(&'a [u8]),
    /// What the reader gives, which must be `length` bytes.
    Stream {
        /// Where the bytes come from.
        reader: &'a mut dyn Read,
        /// How many there are.
        length: u64,
    },
}

/// One call.
pub struct Request<'a> {
    /// `GET`, `POST`, ….
    pub method: &'a str,
    /// Where to.
    pub url: &'a Url,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// What is sent.
    pub body: Body<'a>,
}

/// What came back, whatever its status: a 500 is an answer, not a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, 100 to 599.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, empty when it went elsewhere.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// How long the server asks to be left alone, from `Retry-After` (RFC 9110, 10.2.3): seconds, or a
    /// date that is compared with `now`.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = u64::try_from(DateTime::parse_from_rfc2822(text).ok()?.timestamp()).ok()?;
        Some(Timestamp::from_secs(date).since(now))
    }
}

/// A client; connections that are still good are used again for ten seconds.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    answer: u64,
}

impl Client {
    /// A client under `policy`. Opens nothing, so it may be made early; but never before a fork,
    /// because it keeps connections.
    ///
    /// # Errors
    /// [`Kind::Config`] when the file of authorities cannot be read.
    pub fn new(policy: &Policy) -> Result<Self> {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(authorities(policy)?))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("slbp/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .timeout_resolve(Some(policy.connect))
            .timeout_connect(Some(policy.connect))
            .timeout_per_read(Some(policy.idle))
            .timeout_per_write(Some(policy.idle))
            .timeout_recv_response(Some(policy.total.unwrap_or(policy.idle)))
            .timeout_global(policy.total)
            .max_idle_connections(4)
            .max_idle_age(Duration::from_secs(10))
            .build();
        let lookup = Lookup { reach: policy.reach };
        let agent = Agent::with_parts(config, DefaultConnector::new(), lookup);
        Ok(Self { agent, answer: policy.answer })
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// # Errors
    /// A [`Fault`] when there is no answer, or it is larger than the policy allows.
    pub fn send(&self, request: Request<'_>) -> Result<Answer, Fault> {
        let host = request.url.host().to_owned();
        let (mut answer, mut body) = self.open(request)?;
        let read = body.with_config().limit(self.answer).read_to_vec();
        answer.body = read.map_err(|error| fault(&host, &error))?;
        Ok(answer)
    }

    /// Sends `request` and writes the body of a successful answer to `into`; that of any other, which
    /// says what went wrong, is read into the answer, up to 64 KiB.
    ///
    /// # Errors
    /// As [`Self::send`], and when `into` takes no more.
    pub fn fetch(&self, request: Request<'_>, into: &mut dyn Write) -> Result<Answer, Fault> {
        let host = request.url.host().to_owned();
        let (mut answer, mut body) = self.open(request)?;
        let said = |error: std::io::Error| Fault::of_io(&host, &error);
        if answer.is_success() {
            let mut reader = body.with_config().limit(self.answer).reader();
            std::io::copy(&mut reader, into).map_err(said)?;
        } else {
            body.as_reader().take(64 << 10).read_to_end(&mut answer.body).map_err(said)?;
        }
        Ok(answer)
    }

    fn open(&self, request: Request<'_>) -> Result<(Answer, ureq::Body), Fault> {
        let host = request.url.host();
        let mut head = ureq::http::Request::builder().method(request.method).uri(request.url.as_str());
        for (name, value) in request.headers {
            head = head.header(*name, *value);
        }
        match request.body {
            Body::Empty => self.run(host, head.body(SendBody::none())),
            Body::Bytes(bytes) => self.run(host, head.body(bytes)),
            Body::Stream { reader, length } => {
                self.run(host, head.header("content-length", length).body(SendBody::from_reader(reader)))
            }
        }
    }

    fn run(
        &self,
        host: &str,
        request: std::result::Result<ureq::http::Request<impl ureq::AsSendBody>, ureq::http::Error>,
    ) -> Result<(Answer, ureq::Body), Fault> {
        let request = request.map_err(|error| Fault::new(FaultKind::Command, format!("{host}: {error}")))?;
        let response = self.agent.run(request).map_err(|error| fault(host, &error))?;
        let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers =
            response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let answer = Answer { status: response.status().as_u16(), headers, body: Vec::new() };
        Ok((answer, response.into_body()))
    }
}

/// What went wrong, in words that hold nothing of the address but its host.
fn fault(host: &str, error: &ureq::Error) -> Fault {
    use ureq::Error as E;
    let said = |kind, what: &dyn std::fmt::Display| Fault::new(kind, format!("{host}: {what}"));
    match error {
        E::Io(error) if error.kind() == PermissionDenied => said(FaultKind::Refused, error),
        E::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            said(FaultKind::Refused, &format_args!("TLS: {error}"))
        }
        E::Io(error) => Fault::of_io(host, error),
        E::Timeout(limit) => said(FaultKind::Timeout, &format_args!("no answer in time ({limit})")),
        E::HostNotFound => said(FaultKind::Down, &"no such host"),
        E::ConnectionFailed => said(FaultKind::Down, &"no connection"),
        E::BodyExceedsLimit(limit) => {
            said(FaultKind::Protocol, &format_args!("the answer is larger than {limit} bytes"))
        }
        E::LargeResponseHeader(..) => said(FaultKind::Protocol, &"the answer's headers are too large"),
        E::Rustls(error) => said(FaultKind::Refused, &format_args!("TLS: {error}")),
        E::Tls(what) => said(FaultKind::Refused, &format_args!("TLS: {what}")),
        E::Protocol(error) => said(FaultKind::Protocol, error),
        _ => said(FaultKind::Refused, &"the request could not be made"),
    }
}

/// The certificates to trust; the system's are read once.
fn authorities(policy: &Policy) -> Result<Arc<Vec<Certificate<'static>>>> {
    static SYSTEM: OnceLock<Arc<Vec<Certificate<'static>>>> = OnceLock::new();
    let Some(path) = &policy.ca else {
        let read = || Arc::new(rustls_native_certs::load_native_certs().certs.iter().map(owned).collect());
        return Ok(SYSTEM.get_or_init(read).clone());
    };
    let wrong = |error: rustls::pki_types::pem::Error| {
        Error::new(Kind::Config, format!("{}: {error}", path.display()))
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(wrong)?;
    let certificates: std::result::Result<Vec<_>, _> = certificates.map(|found| Ok(owned(&found?))).collect();
    Ok(Arc::new(certificates.map_err(wrong)?))
}

fn owned(certificate: &CertificateDer<'_>) -> Certificate<'static> {
    Certificate::from_der(certificate).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(value: &str) -> Option<Duration> {
        let headers = vec![("retry-after".to_owned(), value.to_owned())];
        let now = Timestamp::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        Answer { status: 429, headers, body: Vec::new() }.retry_after(now)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(asking("120"), Some(Duration::from_secs(120)));
        assert_eq!(asking("Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(asking("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        for nonsense in ["soon", "-5", "", "1.5"] {
            assert_eq!(asking(nonsense), None, "{nonsense}");
        }
    }
}
