//! What stands between `SLBP_Rate_Limiter` and the domain: the host's side of limiting.
//!
//! Owns: building a limiter from `$config`, options and php.ini; the lists' way into the WordPress
//! options ([`lists`]); who the current visitor is ([`visitor`]); REST answers ([`rest`]); result
//! arrays ([`results`]). Refuses to do: decide. Methods take the limiter out as an `Rc` before they
//! call PHP, so that a filter may change the rules of the very object that asked it.

pub mod ajax;
pub mod lists;
pub mod rest;
pub mod results;
pub mod visitor;

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;

use ext_php_rs::types::ZendCallable;
use serde_json::Value;

use super::convert::params::Settings as Config;
use super::segment;
use super::wordpress::constants::PhpEnvironment;
use super::wordpress::options::HostOptions;
use super::wordpress::site;
use crate::clock::SystemClock;
use crate::error::Result;
use crate::limiter::settings::Settings;
use crate::limiter::{Host, Limiter};

/// A limiter with its host.
pub struct HostedLimiter {
    limiter: RefCell<Rc<Limiter>>,
    config: Value,
    options: HostOptions,
    validator: Option<ZendCallable<'static>>,
}

impl HostedLimiter {
    /// Reads the settings and, under WordPress, brings the lists up to date.
    ///
    /// # Errors
    /// A wrong setting, or no shared memory at all.
    pub fn new(mut config: Config) -> Result<Self> {
        let validator = config.take_callable("api_key_validator")?;
        let options = HostOptions::find();
        let limiter = build(&config.tree, &options)?;
        let hosted =
            Self { limiter: RefCell::new(Rc::new(limiter)), config: config.tree, options, validator };
        hosted.refresh_lists();
        Ok(hosted)
    }

    /// The limiter, to be used without touching the cell again.
    pub fn get(&self) -> Rc<Limiter> {
        self.limiter.borrow().clone()
    }

    /// Reads the settings again, after an option has changed.
    ///
    /// # Errors
    /// A wrong setting; the limiter is as it was.
    pub fn reload(&self) -> Result<()> {
        let limiter = build(&self.config, &self.options)?;
        self.limiter.replace(Rc::new(limiter));
        Ok(())
    }
}

fn build(config: &Value, options: &HostOptions) -> Result<Limiter> {
    let host = Host {
        segment: segment::get()?,
        clock: Arc::new(SystemClock),
        site: site::identity(),
        server_addresses: visitor::server_address().into_iter().collect(),
        random: Box::new(random),
    };
    Limiter::new(Settings::read(config, &PhpEnvironment, options)?, host)
}

/// An evenly drawn number: the standard library seeds each hasher from the system's randomness.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
