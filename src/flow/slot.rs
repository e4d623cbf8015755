//! A flow as the table holds it: in short where its account is simple, as nearly all are.

use std::cmp::Ordering;
use std::num::NonZeroU16;

use crate::arena::NIL;
use crate::decode::{Segment, Tcp};
use crate::flow::delta::{Closing, Counters, FlowDelta, FlowEnd};
use crate::flow::key::{FlowKey, Sender};
use crate::flow::state::{Flow, Half};
use crate::flow::stream::{Beginning, Plain, Stream};
use crate::flow::table::Reporting;
use crate::flow::tcp_options::window_scale;
use crate::net::{Addr, Endpoint, Protocol};
use crate::time::Timestamp;

/// One flow of the table: two cache lines. A million of them are 128 MB.
///
/// While everything came in order and below 2 GiB, both ends' accounts stand in the slot itself and
/// are counted there, and so does what they have to report. Whatever else comes is counted by a
/// [`Flow`], which holds all there can be to an account: made for that one segment, and kept only while
/// it is needed.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Slot {
    low_addr: Addr,
    high_addr: Addr,
    pub(super) started_at: Timestamp,
    pub(super) last_at: Timestamp,
    low: Short,
    high: Short,
    report: Report,
    tag: u32,
    /// The account that did not fit here, or [`NIL`].
    pub(super) wide: u32,
    low_port: u16,
    high_port: u16,
    /// The first VLAN number seen. 0, the priority tag, is none.
    vlan: Option<NonZeroU16>,
    protocol: Protocol,
    opening: Opening,
    pub(super) phase: Phase,
    pub(super) listing: Listing,
}

/// How soon a flow reports what its inside ends have sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// At the next tick.
    Soon,
    /// With others whose both ends are inside, every few seconds.
    Later,
}

impl Pace {
    pub(super) const BOTH: [Self; 2] = [Self::Soon, Self::Later];
}

/// Is a slot among those that report at either pace, which is its own, and which ends' sending puts it there? The
/// first also of one that holds no flow any more.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Listing(u8);

impl Listing {
    const LATER: u8 = 4;
    const LISTED: u8 = 8;

    /// Is on no list; what the ends send that are `inside`, the lesser first, puts it there.
    pub(super) fn of(inside: [bool; 2]) -> Self {
        let later = if inside[0] && inside[1] { Self::LATER } else { 0 };
        Self(u8::from(inside[0]) | u8::from(inside[1]) << 1 | later)
    }

    /// Does it report what `side` sends?
    #[inline]
    fn awaits(self, side: Sender) -> bool {
        self.0 >> side as u8 & 1 == 1
    }

    #[inline]
    pub(super) fn pace(self) -> Pace {
        if self.0 & Self::LATER == 0 { Pace::Soon } else { Pace::Later }
    }

    /// From now on it reports soon.
    pub(super) fn hasten(&mut self) {
        self.0 &= !Self::LATER;
    }

    #[inline]
    pub(super) fn is_on(self, list: Pace) -> bool {
        self.0 & Self::LISTED << list as u8 != 0
    }

    pub(super) fn set_on(&mut self, list: Pace, is_on: bool) {
        let bit = Self::LISTED << list as u8;
        self.0 = if is_on { self.0 | bit } else { self.0 & !bit };
    }
}

/// What is new since the last report, in short: nothing was sent again, and what was sent was seen. The
/// lesser end's comes first. Packed, for the two bytes that a slot has left.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, packed(2))]
struct Report {
    sent: [u32; 2],
    acked: [u32; 2],
    wire: [u32; 2],
    packets: [u16; 2],
    duplicates: [u8; 2],
}

impl Report {
    fn side(&self, side: Sender) -> Counters {
        let at = side as usize;
        Counters {
            payload: self.sent[at].into(),
            acked: self.acked[at].into(),
            sent: self.sent[at].into(),
            wire: self.wire[at].into(),
            retransmitted: 0,
            packets: self.packets[at].into(),
            duplicates: self.duplicates[at].into(),
        }
    }

    /// Takes one end's increments, if they have that form; there is room for another segment then.
    fn set_side(&mut self, side: Sender, counters: &Counters) -> Option<()> {
        let at = side as usize;
        let is_short = counters.payload == counters.sent && counters.retransmitted == 0;
        let below_max = |count: u64| u32::try_from(count).ok().filter(|&count| count < SHORT_MAX);
        self.sent[at] = below_max(counters.sent).filter(|_| is_short)?;
        self.acked[at] = below_max(counters.acked)?;
        self.wire[at] = below_max(counters.wire)?;
        self.packets[at] =
            u16::try_from(counters.packets).ok().filter(|&count| count < u16::MAX)?;
        self.duplicates[at] =
            u8::try_from(counters.duplicates).ok().filter(|&count| count < u8::MAX)?;
        Some(())
    }

