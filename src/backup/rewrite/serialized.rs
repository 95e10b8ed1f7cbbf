//! Replacing text inside what PHP's `serialize()` wrote, with every length made right again.
//!
//! A parser over bytes: nothing is unserialized, no class is loaded, no constructor runs. A string in it
//! is a value like any other, so serialized text inside serialized text is followed to its end. Keys of
//! arrays, names of properties and names of classes stay. What does not parse to its very last byte is
//! malformed, and left as it is: a wrong length in it would lose all of it.

use super::text::Pairs;

/// The deepest nesting that is followed; PHP's own limit is 4096.
const DEPTH: usize = 256;

/// What became of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// It has none of the old texts.
    Same,
    /// It is this now.
    Changed(Vec<u8>),
    /// It looks serialized and is not, or has a part that cannot be changed: it was left as it is.
    Malformed,
}

/// Replaces `pairs` in `value`, which is text or serialized.
pub fn rewrite(pairs: &Pairs, value: &[u8]) -> Rewritten {
    within(pairs, value, 0)
}

fn within(pairs: &Pairs, value: &[u8], depth: usize) -> Rewritten {
    if !pairs.may_be_in(value) {
        return Rewritten::Same;
    }
    if !looks_serialized(value) {
        return pairs.replace(value).map_or(Rewritten::Same, Rewritten::Changed);
    }
    let mut parser =
        Parser { pairs, input: value, at: 0, output: Vec::with_capacity(value.len() + 64), depth };
    match parser.value() {
        Some(()) if parser.at == value.len() && parser.output == value => Rewritten::Same,
        Some(()) if parser.at == value.len() => Rewritten::Changed(parser.output),
        _ => Rewritten::Malformed,
    }
}

/// As `is_serialized()` of WordPress begins: a letter, a colon, a digit, and the end that belongs to it.
fn looks_serialized(value: &[u8]) -> bool {
    match value {
        [b'a' | b'O' | b'C' | b'E' | b's' | b'S', b':', digit, .., b'}' | b';'] => digit.is_ascii_digit(),
        _ => false,
    }
}

