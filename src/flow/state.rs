//! One flow in the table: what each end sent, and what is not yet reported.

use crate::decode::{Segment, Tcp};
use crate::flow::delta::{Counters, FlowDelta, FlowEnd, TunnelEnds};
use crate::flow::key::{FlowKey, Sender};
use crate::flow::stream::{Added, Reach, Stream, WINDOW_UNKNOWN};
use crate::flow::tcp_options::{sack_blocks, window_scale};
use crate::net::{Endpoint, Protocol};
use crate::time::Timestamp;

#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) key: FlowKey,
    pub(super) started_at: Timestamp,
    pub(super) last_at: Timestamp,
    low: Half,
    high: Half,
    tunnel: Option<Box<TunnelEnds>>,
    initiator: Sender,
    initiator_inferred: bool,
    pub(super) closed: Option<FlowEnd>,
    /// A SYN that would start another connection on the same ports, until it is answered.
    rival_syn: Option<(Sender, u32)>,
    pub(super) is_unreported: bool,
    pub(super) is_live: bool,
}

/// What one end of a flow sent.
#[derive(Debug, Clone, Default)]
struct Half {
    stream: Stream,
    is_heard: bool,
    /// Packets sent since the other end was heard last.
    unanswered: u16,
    /// Largest window advertised, unscaled.
    window: u16,
    /// Scale of that window, once a SYN told it.
    window_scale: Option<u8>,
    unreported: Counters,
    payload: u64,
    sent: u64,
    /// `unreported.sent` that is reported at once.
    rung: u64,
}

impl Flow {
    pub(super) fn start(
        at: Timestamp,
        key: FlowKey,
        sender: Sender,
        segment: &Segment<'_>,
    ) -> Self {
        let (initiator, initiator_inferred) = initiator(&key, sender, segment.tcp.as_ref());
        let half = || Half { rung: RUNG_MIN, ..Half::default() };
        Self {
            key,
            started_at: at,
            last_at: at,
            low: half(),
            high: half(),
            tunnel: segment.tunnel.map(|tunnel| Box::new(TunnelEnds::of(&tunnel, sender))),
            initiator,
            initiator_inferred,
            closed: None,
            rival_syn: None,
            is_unreported: false,
            is_live: true,
        }
    }

    /// Do these ports now carry another connection? True for the first SYN after a close, and for
    /// the answer to a SYN that came without one. A forged SYN alone changes nothing.
    pub(super) fn is_restarted_by(&mut self, sender: Sender, tcp: &Tcp<'_>) -> bool {
        if !tcp.has(Tcp::SYN) {
            return false;
        }
        if tcp.has(Tcp::ACK) {
            return self.rival_syn == Some((sender.other(), tcp.ack.wrapping_sub(1)));
        }
        if !self.half(sender).stream.is_foreign_syn(tcp.seq) {
            return false;
        }
        self.rival_syn = Some((sender, tcp.seq));
        self.closed.is_some()
    }

    /// Counts one segment; answers how many of its claims were refused as impossible.
    pub(super) fn count(
        &mut self,
        at: Timestamp,
        sender: Sender,
        segment: &Segment<'_>,
        tcp_seq: Option<u32>,
    ) -> u64 {
        self.last_at = self.last_at.max(at);
        self.half_mut(sender.other()).unanswered = 0;
        let half = self.half_mut(sender);
        half.is_heard = true;
        half.unanswered = half.unanswered.saturating_add(1);
        half.unreported.packets += 1;
        half.unreported.wire += u64::from(segment.ip_len);
        if segment.protocol != Protocol::TCP {
            half.add_payload(u64::from(segment.payload_len));
            half.settle();
            return 0;
        }
        let Some(seq) = tcp_seq else {
            // A TCP fragment whose first part was missed: its place in the stream is unknown.
            half.add_payload(u64::from(segment.payload_len));
            half.settle();
            return 0;
        };
        let refused = self.refused();
        match &segment.tcp {
            Some(tcp) => self.count_tcp(sender, segment, tcp),
            None => {
                let reach = self.reach(sender);
                let half = self.half_mut(sender);
                let added = half.stream.data(seq, segment.payload_len, reach);
                half.add(added);
            }
        }
        self.refused() - refused
    }

    fn count_tcp(&mut self, sender: Sender, segment: &Segment<'_>, tcp: &Tcp<'_>) {
        let mut seq = tcp.seq;
        self.half_mut(sender).note_window(tcp);
        let (reach, answer_reach) = (self.reach(sender), self.reach(sender.other()));
        let half = self.half_mut(sender);
        if tcp.has(Tcp::SYN) {
            half.stream.syn(seq);
            seq = seq.wrapping_add(1);
        }
        // A reset's sequence number may be anything, and its text is no application data (RFC 9293).
        if tcp.has(Tcp::RST) {
            self.closed.get_or_insert(FlowEnd::Rst);
            return;
        }
        let mut fresh = 0;
        if segment.payload_len > 0 {
            let added = half.stream.data(seq, segment.payload_len, reach);
            fresh = added.fresh;
            half.add(added);
        }
        if tcp.has(Tcp::FIN) {
            half.stream.fin(seq.wrapping_add(segment.payload_len), reach);
        }
        if tcp.has(Tcp::ACK) {
            let other = self.half_mut(sender.other());
            let added = other.stream.ack(tcp.ack, answer_reach);
            other.add(added);
            for (left, right) in sack_blocks(tcp.options) {
                let added = other.stream.sack(left, right);
                other.add(added);
            }
        }
        if self.closed == Some(FlowEnd::Rst) && fresh > 0 {
            // It goes on: the reset was forged, or not for this connection.
            self.closed = None;
        } else if self.low.stream.is_finished() && self.high.stream.is_finished() {
            self.closed.get_or_insert(FlowEnd::Fin);
        }
    }

