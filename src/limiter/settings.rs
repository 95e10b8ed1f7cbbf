//! What can be set, and how it is written.
//!
//! Owns: the keys of `SLBP_Rate_Limiter`'s `$config`, the WordPress options and php.ini directives
//! behind them, and both spellings of the rules: below `limits`, or at the top level as the
//! specification writes them. Precedence: `$config`, then the option, then php.ini, then the default.

mod read;

use ipnet::IpNet;
use serde_json::Value;

use super::abuse::AutoBan;
use super::client::{ForwardedBy, TrustedProxies};
use super::lists::Entry;
use super::rules::Rules;
use crate::error::Result;
use crate::ports::{Environment, Options};
use crate::remote::settings::RedisSettings;

/// The option that holds the rules.
pub const RULES_OPTION: &str = "slbp_rate_limits";
/// The option that holds the settings of the automatic ban.
pub const AUTO_BAN_OPTION: &str = "slbp_auto_ban_config";
/// The option that holds the trusted proxies.
pub const TRUSTED_PROXIES_OPTION: &str = "slbp_trusted_proxies";

/// Everything the limiter is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The rules, with those of plans.
    pub rules: Rules,
    /// The Redis that counts; without one, shared memory does.
    pub redis: Option<RedisSettings>,
    /// Entries that hold without being stored.
    pub whitelist: Vec<Entry>,
    /// Entries that hold without being stored.
    pub blacklist: Vec<Entry>,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// Which forwarding header they set.
    pub client_ip_header: ForwardedBy,
    /// Addresses of this server, which are never banned.
    pub server_addresses: Vec<IpNet>,
    /// When and how long bad behaviour bans.
    pub auto_ban: AutoBan,
    /// Whether every refusal is only reported.
    pub dry_run: bool,
}

impl Settings {
    /// Reads `$config`, and what it leaves out from `options` and `env`.
    ///
    /// # Errors
    /// Invalid argument naming the rule and the field, or the unknown key and the nearest known
    /// one; [`crate::error::Kind::Config`] when the mistake is in an option or a directive.
    pub fn read(config: &Value, env: &dyn Environment, options: &dyn Options) -> Result<Self> {
        read::Sources::new(config, env, options)?.settings()
    }
}
