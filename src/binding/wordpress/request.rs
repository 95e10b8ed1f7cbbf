//! `WP_REST_Request`, or any object with its methods, or null.

use ext_php_rs::types::{ZendObject, Zval};
use serde_json::Value;

use crate::binding::convert::json;
use crate::error::{Error, Result};

/// What a REST handler reads from its request.
pub struct Request<'a>(Option<&'a ZendObject>);

impl<'a> Request<'a> {
    /// No request: everything is asked of PHP's own variables.
    pub fn none() -> Self {
        Self(None)
    }

    /// The request behind a `$request` argument.
    ///
    /// # Errors
    /// Anything but null or an object is misuse.
    pub fn from_argument(argument: Option<&'a Zval>) -> Result<Self> {
        let Some(argument) = argument.map(Zval::dereference) else { return Ok(Self::none()) };
        match argument.object() {
            Some(object) => Ok(Self(Some(object))),
            None if argument.is_null() => Ok(Self(None)),
            None => Err(Error::invalid(
                "$request",
                format!("expected a WP_REST_Request or null, {} given", json::type_name(argument)),
            )),
        }
    }

    /// The HTTP method in upper case; `GET` without a request.
    pub fn method(&self) -> String {
        self.ask("get_method", None).and_then(|v| v.string()).map_or("GET".to_owned(), |m| m.to_uppercase())
    }

    /// The route, `/namespace/v1/thing`.
    pub fn route(&self) -> Option<String> {
        self.ask("get_route", None)?.string()
    }

    /// A parameter from URL, query or body.
    pub fn param(&self, name: &str) -> Option<Value> {
        let value = self.ask("get_param", Some(name))?;
        json::from_zval(&value).ok().filter(|v| !v.is_null())
    }

    /// A text parameter.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.param(name)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The body, when it was JSON.
    pub fn json_body(&self) -> Option<Value> {
        json::from_zval(&self.ask("get_json_params", None)?).ok().filter(|v| !v.is_null())
    }

    /// The body as it was sent.
    pub fn body(&self) -> Option<String> {
        self.ask("get_body", None)?.string()
    }

    /// A request header.
    pub fn header(&self, name: &str) -> Option<String> {
        self.ask("get_header", Some(name))?.string()
    }

    fn ask(&self, method: &str, argument: Option<&str>) -> Option<Zval> {
        let object = self.0?;
        match argument {
            Some(argument) => object.try_call_method(method, vec![&argument]).ok(),
            None => object.try_call_method(method, vec![]).ok(),
        }
    }
}
