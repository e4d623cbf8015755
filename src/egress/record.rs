//! A flow that is over, as it leaves us: `sekisho.flow/1` (DESIGN 7.1).

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::border::{Place, Scope};
use crate::decode::TunnelKind;
use crate::flow::{Counters, FlowDelta, FlowEnd, Sender};
use crate::net::{Addr, Protocol, Subnets};
use crate::time::Timestamp;

/// A flow's totals, seen from its inside end. What cannot be known is null.
///
/// `out` is what `host` sent, `in` what `peer` sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FlowRecord {
    /// Always `sekisho.flow/1`.
    pub schema: &'static str,
    /// Packet time of the first packet.
    #[serde(serialize_with = "micros")]
    #[schemars(with = "Timestamp")]
    pub start: Timestamp,
    /// Packet time of the latest packet.
    #[serde(serialize_with = "micros")]
    #[schemars(with = "Timestamp")]
    pub last: Timestamp,
    /// Where the flow lies. Of a tunnel that itself crosses the border, the tunnel's ends decide.
    pub scope: Scope,
    /// The inside end; of a flow that does not cross the border, the initiator.
    pub host: Addr,
    /// Port of TCP, UDP or SCTP, identifier of an ICMP echo, else 0.
    pub host_port: u16,
    /// The other end.
    pub peer: Addr,
    /// As `host_port`.
    pub peer_port: u16,
    /// The end that opened the flow.
    pub initiator: Party,
    /// Was that guessed, for want of a SYN?
    pub initiator_inferred: bool,
    /// Transport protocol.
    pub proto: Protocol,
    /// Application protocol, if known.
    pub service: Option<&'static str>,
    /// Name of the outside end, if known.
    pub name: Option<String>,
    /// Where the name comes from.
    pub name_source: Option<&'static str>,
    /// Owner of the outside end, if known.
    pub owner: Option<String>,
    /// The first VLAN number seen; null without a tag.
    pub vlan: Option<u16>,
    /// The outermost tunnel that the first packet came out of.
    pub tunnel: Option<FlowTunnel>,
    /// Unique application bytes.
    pub payload_out: u64,
    /// The same from `peer`.
    pub payload_in: u64,
    /// TCP bytes that `peer` acknowledged; null for other protocols, and where nothing of `peer` was seen.
    pub acked_out: Option<u64>,
    /// TCP bytes that `host` acknowledged; null as `acked_out`.
    pub acked_in: Option<u64>,
    /// Sum of IP total lengths.
    pub wire_out: u64,
    /// The same from `peer`.
    pub wire_in: u64,
    /// Packets, those counted as duplicates aside.
    pub packets_out: u64,
    /// The same from `peer`.
    pub packets_in: u64,
    /// TCP payload bytes that had been seen before; null for other protocols, and where nothing of `host`
    /// was seen.
    pub retransmitted_out: Option<u64>,
    /// Bytes acknowledged by `peer` that the capture does not hold; null where `acked_out` is.
    pub lost_out: Option<u64>,
    /// Packets of both directions that the mirror port delivered again; they count in nothing else.
    pub duplicates: u64,
    /// Was nothing seen of one of the ends?
    pub one_sided: bool,
    /// Why the flow ended.
    pub end: RecordEnd,
    /// Who closed it, for Zeek's `conn_state`.
    #[serde(skip)]
    pub closing: RecordClosing,
    /// Community id, version 1.
    pub community_id: String,
}

/// What `host` and `peer` said of the end of a TCP flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordClosing {
    /// Did `host` say FIN?
    pub host_fin: bool,
    /// Did `peer` say FIN?
    pub peer_fin: bool,
    /// Who reset it.
    pub reset_by: Option<Party>,
}

/// One of the two ends of a [`FlowRecord`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// The inside end.
    Host,
    /// The other end.
    Peer,
}

/// A flow's tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FlowTunnel {
    /// Its kind.
    pub kind: TunnelKind,
    /// VXLAN or GENEVE network, GTP endpoint, GRE key, ERSPAN session; 0 where there is none.
    pub id: u32,
    /// The tunnel's end on the side of `host`.
    pub host: Addr,
    /// The tunnel's end on the side of `peer`.
    pub peer: Addr,
}

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordEnd {
    /// Both ends said FIN.
    Fin,
    /// One end said RST.
    Rst,
    /// Nothing came for the idle time.
    Idle,
    /// The flow table was full.
    Evicted,
    /// The input ended.
    Eof,
}

