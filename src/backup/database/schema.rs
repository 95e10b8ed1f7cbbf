//! What is in the database: tables with their columns and keys, and everything defined on them.

use mysql::prelude::Queryable;
use mysql::{Conn, Row};
use serde::{Deserialize, Serialize};

use super::super::fault::{database, fault};
use super::super::format::{Object, ObjectKind};
use super::super::glob::glob;
use super::column::{Column, ColumnKind, identifier, quoted};
use crate::error::Result;

/// What the names of tables begin with that exist only while a restore runs.
pub(crate) const RESTORE_TABLES: &str = "_slbp_restore_";

/// Which tables belong to the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableFilter {
    /// Every table of the database.
    All,
    /// Tables whose name begins with this.
    Prefix(String),
    /// Tables that match one of these names or globs (`*` and `?`).
    Named(Vec<String>),
}

impl TableFilter {
    /// Whether `table` belongs to it. A restore's own tables never do.
    pub fn takes(&self, table: &str) -> bool {
        if table.starts_with(RESTORE_TABLES) {
            return false;
        }
        match self {
            Self::All => true,
            Self::Prefix(prefix) => table.starts_with(prefix.as_str()),
            Self::Named(patterns) => {
                patterns.iter().any(|pattern| glob(pattern.as_bytes(), table.as_bytes()))
            }
        }
    }
}

/// A table as the server describes it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub name: String,
    pub engine: String,
    pub create: String,
    pub auto_increment: Option<u64>,
    pub columns: Vec<Column>,
    /// Names of the key columns; empty when no key will do.
    pub key: Vec<String>,
    /// The index behind the key.
    pub index: String,
    /// The server's estimate of its data, for ordering work and for progress.
    pub estimated_bytes: u64,
}

impl Table {
    /// Whether a transaction's snapshot covers it.
    pub fn transactional(&self) -> bool {
        matches!(self.engine.as_str(), "InnoDB" | "ROCKSDB")
    }
}

/// The tables that `filter` takes, by name.
pub(crate) fn tables(conn: &mut Conn, filter: &TableFilter) -> Result<Vec<Table>> {
    let rows: Vec<(String, Option<String>, Option<u64>)> = conn
        .query(
            "SELECT table_name, engine, data_length FROM information_schema.tables
             WHERE table_schema=DATABASE() AND table_type IN ('BASE TABLE','SYSTEM VERSIONED') ORDER BY table_name",
        )
        .map_err(database("listing tables"))?;
    let taken = rows.into_iter().filter(|(name, ..)| filter.takes(name));
    taken.map(|(name, engine, bytes)| table(conn, name, engine, bytes)).collect()
}

fn table(conn: &mut Conn, name: String, engine: Option<String>, bytes: Option<u64>) -> Result<Table> {
    let engine =
        engine.ok_or_else(|| fault(format!("table {name} is damaged: the server knows no engine for it")))?;
    let create: Row = required(conn, &format!("SHOW CREATE TABLE {}", identifier(&name)))?;
    let create: String = create.get(1).ok_or_else(|| fault(format!("table {name} has no definition")))?;
    let (create, auto_increment) = without_counter(&create);
    let columns = columns(conn, &name)?;
    let (index, key) = key(conn, &name, &columns)?;
    Ok(Table {
        name,
        engine,
        create,
        auto_increment,
        columns,
        key,
        index,
        estimated_bytes: bytes.unwrap_or(0),
    })
}

fn columns(conn: &mut Conn, table: &str) -> Result<Vec<Column>> {
    let rows: Vec<(String, String, Option<String>, String)> = conn
        .exec(
            "SELECT column_name, data_type, character_set_name, extra FROM information_schema.columns
             WHERE table_schema=DATABASE() AND table_name=? ORDER BY ordinal_position",
            (table,),
        )
        .map_err(database(format!("reading the columns of {table}")))?;
    let stored = rows.into_iter().filter(|(.., extra)| !extra.contains("GENERATED"));
    Ok(stored
        .map(|(name, data_type, charset, _)| Column {
            name,
            kind: ColumnKind::of(&data_type, charset.as_deref()),
        })
        .collect())
}

/// The primary key, or else the first unique key without NULLs, prefixes and generated columns.
fn key(conn: &mut Conn, table: &str, columns: &[Column]) -> Result<(String, Vec<String>)> {
    let rows: Vec<(String, Option<String>, Option<u64>, String)> = conn
        .exec(
            "SELECT index_name, column_name, sub_part, nullable FROM information_schema.statistics
             WHERE table_schema=DATABASE() AND table_name=? AND non_unique=0
             ORDER BY index_name='PRIMARY' DESC, index_name, seq_in_index",
            (table,),
        )
        .map_err(database(format!("reading the keys of {table}")))?;
    let orders = |name: &str| columns.iter().any(|column| column.name == name && column.kind.bounds_ranges());
    for parts in rows.chunk_by(|a, b| a.0 == b.0) {
        let usable = |(_, name, prefix, nullable): &(_, Option<String>, Option<u64>, String)| {
            prefix.is_none() && nullable != "YES" && name.as_deref().is_some_and(orders)
        };
        if parts.iter().all(usable) {
            let index = parts.first().map(|part| part.0.clone()).unwrap_or_default();
            return Ok((index, parts.iter().filter_map(|part| part.1.clone()).collect()));
        }
    }
    Ok((String::new(), Vec::new()))
}

