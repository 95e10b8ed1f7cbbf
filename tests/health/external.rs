//! The check of external APIs against real TLS servers: one that is well, one that fails, one whose certificate ends soon
//! or is nobody's, and one that says nothing.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use slbp::health::checks::external::{Address, reachable};
use slbp::health::finding::{Outcome, Unit};
use slbp::health::state::State;

/// A certificate of its own for 127.0.0.1.
fn certificate(folder: &Path, name: &str, days: u32) -> (PathBuf, PathBuf) {
    let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let done = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=api",
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-days", &days.to_string(), "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    (cert, key)
}

/// Answers one connection; `None` accepts it and says nothing.
fn serve(cert: &Path, key: &Path, answer: Option<&'static str>) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let chain = CertificateDer::pem_file_iter(cert).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let Some(answer) = answer else {
            std::thread::sleep(Duration::from_secs(20));
            return;
        };
        let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), socket));
        let mut line = String::new();
        while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
            line.clear();
        }
        // The client may be gone by now, which is its business.
        let _ = stream.get_mut().write_all(answer.as_bytes());
        let _ = stream.get_mut().flush();
    });
    Address::read("external_apis", &format!("https://127.0.0.1:{port}/v1")).unwrap()
}

fn ask(days: u32, trusted: bool, answer: Option<&'static str>) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path(), "api", days);
    let (other, _) = certificate(folder.path(), "other", days);
    let address = serve(&cert, &key, answer);
    reachable(address, Some(if trusted { cert } else { other })).run()
}

const OK: Option<&str> = Some("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");

#[test]
fn an_api_that_answers_is_healthy_and_its_certificate_is_measured() {
    let found = ask(90, true, OK);
    assert_eq!(found.state, State::Healthy, "{found:?}");
    let (left, unit) = found.value.unwrap();
    assert!(unit == Unit::Seconds && (left - 90.0 * 86_400.0).abs() < 3600.0, "{left}");
}

#[test]
fn a_certificate_that_ends_soon_is_told_in_time() {
    assert_eq!(ask(7, true, OK).state, State::Degraded);
}

#[test]
fn what_does_not_work_is_unhealthy() {
    let down = ask(90, true, Some("HTTP/1.1 503 Service Unavailable\r\n\r\n"));
    assert_eq!((down.state, down.message.as_str()), (State::Unhealthy, "answers with 503"));
    assert_eq!(ask(90, false, OK).state, State::Unhealthy, "a certificate that nobody trusts");
    assert_eq!(ask(90, true, Some("SSH-2.0-x\r\n")).state, State::Unhealthy, "not HTTP");
    let refused = Address::read("external_apis", "https://127.0.0.1:1/").unwrap();
    assert_eq!(reachable(refused, None).run().state, State::Unhealthy);
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let began = Instant::now();
    assert_eq!(ask(90, true, None).state, State::Unhealthy);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
