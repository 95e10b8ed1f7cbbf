//! From where a page loads its files.
//!
//! Owns: which URLs name files that a CDN can have: of the site itself, by their ending. Pages, scripts
//! of the server and other hosts stay.

use crate::assets::css::rebase::split_origin;
use crate::assets::source::on_cdn;

/// Endings of files that are the same for everybody.
const STATIC: &[&str] = &[
    "avif", "bmp", "css", "eot", "gif", "ico", "jpeg", "jpg", "js", "m4a", "m4v", "mov", "mp3", "mp4", "ogg",
    "ogv", "otf", "pdf", "png", "svg", "ttf", "wav", "webm", "webp", "woff", "woff2",
];

/// A CDN that mirrors the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cdn {
    /// URL of the site, without a slash at the end: files below it are moved.
    pub site: String,
    /// What stands for the site's origin on the CDN.
    pub url: String,
}

/// Whether a `<link>` with this `rel` loads a file.
pub fn is_for_files(rel: &str) -> bool {
    const FILES: [&str; 6] = ["stylesheet", "icon", "preload", "apple-touch-icon", "mask-icon", "prefetch"];
    rel.split_ascii_whitespace().any(|word| FILES.iter().any(|known| word.eq_ignore_ascii_case(known)))
}

impl Cdn {
    /// Where the CDN has `url`, or `None` when it stays.
    pub fn move_url(&self, url: &str) -> Option<String> {
        let trimmed = url.trim();
        let (origin, folder) = split_origin(&self.site);
        let bare = |origin: &'_ str| origin.find("//").map_or(0, |at| at + 2);
        let (host, path) = split_origin(trimmed);
        let is_ours =
            host.is_empty() || host.get(bare(host)..)?.eq_ignore_ascii_case(origin.get(bare(origin)..)?);
        let name = path.split(['?', '#']).next().unwrap_or(path);
        let below = name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let (_, ending) = name.rsplit_once('.')?;
        let is_static = STATIC.iter().any(|known| ending.eq_ignore_ascii_case(known));
        // What is not UTF-8 was replaced when it was read, and would not be found.
        let is_clean =
            !trimmed.contains(['\u{fffd}', '\\']) && !name.contains("/../") && path.starts_with('/');
        (is_ours && below && is_static && is_clean)
            .then(|| on_cdn(&format!("{origin}{path}"), Some(&self.url)))
    }

    /// The same for the candidates of a `srcset`.
    pub fn move_list(&self, list: &str) -> Option<String> {
        let mut moved = false;
        let words = list.split_inclusive(|c: char| c.is_ascii_whitespace()).map(|word| {
            let url = word.trim_end_matches(|c: char| c.is_ascii_whitespace() || c == ',');
            let rest = word.get(url.len()..).unwrap_or("");
            match self.move_url(url) {
                Some(new) => {
                    moved = true;
                    new + rest
                }
                None => word.to_owned(),
            }
        });
        let text: String = words.collect();
        moved.then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cdn() -> Cdn {
        Cdn { site: "https://a.test/blog".to_owned(), url: "https://cdn.test".to_owned() }
    }

    #[test]
    fn files_of_the_site_move() {
        for (url, moved) in [
            ("https://a.test/blog/x.png", "https://cdn.test/blog/x.png"),
            ("http://A.test/blog/x.PNG?v=1#a", "https://cdn.test/blog/x.PNG?v=1#a"),
            ("//a.test/blog/x.css", "https://cdn.test/blog/x.css"),
            ("/blog/a/x.js", "https://cdn.test/blog/a/x.js"),
        ] {
            assert_eq!(cdn().move_url(url).as_deref(), Some(moved), "{url}");
        }
    }

    #[test]
    fn everything_else_stays() {
        for url in [
            "https://b.test/blog/x.png",
            "/x.png",
            "/blogx/x.png",
            "x.png",
            "/blog/page",
            "/blog/x.php",
            "/blog/x.php?f=a.png",
            "https://cdn.test/blog/x.png",
            "data:image/png;base64,AA==",
            "",
            "/blog/../x.png",
            "https://a.test.evil/blog/x.png",
            "https://user@a.test/blog/x.png",
        ] {
            assert_eq!(cdn().move_url(url), None, "{url}");
        }
    }

    #[test]
    fn a_list_keeps_its_sizes() {
        let list = "/blog/a.png 1x, https://a.test/blog/b.png 2x,\n https://b.test/c.png 3x";
        let moved =
            "https://cdn.test/blog/a.png 1x, https://cdn.test/blog/b.png 2x,\n https://b.test/c.png 3x";
        assert_eq!(cdn().move_list(list).as_deref(), Some(moved));
        assert_eq!(cdn().move_list("a.png 1x"), None);
    }
}
