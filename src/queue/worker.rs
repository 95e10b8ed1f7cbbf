//! One worker: it takes tasks, hands them out one by one, and writes what came of them.
//!
//! Owns: when to claim, how many, when to write results, when to stop. Refuses to do: run a task.
//! The host asks [`Worker::next_task`] for a task, runs it, and tells [`Worker::report`]; between the two
//! nothing of ours is on the stack, because PHP may leave a handler by `longjmp`. After such an end
//! [`Worker::abandon`] settles what was left, and [`Worker::report_left`] where only the handler was
//! left and the worker lives. [`Worker::run`] is the loop for handlers in Rust.
//!
//! Results of quick tasks are written together, with the next claim and in its commit: at
//! `innodb_flush_log_at_trx_commit = 1` the commits per task decide the speed. They never wait
//! behind a task that may take long: before one of those they are written. Tasks that would be held
//! after a crash (money) are claimed alone and written at once.

mod options;
mod outcome;
mod pace;
mod results;

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub use options::{Stopper, Tally, WorkerOptions};
pub use outcome::{Handler, Outcome};

use self::pace::Tempo;
use self::results::Results;
use super::crash::OnCrash;
use super::heartbeat::Heartbeat;
use super::policy::Policies;
use super::store::{Claim, Finish, Gate};
use super::task::Task;
use super::{Queue, random};
use crate::error::Result;
use crate::ports::DatabaseFault;

/// How often a worker looks at gates, and offers to do what one worker does for all.
const DUTY_INTERVAL: Duration = Duration::from_secs(1);

/// Between two looks into an empty queue: at first, and at most.
const IDLE_WAITS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// After the database did not answer.
const OUTAGE_WAIT: Duration = Duration::from_secs(1);

/// A worker of this process.
pub struct Worker {
    queue: Arc<Queue>,
    options: WorkerOptions,
    policies: Policies,
    name: String,
    stopper: Stopper,
    started: Instant,
    tally: Tally,
    tempo: Tempo,
    heartbeat: Heartbeat,
    /// Taken and not begun.
    taken: VecDeque<(u64, Task)>,
    running: Option<Running>,
    results: Results,
    /// Whether the last task had to be alone: the next is then likely one of the same kind, and
    /// reading more than one row to take one is waste.
    is_serial: bool,
    /// The token of a claim that ended with a fault, perhaps after its commit.
    unanswered: Option<(u64, Instant)>,
    queues: Vec<String>,
    gates: Vec<Gate>,
    next_duty: Instant,
}

struct Running {
    task: Task,
    token: u64,
    began: Instant,
}

impl Worker {
    pub(super) fn new(queue: Arc<Queue>, policies: Policies, options: WorkerOptions) -> Self {
        let now = Instant::now();
        Self {
            heartbeat: Heartbeat::new(queue.heartbeat_settings()),
            queue,
            tempo: Tempo::new(options.batch),
            name: worker_name(),
            options,
            policies,
            stopper: Stopper::default(),
            started: now,
            tally: Tally::default(),
            taken: VecDeque::new(),
            running: None,
            results: Results::default(),
            is_serial: false,
            unanswered: None,
            queues: Vec::new(),
            gates: Vec::new(),
            next_duty: now,
        }
    }

    /// Lets `stopper` stop this worker, in place of the one it was made with.
    pub fn stop_with(&mut self, stopper: Stopper) {
        self.stopper = stopper;
    }

    /// What stops this worker from elsewhere.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// What it has done so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The task that is being run.
    pub fn current(&self) -> Option<&Task> {
        self.running.as_ref().map(|running| &running.task)
    }

    /// What becomes of this task when its worker dies.
    pub fn on_crash(&self, task: &Task) -> OnCrash {
        self.policies.on_crash(task)
    }

    /// Whether somebody asked the running task to stop; known within a third of the lease.
    pub fn is_cancel_requested(&self) -> bool {
        self.current().is_some_and(|task| task.cancel_requested || self.heartbeat.is_cancelled(task.id))
    }

