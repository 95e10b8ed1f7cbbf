//! Who may see details: an address on the lists, the token, or whoever runs the site.

use super::HostedHealth;
use super::settings::OPTION;
use crate::binding::convert::params::Settings as Config;
use crate::binding::failure::log;
use crate::binding::limiter::HostedLimiter;
use crate::binding::limiter::visitor::server_variable;
use crate::binding::wordpress::hooks;
use crate::binding::wordpress::request::Request;
use crate::ports::Options;

impl HostedHealth {
    /// Whether the asker may see details.
    pub fn permits(&self, request: &Request<'_>) -> bool {
        let authorization = request.header("authorization").or_else(|| server_variable("HTTP_AUTHORIZATION"));
        if self.settings.access.admits_bearer(authorization.as_deref()) {
            return true;
        }
        hooks::current_user_can("manage_options") || self.admits_address()
    }

    /// The address is found as the limiter finds it: past trusted proxies only.
    fn admits_address(&self) -> bool {
        let access = match self.options.get(OPTION) {
            None => Ok(self.settings.access.clone()),
            Some(list) => self.settings.access.clone().allow(OPTION, &list),
        };
        let found = access.and_then(|access| {
            let address = HostedLimiter::new(Config::empty())?.address(None).own();
            Ok(access.admits(address))
        });
        found.unwrap_or_else(|error| {
            log(&error.to_string());
            false
        })
    }
}
