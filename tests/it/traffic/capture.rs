//! A capture point: what it sees of the traffic, and what is counted of that.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sekisho::engine::{Run, Worker, WorkerCounters};
use sekisho::flow::{self, Counters, FlowDelta, FlowEnd, FlowKey};
use sekisho::frame::Batch;
use sekisho::net::{Protocol, Subnets};
use sekisho::time::Timestamp;

use super::packet::{Content, Packet, Piece};
use super::{MICROSECOND, Play, Rng};

/// Packets as they pass a mirror port. Each method disturbs what the earlier ones left.
#[derive(Debug, Clone)]
pub(crate) struct Capture {
    pub(crate) packets: Vec<Packet>,
    rng: Rng,
    snap_len: u32,
}

/// What the second copy of a packet looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Twin {
    /// The same bytes, microseconds later.
    Exact,
    /// Mirrored again behind a router: another VLAN, other MAC addresses, one hop less to live.
    Routed,
}

/// The order in which fragments arrive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Order {
    Sent,
    Reversed,
    /// The first one, with the ports, is lost.
    FirstLost,
}

impl Capture {
    /// Sees everything, in the order of time.
    pub(crate) fn of<'a>(plays: impl IntoIterator<Item = &'a Play>, seed: u64) -> Self {
        let packets = plays.into_iter().flat_map(|play| play.packets.iter().cloned()).collect();
        Self { packets, rng: Rng(seed), snap_len: u32::MAX }.in_order()
    }

    fn in_order(mut self) -> Self {
        self.packets.sort_by_key(|packet| packet.at);
        self
    }

    /// Loses each frame with this chance, though the packet was delivered.
    pub(crate) fn lose(mut self, rate: f64) -> Self {
        let rng = &mut self.rng;
        self.packets.retain(|_| !rng.chance(rate));
        self
    }

    /// Loses this share of the frames in runs, by a chain of two states (Gilbert 1960).
    pub(crate) fn lose_in_bursts(mut self, rate: f64, frames_mean: f64) -> Self {
        let rng = &mut self.rng;
        let mut is_losing = false;
        self.packets.retain(|_| {
            let turn = if is_losing { 1.0 } else { rate / (1.0 - rate) };
            is_losing ^= rng.chance(turn / frames_mean);
            !is_losing
        });
        self
    }

    /// Delivers this share of the frames up to `reach` frames late.
    pub(crate) fn reorder(mut self, rate: f64, reach: u64) -> Self {
        let times: Vec<u64> = self.packets.iter().map(|packet| packet.at).collect();
        let rng = &mut self.rng;
        let mut placed: Vec<(u64, Packet)> = (0..)
            .zip(self.packets.drain(..))
            .map(|(place, packet)| match rng.chance(rate) {
                true => (2 * (place + rng.within(1..reach + 1)) + 1, packet),
                false => (2 * place, packet),
            })
            .collect();
        placed.sort_by_key(|&(place, _)| place);
        let place = |((_, packet), at)| Packet { at, ..packet };
        self.packets = placed.into_iter().zip(times).map(place).collect();
        self
    }

    /// Delivers this share of the frames twice.
    pub(crate) fn duplicate(mut self, rate: f64, twin: Twin) -> Self {
        for packet in self.packets.clone() {
            if !self.rng.chance(rate) {
                continue;
            }
            let late = match twin {
                Twin::Exact => self.rng.within(MICROSECOND..50 * MICROSECOND),
                Twin::Routed => self.rng.within(50 * MICROSECOND..500 * MICROSECOND),
            };
            let copy = Packet { at: packet.at + late, ..packet };
            self.packets.push(match twin {
                Twin::Exact => copy,
                Twin::Routed => Packet { vlan: Some(20), hops: copy.hops + 1, ..copy },
            });
        }
        self.in_order()
    }

    /// Captures no more than so many bytes of each frame.
    pub(crate) fn snap(self, len: u32) -> Self {
        Self { snap_len: len, ..self }
    }

    /// Sees only what `end` sends.
    pub(crate) fn only_from(mut self, end: SocketAddr) -> Self {
        self.packets.retain(|packet| packet.source == end);
        self
    }

    /// Starts `frames` too late.
    pub(crate) fn skip(mut self, frames: usize) -> Self {
        self.packets.drain(..frames.min(self.packets.len()));
        self
    }

    /// Stops after `frames`.
    pub(crate) fn take(mut self, frames: usize) -> Self {
        self.packets.truncate(frames);
        self
    }

    /// Puts one more frame at `place`.
    pub(crate) fn insert(mut self, place: usize, packet: Packet) -> Self {
        self.packets.insert(place, packet);
        self
    }

    /// Adds frames of somebody else, `every` so many nanoseconds at most, so that time goes on.
    pub(crate) fn tick(mut self, every: u64) -> Self {
        let (first, last) = (self.packets[0].at, self.packets[self.packets.len() - 1].at);
        let mut at = first;
        while at < last {
            at += self.rng.within(1..every);
            self.packets.push(Packet {
                at,
                source: "192.0.2.1:9".parse().unwrap(),
                destination: "192.0.2.2:9".parse().unwrap(),
                content: Content::Udp,
                len: 18,
                stamp: at,
                id: 0,
                vlan: None,
                hops: 0,
                is_offloaded: false,
                piece: None,
            });
        }
        self.in_order()
    }

    /// Cuts what does not fit into packets of `mtu` bytes.
    pub(crate) fn fragment(mut self, mtu: u32, order: Order) -> Self {
        let mut seen = Vec::new();
        for packet in self.packets.drain(..) {
            if packet.ip_len() <= mtu {
                seen.push(packet);
                continue;
            }
            let (step, len) = ((mtu - 48) / 8 * 8, packet.upper_len());
            let mut pieces: Vec<Packet> = (0..len)
                .step_by(step as usize)
                .map(|start| {
                    let end = (start + step).min(len);
                    let piece = Some(Piece { start, end, is_last: end == len });
                    Packet { piece, ..packet.clone() }
                })
                .collect();
            match order {
                Order::Sent => {}
                Order::Reversed => pieces.reverse(),
                Order::FirstLost => drop(pieces.remove(0)),
            }
            seen.extend(pieces);
        }
        self.packets = seen;
        self
    }

    /// The frames.
    pub(crate) fn frames(&self) -> Batch {
        let (mut batch, mut scratch) = (Batch::default(), Vec::new());
        for packet in &self.packets {
            packet.write(self.snap_len, &mut scratch, &mut batch);
        }
        batch
    }

    /// Counts the frames as a replay does.
    pub(crate) fn count(&self) -> Counted {
        self.count_by(1, usize::MAX)
    }

    /// The same with so many workers and batches of so many frames.
    pub(crate) fn count_by(&self, workers: usize, frames_per_batch: usize) -> Counted {
        let frames = self.frames();
        let mut counted = Counted::default();
        for number in 0..workers {
            let run = Run {
                flow: flow::Options::default(),
                names: None,
                internal: Subnets::private(),
                workers,
            };
            let mut worker = Worker::new(&run, number);
            let (mut batch, mut outbox, mut first) = (Batch::default(), Vec::new(), 0);
            for heads in frames.heads.chunks(frames_per_batch.min(4096)) {
                batch.clear();
                heads.iter().for_each(|head| batch.push(frames.frame(*head)));
                worker.run(&batch, first, &mut outbox);
                first += heads.len() as u64;
                outbox.drain(..).for_each(|(_, delta)| counted.add(&delta));
            }
            worker.finish(&mut outbox);
            outbox.drain(..).for_each(|(_, delta)| counted.add(&delta));
            match number {
                0 => counted.worker = worker.counters(),
                _ => counted.worker.flows.add(&worker.counters().flows),
            }
        }
        counted
    }
}

