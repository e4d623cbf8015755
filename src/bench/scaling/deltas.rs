//! Deltas made up: what a flow table would report.

use crate::flow::{Counters, FlowDelta};
use crate::net::{Addr, Endpoint, Protocol};
use crate::time::Timestamp;

/// A report of `bytes` from host `host` to destination `peer`, both by number.
pub(super) fn delta(host: u64, peer: u64, bytes: u64, at: Timestamp) -> FlowDelta {
    let end = |base: u32, number: u64, port| Endpoint {
        addr: Addr::from_v4((base + number as u32).to_be_bytes()),
        port,
    };
    let (from, to) = (end(0x0a00_0100, host, 50_000), end(0x2000_0000, peer, 443));
    let sent = Counters {
        payload: bytes,
        acked: bytes,
        sent: bytes,
        wire: bytes + 40,
        packets: 2,
        ..Counters::default()
    };
    FlowDelta::new(from, to, Protocol::TCP, at, [sent, Counters::default()])
}

/// Bytes that differ from pair to pair, day to day: around `median`, seldom far above.
pub(super) fn bytes(pair: u64, day: u64, median: u64) -> u64 {
    let mut hash =
        pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ day.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^= hash >> 31;
    let shift = (hash.wrapping_mul(0x94d0_49bb_1331_11eb) >> 32).trailing_zeros().min(6);
    (median / 2 + hash % median.max(1)) << shift
}
