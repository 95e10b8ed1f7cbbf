//! What becomes of the relative URLs of a stylesheet that moves.
//!
//! Owns: URL arithmetic. Results are relative to the folder of the bundle where they can be, so that
//! they hold on a CDN that mirrors the site under whatever prefix. Refuses to do: look whether
//! anything is there.

/// From which folder to which one a stylesheet moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move<'a> {
    /// URL of the folder that the stylesheet was written for.
    pub from: &'a str,
    /// URL of the folder that the bundle is in.
    pub to: &'a str,
    /// The bundle is fetched from another host: what begins with `/` then needs the name of ours.
    pub abroad: bool,
}

impl Move<'_> {
    /// What the bundle must say for `url`, or `None` when that stays as it is.
    pub fn rebase(&self, url: &str) -> Option<String> {
        let trimmed = url.trim_matches([' ', '\t', '\n', '\r', '\x0c']);
        if trimmed.is_empty() || trimmed.starts_with('#') || trimmed.starts_with("//") || has_scheme(trimmed)
        {
            return None;
        }
        let (origin, folder) = split_origin(self.from);
        if trimmed.starts_with('/') {
            return (self.abroad && !origin.is_empty()).then(|| format!("{origin}{trimmed}"));
        }
        let (path, rest) = trimmed.split_at(trimmed.find(['?', '#']).unwrap_or(trimmed.len()));
        let target = normalized(folder, path);
        let (home, bundle) = split_origin(self.to);
        if origin == home {
            return Some(relative(&normalized(bundle, ""), &target) + rest);
        }
        Some(format!("{origin}/{}{rest}", target.join("/")))
    }
}

/// `scheme://host` and the rest, which begins with a slash; no origin for a path.
pub fn split_origin(url: &str) -> (&str, &str) {
    let host = url.find("://").map(|at| at + 3).or_else(|| url.starts_with("//").then_some(2));
    let Some(host) = host else { return ("", url) };
    let after = url.get(host..).unwrap_or("");
    url.split_at(host + after.find('/').unwrap_or(after.len()))
}

fn has_scheme(url: &str) -> bool {
    let Some(colon) = url.find(':') else { return false };
    let scheme = url.get(..colon).unwrap_or("");
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// The segments of `path` seen from `folder`; an empty last one stands for a folder.
fn normalized<'a>(folder: &'a str, path: &'a str) -> Vec<&'a str> {
    let mut segments: Vec<&str> = folder.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut is_folder = true;
    for segment in path.split('/') {
        is_folder = false;
        match segment {
            "" | "." => is_folder = true,
            ".." => {
                segments.pop();
                is_folder = true;
            }
            _ => segments.push(segment),
        }
    }
    if is_folder {
        segments.push("");
    }
    segments
}

/// `target` seen from `folder`, both as [`normalized`] writes them.
fn relative(folder: &[&str], target: &[&str]) -> String {
    let folder = folder.split_last().map_or(folder, |(_, above)| above);
    let own = target.len().saturating_sub(1);
    let shared = folder.iter().zip(target.iter().take(own)).take_while(|(a, b)| a == b).count();
    let mut path = "../".repeat(folder.len() - shared);
    path += &target.get(shared..).unwrap_or_default().join("/");
    if path.is_empty() { String::from("./") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: Move<'_> = Move {
        from: "https://a.test/wp-content/plugins/p/css/",
        to: "https://a.test/wp-content/uploads/slbp-cache/",
        abroad: false,
    };

    #[test]
    fn relative_urls_are_seen_from_the_bundle() {
        for (url, expected) in [
            ("x.png", "../../plugins/p/css/x.png"),
            ("../img/x.png?v=1#a", "../../plugins/p/img/x.png?v=1#a"),
            ("./../../q/./y.svg#icon", "../../plugins/q/y.svg#icon"),
            (" ../fonts/ ", "../../plugins/p/fonts/"),
            ("../../../../../../etc/x", "../../../etc/x"),
            ("?v=1", "../../plugins/p/css/?v=1"),
        ] {
            assert_eq!(HERE.rebase(url).as_deref(), Some(expected), "{url}");
        }
    }

    #[test]
    fn what_does_not_depend_on_the_folder_stays() {
        for url in [
            "",
            "#id",
            "//b.test/x",
            "/x.png",
            "data:image/png;base64,AA==",
            "https://b.test/x",
            "about:blank",
        ] {
            assert_eq!(HERE.rebase(url), None, "{url}");
        }
    }

    #[test]
    fn other_hosts_are_named() {
        let abroad = Move { abroad: true, ..HERE };
        assert_eq!(abroad.rebase("/x.png").as_deref(), Some("https://a.test/x.png"));
        let from_elsewhere = Move { from: "https://b.test/css/", ..HERE };
        assert_eq!(from_elsewhere.rebase("../x.png").as_deref(), Some("https://b.test/x.png"));
    }

    /// What a browser makes of `url` on a page at `base`.
    fn resolved(base: &str, url: &str) -> String {
        let (origin, folder) = split_origin(base);
        let path = url.split_at(url.find(['?', '#']).unwrap_or(url.len())).0;
        format!("{origin}/{}", normalized(folder, path).join("/"))
    }

    proptest! {
        #[test]
        fn a_browser_finds_the_same_file(
            from in "/([a-c]/){0,4}", to in "/([a-c]/){0,4}", url in "(\\.\\./|\\./|[a-c]/){0,5}[a-d]{0,2}",
        ) {
            let (from, to) = (format!("https://a.test{from}"), format!("https://a.test{to}"));
            let moved = Move { from: &from, to: &to, abroad: false }.rebase(&url);
            let seen = moved.as_deref().unwrap_or(&url);
            prop_assume!(!url.is_empty());
            prop_assert_eq!(resolved(&to, seen), resolved(&from, &url));
        }

        #[test]
        fn anything_is_answered(from in ".{0,40}", to in ".{0,40}", url in ".{0,60}", abroad: bool) {
            let _ = Move { from: &from, to: &to, abroad }.rebase(&url);
        }
    }
}
