//! One TCP connection, played with its truth.

use std::net::SocketAddr;

use sekisho::flow::Counters;
use sekisho::net::Protocol;

use super::packet::{Content, Options, Packet, TcpHead};
use super::{MICROSECOND, MILLISECOND, Play, Rng, SECOND};

/// A connection in which both ends send at once. Of pairs, the first is the client's.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    /// Nanoseconds of packet time.
    pub(crate) start: u64,
    /// Application bytes of each end.
    pub(crate) bytes: [u64; 2],
    /// Sequence number of each end's SYN.
    pub(crate) isn: [u32; 2],
    /// Bytes in a full segment; more than 1500 stands for segmentation offload.
    pub(crate) mss: u32,
    /// Receive window of both ends, in bytes.
    pub(crate) window: u32,
    pub(crate) has_timestamps: bool,
    pub(crate) open: Open,
    pub(crate) close: Close,
    pub(crate) trouble: Trouble,
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Open {
    Usual,
    /// Both ends send a SYN before they see the other's.
    Simultaneous,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Close {
    Fin,
    Rst,
    /// The connection stays open.
    None,
}

/// What a connection has to overcome. All of it is really on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Trouble {
    /// Share of segments lost before or behind the capture point, and sent again.
    pub(crate) loss: f64,
    /// Are retransmissions cut differently, and do they overlap with what was received?
    pub(crate) recuts: bool,
    pub(crate) keep_alives: bool,
    /// Does the receiver close its window for a while, with a probing sender?
    pub(crate) zero_window: bool,
    /// Nanoseconds of silence at half time.
    pub(crate) pause: u64,
}

impl Conversation {
    /// An orderly connection of these ends.
    pub(crate) fn new(client: SocketAddr, server: SocketAddr, bytes: [u64; 2]) -> Self {
        Self {
            client,
            server,
            start: super::capture::EPOCH,
            bytes,
            isn: [0x1000_0000, 0xf000_0000],
            mss: 1448,
            window: 256 << 10,
            has_timestamps: true,
            open: Open::Usual,
            close: Close::Fin,
            trouble: Trouble::default(),
            seed: 1,
        }
    }

    pub(crate) fn play(&self) -> Play {
        let mut player = Player {
            of: self,
            rng: Rng(self.seed),
            now: self.start,
            packets: Vec::new(),
            ends: Default::default(),
        };
        player.open();
        player.talk();
        player.close();
        let mut play = Play::new([self.client, self.server], Protocol::TCP, player.packets);
        for (truth, bytes) in play.truth.iter_mut().zip(self.bytes) {
            *truth = Counters { payload: bytes, acked: bytes, sent: bytes, ..*truth };
        }
        play
    }

    fn scale(&self) -> u8 {
        (0..14).find(|scale| self.window >> scale <= 65_535).unwrap()
    }
}

struct Player<'a> {
    of: &'a Conversation,
    rng: Rng,
    now: u64,
    packets: Vec<Packet>,
    ends: [End; 2],
}

#[derive(Default)]
struct End {
    id: u16,
    /// Offset after the last byte sent.
    next: u64,
    /// Offset up to which all bytes were received, and what lies beyond, lowest first.
    received: u64,
    islands: Vec<(u64, u64)>,
    /// The segment that came last, unless it was the one expected.
    unexpected: Option<(u64, u64)>,
    /// Segments received and not yet acknowledged.
    unacknowledged: u32,
    has_closed_window: bool,
    /// Has the other end's FIN come?
    is_told_fin: bool,
}

