//! The house rules that a compiler does not hold: who may import whom, who may be unsafe, and who
//! may name the PHP bindings. DESIGN: `binding -> domains -> {ports, shm, config, remote} -> {error, clock}`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by floor; a module may import from lower floors only.
const GROUND: &[&str] = &["error", "clock"];
const SHARED: &[&str] = &["ports", "shm", "config", "remote"];
const DOMAINS: &[&str] =
    &["cache", "limiter", "queue", "session", "health", "metrics", "alerts", "query", "assets", "backup"];

/// What shared modules may import beside the ground floor.
const SHARED_MAY_IMPORT: &[(&str, &[&str])] =
    &[("ports", &[]), ("shm", &[]), ("config", &["ports"]), ("remote", &["config", "ports", "shm"])];

/// Domains that read other domains' plain `Snapshot` structs, and nothing else of them.
const SNAPSHOT_READERS: &[&str] = &["health", "metrics", "alerts"];

struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    assert!(found.len() > 5, "the scan found no sources below {}", root.display());
    found
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let first = path.strip_prefix(root).unwrap().components().next().unwrap();
            let module = first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let text = code_of(&fs::read_to_string(&path).unwrap());
            found.push(Source { path, module, text });
        }
    }
}

/// The source without comments, so that prose may name anything.
fn code_of(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// The top-level modules that this code names through `crate::`, in paths and in nested imports.
fn imports(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let list = rest.strip_prefix('{').map(|inner| inner.split('}').next().unwrap_or(inner));
        for part in list.unwrap_or(rest).split(',').take(if list.is_some() { usize::MAX } else { 1 }) {
            let name: String =
                part.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            names.push(name);
        }
    }
    names
}

fn allowed(module: &str, import: &str) -> bool {
    if import == module || GROUND.contains(&import) {
        return true;
    }
    if let Some((_, may)) = SHARED_MAY_IMPORT.iter().find(|(name, _)| *name == module) {
        return may.contains(&import);
    }
    DOMAINS.contains(&module) && SHARED.contains(&import)
}

#[test]
fn calls_only_go_down() {
    let known: Vec<&str> = [GROUND, SHARED, DOMAINS, &["lib", "binding"]].concat();
    for source in sources() {
        assert!(
            known.contains(&source.module.as_str()),
            "{}: a new top-level module needs its floor in tests/architecture.rs",
            source.path.display()
        );
        if source.module == "binding" || source.module == "lib" {
            continue;
        }
        for import in imports(&source.text) {
            let reads_snapshot = SNAPSHOT_READERS.contains(&source.module.as_str())
                && DOMAINS.contains(&import.as_str())
                && source.text.contains("Snapshot");
            assert!(
                allowed(&source.module, &import) || reads_snapshot,
                "{} ({}) may not import crate::{import}",
                source.path.display(),
                source.module
            );
        }
    }
}

#[test]
fn php_is_named_only_in_the_binding() {
    for source in sources().iter().filter(|source| source.module != "binding") {
        assert!(!source.text.contains("ext_php_rs"), "{} names ext_php_rs", source.path.display());
    }
}

#[test]
fn unsafe_code_lives_only_in_shm_and_the_binding() {
    for source in sources().iter().filter(|s| s.module != "binding" && s.module != "shm") {
        let words = source.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        assert!(!words.into_iter().any(|word| word == "unsafe"), "{} is unsafe", source.path.display());
    }
}

#[test]
fn no_shared_state_hides_in_a_process_wide_map() {
    for source in sources() {
        let hidden = source.text.lines().any(|line| line.contains("static ") && line.contains("DashMap"));
        assert!(
            !hidden,
            "{}: a process-wide DashMap is not shared by php-fpm workers",
            source.path.display()
        );
    }
}

#[test]
fn every_module_says_what_it_owns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for source in sources() {
        let text = fs::read_to_string(&source.path).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} has no module doc",
            source.path.strip_prefix(&root).unwrap().display()
        );
    }
}

#[test]
fn the_scanner_sees_what_it_should() {
    let names = imports("use crate::{error::Error, shm};\nlet x = crate::cache::get();");
    assert_eq!(names, ["error", "shm", "cache"]);
    assert!(!allowed("limiter", "cache") && !allowed("shm", "config") && allowed("cache", "remote"));
}
