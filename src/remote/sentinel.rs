//! Asking the sentinels who is master.
//!
//! The `redis` crate has a sentinel client, but it connects without any time-out, so one dead
//! sentinel host would hold a worker for the kernel's two minutes.

use ::redis::{Value, cmd};

use super::fault::{Fault, FaultKind};
use super::settings::{Address, RedisSettings};
use super::wire::{Wire, anonymous};

/// Where the current master of `service` is.
pub(super) fn find_master(
    service: &str,
    sentinels: &[Address],
    settings: &RedisSettings,
) -> Result<Address, Fault> {
    let mut last = Fault::new(FaultKind::Down, "no sentinel is configured");
    for sentinel in sentinels {
        let found = ask(sentinel, service, settings)
            .and_then(|master| connect_if_master(&master, settings).map(|_| master));
        match found {
            Ok(master) => return Ok(master),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

/// Connects to the current master of `service`. A server that no longer calls itself master is
/// refused: after a failover a sentinel may lag behind.
pub(super) fn connect_to_master(
    service: &str,
    sentinels: &[Address],
    settings: &RedisSettings,
) -> Result<Wire, Fault> {
    let mut last = Fault::new(FaultKind::Down, "no sentinel is configured");
    for sentinel in sentinels {
        match ask(sentinel, service, settings).and_then(|master| connect_if_master(&master, settings)) {
            Ok(wire) => return Ok(wire),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

/// Sentinels usually have no password; one that has is given the servers'.
fn ask(sentinel: &Address, service: &str, settings: &RedisSettings) -> Result<Address, Fault> {
    let question = cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service).clone();
    let mut reply = Wire::connect(sentinel, &anonymous(settings))?.run(&question)?;
    if matches!(&reply, Value::ServerError(error) if error.code() == "NOAUTH") {
        let same_login = RedisSettings { database: 0, ..settings.clone() };
        reply = Wire::connect(sentinel, &same_login)?.run(&question)?;
    }
    let (host, port): (String, u16) = ::redis::from_redis_value(reply).map_err(|_| {
        Fault::new(FaultKind::Refused, format!("sentinel {sentinel} knows no master '{service}'"))
    })?;
    let tls = matches!(sentinel, Address::Tcp { tls: true, .. });
    Ok(Address::Tcp { host, port, tls })
}

fn connect_if_master(address: &Address, settings: &RedisSettings) -> Result<Wire, Fault> {
    let mut wire = Wire::connect(address, settings)?;
    let role = wire.run(&cmd("ROLE"))?;
    match &role {
        Value::Array(parts) if parts.first() == Some(&Value::BulkString(b"master".to_vec())) => Ok(wire),
        _ => Err(Fault::new(FaultKind::Refused, format!("{address} is not the master any more"))),
    }
}
