//! `$load_balancer`: how nodes are checked, how long they get, and who goes to the same one again.

use serde_json::{Map, Value, json};

use crate::config::fields::Fields;
use crate::error::{Error, Result};

/// Who goes to the same node again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Nobody: the nodes share their sessions.
    #[default]
    None,
    /// Whoever comes from the same address.
    Ip,
    /// Whoever has the cookie. nginx without a licence keeps no cookie of its own and takes the one
    /// that WordPress sets at login, whose name begins alike on every site.
    Cookie,
}

impl Affinity {
    const NAMES: [(&'static str, Affinity); 3] =
        [("none", Affinity::None), ("ip", Affinity::Ip), ("cookie", Affinity::Cookie)];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, affinity)| *affinity == self).map_or("none", |(name, _)| name)
    }
}

/// What a load balancer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancer {
    /// Path of the readiness probe.
    pub probe: String,
    /// Path of the probe that says how the site does.
    pub health: String,
    /// Path of the probe that says that the process lives.
    pub live: String,
    /// The name that the nodes serve; `None` for whatever is asked.
    pub host: Option<String>,
    /// Seconds between two checks.
    pub interval: u64,
    /// Seconds a check may take.
    pub check_timeout: u64,
    /// Checks in a row that take a node out.
    pub fall: u64,
    /// Checks in a row that bring it back.
    pub rise: u64,
    /// Seconds to connect to a node.
    pub connect_timeout: u64,
    /// Seconds that a node may be silent.
    pub read_timeout: u64,
    /// Idle connections to the nodes that are kept.
    pub keepalive: u64,
    /// Who goes to the same node again.
    pub affinity: Affinity,
    /// The cookie of [`Affinity::Cookie`] in HAProxy.
    pub cookie: String,
}

const OWNER: &str = "load_balancer";
const KEYS: [&str; 13] = [
    "probe",
    "health",
    "live",
    "host",
    "interval",
    "check_timeout",
    "fall",
    "rise",
    "connect_timeout",
    "read_timeout",
    "keepalive",
    "affinity",
    "cookie",
];

/// A node: `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// As it stands in a configuration.
    pub address: String,
}

impl Upstream {
    /// Reads `host:port` (`[v6]:port`).
    ///
    /// # Errors
    /// Invalid argument for anything else.
    pub fn read(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("upstreams", format!("expected host:port, got '{text}'"));
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_host = match inner {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_word(host, "-."),
        };
        let is_port = port.parse::<u16>().is_ok_and(|port| port != 0);
        if is_host && is_port { Ok(Self { address: text.to_owned() }) } else { Err(wrong()) }
    }
}

impl Balancer {
    /// The defaults, for a site whose probes are below `base` (`/wp-json/skylearn-billing-pro/v1`).
    pub fn new(base: &str) -> Self {
        Self {
            probe: format!("{base}/ready"),
            health: format!("{base}/health"),
            live: format!("{base}/live"),
            host: None,
            interval: 5,
            check_timeout: 3,
            fall: 2,
            rise: 2,
            connect_timeout: 2,
            read_timeout: 60,
            keepalive: 32,
            affinity: Affinity::None,
            cookie: "SLBP_NODE".to_owned(),
        }
    }

    /// `value` over the defaults.
    ///
    /// # Errors
    /// Invalid argument for an unknown key or a value that could not stand in a configuration.
    pub fn read(base: &str, value: &Value) -> Result<Self> {
        let (fields, default) = (Fields::of(OWNER, value, &KEYS)?, Self::new(base));
        let path = |key: &str, or: String| match fields.get(key) {
            None => Ok(or),
            Some(value) => {
                text(&fields, key, value, |text| text.starts_with('/') && is_word(text, "/-._?=&%~"))
            }
        };
        let word = |key: &str| match fields.get(key) {
            None => Ok(None),
            Some(value) => text(&fields, key, value, |text| is_word(text, "-._:")).map(Some),
        };
        let number = |key: &str, or: u64, most: u64| match fields.whole(key)? {
            None => Ok(or),
            Some(number) if (1..=most).contains(&number) => Ok(number),
            Some(number) => Err(fields.wrong(key, format!("expected 1 to {most}, got {number}"))),
        };
        Ok(Self {
            probe: path("probe", default.probe)?,
            health: path("health", default.health)?,
            live: path("live", default.live)?,
            host: word("host")?,
            interval: number("interval", default.interval, 3600)?,
            check_timeout: number("check_timeout", default.check_timeout, 3600)?,
            fall: number("fall", default.fall, 100)?,
            rise: number("rise", default.rise, 100)?,
            connect_timeout: number("connect_timeout", default.connect_timeout, 3600)?,
            read_timeout: number("read_timeout", default.read_timeout, 86_400)?,
            keepalive: number("keepalive", default.keepalive, 65_535)?,
            affinity: fields.choice("affinity", &Affinity::NAMES)?.unwrap_or_default(),
            cookie: word("cookie")?.unwrap_or(default.cookie),
        })
    }

    /// The array that programs read.
    pub fn describe(&self) -> Value {
        let mut all = Map::new();
        all.insert(
            "health_check".to_owned(),
            json!({
                "path": self.probe,
                "health_path": self.health,
                "live_path": self.live,
                "host": self.host,
                "interval": self.interval,
                "timeout": self.check_timeout,
                "unhealthy_threshold": self.fall,
                "healthy_threshold": self.rise,
                "success_codes": [200],
            }),
        );
        all.insert(
            "session_affinity".to_owned(),
            json!({"type": self.affinity.name(), "cookie": self.cookie}),
        );
        all.insert(
            "connection".to_owned(),
            json!({
                "connect_timeout": self.connect_timeout,
                "read_timeout": self.read_timeout,
                "keepalive": self.keepalive,
            }),
        );
        Value::Object(all)
    }

    /// Settings from what [`Balancer::describe`] returned, after the site's filter.
    ///
    /// # Errors
    /// As [`Balancer::read`].
    pub fn from_description(base: &str, described: &Value) -> Result<Self> {
        let part = |section: &str, key: &str| described.get(section).and_then(|part| part.get(key)).cloned();
        let names = [
            ("probe", "health_check", "path"),
            ("health", "health_check", "health_path"),
            ("live", "health_check", "live_path"),
            ("host", "health_check", "host"),
            ("interval", "health_check", "interval"),
            ("check_timeout", "health_check", "timeout"),
            ("fall", "health_check", "unhealthy_threshold"),
            ("rise", "health_check", "healthy_threshold"),
            ("affinity", "session_affinity", "type"),
            ("cookie", "session_affinity", "cookie"),
            ("connect_timeout", "connection", "connect_timeout"),
            ("read_timeout", "connection", "read_timeout"),
            ("keepalive", "connection", "keepalive"),
        ];
        let given =
            names.iter().filter_map(|(key, section, name)| Some(((*key).to_owned(), part(section, name)?)));
        Self::read(base, &Value::Object(given.collect()))
    }
}

fn text(fields: &Fields, key: &str, value: &Value, is_good: impl Fn(&str) -> bool) -> Result<String> {
    let text = value.as_str().filter(|text| text.len() <= 200 && is_good(text));
    text.map(str::to_owned)
        .ok_or_else(|| fields.wrong(key, "expected letters, digits and - . _ (a path begins with /)"))
}

/// Whether `text` can stand in a configuration without a quote: letters, digits and `more`.
fn is_word(text: &str, more: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}
