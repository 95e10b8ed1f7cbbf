//! Bundles in a folder.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use slbp::assets::settings::Settings;
use slbp::assets::{Assets, Optimized, Type};
use slbp::clock::SystemClock;
use slbp::error::Kind;
use slbp::ports::Detached;
use slbp::shm::{Plan, Segment};
use tempfile::TempDir;

/// A plugin's folder and an upload folder.
struct Site {
    folder: TempDir,
    segment: &'static Segment,
    more: Value,
}

impl Site {
    fn new() -> Self {
        Self::with(json!({}))
    }

    fn with(more: Value) -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("plugin/css")).unwrap();
        fs::create_dir_all(folder.path().join("uploads")).unwrap();
        Self { folder, segment: Box::leak(Box::new(Segment::anonymous(&Plan::smallest()).unwrap())), more }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path("plugin").join(name), text).unwrap();
        self
    }

    fn assets(&self) -> Assets {
        let mut config = json!({
            "plugin_path": self.path("plugin"),
            "plugin_url": "https://a.test/wp-content/plugins/p",
            "upload_dir": self.path("uploads"),
            "upload_url": "https://a.test/wp-content/uploads",
        });
        for (key, value) in self.more.as_object().unwrap() {
            config[key] = value.clone();
        }
        let settings = Settings::read(config, &Detached::default()).unwrap();
        Assets::new(settings, Some(self.segment), Arc::new(SystemClock))
    }

    fn bundle(&self, kind: Type, names: &[&str]) -> Optimized {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.assets().bundle(kind, &names).unwrap()
    }

    fn css(&self, names: &[&str]) -> String {
        self.bundle(Type::Css, names).url.unwrap()
    }

    fn refused(&self, kind: Type, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let error = self.assets().bundle(kind, &names).unwrap_err();
        assert_eq!(error.kind(), Kind::Assets);
        error.to_string()
    }

    fn published(&self, url: &str) -> String {
        fs::read_to_string(self.cached(url)).unwrap()
    }

    fn cached(&self, url: &str) -> PathBuf {
        self.path("uploads/slbp-cache").join(url.rsplit('/').next().unwrap())
    }

    fn cached_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("uploads/slbp-cache")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn the_same_input_has_the_same_url_and_a_change_another() {
    let site = Site::new();
    site.file("css/a.css", "a { b : url(../x.png) }").file("b.css", "c { d : e }");
    let first = site.css(&["css/a.css", "b.css"]);
    assert!(first.starts_with("https://a.test/wp-content/uploads/slbp-cache/css-"), "{first}");
    assert_eq!(site.published(&first), "a{b:url(../../plugins/p/x.png)}c{d:e}");
    let written = fs::metadata(site.cached(&first)).unwrap().modified().unwrap();
    assert_eq!(site.css(&["css/a.css", "b.css"]), first);
    assert_eq!(fs::metadata(site.cached(&first)).unwrap().modified().unwrap(), written, "no work twice");
    // Of the same length, within the same tick of the clock.
    site.file("b.css", "c { d : f }");
    let second = site.css(&["css/a.css", "b.css"]);
    assert_ne!(second, first);
    assert!(site.published(&second).ends_with("c{d:f}"));
    assert!(site.cached(&first).is_file(), "pages that name it may be cached");
    assert_ne!(site.css(&["b.css", "css/a.css"]), second, "the order counts");
}

#[test]
fn a_bundle_has_a_compressed_twin_and_a_manifest() {
    let site = Site::new();
    site.file("a.css", "/*! keep */ a { b : \"\u{e9}\" }");
    let url = site.css(&["a.css"]);
    let text = site.published(&url);
    assert_eq!(text, "@charset \"UTF-8\";/*! keep */a{b:\"\u{e9}\"}");
    let mut unpacked = String::new();
    let twin = fs::File::open(format!("{}.gz", site.cached(&url).display())).unwrap();
    flate2::read::GzDecoder::new(twin).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked, text);
    let manifest = site.cached_names().into_iter().find(|name| name.ends_with(".json")).unwrap();
    let manifest = fs::read_to_string(site.cached(&manifest)).unwrap();
    assert!(manifest.contains("https://a.test/wp-content/plugins/p/a.css"), "{manifest}");
    assert!(!manifest.contains(site.folder.path().to_str().unwrap()), "no paths of the server: {manifest}");
    assert!(site.cached_names().iter().all(|name| !name.starts_with(".writing")));
}

