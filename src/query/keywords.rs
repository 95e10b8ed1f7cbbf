//! The words that mean the same in any case. What is not among them is a name, and names may differ
//! by case alone.

/// Keywords that stand apart from the parenthesis behind them.
const APART: &[&str] = &[
    "ADD",
    "ALL",
    "ALTER",
    "ANALYZE",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BINARY",
    "BY",
    "CALL",
    "CASE",
    "COLLATE",
    "COLUMN",
    "COMMIT",
    "CREATE",
    "CROSS",
    "DATABASE",
    "DEFAULT",
    "DELAYED",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DISTINCTROW",
    "DIV",
    "DO",
    "DROP",
    "DUPLICATE",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FOR",
    "FORCE",
    "FROM",
    "FULL",
    "GLOBAL",
    "GROUP",
    "HAVING",
    "HIGH_PRIORITY",
    "IGNORE",
    "IN",
    "INDEX",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCK",
    "LOW_PRIORITY",
    "MATCH",
    "MOD",
    "NATURAL",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PRIMARY",
    "PROCEDURE",
    "QUICK",
    "RECURSIVE",
    "REGEXP",
    "RELEASE",
    "REPLACE",
    "RETURNING",
    "RIGHT",
    "RLIKE",
    "ROLLBACK",
    "ROW",
    "SAVEPOINT",
    "SELECT",
    "SESSION",
    "SET",
    "SHARE",
    "SHOW",
    "SQL_CALC_FOUND_ROWS",
    "SQL_NO_CACHE",
    "START",
    "STRAIGHT_JOIN",
    "TABLE",
    "TABLES",
    "THEN",
    "TO",
    "TRANSACTION",
    "TRUE",
    "TRUNCATE",
    "UNION",
    "UNIQUE",
    "UNLOCK",
    "UPDATE",
    "USE",
    "USING",
    "VALUE",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
    "XOR",
];

/// Functions, whose parenthesis follows at once.
const FUNCTIONS: &[&str] = &[
    "ABS",
    "AVG",
    "CAST",
    "COALESCE",
    "CONCAT",
    "CONVERT",
    "COUNT",
    "CURDATE",
    "DATE",
    "DATE_ADD",
    "DATE_FORMAT",
    "DATE_SUB",
    "FIELD",
    "FIND_IN_SET",
    "FOUND_ROWS",
    "GROUP_CONCAT",
    "IF",
    "IFNULL",
    "LAST_INSERT_ID",
    "LENGTH",
    "LOWER",
    "MAX",
    "MIN",
    "MONTH",
    "NOW",
    "RAND",
    "SUBSTRING",
    "SUM",
    "UNIX_TIMESTAMP",
    "UPPER",
    "YEAR",
];

/// A keyword as it is written in a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keyword {
    pub text: &'static str,
    pub is_function: bool,
}

/// Longer than any keyword.
const LONGEST: usize = 24;

/// A power of two, sparse, so that most words need one look.
const SLOTS: usize = 1024;

static TABLE: [Option<Keyword>; SLOTS] = build();

/// The keyword that `word` is.
#[inline]
pub(super) fn find(word: &[u8]) -> Option<Keyword> {
    if word.len() < 2 || word.len() > LONGEST {
        return None;
    }
    let mut at = slot(word);
    while let Some(Some(known)) = TABLE.get(at % SLOTS) {
        if known.text.as_bytes().eq_ignore_ascii_case(word) {
            return Some(*known);
        }
        at += 1;
    }
    None
}

/// Where the search for `word` begins: by its length and four of its letters, whatever their case.
#[inline]
const fn slot(word: &[u8]) -> usize {
    let (Some(first), Some(last)) = (word.first(), word.last()) else { return 0 };
    let second = match word {
        [_, second, ..] => *second,
        _ => 0,
    };
    let third = match word {
        [_, _, third, ..] => *third,
        _ => 0,
    };
    let letters = (*first as u32 & 0x1f) << 15
        | (second as u32 & 0x1f) << 10
        | (third as u32 & 0x1f) << 5
        | *last as u32 & 0x1f;
    let mixed = (letters ^ (word.len() as u32) << 20).wrapping_mul(0x9e37_79b1);
    (mixed >> 22) as usize
}

#[allow(clippy::indexing_slicing)] // evaluated while compiling, where a wrong index is an error
const fn build() -> [Option<Keyword>; SLOTS] {
    let mut table = [None; SLOTS];
    let mut number = 0;
    while number < APART.len() + FUNCTIONS.len() {
        let is_function = number >= APART.len();
        let text = if is_function { FUNCTIONS[number - APART.len()] } else { APART[number] };
        let mut at = slot(text.as_bytes()) % SLOTS;
        while table[at].is_some() {
            at = (at + 1) % SLOTS;
        }
        table[at] = Some(Keyword { text, is_function });
        number += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_found_in_any_case_and_nothing_else_is() {
        for text in APART.iter().chain(FUNCTIONS) {
            assert!(text.len() <= LONGEST, "{text}");
            assert_eq!(find(text.as_bytes()).map(|found| found.text), Some(*text));
            assert_eq!(find(text.to_lowercase().as_bytes()).map(|found| found.text), Some(*text));
        }
        for name in ["selects", "wp_posts", "", "S", "selec", "ID", "\u{1}NSERT"] {
            assert_eq!(find(name.as_bytes()), None, "{name}");
        }
        assert!(find(b"count").is_some_and(|found| found.is_function));
    }
}