struct Parser<'a> {
    pairs: &'a Pairs,
    input: &'a [u8],
    at: usize,
    output: Vec<u8>,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// One value, copied with its strings replaced; `None` when it is malformed.
    fn value(&mut self) -> Option<()> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        match self.peek()? {
            b'N' => self.literal(b"N;"),
            b'b' | b'i' | b'r' | b'R' => self.scalar(|byte| byte.is_ascii_digit() || byte == b'-'),
            b'd' => self.scalar(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)),
            b's' => self.string(),
            b'a' => self.array(),
            b'O' => self.object(),
            b'E' => self.case(),
            // Custom formats have lengths that only their class knows; escaped strings are not written by
            // any version that is alive.
            _ => None,
        }?;
        self.depth -= 1;
        Some(())
    }

    fn scalar(&mut self, allowed: impl Fn(u8) -> bool) -> Option<()> {
        let start = self.at;
        self.at += 1;
        self.skip(b":")?;
        let digits = self.at;
        while self.peek().is_some_and(&allowed) {
            self.at += 1;
        }
        if self.at == digits {
            return None;
        }
        self.skip(b";")?;
        self.copy(start)
    }

    fn string(&mut self) -> Option<()> {
        let contents = self.quoted(b"s:")?;
        self.skip(b";")?;
        let replaced = match within(self.pairs, contents, self.depth) {
            Rewritten::Changed(replaced) => replaced,
            // One string that cannot be changed is no reason to leave the others: its length is right.
            Rewritten::Same | Rewritten::Malformed => contents.to_vec(),
        };
        self.output.extend_from_slice(format!("s:{}:\"", replaced.len()).as_bytes());
        self.output.extend_from_slice(&replaced);
        self.output.extend_from_slice(b"\";");
        Some(())
    }

    fn array(&mut self) -> Option<()> {
        let start = self.at;
        self.skip(b"a:")?;
        let count = self.number()?;
        self.skip(b":{")?;
        self.copy(start)?;
        self.members(count)
    }

    fn object(&mut self) -> Option<()> {
        let start = self.at;
        self.quoted(b"O:")?;
        self.skip(b":")?;
        let count = self.number()?;
        self.skip(b":{")?;
        self.copy(start)?;
        self.members(count)
    }

    fn case(&mut self) -> Option<()> {
        let start = self.at;
        self.quoted(b"E:")?;
        self.skip(b";")?;
        self.copy(start)
    }

    fn members(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            self.key()?;
            self.value()?;
        }
        self.literal(b"}")
    }

    fn key(&mut self) -> Option<()> {
        let start = self.at;
        match self.peek()? {
            b'i' => self.scalar(|byte| byte.is_ascii_digit() || byte == b'-'),
            b's' => {
                self.quoted(b"s:")?;
                self.skip(b";")?;
                self.copy(start)
            }
            _ => None,
        }
    }

    /// `<tag>LENGTH:"…"`, and what is between the quotes.
    fn quoted(&mut self, tag: &[u8]) -> Option<&'a [u8]> {
        self.skip(tag)?;
        let length = self.number()?;
        self.skip(b":\"")?;
        let end = self.at.checked_add(length)?;
        let contents = self.input.get(self.at..end)?;
        self.at = end;
        self.skip(b"\"")?;
        Some(contents)
    }

    fn number(&mut self) -> Option<usize> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        std::str::from_utf8(self.input.get(start..self.at)?).ok()?.parse().ok()
    }

    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        let start = self.at;
        self.skip(expected)?;
        self.copy(start)
    }

    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.input.get(self.at..)?.starts_with(expected).then(|| self.at += expected.len())
    }

    fn copy(&mut self, start: usize) -> Option<()> {
        self.output.extend_from_slice(self.input.get(start..self.at)?);
        Some(())
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> Pairs {
        Pairs::new(&[("https://old.example".to_owned(), "https://much-longer.example".to_owned())])
    }

    fn changed(text: &str) -> String {
        match rewrite(&pairs(), text.as_bytes()) {
            Rewritten::Changed(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}: {text}"),
        }
    }

    #[test]
    fn lengths_are_those_of_bytes_and_nested_values_are_followed() {
        assert_eq!(
            changed(r#"a:2:{i:0;s:19:"https://old.example";s:1:"é";O:3:"Foo":1:{s:6:" * url";s:21:"https://old.example/ü";}}"#.replace("s:1:\"é\"", "s:2:\"é\"").replace("s:21", "s:22").as_str()),
            "a:2:{i:0;s:27:\"https://much-longer.example\";s:2:\"é\";O:3:\"Foo\":1:{s:6:\" * url\";s:30:\"https://much-longer.example/ü\";}}"
        );
        let inner = r#"a:1:{s:1:"u";s:19:"https://old.example";}"#;
        let outer = format!("a:1:{{i:0;s:{}:\"{inner}\";}}", inner.len());
        let new = r#"a:1:{s:1:"u";s:27:"https://much-longer.example";}"#;
        assert_eq!(changed(&outer), format!("a:1:{{i:0;s:{}:\"{new}\";}}", new.len()));
    }

    #[test]
    fn json_inside_is_text_and_plain_text_too() {
        assert_eq!(
            changed(r#"a:1:{i:0;s:29:"{"u":"https:\/\/old.example"}";}"#),
            r#"a:1:{i:0;s:37:"{"u":"https:\/\/much-longer.example"}";}"#
        );
        assert_eq!(changed("see https://old.example"), "see https://much-longer.example");
        assert_eq!(changed("a:b https://old.example;"), "a:b https://much-longer.example;");
    }

    #[test]
    fn what_is_malformed_is_left_alone_and_said_to_be() {
        for text in [
            r#"a:1:{i:0;s:18:"https://old.example";}"#,
            r#"a:2:{i:0;s:19:"https://old.example";}"#,
            r#"a:1:{i:0;s:19:"https://old.example";} }"#,
            r#"O:8:"Anything":1:{s:1:"u";s:99:"https://old.example";}"#,
            r#"C:11:"ArrayObject":31:{x:i:0;s:19:"https://old.example"}"#,
            r#"a:99999999999999999999:{i:0;s:19:"https://old.example";}"#,
        ] {
            assert_eq!(rewrite(&pairs(), text.as_bytes()), Rewritten::Malformed, "{text}");
        }
        assert_eq!(rewrite(&pairs(), b"a:1:{i:0;broken"), Rewritten::Same);
    }

    #[test]
    fn every_kind_of_value_is_passed_over() {
        let text = r#"a:9:{i:-5;N;i:1;b:1;i:2;d:-1.5E+25;i:3;d:INF;i:4;i:7;i:5;R:2;i:6;r:1;i:7;E:7:"A:Spade";i:8;s:19:"https://old.example";}"#;
        assert_eq!(
            changed(text),
            text.replace("s:19:\"https://old.example", "s:27:\"https://much-longer.example")
        );
    }

    #[test]
    fn deep_nesting_ends() {
        let mut text = "s:19:\"https://old.example\";".to_owned();
        for _ in 0..5000 {
            text = format!("a:1:{{i:0;{text}}}");
        }
        assert_eq!(rewrite(&pairs(), text.as_bytes()), Rewritten::Malformed);
    }
}