impl Player<'_> {
    fn open(&mut self) {
        match self.of.open {
            Open::Usual => {
                self.emit(0, -1, 0, SYN);
                self.emit(1, -1, 0, SYN | ACK);
            }
            Open::Simultaneous => {
                for (side, flags) in [(0, SYN), (1, SYN), (0, SYN | ACK), (1, SYN | ACK)] {
                    self.emit(side, -1, 0, flags);
                }
            }
        }
        self.emit(0, 0, 0, ACK);
        if self.of.trouble.keep_alives {
            self.keep_alive();
        }
    }

    fn talk(&mut self) {
        let mut window = u64::from((self.of.mss * 10).min(self.of.window));
        let mut has_halted = false;
        while (0..2).any(|side| self.ends[1 - side].received < self.of.bytes[side]) {
            for side in 0..2 {
                self.send_again(side);
                self.send_new(side, window);
            }
            for side in 0..2 {
                self.acknowledge(side);
            }
            self.now += 10 * MILLISECOND;
            window = (window * 2).min(self.of.window.into());
            let sent: u64 = self.ends.iter().map(|end| end.next).sum();
            if !has_halted && sent * 2 >= self.of.bytes.iter().sum() {
                has_halted = true;
                self.halt();
            }
        }
    }

    fn close(&mut self) {
        let ends = self.of.bytes.map(|bytes| bytes as i64);
        match self.of.close {
            Close::None => {}
            Close::Rst => self.emit(0, ends[0], 0, RST | ACK),
            Close::Fin => {
                self.emit(0, ends[0], 0, FIN | ACK);
                self.ends[1].is_told_fin = true;
                self.emit(1, ends[1], 0, ACK);
                self.emit(1, ends[1], 0, FIN | ACK);
                self.ends[0].is_told_fin = true;
                self.emit(0, ends[0] + 1, 0, ACK);
            }
        }
    }

    /// What happens at half time.
    fn halt(&mut self) {
        self.now += self.of.trouble.pause;
        if self.of.trouble.keep_alives {
            self.keep_alive();
        }
        if self.of.trouble.zero_window {
            for side in 0..2 {
                self.probe(side);
            }
        }
    }

    /// A sequence number that was used already, without or with a byte (RFC 9293, section 3.8.4).
    fn keep_alive(&mut self) {
        for _ in 0..2 {
            for side in 0..2 {
                self.now += 45 * SECOND;
                let (next, len) = (self.ends[side].next, self.rng.within(0..2) as u32);
                self.emit(side, next as i64 - 1, len, ACK);
                let answer = self.ends[1 - side].next;
                self.emit(1 - side, answer as i64, 0, ACK);
            }
        }
    }

    /// The other end has no room: its window is probed with a byte that it does not take.
    fn probe(&mut self, side: usize) {
        let (next, other) = (self.ends[side].next as i64, self.ends[1 - side].next as i64);
        let is_stuck = self.ends[1 - side].received == self.ends[side].next
            && self.ends[side].next < self.of.bytes[side];
        if !is_stuck {
            return;
        }
        self.ends[1 - side].has_closed_window = true;
        self.emit(1 - side, other, 0, ACK);
        for wait in [1, 2, 4] {
            self.now += wait * SECOND;
            self.emit(side, next, 1, ACK);
            self.emit(1 - side, other, 0, ACK);
        }
        self.ends[1 - side].has_closed_window = false;
        self.emit(1 - side, other, 0, ACK);
    }

    fn send_again(&mut self, side: usize) {
        let (end, receiver) = (&self.ends[side], &self.ends[1 - side]);
        let mut missing = Vec::new();
        let mut from = receiver.received;
        for &(start, to) in receiver.islands.iter().chain([&(end.next, end.next)]) {
            missing.push((from, start));
            from = to;
        }
        missing.retain(|(from, to)| from < to);
        // Sometimes a sender gives up waiting too early.
        if self.rng.chance(self.of.trouble.loss) {
            missing.push((receiver.received.saturating_sub(3000), receiver.received));
        }
        for (mut from, to) in missing {
            let mut len_max = u64::from(self.of.mss);
            if self.of.trouble.recuts {
                from = from.saturating_sub(self.rng.within(0..700));
                len_max = self.rng.within(1..len_max + 1).max(len_max / 8);
            }
            while from < to {
                let len = len_max.min(to - from);
                self.transmit(side, from, len as u32);
                from += len;
            }
        }
    }

    fn send_new(&mut self, side: usize, window: u64) {
        loop {
            let (next, received) = (self.ends[side].next, self.ends[1 - side].received);
            let room = (received + window).saturating_sub(next);
            let left = self.of.bytes[side] - next;
            let len = u64::from(self.of.mss.min(self.of.window)).min(left);
            if len == 0 || room < len {
                return;
            }
            self.ends[side].next += len;
            self.transmit(side, next, len as u32);
        }
    }

    /// Sends a data segment, which may be lost on either side of the capture point.
    fn transmit(&mut self, side: usize, offset: u64, len: u32) {
        let is_lost = self.rng.chance(self.of.trouble.loss);
        if is_lost && self.rng.chance(0.5) {
            return;
        }
        let is_last = offset + u64::from(len) == self.of.bytes[side];
        self.emit(side, offset as i64, len, if is_last { PSH | ACK } else { ACK });
        if is_lost {
            return;
        }
        let receiver = &mut self.ends[1 - side];
        let is_in_order = offset <= receiver.received && receiver.islands.is_empty();
        let is_expected = is_in_order && offset == receiver.received;
        receiver.unexpected = (!is_expected).then_some((offset, offset + u64::from(len)));
        receiver.receive(offset, offset + u64::from(len));
        receiver.unacknowledged += 1;
        if receiver.unacknowledged == 2 || !is_in_order {
            // An acknowledgement may be lost as well; the one at the end of the round never is.
            match self.rng.chance(self.of.trouble.loss) {
                true => self.ends[1 - side].unacknowledged = 1,
                false => self.acknowledge(1 - side),
            }
        }
    }

    fn acknowledge(&mut self, side: usize) {
        if self.ends[side].unacknowledged > 0 {
            let next = self.ends[side].next;
            self.emit(side, next as i64, 0, ACK);
        }
    }

    /// Puts a segment past the capture point, with the sender's latest acknowledgement.
    fn emit(&mut self, side: usize, offset: i64, len: u32, flags: u8) {
        let of = self.of;
        self.now += self.rng.within(2 * MICROSECOND..20 * MICROSECOND);
        let end = &mut self.ends[side];
        end.id = end.id.wrapping_add(1);
        end.unacknowledged = 0;
        let window = if end.has_closed_window { 0 } else { of.window >> of.scale() };
        let number =
            |side: usize, offset: u64| of.isn[side].wrapping_add(1).wrapping_add(offset as u32);
        let seq = number(side, offset as u64);
        let ack = number(1 - side, end.received).wrapping_add(u32::from(end.is_told_fin));
        let options = match (flags & SYN != 0, end.unexpected.take(), of.has_timestamps) {
            (true, _, _) => Options::Syn { mss: of.mss.min(65_535) as u16, scale: of.scale() },
            (false, Some((from, to)), _) if len == 0 => {
                Options::Sack { from: number(1 - side, from), to: number(1 - side, to) }
            }
            (false, _, true) => Options::Timestamps { now: (self.now / MILLISECOND) as u32 },
            (false, _, false) => Options::None,
        };
        let window = if flags & SYN != 0 { 65_535 } else { window as u16 };
        let ack = if flags & ACK != 0 { ack } else { 0 };
        let (source, destination) =
            if side == 0 { (of.client, of.server) } else { (of.server, of.client) };
        self.packets.push(Packet {
            at: self.now,
            source,
            destination,
            content: Content::Tcp(TcpHead { seq, ack, flags, window, options }),
            len,
            stamp: Rng(offset as u64).next(),
            id: end.id,
            vlan: None,
            hops: 0,
            is_offloaded: len > 1500,
            piece: None,
        });
    }
}

impl End {
    fn receive(&mut self, start: u64, end: u64) {
        self.islands.push((start.max(self.received), end.max(self.received)));
        self.islands.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for &(start, end) in &self.islands {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        if merged[0].0 == self.received {
            self.received = merged.remove(0).1;
        }
        self.islands = merged;
    }
}

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
