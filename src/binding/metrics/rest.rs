//! The metrics' REST answers. Who may ask is the route's business (its permission callback).

use serde_json::{Value, json};

use super::{HostedMonitoring, arguments};
use crate::binding::limiter::visitor::server_variable;
use crate::binding::segment;
use crate::binding::wordpress::request::Request;
use crate::binding::wordpress::response::Response;
use crate::clock::{Clock, SystemClock};
use crate::metrics::expose::{self, Format};
use crate::metrics::{Point, Timeframe};

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

    /// GET /metrics/dashboard, `timeframe` = 1h, 6h, 24h or 7d.
    pub fn dashboard_endpoint(&self, request: &Request<'_>) -> Response {
        let wanted = request.text("timeframe").unwrap_or_else(|| "1h".to_owned());
        let Some(timeframe) = Timeframe::named(&wanted) else {
            let message = "timeframe: expected 1h, 6h, 24h or 7d";
            return Response::refused(400, "slbp_invalid", message);
        };
        let now = SystemClock.now();
        let points: Vec<Value> = match segment::get() {
            Ok(segment) => {
                self.registry.points(timeframe, &segment.counters(), now).iter().map(point).collect()
            }
            Err(_) => Vec::new(),
        };
        Response::ok(json!({
            "timestamp": now.secs(),
            "timeframe": timeframe.name,
            "step": timeframe.step(),
            "from": now.secs().saturating_sub(timeframe.length),
            "points": points,
            "metrics": arguments::tree(&self.snapshot()),
        }))
    }
}

fn point(point: &Point) -> Value {
    json!({
        "time": point.at,
        "requests": point.requests,
        "errors": point.errors,
        "response_time": point.response_time,
        "memory_peak": point.memory,
        "cache_hit_ratio": point.cache_hit_ratio,
    })
}