/// The sums of all deltas.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    /// By key and start: ports may be used again.
    pub(crate) flows: BTreeMap<(FlowKey, Timestamp), Total>,
    pub(crate) worker: WorkerCounters,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Total {
    pub(crate) low: Counters,
    pub(crate) high: Counters,
    pub(crate) end: Option<FlowEnd>,
}

impl Counted {
    fn add(&mut self, delta: &FlowDelta) {
        let total = self.flows.entry((delta.key, delta.started_at)).or_default();
        total.low.add(&delta.low);
        total.high.add(&delta.high);
        total.end = total.end.or(delta.end);
    }

    /// Client and server of this play, over all flows that its ends ever had.
    pub(crate) fn of(&self, play: &Play) -> [Counters; 2] {
        self.sum(play, |key| *key == play.key)
    }

    /// The same for every flow between their addresses, whatever the ports.
    pub(crate) fn between_addresses(&self, play: &Play) -> [Counters; 2] {
        let addrs = |key: &FlowKey| (key.low.addr, key.high.addr, key.protocol);
        self.sum(play, |key| addrs(key) == addrs(&play.key))
    }

    /// Client and server in each flow of this play, by start.
    pub(crate) fn each(&self, play: &Play) -> Vec<[Counters; 2]> {
        let own = self.flows.iter().filter(|((key, _), _)| *key == play.key);
        own.map(|(_, total)| play.by_role(total.low, total.high)).collect()
    }

