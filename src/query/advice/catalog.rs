//! What a table has: columns, indexes, size; and which of its indexes are for nothing.

use std::str::FromStr;

use serde::Serialize;

use super::sql;
use crate::ports::{Database, DatabaseFault, Row};

/// Less than this share of a file free is not worth rebuilding it.
const FRAGMENTED: f64 = 0.2;

/// Nor is less than this, in bytes: InnoDB keeps some free on purpose.
const WORTH_WHILE: u64 = 16 << 20;

/// A server that runs for less than this, in seconds, has not seen what a site does.
const REPRESENTATIVE: u64 = 7 * 86_400;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Bytes that its values take in an index at most.
    pub bytes: u64,
    /// Whether an index can hold only the beginning of its values.
    pub is_long: bool,
}

/// A column of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub column: String,
    /// How much of its values the index holds; all when `None`.
    pub prefix: Option<u64>,
}

/// An index of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Whether no two rows have the same values.
    pub is_unique: bool,
    /// Its columns in order; an expression has no name.
    pub keys: Vec<Key>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Rows, as the server estimates.
    pub rows: u64,
    /// Bytes of its data.
    pub data_bytes: u64,
    /// Bytes of its indexes.
    pub index_bytes: u64,
    /// Bytes that are free in its file.
    pub free_bytes: u64,
    /// In the table's order.
    pub columns: Vec<Column>,
    /// By name.
    pub indexes: Vec<Index>,
}

/// An index that another one makes superfluous.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redundant {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// The index that does the same.
    pub covered_by: String,
    /// Drops it.
    pub ddl: String,
    /// Undoes that.
    pub rollback_ddl: String,
}

/// An index that nobody used since the server started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unused {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// Seconds for which the server has been watching.
    pub watched: u64,
    /// Drops it.
    pub ddl: String,
    /// Undoes that.
    pub rollback_ddl: String,
}

/// How much of a table's file is empty.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fragmentation {
    /// Bytes of its data.
    pub data_bytes: u64,
    /// Bytes of its indexes.
    pub index_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Their share, 0 to 1.
    pub ratio: f64,
    /// Whether rebuilding the table pays.
    pub is_fragmented: bool,
    /// Rebuilds it; empty when that does not pay.
    pub ddl: String,
}

impl Table {
    /// Reads the table `name` of the current database; `None` when it has none.
    ///
    /// # Errors
    /// The database's.
    pub fn read(db: &dyn Database, name: &str) -> Result<Option<Self>, DatabaseFault> {
        let of_table = format!("TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {}", sql::text(name));
        let sizes = db.query(&format!(
            "SELECT TABLE_NAME, TABLE_ROWS, DATA_LENGTH, INDEX_LENGTH, DATA_FREE FROM information_schema.TABLES \
             WHERE {of_table} AND TABLE_TYPE = 'BASE TABLE'"
        ))?;
        let Some(size) = sizes.first() else { return Ok(None) };
        let columns = db.query(&format!(
            "SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_OCTET_LENGTH FROM information_schema.COLUMNS \
             WHERE {of_table} ORDER BY ORDINAL_POSITION"
        ))?;
        let keys = db.query(&format!(
            "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
             WHERE {of_table} ORDER BY INDEX_NAME, SEQ_IN_INDEX"
        ))?;
        Ok(Some(Self {
            name: text(size, 0),
            rows: number(size, 1),
            data_bytes: number(size, 2),
            index_bytes: number(size, 3),
            free_bytes: number(size, 4),
            columns: columns.iter().map(column).collect(),
            indexes: indexes(&keys),
        }))
    }

    /// The column `name`, whatever its case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The columns of the primary key.
    pub fn primary_key(&self) -> Vec<&str> {
        let primary = self.indexes.iter().find(|index| index.name == "PRIMARY");
        primary.map(|index| index.keys.iter().map(|key| key.column.as_str()).collect()).unwrap_or_default()
    }

