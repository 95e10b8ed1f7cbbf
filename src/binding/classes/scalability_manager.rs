//! `SLBP_Scalability_Manager`.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, Zval};

use crate::binding::convert::json;
use crate::binding::convert::params::{Bytes, Callable, Settings};
use crate::binding::failure::or_failure;
use crate::binding::health::HostedHealth;
use crate::binding::wordpress::request::Request;
use crate::health::state::Group;

/// Health, draining, and what load balancers need to know.
#[php_class]
#[php(name = "SLBP_Scalability_Manager")]
pub struct ScalabilityManager {
    health: HostedHealth,
}

#[php_impl]
#[php(change_method_case = "none")]
impl ScalabilityManager {
    #[php(defaults(config = Settings::empty()))]
    pub fn __construct(config: Settings) -> PhpResult<Self> {
        Ok(Self { health: HostedHealth::new(&config, &[])? })
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

    pub fn get_microservices_config(&self) -> ZBox<ZendHashTable> {
        json::to_array(&self.health.microservices_config())
    }
}

impl ScalabilityManager {
    fn answer(&self, group: Group, request: Option<&Zval>) -> PhpResult<Zval> {
        Ok(self.health.answer(group, &Request::from_argument(request)?)?.into_php())
    }
}
