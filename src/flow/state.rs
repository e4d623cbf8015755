//! The whole account of one flow: what each end sent, and what is still open about it.

use crate::decode::{Segment, Tcp};
use crate::flow::delta::{Counters, TunnelEnds};
use crate::flow::key::Sender;
use crate::flow::slot::{Close, Pending};
use crate::flow::stream::{Added, Reach, Stream, WINDOW_UNKNOWN};
use crate::flow::tcp_options::{sack_blocks, window_scale};

/// The account of a flow that is not simple, or not simple just now.
#[derive(Debug, Clone, Default)]
pub(super) struct Flow {
    pub(super) low: Half,
    pub(super) high: Half,
    pub(super) tunnel: Option<Box<TunnelEnds>>,
    pub(super) closed: Option<Close>,
    /// A SYN that would start another connection on the same ports, until it is answered.
    pub(super) rival_syn: Option<(Sender, u32)>,
    /// Were both directions seen of the connection that had these ports before?
    pub(super) was_two_sided: bool,
}

/// What one end of a flow sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Half {
    pub(super) stream: Stream,
    pub(super) is_heard: bool,
    /// Packets sent since the other end was heard last.
    pub(super) unanswered: u8,
    /// Largest window advertised, unscaled.
    pub(super) window: u16,
    /// Scale of that window, once a SYN told it.
    pub(super) window_scale: Option<u8>,
    pub(super) payload: u64,
    pub(super) sent: u64,
}

