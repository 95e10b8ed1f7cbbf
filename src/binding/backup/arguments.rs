//! What the methods of `SLBP_Backup_Manager` are given, as the domain's types.

use std::path::PathBuf;

use ext_php_rs::convert::{FromZval, StubLiteral};
use ext_php_rs::exception::PhpException;
use ext_php_rs::flags::DataType;
use ext_php_rs::types::Zval;
use serde_json::Value;

use crate::backup::BackupId;
use crate::backup::catalog::Listed;
use crate::backup::format::{BackupType, Component, Purpose};
use crate::backup::job::{Create, Restore};
use crate::backup::rewrite::Wanted;
use crate::backup::settings::components;
use crate::binding::convert::json::from_zval;
use crate::config::fields::Fields;
use crate::error::{Error, Result};
use crate::remote::http::Url;

/// The `$components` parameter: a list of component names, all of them by default.
pub struct Components(pub Vec<Component>);

impl Components {
    /// The default.
    pub fn all() -> Self {
        Self(Component::ALL.to_vec())
    }

    /// The components that `value` lists.
    ///
    /// # Errors
    /// Anything that is none, naming `argument`.
    pub fn read(argument: &str, value: &Value) -> Result<Vec<Component>> {
        components(value).map_err(|expected| Error::invalid(argument, expected))
    }
}

impl FromZval<'_> for Components {
    const TYPE: DataType = DataType::Array;

    fn from_zval(zval: &Zval) -> Option<Self> {
        zval.array()?;
        let listed = from_zval(zval).and_then(|value| Self::read("$components", &value));
        match listed {
            Ok(components) => Some(Self(components)),
            Err(error) => {
                PhpException::from(error).throw();
                None
            }
        }
    }
}

impl StubLiteral for Components {
    fn stub_literal(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|component| format!("'{}'", component.name())).collect();
        format!("[{}]", names.join(", "))
    }
}

/// The type called `name`.
///
/// # Errors
/// There is none.
pub fn backup_type(name: &str) -> Result<BackupType> {
    let found = BackupType::ALL.into_iter().find(|kind| kind.name() == name);
    let expected = || format!("expected 'full', 'incremental' or 'differential', got '{name}'");
    found.ok_or_else(|| Error::invalid("$type", expected()))
}

/// What `create_backup` is to make, and whether in a process of its own.
///
/// # Errors
/// An unknown option or a wrong value; so in all readers below.
pub fn create(kind: &str, components: Vec<Component>, options: &Value) -> Result<(Create, bool)> {
    let kind = backup_type(kind)?;
    let fields = Fields::of("$options", options, &["async", "tables"])?;
    let detached = fields.truth("async")?.unwrap_or(false);
    let tables = fields.get("tables").cloned();
    Ok((Create { kind, components, purpose: Purpose::Manual, tables }, detached))
}

/// Whether work that has no other options goes to a process of its own.
///
/// # Errors
/// An unknown option or a wrong value.
pub fn detached(options: &Value) -> Result<bool> {
    Ok(Fields::of("$options", options, &["async"])?.truth("async")?.unwrap_or(false))
}

/// How `restore_backup` is to go about it.
pub struct RestoreOrder {
    /// What to restore.
    pub restore: Restore,
    /// Only to tell what would change.
    pub dry_run: bool,
    /// In a process of its own.
    pub detached: bool,
}

/// The order that the arguments of `restore_backup` are.
pub fn restore(backup: BackupId, components: Vec<Component>, options: &Value) -> Result<RestoreOrder> {
    let known = [
        "dry_run",
        "target_database",
        "target_dir",
        "tables",
        "keep_new_tables",
        "safety_backup",
        "search_replace",
        "new_url",
        "table_prefix",
        "async",
    ];
    let fields = Fields::of("$options", options, &known)?;
    let text = |key| match fields.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(fields.wrong(key, "expected a string")),
    };
    let target_dir = text("target_dir")?.map(PathBuf::from);
    if target_dir.as_ref().is_some_and(|path| !path.is_absolute()) {
        return Err(fields.wrong("target_dir", "expected an absolute path"));
    }
    Ok(RestoreOrder {
        dry_run: fields.truth("dry_run")?.unwrap_or(false),
        detached: fields.truth("async")?.unwrap_or(false),
        restore: Restore {
            backup,
            components,
            tables: names(&fields, "tables")?,
            keep_new_tables: fields.truth("keep_new_tables")?.unwrap_or(false),
            target_database: text("target_database")?,
            target_dir,
            safety_backup: fields.truth("safety_backup")?,
            rewrite: Wanted {
                search_replace: replacements(&fields)?,
                new_url: address(&fields, text("new_url")?)?,
                table_prefix: prefix(&fields, text("table_prefix")?)?,
            },
        },
    })
}

/// Old texts by new ones. A short old text would be found in everything.
fn replacements(fields: &Fields) -> Result<Vec<(String, String)>> {
    let expected = || fields.wrong("search_replace", "expected old texts of at least 4 bytes => new texts");
    match fields.get("search_replace") {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) if list.is_empty() => Ok(Vec::new()),
        Some(Value::Object(map)) => map
            .iter()
            .map(|(old, new)| Some((old.clone(), new.as_str()?.to_owned())).filter(|(old, _)| old.len() >= 4))
            .collect::<Option<_>>()
            .ok_or_else(expected),
        Some(_) => Err(expected()),
    }
}

fn address(fields: &Fields, url: Option<String>) -> Result<Option<String>> {
    match url {
        Some(url) if Url::parse("new_url", &url).is_err() => {
            Err(fields.wrong("new_url", "expected an address such as https://example.com"))
        }
        url => Ok(url),
    }
}

fn prefix(fields: &Fields, prefix: Option<String>) -> Result<Option<String>> {
    let usable = |text: &String| {
        text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match prefix {
        Some(text) if !usable(&text) => {
            Err(fields.wrong("table_prefix", "expected at most 32 letters, digits and '_'"))
        }
        prefix => Ok(prefix),
    }
}

fn names(fields: &Fields, key: &str) -> Result<Vec<String>> {
    match fields.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| fields.wrong(key, "expected a list of names")),
        Some(_) => Err(fields.wrong(key, "expected a list of names")),
    }
}

/// The backups of `all` that `filters` let through, in their order.
pub fn filter(all: Vec<Listed>, filters: &Value) -> Result<Vec<Listed>> {
    let fields = Fields::of("$filters", filters, &["type", "status", "component", "purpose", "limit"])?;
    let limit = fields.whole("limit")?.map_or(usize::MAX, |limit| limit as usize);
    let wanted = |key: &str, is: Value| fields.get(key).is_none_or(|wanted| *wanted == is);
    let through = |listed: &Listed| {
        let name = |kind: BackupType| Value::from(kind.name());
        let component = fields.get("component").and_then(Value::as_str);
        wanted("type", listed.kind.map_or(Value::Null, name))
            && wanted("status", word(&listed.status))
            && wanted("purpose", word(&listed.purpose))
            && component.is_none_or(|wanted| listed.components.iter().any(|one| one.name() == wanted))
    };
    Ok(all.into_iter().filter(through).take(limit).collect())
}

fn word(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
