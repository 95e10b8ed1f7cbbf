//! What only the host can do once the work is done: options, caches, mail, hooks.

use serde_json::{Value, json};

use super::results;
use crate::backup::job::{Done, Job, Work};
use crate::backup::remote::Copied;
use crate::backup::restore::Outcome;
use crate::binding::convert::json::to_zval;
use crate::binding::failure::log;
use crate::binding::wordpress::hooks;
use crate::binding::wordpress::options::HostOptions;
use crate::error::Result;
use crate::ports::Options;

/// Ends `job` on the host's side.
pub fn of(job: &Job, outcome: &Result<Done>, options: &HostOptions) {
    match (&job.work, outcome) {
        (Work::Create(_), Ok(Done::Created(manifest, copied))) => {
            let facts = json!({"backup_id": manifest.id, "size": manifest.size, "purpose": manifest.purpose});
            announce("slbp_backup_completed", &facts);
            let text = format!("Backup {} was made: {} bytes.", manifest.id, manifest.size);
            tell(job, options, Event::Completed, "Backup completed", &results::with_copies(text, copied));
            tell_of_copies(job, options, copied);
        }
        (Work::Copy, Ok(Done::Copied(copied))) => tell_of_copies(job, options, copied),
        (Work::Create(_), Err(error)) => {
            announce("slbp_backup_failed", &json!({"message": error.to_string()}));
            tell(job, options, Event::Failed, "Backup failed", &error.to_string());
        }
        (Work::Restore(restore), Ok(Done::Restored(outcome))) => {
            if restore.in_place() {
                take_effect(outcome, options);
            }
            let results = results::results(&restore.components, outcome);
            announce("slbp_backup_restored", &json!({"backup_id": restore.backup, "results": results}));
            let text = format!("Backup {} was restored.", restore.backup);
            tell(job, options, Event::Completed, "Restore completed", &text);
        }
        (Work::Restore(_), Err(error)) => {
            announce("slbp_restore_failed", &json!({"message": error.to_string()}));
            tell(job, options, Event::Failed, "Restore failed", &error.to_string());
        }
        (Work::Drill, Ok(Done::Drilled(drill))) if !drill.overall_success => {
            let text = drill.details.errors.join("\n");
            tell(job, options, Event::Failed, "Disaster recovery test failed", &text);
        }
        _ => {}
    }
}

/// What WordPress remembers is of the time before: it goes first, or options would be compared with it.
fn take_effect(outcome: &Outcome, options: &HostOptions) {
    hooks::call("wp_cache_flush", vec![]);
    if let Some(document) = &outcome.config {
        for name in document.apply(options) {
            log(&format!("option {name} could not be restored"));
        }
    }
    hooks::call("opcache_reset", vec![]);
}

/// Tells that a store of copies began to fail, once, and that it is well again.
fn tell_of_copies(job: &Job, options: &HostOptions, copied: &[Copied]) {
    for store in copied {
        if let Some(error) = &store.error {
            log(error);
            announce("slbp_backup_copy_failed", &json!({"store": store.name, "message": error}));
        }
        match &store.error {
            Some(error) if store.is_news => {
                let text = format!(
                    "{error}\n\nThe backups themselves are whole. What is missing is copied as soon as it can be."
                );
                tell(job, options, Event::Failed, "Backups are not copied", &text);
            }
            None if store.is_news => {
                let text =
                    format!("{} can be reached again; {} copies were made.", store.name, store.copied.len());
                tell(job, options, Event::Failed, "Backups are copied again", &text);
            }
            _ => {}
        }
    }
}

#[derive(Clone, Copy)]
enum Event {
    Completed,
    Failed,
}

/// Mails to whom the settings name.
fn tell(job: &Job, options: &HostOptions, event: Event, subject: &str, text: &str) {
    let Ok(settings) = job.settings() else { return };
    let wanted = match event {
        Event::Completed => settings.notify.completion,
        Event::Failed => settings.notify.failure,
    };
    let stored = |name| options.get(name).and_then(|value| value.as_str().map(str::to_owned));
    let Some(address) = settings.notify.email.or_else(|| stored("admin_email")).filter(|_| wanted) else {
        return;
    };
    let subject = format!("[{}] {subject}", stored("blogname").unwrap_or_else(|| "slbp".to_owned()));
    let sent = hooks::call("wp_mail", vec![&address, &subject, &text]);
    if sent.is_some_and(|sent| sent.bool() == Some(false)) {
        log(&format!("mail to {address} could not be sent: {text}"));
    }
}

fn announce(action: &str, facts: &Value) {
    hooks::call("do_action", vec![&action, &to_zval(facts)]);
}
