//! A flow that is over, as it leaves us: `sekisho.flow/1` (DESIGN 7.1).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::border::{Place, Scope};
use crate::decode::TunnelKind;
use crate::flow::{Counters, FlowDelta, FlowEnd, FlowKey, Sender};
use crate::names::{Book, Called, Facts, Name, NameSource, Service};
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
    /// Was that guessed, for want of a SYN, or of an echo?
    pub initiator_inferred: bool,
    /// Transport protocol.
    pub proto: Protocol,
    /// Application protocol by the first bytes, whatever the port; null where no payload was seen.
    pub service: Option<Service>,
    /// What the client called the server, else what DNS or the certificate call it: the outside end in all
    /// flows that `host` opened.
    pub name: Option<Name>,
    /// Where the name comes from.
    pub name_source: Option<NameSource>,
    /// Whose `peer` is by that name: registrable domain, or address. Null where the name is `host`'s own.
    pub owner: Option<String>,
    /// Do the host's DNS answers for this address, or the certificate, belong to others than the name of
    /// the TLS or QUIC hello?
    pub name_mismatch: bool,
    /// The client program: JA4, SSH banner or user agent; escaped, at most 255 bytes.
    pub client: Option<String>,
    /// To how many the first mail is at least, as its sender says in clear text while that is looked at; null of
    /// anything else.
    pub recipients: Option<u16>,
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
    /// What the end that opened the flow has the other one pass on, for the census.
    #[serde(skip)]
    pub errand: Option<Errand>,
}

/// What one end of a flow asks the other to send to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// A proxy, what follows in the flow: to whom `owner` says.
    Proxied,
    /// Mail for another owner than its sender's, as far as that was said in the clear.
    Mail,
    /// DNS questions.
    Questions,
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

/// What is known of a flow by all its deltas and events.
#[derive(Debug, Default, Clone)]
pub(super) struct Account {
    low: Counters,
    high: Counters,
    facts: Option<Arc<Facts>>,
    /// What the lesser end calls the greater one, and the other way round, by DNS answers that came before
    /// the flow was first reported.
    called: [Option<Name>; 2],
    /// Do these answers belong to others than the name of the hello?
    is_another: [bool; 2],
}

impl Account {
    /// The account of a flow that is met for the first time, and began about `at`.
    pub(super) fn new(key: &FlowKey, at: Timestamp, book: &Book) -> Self {
        let called = ends(key).map(|(host, addr)| {
            book.called(host, addr).and_then(|called| called.name_at(at)).cloned()
        });
        Self { called, ..Self::default() }
    }

    /// Takes what is known by now.
    pub(super) fn hear(&mut self, key: &FlowKey, facts: &Arc<Facts>, book: &Book) {
        if let Some((name, source)) = &facts.name
            && source.is_sni()
        {
            let disagrees = |called: &Called| called.disagrees(name, facts.seen_at);
            self.is_another =
                ends(key).map(|(host, addr)| book.called(host, addr).is_some_and(disagrees));
        }
        self.facts = Some(facts.clone());
    }

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

    /// What the server is called, and where that is from: by what the client said, else by what the host,
    /// which is `side`, was answered, else by the certificate.
    fn name(&self, side: Sender) -> Option<(Name, NameSource)> {
        let facts = self.facts.as_deref();
        let said = facts.and_then(|facts| facts.name.clone());
        let answered = || Some((self.called[side as usize].clone()?, NameSource::Dns));
        let certified = || {
            let name = facts?.certificate.iter().find(|name| name.is_valid())?.clone();
            Some((name, NameSource::TlsCertificate))
        };
        said.or_else(answered).or_else(certified)
    }

    fn has_name_mismatch(&self, side: Sender) -> bool {
        let Some(facts) = self.facts.as_deref() else { return false };
        let Some((_, source)) = &facts.name else { return false };
        // A certificate that fits says more than the names of an address, which one owner may have many of
        // and a host may know from before the capture.
        let is_certified = facts.is_certified();
        source.is_sni() && !is_certified.unwrap_or(!self.is_another[side as usize])
    }
}

/// Each end as the host that looks at the other: the lesser one's look first.
fn ends(key: &FlowKey) -> [(Addr, Addr); 2] {
    [(key.low.addr, key.high.addr), (key.high.addr, key.low.addr)]
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

    /// The record of a flow, of its last delta and its account with that delta in it.
    pub(super) fn of(
        internal: &Subnets,
        delta: &FlowDelta,
        end: FlowEnd,
        account: &Account,
    ) -> Self {
        let (scope, side) = match Place::of(internal, &delta.key) {
            Place::Border(crossing) => (Scope::Border, crossing.side),
            Place::Inside | Place::Relayed(_) => (Scope::Inside, delta.initiator),
            Place::Outside => (Scope::Outside, delta.initiator),
        };
        let (host, peer) = (delta.key.end(side), delta.key.end(side.other()));
        let (out, back) = (account.sent_by(side), account.sent_by(side.other()));
        let is_tcp = delta.key.protocol == Protocol::TCP;
        // Acknowledgements travel with the other end's packets.
        let acked =
            |sent: &Counters, other: &Counters| (is_tcp && other.packets > 0).then_some(sent.acked);
        let acked_out = acked(out, back);
        let facts = account.facts.as_deref();
        let has_ports = is_tcp || delta.key.protocol == Protocol::UDP;
        let has_payload = has_ports && out.payload + back.payload > 0;
        let (name, name_source) = account.name(side).unzip();
        let is_peers = facts.and_then(|facts| facts.named_by).is_none_or(|client| client == side);
        let owner = name.as_ref().and_then(Name::owner).filter(|_| is_peers).map(str::to_owned);
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
            service: facts.map(|facts| facts.service).or(has_payload.then_some(Service::Unknown)),
            name,
            name_source,
            owner,
            name_mismatch: account.has_name_mismatch(side),
            client: facts.and_then(|facts| facts.client.as_deref()).map(str::to_owned),
            recipients: facts.map(|facts| facts.recipients).filter(|&count| count > 0),
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
            errand: facts.and_then(Errand::of),
        }
    }
}

impl Errand {
    fn of(facts: &Facts) -> Option<Self> {
        match facts.service {
            _ if facts.asks_proxy => Some(Self::Proxied),
            Service::Smtp => facts.mail_for.is_some().then_some(Self::Mail),
            Service::Dns => Some(Self::Questions),
            _ => None,
        }
    }
}

/// Alerts show milliseconds; a flow's times are there to find its packets.
fn micros<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.6}"))
}
