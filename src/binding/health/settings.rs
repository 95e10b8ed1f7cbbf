//! `$config` of `SLBP_Scalability_Manager`, as far as it is about health.

use std::path::PathBuf;

use serde_json::Value;

use crate::binding::ini;
use crate::config::fields::Fields;
use crate::config::lax;
use crate::error::{Error, Result};
use crate::health::access::Access;
use crate::health::balancer::Balancer;
use crate::health::checks::external::Address;

/// The directive with the addresses that may see details.
pub const ADDRESSES: &str = "slbp.health_ips";
/// The directive with the token that may.
pub const TOKEN: &str = "slbp.health_token";
/// The option with more addresses.
pub const OPTION: &str = "slbp_health_check_ips";

/// The keys of `$config` that are read here.
const KEYS: [&str; 6] =
    ["health_check_ips", "health_token", "database", "external_apis", "external_ca", "load_balancer"];

/// What the checks and their readers need.
pub struct Settings {
    /// `$config['database']`, as it was given.
    pub database: Value,
    /// What is asked over HTTPS.
    pub external: Vec<Address>,
    /// The authorities for it, in PEM.
    pub external_ca: Option<PathBuf>,
    /// Who may see details, without the option.
    pub access: Access,
    /// `$config['load_balancer']`.
    pub balancer: Value,
}

impl Settings {
    /// Reads `$config`; `others` are the keys that belong to other parts of the class.
    ///
    /// # Errors
    /// A wrong setting.
    pub fn read(config: &Value, others: &[&str]) -> Result<Self> {
        let mut known = KEYS.to_vec();
        known.extend(others);
        let fields = Fields::of("$config", config, &known)?;
        let given = |key: &str| fields.get(key).cloned().unwrap_or_default();
        let list = |key: &str| lax::list(given(key)).map_err(|error| fields.wrong(key, error));
        let text =
            |key: &str| lax::text(given(key)).map_err(|error: serde_json::Error| fields.wrong(key, error));
        let urls = list("external_apis")?;
        let external = urls.iter().map(|url| Address::read("external_apis", url)).collect::<Result<_>>()?;
        let directives = Value::from(ini::text(ADDRESSES).unwrap_or_default());
        let access = Access::default()
            .allow("health_check_ips", &given("health_check_ips"))?
            .allow(ADDRESSES, &directives)
            .map_err(of_operator)?;
        let token = text("health_token")?;
        let access = match token {
            Some(token) => access.with_token("health_token", Some(&token))?,
            None => access.with_token(TOKEN, ini::text(TOKEN).as_deref()).map_err(of_operator)?,
        };
        let balancer = given("load_balancer");
        Balancer::read("", &balancer)?;
        Ok(Self {
            database: given("database"),
            external,
            external_ca: text("external_ca")?.map(PathBuf::from),
            access,
            balancer,
        })
    }
}

/// A wrong directive is the operator's to mend, not the caller's.
fn of_operator(error: Error) -> Error {
    Error::new(crate::error::Kind::Config, error.to_string())
}

/// `slbp.instance_id`.
pub fn instance() -> Option<String> {
    ini::text("slbp.instance_id")
}

/// `slbp.drain_file`.
pub fn drain_file() -> Option<PathBuf> {
    ini::text("slbp.drain_file").map(PathBuf::from)
}
