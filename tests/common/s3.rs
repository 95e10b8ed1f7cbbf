//! A real S3 server in a process of its own, and a canned one that lies.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use slbp::backup::remote::{Credentials, S3Settings};

/// The server: it ends with its standard input, so with this process.
pub struct S3Server {
    _child: Child,
    endpoint: String,
    bucket: String,
    credentials: Credentials,
}

/// The server that the tests of this binary share.
pub fn shared() -> &'static S3Server {
    static SERVER: OnceLock<S3Server> = OnceLock::new();
    SERVER.get_or_init(S3Server::start)
}

impl S3Server {
    fn start() -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-m", "tests.support.s3_server"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).expect("the S3 server tells where it is");
        let text = |key: &str| told[key].as_str().unwrap().to_owned();
        let credentials = Credentials {
            access_key: text("access_key"),
            secret_key: text("secret_key"),
            session_token: None,
        };
        Self { _child: child, endpoint: text("endpoint"), bucket: text("bucket"), credentials }
    }

    /// A prefix of the bucket that no other test uses.
    pub fn settings(&self) -> S3Settings {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut settings = S3Settings::new(&self.endpoint, &self.bucket, self.credentials.clone());
        settings.prefix = format!("a site/+{}", NEXT.fetch_add(1, Ordering::SeqCst));
        settings.pause = Duration::from_millis(5);
        settings
    }
}
