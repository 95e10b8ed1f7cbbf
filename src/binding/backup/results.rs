//! The arrays that the backups' methods return, and the bodies of their REST answers.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Performed;
use crate::backup::BackupId;
use crate::backup::catalog::{Listed, Status};
use crate::backup::drill;
use crate::backup::format::Component;
use crate::backup::job::Done;
use crate::backup::remote::{Copied, Deleted};
use crate::backup::restore::{Outcome, Preview};
use crate::backup::retention::Verdict;
use crate::backup::verify::Report;
use crate::error::Error;

/// The tree of a value of ours.
pub fn tree(value: &impl Serialize) -> Value {
    // Fails only for maps whose keys are no strings; ours have none.
    serde_json::to_value(value).unwrap_or_default()
}

/// A backup that was made or begun; `info` is what the list says of it.
pub fn created(performed: &Performed, info: Option<&Listed>) -> Value {
    let id = match performed {
        Performed::Started(id) => id.clone(),
        Performed::Done(Done::Created(manifest, _)) => manifest.id.clone(),
        Performed::Done(_) => return Value::Null,
    };
    let (status, message) = match (performed, info.map(|info| info.status)) {
        (Performed::Started(_), _) => ("in_progress", format!("Backup {id} is being made.")),
        (_, Some(Status::Partial)) => {
            ("partial", format!("Backup {id} was made; some files could not be read."))
        }
        _ => ("completed", format!("Backup {id} was made.")),
    };
    let message = match performed {
        Performed::Done(Done::Created(_, copied)) => with_copies(message, copied),
        _ => message,
    };
    json!({"success": true, "backup_id": id, "status": status, "message": message, "backup_info": info})
}

/// `message`, and which stores did not get their copy.
pub fn with_copies(message: String, copied: &[Copied]) -> String {
    let failed = copied.iter().filter_map(|store| store.error.as_ref());
    failed.fold(message, |message, error| format!("{message} It is not copied yet: {error}."))
}

/// A backup that could not be made.
pub fn not_created(error: &Error) -> Value {
    let message = error.to_string();
    json!({"success": false, "backup_id": null, "status": "failed", "message": message, "backup_info": null})
}

/// Nothing is due, or backups are not made by themselves.
pub fn not_due(newest: Option<&Listed>) -> Value {
    json!({
        "success": true,
        "backup_id": newest.map(|listed| &listed.id),
        "status": "not_due",
        "message": "No backup is due.",
        "backup_info": newest,
    })
}

/// A restore that was done or begun.
pub fn restored(id: &BackupId, components: &[Component], performed: &Performed) -> Value {
    match performed {
        Performed::Done(Done::Restored(outcome)) => {
            let message = match outcome.warnings.as_slice() {
                [] => format!("Backup {id} was restored."),
                warnings => format!("Backup {id} was restored: {}.", warnings.join("; ")),
            };
            restore(
                id,
                true,
                "completed",
                message,
                Some(results(components, outcome)),
                outcome.safety.as_ref(),
            )
        }
        _ => restore(id, true, "in_progress", format!("Backup {id} is being restored."), None, None),
    }
}

/// What a restore would do.
pub fn planned(id: &BackupId, components: &[Component], preview: &Preview) -> Value {
    let results = parts(components, preview);
    restore(
        id,
        true,
        "planned",
        format!("Backup {id} can be restored; nothing was changed."),
        Some(results),
        None,
    )
}

/// A restore that failed; the site is as it was.
pub fn not_restored(id: &BackupId, error: &Error) -> Value {
    restore(id, false, "failed", error.to_string(), None, None)
}

fn restore(
    id: &BackupId,
    success: bool,
    status: &str,
    message: String,
    results: Option<Value>,
    safety: Option<&BackupId>,
) -> Value {
    json!({
        "success": success,
        "backup_id": id,
        "status": status,
        "message": message,
        "restore_results": results.unwrap_or_else(|| Value::Object(Map::new())),
        "safety_backup_id": safety,
    })
}

/// A part for each component that the backup had and that was asked for.
pub fn results(components: &[Component], outcome: &Outcome) -> Value {
    parts(components, &outcome.preview)
}

fn parts(components: &[Component], preview: &Preview) -> Value {
    let mut parts = Map::new();
    let tables = preview.replaced_tables.len() + preview.added_tables.len();
    if components.contains(&Component::Database) && tables + preview.removed_tables.len() > 0 {
        let part = json!({
            "success": true,
            "tables": tables,
            "rows": preview.rows,
            "replaced_tables": preview.replaced_tables,
            "added_tables": preview.added_tables,
            "removed_tables": preview.removed_tables,
            "rewritten_rows": preview.rewritten_rows,
            "malformed_values": preview.malformed_values,
        });
        parts.insert("database".to_owned(), part);
    }
    if components.contains(&Component::Files) && preview.files > 0 {
        parts.insert("files".to_owned(), json!({"success": true, "files": preview.files}));
    }
    if components.contains(&Component::Config) && !preview.options.is_empty() {
        parts.insert("config".to_owned(), json!({"success": true, "options": preview.options}));
    }
    Value::Object(parts)
}

