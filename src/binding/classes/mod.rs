//! One file per PHP class. A method converts, calls one domain function and converts back.

pub mod background_processor;
pub mod backup_manager;
pub mod monitoring_manager;
pub mod object_cache;
pub mod performance_optimizer;
pub mod rate_limiter;
pub mod scalability_manager;
pub mod session_handler;
