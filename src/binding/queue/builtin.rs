//! The built-in types of task: the domain's part and WordPress' part, one after the other.
//!
//! What the domain's part leaves for after WordPress' part is kept in [`runs`], not on the stack.

use ext_php_rs::types::Zval;
use serde_json::Value;

use super::handlers::{Answer, call, filter, function, wp_error};
use super::runs::{self, Middle};
use super::work::{left, settle};
use super::{HostedQueue, arguments, exports};
use crate::binding::convert::json;
use crate::binding::failure::log;
use crate::binding::wordpress::hooks;
use crate::error::{Error, Kind, Result};
use crate::queue::builtin::export::{self, Export};
use crate::queue::builtin::renewal::{self, ChargeResult, Renewal};
use crate::queue::builtin::{billing_run, campaign, cleanup, notifications};
use crate::queue::task::Task;
use crate::queue::worker::Outcome;

const TYPES: [&str; 7] = [
    "billing_run",
    "subscription_renewal",
    "send_notifications",
    "email_campaign",
    "data_export",
    "cleanup_logs",
    "sync_external_data",
];

/// Whether the type is a built-in one.
pub fn is_one(task_type: &str) -> bool {
    TYPES.contains(&task_type)
}

/// Runs a task of a built-in type and tells the worker what came of it.
///
/// # Errors
/// The database's, when the outcome could not be written.
pub fn run(hosted: &HostedQueue, task: Task) -> Result<()> {
    let queue = hosted.queue();
    let is_cancelled = &runs::is_cancel_requested;
    match task.task_type.as_str() {
        "billing_run" => report(billing_run::fan_out(queue, &task)),
        "send_notifications" => report(notifications::send(queue, &task, is_cancelled)),
        "cleanup_logs" => report(cleanup::run(queue, &task, is_cancelled)),
        "subscription_renewal" => renew(hosted, task),
        "email_campaign" => send_piece(hosted, task),
        "data_export" => write_export(hosted, task),
        _ => synchronize(task),
    }
}

/// The database's trouble is a failure of the task, which is then tried again.
fn report(outcome: Result<Outcome>) -> Result<()> {
    runs::report(outcome.unwrap_or_else(|error| Outcome::Failed(error.to_string())))
}

/// The ledger, the charge by `slbp_charge_subscription`, the ledger.
fn renew(hosted: &HostedQueue, task: Task) -> Result<()> {
    let (subscription, idempotency_key) = match renewal::begin(hosted.queue(), &task) {
        Ok(Renewal::Charge { subscription, key, idempotency_key }) => {
            runs::keep(Middle::Charge(key));
            (json::to_zval(&Value::Object(subscription)), function(&idempotency_key))
        }
        Ok(Renewal::Over(outcome)) => return runs::report(outcome),
        Err(error) => return report(Err(error)),
    };
    let array = arguments::task(&task);
    drop(task);
    let answer =
        filter("slbp_charge_subscription", vec![&Zval::null(), &subscription, &idempotency_key, &array]);
    if runs::is_given_up() {
        return Ok(());
    }
    let Middle::Charge(key) = runs::take_kept() else { return left() };
    match charged(answer) {
        Some(result) => note_charge(hosted, &key, result),
        None => left(),
    }
}

/// What the filter says of the charge; `None` when it ended the script.
fn charged(answer: Answer) -> Option<ChargeResult> {
    let value = match answer {
        Answer::Exited | Answer::Fatal => return None,
        Answer::Missing => return Some(ChargeResult::Unhandled),
        Answer::Threw(message) => return Some(ChargeResult::Unknown(message)),
        Answer::Value(value) => value,
    };
    if value.is_null() {
        return Some(ChargeResult::Unhandled);
    }
    if let Some(message) = wp_error(&value) {
        return Some(ChargeResult::Refused(message));
    }
    let in_array = |key: &str| value.array().and_then(|table| table.get(key)).map(Zval::dereference);
    let success = value.bool().or_else(|| in_array("success")?.bool());
    let text = |key: &str| in_array(key).and_then(Zval::string);
    Some(match success {
        Some(true) => ChargeResult::Charged { reference: text("transaction_id") },
        Some(false) => {
            let message = text("message").unwrap_or_else(|| "the charge was refused".to_owned());
            ChargeResult::Refused(message)
        }
        None => ChargeResult::Unknown(
            "the filter slbp_charge_subscription answered neither true, false nor an array with 'success'"
                .to_owned(),
        ),
    })
}

/// An entry that could not be settled is as a crash in the middle of the charge.
fn note_charge(hosted: &HostedQueue, key: &str, result: ChargeResult) -> Result<()> {
    let Some(task) = current() else { return Ok(()) };
    let on_crash = runs::with_worker(None, |worker| Some(worker.on_crash(&task)));
    let Some(on_crash) = on_crash else { return Ok(()) };
    match renewal::settle(hosted.queue(), &task, key, result, on_crash) {
        Ok(outcome) => runs::report(outcome),
        Err(error) => runs::report_left(&format!("what came of the charge could not be written: {error}")),
    }
}

