//! A worker takes tasks: under a fresh token, for the time of a lease, each by one worker only.
//!
//! The rows are read in the order of the index and locked as they are read. Workers skip what
//! others have locked, so that they do not wait for one another and do not all get the same head.
//! Where the server has no SKIP LOCKED (MySQL 5.7, MariaDB 10.5), the read locks nothing, and of two
//! workers that want the same row the first to change its state has it.

use std::time::Duration;

use super::{Finished, Gate, Pace, Store};
use crate::ports::DatabaseFault;
use crate::queue::crash::OnCrash;
use crate::queue::sql::{self, NOW, transaction};
use crate::queue::state::State;
use crate::queue::task::Task;

/// How often a claim looks again after it has set tasks aside that wait for their type.
const MOST_ROUNDS: usize = 10;

/// What a worker wants, and who it is.
pub struct Claim<'c> {
    /// The queues it takes tasks from.
    pub queues: &'c [String],
    /// Whether these are all there are.
    pub any_queue: bool,
    /// How many tasks at most.
    pub limit: u32,
    /// How long it keeps them without a sign of life.
    pub lease: Duration,
    /// The fencing token of this claim: random, and never used before.
    pub token: u64,
    /// Host and process id.
    pub worker: &'c str,
    /// The types that are paused or limited.
    pub gates: &'c [Gate],
    /// The arithmetic of rates.
    pub pace: &'c dyn Pace,
    /// What becomes of a task of this type when its worker dies.
    pub on_crash: &'c dyn Fn(&Task) -> OnCrash,
    /// Whether the server can skip locked rows.
    pub skip_locked: bool,
}

/// What a worker got.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The tasks, in the order in which to run them.
    pub tasks: Vec<Task>,
    /// How many of the leases that were to be finished first had been lost.
    pub lost: u64,
}

/// A task with its place in the order.
struct Candidate {
    task: Task,
    sort_key: i64,
}

impl Claim<'_> {
    fn lock(&self) -> &'static str {
        if self.skip_locked { "FOR UPDATE SKIP LOCKED" } else { "" }
    }

    /// Whether a task must be the only one its worker has: when its worker dies, it must be known
    /// that this one was running, because it is then held, or has crashed before and is suspected.
    fn is_alone(&self, task: &Task) -> bool {
        (self.on_crash)(task) != OnCrash::Retry || task.crash_count > 0
    }

    /// The best of `candidates`: the first alone, or those before the next that must be alone.
    fn choose(&self, mut candidates: Vec<Candidate>) -> Vec<Task> {
        candidates.sort_by_key(|candidate| (candidate.sort_key, candidate.task.run_at, candidate.task.id));
        let mut tasks = candidates.into_iter().map(|candidate| candidate.task).peekable();
        match tasks.next_if(|task| self.is_alone(task)) {
            Some(task) => vec![task],
            None => tasks.take_while(|task| !self.is_alone(task)).take(self.limit as usize).collect(),
        }
    }
}