impl Flow {
    /// Do these ports now carry another connection? True for the first SYN after a close, and for
    /// the answer to a SYN that came without one. A forged SYN alone changes nothing.
    pub(super) fn is_restarted_by(&mut self, sender: Sender, tcp: &Tcp) -> bool {
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

    /// Takes over from a connection that had the same ports: the capture sees now what it saw then.
    pub(super) fn follow(&mut self, before: &Reach) {
        self.was_two_sided = before.is_two_sided;
    }

    /// Counts one segment; answers how many of its claims were refused as impossible.
    pub(super) fn count(
        &mut self,
        sender: Sender,
        segment: &Segment<'_>,
        tcp_seq: Option<u32>,
        pending: &mut Pending,
    ) -> u64 {
        self.half_mut(sender.other()).unanswered = 0;
        let half = self.half_mut(sender);
        half.is_heard = true;
        half.unanswered = half.unanswered.saturating_add(1);
        let counters = pending.of_mut(sender);
        counters.packets += 1;
        counters.wire += u64::from(segment.ip_len);
        let refused = self.refused();
        match (&segment.tcp, tcp_seq) {
            (Some(tcp), Some(_)) => self.count_tcp(sender, segment, tcp, pending),
            (None, Some(seq)) => {
                let reach = self.reach(sender);
                let half = self.half_mut(sender);
                let added = half.stream.data(seq, segment.payload_len, reach);
                half.add(added, pending.of_mut(sender));
            }
            // Not TCP, or a TCP fragment whose first part was missed: it has no place in a stream.
            (_, None) => {
                let fresh = u64::from(segment.payload_len);
                self.half_mut(sender)
                    .add(Added { fresh, ..Added::default() }, pending.of_mut(sender));
            }
        }
        self.refused() - refused
    }

    fn count_tcp(
        &mut self,
        sender: Sender,
        segment: &Segment<'_>,
        tcp: &Tcp,
        pending: &mut Pending,
    ) {
        let mut seq = tcp.seq;
        self.half_mut(sender).note_window(segment, tcp);
        let (reach, answer_reach) = (self.reach(sender), self.reach(sender.other()));
        let half = self.half_mut(sender);
        if tcp.has(Tcp::SYN) {
            let added = half.stream.syn(seq);
            half.add(added, pending.of_mut(sender));
            seq = seq.wrapping_add(1);
        }
        // A reset's sequence number may be anything, and its text is no application data (RFC 9293).
        if tcp.has(Tcp::RST) {
            self.closed.get_or_insert(Close::Rst(sender));
            return;
        }
        let mut fresh = 0;
        if segment.payload_len > 0 {
            let added = half.stream.data(seq, segment.payload_len, reach);
            fresh = added.fresh;
            half.add(added, pending.of_mut(sender));
        } else if tcp.flags & (Tcp::SYN | Tcp::FIN) == 0 {
            half.stream.empty(seq);
        }
        if tcp.has(Tcp::FIN) {
            half.stream.fin(seq.wrapping_add(segment.payload_len), reach);
        }
        if tcp.has(Tcp::ACK) {
            let counters = pending.of_mut(sender.other());
            let other = self.half_mut(sender.other());
            if tcp.has(Tcp::SYN) {
                let added = other.stream.syn(tcp.ack.wrapping_sub(1));
                other.add(added, counters);
            }
            let added = other.stream.ack(tcp.ack, answer_reach);
            other.add(added, counters);
            for (left, right) in sack_blocks(segment.tcp_options()) {
                let added = other.stream.sack(left, right);
                other.add(added, counters);
            }
        }
        if matches!(self.closed, Some(Close::Rst(_))) && fresh > 0 {
            // It goes on: the reset was forged, or not for this connection.
            self.closed = None;
        } else if self.low.stream.is_finished() && self.high.stream.is_finished() {
            self.closed.get_or_insert(Close::Fin);
        }
    }

    /// What `sender` may have outstanding: twice the other end's largest window, for the window may
    /// have grown in a segment that the capture lost.
    pub(super) fn reach(&self, sender: Sender) -> Reach {
        let receiver = self.half(sender.other());
        let both_scale = self.low.window_scale.zip(self.high.window_scale);
        let window = match both_scale.and(receiver.window_scale) {
            Some(scale) => u64::from(receiver.window) << scale,
            None => WINDOW_UNKNOWN,
        };
        Reach {
            window: 2 * window.max(u64::from(u16::MAX)),
            is_two_sided: [&self.low, &self.high].iter().all(|half| {
                (half.is_heard || self.was_two_sided) && half.unanswered < UNANSWERED_MAX
            }),
        }
    }

    /// Settles what was still open; answers how many claims were refused as impossible.
    pub(super) fn finish(&mut self, pending: &mut Pending) -> u64 {
        let refused = self.refused();
        let (low_reach, high_reach) = (self.reach(Sender::Low), self.reach(Sender::High));
        let added = self.low.stream.finish(low_reach, &self.high.stream);
        self.low.add(added, &mut pending.low);
        let added = self.high.stream.finish(high_reach, &self.low.stream);
        self.high.add(added, &mut pending.high);
        self.refused() - refused
    }

    /// Did either end send anything, and was only one end heard?
    pub(super) fn has_carried(&self) -> (bool, bool) {
        (self.low.sent + self.high.sent > 0, self.low.is_heard != self.high.is_heard)
    }

    fn refused(&self) -> u64 {
        u64::from(self.low.stream.rejected()) + u64::from(self.high.stream.rejected())
    }

    pub(super) fn half(&self, side: Sender) -> &Half {
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
    fn add(&mut self, added: Added, counters: &mut Counters) {
        counters.retransmitted += added.repeated;
        counters.acked += added.acked;
        counters.payload += added.fresh;
        self.payload += added.fresh;
        // `sent` is the greater of what was seen and what was acknowledged.
        let sent = self.payload.max(self.stream.acked());
        counters.sent += sent - self.sent;
        self.sent = sent;
    }

    fn note_window(&mut self, segment: &Segment<'_>, tcp: &Tcp) {
        if tcp.has(Tcp::SYN) {
            // A forged SYN must not widen the window.
            if !self.stream.is_foreign_syn(tcp.seq) {
                self.window_scale = window_scale(segment);
            }
        } else {
            // The window of a SYN is never scaled (RFC 7323).
            self.window = self.window.max(tcp.window);
        }
    }
}

/// Packets without an answer after which the other direction no longer reaches the capture: a receiver
/// acknowledges every second full segment (RFC 5681, section 4.2), and offloading stretches that to
/// 64 KiB, some forty segments.
const UNANSWERED_MAX: u8 = 255;
