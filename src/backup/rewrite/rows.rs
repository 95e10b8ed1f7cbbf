//! Rewriting the rows of one table, statement by statement, as they pass by.
//!
//! What comes in is what [`crate::backup::database`] wrote and what was just compared with its hash, so
//! the grammar is its own: rows of literals. A literal is taken apart, its bytes are rewritten, and it is
//! written again; everything else is copied.

use super::serialized::{Rewritten, rewrite};
use super::text::Pairs;
use crate::backup::database::column::{Column, ColumnKind, write_hex, write_quoted};

/// What happened in a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Rows that are not as they were.
    pub rows: u64,
    /// Values that have an old text and were left alone, because they are malformed.
    pub malformed: u64,
}

/// What is done with the values of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Copy,
    /// Addresses in it are replaced.
    Text,
    /// It is a key that begins with the table prefix.
    Prefixed,
    /// It is the name of an option; one of them begins with the table prefix.
    Option,
}

/// The rewriting of one table.
pub(crate) struct Rows<'a> {
    actions: Vec<Action>,
    pairs: Option<&'a Pairs>,
    prefix: Option<(&'a str, &'a str)>,
}

impl<'a> Rows<'a> {
    /// For the table whose name is `name` without its prefix.
    pub fn new(
        name: &str,
        columns: &[Column],
        pairs: Option<&'a Pairs>,
        prefix: Option<(&'a str, &'a str)>,
    ) -> Self {
        // The tables of a network's other sites have their number in front.
        let base = name.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '_');
        let action = |column: &Column| match (base, column.name.as_str(), &column.kind) {
            ("usermeta", "meta_key", ColumnKind::Text) if prefix.is_some() => Action::Prefixed,
            ("options", "option_name", ColumnKind::Text) if prefix.is_some() => Action::Option,
            // A post's identity for feed readers, which only looks like an address.
            ("posts", "guid", _) => Action::Copy,
            (_, _, ColumnKind::Text | ColumnKind::Binary) if pairs.is_some() => Action::Text,
            _ => Action::Copy,
        };
        Self { actions: columns.iter().map(action).collect(), pairs, prefix }
    }

    /// Appends `values`, the rows of an `INSERT` up to its end, to `output`. `None` when they are not of
    /// the form that is written here.
    pub fn rewrite(&self, values: &[u8], output: &mut Vec<u8>) -> Option<Tally> {
        if !self.may_change(values) {
            output.extend_from_slice(values);
            return Some(Tally::default());
        }
        let mut tally = Tally::default();
        let mut rest = values;
        loop {
            rest = rest.strip_prefix(b"(")?;
            output.push(b'(');
            let mut changed = false;
            for (column, action) in self.actions.iter().enumerate() {
                if column > 0 {
                    rest = rest.strip_prefix(b",")?;
                    output.push(b',');
                }
                let (literal, after) = split_literal(rest)?;
                rest = after;
                changed |= self.literal(*action, literal, output, &mut tally)?;
            }
            rest = rest.strip_prefix(b")")?;
            output.push(b')');
            tally.rows += u64::from(changed);
            match rest.strip_prefix(b",\n") {
                Some(next) => {
                    output.extend_from_slice(b",\n");
                    rest = next;
                }
                None => break,
            }
        }
        output.extend_from_slice(rest);
        (rest == b";\n").then_some(tally)
    }

    /// Most tables have nothing to rewrite in most ranges. Hexadecimal hides what is in it.
    fn may_change(&self, values: &[u8]) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Prefixed | Action::Option))
            || (self.actions.contains(&Action::Text)
                && (values.windows(2).any(|pair| pair == b"0x" || pair == b"\\\\")
                    || self.pairs.is_some_and(|pairs| pairs.may_be_in(values))))
    }

    fn literal(
        &self,
        action: Action,
        literal: &[u8],
        output: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Option<bool> {
        let hex = literal.strip_prefix(b"0x");
        let quoted = literal.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'"));
        let value = match (action, hex, quoted) {
            (Action::Copy, ..) | (_, None, None) => None,
            (_, Some(digits), _) => Some(unhex(digits)?).filter(|bytes| std::str::from_utf8(bytes).is_ok()),
            (_, None, Some(escaped)) => Some(unescape(escaped)?),
        };
        let changed = value.and_then(|value| self.value(action, &value, tally));
        match (&changed, hex) {
            (None, _) => output.extend_from_slice(literal),
            (Some(value), Some(_)) => write_hex(value, output),
            (Some(value), None) => write_quoted(value, output),
        }
        Some(changed.is_some())
    }

    fn value(&self, action: Action, value: &[u8], tally: &mut Tally) -> Option<Vec<u8>> {
        let moved = |key: &[u8]| {
            let (from, to) = self.prefix?;
            let rest = key.strip_prefix(from.as_bytes())?;
            Some([to.as_bytes(), rest].concat())
        };
        match action {
            Action::Copy => None,
            Action::Prefixed => moved(value),
            Action::Option => moved(value).filter(|_| value.ends_with(b"user_roles")),
            Action::Text => match rewrite(self.pairs?, value) {
                Rewritten::Same => None,
                Rewritten::Changed(value) => Some(value),
                Rewritten::Malformed => {
                    tally.malformed += 1;
                    None
                }
            },
        }
    }
}

