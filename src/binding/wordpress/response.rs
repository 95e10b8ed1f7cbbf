//! What a REST handler returns: `WP_REST_Response`, or a plain array outside WordPress.

use ext_php_rs::types::{ZendCallable, Zval};
use serde_json::{Map, Value, json};

use crate::binding::convert::json as tree;

/// A response under construction.
pub struct Response {
    status: u16,
    headers: Map<String, Value>,
    body: Value,
}

impl Response {
    /// A response with this status and body.
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Map::new(), body }
    }

    /// 200 with this body.
    pub fn ok(body: Value) -> Self {
        Self::new(200, body)
    }

    /// A refusal, in the shape WordPress gives its own: `code`, `message`, `data.status`.
    pub fn refused(status: u16, code: &str, message: &str) -> Self {
        Self::new(status, json!({"code": code, "message": message, "data": {"status": status}}))
    }

    /// Adds headers.
    #[must_use]
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        self.headers.extend(headers.into_iter().map(|(name, value)| (name, Value::String(value))));
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }

    /// The body.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The PHP value: a `WP_REST_Response` where that class exists, else
    /// `['status' => int, 'headers' => array, 'body' => array|string]`.
    pub fn into_php(self) -> Zval {
        self.as_rest_response().unwrap_or_else(|| {
            tree::to_zval(&json!({"status": self.status, "headers": self.headers, "body": self.body}))
        })
    }

    /// Built through WordPress' own factory, so that nothing here depends on its constructor.
    fn as_rest_response(&self) -> Option<Zval> {
        let ensure = ZendCallable::try_from_name("rest_ensure_response").ok()?;
        let mut response = ensure.try_call(vec![&tree::to_zval(&self.body).shallow_clone()]).ok()?;
        let object = response.object_mut()?;
        object.try_call_method("set_status", vec![&i64::from(self.status)]).ok()?;
        for (name, value) in self.headers() {
            object.try_call_method("header", vec![&name, &value]).ok()?;
        }
        Some(response)
    }
}