    fn is_empty(&self) -> bool {
        (self.packets, self.duplicates) == ([0; 2], [0; 2])
    }

    /// Has it no room for another segment of this end?
    fn is_full(&self, side: Sender) -> bool {
        let at = side as usize;
        self.packets[at] == u16::MAX || self.duplicates[at] == u8::MAX || self.wire[at] >= SHORT_MAX
    }
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
    SeenLow,
    SeenHigh,
    InferredLow,
    InferredHigh,
}

/// Who opened a flow, in two bits, and how often its payload was shown, in six: a slot has no byte left.
#[derive(Debug, Clone, Copy)]
struct Opening(u8);

impl Opening {
    fn new(initiator: Initiator, shown: u8) -> Self {
        Self((initiator as u8) << 6 | shown & SHOWN_ALWAYS)
    }

    fn initiator(self) -> Initiator {
        match self.0 >> 6 {
            0 => Initiator::SeenLow,
            1 => Initiator::SeenHigh,
            2 => Initiator::InferredLow,
            _ => Initiator::InferredHigh,
        }
    }

    fn shown(self) -> u8 {
        self.0 & SHOWN_ALWAYS
    }
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

/// What is new of a flow since its last report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) low: Counters,
    pub(super) high: Counters,
}

impl Pending {
    pub(super) fn of_mut(&mut self, side: Sender) -> &mut Counters {
        match side {
            Sender::Low => &mut self.low,
            Sender::High => &mut self.high,
        }
    }

    fn is_empty(&self) -> bool {
        self.low.packets + self.low.duplicates + self.high.packets + self.high.duplicates == 0
    }
}

/// A flow that is not held in short.
#[derive(Debug, Clone, Default)]
pub(super) struct Wide {
    pub(super) flow: Flow,
    pub(super) pending: Pending,
}

impl Wide {
    /// Has an end sent so much that it is reported at once?
    pub(super) fn is_due(&self, reporting: Reporting) -> bool {
        let Self { flow, pending } = self;
        if reporting == Reporting::AtEnd {
            return false;
        }
        let is_due = |sent: u64, new: u64| new >= RUNG_MIN && new >= rung(sent - new);
        is_due(flow.low.sent, pending.low.sent) || is_due(flow.high.sent, pending.high.sent)
    }
}