    /// The next task to run, or `None` when this worker is through: told to stop, at a limit, or
    /// without work and not asked to wait. What it had taken and not begun is then given back.
    ///
    /// # Errors
    /// The database's, unless the worker waits for work: then it waits for the database too.
    pub fn next_task(&mut self) -> Result<Option<Task>> {
        let mut idle = IDLE_WAITS.0;
        while !self.is_through() {
            match self.step() {
                Ok(Some(task)) => return Ok(Some(task)),
                Ok(None) if self.options.wait => {
                    self.sleep(idle);
                    idle = (idle * 2).min(IDLE_WAITS.1);
                }
                Ok(None) => break,
                Err(fault) if self.options.wait && fault.may_pass() => self.sleep(OUTAGE_WAIT),
                Err(fault) => return Err(fault.into()),
            }
        }
        self.give_back()?;
        Ok(None)
    }

    /// Takes what came of the running task. While the database does not answer, a worker that waits
    /// keeps the result and writes it with the next ones.
    ///
    /// # Errors
    /// The database's. The result is kept all the same.
    pub fn report(&mut self, outcome: Outcome) -> Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        self.heartbeat.running(None);
        self.tempo.ran(&running.task.task_type, running.began.elapsed());
        self.tally.processed += 1;
        self.tally.failed += u64::from(matches!(outcome, Outcome::Failed(_)));
        let must_write = self.policies.on_crash(&running.task) != OnCrash::Retry;
        let how = self.judge(&running.task, outcome);
        self.results.push(running.task, running.token, how);
        if must_write || self.results.are_due() {
            match self.write_results() {
                Err(fault) if !(self.options.wait && fault.may_pass()) => return Err(fault.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The handler was left without a return, and this worker goes on: `exit()`. Its task is treated
    /// by the type's policy.
    ///
    /// # Errors
    /// The database's. The result is kept all the same.
    pub fn report_left(&mut self, message: &str) -> Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        self.heartbeat.running(None);
        let how = match self.policies.on_crash(&running.task) {
            OnCrash::Retry => self.judge(&running.task, Outcome::Failed(message.to_owned())),
            OnCrash::Fail => Finish::Dead(message.to_owned()),
            OnCrash::Hold => Finish::Held(format!("{message}; held, because it may have been done already")),
        };
        self.tally.processed += 1;
        self.tally.failed += 1;
        self.results.push(running.task, running.token, how);
        Ok(self.write_results()?)
    }

    /// The handler was left without a return, and this process ends: a fatal error, a time limit.
    /// Its task is treated by the type's policy; the others that were taken are given back.
    ///
    /// # Errors
    /// The database's. Leases that could not be given back then end by themselves.
    pub fn abandon(&mut self, message: &str) -> Result<()> {
        let settled = self.report_left(message);
        self.stopper.stop();
        self.give_back()?;
        settled
    }

    /// Runs tasks with `handler` until the worker is through.
    ///
    /// # Errors
    /// As [`Worker::next_task`].
    pub fn run(&mut self, handler: &dyn Handler) -> Result<Tally> {
        while let Some(task) = self.next_task()? {
            let outcome = handler.handle(&task, self);
            self.report(outcome)?;
        }
        Ok(self.tally)
    }

    fn is_through(&self) -> bool {
        self.stopper.is_stopped()
            || self.options.max_tasks.is_some_and(|most| self.tally.processed >= most)
            || self.options.max_time.is_some_and(|most| self.started.elapsed() >= most)
    }

    /// One attempt to get a task: from what was taken, else from the queue.
    fn step(&mut self) -> Result<Option<Task>, DatabaseFault> {
        if let Some(task) = self.next_taken()? {
            return Ok(Some(task));
        }
        self.do_duties()?;
        // What these results set free is there only after their commit: look once more.
        let has_results = !self.results.is_empty();
        self.claim()?;
        if self.taken.is_empty() && has_results {
            self.claim()?;
        }
        self.next_taken()
    }

    /// The next task of those that were taken, if it is surely still ours. A task stays in the list
    /// until it is begun: one that a fault made us forget would be kept alive by the heartbeat and
    /// run by nobody.
    fn next_taken(&mut self) -> Result<Option<Task>, DatabaseFault> {
        while let Some((token, task)) = self.taken.front() {
            let (token, id, is_quick) = (*token, task.id, self.tempo.is_quick(&task.task_type));
            if self.heartbeat.is_fresh(id) || self.is_still_ours(token, id)? {
                if !is_quick {
                    self.write_results()?;
                }
                return Ok(self.begin_next());
            }
            self.taken.pop_front();
            self.heartbeat.release(id);
            self.tally.lost += 1;
        }
        Ok(None)
    }

    fn begin_next(&mut self) -> Option<Task> {
        let (token, task) = self.taken.pop_front()?;
        self.heartbeat.running(Some((task.id, self.policies.timeout(&task))));
        self.running = Some(Running { task: task.clone(), token, began: Instant::now() });
        Some(task)
    }

    fn is_still_ours(&self, token: u64, id: u64) -> Result<bool, DatabaseFault> {
        let store = self.queue.own();
        Ok(!store.renew(&[id], token, self.queue.settings().lease)?.is_empty())
    }

    fn claim(&mut self) -> Result<(), DatabaseFault> {
        if let Some((token, since)) = self.unanswered {
            let tasks = self.queue.own().claimed_with(token)?;
            self.unanswered = None;
            if !tasks.is_empty() {
                self.take(token, tasks, since);
                return Ok(());
            }
        }
        let token = random::token();
        let since = Instant::now();
        let claim = Claim {
            queues: &self.queues,
            any_queue: self.options.queues.is_empty(),
            limit: if self.is_serial { 1 } else { self.limit() },
            lease: self.queue.settings().lease,
            token,
            worker: &self.name,
            gates: &self.gates,
            pace: self.queue.pace(),
            on_crash: &|task| self.policies.on_crash(task),
            skip_locked: self.queue.can_skip_locked()?,
        };
        let claimed = match self.queue.own().finish_and_claim(self.results.all(), &claim) {
            Ok(claimed) => claimed,
            Err(fault) => {
                self.unanswered = Some((token, since));
                return Err(fault);
            }
        };
        self.forget_results(claimed.lost);
        self.take(token, claimed.tasks, since);
        Ok(())
    }

    /// What one claim may take: as much as is done soon, and no more than the worker may still run.
    fn limit(&self) -> u32 {
        let left = self.options.max_tasks.map_or(u64::MAX, |most| most.saturating_sub(self.tally.processed));
        u32::try_from(left).unwrap_or(u32::MAX).min(self.tempo.batch())
    }

    fn take(&mut self, token: u64, tasks: Vec<Task>, since: Instant) {
        self.is_serial = tasks.first().is_some_and(|task| self.policies.on_crash(task) != OnCrash::Retry);
        if !tasks.is_empty() {
            self.heartbeat.keep(token, tasks.iter().map(|task| task.id).collect(), since);
            self.taken.extend(tasks.into_iter().map(|task| (token, task)));
        }
    }

    /// What an outcome means for this task.
    fn judge(&self, task: &Task, outcome: Outcome) -> Finish {
        let settings = self.queue.settings();
        let backoff = self.policies.backoff(&task.task_type, settings.backoff);
        outcome.finish(task, settings.retry_attempts + 1, backoff.delay(task.attempt, random::unit()))
    }

    fn write_results(&mut self) -> Result<(), DatabaseFault> {
        if !self.results.is_empty() {
            let lost = self.queue.own().finish(self.results.all())?;
            self.forget_results(lost);
        }
        Ok(())
    }

    /// The results are written, but for those whose lease was lost.
    fn forget_results(&mut self, lost: u64) {
        self.tally.lost += lost;
        for id in self.results.drain() {
            self.heartbeat.release(id);
        }
    }

    fn give_back(&mut self) -> Result<()> {
        for (token, task) in std::mem::take(&mut self.taken) {
            self.results.push(task, token, Finish::Released);
        }
        self.write_results()?;
        Ok(())
    }

    fn do_duties(&mut self) -> Result<(), DatabaseFault> {
        if Instant::now() < self.next_duty {
            return Ok(());
        }
        self.next_duty = Instant::now() + DUTY_INTERVAL;
        self.gates = self.queue.own().gates()?;
        self.queue.do_duties(self.options.wait)?;
        self.queues = match self.options.queues.is_empty() {
            true => self.queue.own().queues()?,
            false => self.options.queues.clone(),
        };
        Ok(())
    }

    /// Sleeps, but not through a stop.
    fn sleep(&self, time: Duration) {
        let end = Instant::now() + time.mul_f64(0.5 + random::unit());
        while Instant::now() < end && !self.is_through() {
            thread::sleep(IDLE_WAITS.0.min(end.saturating_duration_since(Instant::now())));
        }
    }
}

/// Host and process id, for people.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(char::is_ascii_graphic).take(80).collect();
    format!("{host}:{}", std::process::id())
}
