//! How a column travels: the expression that reads it and the SQL literal that writes it.
//!
//! Invariant: reading a literal back stores the same bytes. Four kinds of column need care:
//! - FLOAT prints six digits (`mariadb-dump` changes 95 % of random values); read as DOUBLE it
//!   prints enough digits to round back to the same FLOAT.
//! - Binary data is written as `0x…`, which no character set conversion touches.
//! - Text in a character set that does not survive a trip through utf8mb4 (sjis, gbk, utf16 …) is
//!   read as bytes and written with its own introducer.
//! - ENUM and SET travel as numbers: the text `''` can be a member or the mark of an invalid value.

use mysql::Value;
use serde::{Deserialize, Serialize};

/// What a column's values need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Integers, DECIMAL, DOUBLE, YEAR: printed as they are.
    Number,
    /// FLOAT: read as DOUBLE.
    Float,
    /// BIT: bytes of a big-endian number.
    Bit,
    /// Dates, times, INET6, UUID: quoted ASCII.
    Plain,
    /// Text that utf8mb4 carries exactly: quoted and escaped.
    Text,
    /// ENUM and SET: read as numbers.
    Choice,
    /// Bytes.
    Binary,
    /// Text in this character set, carried as bytes.
    Encoded(String),
}

/// A column that is stored (generated columns are not).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ColumnKind,
}

impl ColumnKind {
    /// The kind of a column that information_schema describes with `data_type` and `charset`.
    pub fn of(data_type: &str, charset: Option<&str>) -> Self {
        match data_type {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "double" | "year" => {
                Self::Number
            }
            "float" => Self::Float,
            "bit" => Self::Bit,
            "enum" | "set" => Self::Choice,
            "date" | "time" | "datetime" | "timestamp" | "inet4" | "inet6" | "uuid" => Self::Plain,
            _ => match charset {
                None => Self::Binary,
                Some("utf8mb4" | "utf8mb3" | "utf8" | "ascii" | "latin1") => Self::Text,
                Some(other) => Self::Encoded(other.to_owned()),
            },
        }
    }

    /// Whether `ORDER BY` and `<` on such a column agree with each other, so that it can bound a
    /// range. ENUM orders by position and compares by name.
    pub fn bounds_ranges(&self) -> bool {
        *self != Self::Choice
    }
}

impl Column {
    /// The select expression.
    pub fn expression(&self) -> String {
        let name = identifier(&self.name);
        match self.kind {
            ColumnKind::Float => format!("CAST({name} AS DOUBLE)"),
            ColumnKind::Choice => format!("CAST({name} AS UNSIGNED)"),
            ColumnKind::Encoded(_) => format!("CAST({name} AS BINARY)"),
            _ => name,
        }
    }

    /// Appends `value` as a literal.
    pub fn write_literal(&self, value: &Value, sql: &mut Vec<u8>) {
        let Value::Bytes(bytes) = value else {
            sql.extend_from_slice(b"NULL");
            return;
        };
        match &self.kind {
            ColumnKind::Number | ColumnKind::Float | ColumnKind::Choice => sql.extend_from_slice(bytes),
            ColumnKind::Plain | ColumnKind::Text if std::str::from_utf8(bytes).is_ok() => {
                write_quoted(bytes, sql)
            }
            // Old servers stored lone surrogates: no UTF-8, and no client would send them as text.
            ColumnKind::Plain | ColumnKind::Text => {
                sql.extend_from_slice(b"_utf8mb4 ");
                write_hex(bytes, sql);
            }
            ColumnKind::Bit | ColumnKind::Binary => write_hex(bytes, sql),
            ColumnKind::Encoded(_) if bytes.is_empty() => sql.extend_from_slice(b"''"),
            ColumnKind::Encoded(charset) => {
                sql.push(b'_');
                sql.extend_from_slice(charset.as_bytes());
                sql.push(b' ');
                write_hex(bytes, sql);
            }
        }
    }

    /// `value` as a literal for a comparison: plain ASCII, and the column's index stays usable.
    pub fn key_literal(&self, value: &Value) -> String {
        let mut sql = Vec::new();
        match (&self.kind, value) {
            (ColumnKind::Text, Value::Bytes(bytes)) if !bytes.is_empty() => {
                sql.extend_from_slice(b"_utf8mb4 ");
                write_hex(bytes, &mut sql);
            }
            (ColumnKind::Bit, Value::Bytes(bytes)) => {
                let number = bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
                sql.extend_from_slice(number.to_string().as_bytes());
            }
            _ => self.write_literal(value, &mut sql),
        }
        String::from_utf8_lossy(&sql).into_owned()
    }
}

/// `name` quoted as an identifier.
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `text` quoted as a string literal.
pub fn quoted(text: &str) -> String {
    let mut sql = Vec::with_capacity(text.len() + 2);
    write_quoted(text.as_bytes(), &mut sql);
    String::from_utf8_lossy(&sql).into_owned()
}

/// Appends `bytes` as a quoted string literal.
pub(crate) fn write_quoted(bytes: &[u8], sql: &mut Vec<u8>) {
    sql.reserve(bytes.len() + 2);
    sql.push(b'\'');
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| escape(*byte).is_some()) {
        let (clean, tail) = rest.split_at(at);
        sql.extend_from_slice(clean);
        let Some((special, tail)) = tail.split_first() else { break };
        sql.extend(escape(*special).into_iter().flat_map(|letter| [b'\\', letter]));
        rest = tail;
    }
    sql.extend_from_slice(rest);
    sql.push(b'\'');
}

/// The letter after the backslash. NUL and carriage return would not survive the `mariadb` client.
const fn escape(byte: u8) -> Option<u8> {
    match byte {
        0 => Some(b'0'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        0x1a => Some(b'Z'),
        b'\'' | b'\\' => Some(byte),
        _ => None,
    }
}

/// Appends `bytes` as a hexadecimal literal.
pub(crate) fn write_hex(bytes: &[u8], sql: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    if bytes.is_empty() {
        sql.extend_from_slice(b"''");
        return;
    }
    sql.reserve(bytes.len() * 2 + 2);
    sql.extend_from_slice(b"0x");
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    sql.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(kind: ColumnKind, bytes: &[u8]) -> String {
        let mut sql = Vec::new();
        Column { name: "c".to_owned(), kind }.write_literal(&Value::Bytes(bytes.to_vec()), &mut sql);
        String::from_utf8(sql).unwrap()
    }

    #[test]
    fn text_is_escaped_and_bytes_are_hex() {
        assert_eq!(literal(ColumnKind::Text, "it's 100 %\n\\\0\r".as_bytes()), r"'it\'s 100 %\n\\\0\r'");
        assert_eq!(literal(ColumnKind::Binary, b"0"), "0x30");
        assert_eq!(literal(ColumnKind::Binary, b""), "''");
        assert_eq!(literal(ColumnKind::Encoded("sjis".to_owned()), &[0x83, 0x5c]), "_sjis 0x835C");
        assert_eq!(literal(ColumnKind::Number, b"-12.50"), "-12.50");
    }

    #[test]
    fn a_key_literal_is_ascii() {
        let column = Column { name: "k".to_owned(), kind: ColumnKind::Text };
        assert_eq!(column.key_literal(&Value::Bytes("é".into())), "_utf8mb4 0xC3A9");
        let flags = Column { name: "b".to_owned(), kind: ColumnKind::Bit };
        assert_eq!(flags.key_literal(&Value::Bytes(vec![1, 2])), "258");
    }
}
