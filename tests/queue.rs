//! The life of a task in a real MariaDB: queued, claimed, run, retried, held, cancelled, pruned.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

#[path = "queue/batches.rs"]
mod batches;
#[path = "queue/order.rs"]
mod order;
#[path = "queue/running.rs"]
mod running;
#[path = "queue/storing.rs"]
mod storing;
#[path = "queue/upkeep.rs"]
mod upkeep;

use std::time::Duration;

use slbp::queue::task::Task;
use slbp::queue::worker::{Outcome, Worker};

const DAY: Duration = Duration::from_secs(86_400);

fn done(_: &Task, _: &Worker) -> Outcome {
    Outcome::Done
}

fn failed(_: &Task, _: &Worker) -> Outcome {
    Outcome::Failed("gateway timed out".to_owned())
}
