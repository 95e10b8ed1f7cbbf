//! The small SQL files around the rows: what goes before and what comes after.

use std::io::Write;
use std::path::Path;

use flate2::Compression;

use super::super::fault::file;
use super::super::format::{DELETES, Object, ObjectKind, POST, PRE, SQL_HEADER, Sum};
use super::super::gzip::{LEVEL, member};
use super::super::store::Draft;
use super::column::{identifier, quoted};
use super::key::condition;
use super::schema::Table;
use super::table::Run;
use crate::error::Result;

/// What the restored database must lose before it gets anything new.
#[derive(Default)]
pub(crate) struct Removals<'a> {
    /// Objects of the parent: triggers would fire on the inserts, views may have become tables.
    pub objects: &'a [Object],
    /// Tables that are gone since the parent.
    pub tables: Vec<&'a str>,
}

/// Writes `000-pre.sql.gz`: drops, then creates `tables`.
pub(crate) fn write_pre<'a>(
    draft: &Draft,
    removals: &Removals<'_>,
    tables: impl Iterator<Item = &'a Table>,
) -> Result<Sum> {
    let mut sql = String::from(SQL_HEADER);
    for object in removals.objects {
        sql.push_str(&format!("{};\n", drop_object(object)));
    }
    for name in &removals.tables {
        sql.push_str(&format!("DROP TABLE IF EXISTS {};\n", identifier(name)));
    }
    for table in tables {
        sql.push_str(&format!("DROP TABLE IF EXISTS {};\n{};\n", identifier(&table.name), table.create));
    }
    write(draft, PRE, &sql)
}

/// Writes `050-delete.sql.gz`. All deletes come before all inserts: a unique value may have moved
/// from one range to another.
pub(crate) fn write_deletes<'a>(
    draft: &Draft,
    changed: impl Iterator<Item = (&'a Table, &'a [Run])>,
) -> Result<Sum> {
    let mut sql = String::from(SQL_HEADER);
    for (table, runs) in changed {
        for (lower, upper) in runs {
            let range = condition(&table.key, lower.as_ref(), upper.as_ref());
            sql.push_str(&format!("DELETE FROM {} WHERE {range};\n", identifier(&table.name)));
        }
    }
    write(draft, DELETES, &sql)
}

/// Writes `990-post.sql.gz`: objects in the order in which they can be created, then counters.
pub(crate) fn write_post(draft: &Draft, objects: &[Object], tables: &[Table]) -> Result<Sum> {
    let mut sql = String::from(SQL_HEADER);
    for view in objects.iter().filter(|object| object.kind == ObjectKind::View) {
        let name = identifier(&view.name);
        sql.push_str(&format!("DROP TABLE IF EXISTS {name};\n{};\n", placeholder(view)));
    }
    for object in objects {
        sql.push_str(&create_object(object));
    }
    for table in tables {
        if let Some(counter) = table.auto_increment {
            sql.push_str(&format!("ALTER TABLE {} AUTO_INCREMENT={counter};\n", identifier(&table.name)));
        }
    }
    write(draft, POST, &sql)
}

/// A view with the same columns and nothing behind it: views that use one another can then be
/// created in any order.
pub(crate) fn placeholder(view: &Object) -> String {
    let columns: Vec<String> =
        view.about.iter().map(|column| format!("1 AS {}", identifier(column))).collect();
    format!("CREATE OR REPLACE VIEW {} AS SELECT {}", identifier(&view.name), columns.join(", "))
}

/// The statement that creates `object`. A view takes the place of its placeholder.
pub(crate) fn creation(object: &Object) -> String {
    match object.kind {
        ObjectKind::View => object.create.replacen("CREATE ", "CREATE OR REPLACE ", 1),
        _ => object.create.clone(),
    }
}

/// `DROP … IF EXISTS` for `object`.
pub(crate) fn drop_object(object: &Object) -> String {
    format!("DROP {} IF EXISTS {}", object.kind.keyword(), identifier(&object.name))
}

/// The statements that create `object` as it was, for the `mariadb` client.
fn create_object(object: &Object) -> String {
    let mut sql = String::new();
    for statement in settings(object) {
        sql.push_str(&format!("{statement};\n"));
    }
    if object.kind != ObjectKind::View {
        sql.push_str(&format!("{};\n", drop_object(object)));
    }
    sql.push_str(&format!("DELIMITER ;;\n{};;\nDELIMITER ;\n", creation(object)));
    sql.push_str(SQL_HEADER);
    sql
}

/// The session settings that a definition remembers. The text itself is always utf8mb4.
pub(crate) fn settings(object: &Object) -> Vec<String> {
    let mut statements = Vec::new();
    if let Some((_, collation)) = &object.charset
        && collation.starts_with("utf8mb4_")
    {
        statements.push(format!("SET NAMES utf8mb4 COLLATE {}", quoted(collation)));
    }
    if object.kind != ObjectKind::View {
        statements.push(format!("SET sql_mode={}", quoted(&object.sql_mode)));
    }
    if let Some(zone) = &object.time_zone {
        statements.push(format!("SET time_zone={}", quoted(zone)));
    }
    statements
}

/// Writes the file `path` as one gzip member.
pub(crate) fn write(draft: &Draft, path: &str, sql: &str) -> Result<Sum> {
    let packed =
        member(sql.as_bytes(), Compression::new(LEVEL)).map_err(file("compress", Path::new(path)))?;
    let mut new = draft.create(path)?;
    new.write_all(&packed).map_err(file("write", Path::new(path)))?;
    new.finish()
}
