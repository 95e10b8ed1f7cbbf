//! What arrives on the other side: a webhook's receiver over TLS, Slack's shape, mail, a real
//! Alertmanager.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver as Incoming, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use slbp::alerts::machine::Phase;
use slbp::alerts::notify::{Courier, Notice, Outcome, Post, Receiver, Told};
use slbp::alerts::{Labels, notify};
use slbp::clock::{ManualClock, SystemClock, Timestamp};
use slbp::ports::Mailer;
use slbp::remote::http::{Body, Client, Policy, Reach, Request, Url};
use slbp::remote::settings::Secret;

use super::common::redis::make_certificates;
use super::common::{Process, free_port, wait_until};
use super::world::START;

#[derive(Default)]
struct Mails(RefCell<Vec<(Vec<String>, String, String)>>);

impl Mailer for Mails {
    fn send(&self, to: &[String], subject: &str, body: &str) -> Result<(), String> {
        self.0.borrow_mut().push((to.to_vec(), subject.to_owned(), body.to_owned()));
        Ok(())
    }
}

fn notice(phase: Phase, fired: Timestamp) -> Notice {
    let told = |gateway: &str, value| Told {
        fingerprint: format!("{gateway:0>16}"),
        labels: Labels::from([("gateway".to_owned(), gateway.to_owned())]),
        value: Some(value),
        message: format!("{gateway} <fails> & burns"),
        fired,
        ended: (phase == Phase::Resolved).then(|| fired.plus(Duration::from_secs(60))),
    };
    Notice {
        rule: "payment_failures".to_owned(),
        metric: "business.failed_payments_1h".to_owned(),
        severity: "critical",
        threshold: 5.0,
        rule_labels: Labels::from([("team".to_owned(), "billing".to_owned())]),
        group_by: vec!["team".to_owned()],
        phase,
        alerts: vec![told("paypal", 9.5), told("stripe", 8.0)],
        instance: "web1".to_owned(),
        site_url: "https://billing.example/".to_owned(),
        at: fired.plus(Duration::from_secs(60)),
        id: "0123456789abcdef".to_owned(),
    }
}

/// The files that prove who the receiver is; making them takes a while.
fn certificates() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        make_certificates(folder.path());
        folder
    };
    FOLDER.get_or_init(make).path()
}

/// Trusts whoever made the certificates.
fn trusting(certificates: &Path) -> Policy {
    Policy {
        ca: Some(certificates.join("ca.pem")),
        ..Policy::short(Duration::from_secs(20), Reach::Anywhere)
    }
}

/// A receiver over TLS; every request comes out of the channel as head and body.
fn receiver(certificates: &Path, status: &'static str) -> (String, Incoming<(String, String)>) {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = vec![CertificateDer::from_pem_file(certificates.join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificates.join("server.key")).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://127.0.0.1:{}/hook", listener.local_addr().unwrap().port());
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream.unwrap());
            let _ = tell.send(read_request(&mut stream));
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (url, told)
}

fn read_request(stream: &mut rustls::StreamOwned<rustls::ServerConnection, TcpStream>) -> (String, String) {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&chunk[..read]));
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if read == 0 || body.len() >= length.unwrap_or(0usize) {
                return (head.to_owned(), body.to_owned());
            }
        } else if read == 0 {
            return (text, String::new());
        }
    }
}

