//! A task is stored: one statement, so that it is all there or not at all, in the caller's
//! transaction or without one.

use sha2::{Digest, Sha256};

use super::Store;
use crate::error::{Error, Kind, Result};
use crate::ports::DatabaseFault;
use crate::queue::order;
use crate::queue::sql::{self, NOW};
use crate::queue::state::State;
use crate::queue::task::{Dependency, TaskRequest};

/// A multi-row INSERT is cut at this size: larger ones are no faster, and hold their locks longer.
const CHUNK_BYTES: usize = ALWAYS_ROOM;
const CHUNK_ROWS: usize = 1000;

/// What every server takes in one statement: the smallest default of `max_allowed_packet` is 1 MiB.
const ALWAYS_ROOM: usize = 900 << 10;

const COLUMNS: &str = "task_type, task_data, priority, status, scheduled_at, created_at, state, lane, sort_key, \
     run_at, queue, on_crash, max_attempts, timeout, unique_key, batch_id, batch_open, after_tasks";

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The task, new or not.
    pub id: u64,
    /// Whether it was there already, under the same unique key.
    pub existed: bool,
}

impl Store<'_> {
    /// Stores one task.
    ///
    /// # Errors
    /// Invalid argument when it waits for a task that does not exist; [`Kind::Queue`] when the
    /// server would not take a statement of its size; else the database's fault.
    pub fn enqueue(&self, request: &TaskRequest) -> Result<Enqueued> {
        self.require_dependencies(std::slice::from_ref(request))?;
        let row = self.row(request);
        self.require_room(row.len())?;
        let enqueued = self.insert_one(request, &row)?;
        if !enqueued.existed && !request.after.is_empty() {
            self.settle(&[enqueued.id])?;
        }
        Ok(enqueued)
    }

    /// Stores many tasks with few statements; their ids in the order of the requests.
    ///
    /// # Errors
    /// As [`Store::enqueue`]. What fails before the first statement stores nothing; a fault of the
    /// database in between leaves the tasks stored before, unless a transaction is open.
    pub fn enqueue_all(&self, requests: &[TaskRequest]) -> Result<Vec<u64>> {
        self.require_dependencies(requests)?;
        let rows: Vec<String> = requests.iter().map(|request| self.row(request)).collect();
        self.require_room(rows.iter().map(String::len).max().unwrap_or_default())?;
        let step: u64 = sql::first(&self.db.query("SELECT @@auto_increment_increment")?)?.unwrap_or(1);

        let mut ids = Vec::with_capacity(requests.len());
        let mut pending: Vec<&str> = Vec::new();
        let mut bytes = 0;
        for (request, row) in requests.iter().zip(&rows) {
            let is_full = pending.len() == CHUNK_ROWS || bytes + row.len() > CHUNK_BYTES;
            if is_full || request.unique_key.is_some() {
                self.insert_many(&mut pending, step, &mut ids)?;
                bytes = 0;
            }
            if request.unique_key.is_some() {
                ids.push(self.insert_one(request, row)?.id);
            } else {
                pending.push(row);
                bytes += row.len();
            }
        }
        self.insert_many(&mut pending, step, &mut ids)?;
        let blocked = requests.iter().zip(&ids).filter(|(request, _)| !request.after.is_empty());
        self.settle(&blocked.map(|(_, id)| *id).collect::<Vec<_>>())?;
        Ok(ids)
    }

    /// Stores a task that waits for nothing and is small, inside an open transaction or without one.
    pub(in crate::queue) fn insert(&self, request: &TaskRequest) -> Result<Enqueued, DatabaseFault> {
        self.insert_one(request, &self.row(request))
    }

    fn insert_one(&self, request: &TaskRequest, row: &str) -> Result<Enqueued, DatabaseFault> {
        let on_duplicate = match request.unique_key {
            Some(_) => " ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)",
            None => "",
        };
        let statement = format!("INSERT INTO {} ({COLUMNS}) VALUES {row}{on_duplicate}", self.tables.tasks);
        let done = self.db.execute(&statement)?;
        Ok(Enqueued { id: done.last_id, existed: done.affected != 1 })
    }

    /// The ids of rows inserted by one statement follow one another, in every `innodb_autoinc_lock_mode`,
    /// because the server knows their number before it begins.
    fn insert_many(&self, rows: &mut Vec<&str>, step: u64, ids: &mut Vec<u64>) -> Result<(), DatabaseFault> {
        if rows.is_empty() {
            return Ok(());
        }
        let statement = format!("INSERT INTO {} ({COLUMNS}) VALUES {}", self.tables.tasks, rows.join(","));
        let first = self.db.execute(&statement)?.last_id;
        ids.extend((0..rows.len() as u64).map(|nth| first + nth * step));
        rows.clear();
        Ok(())
    }

    /// The values of [`COLUMNS`]. Whether a time has come is for the database's clock to say.
    fn row(&self, request: &TaskRequest) -> String {
        let ready = State::Ready.code();
        let key = order::key_sql(request.priority, NOW);
        let run_at = request.run_at.map_or_else(|| NOW.to_owned(), |at| at.to_string());
        let (state, lane, sort_key) = match (request.after.first(), request.run_at) {
            (Some(first), _) => (State::Blocked.code().to_string(), sql::text(&first.lane()), "0".to_owned()),
            (None, None) => (ready.to_string(), sql::text(&request.queue), key),
            (None, Some(at)) => (
                format!("IF({at} <= {NOW}, {ready}, {})", State::Scheduled.code()),
                format!("IF({at} <= {NOW}, {}, '')", sql::text(&request.queue)),
                format!("IF({at} <= {NOW}, {key}, {at})"),
            ),
        };
        let scheduled_at = match request.run_at {
            Some(at) => sql::text(&self.zone.show(at)),
            None => self.local_now(),
        };
        let values = [
            sql::text(&request.task_type),
            sql::text(&request.data),
            request.priority.to_string(),
            sql::text(State::Ready.status()),
            scheduled_at,
            self.local_now(),
            state,
            lane,
            sort_key,
            run_at,
            sql::text(&request.queue),
            sql::optional(request.on_crash.map(|wish| wish.code())),
            sql::optional(request.max_attempts),
            sql::optional(request.timeout.map(|limit| limit.as_secs())),
            unique_literal(request),
            sql::optional_text(request.batch_id.as_deref()),
            if request.batch_id.is_some() { "1" } else { "NULL" }.to_owned(),
            after_literal(&request.after),
        ];
        format!("({})", values.join(","))
    }

    fn require_room(&self, longest_row: usize) -> Result<()> {
        if longest_row <= ALWAYS_ROOM {
            return Ok(());
        }
        let packet: usize = sql::first(&self.db.query("SELECT @@max_allowed_packet")?)?.unwrap_or(1 << 20);
        let room = packet.saturating_sub(4096);
        if longest_row <= room {
            return Ok(());
        }
        let message =
            format!("the task needs {longest_row} bytes, the server's max_allowed_packet leaves {room}");
        Err(Error::new(Kind::Queue, message))
    }

    fn require_dependencies(&self, requests: &[TaskRequest]) -> Result<()> {
        let mut wanted: Vec<u64> =
            requests.iter().flat_map(|request| &request.after).filter_map(task_id).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        let rows = self.db.query(&format!(
            "SELECT id FROM {} WHERE id IN ({})",
            self.tables.tasks,
            sql::list(&wanted)
        ))?;
        let present: Vec<u64> = sql::numbers(&rows)?;
        match wanted.iter().find(|id| !present.contains(id)) {
            Some(missing) => Err(Error::invalid("after", format!("there is no task {missing}"))),
            None => Ok(()),
        }
    }
}

/// Keys are hashed so that any text fits the index; the type is part of it, so that two types do
/// not lock each other out.
fn unique_literal(request: &TaskRequest) -> String {
    let Some(key) = &request.unique_key else { return "NULL".to_owned() };
    let hash = Sha256::new().chain_update(&request.task_type).chain_update([0]).chain_update(key).finalize();
    format!("x'{hash:x}'")
}

fn after_literal(after: &[Dependency]) -> String {
    if after.is_empty() { "NULL".to_owned() } else { sql::text(&sql::list(after)) }
}

fn task_id(dependency: &Dependency) -> Option<u64> {
    match dependency {
        Dependency::Task(id) => Some(*id),
        Dependency::Batch(_) => None,
    }
}
