//! Seeded traffic whose truth is known, and a capture point that disturbs the view of it.
//!
//! [`Conversation`] and [`Exchange`] say what was really sent and delivered, and play it as
//! [`Packet`]s. A [`Capture`] takes plays, disturbs what it sees in ways that compose, writes frames and has
//! them counted by the same code as any other input.

mod capture;
mod exchange;
mod packet;
mod tcp;

pub(crate) use capture::{Capture, Order, Twin};
pub(crate) use exchange::{Exchange, Kind};
pub(crate) use packet::{Packet, TcpHead};
pub(crate) use tcp::{ACK, Close, Conversation, FIN, Open, RST, SYN, Trouble};

use sekisho::flow::{Counters, FlowKey, Sender};
use sekisho::net::{Endpoint, Protocol};
use std::net::SocketAddr;

/// What went over the wire, and the truth of it.
#[derive(Debug, Clone)]
pub(crate) struct Play {
    pub(crate) key: FlowKey,
    /// The end of `key` that is the client.
    pub(crate) client: Sender,
    pub(crate) packets: Vec<Packet>,
    /// What client and server sent. Nothing is a duplicate here, and retransmissions are not foretold.
    pub(crate) truth: [Counters; 2],
}

impl Play {
    fn new(ends: [SocketAddr; 2], protocol: Protocol, packets: Vec<Packet>) -> Self {
        let [client, server] = ends.map(endpoint);
        let (key, client) = FlowKey::of(client, server, protocol);
        let mut truth = [Counters::default(); 2];
        for packet in &packets {
            let truth = &mut truth[usize::from(packet.source != ends[0])];
            truth.packets += 1;
            truth.wire += u64::from(packet.ip_len());
        }
        Self { key, client, packets, truth }
    }

    /// Client (0) or server (1).
    pub(crate) fn end(&self, side: usize) -> Endpoint {
        self.key.end(if side == 0 { self.client } else { self.client.other() })
    }

    /// Of client and server: what `counters` holds of each end.
    pub(crate) fn by_role(&self, low: Counters, high: Counters) -> [Counters; 2] {
        match self.client {
            Sender::Low => [low, high],
            Sender::High => [high, low],
        }
    }
}

pub(crate) fn endpoint(addr: SocketAddr) -> Endpoint {
    Endpoint { addr: addr.ip().into(), port: addr.port() }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): small, and the same everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `range`, which is not empty.
    pub(crate) fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub(crate) fn chance(&mut self, rate: f64) -> bool {
        ((self.next() >> 11) as f64) < rate * (1u64 << 53) as f64
    }
}

pub(crate) const MICROSECOND: u64 = 1_000;
pub(crate) const MILLISECOND: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;
