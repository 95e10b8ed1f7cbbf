//! Shell-style patterns over bytes.
//!
//! Owns: the two dialects that settings use. [`Glob::fnmatch`] is PHP's `fnmatch()` without flags,
//! for endpoints: `*`, `?`, `[a-z]`, `[!a-z]` and `\` before a literal; `*` also matches `/`.
//! [`Glob::wildcard`] is for list entries such as `192.168.*`: only `*` is special, a dot is a dot.
//!
//! Matching backtracks to the last `*` only, so its cost is bounded by pattern × text.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    One,
    Many,
    Set { negated: bool, ranges: Vec<(u8, u8)> },
}

impl Token {
    fn accepts(&self, byte: u8) -> bool {
        match self {
            Self::Byte(literal) => *literal == byte,
            Self::One | Self::Many => true,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *negated
            }
        }
    }
}

impl Glob {
    /// Compiles a pattern of PHP's `fnmatch()`. An unclosed `[` is a literal, as there.
    pub fn fnmatch(pattern: &str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = pattern.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            let (token, after) = match (first, after.split_first()) {
                (b'*', _) => (Token::Many, after),
                (b'?', _) => (Token::One, after),
                (b'\\', Some((&escaped, after))) => (Token::Byte(escaped), after),
                (b'[', _) => set(after).unwrap_or((Token::Byte(b'['), after)),
                (literal, _) => (Token::Byte(literal), after),
            };
            tokens.push(token);
            rest = after;
        }
        Self(tokens)
    }

    /// Compiles a pattern in which only `*` is special.
    pub fn wildcard(pattern: &str) -> Self {
        Self(pattern.bytes().map(|byte| if byte == b'*' { Token::Many } else { Token::Byte(byte) }).collect())
    }

    /// Whether `text` has any of the characters that make an fnmatch pattern of a name.
    pub fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?', '['])
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        let mut resume: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(token), text.get(at)) {
                (Some(Token::Many), _) => {
                    resume = Some((token + 1, at));
                    token += 1;
                }
                (Some(expected), Some(&byte)) if expected.accepts(byte) => {
                    token += 1;
                    at += 1;
                }
                (None, None) => return true,
                _ => match resume {
                    Some((after_star, from)) if from < text.len() => {
                        resume = Some((after_star, from + 1));
                        (token, at) = (after_star, from + 1);
                    }
                    _ => return false,
                },
            }
        }
    }
}

/// The set whose text starts right after its `[`, and what follows it. A `]` in first place is a
/// member.
fn set(text: &[u8]) -> Option<(Token, &[u8])> {
    let (negated, body) = match text.split_first() {
        Some((b'!' | b'^', body)) => (true, body),
        _ => (false, text),
    };
    let close = body.iter().skip(1).position(|&byte| byte == b']')? + 1;
    let (members, after) = body.split_at(close);
    let mut ranges = Vec::new();
    let mut rest = members;
    while let Some((&low, after)) = rest.split_first() {
        match after {
            [b'-', high, after @ ..] => {
                ranges.push((low, *high));
                rest = after;
            }
            _ => {
                ranges.push((low, low));
                rest = after;
            }
        }
    }
    Some((Token::Set { negated, ranges }, after.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fnmatch(pattern: &str, text: &str) -> bool {
        Glob::fnmatch(pattern).matches(text.as_bytes())
    }

    /// The answers are PHP 8.2's `fnmatch($pattern, $text)`.
    #[test]
    fn fnmatch_agrees_with_php() {
        for (pattern, text, expected) in [
            ("api/*", "api/v1/orders", true),
            ("api/*", "apis", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("v?", "v1", true),
            ("v?", "v", false),
            ("v[0-9]", "v7", true),
            ("v[!0-9]", "v7", false),
            ("v[^0-9]", "vx", true),
            ("v[]x]", "v]", true),
            ("v[", "v[", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[a-]", "-", true),
        ] {
            assert_eq!(fnmatch(pattern, text), expected, "fnmatch('{pattern}', '{text}')");
        }
    }

    #[test]
    fn in_a_list_entry_a_dot_is_a_dot() {
        assert!(Glob::wildcard("192.168.*").matches(b"192.168.7.1"));
        assert!(!Glob::wildcard("192.168.*").matches(b"1921168.7.1"));
        assert!(!Glob::wildcard("a?[b]").matches(b"axb"));
    }

    proptest! {
        #[test]
        fn any_pattern_on_any_text_ends(pattern in "[*?\\[\\]!a-c\\\\-]{0,24}", text in "[a-c\\]-]{0,40}") {
            Glob::fnmatch(&pattern).matches(text.as_bytes());
        }

        #[test]
        fn a_star_between_matches_whatever_is_between(head in "[a-c]{0,5}", tail in "[a-c]{0,5}", middle in "[a-c./]{0,9}") {
            let text = format!("{head}{middle}{tail}");
            let pattern = format!("{head}*{tail}");
            prop_assert!(Glob::wildcard(&pattern).matches(text.as_bytes()));
            prop_assert!(fnmatch(&pattern, &text));
        }
    }
}