/// What a check found, or that it was begun.
pub fn verified(id: &BackupId, performed: &Performed) -> Value {
    match performed {
        Performed::Done(Done::Verified(id, report)) => checked(id, report),
        _ => json!({
            "success": true,
            "backup_id": id,
            "status": "in_progress",
            "message": format!("Backup {id} is being verified."),
        }),
    }
}

fn checked(id: &BackupId, report: &Report) -> Value {
    json!({
        "success": report.success(),
        "backup_id": id,
        "status": if report.success() { "completed" } else { "failed" },
        "message": verdict(report),
        "contents_checked": !report.unopened,
        "checked_files": report.checked_files,
        "checked_bytes": report.checked_bytes,
        "checked_rows": report.checked_rows,
        "errors": report.errors,
    })
}

fn verdict(report: &Report) -> String {
    let (files, rows) = (report.checked_files, report.checked_rows);
    match (report.success(), report.unopened) {
        (false, _) => report.errors.join("; "),
        (true, false) => format!("{files} files and {rows} rows are what was written."),
        (true, true) => format!(
            "{files} files are what was written. They were not opened: the backup is encrypted, and \
             encryption_key names no identity (AGE-SECRET-KEY-1…) to open it with."
        ),
    }
}

/// A check that could not be done.
pub fn not_verified(id: &BackupId, error: &Error) -> Value {
    checked(id, &Report { errors: vec![error.to_string()], ..Report::default() })
}

/// What was deleted.
pub fn deleted(id: &BackupId, deleted: &Deleted) -> Value {
    let message = sentences(format!("Backup {id} was deleted."), &deleted.warnings);
    json!({"success": true, "backup_id": id, "message": message, "warnings": deleted.warnings})
}

/// Why nothing was deleted.
pub fn not_deleted(id: &BackupId, error: &Error) -> Value {
    json!({"success": false, "backup_id": id, "message": error.to_string(), "warnings": []})
}

/// What retention did.
pub fn cleaned((verdict, copies): &(Verdict, Deleted)) -> Value {
    let message = format!("{} backups were deleted, {} are kept.", verdict.delete.len(), verdict.keep.len());
    json!({
        "success": true,
        "deleted": verdict.delete,
        "deleted_copies": copies.gone,
        "kept": verdict.keep.len(),
        "message": sentences(message, &copies.warnings),
    })
}

fn sentences(first: String, more: &[String]) -> String {
    more.iter().fold(first, |text, sentence| format!("{text} {sentence}."))
}

/// A backup that was brought here, or is on its way.
pub fn fetched(id: &BackupId, performed: &Performed) -> Value {
    let (status, message) = match performed {
        Performed::Done(Done::Fetched(_, ids)) if ids.is_empty() => {
            ("completed", format!("Backup {id} is here already."))
        }
        Performed::Done(_) => ("completed", format!("Backup {id} is here now, with all it builds on.")),
        Performed::Started(_) => ("in_progress", format!("Backup {id} is being downloaded.")),
    };
    json!({"success": true, "backup_id": id, "status": status, "message": message})
}

/// Why it was not brought here.
pub fn not_fetched(id: &BackupId, error: &Error) -> Value {
    json!({"success": false, "backup_id": id, "status": "failed", "message": error.to_string()})
}

/// What came of copying.
pub fn copied(performed: &Performed) -> Value {
    let Performed::Done(Done::Copied(stores)) = performed else {
        return json!({"success": true, "status": "in_progress", "message": "Copies are being made.", "stores": []});
    };
    let told: Vec<Value> = stores
        .iter()
        .map(|store| json!({"name": store.name, "copied": store.copied, "error": store.error}))
        .collect();
    let count: usize = stores.iter().map(|store| store.copied.len()).sum();
    let errors: Vec<String> = stores.iter().filter_map(|store| store.error.clone()).collect();
    let status = if errors.is_empty() { "completed" } else { "failed" };
    let message = sentences(format!("{count} copies were made."), &errors);
    json!({"success": errors.is_empty(), "status": status, "message": message, "stores": told})
}

/// Why no copies were made.
pub fn not_copied(error: &Error) -> Value {
    json!({"success": false, "status": "failed", "message": error.to_string(), "stores": []})
}

/// Why retention did nothing.
pub fn not_cleaned(error: &Error) -> Value {
    json!({"success": false, "deleted": [], "deleted_copies": [], "kept": null, "message": error.to_string()})
}

/// What a test of disaster recovery came to.
pub fn drilled(performed: &Performed) -> Value {
    match performed {
        Performed::Done(Done::Drilled(outcome)) => tree(outcome.as_ref()),
        Performed::Started(id) => json!({"status": "in_progress", "backup_id": id}),
        Performed::Done(_) => Value::Null,
    }
}

/// A test that could not begin.
pub fn not_drilled(error: &Error) -> Value {
    let details = drill::Details { errors: vec![error.to_string()], ..Default::default() };
    tree(&drill::Outcome { details, ..Default::default() })
}
