//! Real MariaDB servers, each with its own data folder, on a unix socket and a loopback port.
//!
//! One server per test binary is enough ([`shared`]); tests take a [`Database`] of their own in it.
//! A test that stops or kills the server starts its own with [`MariaDb::start`].

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use slbp::ports::Detached;
use slbp::remote::database::DatabaseSettings;
use tempfile::TempDir;

use super::redis::make_certificates;
use super::{Process, free_port, wait_until};

/// One `mariadbd`.
pub struct MariaDb {
    process: Process,
    guardian: Child,
    arguments: Vec<String>,
    folder: TempDir,
    port: u16,
}

/// The server that the tests of this binary share; it ends with the test process.
pub fn shared() -> &'static MariaDb {
    static SERVER: OnceLock<MariaDb> = OnceLock::new();
    SERVER.get_or_init(MariaDb::start)
}

impl MariaDb {
    /// A server that also speaks TLS on its port, and the files that prove it.
    pub fn start_with_tls() -> (Self, TempDir) {
        let files = TempDir::new().unwrap();
        make_certificates(files.path());
        let option = |name: &str, file: &str| format!("--{name}={}", files.path().join(file).display());
        let server = Self::start_with(&[
            &option("ssl-ca", "ca.pem"),
            &option("ssl-cert", "server.pem"),
            &option("ssl-key", "server.key"),
        ]);
        (server, files)
    }

    /// A server with the defaults of MariaDB, durable at commit, but small.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with `extra` arguments, as `--name=value` on the command line.
    pub fn start_with(extra: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        install(folder.path());
        let port = free_port();
        let mut arguments = vec!["--no-defaults".to_owned()];
        for (name, value) in [
            ("datadir", folder.path().join("data").display().to_string()),
            ("socket", folder.path().join("mysqld.sock").display().to_string()),
            ("pid-file", folder.path().join("mysqld.pid").display().to_string()),
            ("port", port.to_string()),
            // At its start a server removes every #sql file in the folder, whoever made it.
            ("tmpdir", folder.path().display().to_string()),
            ("bind-address", "127.0.0.1".to_owned()),
            ("user", user_name()),
            ("innodb-buffer-pool-size", "128M".to_owned()),
            ("performance-schema", "OFF".to_owned()),
            ("max-connections", "100".to_owned()),
        ] {
            arguments.push(format!("--{name}={value}"));
        }
        arguments.extend(extra.iter().map(|argument| (*argument).to_owned()));
        let child = launch(&arguments, folder.path());
        let guardian = guard(child.id(), folder.path());
        let server = Self { process: Process::new(child), guardian, arguments, folder, port };
        server.wait_until_it_answers();
        server
    }

    /// The unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("mysqld.sock")
    }

    /// The loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A connection as root, in no database.
    pub fn root(&self) -> Conn {
        self.try_root().unwrap()
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// SIGKILL: what was committed must survive it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the killed server again over the same data.
    pub fn restart(&mut self) {
        self.process.kill();
        let _ = self.guardian.kill();
        let _ = self.guardian.wait();
        let child = launch(&self.arguments, self.folder.path());
        self.guardian = guard(child.id(), self.folder.path());
        self.process = Process::new(child);
        self.wait_until_it_answers();
    }

    /// A new, empty database.
    pub fn database(&self) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        self.root().query_drop(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).unwrap();
        Database { name, socket: self.socket() }
    }

    fn try_root(&self) -> mysql::Result<Conn> {
        Conn::new(OptsBuilder::new().socket(self.socket().to_str()).user(Some("root")))
    }

    fn wait_until_it_answers(&self) {
        wait_until("MariaDB answers", || self.try_root().is_ok());
    }
}

/// A database of its own for one test.
#[derive(Clone)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// The server's socket.
    pub socket: PathBuf,
}

impl Database {
    /// What the crate connects with.
    pub fn settings(&self) -> DatabaseSettings {
        let explicit = serde_json::json!({
            "socket": self.socket, "user": "root", "name": self.name, "prefix": "wp_",
        });
        DatabaseSettings::read(explicit, &Detached::default()).unwrap()
    }

    /// A plain connection to it, as a test looks at the tables from outside.
    pub fn connect(&self) -> Conn {
        let opts = OptsBuilder::new()
            .socket(self.socket.to_str())
            .user(Some("root"))
            .db_name(Some(self.name.as_str()));
        Conn::new(opts).unwrap()
    }
}

fn install(folder: &Path) {
    let output = Command::new("mariadb-install-db")
        .env("TMPDIR", folder)
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--user={}", user_name()))
        .output()
        .expect("mariadb-install-db (Debian package mariadb-server)");
    assert!(
        output.status.success(),
        "mariadb-install-db: {}\n{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
}

fn launch(arguments: &[String], folder: &Path) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("mariadbd.log")).unwrap();
    // Not /tmp: a server that starts deletes the temporary tables it finds, its neighbours' too.
    Command::new("mariadbd")
        .env("TMPDIR", folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("mariadbd (Debian package mariadb-server)")
}

/// Ends the server when this process is gone, however it went: nobody drops a `static`, and a
/// killed test drops nothing. The guardian reads a pipe that only this process holds open.
fn guard(server: u32, folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", r#"cat >/dev/null; kill -KILL "$1"; rm -rf "$2""#, "guardian"])
        .arg(server.to_string())
        .arg(folder)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn user_name() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    if root { "root".to_owned() } else { std::env::var("USER").unwrap_or_default() }
}