    /// What `sender` may have outstanding: twice the other end's largest window, for the window may
    /// have grown in a segment that the capture lost.
    fn reach(&self, sender: Sender) -> Reach {
        let receiver = self.half(sender.other());
        let both_scale = self.low.window_scale.zip(self.high.window_scale);
        let window = match both_scale.and(receiver.window_scale) {
            Some(scale) => u64::from(receiver.window) << scale,
            None => WINDOW_UNKNOWN,
        };
        Reach {
            window: 2 * window.max(u64::from(u16::MAX)),
            is_two_sided: [&self.low, &self.high]
                .iter()
                .all(|half| half.is_heard && half.unanswered < UNANSWERED_MAX),
        }
    }

    /// Counts a copy that the mirror delivered again.
    pub(super) fn count_copy(&mut self, at: Timestamp, sender: Sender) {
        self.last_at = self.last_at.max(at);
        self.half_mut(sender).unreported.duplicates += 1;
    }

    /// Settles what was still open; answers how many claims were refused as impossible.
    pub(super) fn finish(&mut self) -> u64 {
        let refused = self.refused();
        for half in [&mut self.low, &mut self.high] {
            let added = half.stream.finish();
            half.add(added);
        }
        self.refused() - refused
    }

    /// Did either end send anything?
    pub(super) fn has_carried(&self) -> bool {
        self.low.sent + self.high.sent > 0
    }

    /// Was only one end heard?
    pub(super) fn is_one_sided(&self) -> bool {
        self.low.is_heard != self.high.is_heard
    }

    fn refused(&self) -> u64 {
        u64::from(self.low.stream.rejected()) + u64::from(self.high.stream.rejected())
    }

    pub(super) fn has_reached_rung(&self) -> bool {
        [&self.low, &self.high].iter().any(|half| half.unreported.sent >= half.rung)
    }

    pub(super) fn has_unreported(&self) -> bool {
        [&self.low, &self.high]
            .iter()
            .any(|half| half.unreported.packets + half.unreported.duplicates > 0)
    }

    pub(super) fn take_delta(&mut self, end: Option<FlowEnd>) -> FlowDelta {
        FlowDelta {
            key: self.key,
            initiator: self.initiator,
            initiator_inferred: self.initiator_inferred,
            started_at: self.started_at,
            last_at: self.last_at,
            low: self.low.take(),
            high: self.high.take(),
            tunnel: self.tunnel.as_deref().copied(),
            end,
        }
    }

    fn half(&self, side: Sender) -> &Half {
        match side {
            Sender::Low => &self.low,
            Sender::High => &self.high,
        }
    }

    fn half_mut(&mut self, side: Sender) -> &mut Half {
        match side {
            Sender::Low => &mut self.low,
            Sender::High => &mut self.high,
        }
    }
}

impl Half {
    fn add(&mut self, added: Added) {
        self.unreported.retransmitted += added.repeated;
        self.unreported.acked += added.acked;
        self.add_payload(added.fresh);
        self.settle();
    }

    fn note_window(&mut self, tcp: &Tcp<'_>) {
        if tcp.has(Tcp::SYN) {
            self.window_scale = window_scale(tcp);
        } else {
            // The window of a SYN is never scaled (RFC 7323).
            self.window = self.window.max(tcp.window);
        }
    }

    fn add_payload(&mut self, fresh: u64) {
        self.payload += fresh;
        self.unreported.payload += fresh;
    }

    /// Brings `sent` up to the greater of what was seen and what was acknowledged.
    fn settle(&mut self) {
        let sent = self.payload.max(self.stream.acked());
        self.unreported.sent += sent - self.sent;
        self.sent = sent;
    }

    fn take(&mut self) -> Counters {
        // Rungs grow with the flow: a verdict in flight costs the logarithm of its bytes.
        self.rung = (self.sent / 8).clamp(RUNG_MIN, RUNG_MAX);
        std::mem::take(&mut self.unreported)
    }
}

/// The end that opened the flow, and whether that is a guess: by SYN, else the end whose port is not
/// a well-known one, else the one who was heard first.
fn initiator(key: &FlowKey, sender: Sender, tcp: Option<&Tcp<'_>>) -> (Sender, bool) {
    if let Some(tcp) = tcp
        && tcp.has(Tcp::SYN)
    {
        return (if tcp.has(Tcp::ACK) { sender.other() } else { sender }, false);
    }
    let is_well_known = |end: Endpoint| (1..1024).contains(&end.port);
    let guess = match (is_well_known(key.low), is_well_known(key.high)) {
        (true, false) => Sender::High,
        (false, true) => Sender::Low,
        (true, true) | (false, false) => sender,
    };
    (guess, true)
}

/// Packets without an answer after which the other direction no longer reaches the capture: a receiver
/// acknowledges every second full segment (RFC 5681, section 4.2), and offloading stretches that to
/// 64 KiB, some forty segments.
const UNANSWERED_MAX: u16 = 256;

/// Smallest and largest number of bytes after which a flow reports without waiting for the tick.
const RUNG_MIN: u64 = 1 << 20;
const RUNG_MAX: u64 = 64 << 20;
