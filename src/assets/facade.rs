//! Bundles on request.
//!
//! Owns: that the same request gets the same answer without work, that of all workers one builds what
//! is missing while the others wait for it, and that a source that changed is noticed.

use std::sync::Arc;
use std::time::Duration;

use super::Type;
use super::build::{Options, Text, build};
use super::css::join::{Part, imports, with_charset};
use super::folder::{self, Folder, Manifest, Recorded};
use super::settings::{Root, Settings};
use super::source::{Source, encoded, on_cdn, text};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::shm::{Acquired, Lease, Owner, Segment};

/// How long a bundle may take before another worker builds it too.
const LEASE: Duration = Duration::from_secs(30);

/// How long a worker waits for another's bundle, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(20);
const RECHECK: Duration = Duration::from_millis(5);

/// How often a request that is still made is noted, at most.
const NOTE_EVERY: Duration = Duration::from_secs(86_400);

/// The optimizer of a site's assets.
pub struct Assets {
    settings: Settings,
    /// Without shared memory every worker builds for itself.
    segment: Option<&'static Segment>,
    clock: Arc<dyn Clock>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Optimized {
    /// Where visitors find the result; `None` when they should go on with the original.
    pub url: Option<String>,
    /// What a person should know: which file was left as it is, and why. Only of what was built now.
    pub notes: Vec<String>,
}

/// What was asked for.
struct Request<'a> {
    kind: Type,
    names: &'a [String],
    alone: bool,
}

