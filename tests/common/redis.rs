//! Real Redis servers: alone, with TLS, as a cluster, under a sentinel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use redis::{Cmd, Value};
use slbp::remote::redis::{RedisLink, Replay};
use slbp::remote::settings::{Address, RedisSettings, TlsFiles, Topology};
use tempfile::TempDir;

use super::{Process, free_port, wait_until};

/// One `redis-server` on a TCP port and a unix socket.
pub struct RedisServer {
    process: Process,
    arguments: Vec<String>,
    folder: TempDir,
    port: u16,
}

impl RedisServer {
    /// A server without persistence or password.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with `extra` arguments, as `--name value` on the command line.
    pub fn start_with(extra: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let socket = folder.path().join("redis.sock");
        let mut arguments: Vec<String> = [
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--unixsocket",
            socket.to_str().unwrap(),
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
            "--dir",
            folder.path().to_str().unwrap(),
            "--logfile",
            "redis.log",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.extend(extra.iter().map(|argument| (*argument).to_owned()));
        let process = launch("redis-server", &arguments);
        let server = Self { process, arguments, folder, port };
        server.wait_until_it_answers();
        server
    }

    /// A server that takes only TLS connections and wants `127.0.0.1` verified by [`tls_files`].
    pub fn start_with_tls() -> (Self, RedisSettings) {
        let folder = TempDir::new().unwrap();
        let files = make_certificates(folder.path());
        let tls_port = free_port();
        let server = Self::start_with(&[
            "--tls-port",
            &tls_port.to_string(),
            "--tls-cert-file",
            folder.path().join("server.pem").to_str().unwrap(),
            "--tls-key-file",
            folder.path().join("server.key").to_str().unwrap(),
            "--tls-ca-cert-file",
            files.ca.as_ref().unwrap().to_str().unwrap(),
        ]);
        let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: tls_port, tls: true };
        let kept = server.folder.path().join("ca.pem");
        fs::copy(files.ca.as_ref().unwrap(), &kept).unwrap();
        for name in ["client.pem", "client.key"] {
            fs::copy(folder.path().join(name), server.folder.path().join(name)).unwrap();
        }
        let identity = (server.folder.path().join("client.pem"), server.folder.path().join("client.key"));
        let tls = TlsFiles { ca: Some(kept), identity: Some(identity) };
        (server, RedisSettings { tls, ..RedisSettings::at(address) })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn address(&self) -> Address {
        Address::Tcp { host: "127.0.0.1".to_owned(), port: self.port, tls: false }
    }

    /// Settings that reach it over TCP.
    pub fn settings(&self) -> RedisSettings {
        RedisSettings::at(self.address())
    }

    /// Settings that reach it over its unix socket.
    pub fn settings_unix(&self) -> RedisSettings {
        RedisSettings::at(Address::Unix(self.socket()))
    }

    /// A command of the test itself, on a connection of its own.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let patience = std::time::Duration::from_secs(5);
        let patient = RedisSettings { timeout: patience, read_timeout: patience, ..self.settings() };
        try_ask(&patient, arguments).unwrap()
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

    /// Starts a killed server again on the same port and socket; it comes back empty.
    pub fn restart(&mut self) {
        self.process.kill();
        let _ = fs::remove_file(self.socket());
        self.process = launch("redis-server", &self.arguments);
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&self) {
        wait_until("redis answers", || try_ask(&self.settings_unix(), &["PING"]).is_ok_or_refused());
    }
}

/// Whether a server is there at all, logged in or not.
trait Answered {
    fn is_ok_or_refused(&self) -> bool;
}

impl Answered for Result<Value, slbp::remote::Fault> {
    fn is_ok_or_refused(&self) -> bool {
        match self {
            Ok(_) => true,
            Err(fault) => fault.kind() == slbp::remote::FaultKind::Refused,
        }
    }
}

fn try_ask(settings: &RedisSettings, arguments: &[&str]) -> Result<Value, slbp::remote::Fault> {
    RedisLink::new(settings.clone()).run(&command(arguments), Replay::Safe)
}

/// The command whose words are `arguments`.
pub fn command(arguments: &[&str]) -> Cmd {
    let mut command = redis::cmd(arguments[0]);
    arguments[1..].iter().for_each(|argument| {
        command.arg(*argument);
    });
    command
}

fn launch(program: &str, arguments: &[String]) -> Process {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    Process::new(child)
}

/// An authority, and certificates of it for a server at 127.0.0.1 and a client, as PEM files in `folder`.
pub fn make_certificates(folder: &Path) -> TlsFiles {
    let script = "set -e
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=slbp-test-ca -keyout ca.key -out ca.pem
        printf 'subjectAltName=IP:127.0.0.1' > san
        for who in server client; do
            openssl req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who.key -out $who.csr
            openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out $who.pem
        done";
    let output = Command::new("sh").arg("-c").arg(script).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    TlsFiles { ca: Some(folder.join("ca.pem")), identity: None }
}

/// Three masters that share the slots evenly.
pub struct RedisCluster {
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    pub fn start() -> Self {
        let nodes: Vec<RedisServer> = (0..3)
            .map(|_| {
                let bus = free_port().to_string();
                RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus])
            })
            .collect();
        for (node, range) in nodes.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]]) {
            node.ask(&["CLUSTER", "ADDSLOTSRANGE", range[0], range[1]]);
        }
        let bus_of = |node: &RedisServer| {
            let Value::BulkString(text) =
                node.ask(&["CONFIG", "GET", "cluster-port"]).into_sequence().unwrap()[1].clone()
            else {
                panic!("no cluster-port")
            };
            String::from_utf8(text).unwrap()
        };
        for node in &nodes[1..] {
            nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), &bus_of(node)]);
        }
        let cluster = Self { nodes };
        for node in &cluster.nodes {
            wait_until("the cluster has formed", || {
                let Value::BulkString(info) = node.ask(&["CLUSTER", "INFO"]) else { return false };
                let info = String::from_utf8_lossy(&info).into_owned();
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            });
        }
        cluster
    }

    /// Settings that name two of the nodes.
    pub fn settings(&self) -> RedisSettings {
        let seeds = self.nodes[..2].iter().map(RedisServer::address).collect();
        RedisSettings { topology: Topology::Cluster(seeds), ..self.nodes[0].settings() }
    }
}

