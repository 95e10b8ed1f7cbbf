//! Copies in an S3-compatible bucket (Amazon S3, MinIO, Ceph, R2, B2, …).
//!
//! Small files go up in one PUT, large ones in parts that the server joins: an object is there whole or
//! not at all. What is sent is signed with its hash; afterwards the server says the checksum it has, or
//! the object is read back. A download that breaks off goes on where it ended. Requests that may pass
//! are tried again, a few times, with growing pauses.
//!
//! A fault names the bucket and the server's one-word reason: never a key, a signature, or more of what
//! the server said.

mod answers;
mod multipart;
mod sign;

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{Context, SHA256};

pub use self::sign::Credentials;
use self::sign::{EMPTY, Unsigned, encode, query, sign};
use super::{Key, MOST_OBJECTS, RemoteStore, Upload};
use crate::backup::fault::{fault, file};
use crate::backup::id::BackupId;
use crate::backup::store::hex;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Kind, Result, Retry};
use crate::remote::http::{Answer, Body, Client, Policy, Reach, Request, Url};
use crate::remote::{Fault, FaultKind};

/// How often a request is made before it has failed.
const ATTEMPTS: u32 = 4;

/// The longest that connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The longest that one request may take, however steadily data flows.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// The most bytes of an answer that is read into memory.
const MOST_TEXT: u64 = 16 * 1024 * 1024;

/// How many objects a page of a list has.
const PAGE: usize = 1000;

/// Up to this size a file goes up in one request, and larger ones in parts of at least this.
const PART: u64 = 64 * 1024 * 1024;

/// Where a bucket is and how to get in.
#[derive(Clone)]
pub struct S3Settings {
    /// The server: scheme, host and port.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// Its region; `us-east-1` where a server has none.
    pub region: String,
    /// What keys begin with: `a/b`, or nothing.
    pub prefix: String,
    /// Whether the bucket stands in the path rather than in the host's name.
    pub path_style: bool,
    /// Who we are.
    pub credentials: Credentials,
    /// A PEM file with the authorities to trust in place of the system's.
    pub ca: Option<PathBuf>,
    /// The pause after the first attempt that failed; it doubles.
    pub pause: Duration,
    /// How long the server may be silent.
    pub patience: Duration,
    /// Files of up to so many bytes go up in one request.
    pub part: u64,
}

impl S3Settings {
    /// A bucket of `endpoint` with the defaults of everything else.
    pub fn new(endpoint: &str, bucket: &str, credentials: Credentials) -> Self {
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            bucket: bucket.to_owned(),
            region: "us-east-1".to_owned(),
            prefix: String::new(),
            path_style: true,
            credentials,
            ca: None,
            pause: Duration::from_millis(500),
            patience: Duration::from_secs(60),
            part: PART,
        }
    }

    /// What people call the bucket.
    pub fn name(&self) -> String {
        let authority = self.endpoint.split_once("://").map_or("", |(_, authority)| authority);
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        format!("s3://{}{slash}{}@{authority}", self.bucket, self.prefix)
    }
}

/// A bucket of copies.
pub struct S3Store {
    settings: S3Settings,
    /// For requests whose answers are short.
    client: Client,
    /// For objects.
    bulk: Client,
    name: String,
    /// Scheme, host and port that requests go to.
    origin: String,
}

/// Sends a request that is signed, to this address, with these headers.
type Send<'a> = dyn FnMut(&Url, &[(&str, &str)]) -> Result<Answer, Fault> + 'a;

/// A request to the bucket.
struct Ask<'a> {
    method: &'a str,
    /// The object's key with the prefix; the bucket itself when it is empty.
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    headers: &'a [(&'a str, &'a str)],
    body_sha256: &'a str,
}

impl<'a> Ask<'a> {
    fn new(method: &'a str, key: &'a str) -> Self {
        Self { method, key, query: &[], headers: &[], body_sha256: EMPTY }
    }
}

impl S3Store {
    /// The bucket; nobody is asked yet.
    ///
    /// # Errors
    /// The endpoint is no address, or the file of authorities cannot be read.
    pub fn new(settings: S3Settings) -> Result<Self> {
        let endpoint = Url::parse("endpoint", &settings.endpoint)?;
        let (scheme, authority) = settings.endpoint.split_once("://").unwrap_or(("https", endpoint.host()));
        let origin = match settings.path_style {
            true => settings.endpoint.clone(),
            false => format!("{scheme}://{}.{authority}", settings.bucket),
        };
        let bulk = Policy {
            total: Some(LONGEST),
            ca: settings.ca.clone(),
            ..Policy::transfer(settings.patience.min(CONNECT), settings.patience, Reach::Anywhere)
        };
        let short = Policy { answer: MOST_TEXT, ..bulk.clone() };
        let name = settings.name();
        Ok(Self { client: Client::new(&short)?, bulk: Client::new(&bulk)?, name, origin, settings })
    }

