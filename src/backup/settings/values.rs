//! Reading one value each: what it may be, and what was expected where it is something else.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Notify, Site};
use crate::backup::age::Keys;
use crate::backup::database::TableFilter;
use crate::backup::files::{Root, Source};
use crate::backup::format::Component;
use crate::backup::gzip::LEVEL;
use crate::backup::schedule::Every;
use crate::config::fields::Fields;
use crate::config::lax;

pub(super) fn whole(prefix: &str) -> TableFilter {
    if prefix.is_empty() { TableFilter::All } else { TableFilter::Prefix(prefix.to_owned()) }
}

pub(super) fn tables(value: &Value, prefix: &str) -> Result<TableFilter, String> {
    match value.as_str() {
        Some("site") => return Ok(whole(prefix)),
        Some("slbp") => return Ok(TableFilter::Prefix(format!("{prefix}slbp_"))),
        Some("all") => return Ok(TableFilter::All),
        _ => {}
    }
    let names = strings(value).filter(|names| !names.is_empty());
    names.map(TableFilter::Named).ok_or_else(|| {
        format!("expected 'site', 'slbp', 'all' or a list of names, got {}", lax::describe(value))
    })
}

pub(super) fn files(value: &Value, site: &Site) -> Result<Source, String> {
    let expected = || "expected an array with 'roots' and 'exclude'".to_owned();
    let fields = Fields::of("files", value, &["roots", "exclude"]).map_err(|error| error.to_string())?;
    let usual = site.files();
    let roots = match fields.get("roots") {
        None => usual.roots,
        Some(Value::Object(map)) => {
            let root = |(name, path): (&String, &Value)| {
                Some(Root { name: name.clone(), path: PathBuf::from(path.as_str()?) })
            };
            map.iter().map(root).collect::<Option<_>>().ok_or_else(expected)?
        }
        Some(list) => {
            let paths = strings(list).ok_or_else(expected)?;
            paths.iter().map(|path| named_root(Path::new(path), site)).collect()
        }
    };
    let exclude = match fields.get("exclude") {
        None => usual.exclude,
        Some(list) => strings(list).ok_or_else(expected)?,
    };
    let source = Source { roots, exclude };
    source.sorted_roots().map_err(|error| error.to_string())?;
    Ok(source)
}

/// A folder of the site by its path below it, another by its own name.
fn named_root(path: &Path, site: &Site) -> Root {
    let below = site.root.as_ref().and_then(|root| path.strip_prefix(root).ok());
    let name = below.or_else(|| path.file_name().map(Path::new)).unwrap_or(Path::new(""));
    Root { name: name.to_string_lossy().into_owned(), path: path.to_owned() }
}

/// `true` is the default level, `false` stores without compressing.
pub(super) fn level(value: &Value) -> Result<u32, String> {
    match truth(value) {
        Ok(true) => Ok(LEVEL),
        Ok(false) => Ok(0),
        Err(_) => number(value).and_then(|level| up_to(level, 9)),
    }
}

/// Age keys, or the absolute path of a file with them; `None` for an empty text.
pub(super) fn keys(value: &Value) -> Result<Option<Keys>, String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        list => strings(list).ok_or("expected age keys as a string or a list of strings")?.join(" "),
    };
    if text.is_empty() {
        return Ok(None);
    }
    if !text.starts_with('/') {
        return Keys::parse(&text).map(Some);
    }
    let contents =
        fs::read_to_string(&text).map_err(|error| format!("cannot read the file it names: {error}"))?;
    Keys::parse(&contents).map(Some).map_err(|wrong| format!("in the file it names, {wrong}"))
}

pub(super) fn every(value: &Value) -> Result<Every, String> {
    match value.as_str() {
        Some("daily") => Ok(Every::Daily),
        Some("weekly") => Ok(Every::Weekly),
        Some("monthly") => Ok(Every::Monthly),
        _ => Err(format!("expected 'daily', 'weekly' or 'monthly', got {}", lax::describe(value))),
    }
}

/// A list of components, each once.
pub fn components(value: &Value) -> Result<Vec<Component>, String> {
    let names = strings(value).filter(|names| !names.is_empty());
    let names = names.ok_or_else(|| format!("expected a list of {}", Component::NAMES))?;
    let mut found = Vec::new();
    for name in names {
        let known = Component::ALL.into_iter().find(|component| component.name() == name);
        let component = known.ok_or_else(|| format!("expected {}, got '{name}'", Component::NAMES))?;
        if !found.contains(&component) {
            found.push(component);
        }
    }
    Ok(found)
}

pub(super) fn notify(value: &Value) -> Result<Notify, String> {
    let keys = ["email_on_completion", "email_on_failure", "email"];
    let fields = Fields::of("notifications", value, &keys).map_err(|error| error.to_string())?;
    let flag = |key| fields.truth(key).map_err(|error| error.to_string());
    Ok(Notify {
        completion: flag("email_on_completion")?.unwrap_or(false),
        failure: flag("email_on_failure")?.unwrap_or(true),
        email: fields.get("email").and_then(Value::as_str).map(str::to_owned).filter(|text| !text.is_empty()),
    })
}

fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::Object(map) => map.values().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

pub(super) fn truth(value: &Value) -> Result<bool, String> {
    lax::bool(value).map_err(|error| error.to_string())
}

pub(super) fn number(value: &Value) -> Result<u64, String> {
    lax::u64(value).map_err(|error| error.to_string())
}

pub(super) fn up_to(number: u64, most: u32) -> Result<u32, String> {
    let fits = u32::try_from(number).ok().filter(|number| *number <= most);
    fits.ok_or_else(|| format!("expected 0 to {most}, got {number}"))
}
