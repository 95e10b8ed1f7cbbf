//! Replacing addresses in text, in every spelling in which they stand there.
//!
//! An address is also written with JSON's `\/`, with that in JSON once more, and percent-encoded. All
//! pairs are replaced in one pass, the longest first, and what was put in is not looked at again, so two
//! addresses can be exchanged. `https://a.example` is not the beginning of `https://a.example.org`,
//! `https://a.example:8080` or `https://a.example-2`: those are other sites.

/// What is replaced by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    spellings: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Pairs {
    /// Pairs of an old text, which is not empty, and a new one.
    pub fn new(pairs: &[(String, String)]) -> Self {
        let mut spellings: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (old, new) in pairs.iter().filter(|(old, _)| !old.is_empty()) {
            for spell in [plain, in_json, in_json_twice, encoded, encoded_in_lower_case] {
                let spelling = (spell(old), spell(new));
                if !spellings.iter().any(|(known, _)| *known == spelling.0) {
                    spellings.push(spelling);
                }
            }
        }
        spellings.sort_by_key(|(old, _)| std::cmp::Reverse(old.len()));
        Self { spellings }
    }

    /// Whether one of them may stand in `text`.
    pub fn may_be_in(&self, text: &[u8]) -> bool {
        (0..text.len()).any(|at| self.at(text, at).is_some())
    }

    /// `text` with every old text replaced; `None` when there is none in it.
    pub fn replace(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut replaced: Option<Vec<u8>> = None;
        let (mut at, mut copied) = (0, 0);
        while at < text.len() {
            let Some((old, new)) = self.at(text, at) else {
                at += 1;
                continue;
            };
            let output = replaced.get_or_insert_with(|| Vec::with_capacity(text.len() + 64));
            output.extend_from_slice(text.get(copied..at).unwrap_or_default());
            output.extend_from_slice(new);
            at += old.len();
            copied = at;
        }
        let mut output = replaced?;
        output.extend_from_slice(text.get(copied..).unwrap_or_default());
        Some(output)
    }

    fn at(&self, text: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
        let rest = text.get(at..)?;
        let first = rest.first()?;
        let fits = |(old, _): &&(Vec<u8>, Vec<u8>)| {
            old.first() == Some(first)
                && rest.strip_prefix(old.as_slice()).is_some_and(|after| ends(old, after))
        };
        self.spellings.iter().find(fits).map(|(old, new)| (old.as_slice(), new.as_slice()))
    }
}

/// Whether `old` ends where `after` begins, rather than going on as another name.
fn ends(old: &[u8], after: &[u8]) -> bool {
    if !old.last().is_some_and(u8::is_ascii_alphanumeric) {
        return true;
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80;
    match after {
        [b'-' | b'_', ..] => false,
        [b'.', next, ..] => !is_name(next),
        [b':', next, ..] => !next.is_ascii_digit(),
        [next, ..] => !is_name(next),
        [] => true,
    }
}

fn plain(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn in_json(text: &str) -> Vec<u8> {
    text.replace('/', r"\/").into_bytes()
}

fn in_json_twice(text: &str) -> Vec<u8> {
    text.replace('/', r"\\\/").into_bytes()
}

fn encoded(text: &str) -> Vec<u8> {
    percent(text, |byte| format!("%{byte:02X}"))
}

fn encoded_in_lower_case(text: &str) -> Vec<u8> {
    percent(text, |byte| format!("%{byte:02x}"))
}

fn percent(text: &str, spell: impl Fn(u8) -> String) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => encoded.push(byte),
            false => encoded.extend_from_slice(spell(byte).as_bytes()),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pairs: &[(&str, &str)], text: &str) -> String {
        let owned: Vec<_> = pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
        let changed = Pairs::new(&owned).replace(text.as_bytes());
        changed.map_or_else(|| text.to_owned(), |bytes| String::from_utf8(bytes).unwrap())
    }

    const MOVE: [(&str, &str); 1] = [("https://old.example", "http://new.example:8080/shop")];

    #[test]
    fn every_spelling_is_replaced_in_its_own() {
        for (text, expected) in [
            (r#"<a href="https://old.example/x">"#, r#"<a href="http://new.example:8080/shop/x">"#),
            (r#"{"u":"https:\/\/old.example\/x"}"#, r#"{"u":"http:\/\/new.example:8080\/shop\/x"}"#),
            (
                r#"{"u":"{\"v\":\"https:\\\/\\\/old.example\"}"}"#,
                r#"{"u":"{\"v\":\"http:\\\/\\\/new.example:8080\\\/shop\"}"}"#,
            ),
            ("?to=https%3A%2F%2Fold.example%2Fx", "?to=http%3A%2F%2Fnew.example%3A8080%2Fshop%2Fx"),
            ("?to=https%3a%2f%2fold.example", "?to=http%3a%2f%2fnew.example%3a8080%2fshop"),
            (
                "See https://old.example. Or https://old.example",
                "See http://new.example:8080/shop. Or http://new.example:8080/shop",
            ),
        ] {
            assert_eq!(replaced(&MOVE, text), expected);
        }
    }

    #[test]
    fn another_site_that_begins_alike_is_left_alone() {
        for text in [
            "https://old.example.org/",
            "https://old.examples/",
            "https://old.example-2/",
            "https://old.example:8443/",
            "https:\\/\\/old.example.org",
            "http://old.example/",
            "https://old.exampl",
        ] {
            assert_eq!(replaced(&MOVE, text), text);
        }
    }

    #[test]
    fn two_can_be_exchanged_and_the_longest_goes_first() {
        assert_eq!(replaced(&[("//a", "//b"), ("//b", "//a")], "//a //b //a"), "//b //a //b");
        assert_eq!(replaced(&[("//a", "//x"), ("//a/b", "//y")], "//a/b //a/c"), "//y //x/c");
    }
}
