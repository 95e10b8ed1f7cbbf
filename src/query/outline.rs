//! What a statement does and to which table, read from its shape.

use super::keywords;
use super::token::{Lexer, Token};

/// What kind of statement it is: its first keyword.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verb {
    /// Anything else: SET, SHOW, CALL, transactions, definitions.
    #[default]
    Other = 0,
    /// Reads rows.
    Select = 1,
    /// Adds rows.
    Insert = 2,
    /// Changes rows.
    Update = 3,
    /// Removes rows.
    Delete = 4,
    /// Adds rows in the place of others.
    Replace = 5,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Verb; 6] =
        [Verb::Other, Verb::Select, Verb::Insert, Verb::Update, Verb::Delete, Verb::Replace];

    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Other => "OTHER",
            Verb::Select => "SELECT",
            Verb::Insert => "INSERT",
            Verb::Update => "UPDATE",
            Verb::Delete => "DELETE",
            Verb::Replace => "REPLACE",
        }
    }

    fn of(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().skip(1).find(|verb| verb.name().as_bytes().eq_ignore_ascii_case(word))
    }
}

/// A statement in brief.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// What it does.
    pub verb: Verb,
    /// The first table that it names; empty when it names none.
    pub table: String,
}

/// Reads verb and table of a statement or of its shape.
pub fn outline(sql: &str) -> Outline {
    let mut lexer = Lexer::new(sql.as_bytes());
    let verb = loop {
        match lexer.next() {
            Some(Token::Open | Token::HintOpen(_) | Token::HintClose) => {}
            Some(Token::Word(word)) => break Verb::of(word).unwrap_or_default(),
            _ => return Outline::default(),
        }
    };
    let mut may_name = verb == Verb::Update;
    while let Some(token) = lexer.next() {
        match token {
            Token::Word(word) => match keywords::find(word).map(|keyword| keyword.text) {
                Some("FROM" | "INTO" | "UPDATE" | "JOIN" | "TABLE") => may_name = true,
                // A derived table: what it reads is the table.
                Some("SELECT") => may_name = false,
                Some(_) => {}
                None if may_name => return Outline { verb, table: qualified(word, lexer) },
                None => {}
            },
            Token::Quoted(name) if may_name => return Outline { verb, table: qualified(name, lexer) },
            _ => {}
        }
    }
    Outline { verb, table: String::new() }
}

/// The table's own name, of `database.table` the second.
fn qualified(first: &[u8], mut rest: Lexer<'_>) -> String {
    let last = match (rest.next(), rest.next()) {
        (Some(Token::Dot), Some(Token::Word(name) | Token::Quoted(name))) => name,
        _ => first,
    };
    String::from_utf8_lossy(last).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn verb_and_table_are_the_first_that_are_named() {
        for (sql, verb, table) in [
            ("SELECT a, b FROM wp_posts WHERE c = ?", Verb::Select, "wp_posts"),
            ("(SELECT a FROM `wp posts`) UNION SELECT b FROM u", Verb::Select, "wp posts"),
            ("SELECT x FROM (SELECT a FROM t) AS d", Verb::Select, "t"),
            ("SELECT a FROM site.wp_posts", Verb::Select, "wp_posts"),
            ("insert ignore into t(a) values (?+)", Verb::Insert, "t"),
            ("UPDATE LOW_PRIORITY t SET a = ?", Verb::Update, "t"),
            ("DELETE FROM t WHERE a = ?", Verb::Delete, "t"),
            ("DELETE a, b FROM wp_options a, wp_options b", Verb::Delete, "wp_options"),
            ("REPLACE INTO t VALUES (?+)", Verb::Replace, "t"),
            ("SELECT ?", Verb::Select, ""),
            ("SET @a = ?", Verb::Other, ""),
            ("TRUNCATE TABLE t", Verb::Other, "t"),
            ("", Verb::Other, ""),
        ] {
            assert_eq!(outline(sql), Outline { verb, table: table.to_owned() }, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_an_outline(sql: String) {
            outline(&sql);
        }
    }
}