#[test]
fn a_webhook_gets_alertmanager_s_envelope_the_flat_keys_and_a_signature() {
    let certificates = certificates();
    let (url, told) = receiver(certificates, "200 OK");
    let clock = ManualClock::at(Timestamp::from_secs(START));
    let mails = Mails::default();
    let post = Post::under(&trusting(certificates), &mails, Some(Secret::new("s3cret")), &clock).unwrap();
    let hook = Receiver::Webhook(Url::parse("url", &url).unwrap());
    assert_eq!(
        post.deliver(&hook, &notice(Phase::Firing, Timestamp::from_secs(START - 60))),
        Outcome::Delivered
    );
    let (head, body) = told.recv().unwrap();
    let body_value: Value = serde_json::from_str(&body).unwrap();

    let keys = [
        "receiver",
        "status",
        "alerts",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "version",
        "groupKey",
        "truncatedAlerts",
    ];
    assert!(keys.iter().all(|key| body_value.get(key).is_some()), "{body}");
    assert_eq!((&body_value["version"], &body_value["status"]), (&json!("4"), &json!("firing")));
    assert_eq!(body_value["groupLabels"], json!({"alertname": "payment_failures", "team": "billing"}));
    let common = json!({"alertname": "payment_failures", "instance": "web1", "severity": "critical", "team": "billing"});
    assert_eq!(body_value["commonLabels"], common);
    let first = &body_value["alerts"][0];
    assert_eq!(
        (&first["labels"]["gateway"], &first["startsAt"]),
        (&json!("paypal"), &json!("2023-11-14T22:12:20Z"))
    );
    assert_eq!(first["endsAt"], "0001-01-01T00:00:00Z");

    let flat = [
        ("alert_name", json!("payment_failures")),
        ("message", json!("paypal <fails> & burns (and 1 more)")),
        ("severity", json!("critical")),
        ("metric", json!("business.failed_payments_1h")),
        ("current_value", json!(9.5)),
        ("threshold", json!(5.0)),
        ("timestamp", json!("2023-11-14T22:13:20Z")),
        ("instance_id", json!("web1")),
    ];
    for (key, value) in flat {
        assert_eq!(body_value[key], value, "{key}");
    }

    // As a receiver checks it, with another implementation.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signed");
    fs::write(&file, format!("{START}.{body}")).unwrap();
    let said = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "s3cret", "-r"])
        .arg(&file)
        .output()
        .unwrap();
    let digest = String::from_utf8(said.stdout).unwrap().split(' ').next().unwrap().to_owned();
    assert!(head.contains(&format!("x-slbp-signature: sha256={digest}")), "{head}");
    assert!(
        head.contains("x-slbp-delivery: 0123456789abcdef") && head.contains("application/json"),
        "{head}"
    );
}

#[test]
fn a_receiver_that_cannot_prove_who_it_is_gets_nothing() {
    let certificates = certificates();
    let (url, told) = receiver(certificates, "200 OK");
    let mails = Mails::default();
    let post = Post::new(Reach::Anywhere, &mails, None, &SystemClock).unwrap();
    let hook = Receiver::Webhook(Url::parse("url", &url).unwrap());
    let outcome = post.deliver(&hook, &notice(Phase::Firing, Timestamp::from_secs(START)));
    assert!(matches!(&outcome, Outcome::Failed { reason, .. } if reason.contains("TLS")), "{outcome:?}");
    assert_eq!(told.recv().unwrap().1, "", "no body was sent");
}

#[test]
fn failures_say_why_and_for_how_long_without_the_address() {
    let certificates = certificates();
    let (url, _told) = receiver(certificates, "429 Slow Down\r\nRetry-After: 90");
    let mails = Mails::default();
    let post = Post::under(&trusting(certificates), &mails, None, &SystemClock).unwrap();
    let hook = Receiver::Slack(Url::parse("url", &url).unwrap());
    let outcome = post.deliver(&hook, &notice(Phase::Firing, Timestamp::from_secs(START)));
    let expected =
        Outcome::Failed { reason: "127.0.0.1 answered 429".to_owned(), after: Some(Duration::from_secs(90)) };
    assert_eq!(outcome, expected);
    let guarded = Post::new(Reach::Public, &mails, None, &SystemClock).unwrap();
    let outcome = guarded.deliver(&hook, &notice(Phase::Firing, Timestamp::from_secs(START)));
    assert!(
        matches!(&outcome, Outcome::Failed { reason, .. } if reason.contains("webhook_allow_private")),
        "{outcome:?}"
    );
}

#[test]
fn slack_gets_its_own_shape() {
    let certificates = certificates();
    let (url, told) = receiver(certificates, "200 OK");
    let mails = Mails::default();
    let post = Post::under(&trusting(certificates), &mails, None, &SystemClock).unwrap();
    let hook = Receiver::Slack(Url::parse("url", &url).unwrap());
    for (phase, colour) in [(Phase::Firing, "danger"), (Phase::Resolved, "good")] {
        assert_eq!(post.deliver(&hook, &notice(phase, Timestamp::from_secs(START))), Outcome::Delivered);
        let body: Value = serde_json::from_str(&told.recv().unwrap().1).unwrap();
        let attachment = &body["attachments"][0];
        assert_eq!(attachment["color"], colour);
        assert_eq!(attachment["text"], "paypal &lt;fails&gt; &amp; burns\nstripe &lt;fails&gt; &amp; burns");
        assert_eq!(attachment["ts"], START + 60, "ts, not timestamp");
        assert!(body["text"].as_str().unwrap().contains("payment_failures on web1"));
    }
}

