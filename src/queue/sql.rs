//! The few pieces that every statement of the queue is made of.
//!
//! Statements are complete texts, because WordPress' connection and ours run the same ones. What
//! goes into them is a number, a checked name, or a [`text`] literal that means the same under any
//! character set and SQL mode of the connection.

use std::str::FromStr;
use std::thread;
use std::time::Duration;

use crate::ports::{Database, DatabaseFault, Row};

use super::state::State;

/// The database's clock in microseconds since the epoch, whatever the session's zone. It stands
/// still during a statement.
pub const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

/// How often a transaction is tried again when another one was in its way.
const MOST_CONFLICTS: u32 = 8;

/// The fault code of an answer that does not have the expected form; no server uses it.
const UNREADABLE: u16 = u16::MAX;

/// `text` as a literal: quoted where that is unambiguous, else as hexadecimal digits.
pub fn text(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\') {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut literal = String::with_capacity(text.len() * 2 + 12);
    literal.push_str("_utf8mb4 x'");
    for byte in text.bytes() {
        literal.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        literal.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    literal.push('\'');
    literal
}

/// [`text`], or NULL.
pub fn optional_text(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), text)
}

/// A number, or NULL.
pub fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |number| number.to_string())
}

/// A list of numbers for `IN (…)`.
pub fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

/// The numbers of `states` for `IN (…)`.
pub fn states(states: &[State]) -> String {
    list(states.iter().map(|state| state.code()))
}

/// Runs `work` in a transaction. When another transaction was in the way (deadlock, lock wait),
/// all of it is done again after a short wait that grows and differs between workers.
///
/// # Errors
/// The fault of `work`, or of the commit: then nothing is known if the connection was lost.
pub fn transaction<T>(
    db: &dyn Database,
    mut work: impl FnMut() -> Result<T, DatabaseFault>,
) -> Result<T, DatabaseFault> {
    let mut conflicts = 0;
    loop {
        db.execute("START TRANSACTION")?;
        let result = work().and_then(|value| db.execute("COMMIT").map(|_| value));
        match result {
            Ok(value) => return Ok(value),
            Err(fault) if fault.is_lost() => return Err(fault),
            Err(fault) => {
                db.execute("ROLLBACK")?;
                if !fault.is_conflict() || conflicts == MOST_CONFLICTS {
                    return Err(fault);
                }
            }
        }
        conflicts += 1;
        thread::sleep(conflict_wait(conflicts));
    }
}

fn conflict_wait(conflicts: u32) -> Duration {
    Duration::from_millis(1 << conflicts.min(MOST_CONFLICTS)).mul_f64(super::random::unit())
}

/// Reads a row column by column, in the order of the SELECT.
pub struct Columns<'a>(std::slice::Iter<'a, Option<String>>);

impl<'a> Columns<'a> {
    /// Starts at the first column.
    pub fn of(row: &'a Row) -> Self {
        Self(row.iter())
    }

    /// The next column as text, or `None` for NULL.
    pub fn optional_text(&mut self) -> Result<Option<&'a str>, DatabaseFault> {
        self.0.next().map(Option::as_deref).ok_or_else(|| unreadable("a missing column"))
    }

    /// The next column as text, NULL as the empty one.
    pub fn text(&mut self) -> Result<&'a str, DatabaseFault> {
        Ok(self.optional_text()?.unwrap_or_default())
    }

    /// The next column as a number, or `None` for NULL.
    pub fn optional<T: FromStr>(&mut self) -> Result<Option<T>, DatabaseFault> {
        let Some(text) = self.optional_text()? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| unreadable(&format!("'{text}' instead of a number")))
    }

    /// The next column as a number, NULL as 0.
    pub fn number<T: FromStr + Default>(&mut self) -> Result<T, DatabaseFault> {
        Ok(self.optional()?.unwrap_or_default())
    }
}

/// The first column of the first row as a number; `None` without a row or for NULL.
pub fn first<T: FromStr>(rows: &[Row]) -> Result<Option<T>, DatabaseFault> {
    rows.first().map_or(Ok(None), |row| Columns::of(row).optional())
}

/// The first column of every row as a number.
pub fn numbers<T: FromStr + Default>(rows: &[Row]) -> Result<Vec<T>, DatabaseFault> {
    rows.iter().map(|row| Columns::of(row).number()).collect()
}

/// The fault of an answer that cannot be read.
pub fn unreadable(what: &str) -> DatabaseFault {
    DatabaseFault { code: UNREADABLE, message: format!("the queue's table answered with {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_is_quoted_and_the_rest_is_digits() {
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(text(r"a\"), r"_utf8mb4 x'615c'");
        assert_eq!(text("\u{20ac}\n"), "_utf8mb4 x'e282ac0a'");
        assert_eq!(optional_text(None), "NULL");
    }

    proptest! {
        #[test]
        fn no_text_ends_its_own_literal(input in any::<String>()) {
            let literal = text(&input);
            let inner = literal.strip_prefix("_utf8mb4 x").unwrap_or(&literal);
            let inner = inner.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap();
            prop_assert!(literal.is_ascii() && !literal.contains('\\'));
            prop_assert!(!inner.replace("''", "").contains('\''));
        }
    }
}