    fn key(&self, key: &Key) -> String {
        self.prefixed(&key.to_string())
    }

    fn prefixed(&self, text: &str) -> String {
        match self.settings.prefix.as_str() {
            "" => text.to_owned(),
            prefix => format!("{prefix}/{text}"),
        }
    }

    /// Makes the request until it succeeds, or as often as it may. `send` gets the request ready to go
    /// and may be called again.
    fn ask(&self, ask: &Ask<'_>, send: &mut Send<'_>) -> Result<Answer> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let failed = match self.once(ask, send) {
                Ok(answer) if !may_pass(&answer) => return Ok(answer),
                Ok(answer) => self.refused(&answer),
                Err(error) => error,
            };
            if attempt >= ATTEMPTS || failed.retry() == Retry::Never {
                return Err(failed);
            }
            self.pause(attempt);
        }
    }

    fn pause(&self, attempt: u32) {
        thread::sleep(self.settings.pause.saturating_mul(1 << (attempt - 1).min(5)));
    }

    fn once(&self, ask: &Ask<'_>, send: &mut Send<'_>) -> Result<Answer> {
        let key = encode(ask.key, true);
        let path = match self.settings.path_style {
            true => format!("/{}/{key}", encode(&self.settings.bucket, false)),
            false => format!("/{key}"),
        };
        let host = self.origin.split_once("://").map_or("", |(_, host)| host);
        let unsigned = Unsigned {
            method: ask.method,
            host,
            path: &path,
            query: ask.query,
            headers: ask.headers,
            body_sha256: ask.body_sha256,
        };
        let now = SystemClock.now();
        let headers = sign(&unsigned, &self.settings.credentials, &self.settings.region, now);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut address = format!("{}{path}", self.origin);
        if !ask.query.is_empty() {
            address = format!("{address}?{}", query(ask.query));
        }
        let url = Url::parse("endpoint", &address)?;
        send(&url, &headers).map_err(|error| self.unreachable(&error))
    }

    /// A request without a body whose answer is kept.
    fn simple(&self, ask: &Ask<'_>) -> Result<Answer> {
        self.with_body(ask, b"")
    }

    fn with_body(&self, ask: &Ask<'_>, bytes: &[u8]) -> Result<Answer> {
        self.ask(ask, &mut |url, headers| {
            let body = if ask.method == "POST" { Body::Bytes(bytes) } else { Body::Empty };
            self.client.send(Request { method: ask.method, url, headers, body })
        })
    }

    /// PUTs `length` bytes of `source` from `offset` on.
    fn send_range(&self, ask: &Ask<'_>, source: &Path, (offset, length): (u64, u64)) -> Result<Answer> {
        let mut opened = File::open(source).map_err(file("open", source))?;
        self.ask(ask, &mut |url, headers| {
            let local = |error: std::io::Error| Fault::new(FaultKind::Command, error.to_string());
            opened.seek(SeekFrom::Start(offset)).map_err(local)?;
            let body = Body::Stream { reader: &mut opened, length };
            self.client.send(Request { method: ask.method, url, headers, body })
        })
    }

    /// Returns the checksum that the server should have.
    fn put_whole(&self, key: &str, upload: Upload<'_>) -> Result<String> {
        let checksum = BASE64_STANDARD.encode(bytes_of(upload.sha256));
        let headers = [("x-amz-checksum-sha256", checksum.as_str())];
        let ask = Ask { headers: &headers, body_sha256: upload.sha256, ..Ask::new("PUT", key) };
        self.expect(self.send_range(&ask, upload.source, (0, upload.size))?)?;
        Ok(checksum)
    }

    /// Asks what the server has. Unless it names this very checksum the object is read back: not all
    /// servers know checksums, nor count those of joined parts alike.
    fn confirm(&self, key: &str, upload: Upload<'_>, checksum: &str) -> Result<()> {
        let headers = [("x-amz-checksum-mode", "ENABLED")];
        let answer = self.expect(self.simple(&Ask { headers: &headers, ..Ask::new("HEAD", key) })?)?;
        let size = answer.header("content-length").and_then(|text| text.parse().ok());
        let differs = || fault(format!("{} does not have what was sent to it: {key}", self.name));
        if size != Some(upload.size) {
            return Err(differs());
        }
        if answer.header("x-amz-checksum-sha256") == Some(checksum) {
            return Ok(());
        }
        let mut hashed = Hashed(Context::new(&SHA256));
        let found = self.read(key, &mut hashed, upload.size)?;
        let same = hex(hashed.0.finish().as_ref()) == upload.sha256;
        if found && same { Ok(()) } else { Err(differs()) }
    }

    fn read(&self, key: &str, output: &mut dyn Write, most: u64) -> Result<bool> {
        let mut output = Capped::new(output, most);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let done = output.done;
            let range = format!("bytes={done}-");
            let headers = [("range", range.as_str())];
            let headers: &[(&str, &str)] = if done == 0 { &[] } else { &headers };
            let ask = Ask { headers, ..Ask::new("GET", key) };
            let asked = self.once(&ask, &mut |url, headers| {
                self.bulk.fetch(Request { method: "GET", url, headers, body: Body::Empty }, &mut output)
            });
            if let Some(refused) = output.refused.take() {
                return Err(refused.context(self.name.clone()));
            }
            let failed = match asked {
                Ok(answer) if answer.status == 404 && done == 0 => return Ok(false),
                Ok(answer) if answer.is_success() && (done == 0 || answer.status == 206) => return Ok(true),
                Ok(answer) => self.refused(&answer),
                Err(error) => error,
            };
            // Whoever sends a little each time is not tried for ever, but for longer.
            let enough = if output.done > done { ATTEMPTS * 4 } else { ATTEMPTS };
            if failed.retry() == Retry::Never || attempt >= enough {
                return Err(failed);
            }
            self.pause(attempt);
        }
    }

    fn expect(&self, answer: Answer) -> Result<Answer> {
        if answer.is_success() { Ok(answer) } else { Err(self.refused(&answer)) }
    }

    fn refused(&self, answer: &Answer) -> Error {
        let why = answers::error_code(&answer.body).unwrap_or_else(|| format!("status {}", answer.status));
        let message = format!("{} refuses: {why}", self.name);
        if may_pass(answer) { Error::store(message) } else { fault(message) }
    }

    fn unreachable(&self, error: &Fault) -> Error {
        let message = format!("{} cannot be reached: {error}", self.name);
        match error.kind() {
            FaultKind::Refused | FaultKind::Command => Error::new(Kind::Store, message),
            _ => Error::store(message),
        }
    }
}

