//! `SLBP_Background_Processor`.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, Zval};

use crate::binding::convert::json;
use crate::binding::convert::params::{Bytes, Callable, Lax, OrNull, Payload, Settings};
use crate::binding::convert::zend::whole_or_false;
use crate::binding::failure::or_failure;
use crate::binding::queue::{HostedQueue, arguments, exports, work};
use crate::error::{Error, Result};
use crate::queue::builtin::export::Link;
use crate::queue::store::{Stats, TaskFilter};

/// A durable queue of background tasks that never charges twice.
#[php_class]
#[php(name = "SLBP_Background_Processor")]
pub struct BackgroundProcessor {
    hosted: HostedQueue,
}

#[php_impl]
#[php(change_method_case = "none")]
impl BackgroundProcessor {
    #[php(defaults(config = Settings::empty()))]
    pub fn __construct(config: Settings) -> PhpResult<Self> {
        Ok(Self { hosted: HostedQueue::new(config)? })
    }

    #[php(defaults(task_data = Payload::empty(), priority = Lax(10), options = Settings::empty()))]
    pub fn queue_task(
        &self,
        task_type: Bytes,
        task_data: Payload,
        priority: Lax<i64>,
        scheduled_at: Option<&Zval>,
        options: Settings,
    ) -> PhpResult<Zval> {
        let queued = task_data.0.and_then(|data| {
            let at = arguments::when(scheduled_at)?;
            let request =
                self.hosted.queue().request(&task_type.text(), &data, priority.0, &at, options.tree)?;
            self.hosted.with_store(|store| Ok(store.enqueue(&request)?.id))
        });
        let id = or_failure(queued.map(Some), None)?;
        Ok(whole_or_false(id.map(|id| i64::try_from(id).unwrap_or(i64::MAX))))
    }

    pub fn queue_tasks(&self, tasks: &ZendHashTable) -> PhpResult<ZBox<ZendHashTable>> {
        let queued = arguments::requests(&self.hosted, tasks)
            .and_then(|requests| self.hosted.with_store(|store| store.enqueue_all(&requests)));
        Ok(json::to_array(&or_failure(queued, Vec::new())?.into()))
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn register_handler(&self, task_type: Bytes, handler: Callable, options: Settings) -> PhpResult<()> {
        Ok(self.hosted.register(&task_type.text(), handler.0, options.tree)?)
    }

    pub fn process_tasks(&self) -> PhpResult<i64> {
        count(work::process(&self.hosted))
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn work(&self, options: Settings) -> PhpResult<i64> {
        count(work::work(&self.hosted, options.tree))
    }

    pub fn get_task(&self, task_id: Lax<i64>) -> PhpResult<Option<ZBox<ZendHashTable>>> {
        let found = self.hosted.with_store(|store| Ok(store.task(id(task_id))?));
        Ok(or_failure(found, None)?.map(|task| json::to_array(&arguments::tree(&task))))
    }

    #[php(defaults(filters = Settings::empty()))]
    pub fn get_tasks(&self, filters: Settings) -> PhpResult<ZBox<ZendHashTable>> {
        let found = TaskFilter::read(filters.tree)
            .and_then(|filter| self.hosted.with_store(|store| Ok(store.tasks(&filter)?)));
        Ok(json::to_array(&arguments::tree(&or_failure(found, Vec::new())?)))
    }

    #[php(defaults(total = Lax(0), message = Bytes::from("")))]
    pub fn update_progress(
        &self,
        task_id: Lax<i64>,
        done: Lax<i64>,
        total: Lax<i64>,
        message: Bytes,
    ) -> PhpResult<bool> {
        let noted = unsigned("done", done).and_then(|done| {
            let total = unsigned("total", total)?;
            Ok(self.hosted.own_store()?.progress(id(task_id), done, total, &message.text())?)
        });
        or_failure(noted, false)
    }

    pub fn cancel_task(&self, task_id: Lax<i64>) -> PhpResult<bool> {
        or_failure(self.hosted.with_store(|store| Ok(store.cancel(id(task_id))?)), false)
    }

    pub fn retry_task(&self, task_id: Lax<i64>) -> PhpResult<bool> {
        or_failure(self.hosted.with_store(|store| Ok(store.retry(id(task_id))?)), false)
    }

    pub fn retry_failed(&self, task_type: OrNull<Bytes>) -> PhpResult<i64> {
        let task_type = task_type.0.as_ref().map(Bytes::text);
        count(self.hosted.with_store(|store| Ok(store.retry_failed(task_type.as_deref())?)))
    }

    pub fn pause(&self, task_type: Bytes) -> PhpResult<bool> {
        self.set_paused(&task_type, true)
    }

    pub fn resume(&self, task_type: Bytes) -> PhpResult<bool> {
        self.set_paused(&task_type, false)
    }

    pub fn get_queue_stats(&self) -> PhpResult<ZBox<ZendHashTable>> {
        let stats = or_failure(self.hosted.with_store(|store| Ok(store.stats()?)), Stats::default())?;
        Ok(json::to_array(&arguments::tree(&stats)))
    }

    #[php(defaults(days = Lax(7)))]
    pub fn clear_old_tasks(&self, days: Lax<i64>) -> PhpResult<i64> {
        let days = u32::try_from(days.0).map_err(|_| Error::invalid("days", "expected days >= 0"));
        count(days.and_then(|days| self.hosted.queue().clear_old_tasks(days)))
    }

    #[php(defaults(lifetime = Lax(86_400)))]
    pub fn get_export_link(&self, name: Bytes, lifetime: Lax<i64>) -> PhpResult<Option<ZBox<ZendHashTable>>> {
        Ok(exports::sign(&name.text(), lifetime.0)?.map(|link| json::to_array(&link)))
    }

    pub fn open_export(&self, name: Bytes, expires: Lax<i64>, signature: Bytes) -> Option<String> {
        let (name, signature) = (name.text().into_owned(), signature.text().into_owned());
        let link = Link { name, expires: id(expires), signature };
        exports::open(&link).map(|path| path.to_string_lossy().into_owned())
    }
}

impl BackgroundProcessor {
    fn set_paused(&self, task_type: &Bytes, paused: bool) -> PhpResult<bool> {
        let set = self.hosted.with_store(|store| Ok(store.pause_type(&task_type.text(), paused)?));
        or_failure(set.map(|_| true), false)
    }
}

/// 0, which no task has, for an id that none can have.
fn id(given: Lax<i64>) -> u64 {
    u64::try_from(given.0).unwrap_or_default()
}

fn unsigned(argument: &str, given: Lax<i64>) -> Result<u64> {
    u64::try_from(given.0).map_err(|_| Error::invalid(argument, format!("expected >= 0, got {}", given.0)))
}

fn count(outcome: Result<u64>) -> PhpResult<i64> {
    Ok(i64::try_from(or_failure(outcome, 0)?).unwrap_or(i64::MAX))
}
