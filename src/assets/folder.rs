//! The folder of bundles.
//!
//! Owns: files that are there whole or not at all, their compressed twins, the manifest of each request,
//! and what is removed when. Files are written under another name, synced and renamed; the manifest, which
//! makes a bundle count, comes last. A name holds the hash of the content, so it never changes its
//! meaning, and two workers that write the same do no harm.
//!
//! What nothing names any more stays for a grace time: pages that name it may lie in caches.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::source::Stamp;
use super::{Type, fault};
use crate::error::Result;

/// The folder below the upload folder.
pub const NAME: &str = "slbp-cache";

/// Changes with what a manifest says.
const FORMAT: u32 = 1;

/// Names of files that are being written begin so.
const UNFINISHED: &str = ".writing-";

/// The time of the last tidying is that of this file.
const TIDIED: &str = ".tidied";

/// At most so often old files are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(3600);

/// What a request was answered with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// The bundle; none when the original is to be used.
    pub bundle: Option<String>,
    /// Its length in bytes.
    size: u64,
    /// Files that it imports.
    parts: Vec<String>,
    /// What it was made of, in order.
    pub sources: Vec<Recorded>,
    /// What was left as it was, and why.
    pub notes: Vec<String>,
    /// When, in nanoseconds since the epoch.
    pub written: u64,
}

/// A source of a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// Its URL or relative name.
    pub name: String,
    /// What the file looked like.
    pub stamp: Stamp,
    /// Hash of its content.
    pub hash: String,
}

/// The folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder below `upload`, which is created when it is missing.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn open(upload: &Path) -> Result<Self> {
        let path = upload.join(NAME);
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&path);
        made.map_err(|error| fault(format!("{} cannot be created: {error}", path.display())))?;
        Ok(Self { path })
    }

    /// The manifest of the request `key`, if what it names is there.
    pub fn manifest(&self, key: &str) -> Option<Manifest> {
        let text = fs::read(self.manifest_path(key)).ok()?;
        let manifest: Manifest = serde_json::from_slice(&text).ok()?;
        let is_whole = manifest.format == FORMAT
            && manifest
                .parts
                .iter()
                .chain(&manifest.bundle)
                .all(|name| is_output(name) && self.path.join(name).is_file())
            && manifest.bundle.iter().all(|name| self.has(name, manifest.size));
        is_whole.then_some(manifest)
    }

    /// Stores `text` and its compressed twins; answers the name that it got.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn store(&self, kind: Type, text: &str) -> Result<String> {
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let name = format!("{0}-{1}.{0}", kind.extension(), hash.get(..32).unwrap_or_default());
        if !self.has(&name, text.len() as u64) || !self.path.join(format!("{name}.gz")).is_file() {
            self.write(&format!("{name}.gz"), &gzipped(text.as_bytes())?)?;
            self.write(&name, text.as_bytes())?;
        }
        Ok(name)
    }

    /// Stores the answer to the request `key`. From here on it counts.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn answer(
        &self,
        key: &str,
        bundle: Option<(String, u64)>,
        parts: Vec<String>,
        sources: Vec<Recorded>,
        notes: Vec<String>,
        written: u64,
    ) -> Result<Manifest> {
        let (bundle, size) = bundle.map_or((None, 0), |(name, size)| (Some(name), size));
        let manifest = Manifest { format: FORMAT, bundle, size, parts, sources, notes, written };
        let before = self.manifest(key);
        let text = serde_json::to_vec_pretty(&manifest).map_err(|error| fault(error.to_string()))?;
        self.write(&format!("{key}.json"), &text)?;
        // The grace time of what nothing names any more begins now.
        let kept: HashSet<&String> = manifest.outputs().collect();
        before.iter().flat_map(Manifest::outputs).filter(|name| !kept.contains(name)).for_each(|name| {
            self.touch(name);
        });
        Ok(manifest)
    }

    /// Notes that the request `key` is still made, about once in `every`.
    pub fn note_use(&self, key: &str, every: Duration) {
        if self.age(&self.manifest_path(key)).is_some_and(|age| age > every) {
            self.touch(&format!("{key}.json"));
        }
    }

    /// Removes what nothing has named for `grace`, once an hour at most.
    pub fn tidy(&self, grace: Duration) {
        let marker = self.path.join(TIDIED);
        if self.age(&marker).is_some_and(|age| age < TIDY_EVERY.min(grace)) {
            return;
        }
        let _ = self.write(TIDIED, b"");
        let names = self.names();
        let is_old = |name: &String| self.age(&self.path.join(name)).is_some_and(|age| age > grace);
        let (manifests, others): (Vec<&String>, Vec<&String>) =
            names.iter().partition(|name| is_manifest(name));
        let (unused, used): (Vec<&String>, Vec<&String>) =
            manifests.into_iter().partition(|name| is_old(name));
        unused.into_iter().for_each(|name| self.remove(name));
        let living: Vec<Manifest> =
            used.iter().filter_map(|name| self.manifest(name.trim_end_matches(".json"))).collect();
        let named: HashSet<&String> = living.iter().flat_map(Manifest::outputs).collect();
        for name in others {
            let output = name.trim_end_matches(".gz").to_owned();
            let is_ours = is_output(&output) || name.starts_with(UNFINISHED);
            if is_ours && !named.contains(&output) && is_old(name) {
                self.remove(name);
            }
        }
    }

    /// Writes a file so that nobody ever sees half of it.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.path.join(format!("{UNFINISHED}{}-{number}-{name}", std::process::id()));
        let written =
            self.fill(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, self.path.join(name)));
        written.map_err(|error| {
            let _ = fs::remove_file(&unfinished);
            fault(format!("{} cannot be written: {error}", self.path.join(name).display()))
        })
    }

    fn fill(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o644);
        let mut file = match options.open(path) {
            // Of a process that had our number and died.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(path)?;
                options.open(path)?
            }
            other => other?,
        };
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn has(&self, name: &str, size: u64) -> bool {
        fs::metadata(self.path.join(name)).is_ok_and(|file| file.is_file() && file.len() == size)
    }

    fn touch(&self, name: &str) {
        for name in [name.to_owned(), format!("{name}.gz")] {
            let touched = File::options().append(true).open(self.path.join(name));
            let _ = touched.and_then(|file| file.set_modified(SystemTime::now()));
        }
    }

    fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.path.join(name));
    }

    fn age(&self, path: &Path) -> Option<Duration> {
        // A time in the future is no age.
        fs::symlink_metadata(path).ok()?.modified().ok()?.elapsed().ok()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn manifest_path(&self, key: &str) -> PathBuf {
        self.path.join(format!("{key}.json"))
    }
}

impl Manifest {
    fn outputs(&self) -> impl Iterator<Item = &String> {
        self.parts.iter().chain(&self.bundle)
    }
}

/// Whether a file of this name can be one of ours: a manifest may have been written by somebody else.
fn is_output(name: &str) -> bool {
    [Type::Css, Type::Js].iter().any(|kind| {
        let inner = name.strip_prefix(kind.extension()).and_then(|rest| rest.strip_suffix(kind.extension()));
        inner.and_then(|rest| rest.strip_prefix('-')?.strip_suffix('.')).is_some_and(is_hash)
    })
}

fn is_manifest(name: &str) -> bool {
    name.strip_suffix(".json").is_some_and(is_hash)
}

fn is_hash(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn gzipped(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::best());
    let done = encoder.write_all(bytes).and_then(|()| encoder.finish());
    done.map_err(|error| fault(format!("it cannot be compressed: {error}")))
}
