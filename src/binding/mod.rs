//! The PHP boundary: the only place that names `ext_php_rs`.
//!
//! Owns: module registration, the lifecycle, php.ini directives, exceptions, and the conversion
//! between PHP values and the domains' types. Refuses to do: rules. A method here converts its
//! arguments, calls one domain function and converts the result back.
//!
//! Invariants, each learnt from a crash:
//! - no lock, file, transaction or owned heap is held across a call into PHP, because a fatal error
//!   in a callback `longjmp`s over the Rust frames and runs no destructor;
//! - methods take `&self`: a callback may re-enter the object;
//! - no PHP class implements `Default`, or subclasses lose their own methods.
#![allow(unsafe_code)]

mod alerts;
mod assets;
mod backup;
mod cache;
mod class_table;
mod classes;
mod convert;
mod door;
mod exceptions;
mod failure;
mod health;
mod info;
mod ini;
mod lifecycle;
mod limiter;
mod metrics;
mod query;
mod queue;
mod segment;
mod session;
mod wordpress;

use ext_php_rs::prelude::*;

/// What PHP asks for when it loads the extension: the registration list, and nothing else.
#[php_module]
pub fn get_module(module: ModuleBuilder) -> ModuleBuilder {
    let module = alerts::tick::functions(queue::supervise::functions(backup::worker::functions(
        info::functions(module),
    )))
    .name("slbp")
    .version(info::VERSION)
    .startup_function(lifecycle::startup)
    .shutdown_function(lifecycle::shutdown)
    .request_startup_function(lifecycle::request_startup)
    .request_shutdown_function(lifecycle::request_shutdown)
    .post_deactivate_function(lifecycle::post_deactivate)
    .info_function(info::phpinfo)
    .class::<classes::backup_manager::BackupManager>()
    .class::<classes::rate_limiter::RateLimiter>()
    .class::<classes::performance_optimizer::PerformanceOptimizer>()
    .class::<classes::object_cache::ObjectCache>()
    .class::<classes::background_processor::BackgroundProcessor>()
    .class::<classes::monitoring_manager::MonitoringManager>()
    .class::<classes::scalability_manager::ScalabilityManager>();
    // Its interfaces are the session module's.
    if session::are_there() { module.class::<classes::session_handler::SessionHandler>() } else { module }
}
