//! What makes two segments part of one flow.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use super::hash::of_pair;
use crate::net::{Addr, Endpoint, Protocol};

/// Canonical 5-tuple: one key for both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowKey {
    /// The lesser end.
    pub low: Endpoint,
    /// The greater end.
    pub high: Endpoint,
    /// VLAN or tunnel number, where the configuration makes it part of the key; else 0.
    pub tag: u32,
    /// The transport protocol.
    pub protocol: Protocol,
}

/// Which end of a [`FlowKey`] sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sender {
    /// The lesser end.
    Low,
    /// The greater end.
    High,
}

impl Sender {
    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

/// Number of flow-table shards. Fixed, so that limits and evictions do not depend on how many
/// workers share them.
pub const SHARDS: usize = 32;

impl FlowKey {
    /// Builds the key of a segment and says which end sent it.
    pub fn of(source: Endpoint, destination: Endpoint, protocol: Protocol) -> (Self, Sender) {
        // As numbers: the derived order of two structures costs five times as much.
        let number = |end: Endpoint| (end.addr.to_bits(), end.port);
        let (low, high, sender) = if number(source) <= number(destination) {
            (source, destination, Sender::Low)
        } else {
            (destination, source, Sender::High)
        };
        (Self { low, high, tag: 0, protocol }, sender)
    }

    /// The end that is `side`.
    pub fn end(&self, side: Sender) -> Endpoint {
        match side {
            Sender::Low => self.low,
            Sender::High => self.high,
        }
    }

    /// The shard that counts what two addresses exchange, from 0 to [`SHARDS`] − 1.
    ///
    /// By the pair of addresses only: fragments without ports meet the flow that they belong to.
    /// The hash has a fixed seed because the choice decides which flows share a limit.
    pub fn shard(a: Addr, b: Addr) -> usize {
        (of_pair(a, b) >> 32) as usize % SHARDS
    }

    /// The community id, version 1, seed 0 (Corelight, "Community ID Flow Hashing").
    ///
    /// ICMP types are not part of our key; echo identifiers stand in the place of both ports.
    pub fn community_id(&self) -> String {
        let mut hash = Sha1::new();
        hash.update(0u16.to_be_bytes());
        for addr in [self.low.addr, self.high.addr] {
            hash.update(wire_bytes(addr));
        }
        hash.update([self.protocol.0, 0]);
        for port in [self.low.port, self.high.port] {
            hash.update(port.to_be_bytes());
        }
        format!("1:{}", BASE64_STANDARD.encode(hash.finalize()))
    }
}

fn wire_bytes(addr: Addr) -> Vec<u8> {
    match addr.to_ip() {
        std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(addr: [u8; 4], port: u16) -> Endpoint {
        Endpoint { addr: Addr::from_v4(addr), port }
    }

    #[test]
    fn both_directions_have_one_key() {
        let (a, b) = (end([10, 0, 0, 1], 50000), end([203, 0, 113, 9], 443));
        let (there, from) = FlowKey::of(a, b, Protocol::TCP);
        let (back, to) = FlowKey::of(b, a, Protocol::TCP);
        assert_eq!(there, back);
        assert_eq!(from, to.other());
        assert_eq!(there.end(from), a);
    }

    /// The value published with the specification's baseline data (tcp.pcap).
    #[test]
    fn community_id_agrees_with_the_specification() {
        let (key, _) = FlowKey::of(
            end([128, 232, 110, 120], 34855),
            end([66, 35, 250, 204], 80),
            Protocol::TCP,
        );
        assert_eq!(key.community_id(), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
    }
}