/// Bytes that an end, which has reported `sent`, sends before the flow reports without waiting for the
/// tick. Rungs grow with the flow: a verdict in flight costs the logarithm of its bytes.
fn rung(sent: u64) -> u64 {
    (sent / 8).clamp(RUNG_MIN, RUNG_MAX)
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
            report: Report::default(),
            tag: key.tag,
            wide: NIL,
            low_port: key.low.port,
            high_port: key.high.port,
            vlan: None,
            protocol: key.protocol,
            opening: Opening::new(
                Initiator::of(&key, sender, segment),
                match key.protocol {
                    Protocol::TCP | Protocol::UDP | Protocol::ICMP | Protocol::ICMPV6 => 0,
                    _ => SHOWN_NO_MORE,
                },
            ),
            phase: Phase::Open,
            listing: Listing::default(),
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

    /// The end that sent a segment, if this is its flow.
    #[inline]
    pub(super) fn sender(&self, segment: &Segment<'_>, tag: u32) -> Option<Sender> {
        let Segment { source, destination, protocol, .. } = segment;
        let is = |low: &Endpoint, high: &Endpoint| {
            self.low_addr == low.addr
                && self.high_addr == high.addr
                && self.low_port == low.port
                && self.high_port == high.port
        };
        if self.phase == Phase::Free || self.protocol != *protocol || self.tag != tag {
            return None;
        }
        if is(source, destination) {
            return Some(Sender::Low);
        }
        is(destination, source).then_some(Sender::High)
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

    /// The end that opened the flow, seen or guessed.
    pub(super) fn initiator(&self) -> Sender {
        match self.opening.initiator() {
            Initiator::SeenLow | Initiator::InferredLow => Sender::Low,
            Initiator::SeenHigh | Initiator::InferredHigh => Sender::High,
        }
    }

    /// How often its payload was shown, or one of [`SHOWN_ALWAYS`] and [`SHOWN_NO_MORE`].
    #[inline]
    pub(super) fn shown(&self) -> u8 {
        self.opening.shown()
    }

    pub(super) fn set_shown(&mut self, shown: u8) {
        self.opening = Opening::new(self.opening.initiator(), shown);
    }

    /// The sequence number of `sender`'s first byte, if it is known; of an account held in short.
    pub(super) fn origin(&self, sender: Sender) -> Option<u32> {
        let own = match sender {
            Sender::Low => &self.low,
            Sender::High => &self.high,
        };
        own.is_begun().then(|| own.origin())
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
    pub(super) fn count(&mut self, sender: Sender, segment: &Segment<'_>) -> bool {
        if self.wide != NIL || segment.ip_len.max(segment.payload_len) >= SHORT_MAX {
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
        let (report, at) = (&mut self.report, sender as usize);
        report.packets[at] += 1;
        report.wire[at] += segment.ip_len;
        report.sent[at] += segment.payload_len;
        report.acked[1 - at] += acked;
        true
    }

    /// Is the first sequence number of `side` known, of a flow that is held in short?
    pub(super) fn is_begun(&self, side: Sender) -> bool {
        match side {
            Sender::Low => self.low.is_begun(),
            Sender::High => self.high.is_begun(),
        }
    }

    /// Counts a copy of a segment, of a flow that is held in short.
    pub(super) fn count_copy(&mut self, sender: Sender) {
        self.report.duplicates[sender as usize] += 1;
    }

    /// Must a flow that is held in short report at once, as `sender` has sent so much?
    #[inline]
    pub(super) fn is_due(&self, sender: Sender, reporting: Reporting) -> bool {
        if self.report.is_full(sender) || reporting == Reporting::AtEnd {
            return self.report.is_full(sender);
        }
        let is_due = |short: &Short, new: u32| {
            u64::from(new) >= RUNG_MIN && u64::from(new) >= rung(u64::from(short.sent - new))
        };
        let [low, high] = self.report.sent;
        is_due(&self.low, low) || is_due(&self.high, high)
    }

    /// Has an end sent something that is to be reported at the next tick?
    #[inline]
    pub(super) fn awaits_tick(&self, wide: Option<&Wide>) -> bool {
        let sent = match wide {
            Some(Wide { pending, .. }) => [pending.low.sent > 0, pending.high.sent > 0],
            None => self.report.sent.map(|sent| sent > 0),
        };
        sent[0] && self.listing.awaits(Sender::Low) || sent[1] && self.listing.awaits(Sender::High)
    }

    /// Is there something to report of a flow that is held in short?
    pub(super) fn has_news(&self, wide: Option<&Wide>) -> bool {
        match wide {
            Some(wide) => !wide.pending.is_empty(),
            None => !self.report.is_empty(),
        }
    }

    /// Everything about a flow that is held in short.
    pub(super) fn widen(&self) -> Wide {
        let pending =
            Pending { low: self.report.side(Sender::Low), high: self.report.side(Sender::High) };
        Wide { flow: self.widen_flow(), pending }
    }

    fn widen_flow(&self) -> Flow {
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

    /// Takes everything back in short, if it has that form.
    pub(super) fn shorten(&mut self, wide: &Wide) -> bool {
        let Wide { flow, pending } = wide;
        let is_heard = flow.low.is_heard && flow.high.is_heard;
        if flow.tunnel.is_some() || flow.rival_syn.is_some() || flow.was_two_sided && !is_heard {
            return false;
        }
        let mut report = Report::default();
        let short = (|| {
            report.set_side(Sender::Low, &pending.low)?;
            report.set_side(Sender::High, &pending.high)?;
            Some((Short::of(&flow.low, self.protocol)?, Short::of(&flow.high, self.protocol)?))
        })();
        let Some((low, high)) = short else { return false };
        (self.low, self.high, self.report) = (low, high, report);
        true
    }

    /// Did either end send anything, and was only one end heard?
    pub(super) fn has_carried(&self) -> (bool, bool) {
        let is_one_sided = self.low.is(Short::HEARD) != self.high.is(Short::HEARD);
        (self.low.sent + self.high.sent > 0, is_one_sided)
    }

    /// Reports what is new, which then no longer is.
    pub(super) fn take_delta(
        &mut self,
        wide: Option<&mut Wide>,
        end: Option<FlowEnd>,
    ) -> FlowDelta {
        let pending = match &wide {
            Some(wide) => wide.pending.clone(),
            None => {
                Pending { low: self.report.side(Sender::Low), high: self.report.side(Sender::High) }
            }
        };
        let delta = self.delta(&pending, wide.as_deref().map(|wide| &wide.flow), end);
        match wide {
            Some(wide) => wide.pending = Pending::default(),
            None => self.report = Report::default(),
        }
        delta
    }

    fn delta(&self, pending: &Pending, wide: Option<&Flow>, end: Option<FlowEnd>) -> FlowDelta {
        let (initiator, initiator_inferred) = match self.opening.initiator() {
            Initiator::SeenLow => (Sender::Low, false),
            Initiator::SeenHigh => (Sender::High, false),
            Initiator::InferredLow => (Sender::Low, true),
            Initiator::InferredHigh => (Sender::High, true),
        };
        FlowDelta {
            key: self.key(),
            initiator,
            initiator_inferred,
            started_at: self.started_at,
            last_at: self.last_at,
            low: pending.low,
            high: pending.high,
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
    /// The end that opened the flow: by SYN, or who asks for an echo; else the end whose port is not a
    /// well-known one; in the middle of a connection the end whose port is one of those that systems give to
    /// clients; else the one who was heard first.
    fn of(key: &FlowKey, sender: Sender, segment: &Segment<'_>) -> Self {
        let opener = match (segment.tcp, key.protocol, segment.transport.first()) {
            (Some(tcp), _, _) if tcp.has(Tcp::SYN | Tcp::ACK) => Some(sender.other()),
            (Some(tcp), _, _) if tcp.has(Tcp::SYN) => Some(sender),
            (_, Protocol::ICMP, Some(8)) | (_, Protocol::ICMPV6, Some(128)) => Some(sender),
            (_, Protocol::ICMP, Some(0)) | (_, Protocol::ICMPV6, Some(129)) => Some(sender.other()),
            _ => None,
        };
        match opener {
            Some(Sender::Low) => return Self::SeenLow,
            Some(Sender::High) => return Self::SeenHigh,
            None => {}
        }
        // Of UDP the first datagram may well be the first that was sent.
        let is_under_way = segment.tcp.is_some();
        let class = |end: Endpoint| match end.port {
            1..1024 => 0,
            EPHEMERAL.. if is_under_way => 2,
            _ => 1,
        };
        match (class(key.low).cmp(&class(key.high)), sender) {
            (Ordering::Less, _) | (Ordering::Equal, Sender::High) => Self::InferredHigh,
            (Ordering::Greater, _) | (Ordering::Equal, Sender::Low) => Self::InferredLow,
        }
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

/// [`Glimpse::shown`](super::Glimpse::shown) of a flow of which every payload is shown.
pub const SHOWN_ALWAYS: u8 = 63;

/// What to [tell the table](super::FlowTable::set_shown) when no more payload is to be shown.
pub const SHOWN_NO_MORE: u8 = 62;

/// The first port that systems give to clients: Linux has 32768 to 60999, others what RFC 6335 says, from 49152.
const EPHEMERAL: u16 = 32768;

/// Bytes from which an end's account is not held in short.
const SHORT_MAX: u32 = 1 << 31;

/// Smallest and largest number of bytes after which a flow reports without waiting for the tick.
const RUNG_MIN: u64 = 1 << 20;
const RUNG_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::mem::take;

    /// A segment of a small connection: sequence numbers that mostly go on, flags as they come.
    fn step() -> impl Strategy<Value = (bool, u8, u32, u32, u32, u16, bool)> {
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
        (any::<bool>(), flags, jump.clone(), jump, len, any::<u16>(), any::<bool>())
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
            let mut held: Option<(Slot, Option<Wide>, Wide)> = None;
            for (is_back, flags, seq_jump, ack_jump, payload_len, window, reports) in steps {
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
                let (slot, wide, whole) = held.get_or_insert_with(|| {
                    let slot = Slot::start(Timestamp::EPOCH, key, sender, &segment);
                    let whole = slot.widen();
                    (slot, None, whole)
                });
                whole.flow.count(sender, &segment, Some(seq), &mut whole.pending);
                if wide.is_some() || !slot.count(sender, &segment) {
                    let mut held = wide.take().unwrap_or_else(|| slot.widen());
                    held.flow.count(sender, &segment, Some(seq), &mut held.pending);
                    slot.phase = held.flow.closed.map_or(Phase::Open, Phase::Closed);
                    *wide = (!slot.shorten(&held)).then_some(held);
                }
                prop_assert_eq!(slot.phase, whole.flow.closed.map_or(Phase::Open, Phase::Closed));
                let reporting = Reporting::InFlight;
                let is_due = match &wide {
                    Some(wide) => wide.is_due(reporting),
                    None => slot.is_due(sender, reporting),
                };
                prop_assert!(is_due || !whole.is_due(reporting));
                if is_due || reports {
                    let delta = slot.take_delta(wide.as_mut(), None);
                    prop_assert_eq!(Pending { low: delta.low, high: delta.high }, take(&mut whole.pending));
                }
            }
            if let Some((slot, wide, mut whole)) = held {
                let mut held = wide.unwrap_or_else(|| slot.widen());
                held.flow.finish(&mut held.pending);
                whole.flow.finish(&mut whole.pending);
                prop_assert_eq!(held.pending, whole.pending);
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
        assert_eq!(slot.take_delta(None, None).vlan, Some(7));
    }

    /// What a million flows take is a promise.
    #[test]
    fn a_slot_is_small() {
        assert_eq!(size_of::<Slot>(), 128);
    }
}
