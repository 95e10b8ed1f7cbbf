//! `SLBP_Monitoring_Manager`.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, Zval};

use serde_json::Value;

use crate::binding::alerts::{HostedAlerts, rest as alerts, rules};
use crate::binding::cache::arguments::Items;
use crate::binding::convert::json;
use crate::binding::convert::params::{Bytes, Lax, OrNull, Settings};
use crate::binding::failure::or_failure;
use crate::binding::metrics::{HostedMonitoring, access, arguments};
use crate::binding::wordpress::options::HostOptions;
use crate::binding::wordpress::request::Request;
use crate::clock::SystemClock;
use crate::metrics::Definition;

/// Counts, measures and shows what a site does, across every php-fpm worker.
#[php_class]
#[php(name = "SLBP_Monitoring_Manager")]
pub struct MonitoringManager {
    hosted: HostedMonitoring,
    config: Value,
    options: HostOptions,
}

#[php_impl]
#[php(change_method_case = "none")]
impl MonitoringManager {
    #[php(defaults(config = Settings::empty()))]
    pub fn __construct(config: Settings) -> PhpResult<Self> {
        let hosted = HostedMonitoring::new(&config.tree)?;
        rules::check(&config.tree)?;
        Ok(Self { hosted, config: config.tree, options: HostOptions::find() })
    }

    #[php(defaults(labels = Items::empty(), buckets = Items::empty()))]
    pub fn register_metric(
        &self,
        name: Bytes,
        r#type: Bytes,
        help: Bytes,
        labels: Items,
        buckets: Items,
    ) -> PhpResult<()> {
        let (labels, bounds) = (arguments::names(labels.table())?, arguments::bounds(buckets.table())?);
        let kind = Definition::kind(&r#type.text())?;
        let definition = Definition::new(&name.text(), kind, &help.text(), &labels, &bounds)?;
        or_failure(self.hosted.register(&definition), ())
    }

    #[php(defaults(by = Lax(1.0), labels = Items::empty()))]
    pub fn increment(&self, name: Bytes, by: Lax<f64>, labels: Items) -> PhpResult<()> {
        let (name, labels) = (name.text(), arguments::labels(labels.table())?);
        Ok(self.hosted.update(&name, |registry| registry.increment(&name, by.0, &labels, &SystemClock))?)
    }

    #[php(defaults(labels = Items::empty()))]
    pub fn set_gauge(&self, name: Bytes, value: Lax<f64>, labels: Items) -> PhpResult<()> {
        let (name, labels) = (name.text(), arguments::labels(labels.table())?);
        Ok(self.hosted.update(&name, |registry| registry.set(&name, value.0, &labels, &SystemClock))?)
    }

    #[php(defaults(labels = Items::empty()))]
    pub fn observe(&self, name: Bytes, value: Lax<f64>, labels: Items) -> PhpResult<()> {
        let (name, labels) = (name.text(), arguments::labels(labels.table())?);
        Ok(self.hosted.update(&name, |registry| registry.observe(&name, value.0, &labels, &SystemClock))?)
    }

    #[php(defaults(context = Settings::empty()))]
    pub fn record_security_event(&self, kind: Bytes, context: Settings) -> PhpResult<()> {
        or_failure(self.hosted.record_security_event(&kind.text(), &context.tree), ())
    }

    pub fn collect_metrics(&self) -> ZBox<ZendHashTable> {
        json::to_array(&arguments::tree(&self.hosted.collect()))
    }

    pub fn render_metrics(&self, accept: OrNull<Bytes>) -> String {
        self.hosted.render(accept.0.as_ref().map(Bytes::text).as_deref()).1
    }

    pub fn get_prometheus_metrics(&self, request: Option<&Zval>) -> PhpResult<Zval> {
        Ok(self.hosted.prometheus_endpoint(&Request::from_argument(request)?).into_php())
    }

    pub fn get_dashboard_metrics(&self, request: Option<&Zval>) -> PhpResult<Zval> {
        Ok(self.hosted.dashboard_endpoint(&Request::from_argument(request)?).into_php())
    }

    pub fn check_alerts(&self) -> PhpResult<ZBox<ZendHashTable>> {
        Ok(json::to_array(&alerts::report(&HostedAlerts::new(&self.config, &self.options)?.check())))
    }

    pub fn get_alerts(&self, request: Option<&Zval>) -> PhpResult<Zval> {
        Ok(HostedAlerts::new(&self.config, &self.options)?.show(&Request::from_argument(request)?).into_php())
    }

    pub fn manage_alert_config(&self, request: &Zval) -> PhpResult<Zval> {
        Ok(HostedAlerts::new(&self.config, &self.options)?
            .manage(&Request::from_argument(Some(request))?)
            .into_php())
    }

    #[php(defaults(comment = Bytes::from("")))]
    pub fn silence_alert(&self, alert_name: Bytes, seconds: Lax<i64>, comment: Bytes) -> PhpResult<bool> {
        let alerts = HostedAlerts::new(&self.config, &self.options)?;
        or_failure(alerts.silence(&alert_name.text(), seconds.0, &comment.text()), false)
    }

    pub fn test_notification(&self, channel: Bytes, target: Bytes) -> PhpResult<ZBox<ZendHashTable>> {
        let alerts = HostedAlerts::new(&self.config, &self.options)?;
        Ok(json::to_array(&alerts.test(&channel.text(), &target.text())?))
    }

    pub fn check_monitoring_permissions(&self, request: Option<&Zval>) -> PhpResult<bool> {
        Ok(self.hosted.access().allows(&Request::from_argument(request)?))
    }

    pub fn check_admin_permissions(&self, request: Option<&Zval>) -> PhpResult<bool> {
        Request::from_argument(request)?;
        Ok(access::is_administrator())
    }
}
