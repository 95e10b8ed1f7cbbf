//! The courier that really goes out: HTTP and mail.

use std::time::Duration;

use ring::hmac;
use serde_json::Value;

use super::{Courier, Notice, Outcome, Receiver, alertmanager, email, slack, webhook};
use crate::clock::Clock;
use crate::error::Result;
use crate::ports::Mailer;
use crate::remote::http::{Body, Client, Policy, Reach, Request, Url};
use crate::remote::settings::Secret;

/// A receiver that has not answered after this long is down.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// HTTP under the SSRF guard, and the host's mailer.
pub struct Post<'a> {
    client: Client,
    mailer: &'a dyn Mailer,
    secret: Option<Secret>,
    clock: &'a dyn Clock,
}

impl<'a> Post<'a> {
    /// A courier that signs webhooks with `secret` and connects no further than `reach`.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(
        reach: Reach,
        mailer: &'a dyn Mailer,
        secret: Option<Secret>,
        clock: &'a dyn Clock,
    ) -> Result<Self> {
        Self::under(&Policy::short(PATIENCE, reach), mailer, secret, clock)
    }

    /// The same under another policy.
    ///
    /// # Errors
    /// When the policy's authorities cannot be read.
    pub fn under(
        policy: &Policy,
        mailer: &'a dyn Mailer,
        secret: Option<Secret>,
        clock: &'a dyn Clock,
    ) -> Result<Self> {
        Ok(Self { client: Client::new(policy)?, mailer, secret, clock })
    }

    fn send(&self, url: &Url, body: &Value, id: &str) -> Outcome {
        let body = body.to_string();
        let timestamp = self.clock.now().secs().to_string();
        let signature = self.secret.as_ref().map(|secret| sign(secret, &timestamp, &body));
        let mut headers = vec![
            ("content-type", "application/json"),
            ("x-slbp-delivery", id),
            ("x-slbp-timestamp", timestamp.as_str()),
        ];
        headers.extend(signature.as_deref().map(|signature| ("x-slbp-signature", signature)));
        let request = Request { method: "POST", url, headers: &headers, body: Body::Bytes(body.as_bytes()) };
        match self.client.send(request) {
            Ok(answer) if answer.is_success() => Outcome::Delivered,
            Ok(answer) => Outcome::Failed {
                reason: format!("{} answered {}", url.host(), answer.status),
                after: answer.retry_after(self.clock.now()),
            },
            Err(fault) => Outcome::Failed { reason: fault.to_string(), after: None },
        }
    }

    fn mail(&self, addresses: &[String], notice: &Notice) -> Outcome {
        match self.mailer.send(addresses, &email::subject(notice), &email::body(notice)) {
            Ok(()) => Outcome::Delivered,
            Err(reason) => Outcome::Failed { reason, after: None },
        }
    }
}

impl Courier for Post<'_> {
    fn deliver(&self, receiver: &Receiver, notice: &Notice) -> Outcome {
        match receiver {
            Receiver::Email(addresses) => self.mail(addresses, notice),
            Receiver::Webhook(url) => self.send(url, &webhook::body(notice), &notice.id),
            Receiver::Slack(url) => self.send(url, &slack::body(notice), &notice.id),
            Receiver::Alertmanager(url) => match api_of(url) {
                Ok(api) => self.send(&api, &alertmanager::body(notice), &notice.id),
                Err(error) => Outcome::Failed { reason: error.to_string(), after: None },
            },
        }
    }
}

fn api_of(url: &Url) -> Result<Url> {
    let base = url.as_str().trim_end_matches('/');
    match base.ends_with(alertmanager::PATH) {
        true => Ok(url.clone()),
        false => Url::parse("alertmanager_url", &format!("{base}{}", alertmanager::PATH)),
    }
}

/// `sha256=` and the HMAC-SHA256 of timestamp, a full stop and the body, in hexadecimal digits: the
/// time is signed with it, so that a receiver can refuse what is replayed.
fn sign(secret: &Secret, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256={digits}")
}
