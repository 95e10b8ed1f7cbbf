//! `SLBP_Backup_Manager`.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, Zval};
use serde_json::Value;

use crate::backup::BackupId;
use crate::backup::catalog::Listed;
use crate::backup::job::{Done, Work};
use crate::binding::backup::arguments::{self, Components};
use crate::binding::backup::{HostedBackups, Performed, rest, results};
use crate::binding::convert::json;
use crate::binding::convert::params::{Bytes, OrNull, Settings};
use crate::binding::failure::{log, or_failure};
use crate::binding::wordpress::request::Request;
use crate::binding::wordpress::response::Response;
use crate::error::{Error, Kind, Result};

/// Backs a site up, and brings it back.
#[php_class]
#[php(name = "SLBP_Backup_Manager")]
pub struct BackupManager {
    hosted: HostedBackups,
}

#[php_impl]
#[php(change_method_case = "none")]
impl BackupManager {
    #[php(defaults(config = Settings::empty()))]
    pub fn __construct(config: Settings) -> PhpResult<Self> {
        Ok(Self { hosted: HostedBackups::new(config)? })
    }

    #[php(defaults(r#type = Bytes::from("full"), components = Components::all(), options = Settings::empty()))]
    pub fn create_backup(
        &self,
        r#type: Bytes,
        components: Components,
        options: Settings,
    ) -> PhpResult<ZBox<ZendHashTable>> {
        let (create, detached) = arguments::create(&r#type.text(), components.0, &options.tree)?;
        let outcome = self.hosted.perform(Work::Create(create), detached);
        let told =
            outcome.map(|performed| results::created(&performed, self.hosted.info_of(&performed).as_ref()));
        answer(told, results::not_created)
    }

    #[php(defaults(filters = Settings::empty()))]
    pub fn list_backups(&self, filters: Settings) -> PhpResult<ZBox<ZendHashTable>> {
        let all = or_failure(self.hosted.list(), Vec::new())?;
        Ok(json::to_array(&results::tree(&arguments::filter(all, &filters.tree)?)))
    }

    pub fn get_backup_info(&self, backup_id: Bytes) -> PhpResult<Option<ZBox<ZendHashTable>>> {
        let found: Option<Listed> = or_failure(self.hosted.find(&id(&backup_id)?), None)?;
        Ok(found.map(|listed| json::to_array(&results::tree(&listed))))
    }

    #[php(defaults(components = Components::all(), options = Settings::empty()))]
    pub fn restore_backup(
        &self,
        backup_id: Bytes,
        components: Components,
        options: Settings,
    ) -> PhpResult<ZBox<ZendHashTable>> {
        let order = arguments::restore(id(&backup_id)?, components.0, &options.tree)?;
        let (id, components) = (order.restore.backup.clone(), order.restore.components.clone());
        let told = if order.dry_run {
            let job = self.hosted.job(Work::Restore(order.restore.clone()));
            let preview = job.and_then(|job| job.preview(&order.restore));
            preview.map(|preview| results::planned(&id, &components, &preview))
        } else {
            let outcome = self.hosted.perform(Work::Restore(order.restore), order.detached);
            outcome.map(|performed| results::restored(&id, &components, &performed))
        };
        answer(told, |error| results::not_restored(&id, error))
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn verify_backup(&self, backup_id: Bytes, options: Settings) -> PhpResult<ZBox<ZendHashTable>> {
        let (id, detached) = (id(&backup_id)?, arguments::detached(&options.tree)?);
        let told = self.hosted.verify(&id, detached).map(|performed| results::verified(&id, &performed));
        answer(told, |error| results::not_verified(&id, error))
    }

    pub fn delete_backup(&self, backup_id: Bytes) -> PhpResult<ZBox<ZendHashTable>> {
        let id = id(&backup_id)?;
        let told = self.hosted.delete(&id).map(|deleted| results::deleted(&id, &deleted));
        answer(told, |error| results::not_deleted(&id, error))
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn fetch_backup(&self, backup_id: Bytes, options: Settings) -> PhpResult<ZBox<ZendHashTable>> {
        let (id, detached) = (id(&backup_id)?, arguments::detached(&options.tree)?);
        let told = self.hosted.perform(Work::Fetch(id.clone()), detached);
        answer(told.map(|performed| results::fetched(&id, &performed)), |error| {
            results::not_fetched(&id, error)
        })
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn copy_backups(&self, options: Settings) -> PhpResult<ZBox<ZendHashTable>> {
        let detached = arguments::detached(&options.tree)?;
        let told = self.hosted.perform(Work::Copy, detached).map(|performed| results::copied(&performed));
        answer(told, results::not_copied)
    }

    pub fn cleanup_old_backups(&self) -> PhpResult<ZBox<ZendHashTable>> {
        answer(self.hosted.clean_up().map(|done| results::cleaned(&done)), results::not_cleaned)
    }

    pub fn create_daily_backup(&self) -> PhpResult<ZBox<ZendHashTable>> {
        let told = self.hosted.create_due().and_then(|performed| {
            Ok(match performed {
                Some(performed) => results::created(&performed, self.hosted.info_of(&performed).as_ref()),
                None => results::not_due(self.hosted.list()?.first()),
            })
        });
        answer(told, results::not_created)
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn test_disaster_recovery(&self, options: Settings) -> PhpResult<ZBox<ZendHashTable>> {
        let detached = arguments::detached(&options.tree)?;
        let told = self.hosted.perform(Work::Drill, detached).map(|performed| results::drilled(&performed));
        answer(told, results::not_drilled)
    }

    pub fn get_progress(&self, backup_id: OrNull<Bytes>) -> PhpResult<Option<ZBox<ZendHashTable>>> {
        let id = backup_id.0.as_ref().map(id).transpose()?;
        let report = or_failure(self.hosted.progress(id.as_ref()), None)?;
        Ok(report.map(|report| json::to_array(&results::tree(&report))))
    }

    pub fn export_backup(&self, backup_id: Bytes, path: Bytes) -> PhpResult<bool> {
        or_failure(self.hosted.export(&id(&backup_id)?, &path.text()).map(|()| true), false)
    }

    pub fn create_backup_endpoint(&self, request: &Zval) -> PhpResult<Zval> {
        self.endpoint(request, HostedBackups::create_endpoint)
    }

    pub fn list_backups_endpoint(&self, request: &Zval) -> PhpResult<Zval> {
        self.endpoint(request, HostedBackups::list_endpoint)
    }

    pub fn restore_backup_endpoint(&self, request: &Zval) -> PhpResult<Zval> {
        self.endpoint(request, HostedBackups::restore_endpoint)
    }

    pub fn delete_backup_endpoint(&self, request: &Zval) -> PhpResult<Zval> {
        self.endpoint(request, HostedBackups::delete_endpoint)
    }

    pub fn manage_backup_config(&self, request: &Zval) -> PhpResult<Zval> {
        self.endpoint(request, HostedBackups::config_endpoint)
    }

    pub fn disaster_recovery_test(&self, request: &Zval) -> PhpResult<Zval> {
        self.endpoint(request, HostedBackups::drill_endpoint)
    }

    pub fn verify_backup_endpoint(&self, request: &Zval) -> PhpResult<Zval> {
        self.endpoint(request, HostedBackups::verify_endpoint)
    }

    pub fn fetch_backup_endpoint(&self, request: &Zval) -> PhpResult<Zval> {
        self.endpoint(request, HostedBackups::fetch_endpoint)
    }

    pub fn copy_backups_endpoint(&self, request: &Zval) -> PhpResult<Zval> {
        self.endpoint(request, HostedBackups::copy_endpoint)
    }

    pub fn get_progress_endpoint(&self, request: &Zval) -> PhpResult<Zval> {
        self.endpoint(request, HostedBackups::progress_endpoint)
    }

    pub fn check_backup_permissions(&self, request: Option<&Zval>) -> PhpResult<bool> {
        Ok(rest::may_ask(&Request::from_argument(request)?))
    }
}

impl BackupManager {
    fn endpoint(
        &self,
        request: &Zval,
        handler: impl Fn(&HostedBackups, &Request<'_>) -> Response,
    ) -> PhpResult<Zval> {
        Ok(handler(&self.hosted, &Request::from_argument(Some(request))?).into_php())
    }
}

impl HostedBackups {
    /// What the list says of a backup that was made or begun.
    pub fn info_of(&self, performed: &Performed) -> Option<Listed> {
        match performed {
            Performed::Started(id) => self.find(id).ok().flatten(),
            Performed::Done(Done::Created(manifest, _)) => self.find(&manifest.id).ok().flatten(),
            Performed::Done(_) => None,
        }
    }
}

fn id(text: &Bytes<'_>) -> Result<BackupId> {
    BackupId::parse(&text.text())
}

/// The result, or its form of failure with the reason, which also goes to the log. Misuse throws.
fn answer(outcome: Result<Value>, failure: impl FnOnce(&Error) -> Value) -> PhpResult<ZBox<ZendHashTable>> {
    match outcome {
        Ok(value) => Ok(json::to_array(&value)),
        Err(error) if matches!(error.kind(), Kind::InvalidArgument | Kind::Config) => Err(error.into()),
        Err(error) => {
            log(&error.to_string());
            Ok(json::to_array(&failure(&error)))
        }
    }
}
