//! A Redis Cluster: which node holds a key, and following it when it moves.
//!
//! Own code, about 200 lines, because the `redis` crate's synchronous cluster client waits one
//! time-out per command of a batch when a node is stopped, resolves MGET one slot after the other,
//! and its pipeline takes only connections that stay in use after a time-out. Here a batch goes
//! to all its nodes before the first reply is read, and the first failure ends it.
//!
//! Any failure makes the caller drop the whole cluster connection: the next call learns the
//! topology anew, which is also how a failover is followed.

use std::collections::BTreeMap;

use ::redis::{Arg, Cmd, Value};

use super::fault::{Fault, FaultKind};
use super::settings::{Address, RedisSettings};
use super::wire::Wire;

/// How often a batch follows redirections before it gives up.
const MAX_ROUNDS: usize = 4;

/// Connections to the masters of one cluster, opened when first needed.
pub(super) struct Cluster {
    settings: RedisSettings,
    /// Last slot of a range → its master; ranges are contiguous in a healthy cluster.
    owners: BTreeMap<u16, Address>,
    wires: Vec<(Address, Wire)>,
    stale: bool,
}

/// One command on its way: its place in the batch and where it goes next.
struct Errand {
    index: usize,
    node: Address,
    asking: bool,
}

impl Cluster {
    /// Learns the topology from the first of `seeds` that answers.
    pub(super) fn connect(seeds: &[Address], settings: &RedisSettings) -> Result<Self, Fault> {
        let mut cluster =
            Self { settings: settings.clone(), owners: BTreeMap::new(), wires: Vec::new(), stale: false };
        let mut last = Fault::new(FaultKind::Down, "no cluster node is configured");
        for seed in seeds {
            match cluster.learn_from(seed) {
                Ok(()) => return Ok(cluster),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    /// The masters, each with the last slot of one of its ranges.
    pub(super) fn masters(&self) -> Vec<(Address, u16)> {
        let mut masters: Vec<(Address, u16)> = Vec::new();
        for (last, address) in &self.owners {
            if !masters.iter().any(|(known, _)| known == address) {
                masters.push((address.clone(), *last));
            }
        }
        masters
    }

    /// Sends every command to the node that holds its key and returns the replies in order.
    pub(super) fn batch(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, Fault> {
        self.refresh_if_stale()?;
        let mut errands = Vec::with_capacity(commands.len());
        for (index, command) in commands.iter().enumerate() {
            errands.push(Errand { index, node: self.owner_of(command)?, asking: false });
        }
        let mut replies = vec![Value::Nil; commands.len()];
        for _ in 0..MAX_ROUNDS {
            errands = self.round(commands, errands, &mut replies)?;
            if errands.is_empty() {
                return Ok(replies);
            }
        }
        Err(Fault::new(FaultKind::Refused, "the cluster keeps moving the key"))
    }

    /// One trip to every node concerned; returns what has to go elsewhere.
    fn round(
        &mut self,
        commands: &[Cmd],
        errands: Vec<Errand>,
        replies: &mut [Value],
    ) -> Result<Vec<Errand>, Fault> {
        for (node, packed) in pack_by_node(commands, &errands) {
            self.wire(&node)?.send(&packed)?;
        }
        let mut redirected = Vec::new();
        for errand in errands {
            let wire = self.wire(&errand.node)?;
            if errand.asking {
                wire.receive()?;
            }
            let reply = wire.receive()?;
            match redirection(&reply, &errand.node) {
                Some((node, asking)) => {
                    self.stale |= !asking;
                    redirected.push(Errand { node, asking, ..errand });
                }
                None => {
                    if let Some(slot) = replies.get_mut(errand.index) {
                        *slot = reply;
                    }
                }
            }
        }
        Ok(redirected)
    }

    fn wire(&mut self, node: &Address) -> Result<&mut Wire, Fault> {
        let position = match self.wires.iter().position(|(address, _)| address == node) {
            Some(position) => position,
            None => {
                self.wires.push((node.clone(), Wire::connect(node, &self.settings)?));
                self.wires.len() - 1
            }
        };
        match self.wires.get_mut(position) {
            Some((_, wire)) => Ok(wire),
            None => Err(Fault::new(FaultKind::Down, "no connection to the node")),
        }
    }

    fn owner_of(&self, command: &Cmd) -> Result<Address, Fault> {
        let slot = routing_key(command).map_or(0, hash_slot);
        let owner = self.owners.range(slot..).next().map(|(_, address)| address.clone());
        owner.ok_or_else(|| Fault::new(FaultKind::Refused, "the cluster does not cover every slot"))
    }

    fn refresh_if_stale(&mut self) -> Result<(), Fault> {
        if !std::mem::take(&mut self.stale) {
            return Ok(());
        }
        let known: Vec<Address> = self.wires.iter().map(|(address, _)| address.clone()).collect();
        known.iter().try_for_each(|node| self.learn_from(node)).or(Ok(()))
    }

    fn learn_from(&mut self, node: &Address) -> Result<(), Fault> {
        let reply = self.wire(node)?.run(::redis::cmd("CLUSTER").arg("SLOTS"))?;
        let owners = parse_slots(&reply, node).ok_or_else(|| {
            Fault::new(FaultKind::Refused, format!("{node} told no cluster slots: {reply:?}"))
        })?;
        self.owners = owners;
        Ok(())
    }
}

fn pack_by_node(commands: &[Cmd], errands: &[Errand]) -> Vec<(Address, Vec<u8>)> {
    let mut packed: Vec<(Address, Vec<u8>)> = Vec::new();
    for errand in errands {
        let Some(command) = commands.get(errand.index) else { continue };
        let position = packed.iter().position(|(node, _)| *node == errand.node).unwrap_or_else(|| {
            packed.push((errand.node.clone(), Vec::new()));
            packed.len() - 1
        });
        if let Some((_, bytes)) = packed.get_mut(position) {
            if errand.asking {
                bytes.extend_from_slice(b"*1\r\n$6\r\nASKING\r\n");
            }
            command.write_packed_command(bytes);
        }
    }
    packed
}

/// `MOVED 3999 10.0.0.2:6379` or `ASK …`: where to go, and whether only this once.
fn redirection(reply: &Value, from: &Address) -> Option<(Address, bool)> {
    let Value::ServerError(error) = reply else { return None };
    let asking = match error.code() {
        "MOVED" => false,
        "ASK" => true,
        _ => return None,
    };
    let Address::Tcp { host: our_host, port, tls } = from else { return None };
    let target = error.details()?.split(' ').nth(1)?;
    match target.strip_prefix(':') {
        Some(digits) => {
            Some((Address::Tcp { host: our_host.clone(), port: digits.parse().ok()?, tls: *tls }, asking))
        }
        None => Some((Address::parse(target, *port, *tls).ok()?, asking)),
    }
}

/// Reads `CLUSTER SLOTS`: `[first, last, [host, port, …], replicas…]` per range. A node that does
/// not know its own name sends an empty host and means the one it was asked on.
fn parse_slots(reply: &Value, asked: &Address) -> Option<BTreeMap<u16, Address>> {
    let Address::Tcp { host: asked_host, tls, .. } = asked else { return None };
    let Value::Array(ranges) = reply else { return None };
    let mut owners = BTreeMap::new();
    for range in ranges {
        let Value::Array(parts) = range else { return None };
        let (Some(Value::Int(last)), Some(Value::Array(master))) = (parts.get(1), parts.get(2)) else {
            return None;
        };
        let host = match master.first() {
            Some(Value::BulkString(host)) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
            _ => asked_host.clone(),
        };
        let Some(Value::Int(port)) = master.get(1) else { return None };
        let address = Address::Tcp { host, port: u16::try_from(*port).ok()?, tls: *tls };
        owners.insert(u16::try_from(*last).ok()?, address);
    }
    (!owners.is_empty()).then_some(owners)
}

/// The key a command is routed by: its first argument, or the first key of a script.
fn routing_key(command: &Cmd) -> Option<&[u8]> {
    let mut arguments = command.args_iter().filter_map(|argument| match argument {
        Arg::Simple(bytes) => Some(bytes),
        _ => None,
    });
    let name = arguments.next()?;
    if name.eq_ignore_ascii_case(b"EVALSHA") || name.eq_ignore_ascii_case(b"EVAL") {
        return arguments.nth(2);
    }
    arguments.next()
}

/// Redis Cluster specification, "Key distribution model": CRC16 of the key, or of what stands
/// between its first `{` and the next `}` when that is not empty, modulo 16384.
pub(super) fn hash_slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    crc16_xmodem(tag.unwrap_or(key)) % 16384
}

fn crc16_xmodem(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16_xmodem(b"123456789"), 0x31C3);
        assert_eq!(hash_slot(b"foo"), 12182);
        assert_eq!(hash_slot(b"{user1000}.following"), hash_slot(b"{user1000}.followers"));
        assert_eq!(hash_slot(b"foo{}{bar}"), crc16_xmodem(b"foo{}{bar}") % 16384);
        assert_eq!(hash_slot(b"foo{{bar}}zap"), crc16_xmodem(b"{bar") % 16384);
    }

    #[test]
    fn a_script_is_routed_by_its_first_key() {
        let mut script = ::redis::cmd("EVALSHA");
        script.arg("0123").arg(1).arg("the-key").arg("an argument");
        assert_eq!(routing_key(&script), Some(b"the-key".as_slice()));
        assert_eq!(routing_key(::redis::cmd("GET").arg("k")), Some(b"k".as_slice()));
        assert_eq!(routing_key(&::redis::cmd("PING")), None);
    }
}
