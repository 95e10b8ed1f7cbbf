//! The other end of [`super::detach`]: the process that was started for one piece of work.

use std::cell::RefCell;
use std::io::{Read, Write};

use ext_php_rs::prelude::*;
use serde_json::{Value, json};

use super::{aftermath, host};
use crate::backup::BackupId;
use crate::backup::job::{Done, Job};
use crate::binding::failure::log;
use crate::binding::wordpress::options::HostOptions;
use crate::clock::SystemClock;
use crate::error::{Error, Kind, Result};

thread_local! {
    static ENDED: RefCell<Option<(Job, Result<Done>)>> = const { RefCell::new(None) };
}

/// Registers the functions of this file.
pub fn functions(module: ModuleBuilder<'_>) -> ModuleBuilder<'_> {
    module.function(wrap_function!(slbp_backup_worker)).function(wrap_function!(slbp_backup_worker_end))
}

/// Does the job that stands on standard input.
///
/// Returns the file that loads WordPress for what is left to do, and the site's host name; both are
/// empty when nothing is left.
#[php_function]
pub fn slbp_backup_worker() -> Vec<String> {
    if host::is_web() {
        // Its standard input is no job but php-fpm's own socket.
        return vec![String::new(), String::new()];
    }
    let outcome = read().map(|job| {
        let mut announced = false;
        let outcome = job.run(&SystemClock, &mut |id: &BackupId| {
            announced = true;
            tell(&json!({"id": id}));
        });
        if let Err(error) = &outcome {
            log(&error.to_string());
            if !announced {
                tell(&json!({"error": error.to_string()}));
            }
        }
        (job, outcome)
    });
    match outcome {
        Ok((job, outcome)) => {
            let left = what_is_left(&job);
            ENDED.with_borrow_mut(|ended| *ended = Some((job, outcome)));
            left
        }
        Err(error) => {
            tell(&json!({"error": error.to_string()}));
            vec![String::new(), String::new()]
        }
    }
}

/// Does what only WordPress can do, once it is loaded.
#[php_function]
pub fn slbp_backup_worker_end() {
    if let Some((job, outcome)) = ENDED.take() {
        aftermath::of(&job, &outcome, &HostOptions::find());
    }
}

fn read() -> Result<Job> {
    let mut text = Vec::new();
    let failed = |error: &dyn std::fmt::Display| {
        Error::new(Kind::Backup, format!("the backup process was given no job: {error}"))
    };
    std::io::stdin().read_to_end(&mut text).map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&error))
}

fn what_is_left(job: &Job) -> Vec<String> {
    let load = job.site.root.as_ref().map(|root| root.join("wp-load.php")).filter(|path| path.is_file());
    let home = job.document.facts.get("home").and_then(Value::as_str).unwrap_or_default();
    let host = home.split('/').nth(2).unwrap_or("localhost");
    vec![load.map_or_else(String::new, |path| path.to_string_lossy().into_owned()), host.to_owned()]
}

/// One line for whoever started this process, which may have gone already.
fn tell(line: &Value) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
