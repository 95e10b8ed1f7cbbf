//! The HTTP client against servers that do everything wrong: slow, huge, redirecting, lying about
//! who they are. Each is a real socket on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use slbp::remote::http::{Body, Client, Policy, Reach, Request, Url};
use slbp::remote::{Fault, FaultKind};

/// Long enough for a starved machine, short enough for a test that waits for it.
const LIMIT: Duration = Duration::from_secs(2);

/// A server that lets `behave` talk on each connection; what it was asked comes out of the channel.
struct Server {
    url: String,
    asked: Receiver<String>,
}

fn server(behave: impl Fn(TcpStream) + Send + Clone + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/hook/secret", listener.local_addr().unwrap().port());
    let (tell, asked) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tell, behave) = (stream.unwrap(), tell.clone(), behave.clone());
            thread::spawn(move || {
                let _ = tell.send(read_request(&mut stream));
                behave(stream);
            });
        }
    });
    Server { url, asked }
}

/// The head and the body of one request with a `content-length`.
fn read_request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).unwrap_or(0);
        text.extend_from_slice(&chunk[..read]);
        let seen = String::from_utf8_lossy(&text).into_owned();
        let whole = seen.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            body.len() >= length.unwrap_or(0usize)
        });
        if whole || read == 0 {
            return seen;
        }
    }
}

fn say(text: &'static str) -> impl Fn(TcpStream) + Send + Clone + 'static {
    move |mut stream| _ = stream.write_all(text.as_bytes())
}

fn client(reach: Reach) -> Client {
    Client::new(&Policy::short(LIMIT, reach)).unwrap()
}

fn post(client: &Client, url: &str, body: &[u8]) -> Result<slbp::remote::http::Answer, Fault> {
    let url = Url::parse("url", url).unwrap();
    client.send(Request { method: "POST", url: &url, headers: &[("x-tried", "1")], body: Body::Bytes(body) })
}

#[test]
fn a_call_carries_its_headers_and_body_and_brings_the_answer_back() {
    let server = server(say("HTTP/1.1 202 Accepted\r\nX-Id: 7\r\ncontent-length: 2\r\n\r\nok"));
    let answer = post(&client(Reach::Anywhere), &server.url, b"{\"a\":1}").unwrap();
    assert_eq!((answer.status, answer.header("x-id"), answer.body.as_slice()), (202, Some("7"), &b"ok"[..]));
    let asked = server.asked.recv().unwrap();
    assert!(asked.starts_with("POST /hook/secret HTTP/1.1\r\n") && asked.ends_with("{\"a\":1}"), "{asked}");
    assert!(asked.contains("x-tried: 1\r\n") && asked.contains("user-agent: slbp/"), "{asked}");
}

#[test]
fn an_error_status_is_an_answer() {
    let server = server(say("HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\ncontent-length: 0\r\n\r\n"));
    let answer = post(&client(Reach::Anywhere), &server.url, b"").unwrap();
    assert_eq!(answer.status, 429);
    assert_eq!(answer.retry_after(slbp::clock::Timestamp::from_secs(0)), Some(Duration::from_secs(7)));
}

#[test]
fn a_redirect_is_not_followed() {
    let inside = server(say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    let location: &'static str =
        format!("HTTP/1.1 307 T\r\nLocation: {}\r\ncontent-length: 0\r\n\r\n", inside.url).leak();
    let outside = server(say(location));
    assert_eq!(post(&client(Reach::Anywhere), &outside.url, b"x").unwrap().status, 307);
    assert!(inside.asked.try_recv().is_err(), "the redirect was followed");
}

#[test]
fn a_private_address_gets_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let guarded = client(Reach::Public);
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0177.0.0.1", "0"] {
        let url = format!("http://{host}:{port}/");
        let fault = post(&guarded, &url, b"x").unwrap_err();
        assert!(matches!(fault.kind(), FaultKind::Refused | FaultKind::Down), "{host}: {fault}");
    }
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody came in");
    let fault = post(&guarded, &format!("http://127.0.0.1:{port}/"), b"x").unwrap_err();
    assert!(fault.to_string().contains("slbp.webhook_allow_private"), "{fault}");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let silent = server(|stream| {
        thread::sleep(Duration::from_secs(30));
        drop(stream);
    });
    let began = Instant::now();
    let fault = post(&client(Reach::Anywhere), &silent.url, b"x").unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Timeout, "{fault}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(!fault.to_string().contains("secret"), "the path is a password: {fault}");
}

#[test]
fn a_server_that_drips_is_given_up_too() {
    let dripping = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        while stream.write_all(b".").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    let fault = post(&client(Reach::Anywhere), &dripping.url, b"x").unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Timeout, "{fault}");
}

#[test]
fn an_answer_without_end_is_cut() {
    let flooding = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let fault = post(&client(Reach::Anywhere), &flooding.url, b"x").unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Protocol, "{fault}");
    let endless_head = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream
            .write_all(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
            .is_ok()
        {}
    });
    let fault = post(&client(Reach::Anywhere), &endless_head.url, b"x").unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Protocol, "{fault}");
}

#[test]
fn nonsense_is_no_answer() {
    for nonsense in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 9999 X\r\n\r\n", ""] {
        let server = server(say(nonsense));
        let fault = post(&client(Reach::Anywhere), &server.url, b"x").unwrap_err();
        assert!(matches!(fault.kind(), FaultKind::Protocol | FaultKind::Down), "{nonsense:?}: {fault:?}");
    }
}

#[test]
fn a_transfer_streams_both_ways() {
    let server = server(say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"));
    let transfer = Client::new(&Policy::transfer(LIMIT, LIMIT, Reach::Anywhere)).unwrap();
    let url = Url::parse("url", &server.url).unwrap();
    let mut source: &[u8] = b"streamed";
    let body = Body::Stream { reader: &mut source, length: 8 };
    let mut into = Vec::new();
    let request = Request { method: "PUT", url: &url, headers: &[], body };
    let answer = transfer.fetch(request, &mut into).unwrap();
    assert_eq!((answer.status, into.as_slice(), answer.body.len()), (200, &b"hello"[..], 0));
    let asked = server.asked.recv().unwrap();
    assert!(asked.contains("content-length: 8\r\n") && asked.ends_with("streamed"), "{asked}");
}

#[test]
fn a_stranger_in_front_of_the_server_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(path("key.pem"))
        .arg("-out")
        .arg(path("cert.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let config = tls_config(&path("cert.pem"), &path("key.pem"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream.unwrap());
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    let trusting = Policy { ca: Some(path("cert.pem")), ..Policy::short(LIMIT, Reach::Anywhere) };
    let trusting = Client::new(&trusting).unwrap();
    assert_eq!(post(&trusting, &format!("https://localhost:{port}/"), b"x").unwrap().status, 204);
    let wrong_name = post(&trusting, &format!("https://127.0.0.1:{port}/"), b"x").unwrap_err();
    assert!(wrong_name.to_string().contains("TLS"), "{wrong_name}");
    let unknown = post(&client(Reach::Anywhere), &format!("https://localhost:{port}/"), b"x").unwrap_err();
    assert_eq!(unknown.kind(), FaultKind::Refused, "{unknown}");
}

fn tls_config(certificate: &std::path::Path, key: &std::path::Path) -> std::sync::Arc<rustls::ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let ring = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    std::sync::Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}