    /// Indexes whose columns are the first ones of another. A unique one also forbids something, so it
    /// stays unless the other is the same and unique too.
    pub fn redundant(&self) -> Vec<Redundant> {
        let covers = |(place, wide): (usize, &Index), (own, narrow): (usize, &Index)| {
            let is_prefix = wide.keys.starts_with(&narrow.keys) && !narrow.keys.is_empty();
            let is_same = wide.keys.len() == narrow.keys.len();
            let keeps_order = !is_same || (wide.is_unique && !narrow.is_unique) || place < own;
            place != own && is_prefix && keeps_order && (!narrow.is_unique || (is_same && wide.is_unique))
        };
        let mut found = Vec::new();
        for (own, narrow) in self.indexes.iter().enumerate().filter(|(_, index)| index.name != "PRIMARY") {
            if let Some((_, wide)) = self.indexes.iter().enumerate().find(|wide| covers(*wide, (own, narrow)))
            {
                let (ddl, rollback_ddl) = self.drop_index(narrow);
                let (name, columns, covered_by) = (narrow.name.clone(), narrow.columns(), wide.name.clone());
                found.push(Redundant { name, columns, covered_by, ddl, rollback_ddl });
            }
        }
        found
    }

    /// Indexes that nobody used. `None` where the server does not count that (`performance_schema` is
    /// off, as by MariaDB's default) or runs for less than a week.
    ///
    /// # Errors
    /// The database's, when the connection is lost.
    pub fn unused(&self, db: &dyn Database) -> Result<Option<Vec<Unused>>, DatabaseFault> {
        let counts = format!(
            "SELECT INDEX_NAME FROM performance_schema.table_io_waits_summary_by_index_usage \
             WHERE OBJECT_SCHEMA = DATABASE() AND OBJECT_NAME = {} AND INDEX_NAME IS NOT NULL AND COUNT_STAR = 0",
            sql::text(&self.name)
        );
        let known = || -> Result<Option<Vec<Unused>>, DatabaseFault> {
            let is_on = db
                .query("SELECT @@performance_schema")?
                .first()
                .is_some_and(|row| number::<u64>(row, 0) == 1);
            let uptime =
                db.query("SHOW GLOBAL STATUS LIKE 'Uptime'")?.first().map_or(0, |row| number(row, 1));
            if !is_on || uptime < REPRESENTATIVE {
                return Ok(None);
            }
            let names: Vec<String> = db.query(&counts)?.iter().map(|row| text(row, 0)).collect();
            let idle = self.indexes.iter().filter(|index| !index.is_unique && names.contains(&index.name));
            Ok(Some(idle.map(|index| self.unused_index(index, uptime)).collect()))
        };
        match known() {
            Err(fault) if !fault.is_lost() => Ok(None),
            answer => answer,
        }
    }

    fn unused_index(&self, index: &Index, watched: u64) -> Unused {
        let (ddl, rollback_ddl) = self.drop_index(index);
        Unused { name: index.name.clone(), columns: index.columns(), watched, ddl, rollback_ddl }
    }

    /// How much of the file is empty.
    pub fn fragmentation(&self) -> Fragmentation {
        let used = self.data_bytes + self.index_bytes;
        let ratio = self.free_bytes as f64 / (used + self.free_bytes).max(1) as f64;
        let is_fragmented = ratio >= FRAGMENTED && self.free_bytes >= WORTH_WHILE;
        Fragmentation {
            data_bytes: self.data_bytes,
            index_bytes: self.index_bytes,
            free_bytes: self.free_bytes,
            ratio,
            is_fragmented,
            ddl: if is_fragmented {
                format!("OPTIMIZE TABLE {}", sql::name(&self.name))
            } else {
                String::new()
            },
        }
    }

