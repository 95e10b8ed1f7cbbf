//! What the host knows of the site: where it is, what its configuration says, who asks.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::backup::config::{Document, Settings};
use crate::backup::settings::Site;
use crate::binding::convert::json::from_zval;
use crate::binding::info::VERSION;
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::binding::wordpress::options::HostOptions;
use crate::binding::wordpress::{hooks, site as current};
use crate::ports::{Environment, Options};

/// Options that are settings. Addresses of the site are facts: a restore must not move it.
const OPTIONS: [&str; 18] = [
    "slbp_rate_limits",
    "slbp_rate_limit_whitelist",
    "slbp_rate_limit_blacklist",
    "slbp_rate_limit_all_rest",
    "slbp_auto_ban_config",
    "slbp_trusted_proxies",
    "slbp_health_check_ips",
    "slbp_monitoring_ips",
    "slbp_session_handler",
    "slbp_alert_config",
    "slbp_backup_config",
    "blogname",
    "blogdescription",
    "admin_email",
    "timezone_string",
    "date_format",
    "time_format",
    "permalink_structure",
];

/// Keys whose values are only written into encrypted backups, in whatever option they stand.
const SECRETS: [&str; 15] = [
    "password",
    "pass",
    "secret",
    "client_secret",
    "token",
    "bearer_token",
    "api_key",
    "access_key",
    "secret_key",
    "session_token",
    "key",
    "private_key",
    "signing_key",
    "encryption_key",
    "webhook_url",
];

/// What not even an encrypted backup has: a key is of no use behind itself, and restoring an old backup
/// must not bring an old key back.
const KEYS: [&str; 1] = ["encryption_key"];

/// Options that tell a person how the site was, and are not set again.
const FACTS: [&str; 5] = ["siteurl", "home", "active_plugins", "template", "stylesheet"];

/// The site that this request belongs to.
pub fn site() -> Site {
    let environment = PhpEnvironment;
    let folder = |name| environment.constant(name).map(|path| PathBuf::from(path.trim_end_matches('/')));
    let zone = hooks::call("wp_timezone_string", vec![]).and_then(|zone| zone.string());
    let token = blake3::hash(&current::identity()).to_hex();
    Site {
        root: folder("ABSPATH"),
        content: folder("WP_CONTENT_DIR"),
        prefix: current::table_prefix(),
        token: token.get(..12).unwrap_or_default().to_owned(),
        zone: zone.or_else(|| environment.ini("date.timezone")),
    }
}

/// Whether a web server asked, whose requests may be ended at any time.
pub fn is_web() -> bool {
    PhpEnvironment.constant("PHP_SAPI").is_none_or(|name| name != "cli")
}

/// The site's configuration of now, with its secrets when the backup is `encrypted`.
pub fn document(options: &HostOptions, encrypted: bool) -> Document {
    let environment = PhpEnvironment;
    let mut facts = Map::new();
    facts.insert("slbp".to_owned(), VERSION.into());
    facts.insert("php".to_owned(), json!(environment.constant("PHP_VERSION")));
    let wordpress =
        hooks::call("get_bloginfo", vec![&"version"]).and_then(|version| from_zval(&version).ok());
    facts.insert("wordpress".to_owned(), wordpress.unwrap_or_default());
    facts.insert("table_prefix".to_owned(), json!(current::table_prefix()));
    for name in FACTS {
        facts.insert(name.to_owned(), options.get(name).unwrap_or(Value::Null));
    }
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let secrets = if encrypted { owned(&KEYS) } else { owned(&SECRETS) };
    Document::gather(&Settings { options: owned(&OPTIONS), secrets, facts }, options)
}

/// Puts into the folder of the backups what keeps Apache from serving it. Where a web server reads no
/// such files the folder's name, which cannot be guessed, and its permissions are what protects.
pub fn guard(root: &Path) {
    for (name, text) in [(".htaccess", "Require all denied\nDeny from all\n"), ("index.php", "<?php\n")] {
        let path = root.join(name);
        if let Ok(mut file) = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            // A guard that cannot be written leaves the two other protections.
            let _ = file.write_all(text.as_bytes());
        }
    }
}
