//! Finding the files of a bundle.
//!
//! Owns: what may be read. What is read here is published, so a file must lie below an allowed folder
//! and be a stylesheet or a script by its name, after every symbolic link was followed: of the file
//! that was opened, not of one that had the name a moment before.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::css::rebase::split_origin;
use super::settings::{Root, Settings};
use super::{Type, fault};
use crate::error::{Error, Result};

/// No file that is larger is read at all, in bytes.
const READABLE: u64 = 16 << 20;

/// A file that was opened.
pub struct Source {
    /// How the caller names it.
    pub name: String,
    /// What its content is known by.
    pub stamp: Stamp,
    /// Where visitors find it, if that is known.
    pub url: Option<String>,
    /// Its folder.
    pub folder: PathBuf,
    file: File,
}

/// What changes when a file does: compared before its content is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    size: u64,
    inode: u64,
    /// Nanoseconds since the epoch.
    modified: i128,
    changed: i128,
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        let nanos = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            size: file.size(),
            inode: file.ino(),
            modified: nanos(file.mtime(), file.mtime_nsec()),
            changed: nanos(file.ctime(), file.ctime_nsec()),
        }
    }

    /// Whether the file may have changed again within the resolution of its times.
    pub fn is_fresh_at(&self, nanos: u64) -> bool {
        self.modified.max(self.changed) + 2_000_000_000 > i128::from(nanos)
    }
}

impl Source {
    /// Opens the file that `name` means: a URL or a path below an allowed folder, or a path relative to the
    /// plugin's.
    ///
    /// # Errors
    /// When it is not there, cannot be read or may not be published.
    pub fn open(name: &str, kind: Type, settings: &Settings) -> Result<Self> {
        let named = |error: Error| error.context(name.escape_default().to_string());
        let path = locate(name, settings).map_err(named)?;
        Self::open_at(name, &path, kind, settings).map_err(named)
    }

    fn open_at(name: &str, path: &Path, kind: Type, settings: &Settings) -> Result<Self> {
        let mut options = OpenOptions::new();
        // Without waiting: it could be a pipe.
        let opened =
            options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY).open(path);
        let file = opened.map_err(|error| fault(format!("it cannot be read: {error}")))?;
        let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
            .map_err(|error| fault(format!("its place cannot be found: {error}")))?;
        let metadata = file.metadata().map_err(|error| fault(format!("it cannot be read: {error}")))?;
        if !metadata.is_file() {
            return Err(fault("it is no regular file"));
        }
        if !kind.is_name_of(&real) {
            return Err(fault(format!("it is no .{} file", kind.extension())));
        }
        let allowed =
            below(&real, settings).ok_or_else(|| fault("it lies outside plugin_path and allowed_roots"))?;
        if metadata.size() > READABLE {
            return Err(fault(format!("it is larger than {READABLE} bytes")));
        }
        Ok(Self {
            name: name.to_owned(),
            stamp: Stamp::of(&metadata),
            url: allowed,
            folder: real.parent().unwrap_or(Path::new("/")).to_owned(),
            file,
        })
    }

    /// Its bytes.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let named = |reason: String| fault(reason).context(self.name.clone());
        // It may have been read before.
        let read = (&self.file).rewind().and_then(|()| (&self.file).take(READABLE).read_to_end(&mut bytes));
        read.map_err(|error| named(format!("it cannot be read: {error}")))?;
        Ok(bytes)
    }
}

/// Its bytes as text without a byte order mark.
///
/// # Errors
/// When they are no UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| fault(format!("it is not UTF-8: {error}")))
}

/// The path that `name` means.
fn locate(name: &str, settings: &Settings) -> Result<PathBuf> {
    if name.is_empty() || name.contains('\0') {
        return Err(fault("it is no file name"));
    }
    let is_url = name.contains("://") || name.starts_with("//");
    if is_url {
        let place = name.split(['?', '#']).next().unwrap_or(name);
        let rests =
            settings.readable().filter_map(|root| Some((root, rest_of(place, root.url.as_deref()?)?)));
        // Of nested folders the innermost.
        let found = rests.min_by_key(|(_, rest)| rest.len());
        let (root, rest) = found.ok_or_else(|| fault("its URL is of no folder that is known"))?;
        return Ok(root.path.join(decoded(rest)));
    }
    if name.starts_with('/') {
        return Ok(PathBuf::from(name));
    }
    let plugin = settings.plugin.as_ref();
    Ok(plugin.ok_or_else(|| fault("a relative name needs plugin_path"))?.path.join(name))
}

/// What `url` says after `root`, whatever the scheme.
fn rest_of<'a>(url: &'a str, root: &str) -> Option<&'a str> {
    let bare = |url: &'_ str| url.find("//").map_or(0, |at| at + 2);
    url.get(bare(url)..)?.strip_prefix(root.get(bare(root)..)?)?.strip_prefix('/')
}

/// The URL of `real`, which must lie below an allowed folder: `None` if it does not, `Some(None)` if the
/// folder has no URL.
#[allow(clippy::option_option)]
fn below(real: &Path, settings: &Settings) -> Option<Option<String>> {
    let mut found: Option<(usize, Option<String>)> = None;
    for root in settings.readable() {
        let Ok(path) = root.path.canonicalize() else { continue };
        let Ok(rest) = real.strip_prefix(&path) else { continue };
        let depth = path.components().count();
        let url = root.url.as_ref().and_then(|url| Some(format!("{url}/{}", encoded(rest)?)));
        // The innermost folder knows best, one that has a URL better than one that has none.
        if found.as_ref().is_none_or(|(best, known)| (url.is_some(), depth) > (known.is_some(), *best)) {
            found = Some((depth, url));
        }
    }
    found.map(|(_, url)| url)
}

/// A path as a URL has it.
pub fn encoded(path: &Path) -> Option<String> {
    let mut url = String::new();
    for byte in path.to_str()?.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'/'
            | b'@'
            | b'+'
            | b',' => {
                url.push(char::from(byte));
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    Some(url)
}

fn decoded(url: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(url.len());
    let mut rest = url.as_bytes();
    while let [first, after @ ..] = rest {
        let escape = (*first == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    // A path that begins with a slash would replace the folder it is joined to.
    let start = bytes.iter().take_while(|byte| **byte == b'/').count();
    PathBuf::from(std::ffi::OsString::from_vec(bytes.split_off(start)))
}

/// The URL on a CDN of what the site has at `url`.
pub fn on_cdn(url: &str, cdn: Option<&str>) -> String {
    match cdn {
        Some(cdn) => format!("{cdn}{}", split_origin(url).1),
        None => url.to_owned(),
    }
}

impl Root {
    /// The folder's URL with a slash, or its path as one.
    pub fn place(&self) -> String {
        let url = self.url.clone();
        url.or_else(|| encoded(&self.path)).unwrap_or_default() + "/"
    }
}
