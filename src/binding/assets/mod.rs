//! What stands between `SLBP_Performance_Optimizer` and the assets' domain.
//!
//! Owns: the assets' part of `$config`, and where WordPress has its files when `$config` does not say.
//! Refuses to do: decide which files may be read, or whether one is worth minifying.

mod page;
mod places;

use ext_php_rs::types::{ZendHashTable, Zval};
use serde_json::Value;

use super::cache::arguments::names_of;
use super::convert::zend::{flag, string};
use super::failure::log;
use super::segment;
use super::wordpress::constants::PhpEnvironment;
use crate::assets::settings::{KEYS, Settings};
use crate::assets::{Assets, Optimized, Type};
use crate::clock::SystemClock;
use crate::config::only;
use crate::error::{Kind, Result};

/// The assets of the site that a request serves.
pub struct HostedAssets {
    settings: Settings,
}

impl HostedAssets {
    /// Reads the assets' part of `config`.
    ///
    /// # Errors
    /// A wrong setting.
    pub fn new(config: &Value) -> Result<Self> {
        Ok(Self { settings: Settings::read(only(config, KEYS), &PhpEnvironment)? })
    }

    /// `optimize_assets()`.
    ///
    /// # Errors
    /// Misuse and wrong settings; anything else is logged, and answered with `false`.
    pub fn bundle(&self, kind: &str, files: &ZendHashTable) -> Result<Zval> {
        let kind = Type::parse(kind)?;
        let names: Vec<String> =
            names_of(files).iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        told(self.assets().bundle(kind, &names))
    }

    /// `optimize_asset()`.
    ///
    /// # Errors
    /// As [`Self::bundle`].
    pub fn minified(&self, kind: &str, file: &str) -> Result<Zval> {
        told(self.assets().minified(Type::parse(kind)?, file))
    }

    fn assets(&self) -> Assets {
        let settings = places::filled(self.settings.clone());
        Assets::new(settings, segment::get().ok(), std::sync::Arc::new(SystemClock))
    }
}

fn told(outcome: Result<Optimized>) -> Result<Zval> {
    match outcome {
        Ok(optimized) => {
            optimized.notes.iter().for_each(|note| log(&format!("an asset is served as it is: {note}")));
            Ok(optimized.url.map_or_else(|| flag(false), |url| string(url.as_bytes())))
        }
        Err(error) if matches!(error.kind(), Kind::InvalidArgument | Kind::Config) => Err(error),
        Err(error) => {
            log(&format!("assets are not optimized: {error}"));
            Ok(flag(false))
        }
    }
}
