//! A flow as the table holds it: in short where its account is simple, as nearly all are.

use std::num::NonZeroU16;

use crate::arena::NIL;
use crate::decode::{Segment, Tcp};
use crate::flow::delta::{Closing, Counters, FlowDelta, FlowEnd};
use crate::flow::key::{FlowKey, Sender};
use crate::flow::state::{Flow, Half};
use crate::flow::stream::{Beginning, Plain, Stream};
use crate::flow::tcp_options::window_scale;
use crate::net::{Addr, Endpoint, Protocol};
use crate::time::Timestamp;

/// One flow of the table. A million of them are 104 MB.
///
/// While everything came in order and below 2 GiB, both ends' accounts stand in the slot itself and
/// are counted there. Whatever else comes is counted by a [`Flow`], which holds all there can be to
/// an account: made for that one segment, and kept only while it is needed.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    low_addr: Addr,
    high_addr: Addr,
    pub(super) started_at: Timestamp,
    pub(super) last_at: Timestamp,
    low: Short,
    high: Short,
    tag: u32,
    /// Its place among the flows with something to report, or [`NIL`].
    pub(super) pending: u32,
    /// The account that did not fit here, or [`NIL`].
    pub(super) wide: u32,
    low_port: u16,
    high_port: u16,
    /// The first VLAN number seen. 0, the priority tag, is none.
    vlan: Option<NonZeroU16>,
    protocol: Protocol,
    initiator: Initiator,
    pub(super) phase: Phase,
}

/// Where a flow is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The slot holds no flow.
    Free,
    Open,
    /// Closed, and waiting for late segments.
    Closed(Close),
}

/// How a TCP connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    Fin,
    /// Who said it.
    Rst(Sender),
}

impl Close {
    pub(super) fn end(self) -> FlowEnd {
        match self {
            Self::Fin => FlowEnd::Fin,
            Self::Rst(_) => FlowEnd::Rst,
        }
    }
}

/// The end that opened a flow, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Initiator {
    Seen(Sender),
    Inferred(Sender),
}

/// What one end sent, in short: nothing is missing, nothing waits.
#[derive(Debug, Clone, Copy, Default)]
struct Short {
    /// TCP: the sequence number that comes next.
    next_seq: u32,
    /// Bytes sent: payload, and for TCP the offset of `next_seq`.
    sent: u32,
    acked: u32,
    window: u16,
    unanswered: u8,
    bits: u8,
}

impl Short {
    /// The end was heard.
    const HEARD: u8 = 0x10;
    /// One of [`LINES`]: where its line begins, and whether it said FIN after the bytes so far.
    const LINE: u8 = 0xe0;
    /// The window scale; this value where it is not known.
    const SCALE: u8 = 0x0f;

    const NEW: Self =
        Self { next_seq: 0, sent: 0, acked: 0, window: 0, unanswered: 0, bits: Self::SCALE };

    fn is(&self, bit: u8) -> bool {
        self.bits & bit != 0
    }

    fn line(&self) -> u8 {
        (self.bits & Self::LINE) >> 5
    }

    fn set_line(&mut self, line: u8) {
        self.bits = self.bits & !Self::LINE | line << 5;
    }

    /// Is its first sequence number known?
    fn is_begun(&self) -> bool {
        self.line() != UNBEGUN
    }

    fn has_fin(&self) -> bool {
        self.is_begun() && LINES[usize::from(self.line())].1
    }

    /// The sequence number of its first byte.
    fn origin(&self) -> u32 {
        self.next_seq.wrapping_sub(self.sent)
    }

    fn set_scale(&mut self, scale: Option<u8>) {
        self.bits = self.bits & !Self::SCALE | scale.unwrap_or(Self::SCALE);
    }

    fn scale(&self) -> Option<u8> {
        let scale = self.bits & Self::SCALE;
        (scale != Self::SCALE).then_some(scale)
    }

    fn widen(&self, protocol: Protocol) -> Half {
        let sent = u64::from(self.sent);
        let stream = Plain {
            origin: self.is_begun().then(|| self.origin()),
            next: if protocol == Protocol::TCP { sent } else { 0 },
            acked: self.acked.into(),
            beginning: LINES[usize::from(self.line())].0,
            is_fin_next: self.has_fin(),
        };
        Half {
            stream: Stream::from(stream),
            is_heard: self.is(Self::HEARD),
            unanswered: self.unanswered,
            window: self.window,
            window_scale: self.scale(),
            payload: sent,
            sent,
        }
    }