#[test]
fn a_mail_says_in_its_subject_what_is_wrong_and_begins_no_header_of_its_own() {
    let mails = Mails::default();
    let post = Post::new(Reach::Public, &mails, None, &SystemClock).unwrap();
    let mut evil = notice(Phase::Firing, Timestamp::from_secs(START));
    evil.instance = "web1\r\nBcc: everybody@example.com".to_owned();
    let to = Receiver::Email(vec!["admin@example.com".to_owned()]);
    assert_eq!(post.deliver(&to, &evil), Outcome::Delivered);
    let mails = mails.0.borrow();
    let (addresses, subject, body) = &mails[0];
    assert_eq!(addresses, &["admin@example.com"]);
    assert_eq!(subject, "[CRITICAL] payment_failures on web1  Bcc: everybody@example.com");
    assert!(
        body.contains("gateway: paypal") && body.contains("value: 9.5") && body.contains("threshold 5"),
        "{body}"
    );
}

#[test]
fn the_channels_have_their_names() {
    let names = [
        ("email", "a@example.com"),
        ("webhook", "https://x.example/"),
        ("slack", "https://x.example/"),
        ("alertmanager", "https://x.example/"),
    ];
    for (channel, target) in names {
        assert!(notify::CHANNELS.contains(&channel));
        assert_eq!(Receiver::named(channel, target, false).unwrap().channel(), channel);
    }
    assert_eq!(
        Receiver::named("webhook", "https://hooks.slack.com/services/x", false).unwrap().channel(),
        "slack"
    );
    for (channel, target, expected) in [
        ("fax", "1", "$channel: expected one of email, webhook, slack, alertmanager, got 'fax'"),
        ("email", "nobody", "$target: expected an e-mail address"),
        ("webhook", "http://10.0.0.1/", "$target: expected a public address"),
    ] {
        assert!(Receiver::named(channel, target, false).unwrap_err().to_string().starts_with(expected));
    }
}

/// Debian's Alertmanager on a loopback port.
struct Alertmanager {
    _process: Process,
    _folder: tempfile::TempDir,
    url: String,
}

impl Alertmanager {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("alertmanager.yml");
        fs::write(&config, "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
        let url = format!("http://127.0.0.1:{}", free_port());
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().display()))
            .arg(format!("--web.listen-address={}", url.trim_start_matches("http://")))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { _process: Process::new(child), _folder: folder, url };
        wait_until("alertmanager answers", || server.get("/-/ready").is_some());
        server
    }

    fn get(&self, path: &str) -> Option<Vec<u8>> {
        let client = Client::new(&Policy::short(Duration::from_secs(20), Reach::Anywhere)).unwrap();
        let url = Url::parse("url", &format!("{}{path}", self.url)).unwrap();
        let answer =
            client.send(Request { method: "GET", url: &url, headers: &[], body: Body::Empty }).ok()?;
        answer.is_success().then_some(answer.body)
    }

    fn alerts(&self) -> Vec<Value> {
        serde_json::from_slice(&self.get("/api/v2/alerts").unwrap()).unwrap()
    }
}

#[test]
fn a_real_alertmanager_takes_the_alerts_and_their_end() {
    let server = Alertmanager::start();
    let mails = Mails::default();
    let post = Post::new(Reach::Anywhere, &mails, None, &SystemClock).unwrap();
    let to = Receiver::Alertmanager(Url::parse("url", &server.url).unwrap());
    let now = slbp::clock::Clock::now(&SystemClock);
    let fired = Timestamp::from_secs(now.secs() - 120);
    assert_eq!(post.deliver(&to, &notice(Phase::Firing, fired)), Outcome::Delivered);
    let alerts = server.alerts();
    assert_eq!(alerts.len(), 2, "{alerts:?}");
    let labels = &alerts[0]["labels"];
    assert_eq!((&labels["alertname"], &labels["team"]), (&json!("payment_failures"), &json!("billing")));
    assert_eq!((&labels["severity"], &labels["instance"]), (&json!("critical"), &json!("web1")));
    assert_eq!(post.deliver(&to, &notice(Phase::Resolved, fired)), Outcome::Delivered);
    wait_until("alertmanager forgets what is over", || server.alerts().is_empty());
}