impl Store<'_> {
    /// Finds out whether the server can skip locked rows, by trying it: versions lie.
    pub fn can_skip_locked(&self) -> Result<bool, DatabaseFault> {
        let statement = format!("SELECT id FROM {} WHERE id = 0 FOR UPDATE SKIP LOCKED", self.tables.tasks);
        match self.db.query(&statement) {
            Ok(_) => Ok(true),
            Err(fault) if fault.code == 1064 => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Writes what came of the tasks before and takes new ones, in one commit.
    pub fn finish_and_claim(
        &self,
        finished: &[Finished],
        claim: &Claim<'_>,
    ) -> Result<Claimed, DatabaseFault> {
        self.origin()?;
        let claimed = transaction(self.db, || {
            let lost = if finished.is_empty() { 0 } else { self.write_finished(finished)? };
            Ok(Claimed { tasks: self.take(claim)?, lost })
        })?;
        self.wake_after(finished);
        Ok(claimed)
    }

    /// The tasks that carry this token: what a claim got whose commit was not answered.
    pub fn claimed_with(&self, token: u64) -> Result<Vec<Task>, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT {} FROM {} WHERE state = {} AND lease_token = {token} ORDER BY id",
            Task::COLUMNS,
            self.tables.tasks,
            State::Leased.code()
        ))?;
        let origin = self.origin()?;
        rows.iter().map(|row| Task::read(row, origin)).collect()
    }

    fn take(&self, claim: &Claim<'_>) -> Result<Vec<Task>, DatabaseFault> {
        let mut candidates = Vec::new();
        for queue in claim.queues {
            candidates.extend(self.ready_in(queue, claim)?);
        }
        let admitted = self.admit(claim)?;
        for gate in &admitted {
            candidates.extend(self.gated_by(gate.task_type, gate.room, claim)?);
        }
        let tasks = self.lease(claim.choose(candidates), claim)?;
        self.charge(&admitted, &tasks, claim.pace)?;
        Ok(tasks)
    }

    /// The head of a queue. What waits for its type is set aside, so that it is not in the way of
    /// every claim: 100,000 tasks of a paused type would be read each time.
    fn ready_in(&self, queue: &str, claim: &Claim<'_>) -> Result<Vec<Candidate>, DatabaseFault> {
        let mut ready = Vec::new();
        for _ in 0..MOST_ROUNDS {
            let found = self.candidates(State::Ready, queue, "", claim.limit, claim)?;
            let (gated, free): (Vec<_>, Vec<_>) = found
                .into_iter()
                .partition(|candidate| claim.gates.iter().any(|gate| gate.is_for(&candidate.task)));
            let is_last = gated.is_empty();
            self.set_aside(&gated)?;
            ready = free;
            if is_last || ready.len() >= claim.limit as usize {
                break;
            }
        }
        Ok(ready)
    }

    fn gated_by(
        &self,
        task_type: &str,
        room: u32,
        claim: &Claim<'_>,
    ) -> Result<Vec<Candidate>, DatabaseFault> {
        let queues = sql::list(claim.queues.iter().map(|queue| sql::text(queue)));
        let condition = if claim.any_queue { String::new() } else { format!("AND queue IN ({queues})") };
        self.candidates(State::Gated, task_type, &condition, room.min(claim.limit), claim)
    }

    fn candidates(
        &self,
        state: State,
        lane: &str,
        condition: &str,
        limit: u32,
        claim: &Claim<'_>,
    ) -> Result<Vec<Candidate>, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT sort_key, {} FROM {} FORCE INDEX (slbp_claim) WHERE state = {} AND lane = {} {condition}
             ORDER BY sort_key, run_at, id LIMIT {limit} {}",
            Task::COLUMNS,
            self.tables.tasks,
            state.code(),
            sql::text(lane),
            claim.lock()
        ))?;
        let origin = self.origin()?;
        let candidate = |mut row: crate::ports::Row| {
            let task = row.split_off(1);
            Ok(Candidate { sort_key: sql::Columns::of(&row).number()?, task: Task::read(&task, origin)? })
        };
        rows.into_iter().map(candidate).collect()
    }

    fn set_aside(&self, gated: &[Candidate]) -> Result<(), DatabaseFault> {
        if gated.is_empty() {
            return Ok(());
        }
        let statement = format!(
            "UPDATE {} SET state = {}, lane = task_type WHERE id IN ({}) AND state = {}",
            self.tables.tasks,
            State::Gated.code(),
            sql::list(gated.iter().map(|candidate| candidate.task.id)),
            State::Ready.code()
        );
        self.db.execute(&statement).map(drop)
    }

    /// Marks `tasks` as this worker's and answers those that really are.
    fn lease(&self, tasks: Vec<Task>, claim: &Claim<'_>) -> Result<Vec<Task>, DatabaseFault> {
        let Some(first) = tasks.first() else { return Ok(tasks) };
        let (table, ids) = (&self.tables.tasks, sql::list(tasks.iter().map(|task| task.id)));
        let done = self.db.execute(&format!(
            "UPDATE {table} SET state = {}, lane = task_type, sort_key = {NOW} + {}, status = '{}', started_at = {},
             completed_at = NULL, lease_token = {}, worker = {}, on_crash = {}
             WHERE id IN ({ids}) AND state IN ({})",
            State::Leased.code(),
            claim.lease.as_micros(),
            State::Leased.status(),
            self.local_now(),
            claim.token,
            sql::text(claim.worker),
            (claim.on_crash)(first).code(),
            sql::states(State::Leased.entered_from())
        ))?;
        if done.affected == tasks.len() as u64 {
            return Ok(tasks);
        }
        let ours: Vec<u64> = sql::numbers(&self.db.query(&format!(
            "SELECT id FROM {table} WHERE id IN ({ids}) AND lease_token = {}",
            claim.token
        ))?)?;
        Ok(tasks.into_iter().filter(|task| ours.contains(&task.id)).collect())
    }
}
