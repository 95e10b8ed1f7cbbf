//! A task: as it is asked for, and as it stands in the table.

mod request;
mod row;

pub(in crate::queue) use request::on_crash;
pub use request::{DEFAULT_PRIORITY, DEFAULT_QUEUE, Dependency, TaskRequest};
pub use row::{Progress, Task};

use crate::error::{Error, Result};

/// As the public `task_type` column has it.
const MAX_NAME: usize = 50;

/// Whether `text` can stand in an ASCII column of the queue and in a log line.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(plain)
}

fn name(argument: &str, text: &str) -> Result<String> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(Error::invalid(argument, format!("expected 1 to {MAX_NAME} of A-Z a-z 0-9 _ - . : /, got '{text}'")))
}
