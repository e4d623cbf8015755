//! What a flow reports: increments, never totals.

use serde::{Deserialize, Serialize};

use crate::decode::{Tunnel, TunnelKind};
use crate::flow::key::{FlowKey, Sender};
use crate::net::{Addr, Endpoint, Protocol};
use crate::time::Timestamp;

/// What one end of a flow sent, in bytes and packets (DESIGN 3.1). The kinds are never mixed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Unique application bytes.
    pub payload: u64,
    /// TCP bytes that the other end acknowledged.
    pub acked: u64,
    /// What left as far as can be known: the greater of `payload` and `acked` for TCP, else `payload`.
    pub sent: u64,
    /// Sum of IP total lengths.
    pub wire: u64,
    /// TCP payload bytes that had been seen before.
    pub retransmitted: u64,
    /// Packets, those counted as duplicates aside.
    pub packets: u64,
    /// Packets that the mirror port delivered again; they count in nothing else.
    pub duplicates: u64,
}

impl Counters {
    /// Adds another account to this one.
    pub fn add(&mut self, more: &Self) {
        self.payload += more.payload;
        self.acked += more.acked;
        self.sent += more.sent;
        self.wire += more.wire;
        self.retransmitted += more.retransmitted;
        self.duplicates += more.duplicates;
        self.packets += more.packets;
    }
}

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowEnd {
    /// Both ends said FIN.
    Fin,
    /// One end said RST.
    Rst,
    /// Nothing came for the idle time.
    Idle,
    /// The table was full.
    Evicted,
    /// The input ended.
    Eof,
}

/// A flow's increments since its last report, never totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowDelta {
    /// The flow.
    pub key: FlowKey,
    /// The end that opened it.
    pub initiator: Sender,
    /// Was that guessed, for want of a SYN?
    pub initiator_inferred: bool,
    /// Time of its first packet.
    pub started_at: Timestamp,
    /// Time of its latest packet: the increments end here.
    pub last_at: Timestamp,
    /// What the lesser end sent since the last report.
    pub low: Counters,
    /// What the greater end sent since the last report.
    pub high: Counters,
    /// The outermost tunnel that its first packet came out of.
    pub tunnel: Option<TunnelEnds>,
    /// The first VLAN number seen.
    pub vlan: Option<u16>,
    /// How its ends closed it so far.
    pub closing: Closing,
    /// Set in the flow's last report.
    pub end: Option<FlowEnd>,
}

impl FlowDelta {
    /// A report of a flow that `source` opened, with what it and the other end sent at one moment: for
    /// traffic that is made up.
    pub fn new(
        source: Endpoint,
        destination: Endpoint,
        protocol: Protocol,
        at: Timestamp,
        [out, back]: [Counters; 2],
    ) -> Self {
        let (key, initiator) = FlowKey::of(source, destination, protocol);
        let (low, high) = match initiator {
            Sender::Low => (out, back),
            Sender::High => (back, out),
        };
        Self {
            key,
            initiator,
            initiator_inferred: false,
            started_at: at,
            last_at: at,
            low,
            high,
            tunnel: None,
            vlan: None,
            closing: Closing::default(),
            end: None,
        }
    }

    /// What `side` sent since the last report.
    pub fn sent_by(&self, side: Sender) -> &Counters {
        match side {
            Sender::Low => &self.low,
            Sender::High => &self.high,
        }
    }
}

/// What the ends of a TCP flow said of its end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// Did the lesser end say FIN?
    pub low_fin: bool,
    /// Did the greater end say FIN?
    pub high_fin: bool,
    /// Who reset it.
    pub reset_by: Option<Sender>,
}

impl Closing {
    /// Did `side` say FIN?
    pub fn has_fin(&self, side: Sender) -> bool {
        match side {
            Sender::Low => self.low_fin,
            Sender::High => self.high_fin,
        }
    }
}

/// A flow's tunnel, its ends on the sides of the flow's own ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelEnds {
    /// Its kind.
    pub kind: TunnelKind,
    /// Its number, 0 where there is none.
    pub id: u32,
    /// The tunnel's end on the side of the flow's lesser end.
    pub low: Addr,
    /// The tunnel's end on the side of the flow's greater end.
    pub high: Addr,
}

impl TunnelEnds {
    pub(super) fn of(tunnel: &Tunnel, sender: Sender) -> Self {
        let (low, high) = match sender {
            Sender::Low => (tunnel.source, tunnel.destination),
            Sender::High => (tunnel.destination, tunnel.source),
        };
        Self { kind: tunnel.kind, id: tunnel.id, low, high }
    }
}
