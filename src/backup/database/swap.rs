//! Putting the loaded tables in the place of the site's, and taking that back.
//!
//! The swap is one `RENAME TABLE` of all tables, which the server does whole or not at all (also
//! across a crash since MariaDB 10.6.1). Triggers and foreign keys follow the renamed table, and
//! their names are unique in the database: triggers are dropped and created right after the swap,
//! foreign keys when the old tables are gone.
//!
//! Everything up to [`Swap::finish`] can be taken back by [`Swap::undo`], and both can be repeated
//! after a crash: each looks at which tables exist.

use std::collections::HashSet;

use mysql::Conn;
use mysql::prelude::Queryable;
use serde::{Deserialize, Serialize};

use super::super::fault::database;
use super::super::format::{Object, ObjectKind};
use super::column::identifier;
use super::session::run;
use super::shadow::{Shadow, drop_shadows, drop_tables};
use super::sql_file::{creation, drop_object, placeholder, settings};
use crate::error::Result;

/// How long the rename may wait for statements that use the tables.
const LOCK_WAIT_SECONDS: u32 = 30;

/// What a restore changes in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swap {
    /// Tables that come from the backup.
    pub shadows: Vec<Shadow>,
    /// Tables of the site that the backup does not have, and the names they get.
    pub aside: Vec<(String, String)>,
    /// What is defined on the site's tables now.
    pub before: Vec<Object>,
    /// What the backup defines.
    pub after: Vec<Object>,
}

impl Swap {
    /// Renames and redefines. On an error call [`Swap::undo`].
    pub fn apply(&self, conn: &mut Conn) -> Result<()> {
        let present = table_names(conn)?;
        let mut renames = Vec::new();
        for shadow in &self.shadows {
            if present.contains(&shadow.table) {
                renames.push((&shadow.table, &shadow.old));
            }
            renames.push((&shadow.shadow, &shadow.table));
        }
        renames.extend(self.aside.iter().map(|(table, old)| (table, old)));
        undefine(conn, &self.before)?;
        rename(conn, &renames)?;
        define(conn, &self.after)
    }

    /// Brings the site's own tables and definitions back, however far [`Swap::apply`] came.
    pub fn undo(&self, conn: &mut Conn) -> Result<()> {
        let present = table_names(conn)?;
        let swapped = |shadow: &&Shadow| !present.contains(&shadow.shadow) && present.contains(&shadow.table);
        let mut renames = Vec::new();
        for shadow in self.shadows.iter().filter(swapped) {
            renames.push((&shadow.table, &shadow.shadow));
            if present.contains(&shadow.old) {
                renames.push((&shadow.old, &shadow.table));
            }
        }
        let moved = self.aside.iter().filter(|(_, old)| present.contains(old));
        renames.extend(moved.map(|(table, old)| (old, table)));
        undefine(conn, &self.after)?;
        rename(conn, &renames)?;
        define(conn, &self.before)?;
        drop_shadows(conn, &self.shadows)
    }

    /// Drops what was replaced and adds the foreign keys. There is no way back after this.
    pub fn finish(&self, conn: &mut Conn) -> Result<()> {
        drop_tables(conn, self.shadows.iter().map(|shadow| shadow.old.as_str()))?;
        drop_tables(conn, self.aside.iter().map(|(_, old)| old.as_str()))?;
        for shadow in &self.shadows {
            let present = foreign_keys(conn, &shadow.table)?;
            for clause in
                shadow.foreign_keys.iter().filter(|clause| !present.iter().any(|key| key == *clause))
            {
                run(conn, &format!("ALTER TABLE {} ADD {clause}", identifier(&shadow.table)))?;
            }
        }
        Ok(())
    }
}

fn rename(conn: &mut Conn, renames: &[(&String, &String)]) -> Result<()> {
    if renames.is_empty() {
        return Ok(());
    }
    run(conn, &format!("SET lock_wait_timeout={LOCK_WAIT_SECONDS}"))?;
    let clauses: Vec<String> =
        renames.iter().map(|(from, to)| format!("{} TO {}", identifier(from), identifier(to))).collect();
    run(conn, &format!("RENAME TABLE {}", clauses.join(", ")))
}

fn undefine(conn: &mut Conn, objects: &[Object]) -> Result<()> {
    let views: Vec<String> = conn
        .query("SELECT table_name FROM information_schema.views WHERE table_schema=DATABASE()")
        .map_err(database("listing views"))?;
    let exists = |object: &&Object| object.kind != ObjectKind::View || views.contains(&object.name);
    for object in objects.iter().filter(exists) {
        run(conn, &drop_object(object))?;
    }
    Ok(())
}

/// Creates `objects`, each under the settings it was first created with.
fn define(conn: &mut Conn, objects: &[Object]) -> Result<()> {
    for view in objects.iter().filter(|object| object.kind == ObjectKind::View) {
        run(conn, &placeholder(view))?;
    }
    for object in objects {
        for statement in settings(object) {
            run(conn, &statement)?;
        }
        if object.kind != ObjectKind::View {
            run(conn, &drop_object(object))?;
        }
        let created = run(conn, &creation(object));
        run(conn, "SET NAMES utf8mb4")?;
        run(conn, "SET time_zone='+00:00', sql_mode='NO_AUTO_VALUE_ON_ZERO'")?;
        created.map_err(|error| error.context(format!("{} {}", object.kind.keyword(), object.name)))?;
    }
    Ok(())
}

/// Names of the tables that are there, views left out.
pub(crate) fn table_names(conn: &mut Conn) -> Result<HashSet<String>> {
    let names: Vec<String> = conn
        .query("SELECT table_name FROM information_schema.tables WHERE table_schema=DATABASE() AND table_type<>'VIEW'")
        .map_err(database("listing tables"))?;
    Ok(names.into_iter().collect())
}

fn foreign_keys(conn: &mut Conn, table: &str) -> Result<Vec<String>> {
    let create: Option<(String, String)> = conn
        .query_first(format!("SHOW CREATE TABLE {}", identifier(table)))
        .map_err(database("reading a definition"))?;
    Ok(create.map(|(_, create)| super::definition::without_foreign_keys(&create).1).unwrap_or_default())
}
