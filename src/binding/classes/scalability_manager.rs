//! `SLBP_Scalability_Manager`.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, Zval};

use crate::binding::convert::json;
use crate::binding::convert::params::{Bytes, Callable, Lax, Settings};
use crate::binding::convert::zend::flag;
use crate::binding::failure::or_failure;
use crate::binding::health::HostedHealth;
use crate::binding::session::managed::ManagedSessions;
use crate::binding::wordpress::request::Request;
use crate::health::state::Group;

/// Health, draining, what load balancers need to know, and sessions that outlive a node.
#[php_class]
#[php(name = "SLBP_Scalability_Manager")]
pub struct ScalabilityManager {
    health: HostedHealth,
    sessions: ManagedSessions,
}

#[php_impl]
#[php(change_method_case = "none")]
impl ScalabilityManager {
    #[php(defaults(config = Settings::empty()))]
    pub fn __construct(config: Settings) -> PhpResult<Self> {
        let sessions = ManagedSessions::new(&config.tree)?;
        Ok(Self { health: HostedHealth::new(&config, &["session"])?, sessions })
    }

    pub fn health_check(&self, request: Option<&Zval>) -> PhpResult<Zval> {
        self.answer(Group::Health, request)
    }

    pub fn detailed_health_check(&self, request: Option<&Zval>) -> PhpResult<Zval> {
        self.answer(Group::Detailed, request)
    }

    pub fn readiness_check(&self, request: Option<&Zval>) -> PhpResult<Zval> {
        self.answer(Group::Ready, request)
    }

    pub fn liveness_check(&self, request: Option<&Zval>) -> PhpResult<Zval> {
        self.answer(Group::Live, request)
    }

    pub fn check_health_permissions(&self, request: Option<&Zval>) -> PhpResult<bool> {
        Ok(self.health.permits(&Request::from_argument(request)?))
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn register_health_check(&self, name: Bytes, check: Callable, options: Settings) -> PhpResult<()> {
        or_failure(self.health.register(&name.text(), check.0, &options.tree), ())
    }

    pub fn get_instance_id(&self) -> String {
        self.health.instance()
    }

    #[php(defaults(draining = true))]
    pub fn set_draining(&self, draining: bool) -> PhpResult<()> {
        Ok(self.health.set_draining(draining)?)
    }

    pub fn is_draining(&self) -> PhpResult<bool> {
        or_failure(self.health.is_draining(), false)
    }

    pub fn get_load_balancer_config(&self) -> PhpResult<ZBox<ZendHashTable>> {
        Ok(json::to_array(&self.health.balancer_config()?))
    }

    pub fn render_load_balancer_config(&self, server: Bytes, upstreams: &ZendHashTable) -> PhpResult<String> {
        let upstreams = json::from_table(upstreams)?;
        Ok(self.health.render_balancer(&server.text(), &upstreams)?)
    }

    pub fn configure_session_handler(&self, handler: Bytes) -> PhpResult<bool> {
        or_failure(self.sessions.configure(&handler.text()), false)
    }

    pub fn init_session_management(&self) -> PhpResult<()> {
        or_failure(self.sessions.begin().map(drop), ())
    }

    #[php(defaults(expiration = Lax(3600)))]
    pub fn store_session_data(
        &self,
        session_id: Bytes,
        data: &Zval,
        expiration: Lax<i64>,
    ) -> PhpResult<bool> {
        or_failure(self.sessions.store(&session_id.0, data, expiration.0), false)
    }

    pub fn get_session_data(&self, session_id: Bytes) -> PhpResult<Zval> {
        let found = or_failure(self.sessions.get(&session_id.0), None)?;
        Ok(found.unwrap_or_else(|| flag(false)))
    }

    pub fn delete_session_data(&self, session_id: Bytes) -> PhpResult<bool> {
        or_failure(self.sessions.delete(&session_id.0), false)
    }

    pub fn get_microservices_config(&self) -> ZBox<ZendHashTable> {
        json::to_array(&self.health.microservices_config())
    }
}

impl ScalabilityManager {
    fn answer(&self, group: Group, request: Option<&Zval>) -> PhpResult<Zval> {
        Ok(self.health.answer(group, &Request::from_argument(request)?)?.into_php())
    }
}