    fn sum(&self, play: &Play, is_meant: impl Fn(&FlowKey) -> bool) -> [Counters; 2] {
        let (mut low, mut high) = (Counters::default(), Counters::default());
        for ((key, _), total) in &self.flows {
            if is_meant(key) {
                low.add(&total.low);
                high.add(&total.high);
            }
        }
        play.by_role(low, high)
    }
}

/// What the frames of a capture tell of one direction of a TCP connection, to anybody who has the
/// whole of it before him: for judging counts where the capture lost some.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Knowable {
    /// Bytes from the first number seen, of data or of an acknowledgement, to the highest acknowledged.
    pub(crate) acked: u64,
    /// Unique bytes that were in a frame.
    pub(crate) payload: u64,
    /// Was the FIN in a frame, or the last byte?
    pub(crate) is_end_seen: bool,
}

impl Capture {
    /// Of the bytes that `side` of `play` (0 is the client) sent.
    pub(crate) fn knowable(&self, play: &Play, isn: u32, side: usize) -> Knowable {
        assert_eq!(play.key.protocol, Protocol::TCP);
        let sent = play.truth[side].payload;
        let offset = |number: u32| u64::from(number.wrapping_sub(isn.wrapping_add(1)));
        let (mut first, mut acked) = (None, 0);
        let mut seen = Vec::new();
        let mut is_end_seen = false;
        for packet in &self.packets {
            // What a reset acknowledges is not to be believed: anybody may have sent it.
            let Some(tcp) = packet.tcp() else { continue };
            let ends = [packet.source, packet.destination].map(super::endpoint);
            if ends == [play.end(side), play.end(1 - side)] {
                let start = if tcp.flags & super::tcp::SYN != 0 { 0 } else { offset(tcp.seq) };
                // A keep-alive before the first byte.
                let start = if start > sent + 1 { 0 } else { start };
                first.get_or_insert(start);
                let end = start + u64::from(packet.len);
                seen.push((start, end));
                is_end_seen |= end == sent && (tcp.flags & super::tcp::FIN != 0 || packet.len > 0);
            } else if ends == [play.end(1 - side), play.end(side)]
                && tcp.flags & (super::tcp::ACK | super::tcp::RST) == super::tcp::ACK
            {
                first.get_or_insert(offset(tcp.ack));
                acked = acked.max(offset(tcp.ack).min(sent));
            }
        }
        seen.sort_unstable();
        let (mut payload, mut from) = (0, first.unwrap_or(0));
        for (start, end) in seen {
            payload += end.saturating_sub(start.max(from));
            from = from.max(end);
        }
        Knowable { acked: acked.saturating_sub(first.unwrap_or(0)), payload, is_end_seen }
    }
}

impl Capture {
    /// Did a later number of this side come before the first, and before the SYN and its answer? Then
    /// the line seems to begin there, and lower bytes that come before the SYN are of no account.
    pub(crate) fn is_begun_backwards(&self, play: &Play, isn: u32, side: usize) -> bool {
        let first = self.packets.iter().find_map(|packet| {
            let tcp = packet.tcp()?;
            let is_own = super::endpoint(packet.source) == play.end(side);
            let number = if is_own { tcp.seq } else { tcp.ack };
            let offset = number.wrapping_sub(isn.wrapping_add(1)).cast_signed();
            match (is_own, tcp.flags & super::tcp::SYN != 0) {
                (false, true) if tcp.flags & super::tcp::ACK == 0 => None,
                (_, true) => Some(0),
                (true, false) if packet.len == 0 && tcp.flags != super::tcp::ACK => None,
                (false, false) if tcp.flags & super::tcp::RST != 0 => None,
                (_, false) => Some(offset),
            }
        });
        first.is_some_and(|offset| offset > 0)
    }

    /// The frames of a connection, to be read when a law does not hold: offsets of both ends.
    pub(crate) fn story(&self, play: &Play, isn: [u32; 2]) -> String {
        let mut story = String::new();
        for packet in &self.packets {
            let Some(tcp) = packet.tcp() else { continue };
            let ends = [packet.source, packet.destination].map(super::endpoint);
            let Some(side) = (0..2).find(|&side| ends == [play.end(side), play.end(1 - side)])
            else {
                continue;
            };
            let offset = |number: u32, side: usize| {
                number.wrapping_sub(isn[side].wrapping_add(1)).cast_signed()
            };
            story += &format!(
                "{}{:02x} {}+{} ack {}\n",
                ["> ", "< "][side],
                tcp.flags,
                offset(tcp.seq, side),
                packet.len,
                offset(tcp.ack, 1 - side),
            );
        }
        story
    }
}

/// 2026-03-05T02:00:00Z, when most plays begin.
pub(crate) const EPOCH: u64 = 1_772_676_000_000_000_000;
