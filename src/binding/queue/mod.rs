//! What stands between `SLBP_Background_Processor` and the domain: the host's side of the queue.
//!
//! Owns: building a queue from `$config`, WordPress and php.ini; on which connection a call is made;
//! the handlers ([`HostedQueue::register`]); running them ([`work`], [`handlers`], [`builtin`]); the
//! workers that run now ([`runs`]). Refuses to do: decide what becomes of a task.
//!
//! What a request does to the queue goes through `$wpdb` where that exists, so that it takes part in
//! the request's transaction. What a worker does goes through a connection of our own.

pub mod arguments;
mod builtin;
pub mod exports;
pub mod handlers;
mod pace;
pub mod runs;
mod signals;
pub mod supervise;
pub mod work;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use ext_php_rs::types::Zval;
use serde_json::{Map, Value, json};

use super::convert::params::Settings as Config;
use super::wordpress::constants::PhpEnvironment;
use super::wordpress::wpdb::Wpdb;
use super::wordpress::{hooks, site};
use crate::error::Result;
use crate::ports::Database;
use crate::queue::Queue;
use crate::queue::policy::{Policies, TypePolicy};
use crate::queue::schedule::Zone;
use crate::queue::settings::QueueSettings;
use crate::queue::store::Store;
use crate::queue::task::is_name;
use crate::queue::worker::WorkerOptions;

/// A queue with its host.
pub struct HostedQueue {
    queue: Arc<Queue>,
    /// Whether `$config` names a database of its own.
    has_own_database: bool,
    handlers: RefCell<HashMap<String, Zval>>,
    policies: RefCell<Policies>,
}

impl HostedQueue {
    /// Reads the settings. Nothing is connected yet.
    ///
    /// # Errors
    /// A wrong setting.
    pub fn new(config: Config) -> Result<Self> {
        let mut tree = config.tree;
        let has_own_database = tree.get("database").is_some_and(|database| !database.is_null());
        give_prefix(&mut tree);
        let settings = QueueSettings::read(tree, &PhpEnvironment)?;
        let queue = Queue::new(settings, zone()?, Box::new(pace::LimiterPace))
            .starting_threads_with(signals::block_in_this_thread);
        Ok(Self {
            queue: Arc::new(queue),
            has_own_database,
            handlers: RefCell::default(),
            policies: RefCell::default(),
        })
    }

    /// The queue, on its own connection.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Does `work` with the queue on the connection of this request.
    ///
    /// # Errors
    /// The database's, or those of `work`.
    pub fn with_store<T>(&self, work: impl FnOnce(&Store<'_>) -> Result<T>) -> Result<T> {
        let wpdb = if self.has_own_database { None } else { Wpdb::find() };
        let db: &dyn Database = match &wpdb {
            Some(wpdb) => wpdb,
            None => self.queue.link(),
        };
        work(&self.queue.on(db)?)
    }

    /// The queue on its own connection: what a handler notes is seen at once, whatever transaction
    /// the handler has open.
    ///
    /// # Errors
    /// The database's.
    pub fn own_store(&self) -> Result<Store<'_>> {
        self.queue.on(self.queue.link())
    }

    /// Registers what runs tasks of a type, in place of what did.
    ///
    /// # Errors
    /// Invalid argument for a type that is no name, an unknown option or a wrong value.
    pub fn register(&self, task_type: &str, handler: Zval, options: Value) -> Result<()> {
        if !is_name(task_type) {
            let expected = format!("expected up to 50 of A-Z a-z 0-9 _ - . : /, got '{task_type}'");
            return Err(crate::error::Error::invalid("$task_type", expected));
        }
        let policy = TypePolicy::read(options)?;
        self.policies.borrow_mut().set(task_type, policy);
        let replaced = self.handlers.borrow_mut().insert(task_type.to_owned(), handler);
        // Its destructor may call PHP, which may register: the cell is free again by now.
        drop(replaced);
        Ok(())
    }

    /// What one call of `process_tasks` may do, after the site's filters.
    pub fn one_batch(&self) -> WorkerOptions {
        let settings = self.queue.settings();
        let number = |hook: &str, value: f64| {
            let answer = hooks::filter(hook, &value, vec![]);
            answer.and_then(|answer| answer.coerce_to_double()).filter(|n| n.is_finite()).unwrap_or(value)
        };
        let batch = number("slbp_background_batch_size", settings.batch_size.into()).clamp(1.0, 1000.0);
        let seconds = settings.max_execution_time.as_secs_f64();
        let seconds = number("slbp_background_max_execution_time", seconds).clamp(0.1, 86_400.0);
        WorkerOptions {
            batch: batch as u32,
            max_tasks: Some(batch as u64),
            max_time: Some(std::time::Duration::from_secs_f64(seconds)),
            ..WorkerOptions::default()
        }
    }

    fn handler(&self, task_type: &str) -> Option<Zval> {
        self.handlers.borrow().get(task_type).map(Zval::shallow_clone)
    }
}

/// The site's own table prefix, unless `$config` names one.
fn give_prefix(tree: &mut Value) {
    let Some(prefix) = Wpdb::prefix().or_else(site::table_prefix) else { return };
    if !tree.is_object() && tree.as_array().is_none_or(|list| !list.is_empty()) && !tree.is_null() {
        return;
    }
    let mut map = tree.as_object().cloned().unwrap_or_default();
    let database = map.entry("database").or_insert(Value::Null);
    if database.is_null() || database.as_array().is_some_and(Vec::is_empty) {
        *database = Value::Object(Map::new());
    }
    if let Some(database) = database.as_object_mut() {
        database.entry("prefix").or_insert(json!(prefix));
    }
    *tree = Value::Object(map);
}

/// The site's zone: `wp_timezone_string()`, outside WordPress `date_default_timezone_get()`.
fn zone() -> Result<Zone> {
    let named = hooks::call("wp_timezone_string", vec![])
        .or_else(|| hooks::call("date_default_timezone_get", vec![]))
        .and_then(|name| name.string());
    named.map_or(Ok(Zone::UTC), |name| name.parse())
}