/// A master, a replica and one sentinel that watches them as `mymaster`.
pub struct RedisSentinel {
    pub master: RedisServer,
    pub replica: RedisServer,
    _sentinel: Process,
    _folder: TempDir,
    port: u16,
}

impl RedisSentinel {
    pub fn start() -> Self {
        let master = RedisServer::start();
        let replica = RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {}", master.port())]);
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let configuration = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nlogfile sentinel.log\n\
             sentinel monitor mymaster 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds mymaster 500\n\
             sentinel failover-timeout mymaster 3000\n",
            folder.path().display(),
            master.port()
        );
        let file = folder.path().join("sentinel.conf");
        fs::write(&file, configuration).unwrap();
        let process = launch("redis-server", &[file.to_str().unwrap().to_owned(), "--sentinel".to_owned()]);
        let group = Self { master, replica, _sentinel: process, _folder: folder, port };
        wait_until("the sentinel knows the replica", || {
            let sentinel = RedisSettings::at(group.sentinel());
            let question = ["SENTINEL", "REPLICAS", "mymaster"];
            let known = matches!(try_ask(&sentinel, &question), Ok(Value::Array(list)) if list.len() == 1);
            known
                && String::from_utf8_lossy(&bulk(group.replica.ask(&["INFO", "replication"])))
                    .contains("master_link_status:up")
        });
        group
    }

    fn sentinel(&self) -> Address {
        Address::Tcp { host: "127.0.0.1".to_owned(), port: self.port, tls: false }
    }

    pub fn settings(&self) -> RedisSettings {
        let topology =
            Topology::Sentinel { service: "mymaster".to_owned(), sentinels: vec![self.sentinel()] };
        RedisSettings { topology, ..self.master.settings() }
    }
}

/// The bytes of a bulk string.
pub fn bulk(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes,
        other => panic!("expected a bulk string, got {other:?}"),
    }
}
