//! `SLBP_Rate_Limiter`.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::ZendHashTable;

use crate::binding::convert::params::{Bytes, Lax, Settings};
use crate::binding::convert::record::{Cell, Interned, Shape};

static CHECK: Shape<8> =
    Shape::new(["allowed", "limit", "remaining", "window", "retry_after", "reset", "reason", "policy"]);
static OK: Interned = Interned::new("ok");

/// Interns what every result needs. Phase: MINIT.
pub fn prepare() {
    CHECK.prepare();
    OK.prepare();
}

/// Limits how often a client may do something.
#[php_class]
#[php(name = "SLBP_Rate_Limiter")]
pub struct RateLimiter {}

#[php_impl]
#[php(change_method_case = "none")]
impl RateLimiter {
    #[php(defaults(config = Settings::empty()))]
    pub fn __construct(config: Settings) -> PhpResult<Self> {
        let _ = config;
        Ok(Self {})
    }

    #[php(defaults(endpoint = Bytes::from("general"), cost = Lax(1)))]
    pub fn check_rate_limit(
        &self,
        client_id: Bytes,
        endpoint: Bytes,
        cost: Lax<i64>,
    ) -> PhpResult<ZBox<ZendHashTable>> {
        let _ = client_id;
        Ok(CHECK.record([
            Cell::Bool(true),
            Cell::Int(cost.0),
            Cell::Int(0),
            Cell::Int(0),
            Cell::Int(0),
            Cell::Int(0),
            Cell::Word(&OK),
            Cell::Text(&endpoint.0),
        ]))
    }
}