/// The next piece of a campaign, message by message.
fn send_piece(hosted: &HostedQueue, task: Task) -> Result<()> {
    let Some(piece) = campaign::next_piece(&task) else { return runs::report(Outcome::Done) };
    if !hooks::exists("wp_mail") {
        return runs::report(Outcome::Dead("email_campaign needs WordPress' wp_mail".to_owned()));
    }
    let part = |key: &str| json::to_zval(task.task_data.get(key).unwrap_or(&Value::from("")));
    let (subject, message, headers) = (part("subject"), part("message"), part("headers"));
    let (id, from, count, total) = (task.id, piece.from, piece.recipients.len(), piece.total);
    runs::keep(Middle::Campaign(piece, Vec::new()));
    drop(task);
    for at in 0..count {
        if runs::is_cancel_requested() {
            return runs::report(Outcome::Cancelled);
        }
        let Some(address) = address(at) else {
            bounce(at, "this user has no address");
            continue;
        };
        let answer = call(&function("wp_mail"), vec![&address, &subject, &message, &headers]);
        if runs::is_given_up() {
            return Ok(());
        }
        match answer {
            Answer::Exited | Answer::Fatal => return left(),
            Answer::Threw(why) => bounce(at, &why),
            Answer::Value(sent) if sent.bool() == Some(true) => {}
            Answer::Value(_) | Answer::Missing => bounce(at, "wp_mail did not take it"),
        }
        if let Err(error) = note(hosted, id, from + at as u64 + 1, total, "messages") {
            log(&error.to_string());
        }
    }
    let Middle::Campaign(piece, bounces) = runs::take_kept() else { return left() };
    let next = current().map(|task| campaign::after(&task, &piece, &bounces));
    next.map_or(Ok(()), runs::report)
}

/// Where the message goes: recipients are addresses or ids of users.
fn address(at: usize) -> Option<Zval> {
    let recipient = runs::with_kept(|kept| match kept {
        Middle::Campaign(piece, _) => piece.recipients.get(at).map(json::to_zval),
        _ => None,
    })??;
    let id = recipient.long().or_else(|| recipient.str()?.trim().parse().ok());
    let Some(id) = id else { return Some(recipient) };
    let user = hooks::call("get_userdata", vec![&id])?;
    let email = user.object()?.try_call_method("get", vec![&"user_email"]).ok()?;
    email.is_string().then_some(email)
}

fn bounce(at: usize, why: &str) {
    runs::with_kept(|kept| {
        if let Middle::Campaign(piece, bounces) = kept {
            let recipient = piece.recipients.get(at).cloned().unwrap_or_default();
            bounces.push((recipient, why.to_owned()));
        }
    });
}

/// Writes the file, then tells the site: `slbp_export_ready($path, $task)`.
fn write_export(hosted: &HostedQueue, task: Task) -> Result<()> {
    let Some(folder) = exports::folder() else {
        return runs::report(Outcome::Dead("data_export needs WordPress' upload folder".to_owned()));
    };
    let exported = match export::write(hosted.queue(), &task, &folder, &runs::is_cancel_requested) {
        Ok(Export::Done(exported)) => exported,
        Ok(Export::Over(outcome)) => return runs::report(outcome),
        Err(error) => return report(Err(error)),
    };
    let name = exported.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    note(hosted, task.id, exported.rows, exported.rows, &name)?;
    let (path, array) = (function(&exported.path.to_string_lossy()), arguments::task(&task));
    drop((folder, exported, name, task));
    match call(&function("do_action"), vec![&"slbp_export_ready", &path, &array]) {
        Answer::Threw(message) => log(&format!("slbp_export_ready: {message}")),
        Answer::Exited | Answer::Fatal => return left(),
        Answer::Value(_) | Answer::Missing => {}
    }
    if runs::is_given_up() { Ok(()) } else { runs::report(Outcome::Done) }
}

fn synchronize(task: Task) -> Result<()> {
    let (data, array) = (json::to_zval(&task.task_data), arguments::task(&task));
    drop(task);
    let answer = filter("slbp_sync_external_data", vec![&false, &data, &array]);
    settle(answer, "nobody synchronizes: add a filter for slbp_sync_external_data")
}

fn note(hosted: &HostedQueue, id: u64, done: u64, total: u64, message: &str) -> Result<()> {
    let noted = hosted.own_store()?.progress(id, done, total, message);
    noted.map(drop).map_err(|fault| Error::new(Kind::Queue, fault.to_string()).context("progress"))
}

fn current() -> Option<Task> {
    runs::with_worker(None, |worker| worker.current().cloned())
}
