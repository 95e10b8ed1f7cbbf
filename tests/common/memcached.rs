//! Real Memcached servers.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use slbp::remote::settings::{Address, MemcachedSettings};
use tempfile::TempDir;

use super::{Process, free_port, wait_until};

/// One `memcached` on a TCP port, or on a unix socket, which it cannot have together.
pub struct MemcachedServer {
    process: Process,
    arguments: Vec<String>,
    _folder: TempDir,
    address: Address,
}

impl MemcachedServer {
    /// A server on a loopback port.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with `extra` arguments.
    pub fn start_with(extra: &[&str]) -> Self {
        let port = free_port();
        let address = Address::Tcp { host: "127.0.0.1".to_owned(), port, tls: false };
        Self::launch(address, &["-l", "127.0.0.1", "-p", &port.to_string()], extra, TempDir::new().unwrap())
    }

    /// A server on a unix socket.
    pub fn start_on_socket() -> Self {
        let folder = TempDir::new().unwrap();
        let socket: PathBuf = folder.path().join("memcached.sock");
        let address = Address::Unix(socket.clone());
        Self::launch(address, &["-s", socket.to_str().unwrap()], &[], folder)
    }

    pub fn address(&self) -> Address {
        self.address.clone()
    }

    /// Settings that reach all of `servers`.
    pub fn settings(servers: &[&Self]) -> MemcachedSettings {
        MemcachedSettings {
            servers: servers.iter().map(|server| server.address()).collect(),
            login: None,
            prefix: String::new(),
            timeout: std::time::Duration::from_millis(200),
            read_timeout: std::time::Duration::from_millis(500),
        }
    }

    pub fn pause(&self) {
        self.process.pause();
    }

    pub fn resume(&self) {
        self.process.resume();
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts a killed server again at the same address; it comes back empty.
    pub fn restart(&mut self) {
        self.process.kill();
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
        self.process = spawn(&self.arguments);
        wait_until("memcached listens", || self.listens());
    }

    fn launch(address: Address, own: &[&str], extra: &[&str], folder: TempDir) -> Self {
        let arguments: Vec<String> = ["-u", "root", "-m", "64", "-t", "2"]
            .iter()
            .chain(own)
            .chain(extra)
            .map(|a| (*a).to_owned())
            .collect();
        let server = Self { process: spawn(&arguments), arguments, _folder: folder, address };
        wait_until("memcached listens", || server.listens());
        server
    }

    fn listens(&self) -> bool {
        match &self.address {
            Address::Unix(path) => UnixStream::connect(path).is_ok(),
            Address::Tcp { host, port, .. } => std::net::TcpStream::connect((host.as_str(), *port)).is_ok(),
        }
    }
}

fn spawn(arguments: &[String]) -> Process {
    let child = Command::new("memcached")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("memcached: {error}"));
    Process::new(child)
}