impl RemoteStore for S3Store {
    fn name(&self) -> &str {
        &self.name
    }

    fn put(&self, key: &Key, upload: Upload<'_>) -> Result<()> {
        let key = self.key(key);
        let stored = match upload.size > self.settings.part {
            true => self.put_parts(&key, upload)?,
            false => self.put_whole(&key, upload)?,
        };
        let confirmed = self.confirm(&key, upload, &stored);
        if confirmed.is_err() {
            // What is there is wrong, so it goes; the reason is told either way.
            let _ = self.simple(&Ask::new("DELETE", &key));
        }
        confirmed
    }

    fn get(&self, key: &Key, output: &mut dyn Write, most: u64) -> Result<bool> {
        self.read(&self.key(key), output, most)
    }

    fn list(&self, id: Option<&BackupId>) -> Result<Vec<(Key, u64)>> {
        let prefix = self.prefixed(&id.map_or_else(String::new, |id| format!("{id}/")));
        let strip = self.prefixed("");
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        // A page may be empty and have a next one, but not for ever.
        for _ in 0..MOST_OBJECTS / PAGE {
            let mut query = vec![("list-type", "2"), ("prefix", prefix.as_str())];
            query.extend(next.as_deref().map(|token| ("continuation-token", token)));
            let answer = self.expect(self.simple(&Ask { query: &query, ..Ask::new("GET", "") })?)?;
            let page = answers::page(&answer.body);
            let page = page.ok_or_else(|| fault(format!("{} does not list", self.name)))?;
            let ours = |(text, size): &(String, u64)| Some((Key::parse(text.strip_prefix(&strip)?)?, *size));
            found.extend(page.objects.iter().filter_map(ours));
            next = page.next;
            if next.is_none() {
                return Ok(found);
            }
        }
        Err(fault(format!("{} has more than {MOST_OBJECTS} objects", self.name)))
    }

    fn delete(&self, key: &Key) -> Result<()> {
        let answer = self.simple(&Ask::new("DELETE", &self.key(key)))?;
        if answer.status == 404 { Ok(()) } else { self.expect(answer).map(drop) }
    }
}

/// Whether the same request may succeed in a moment.
fn may_pass(answer: &Answer) -> bool {
    matches!(answer.status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// A writer that takes so much and no more, and remembers why it refused.
struct Capped<'a> {
    output: &'a mut dyn Write,
    most: u64,
    done: u64,
    refused: Option<Error>,
}

impl<'a> Capped<'a> {
    fn new(output: &'a mut dyn Write, most: u64) -> Self {
        Self { output, most, done: 0, refused: None }
    }
}

impl Write for Capped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.done + bytes.len() as u64 > self.most {
            self.refused = Some(fault(format!("an object has more than {} bytes", self.most)));
            return Err(io::Error::other("too large"));
        }
        let written = self.output.write(bytes);
        match &written {
            Ok(count) => self.done += *count as u64,
            Err(error) => self.refused = Some(fault(format!("cannot write what is downloaded: {error}"))),
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// A writer that only hashes.
struct Hashed(Context);

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes that `text` writes in hexadecimal.
fn bytes_of(text: &str) -> Vec<u8> {
    let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).filter_map(digit).collect()
}