    /// The short form of a half, if it has one.
    fn of(half: &Half, protocol: Protocol) -> Option<Self> {
        let plain = half.stream.plain()?;
        let sent = u32::try_from(half.sent).ok().filter(|&sent| sent < SHORT_MAX)?;
        let is_whole = protocol != Protocol::TCP || plain.next == half.sent;
        if half.payload != half.sent || !is_whole {
            return None;
        }
        let mut short = Self {
            next_seq: plain.origin.unwrap_or(0).wrapping_add(sent),
            sent,
            acked: plain.acked as u32,
            window: half.window,
            unanswered: half.unanswered,
            bits: if half.is_heard { Self::HEARD } else { 0 },
        };
        short.set_line(line(&plain)?);
        short.set_scale(half.window_scale);
        Some(short)
    }
}

/// What a flow has to report.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// The slot, or [`NIL`] once it has ended.
    pub(super) slot: u32,
    /// Bytes sent by an end that are reported at once.
    rungs: [u32; 2],
    pub(super) low: Counters,
    pub(super) high: Counters,
}

impl Pending {
    pub(super) fn has_reached_rung(&self) -> bool {
        self.low.sent >= u64::from(self.rungs[0]) || self.high.sent >= u64::from(self.rungs[1])
    }

    pub(super) fn of_mut(&mut self, side: Sender) -> &mut Counters {
        match side {
            Sender::Low => &mut self.low,
            Sender::High => &mut self.high,
        }
    }
}

impl Slot {
    pub(super) fn start(
        at: Timestamp,
        key: FlowKey,
        sender: Sender,
        segment: &Segment<'_>,
    ) -> Self {
        Self {
            low_addr: key.low.addr,
            high_addr: key.high.addr,
            started_at: at,
            last_at: at,
            low: Short::NEW,
            high: Short::NEW,
            tag: key.tag,
            pending: NIL,
            wide: NIL,
            low_port: key.low.port,
            high_port: key.high.port,
            vlan: None,
            protocol: key.protocol,
            initiator: Initiator::of(&key, sender, segment.tcp.as_ref()),
            phase: Phase::Open,
        }
    }

    #[inline]
    pub(super) fn is(&self, key: &FlowKey) -> bool {
        self.phase != Phase::Free
            && self.low_addr == key.low.addr
            && self.high_addr == key.high.addr
            && self.low_port == key.low.port
            && self.high_port == key.high.port
            && self.protocol == key.protocol
            && self.tag == key.tag
    }

    /// Is this the flow of a segment that the end `sender` sent?
    #[inline]
    pub(super) fn is_between(&self, segment: &Segment<'_>, sender: Sender, tag: u32) -> bool {
        let (low, high) = match sender {
            Sender::Low => (&segment.source, &segment.destination),
            Sender::High => (&segment.destination, &segment.source),
        };
        self.phase != Phase::Free
            && self.low_addr == low.addr
            && self.high_addr == high.addr
            && self.low_port == low.port
            && self.high_port == high.port
            && self.protocol == segment.protocol
            && self.tag == tag
    }

