//! Every stylesheet and script of a WordPress: `SLBP_CORPUS=<folder> cargo test --test assets -- --ignored corpus`.

use std::fs;
use std::path::{Path, PathBuf};

use slbp::assets::css::minify::minify as minify_css;
use slbp::assets::js::minify::minify as minify_js;

use crate::stylesheets::tokens;

/// Larger files are left alone by default.
const LARGEST: u64 = 1 << 20;

fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders =
        vec![PathBuf::from(std::env::var_os("SLBP_CORPUS").expect("SLBP_CORPUS names a folder"))];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_meant = path.extension().is_some_and(|end| end == extension)
                && !path.to_string_lossy().contains(".min.");
            if path.is_dir() {
                folders.push(path);
            } else if is_meant && fs::metadata(&path).unwrap().len() <= LARGEST {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 100, "a WordPress has more than {} .{extension} files", found.len());
    found
}

/// The file's text; none for the few that are not UTF-8.
fn read(path: &Path) -> Option<String> {
    String::from_utf8(fs::read(path).unwrap()).ok()
}

#[test]
#[ignore = "needs SLBP_CORPUS"]
fn corpus_of_stylesheets_keeps_its_tokens() {
    let (mut before, mut after) = (0, 0);
    for path in files("css") {
        let Some(text) = read(&path) else { continue };
        let minified = minify_css(&text, &|_| None).unwrap().text;
        let expected = tokens(&text);
        let start = if expected.first().is_some_and(|token| token == "@charset") { 3 } else { 0 };
        assert!(tokens(&minified) == expected[start..], "{}", path.display());
        assert_eq!(minify_css(&minified, &|_| None).unwrap().text, minified, "{}", path.display());
        (before, after) = (before + text.len(), after + minified.len());
    }
    println!("stylesheets: {before} -> {after} bytes");
}

#[test]
#[ignore = "needs SLBP_CORPUS"]
fn corpus_of_scripts_parses_again() {
    let files = files("js");
    let half = files.len() / 2;
    let (one, other) = files.split_at(half);
    std::thread::scope(|scope| {
        for part in [one, other] {
            let worker = std::thread::Builder::new().stack_size(256 << 20);
            worker.spawn_scoped(scope, move || part.iter().for_each(|path| check_script(path))).unwrap();
        }
    });
}

fn check_script(path: &Path) {
    let Some(text) = read(path) else { return };
    // What is printed is parsed by minify() itself, which fails otherwise.
    let script = match minify_js(&text, false) {
        Err(slbp::assets::Unfit::Module) => return,
        other => other.unwrap_or_else(|unfit| panic!("{}: {unfit}", path.display())),
    };
    // One that somebody has minified may grow by a few bytes; it is not used then.
    assert!(script.text.len() <= text.len() + text.len() / 50, "{}", path.display());
    let again = minify_js(&script.text, false).unwrap();
    assert_eq!(again, script, "{}", path.display());
}
