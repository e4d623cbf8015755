//! The flow table counts what a slow and simple model counts, for any TCP that keeps the rules.
//!
//! Both ends respect a window of 65 535 bytes and acknowledge only what was sent; the capture loses,
//! repeats and reorders what it likes. In step the table never counts more than the model, because
//! bytes beyond a gap wait for the other end's word; once all is acknowledged the two agree.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sekisho::decode::{Segment, Tcp};
use sekisho::flow::{FlowDelta, FlowEnd, FlowKey, FlowTable, Options};
use sekisho::net::{Addr, Endpoint, Protocol, Subnets};
use sekisho::time::Timestamp;

/// What the capture saw of one direction.
#[derive(Default)]
struct Direction {
    isn: u32,
    /// Bytes sent.
    next: usize,
    /// Bytes acknowledged, seen or not.
    delivered: usize,
    /// Which bytes were in a frame.
    seen: Vec<bool>,
    seen_count: u64,
    /// Runs of such bytes.
    islands: usize,
    /// Highest acknowledgement in a frame.
    acked: usize,
}

impl Direction {
    fn number(&self, offset: usize) -> u32 {
        self.isn.wrapping_add(1).wrapping_add(offset as u32)
    }

    /// Takes note that the bytes from `start` to `end` were in a frame.
    fn see(&mut self, start: usize, end: usize) {
        let islands = self.islands_begun(start, end);
        self.seen_count += self.seen[start..end].iter().filter(|seen| !**seen).count() as u64;
        self.seen[start..end].fill(true);
        self.islands = self.islands + self.islands_begun(start, end) - islands;
    }

    /// How many runs of seen bytes begin from `start` to `end`, both included. Only here can a change
    /// of the bytes between change it; to count anew over all bytes takes nearly all of the time.
    fn islands_begun(&self, start: usize, end: usize) -> usize {
        let is_seen = |at: usize| self.seen.get(at) == Some(&true);
        (start..=end).filter(|&at| is_seen(at) && !(at > 0 && is_seen(at - 1))).count()
    }

    fn holes(&self) -> usize {
        match self.seen.first() {
            Some(false) => self.islands + 1,
            Some(true) => self.islands - 1,
            None => 0,
        }
    }
}

fuzz_target!(|input: ([u32; 2], Vec<(u8, u16, u16)>)| {
    let (isn, ops) = input;
    let ends = [
        Endpoint { addr: Addr::from_v4([10, 0, 0, 1]), port: 40_000 },
        Endpoint { addr: Addr::from_v4([203, 0, 113, 2]), port: 443 },
    ];
    let (key, client) = FlowKey::of(ends[0], ends[1], Protocol::TCP);
    let mut model = isn.map(|isn| Direction { isn, ..Direction::default() });
    let mut counted = [[0u64; 2]; 2];
    let add = |counted: &mut [[u64; 2]; 2], delta: &FlowDelta| {
        assert_eq!(delta.key, key);
        for (side, end) in [client, client.other()].into_iter().enumerate() {
            counted[side][0] += delta.sent_by(end).payload;
            counted[side][1] += delta.sent_by(end).acked;
        }
    };
    let mut table = FlowTable::new(Options::default(), Subnets::private());
    let mut now = Timestamp::from_secs_nanos(1_000_000, 0);

    let mut observe = |counted: &mut [[u64; 2]; 2], side: usize, seq, ack, flags, len| {
        // Far enough apart for no segment to be taken for the mirror's copy of another.
        now = now.plus(Duration::from_secs(1));
        let tcp = Tcp { seq, ack, flags, header_len: 20, window: 65_535 };
        let segment = Segment {
            source: ends[side],
            destination: ends[1 - side],
            protocol: Protocol::TCP,
            vlan: None,
            tunnel: None,
            ip_len: 40 + len,
            identification: 0,
            hop_limit: 64,
            transport: &[],
            payload_len: len,
            header_len: 0,
            tcp: Some(tcp),
            fragment: None,
        };
        let mut add = |_, delta: FlowDelta| add(counted, &delta);
        let place = table.place(&segment);
        table.observe(now, &segment, place, false, &mut add);
        table.tick(now, &mut add);
    };
    observe(&mut counted, 0, isn[0], 0, Tcp::SYN, 0);
    observe(&mut counted, 1, isn[1], isn[0].wrapping_add(1), Tcp::SYN | Tcp::ACK, 0);
    // Without it the answering SYN may be forged, and what is far from it is believed only at the end.
    observe(&mut counted, 0, isn[0].wrapping_add(1), isn[1].wrapping_add(1), Tcp::ACK, 0);

    for (op, a, b) in ops.into_iter().take(400) {
        let (side, is_seen) = (usize::from(op & 1), op & 2 == 0);
        let (a, b) = (usize::from(a) % LEN_MAX, usize::from(b) % LEN_MAX);
        let answer = model[1 - side].number(model[1 - side].delivered);
        let own = &mut model[side];
        let (start, end) = match (op >> 2) % 4 {
            0 => (own.next, own.next + a),
            // Again, from anywhere in the last windows.
            1 => (own.next.saturating_sub(a), (own.next.saturating_sub(a) + b).min(own.next)),
            2 => {
                // The other end acknowledges, in or out of order.
                let other = &mut model[1 - side];
                let ack = other.next.saturating_sub(a);
                other.delivered = other.delivered.max(ack);
                if is_seen {
                    other.acked = other.acked.max(ack);
                }
                let (seq, ack) =
                    (model[side].number(model[side].next), model[1 - side].number(ack));
                if is_seen {
                    observe(&mut counted, side, seq, ack, Tcp::ACK, 0);
                }
                continue;
            }
            _ => (own.next.saturating_sub(1), own.next),
        };
        if end - own.delivered.min(end) > 65_535 || end <= start {
            continue;
        }
        own.next = own.next.max(end);
        own.seen.resize(own.next, false);
        if is_seen {
            own.see(start, end);
            let (seq, len) = (own.number(start), (end - start) as u32);
            let delivered = model[1 - side].delivered;
            model[1 - side].acked = model[1 - side].acked.max(delivered);
            observe(&mut counted, side, seq, answer, Tcp::ACK, len);
        }
        // Beyond so many holes the table forgets the oldest, as it says.
        if model[side].holes() > 60 {
            return;
        }
        for (model, [payload, acked]) in model.iter().zip(&counted) {
            assert!(*payload <= model.seen_count && *acked <= model.acked as u64);
        }
    }
    // Three times for each of two claims: an older one is believed first.
    for _ in 0..6 {
        for side in 0..2 {
            let (seq, ack) = (
                model[side].number(model[side].next),
                model[1 - side].number(model[1 - side].next),
            );
            observe(&mut counted, side, seq, ack, Tcp::ACK, 0);
        }
    }
    // What came in, and what was acknowledged, is told at the end at the latest.
    table.end_all(now, FlowEnd::Eof, |_, delta| add(&mut counted, &delta));
    for (model, [payload, acked]) in model.iter().zip(&counted) {
        assert_eq!(*payload, model.seen_count);
        // The last number acknowledged but not seen may be a FIN's.
        assert!(model.next as u64 - acked <= 1, "{} sent, {acked} acknowledged", model.next);
    }
});

/// A small sequence space makes segments meet.
const LEN_MAX: usize = 700;