/// Views, routines, triggers and events that belong to the tables `filter` takes. Routines and
/// events belong to no table: they are all taken. What the account may not see is not there.
pub(crate) fn objects(conn: &mut Conn, filter: &TableFilter) -> Result<Vec<Object>> {
    let own: String = required(conn, "SELECT CURRENT_USER()")?;
    let mut found = Vec::new();
    let routines: Vec<(String, String)> = list(
        conn,
        "SELECT routine_type, routine_name FROM information_schema.routines
         WHERE routine_schema=DATABASE() AND routine_type IN ('FUNCTION','PROCEDURE') ORDER BY 1, 2",
    )?;
    for (kind, name) in routines {
        let kind = if kind == "FUNCTION" { ObjectKind::Function } else { ObjectKind::Procedure };
        found.extend(object(conn, kind, name, Vec::new(), &own)?);
    }
    let views: Vec<String> = list(
        conn,
        "SELECT table_name FROM information_schema.views WHERE table_schema=DATABASE() ORDER BY 1",
    )?;
    for name in views.into_iter().filter(|name| filter.takes(name)) {
        let columns = list(
            conn,
            &format!(
                "SELECT column_name FROM information_schema.columns
                 WHERE table_schema=DATABASE() AND table_name={} ORDER BY ordinal_position",
                quoted(&name)
            ),
        )?;
        found.extend(object(conn, ObjectKind::View, name, columns, &own)?);
    }
    let triggers: Vec<(String, String)> = list(
        conn,
        "SELECT trigger_name, event_object_table FROM information_schema.triggers
         WHERE trigger_schema=DATABASE() ORDER BY event_object_table, event_manipulation, action_timing, action_order",
    )?;
    for (name, table) in triggers.into_iter().filter(|(_, table)| filter.takes(table)) {
        found.extend(object(conn, ObjectKind::Trigger, name, vec![table], &own)?);
    }
    let events: Vec<String> = list(
        conn,
        "SELECT event_name FROM information_schema.events WHERE event_schema=DATABASE() ORDER BY 1",
    )?;
    for name in events {
        found.extend(object(conn, ObjectKind::Event, name, Vec::new(), &own)?);
    }
    Ok(found)
}

fn object(
    conn: &mut Conn,
    kind: ObjectKind,
    name: String,
    about: Vec<String>,
    own: &str,
) -> Result<Option<Object>> {
    let row: Row = required(conn, &format!("SHOW CREATE {} {}", kind.keyword(), identifier(&name)))?;
    let column = |name: &str| {
        let at = row.columns_ref().iter().position(|column| column.name_str().eq_ignore_ascii_case(name))?;
        row.get::<Option<String>, _>(at)?
    };
    let title = match kind {
        ObjectKind::Trigger => "SQL Original Statement".to_owned(),
        _ => format!("Create {}", kind.keyword()),
    };
    // The body of a routine is NULL for an account that may call it but not read it.
    let Some(create) = column(&title) else { return Ok(None) };
    let charset = column("character_set_client").zip(column("collation_connection"));
    let create = without_own_definer(&create, own);
    let (sql_mode, time_zone) = (column("sql_mode").unwrap_or_default(), column("time_zone"));
    Ok(Some(Object { kind, name, create, sql_mode, charset, time_zone, about }))
}

/// A definer that is the dumping account itself is left out, so that whoever restores becomes the
/// definer and needs no privilege to name another.
fn without_own_definer(create: &str, own: &str) -> String {
    let Some((user, host)) = own.rsplit_once('@') else { return create.to_owned() };
    create.replacen(&format!(" DEFINER={}@{}", identifier(user), identifier(host)), "", 1)
}

/// Splits the counter from a `CREATE TABLE`: it changes with every insert, the definition does not.
fn without_counter(create: &str) -> (String, Option<u64>) {
    let nothing = || (create.to_owned(), None);
    let Some(options_at) = create.rfind("\n) ENGINE=") else { return nothing() };
    let (body, options) = create.split_at(options_at);
    let head = options.find(" COMMENT=").unwrap_or(options.len());
    let Some(at) = options.find(" AUTO_INCREMENT=").filter(|at| *at < head) else { return nothing() };
    let (before, counter) = options.split_at(at);
    let counter = counter.trim_start_matches(" AUTO_INCREMENT=");
    let digits = counter.bytes().take_while(u8::is_ascii_digit).count();
    let (number, after) = counter.split_at(digits);
    (format!("{body}{before}{after}"), number.parse().ok())
}

fn list<T: mysql::prelude::FromRow>(conn: &mut Conn, sql: &str) -> Result<Vec<T>> {
    conn.query(sql).map_err(database("reading the schema"))
}

fn required<T: mysql::prelude::FromRow>(conn: &mut Conn, sql: &str) -> Result<T> {
    conn.query_first(sql).map_err(database(sql))?.ok_or_else(|| fault(format!("{sql}: no answer")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_leaves_the_definition() {
        let create = "CREATE TABLE `t` (\n  `a` int COMMENT ' AUTO_INCREMENT=9'\n) ENGINE=InnoDB AUTO_INCREMENT=42 DEFAULT CHARSET=utf8mb4 COMMENT='x AUTO_INCREMENT=7'";
        let (rest, counter) = without_counter(create);
        assert_eq!(counter, Some(42));
        assert_eq!(rest, create.replace(" AUTO_INCREMENT=42", ""));
        let plain = create.replace(" AUTO_INCREMENT=42", "");
        assert_eq!(without_counter(&plain), (plain.clone(), None));
    }

    #[test]
    fn globs_take_names() {
        let filter = TableFilter::Named(vec!["wp_slbp_*".to_owned(), "wp_user?".to_owned()]);
        assert!(filter.takes("wp_slbp_transactions") && filter.takes("wp_users"));
        assert!(!filter.takes("wp_usermeta") && !filter.takes("xwp_slbp_a"));
    }
}