/// A literal, and what comes after it.
fn split_literal(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = if text.first() == Some(&b'\'') {
        let mut at = 1;
        loop {
            match text.get(at)? {
                b'\'' => break at + 1,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
    } else {
        text.iter().position(|byte| matches!(byte, b',' | b')'))?
    };
    text.split_at_checked(end)
}

fn unescape(escaped: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'0' => 0,
                b'n' => b'\n',
                b'r' => b'\r',
                b'Z' => 0x1a,
                other => *other,
            },
            other => *other,
        });
    }
    Some(bytes)
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use mysql::Value;
    use proptest::prelude::*;

    use super::*;

    fn column(name: &str, kind: ColumnKind) -> Column {
        Column { name: name.to_owned(), kind }
    }

    fn pairs() -> Pairs {
        Pairs::new(&[("https://old.example".to_owned(), "https://new.example/sub".to_owned())])
    }

    fn statement(columns: &[Column], rows: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let mut sql = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            sql.extend_from_slice(if at == 0 { b"(" } else { b",\n(" });
            for (index, (column, value)) in columns.iter().zip(row).enumerate() {
                if index > 0 {
                    sql.push(b',');
                }
                column.write_literal(&Value::Bytes(value.clone()), &mut sql);
            }
            sql.push(b')');
        }
        sql.extend_from_slice(b";\n");
        sql
    }

    #[test]
    fn values_are_rewritten_and_rows_counted() {
        let columns = [
            column("id", ColumnKind::Number),
            column("v", ColumnKind::Text),
            column("b", ColumnKind::Binary),
        ];
        let row = |id: &str, v: &str, b: &[u8]| vec![id.into(), v.into(), b.to_vec()];
        let before = statement(
            &columns,
            &[
                row("1", "it's at 'https://old.example'\n", b"\xff https://old.example"),
                row("2", "nothing, (here);", b"a:1:{i:0;s:19:\"https://old.example\";}"),
                row("3", "a:1:{i:0;s:18:\"https://old.example\";}", b""),
            ],
        );
        let expected = statement(
            &columns,
            &[
                row("1", "it's at 'https://new.example/sub'\n", b"\xff https://old.example"),
                row("2", "nothing, (here);", b"a:1:{i:0;s:23:\"https://new.example/sub\";}"),
                row("3", "a:1:{i:0;s:18:\"https://old.example\";}", b""),
            ],
        );
        let pairs = pairs();
        let mut after = Vec::new();
        let tally = Rows::new("x", &columns, Some(&pairs), None).rewrite(&before, &mut after).unwrap();
        assert_eq!(String::from_utf8_lossy(&after), String::from_utf8_lossy(&expected));
        assert_eq!(tally, Tally { rows: 2, malformed: 1 });
    }

    #[test]
    fn the_prefix_moves_in_the_two_places_where_wordpress_keeps_it() {
        let prefix = Some(("wp_", "new_"));
        let rewritten = |table: &str, name: &str, key: &str| {
            let columns = [column(name, ColumnKind::Text)];
            let mut after = Vec::new();
            Rows::new(table, &columns, None, prefix)
                .rewrite(&statement(&columns, &[vec![key.into()]]), &mut after);
            String::from_utf8(after).unwrap()
        };
        assert_eq!(rewritten("usermeta", "meta_key", "wp_capabilities"), "('new_capabilities');\n");
        assert_eq!(rewritten("usermeta", "meta_key", "nickname"), "('nickname');\n");
        assert_eq!(rewritten("options", "option_name", "wp_user_roles"), "('new_user_roles');\n");
        assert_eq!(rewritten("2_options", "option_name", "wp_2_user_roles"), "('new_2_user_roles');\n");
        assert_eq!(
            rewritten("options", "option_name", "wp_page_for_privacy_policy"),
            "('wp_page_for_privacy_policy');\n"
        );
        assert_eq!(rewritten("posts", "post_title", "wp_capabilities"), "('wp_capabilities');\n");
    }

    #[test]
    fn a_posts_guid_stays() {
        let columns = [column("guid", ColumnKind::Text)];
        let before = statement(&columns, &[vec![b"https://old.example/?p=1".to_vec()]]);
        let (pairs, mut after) = (pairs(), Vec::new());
        Rows::new("posts", &columns, Some(&pairs), None).rewrite(&before, &mut after).unwrap();
        assert_eq!(after, before);
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_row_comes_through(
            rows in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 3), 1..5),
            at in 0usize..5,
        ) {
            let columns = [column("a", ColumnKind::Text), column("b", ColumnKind::Binary), column("c", ColumnKind::Text)];
            let mut rows = rows;
            // Text columns hold UTF-8.
            for row in &mut rows {
                for at in [0, 2] {
                    row[at] = String::from_utf8_lossy(&row[at]).into_owned().into_bytes();
                }
            }
            let before = statement(&columns, &rows);
            let pairs = pairs();
            let rewriting = Rows::new("x", &columns, Some(&pairs), None);
            let mut after = Vec::new();
            prop_assert_eq!(rewriting.rewrite(&before, &mut after), Some(Tally::default()));
            prop_assert_eq!(&after, &before);

            let count = rows.len();
            rows[at % count][0] = b"x https://old.example y".to_vec();
            let mut expected = rows.clone();
            expected[at % count][0] = b"x https://new.example/sub y".to_vec();
            after.clear();
            let told = rewriting.rewrite(&statement(&columns, &rows), &mut after);
            prop_assert_eq!(told, Some(Tally { rows: 1, malformed: 0 }));
            prop_assert_eq!(&after, &statement(&columns, &expected));
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let columns = [column("a", ColumnKind::Text)];
            let pairs = pairs();
            let _ = Rows::new("x", &columns, Some(&pairs), Some(("a", "b"))).rewrite(&bytes, &mut Vec::new());
        }
    }
}
