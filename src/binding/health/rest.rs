//! The REST answers about health. They are those of the door; who may see details is the route's business.

use super::HostedHealth;
use crate::binding::limiter::visitor::server_variable;
use crate::binding::wordpress::request::Request;
use crate::binding::wordpress::response::Response;
use crate::error::Result;
use crate::health::render::{Format, render};
use crate::health::state::Group;

impl HostedHealth {
    /// The answer to `group`.
    ///
    /// # Errors
    /// A wrong setting, or there is no shared memory.
    pub fn answer(&self, group: Group, request: &Request<'_>) -> Result<Response> {
        let report = self.report(group)?;
        let accept = request.header("accept").or_else(|| server_variable("HTTP_ACCEPT"));
        let format = Format::for_accept(accept.as_deref());
        let headers = [("Cache-Control", "no-store"), ("Content-Type", format.media_type())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Response::new(report.http_status(), render(&report, format, &self.instance()))
            .with_headers(headers))
    }
}