impl Assets {
    /// The optimizer with `settings`.
    pub fn new(settings: Settings, segment: Option<&'static Segment>, clock: Arc<dyn Clock>) -> Self {
        Self { settings, segment, clock }
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// One file for all of `names`, in their order.
    ///
    /// # Errors
    /// When one of them cannot be read or may not be published, or nothing can be written.
    pub fn bundle(&self, kind: Type, names: &[String]) -> Result<Optimized> {
        if names.is_empty() {
            return Err(Error::invalid("files", "expected at least one file"));
        }
        self.answer(&Request { kind, names, alone: false })
    }

    /// A minified copy of the one file `name`, if there is anything to gain and nothing to fear.
    ///
    /// # Errors
    /// As [`Self::bundle`].
    pub fn minified(&self, kind: Type, name: &str) -> Result<Optimized> {
        self.answer(&Request { kind, names: &[name.to_owned()], alone: true })
    }

    fn answer(&self, request: &Request<'_>) -> Result<Optimized> {
        if !self.settings.enabled {
            return Ok(Optimized { url: None, notes: Vec::new() });
        }
        let upload = self.upload()?;
        let folder = Folder::open(&upload.path)?;
        let sources = self.open(request)?;
        let key = self.key(request);
        if let Some(known) = self.known(&folder, &key, &sources) {
            return Ok(self.told(&known, Vec::new()));
        }
        let lease = match self.take_turn(&key, || self.known(&folder, &key, &sources)) {
            Turn::Done(known) => return Ok(self.told(&known, Vec::new())),
            Turn::Mine(lease) => lease,
        };
        let built = self.build(request, &folder, &key, sources);
        if let Some(lease) = lease
            && let Some(leases) = self.segment.and_then(|segment| segment.leases().ok())
        {
            leases.release(lease);
        }
        built.map(|manifest| self.told(&manifest, manifest.notes.clone()))
    }

    fn upload(&self) -> Result<&Root> {
        let upload = self.settings.upload.as_ref();
        let upload = upload
            .ok_or_else(|| Error::invalid("upload_dir", "expected the folder that bundles go below"))?;
        match upload.url {
            Some(_) => Ok(upload),
            None => Err(Error::invalid("upload_url", "expected the URL of upload_dir")),
        }
    }

    fn open(&self, request: &Request<'_>) -> Result<Vec<Source>> {
        request.names.iter().map(|name| Source::open(name, request.kind, &self.settings)).collect()
    }

    /// What the answer depends on beside the files' content.
    fn key(&self, request: &Request<'_>) -> String {
        let parts = (env!("CARGO_PKG_VERSION"), request.kind, request.alone, request.names, &self.settings);
        let hash = blake3::hash(format!("{parts:?}").as_bytes()).to_hex();
        hash.get(..32).unwrap_or_default().to_owned()
    }

    /// The answer that was given before, if its sources are as they were then.
    fn known(&self, folder: &Folder, key: &str, sources: &[Source]) -> Option<Manifest> {
        let manifest = folder.manifest(key)?;
        let is_same = |source: &Source, then: &Recorded| {
            let surely = source.stamp == then.stamp && !source.stamp.is_fresh_at(manifest.written);
            surely || source.read().is_ok_and(|bytes| hash(&bytes) == then.hash)
        };
        let all_same = manifest.sources.len() == sources.len()
            && sources.iter().zip(&manifest.sources).all(|(source, then)| is_same(source, then));
        if !all_same {
            return None;
        }
        folder.note_use(key, NOTE_EVERY.min(self.settings.grace / 2));
        Some(manifest)
    }

    fn build(
        &self,
        request: &Request<'_>,
        folder: &Folder,
        key: &str,
        sources: Vec<Source>,
    ) -> Result<Manifest> {
        let written = self.clock.now().nanos();
        let mut recorded = Vec::with_capacity(sources.len());
        let mut texts = Vec::with_capacity(sources.len());
        for source in sources {
            let bytes = source.read()?;
            let content = text(&bytes).map_err(|error| error.context(source.name.clone()))?.to_owned();
            let text = self.text(&source, content)?;
            recorded.push(Recorded { name: text.name.clone(), stamp: source.stamp, hash: hash(&bytes) });
            texts.push(text);
        }
        let built = build(texts, self.options(request))?;
        let mut urls = Vec::new();
        let mut parts = Vec::new();
        let bundle = match <[Part; 1]>::try_from(built.parts) {
            Ok([Part::Text(text)]) => Some(finished(request.kind, text)),
            Ok([Part::Elsewhere(_)]) if request.alone => None,
            Ok([Part::Elsewhere(url)]) => Some(imports(&[url])),
            Err(none) if none.is_empty() => None,
            Err(several) => {
                for part in several {
                    urls.push(match part {
                        Part::Elsewhere(url) => url,
                        Part::Text(text) => {
                            let name = folder.store(request.kind, &finished(request.kind, text))?;
                            parts.push(name.clone());
                            name
                        }
                    });
                }
                Some(finished(request.kind, imports(&urls)))
            }
        };
        let bundle = match bundle {
            Some(text) => Some((folder.store(request.kind, &text)?, text.len() as u64)),
            None => None,
        };
        let manifest = folder.answer(key, bundle, parts, recorded, built.notes, written)?;
        folder.tidy(self.settings.grace);
        Ok(manifest)
    }

    fn options(&self, request: &Request<'_>) -> Options {
        Options {
            kind: request.kind,
            alone: request.alone,
            shorten_names: self.settings.shorten_names,
            max_size: self.settings.max_size,
            abroad: self.settings.cdn_url.is_some(),
        }
    }

    /// A source with its place and the bundle's, both as URLs or, where one has none, both as paths.
    fn text(&self, source: &Source, text: String) -> Result<Text> {
        let upload = self.upload()?;
        let (above, file) = match &source.url {
            Some(url) => url.rsplit_once('/').unwrap_or((url, "")),
            None => ("", source.name.rsplit('/').next().unwrap_or_default()),
        };
        let in_urls = source.url.is_some();
        let from = if in_urls { above.to_owned() } else { encoded(&source.folder).unwrap_or_default() };
        let real = upload.path.canonicalize().unwrap_or_else(|_| upload.path.clone());
        let to = if in_urls { upload.url.clone() } else { encoded(&real) };
        let is_path = source.name.starts_with('/');
        Ok(Text {
            // No path of the server: manifests and bundles are public.
            name: source
                .url
                .clone()
                .unwrap_or_else(|| if is_path { file.to_owned() } else { source.name.clone() }),
            text,
            from: from + "/",
            to: format!("{}/{}/", to.unwrap_or_default(), folder::NAME),
            file: file.to_owned(),
        })
    }

    fn told(&self, manifest: &Manifest, notes: Vec<String>) -> Optimized {
        let url = manifest.bundle.as_ref().and_then(|name| {
            let upload = self.settings.upload.as_ref()?.url.as_ref()?;
            Some(on_cdn(&format!("{upload}/{}/{name}", folder::NAME), self.settings.cdn_url.as_deref()))
        });
        Optimized { url, notes }
    }

    /// Waits until another worker has done it, or it is this one's turn.
    fn take_turn(&self, key: &str, look: impl Fn() -> Option<Manifest>) -> Turn {
        let Some(segment) = self.segment else { return Turn::Mine(None) };
        let Ok(leases) = segment.leases() else { return Turn::Mine(None) };
        let lease = segment.hasher().key_of(&[b"assets", key.as_bytes()]);
        let owner = Owner::current();
        let began = std::time::Instant::now();
        loop {
            match leases.acquire(lease, owner, self.clock.now(), LEASE) {
                Acquired::Mine(mine) => {
                    // Who had it before may have done it.
                    let Some(known) = look() else { return Turn::Mine(Some(mine)) };
                    leases.release(mine);
                    return Turn::Done(known);
                }
                Acquired::Theirs { .. } if began.elapsed() < PATIENCE => std::thread::sleep(RECHECK),
                Acquired::Theirs { .. } | Acquired::Unavailable => return Turn::Mine(None),
            }
        }
    }
}

enum Turn {
    Mine(Option<Lease>),
    Done(Manifest),
}

fn finished(kind: Type, text: String) -> String {
    match kind {
        Type::Css => with_charset(text),
        Type::Js => text,
    }
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