#[test]
fn what_may_not_be_published_is_refused() {
    let site = Site::new();
    site.file("a.css", "a{}").file("secret.php", "<?php // password").file("latin.css", b"a{b:\"\xe9\"}");
    fs::write(site.path("outside.css"), "x{}").unwrap();
    symlink(site.path("outside.css"), site.path("plugin/link.css")).unwrap();
    symlink(site.path("plugin/secret.php"), site.path("plugin/php.css")).unwrap();
    symlink(site.path("plugin/loop.css"), site.path("plugin/loop.css")).unwrap();
    fs::create_dir(site.path("plugin/folder.css")).unwrap();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        site.path("plugin/pipe.css"),
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
    )
    .unwrap();
    let outside = site.path("outside.css");
    for (name, reason) in [
        ("missing.css", "cannot be read"),
        ("../outside.css", "outside"),
        (outside.to_str().unwrap(), "outside"),
        ("link.css", "outside"),
        ("php.css", "no .css file"),
        ("secret.php", "no .css file"),
        ("loop.css", "cannot be read"),
        ("folder.css", "no regular file"),
        ("pipe.css", "no regular file"),
        ("latin.css", "not UTF-8"),
        ("a.css\0.php", "no file name"),
        ("", "no file name"),
        ("https://b.test/a.css", "no folder that is known"),
        ("https://a.test/wp-content/plugins/p/../../../../etc/passwd.css", "cannot be read"),
        ("https://a.test/wp-content/plugins/p/..%2f..%2foutside.css", "cannot be read"),
        ("https://a.test/wp-content/plugins/p/%2fetc%2fpasswd", "cannot be read"),
        ("https://a.test/wp-content/plugins/pp/a.css", "no folder that is known"),
    ] {
        let error = site.refused(Type::Css, &["a.css", name]);
        assert!(error.contains(reason), "{name:?}: {error}");
    }
    let url = "https://a.test/wp-content/plugins/p/a.css?ver=1.2#x";
    assert!(site.bundle(Type::Css, &[url]).url.is_some());
}

#[test]
fn what_cannot_be_minified_goes_out_as_it_is_and_is_reported() {
    let site = Site::new();
    site.file("a.css", "a { }").file("deep.css", "(".repeat(10_000)).file("b.css", "b { }");
    let answer = site.bundle(Type::Css, &["a.css", "deep.css", "b.css"]);
    assert!(answer.notes[0].contains("deep.css") && answer.notes[0].contains("nested"), "{:?}", answer.notes);
    let text = site.published(&answer.url.unwrap());
    let imports: Vec<&str> = text.split(';').filter(|import| !import.is_empty()).collect();
    assert_eq!(imports[1], "@import \"../../plugins/p/deep.css\"");
    assert_eq!(site.published(imports[0].split('"').nth(1).unwrap()), "a{}");
    assert_eq!(site.published(imports[2].split('"').nth(1).unwrap()), "b{}");
    assert!(site.bundle(Type::Css, &["a.css", "deep.css", "b.css"]).notes.is_empty(), "once");

    site.file("bad.js", "var = ;").file("good.js", "f( 1 );").file("module.js", "export default 1;");
    let answer = site.bundle(Type::Js, &["bad.js", "good.js"]);
    assert!(answer.notes[0].contains("bad.js"), "{:?}", answer.notes);
    let text = site.published(&answer.url.unwrap());
    assert!(text.contains("'var = ;") && text.contains("try{f(1);"), "{text}");
    assert!(site.refused(Type::Js, &["module.js", "good.js"]).contains("module"));
}

#[test]
fn one_file_for_one_is_made_only_when_that_helps() {
    let site = Site::new();
    site.file("a.js", "f( 1 ); // x")
        .file("a.min.js", "f( 1 );")
        .file("bad.js", "var = ;")
        .file("module.js", "export default 1;");
    site.file("placed.js", "load( document.currentScript.src );")
        .file("a.css", "a { }")
        .file("deep.css", "(".repeat(10_000));
    let minified = |kind, name: &str| site.assets().minified(kind, name).unwrap();
    assert_eq!(site.published(&minified(Type::Js, "a.js").url.unwrap()), "f(1);");
    assert_eq!(site.published(&minified(Type::Css, "a.css").url.unwrap()), "a{}");
    for name in ["a.min.js", "bad.js", "module.js", "placed.js"] {
        let answer = minified(Type::Js, name);
        let reported = answer.notes.iter().any(|note| note.contains(name));
        assert!(answer.url.is_none() && reported == (name != "a.min.js"), "{answer:?}");
        let again = minified(Type::Js, name);
        assert!(again.url.is_none() && again.notes.is_empty(), "not parsed again: {again:?}");
    }
    assert!(minified(Type::Css, "deep.css").url.is_none());
}

