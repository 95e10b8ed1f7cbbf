//! What can be set.
//!
//! Owns: the asset keys of `SLBP_Performance_Optimizer`'s `$config`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::config::{Fallback, Section, lax};
use crate::error::{Error, Result};
use crate::ports::Environment;

/// The keys that [`Settings::read`] understands.
pub const KEYS: &[&str] = &[
    "asset_optimization",
    "plugin_path",
    "plugin_url",
    "upload_dir",
    "upload_url",
    "cdn_url",
    "allowed_roots",
    "asset_shorten_names",
    "asset_max_size",
    "asset_grace",
];

const SECTION: Section = Section {
    name: "$config",
    keys: KEYS,
    fallbacks: &[
        Fallback { key: "plugin_path", constant: Some("SLBP_PLUGIN_PATH"), ini: None },
        Fallback { key: "plugin_url", constant: Some("SLBP_PLUGIN_URL"), ini: None },
        Fallback { key: "cdn_url", constant: Some("SLBP_CDN_URL"), ini: None },
    ],
};

/// A folder whose files may be read, and where visitors find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The folder.
    pub path: PathBuf,
    /// Its URL, without a slash at the end.
    pub url: Option<String>,
}

/// How assets are optimized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether they are at all.
    pub enabled: bool,
    /// Where relative file names begin.
    pub plugin: Option<Root>,
    /// The other folders whose files may be read.
    pub roots: Vec<Root>,
    /// The folder that bundles go below.
    pub upload: Option<Root>,
    /// What visitors fetch bundles from instead of the site.
    pub cdn_url: Option<String>,
    /// Whether local variables get short names.
    pub shorten_names: bool,
    /// Larger files are left alone, in bytes.
    pub max_size: usize,
    /// How long a file stays that nothing names any more.
    pub grace: Duration,
}

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    #[serde(deserialize_with = "lax::bool")]
    asset_optimization: bool,
    #[serde(deserialize_with = "lax::text")]
    plugin_path: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    plugin_url: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    upload_dir: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    upload_url: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    cdn_url: Option<String>,
    allowed_roots: Value,
    #[serde(deserialize_with = "lax::bool")]
    asset_shorten_names: bool,
    #[serde(deserialize_with = "lax::u64")]
    asset_max_size: u64,
    #[serde(deserialize_with = "lax::u64")]
    asset_grace: u64,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            asset_optimization: true,
            plugin_path: None,
            plugin_url: None,
            upload_dir: None,
            upload_url: None,
            cdn_url: None,
            allowed_roots: Value::Null,
            asset_shorten_names: false,
            asset_max_size: 1 << 20,
            asset_grace: 7 * 86_400,
        }
    }
}

/// The largest `asset_max_size`: what the stack of the parser's thread was measured with.
const LARGEST: u64 = 2 << 20;

impl Settings {
    /// Reads the assets' part of `$config`, which has no other keys.
    ///
    /// # Errors
    /// Invalid argument or config error that names the key and what was expected.
    pub fn read(config: Value, env: &dyn Environment) -> Result<Self> {
        let raw: Raw = SECTION.read(config, env)?;
        let plugin = root("plugin_path", raw.plugin_path, "plugin_url", raw.plugin_url)?;
        let upload = root("upload_dir", raw.upload_dir, "upload_url", raw.upload_url)?;
        if raw.asset_max_size > LARGEST {
            let got = raw.asset_max_size;
            let expected = format!("expected bytes, at most {LARGEST}, got {got}");
            return Err(Error::invalid("asset_max_size", expected));
        }
        Ok(Self {
            enabled: raw.asset_optimization,
            plugin,
            roots: roots(&raw.allowed_roots)?,
            upload,
            cdn_url: raw
                .cdn_url
                .filter(|url| !url.is_empty())
                .map(|text| url("cdn_url", &text))
                .transpose()?,
            shorten_names: raw.asset_shorten_names,
            max_size: raw.asset_max_size as usize,
            grace: Duration::from_secs(raw.asset_grace),
        })
    }

    /// Every folder whose files may be read.
    pub fn readable(&self) -> impl Iterator<Item = &Root> {
        self.plugin.iter().chain(&self.roots)
    }
}

fn root(path_key: &str, path: Option<String>, url_key: &str, place: Option<String>) -> Result<Option<Root>> {
    let place = place.filter(|text| !text.is_empty()).map(|text| url(url_key, &text)).transpose()?;
    let path = path.filter(|text| !text.is_empty()).map(|text| folder(path_key, &text)).transpose()?;
    Ok(path.map(|path| Root { path, url: place }))
}

/// `allowed_roots`: a list of folders, or folders with their URLs.
fn roots(value: &Value) -> Result<Vec<Root>> {
    let key = "allowed_roots";
    let wrong =
        || Error::invalid(key, "expected a list of folders, or folders as keys and their URLs as values");
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => list
            .iter()
            .map(|path| Ok(Root { path: folder(key, path.as_str().ok_or_else(wrong)?)?, url: None }))
            .collect(),
        Value::Object(map) => map
            .iter()
            .map(|(path, place)| {
                let place = place.as_str().ok_or_else(wrong)?;
                Ok(Root { path: folder(key, path)?, url: Some(url(key, place)?) })
            })
            .collect(),
        _ => Err(wrong()),
    }
}

fn folder(key: &str, text: &str) -> Result<PathBuf> {
    if !text.starts_with('/') || text.contains('\0') {
        return Err(Error::invalid(key, format!("expected an absolute path, got '{text}'")));
    }
    Ok(PathBuf::from(text))
}

fn url(key: &str, text: &str) -> Result<String> {
    let is_url = ["http://", "https://", "/"].iter().any(|start| text.starts_with(start));
    if !is_url || text.contains(|c: char| c.is_control() || c.is_whitespace() || "\"'<>?#".contains(c)) {
        return Err(Error::invalid(
            key,
            format!("expected an http(s) URL or an absolute path of one, got '{text}'"),
        ));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ports::Detached;

    fn read(config: Value) -> Result<Settings> {
        Settings::read(config, &Detached::default())
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let settings = read(Value::Null).unwrap();
        assert!(settings.enabled && !settings.shorten_names && settings.upload.is_none());
        assert_eq!((settings.max_size, settings.grace.as_secs()), (1 << 20, 604_800));
    }

    #[test]
    fn roots_are_a_list_or_have_urls() {
        let list = read(json!({"allowed_roots": ["/srv/a"]})).unwrap().roots;
        assert_eq!(list, [Root { path: "/srv/a".into(), url: None }]);
        let map = read(json!({"allowed_roots": {"/srv/a": "https://a.test/a/"}})).unwrap().roots;
        assert_eq!(map, [Root { path: "/srv/a".into(), url: Some("https://a.test/a".to_owned()) }]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (key, value) in [
            ("allowed_roots", json!("/srv")),
            ("allowed_roots", json!(["relative"])),
            ("plugin_path", json!("css")),
            ("upload_url", json!("javascript:alert(1)")),
            ("cdn_url", json!("https://a.test/\"><script>")),
            ("asset_max_size", json!(1u64 << 40)),
        ] {
            let error = read(json!({key: value.clone()})).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
