//! `SLBP_Rate_Limiter`.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, Zval};
use serde_json::Value;

use crate::binding::convert::json;
use crate::binding::convert::params::{Bytes, Lax, OrNull, Settings};
use crate::binding::failure::or_failure;
use crate::binding::limiter::{HostedLimiter, ajax, rest, results};
use crate::binding::wordpress::request::Request as HttpRequest;
use crate::limiter::Request;
use crate::limiter::lists::ListKind;

/// Limits how often a client may do something, exactly, across every php-fpm worker.
#[php_class]
#[php(name = "SLBP_Rate_Limiter")]
pub struct RateLimiter {
    hosted: HostedLimiter,
}

#[php_impl]
#[php(change_method_case = "none")]
impl RateLimiter {
    #[php(defaults(config = Settings::empty()))]
    pub fn __construct(config: Settings) -> PhpResult<Self> {
        Ok(Self { hosted: HostedLimiter::new(config)? })
    }

    #[php(defaults(endpoint = Bytes::from("general"), cost = Lax(1)))]
    pub fn check_rate_limit(
        &self,
        client_id: Bytes,
        endpoint: Bytes,
        cost: Lax<i64>,
    ) -> PhpResult<ZBox<ZendHashTable>> {
        let plan = self.hosted.plan(&client_id.0, &endpoint.0);
        let limiter = self.hosted.get();
        let request =
            Request { cost: cost.0, plan: plan.as_deref(), ..Request::new(&client_id.0, &endpoint.0) };
        Ok(results::check(&limiter.check(&request)?))
    }

    pub fn get_rate_limit_status(&self, request: Option<&Zval>) -> PhpResult<Zval> {
        Ok(self.hosted.status(&HttpRequest::from_argument(request)?)?.into_php())
    }

    #[php(defaults(endpoint = Bytes::from("general")))]
    pub fn peek_rate_limit(&self, client_id: Bytes, endpoint: Bytes) -> PhpResult<ZBox<ZendHashTable>> {
        let plan = self.hosted.plan(&client_id.0, &endpoint.0);
        let limiter = self.hosted.get();
        let request = Request { plan: plan.as_deref(), ..Request::new(&client_id.0, &endpoint.0) };
        Ok(results::check(&limiter.peek(&request)?))
    }

    pub fn reset_rate_limit(&self, client_id: Bytes, endpoint: OrNull<Bytes>) -> PhpResult<bool> {
        let outcome =
            self.hosted.get().reset(&client_id.0, endpoint.0.as_ref().map(|bytes| bytes.0.as_ref()));
        or_failure(outcome.map(|()| true), false)
    }

    #[php(defaults(weight = Lax(1)))]
    pub fn record_violation(
        &self,
        client_id: Bytes,
        kind: Bytes,
        weight: Lax<i64>,
    ) -> PhpResult<ZBox<ZendHashTable>> {
        let outcome = self.hosted.get().record_violation(&client_id.0, &kind.text(), weight.0);
        Ok(results::violation(&or_failure(outcome, Default::default())?))
    }

    pub fn record_failed_login(&self, client_id: Bytes, username: Bytes) -> PhpResult<ZBox<ZendHashTable>> {
        let outcome = self.hosted.get().record_failed_login(&client_id.0, &username.0);
        Ok(results::violation(&or_failure(outcome, Default::default())?))
    }

    pub fn manage_whitelist(&self, request: &Zval) -> PhpResult<Zval> {
        Ok(self
            .hosted
            .manage_list(ListKind::Whitelist, &HttpRequest::from_argument(Some(request))?)
            .into_php())
    }

    pub fn manage_blacklist(&self, request: &Zval) -> PhpResult<Zval> {
        Ok(self
            .hosted
            .manage_list(ListKind::Blacklist, &HttpRequest::from_argument(Some(request))?)
            .into_php())
    }

    pub fn manage_rate_limit_config(&self, request: &Zval) -> PhpResult<Zval> {
        Ok(self.hosted.manage_config(&HttpRequest::from_argument(Some(request))?).into_php())
    }

    #[php(defaults(reason = Bytes::from("")))]
    pub fn add_to_whitelist(&self, entry: Bytes, ttl: OrNull<Lax<i64>>, reason: Bytes) -> PhpResult<bool> {
        self.add(ListKind::Whitelist, &entry, ttl, &reason)
    }

    pub fn remove_from_whitelist(&self, entry: Bytes) -> PhpResult<bool> {
        or_failure(self.hosted.remove(ListKind::Whitelist, &entry.text()), false)
    }

    pub fn get_whitelist(&self) -> ZBox<ZendHashTable> {
        json::to_array(&results::rows(&self.hosted.get().entries(ListKind::Whitelist)))
    }

    #[php(defaults(reason = Bytes::from("")))]
    pub fn add_to_blacklist(&self, entry: Bytes, ttl: OrNull<Lax<i64>>, reason: Bytes) -> PhpResult<bool> {
        self.add(ListKind::Blacklist, &entry, ttl, &reason)
    }

    pub fn remove_from_blacklist(&self, entry: Bytes) -> PhpResult<bool> {
        or_failure(self.hosted.remove(ListKind::Blacklist, &entry.text()), false)
    }

    pub fn get_blacklist(&self) -> ZBox<ZendHashTable> {
        json::to_array(&results::rows(&self.hosted.refused_entries()))
    }

    pub fn is_whitelisted(&self, client_id: Bytes) -> bool {
        self.hosted.get().is_listed(ListKind::Whitelist, &client_id.0)
    }

    pub fn is_blacklisted(&self, client_id: Bytes) -> bool {
        let limiter = self.hosted.get();
        [ListKind::Blacklist, ListKind::Bans].iter().any(|kind| limiter.is_listed(*kind, &client_id.0))
    }

    pub fn get_client_ip(&self, server: Option<&ZendHashTable>) -> String {
        self.hosted.address(server).address.map_or(String::new(), |address| address.to_string())
    }

    pub fn get_address_identifier(&self, server: Option<&ZendHashTable>) -> String {
        self.hosted.address(server).id().unwrap_or_default()
    }

    pub fn get_client_identifier(&self, request: Option<&Zval>) -> PhpResult<String> {
        Ok(self.hosted.identifier(&HttpRequest::from_argument(request)?))
    }

    pub fn check_rest_rate_limit(&self, result: &Zval, server: &Zval, request: &Zval) -> PhpResult<Zval> {
        let _ = server;
        let refused = match rest::is_answered(result) {
            true => None,
            false => self.hosted.refuse_rest(&HttpRequest::from_argument(Some(request))?)?,
        };
        Ok(refused.map_or_else(|| result.shallow_clone(), |response| response.into_php()))
    }

    pub fn check_ajax_rate_limit(&self) -> PhpResult<()> {
        ajax::check(&self.hosted)
    }

    pub fn get_rate_limit_headers(&self, check: &ZendHashTable) -> PhpResult<ZBox<ZendHashTable>> {
        let headers = self.hosted.get().headers(&results::told_by(check)?);
        let table = headers.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        Ok(json::to_array(&Value::Object(table.collect())))
    }
}

impl RateLimiter {
    fn add(&self, kind: ListKind, entry: &Bytes, ttl: OrNull<Lax<i64>>, reason: &Bytes) -> PhpResult<bool> {
        let outcome = self.hosted.add(
            kind,
            &[entry.text().into_owned()],
            ttl.0.map(|seconds| seconds.0),
            &reason.text(),
        );
        or_failure(outcome.map(|()| true), false)
    }
}
