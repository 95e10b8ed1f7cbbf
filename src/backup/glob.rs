//! Shell-like patterns for names of tables and paths of files.

/// Whether `pattern` matches all of `text`: `*` is any run of bytes, `?` any one. Backtracks only
/// to the last star, so it takes at most `pattern × text` steps.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(read) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((position, taken)) = star else { return false };
                star = Some((position, taken + 1));
                at = position + 1;
                read = taken + 1;
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::glob;

    /// The definition, exponential and obvious.
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| by_definition(rest, &text[skip..])),
            (Some((b'?', rest)), Some((_, tail))) => by_definition(rest, tail),
            (Some((letter, rest)), Some((first, tail))) => letter == first && by_definition(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_matches_by_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), by_definition(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        assert!(!glob(&b"a*".repeat(500), &[b'a'; 400]));
        assert!(!glob(&[&b"*a".repeat(30)[..], b"b"].concat(), &[b'a'; 20_000]));
    }
}
