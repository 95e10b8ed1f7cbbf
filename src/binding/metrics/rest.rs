//! The metrics' REST answers. Who may ask is the route's business (its permission callback).

use serde_json::{Value, json};

use super::{HostedMonitoring, arguments};
use crate::binding::limiter::visitor::server_variable;
use crate::binding::wordpress::request::Request;
use crate::binding::wordpress::response::Response;
use crate::clock::{Clock, SystemClock};
use crate::metrics::expose::{self, Format};

impl HostedMonitoring {
    /// The exposition in the format that `accept` asks for.
    pub fn render(&self, accept: Option<&str>) -> (Format, String) {
        let format = expose::negotiate(accept);
        (format, expose::render(&self.snapshot(), format))
    }

    /// GET /metrics. WordPress would make JSON of the body; the plugin prints it as it is.
    pub fn prometheus_endpoint(&self, request: &Request<'_>) -> Response {
        let accept = request.header("accept").or_else(|| server_variable("HTTP_ACCEPT"));
        let (format, text) = self.render(accept.as_deref());
        let headers =
            [("Content-Type", format.content_type()), ("Cache-Control", "no-store"), ("Vary", "Accept")];
        Response::new(200, Value::String(text))
            .with_headers(headers.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    /// GET /metrics/dashboard.
    pub fn dashboard_endpoint(&self, _request: &Request<'_>) -> Response {
        Response::ok(json!({
            "timestamp": SystemClock.now().secs(),
            "metrics": arguments::tree(&self.snapshot()),
        }))
    }
}
