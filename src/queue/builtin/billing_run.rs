//! `billing_run`: one `subscription_renewal` for every subscription that is due.
//!
//! It moves no money itself, and may be run any number of times: a renewal is named by subscription
//! and period, so that while one is queued there is no second, and the ledger knows those that are
//! settled. It is done when its renewals are, and shows their progress.

use serde_json::{Value, json};

use super::renewal;
use crate::config::lax;
use crate::error::Result;
use crate::ports::{DatabaseFault, Row};
use crate::queue::Queue;
use crate::queue::sql::{self, Columns, transaction};
use crate::queue::store::Store;
use crate::queue::task::{Task, TaskRequest};
use crate::queue::worker::Outcome;

/// How many subscriptions are looked at and queued at once.
const CHUNK: usize = 500;

/// A subscription that is due, and for what.
struct Due {
    id: u64,
    period: String,
}

/// The batch of the renewals that a run has started.
pub fn batch_of(run: u64) -> String {
    format!("billing:{run}")
}

/// Queues the renewals of a run.
///
/// # Errors
/// The database's. What was queued before it stays, and is not queued again.
pub fn fan_out(queue: &Queue, run: &Task) -> Result<Outcome> {
    let renewals = Renewals { queue, store: queue.on(queue.link())?, run };
    match named_subscriptions(&run.task_data) {
        Some(ids) => ids.chunks(CHUNK).try_for_each(|ids| renewals.queue_named(ids))?,
        None => renewals.queue_all_due()?,
    }
    let batch = batch_of(run.id);
    let has_renewals = renewals.store.batch_summary(&batch)?.total() > 0;
    Ok(if has_renewals { Outcome::Waiting(batch) } else { Outcome::Done })
}

/// The subscriptions the run is for; `None` for all that are due. An empty list is nobody.
fn named_subscriptions(data: &Value) -> Option<Vec<u64>> {
    let given = data.get("subscription_ids").filter(|value| !value.is_null())?;
    let items = given.as_array().map_or_else(|| vec![given.clone()], Clone::clone);
    Some(items.into_iter().filter_map(|item| lax::u64(item).ok()).collect())
}

/// A run that is being fanned out.
struct Renewals<'a> {
    queue: &'a Queue,
    store: Store<'a>,
    run: &'a Task,
}

impl Renewals<'_> {
    fn queue_all_due(&self) -> Result<()> {
        let mut last = 0;
        loop {
            let due = self.due(&format!("id > {last} AND next_billing_date <= {{now}}"))?;
            let Some(end) = due.last() else { return Ok(()) };
            last = end.id;
            self.queue(due)?;
        }
    }

    /// A named subscription without a billing date is due today.
    fn queue_named(&self, ids: &[u64]) -> Result<()> {
        let listed = sql::list(ids);
        let due = format!("id IN ({listed}) AND (next_billing_date IS NULL OR next_billing_date <= {{now}})");
        let due = self.due(&due)?;
        self.queue(due)
    }

    fn due(&self, condition: &str) -> Result<Vec<Due>> {
        let now = self.queue.zone().show(self.store.now()?);
        let today = now.split(' ').next().unwrap_or_default();
        let rows = self.store.db.query(&format!(
            "SELECT id, COALESCE(DATE_FORMAT(next_billing_date, '%Y-%m-%d'), '{today}') FROM {}
             WHERE status = 'active' AND {} ORDER BY id LIMIT {CHUNK}",
            renewal::subscriptions(self.queue),
            condition.replace("{now}", &sql::text(&now))
        ))?;
        Ok(rows.iter().map(read).collect::<Result<_, DatabaseFault>>()?)
    }

    /// Queues what the ledger does not know as settled; what is queued already stays as it is.
    fn queue(&self, due: Vec<Due>) -> Result<()> {
        let keys: Vec<String> = due.iter().map(Due::key).collect();
        let settled = self.store.settled_charges(&keys)?;
        let open = due.iter().filter(|due| !settled.contains(&due.key()));
        let requests: Vec<TaskRequest> = open.map(|due| self.request(due)).collect::<Result<_>>()?;
        transaction(self.store.db, || {
            requests.iter().try_for_each(|request| self.store.insert(request).map(drop))
        })?;
        Ok(())
    }

    fn request(&self, due: &Due) -> Result<TaskRequest> {
        let key = due.key();
        let data = json!({
            "subscription_id": due.id, "period": due.period, "idempotency_key": key, "billing_run": self.run.id,
        });
        let options =
            json!({ "unique_key": key, "batch_id": batch_of(self.run.id), "queue": self.run.queue });
        self.queue.request("subscription_renewal", &data, self.run.priority.into(), &Value::Null, options)
    }
}

impl Due {
    fn key(&self) -> String {
        renewal::key(self.id, &self.period)
    }
}

fn read(row: &Row) -> Result<Due, DatabaseFault> {
    let mut columns = Columns::of(row);
    Ok(Due { id: columns.number()?, period: columns.text()?.to_owned() })
}
