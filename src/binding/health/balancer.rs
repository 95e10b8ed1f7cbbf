//! What load balancers and service registries are told of this site.

use serde_json::{Value, json};

use super::HostedHealth;
use crate::binding::convert::json as tree;
use crate::binding::wordpress::hooks;
use crate::error::{Error, Result};
use crate::health::balancer::{self, Balancer, Upstream};

/// Lets a site change what load balancers are told.
const FILTER: &str = "slbp_load_balancer_config";

const NAMESPACE: &str = "skylearn-billing-pro/v1";

impl HostedHealth {
    /// The array, after the filter. Keys that a filter adds stay in it.
    ///
    /// # Errors
    /// A wrong setting.
    pub fn balancer_config(&self) -> Result<Value> {
        let balancer = Balancer::read(&base(), &self.settings.balancer)?;
        let described = balancer.describe();
        match hooks::filter(FILTER, &tree::to_zval(&described).shallow_clone(), vec![]) {
            Some(answer) => tree::from_zval(&answer),
            None => Ok(described),
        }
    }

    /// A configuration file.
    ///
    /// # Errors
    /// A wrong setting or argument.
    pub fn render_balancer(&self, server: &str, upstreams: &Value) -> Result<String> {
        let balancer = Balancer::from_description(&base(), &self.balancer_config()?)?;
        let wrong = || Error::invalid("upstreams", "expected a list of host:port");
        let names = upstreams.as_array().ok_or_else(wrong)?;
        let upstreams = names
            .iter()
            .map(|name| Upstream::read(name.as_str().ok_or_else(wrong)?))
            .collect::<Result<Vec<_>>>()?;
        balancer::render(server, &balancer, &upstreams)
    }

    /// What a registry of services stores of this node.
    pub fn microservices_config(&self) -> Value {
        let url = |route: &str| format!("{}/{route}", base());
        let described = json!({
            "service": {"name": "skylearn-billing-pro", "instance_id": self.instance(), "stateless": true},
            "endpoints": {
                "base": base(),
                "health": url("health"),
                "health_detailed": url("health/detailed"),
                "ready": url("ready"),
                "live": url("live"),
                "metrics": url("metrics"),
            },
            "dependencies": {
                "database": {"required": true},
                "cache": {"required": false},
                "queue": {"required": false},
            },
        });
        let filtered =
            hooks::filter("slbp_microservices_config", &tree::to_zval(&described).shallow_clone(), vec![]);
        filtered.and_then(|answer| tree::from_zval(&answer).ok()).unwrap_or(described)
    }
}

/// The path of our REST routes: below the site's own, with its own prefix.
fn base() -> String {
    let url = hooks::call("rest_url", vec![&NAMESPACE]).and_then(|url| url.string());
    let path = url
        .as_deref()
        .and_then(|url| url.split_once("://")?.1.split_once('/'))
        .map(|(_, path)| format!("/{path}"));
    path.map_or_else(|| format!("/wp-json/{NAMESPACE}"), |path| path.trim_end_matches('/').to_owned())
}