#[test]
fn a_cdn_serves_the_bundle_and_what_it_names() {
    let site = Site::with(json!({"cdn_url": "https://cdn.test/site1/"}));
    site.file("a.css", "a{b:url(x.png);c:url(/y.png)}");
    let url = site.css(&["a.css"]);
    assert!(url.starts_with("https://cdn.test/site1/wp-content/uploads/slbp-cache/css-"), "{url}");
    assert_eq!(site.published(&url), "a{b:url(../../plugins/p/x.png);c:url(https://a.test/y.png)}");
}

#[test]
fn without_urls_of_the_sources_the_folders_tell() {
    let site = Site::with(json!({"plugin_url": ""}));
    site.file("css/a.css", "a{b:url(../x.png)}");
    assert_eq!(site.published(&site.css(&["css/a.css"])), "a{b:url(../../plugin/x.png)}");
}

#[test]
fn switched_off_the_originals_are_used() {
    let site = Site::with(json!({"asset_optimization": false}));
    assert_eq!(site.bundle(Type::Css, &["missing.css"]).url, None);
}

#[test]
fn a_bundle_that_was_removed_or_cut_short_is_made_again() {
    let site = Site::new();
    site.file("a.css", "a { b : c }");
    let url = site.css(&["a.css"]);
    fs::remove_file(site.cached(&url)).unwrap();
    assert_eq!(site.published(&site.css(&["a.css"])), "a{b:c}");
    fs::write(site.cached(&url), "a{").unwrap();
    assert_eq!(site.published(&site.css(&["a.css"])), "a{b:c}");
}

#[test]
fn a_manifest_of_somebody_else_names_nothing_of_his() {
    let site = Site::new();
    site.file("a.css", "a { b : c }");
    let url = site.css(&["a.css"]);
    let name = site.cached_names().into_iter().find(|name| name.ends_with(".json")).unwrap();
    fs::write(site.path("uploads/evil.css"), "e{}").unwrap();
    let path = site.path("uploads/slbp-cache").join(name);
    let evil = fs::read_to_string(&path).unwrap().replace(url.rsplit('/').next().unwrap(), "../evil.css");
    fs::write(&path, evil).unwrap();
    assert_eq!(site.css(&["a.css"]), url);
    fs::write(&path, "{").unwrap();
    assert_eq!(site.css(&["a.css"]), url);
}

fn age(path: &Path, days: u64) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 86_400);
    fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn old_files_go_after_the_grace_time() {
    let site = Site::new();
    site.file("a.css", "a { b : 1 }").file("b.css", "b{}");
    let first = site.css(&["a.css"]);
    age(&site.cached(&first), 100);
    site.file("a.css", "a { b : 2 }");
    let second = site.css(&["a.css"]);
    assert!(site.cached(&first).exists(), "it was in use until now");

    let foreign = site.path("uploads/slbp-cache/notes.txt");
    fs::write(&foreign, "mine").unwrap();
    for name in site.cached_names() {
        age(&site.path("uploads/slbp-cache").join(name), 8);
    }
    assert_eq!(site.css(&["a.css"]), second, "this is still asked for");
    site.css(&["b.css"]);
    assert!(!site.cached(&first).exists() && !site.cached(&format!("{first}.gz")).exists());
    assert!(site.cached(&second).exists() && foreign.exists());
}

#[test]
fn of_many_workers_one_builds() {
    let site = Site::new();
    let large = "a { b : c }\n".repeat(20_000);
    site.file("a.css", &large);
    let urls: Vec<Optimized> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..100).map(|_| scope.spawn(|| site.bundle(Type::Css, &["a.css"]))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(urls.iter().all(|answer| answer.url == urls[0].url));
    // bundle, twin, manifest, the marker of tidying
    assert_eq!(site.cached_names().len(), 4, "{:?}", site.cached_names());
}

#[test]
fn an_upload_folder_that_cannot_be_written_is_an_error() {
    let site = Site::new();
    site.file("a.css", "a{}");
    fs::write(site.path("uploads/slbp-cache"), "a file").unwrap();
    assert!(site.refused(Type::Css, &["a.css"]).contains("slbp-cache"));
}