impl From<FlowEnd> for RecordEnd {
    fn from(end: FlowEnd) -> Self {
        match end {
            FlowEnd::Fin => Self::Fin,
            FlowEnd::Rst => Self::Rst,
            FlowEnd::Idle => Self::Idle,
            FlowEnd::Evicted => Self::Evicted,
            FlowEnd::Eof => Self::Eof,
        }
    }
}

/// A flow's sums over all its deltas.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sums {
    pub(super) low: Counters,
    pub(super) high: Counters,
}

impl Sums {
    pub(super) fn add(&mut self, delta: &FlowDelta) {
        self.low.add(&delta.low);
        self.high.add(&delta.high);
    }

    fn sent_by(&self, side: Sender) -> &Counters {
        match side {
            Sender::Low => &self.low,
            Sender::High => &self.high,
        }
    }
}

impl FlowRecord {
    /// Bytes from `host` as far as can be known: the greater of `payload_out` and `acked_out`.
    pub fn bytes_out(&self) -> u64 {
        self.payload_out.max(self.acked_out.unwrap_or(0))
    }

    /// The same from `peer`.
    pub fn bytes_in(&self) -> u64 {
        self.payload_in.max(self.acked_in.unwrap_or(0))
    }

    /// The record of a flow, of its last delta and its sums with that delta in them.
    pub(super) fn of(internal: &Subnets, delta: &FlowDelta, end: FlowEnd, sums: &Sums) -> Self {
        let (scope, side) = match Place::of(internal, delta) {
            Place::Border(crossing) => (Scope::Border, crossing.side),
            Place::Inside => (Scope::Inside, delta.initiator),
            Place::Outside => (Scope::Outside, delta.initiator),
        };
        let (host, peer) = (delta.key.end(side), delta.key.end(side.other()));
        let (out, back) = (sums.sent_by(side), sums.sent_by(side.other()));
        let is_tcp = delta.key.protocol == Protocol::TCP;
        // Acknowledgements travel with the other end's packets.
        let acked =
            |sent: &Counters, other: &Counters| (is_tcp && other.packets > 0).then_some(sent.acked);
        let acked_out = acked(out, back);
        let party = |end| if end == side { Party::Host } else { Party::Peer };
        Self {
            schema: "sekisho.flow/1",
            start: delta.started_at,
            last: delta.last_at,
            scope,
            host: host.addr,
            host_port: host.port,
            peer: peer.addr,
            peer_port: peer.port,
            initiator: party(delta.initiator),
            initiator_inferred: delta.initiator_inferred,
            proto: delta.key.protocol,
            service: None,
            name: None,
            name_source: None,
            owner: None,
            vlan: delta.vlan,
            tunnel: delta.tunnel.map(|tunnel| {
                let (host, peer) = match side {
                    Sender::Low => (tunnel.low, tunnel.high),
                    Sender::High => (tunnel.high, tunnel.low),
                };
                FlowTunnel { kind: tunnel.kind, id: tunnel.id, host, peer }
            }),
            payload_out: out.payload,
            payload_in: back.payload,
            acked_out,
            acked_in: acked(back, out),
            wire_out: out.wire,
            wire_in: back.wire,
            packets_out: out.packets,
            packets_in: back.packets,
            retransmitted_out: (is_tcp && out.packets > 0).then_some(out.retransmitted),
            lost_out: acked_out.map(|acked| acked.saturating_sub(out.payload)),
            duplicates: out.duplicates + back.duplicates,
            one_sided: out.packets == 0 || back.packets == 0,
            end: end.into(),
            closing: RecordClosing {
                host_fin: delta.closing.has_fin(side),
                peer_fin: delta.closing.has_fin(side.other()),
                reset_by: delta.closing.reset_by.map(party),
            },
            community_id: delta.key.community_id(),
        }
    }
}

/// Alerts show milliseconds; a flow's times are there to find its packets.
fn micros<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.6}"))
}