    pub(super) fn key(&self) -> FlowKey {
        FlowKey {
            low: Endpoint { addr: self.low_addr, port: self.low_port },
            high: Endpoint { addr: self.high_addr, port: self.high_port },
            tag: self.tag,
            protocol: self.protocol,
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Takes note of a segment, whatever it counts for.
    #[inline]
    pub(super) fn note(&mut self, at: Timestamp, segment: &Segment<'_>) {
        self.last_at = self.last_at.max(at);
        if self.vlan.is_none() {
            self.vlan = segment.vlan.and_then(NonZeroU16::new);
        }
    }

    /// Counts a segment if that can be done in short. If not, nothing has changed.
    ///
    /// Does what [`Flow::count`] would do; the test below holds them side by side.
    #[inline]
    pub(super) fn count(
        &mut self,
        sender: Sender,
        segment: &Segment<'_>,
        pending: &mut Pending,
    ) -> bool {
        if self.wide != NIL || segment.payload_len >= SHORT_MAX {
            return false;
        }
        let is_tcp = self.protocol == Protocol::TCP;
        let (own, other) = match sender {
            Sender::Low => (&mut self.low, &mut self.high),
            Sender::High => (&mut self.high, &mut self.low),
        };
        if own.sent >= SHORT_MAX - segment.payload_len {
            return false;
        }
        let mut acked = 0;
        match &segment.tcp {
            Some(tcp) if self.phase == Phase::Open => {
                let Some(newly_acked) = own.take(other, segment, tcp) else {
                    return false;
                };
                acked = newly_acked;
            }
            None if !is_tcp => own.sent += segment.payload_len,
            Some(_) | None => return false,
        }
        own.bits |= Short::HEARD;
        own.unanswered = own.unanswered.saturating_add(1);
        other.unanswered = 0;
        let counters = pending.of_mut(sender);
        counters.packets += 1;
        counters.wire += u64::from(segment.ip_len);
        counters.payload += u64::from(segment.payload_len);
        counters.sent += u64::from(segment.payload_len);
        pending.of_mut(sender.other()).acked += u64::from(acked);
        true
    }

    /// The whole account of a flow that is held in short.
    pub(super) fn widen(&self) -> Flow {
        Flow {
            low: self.low.widen(self.protocol),
            high: self.high.widen(self.protocol),
            tunnel: None,
            closed: match self.phase {
                Phase::Closed(close) => Some(close),
                Phase::Open | Phase::Free => None,
            },
            rival_syn: None,
            was_two_sided: false,
        }
    }

    /// Takes the account back in short, if it has that form.
    pub(super) fn shorten(&mut self, flow: &Flow) -> bool {
        let is_heard = flow.low.is_heard && flow.high.is_heard;
        if flow.tunnel.is_some() || flow.rival_syn.is_some() || flow.was_two_sided && !is_heard {
            return false;
        }
        let halves = Short::of(&flow.low, self.protocol).zip(Short::of(&flow.high, self.protocol));
        let Some((low, high)) = halves else { return false };
        (self.low, self.high) = (low, high);
        true
    }

    /// Did either end send anything, and was only one end heard?
    pub(super) fn has_carried(&self) -> (bool, bool) {
        let is_one_sided = self.low.is(Short::HEARD) != self.high.is(Short::HEARD);
        (self.low.sent + self.high.sent > 0, is_one_sided)
    }

    /// An empty report of this flow, whose number is `slot`.
    pub(super) fn pending(&self, slot: u32, wide: Option<&Flow>) -> Pending {
        let sent = match wide {
            Some(flow) => [flow.low.sent, flow.high.sent],
            None => [self.low.sent.into(), self.high.sent.into()],
        };
        Pending {
            slot,
            // Rungs grow with the flow: a verdict in flight costs the logarithm of its bytes.
            rungs: sent.map(|sent| (sent / 8).clamp(RUNG_MIN, RUNG_MAX) as u32),
            low: Counters::default(),
            high: Counters::default(),
        }
    }

    pub(super) fn delta(
        &self,
        low: Counters,
        high: Counters,
        wide: Option<&Flow>,
        end: Option<FlowEnd>,
    ) -> FlowDelta {
        let (initiator, initiator_inferred) = match self.initiator {
            Initiator::Seen(side) => (side, false),
            Initiator::Inferred(side) => (side, true),
        };
        FlowDelta {
            key: self.key(),
            initiator,
            initiator_inferred,
            started_at: self.started_at,
            last_at: self.last_at,
            low,
            high,
            tunnel: wide.and_then(|flow| flow.tunnel.as_deref().copied()),
            vlan: self.vlan.map(NonZeroU16::get),
            closing: Closing {
                low_fin: wide.map_or(self.low.has_fin(), |flow| flow.low.stream.has_fin()),
                high_fin: wide.map_or(self.high.has_fin(), |flow| flow.high.stream.has_fin()),
                reset_by: match self.phase {
                    Phase::Closed(Close::Rst(side)) => Some(side),
                    Phase::Closed(Close::Fin) | Phase::Open | Phase::Free => None,
                },
            },
            end,
        }
    }
}

impl Short {
    /// Takes a segment that goes on where the last one ended and acknowledges nothing unseen;
    /// answers what it newly acknowledges. `None`, and no change, if it is not of that kind.
    #[inline]
    fn take(&mut self, other: &mut Self, segment: &Segment<'_>, tcp: &Tcp) -> Option<u32> {
        let len = segment.payload_len;
        let is_syn = tcp.has(Tcp::SYN);
        if tcp.flags & (Tcp::FIN | Tcp::RST) != 0 || self.has_fin() || other.has_fin() {
            return None;
        }
        if is_syn && (self.is_begun() || len > 0) {
            return None;
        }
        if len > 0 && self.is_begun() && tcp.seq != self.next_seq {
            return None;
        }
        let mut acked = 0;
        if tcp.has(Tcp::ACK) {
            if !other.is_begun() {
                other.set_line(if is_syn { ANSWERED } else { BY_ACK });
                other.next_seq = tcp.ack;
            }
            // How far `next_seq` is ahead of it.
            let behind = other.next_seq.wrapping_sub(tcp.ack);
            if behind.cast_signed() < 0 {
                return None;
            }
            if tcp.ack == other.origin() {
                if is_syn || other.line() == BY_SYN {
                    other.set_line(ANSWERED);
                }
            } else if is_syn {
                return None;
            }
            acked = other.sent.saturating_sub(behind).saturating_sub(other.acked);
            other.acked += acked;
        }
        if is_syn {
            self.set_line(BY_SYN);
            self.next_seq = tcp.seq.wrapping_add(1);
            self.set_scale(window_scale(segment));
        } else {
            // The window of a SYN is never scaled (RFC 7323).
            self.window = self.window.max(tcp.window);
        }
        if len > 0 {
            if !self.is_begun() {
                self.set_line(BY_DATA);
                self.next_seq = tcp.seq;
            }
            self.next_seq = self.next_seq.wrapping_add(len);
            self.sent += len;
        } else if !is_syn {
            match self.line() {
                UNBEGUN => {
                    self.set_line(BY_EMPTY);
                    self.next_seq = tcp.seq;
                }
                BY_SYN if tcp.seq == self.origin() => self.set_line(ANSWERED),
                _ => {}
            }
        }
        Some(acked)
    }
}

impl Initiator {
    /// The end that opened the flow: by SYN, else the end whose port is not a well-known one, else the
    /// one who was heard first.
    fn of(key: &FlowKey, sender: Sender, tcp: Option<&Tcp>) -> Self {
        if let Some(tcp) = tcp
            && tcp.has(Tcp::SYN)
        {
            return Self::Seen(if tcp.has(Tcp::ACK) { sender.other() } else { sender });
        }
        let is_well_known = |end: Endpoint| (1..1024).contains(&end.port);
        Self::Inferred(match (is_well_known(key.low), is_well_known(key.high)) {
            (true, false) => Sender::High,
            (false, true) => Sender::Low,
            (true, true) | (false, false) => sender,
        })
    }
}

/// The short form of where a line begins. What no longer makes a difference is left out of it.
fn line(plain: &Plain) -> Option<u8> {
    if plain.origin.is_none() {
        return Some(UNBEGUN);
    }
    let beginning = match plain.beginning {
        Beginning::Syn if plain.next > 0 => Beginning::Answered,
        Beginning::Empty if plain.next > 0 => Beginning::Data,
        Beginning::Ack if plain.acked > 0 => Beginning::Data,
        beginning => beginning,
    };
    let place = LINES[1..].iter().position(|&line| line == (beginning, plain.is_fin_next))?;
    Some(place as u8 + 1)
}

/// What says where a line begins, and whether a FIN follows the bytes so far.
const LINES: [(Beginning, bool); 8] = [
    (Beginning::Data, false),
    (Beginning::Data, false),
    (Beginning::Ack, false),
    (Beginning::Empty, false),
    (Beginning::Syn, false),
    (Beginning::Answered, false),
    (Beginning::Data, true),
    (Beginning::Answered, true),
];

/// Places in [`LINES`]; nothing is known of the first yet.
const UNBEGUN: u8 = 0;
const BY_DATA: u8 = 1;
const BY_ACK: u8 = 2;
const BY_EMPTY: u8 = 3;
const BY_SYN: u8 = 4;
const ANSWERED: u8 = 5;

/// Bytes from which an end's account is not held in short.
const SHORT_MAX: u32 = 1 << 31;

/// Smallest and largest number of bytes after which a flow reports without waiting for the tick.
const RUNG_MIN: u64 = 1 << 20;
const RUNG_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A segment of a small connection: sequence numbers that mostly go on, flags as they come.
    fn step() -> impl Strategy<Value = (bool, u8, u32, u32, u32, u16)> {
        let flags = prop_oneof![
            8 => Just(Tcp::ACK),
            1 => Just(Tcp::SYN),
            1 => Just(Tcp::SYN | Tcp::ACK),
            1 => Just(Tcp::FIN | Tcp::ACK),
            1 => Just(Tcp::RST),
            1 => Just(0u8),
        ];
        let jump = prop_oneof![12 => Just(0u32), 1 => 0u32..3000, 1 => (u32::MAX - 3000)..];
        let len = prop_oneof![3 => Just(0u32), 5 => 1u32..1500, 1 => Just(SHORT_MAX - 2000)];
        (any::<bool>(), flags, jump.clone(), jump, len, any::<u16>())
    }

    proptest! {
        /// The short form is nothing but that: whatever comes, the counts are those of the whole
        /// account.
        #[test]
        fn counts_as_the_whole_account_does(
            steps in prop::collection::vec(step(), 1..60),
            origins in any::<[u32; 2]>(),
        ) {
            let end = |last, port| Endpoint { addr: Addr::from_v4([10, 0, 0, last]), port };
            let ends = [end(1, 50_000), end(2, 443)];
            let (key, _) = FlowKey::of(ends[0], ends[1], Protocol::TCP);
            let mut next = origins;
            let mut held: Option<(Slot, Option<Flow>, Flow, [Pending; 2])> = None;
            for (is_back, flags, seq_jump, ack_jump, payload_len, window) in steps {
                let (own, other) = (usize::from(is_back), usize::from(!is_back));
                let seq = next[own].wrapping_add(seq_jump);
                next[own] = seq.wrapping_add(payload_len + u32::from(flags & 3 != 0));
                let segment = Segment {
                    source: ends[own],
                    destination: ends[other],
                    protocol: Protocol::TCP,
                    vlan: None,
                    tunnel: None,
                    ip_len: payload_len + 40,
                    identification: 0,
                    hop_limit: 64,
                    transport: &[0; 20],
                    payload_len,
                    header_len: 20,
                    tcp: Some(Tcp {
                        seq,
                        ack: next[other].wrapping_add(ack_jump),
                        flags,
                        header_len: 20,
                        window,
                    }),
                    fragment: None,
                };
                let sender = if is_back { Sender::High } else { Sender::Low };
                let (slot, wide, whole, pending) = held.get_or_insert_with(|| {
                    let slot = Slot::start(Timestamp::EPOCH, key, sender, &segment);
                    let whole = slot.widen();
                    let pending = [slot.pending(0, None), slot.pending(0, None)];
                    (slot, None, whole, pending)
                });
                let [short, full] = pending;
                whole.count(sender, &segment, Some(seq), full);
                if wide.is_some() || !slot.count(sender, &segment, short) {
                    let mut flow = wide.take().unwrap_or_else(|| slot.widen());
                    flow.count(sender, &segment, Some(seq), short);
                    slot.phase = flow.closed.map_or(Phase::Open, Phase::Closed);
                    *wide = (!slot.shorten(&flow)).then_some(flow);
                }
                prop_assert_eq!((short.low, short.high), (full.low, full.high));
                prop_assert_eq!(slot.phase, whole.closed.map_or(Phase::Open, Phase::Closed));
            }
            if let Some((slot, wide, mut whole, [mut short, mut full])) = held {
                wide.unwrap_or_else(|| slot.widen()).finish(&mut short);
                whole.finish(&mut full);
                prop_assert_eq!((short.low, short.high), (full.low, full.high));
            }
        }
    }

    /// A flow's packets may cross several VLANs; the first says where it was met.
    #[test]
    fn the_first_vlan_number_is_kept() {
        let end = |last| Endpoint { addr: Addr::from_v4([10, 0, 0, last]), port: 53 };
        let tagged = |vlan| Segment {
            source: end(1),
            destination: end(2),
            protocol: Protocol::UDP,
            vlan,
            tunnel: None,
            ip_len: 28,
            identification: 0,
            hop_limit: 64,
            transport: &[0; 8],
            payload_len: 0,
            header_len: 8,
            tcp: None,
            fragment: None,
        };
        let (key, sender) = FlowKey::of(end(1), end(2), Protocol::UDP);
        let mut slot = Slot::start(Timestamp::EPOCH, key, sender, &tagged(None));
        for vlan in [None, Some(0), Some(7), Some(8)] {
            slot.note(Timestamp::EPOCH, &tagged(vlan));
        }
        let nothing = Counters::default();
        assert_eq!(slot.delta(nothing, nothing, None, None).vlan, Some(7));
    }

    /// What a million flows take is a promise.
    #[test]
    fn a_slot_is_small() {
        assert_eq!(size_of::<Slot>(), 104);
    }
}