    /// The statements that drop an index and that make it again.
    fn drop_index(&self, index: &Index) -> (String, String) {
        let (on, name) = (sql::name(&self.name), sql::name(&index.name));
        let keys: Vec<String> = index.keys.iter().map(Key::definition).collect();
        let kind = if index.is_unique { "UNIQUE INDEX" } else { "INDEX" };
        (
            format!("ALTER TABLE {on} DROP INDEX {name}"),
            format!("ALTER TABLE {on} ADD {kind} {name} ({})", keys.join(", ")),
        )
    }
}

impl Index {
    /// The names of its columns.
    pub fn columns(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.column.clone()).collect()
    }
}

impl Key {
    /// As it stands in a definition.
    pub fn definition(&self) -> String {
        match self.prefix {
            Some(prefix) => format!("{}({prefix})", sql::name(&self.column)),
            None => sql::name(&self.column),
        }
    }
}

fn indexes(rows: &[Row]) -> Vec<Index> {
    let mut indexes: Vec<Index> = Vec::new();
    for row in rows {
        let name = text(row, 0);
        let key = Key { column: text(row, 2), prefix: optional(row, 3) };
        match indexes.last_mut().filter(|index| index.name == name) {
            Some(index) => index.keys.push(key),
            None => indexes.push(Index { name, is_unique: number::<u64>(row, 1) == 0, keys: vec![key] }),
        }
    }
    indexes
}

fn column(row: &Row) -> Column {
    let kind = text(row, 1);
    let is_long =
        kind.ends_with("text") || kind.ends_with("blob") || matches!(kind.as_str(), "json" | "geometry");
    let fixed = match kind.as_str() {
        "tinyint" | "year" => 1,
        "smallint" => 2,
        "mediumint" | "date" | "time" => 3,
        "int" | "float" | "timestamp" => 4,
        _ => 8,
    };
    Column { name: text(row, 0), bytes: optional(row, 2).unwrap_or(fixed), is_long }
}

fn optional<T: FromStr>(row: &Row, at: usize) -> Option<T> {
    row.get(at)?.as_ref()?.parse().ok()
}

fn number<T: FromStr + Default>(row: &Row, at: usize) -> T {
    optional(row, at).unwrap_or_default()
}

fn text(row: &Row, at: usize) -> String {
    row.get(at).cloned().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, is_unique: bool, columns: &[&str]) -> Index {
        let keys = columns.iter().map(|column| Key { column: (*column).to_owned(), prefix: None }).collect();
        Index { name: name.to_owned(), is_unique, keys }
    }

    pub fn table(indexes: Vec<Index>) -> Table {
        Table {
            name: "t".into(),
            rows: 0,
            data_bytes: 100 << 20,
            index_bytes: 0,
            free_bytes: 50 << 20,
            columns: Vec::new(),
            indexes,
        }
    }

    #[test]
    fn an_index_is_redundant_when_a_wider_one_begins_with_it() {
        let table = table(vec![
            index("PRIMARY", true, &["id"]),
            index("a", false, &["user_id"]),
            index("b", false, &["user_id", "status"]),
            index("c", true, &["user_id"]),
            index("d", false, &["status"]),
            index("e", false, &["status"]),
            index("f", false, &["status", "user_id"]),
        ]);
        let found: Vec<(String, String)> =
            table.redundant().into_iter().map(|found| (found.name, found.covered_by)).collect();
        let pairs = [("a", "b"), ("d", "f"), ("e", "d")];
        assert_eq!(found, pairs.map(|(name, by)| (name.to_owned(), by.to_owned())));
        assert_eq!(table.redundant()[0].rollback_ddl, "ALTER TABLE `t` ADD INDEX `a` (`user_id`)");
    }

    #[test]
    fn a_third_of_a_file_free_is_fragmented() {
        let fragmented = table(Vec::new()).fragmentation();
        assert!(fragmented.is_fragmented && (0.33..0.34).contains(&fragmented.ratio));
        assert_eq!(fragmented.ddl, "OPTIMIZE TABLE `t`");
        let small = Table { data_bytes: 1 << 20, free_bytes: 1 << 20, ..table(Vec::new()) };
        assert!(!small.fragmentation().is_fragmented);
    }
}
