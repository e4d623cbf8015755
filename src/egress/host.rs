//! One inside host: what it sent today, to whom, and how fast.

use indexmap::IndexMap;
use smallvec::SmallVec;

use super::window::{SlidingSum, WINDOWS, WindowSums};
use super::{Destination, Group};
use crate::flow::{Counters, FlowDelta, FlowKey, Sender};
use crate::net::Addr;
use crate::time::{Day, Timestamp};

/// What an inside host sends to the outside.
#[derive(Debug, Clone)]
pub struct Host {
    addr: Addr,
    group: Group,
    total_out: Counters,
    total_in: u64,
    largest: Option<(Destination, u64)>,
    windows: Box<[SlidingSum; 4]>,
    today: Today,
}

/// What is forgotten at midnight.
#[derive(Debug, Clone, Default)]
struct Today {
    pairs: IndexMap<Destination, Pair, foldhash::fast::RandomState>,
    /// Largest sums of the sliding windows, before anything suspicious.
    windows_max: WindowSums,
    young_out: u64,
    young_clipped: u64,
    bytes_out: u64,
    is_marked: bool,
    /// Bytes to young destinations at which their sum is judged again.
    next_look: u64,
    hand: usize,
}

/// A host and one destination, today.
#[derive(Debug, Clone)]
pub struct Pair {
    /// To whom.
    pub destination: Destination,
    /// Start of the first flow that sent something today.
    pub first_at: Timestamp,
    /// Latest packet.
    pub last_at: Timestamp,
    /// What the host sent today.
    pub out: Counters,
    /// What it received today.
    pub bytes_in: u64,
    /// Packets it received today, bytes or not.
    pub packets_in: u64,
    /// Bytes of `out.sent` in flows that the outside end opened.
    pub served: u64,
    /// On probation: this host has not known the destination for long.
    pub is_young: bool,
    /// Bytes sent today before the pair fell under suspicion.
    pub clipped: Option<u64>,
    /// The flows that sent most, largest first.
    pub flows: SmallVec<[FlowBytes; 1]>,
    next_look: u64,
    looked_at: Timestamp,
}

/// What one flow of a pair sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowBytes {
    /// The flow.
    pub key: FlowKey,
    /// The side of it that is the host.
    pub side: Sender,
    /// The side that opened it.
    pub initiator: Sender,
    /// Bytes sent by the host.
    pub bytes_out: u64,
}

/// A finished day of one host: what the references learn from.
#[derive(Debug, Clone)]
pub struct HostDay {
    /// Who.
    pub host: Addr,
    /// Its group.
    pub group: Group,
    /// When.
    pub day: Day,
    /// Largest sums of the sliding windows, without suspicious bytes.
    pub windows_max: WindowSums,
    /// Bytes to all young destinations, without suspicious ones.
    pub young_out: u64,
    /// Each destination.
    pub pairs: Vec<PairDay>,
}

/// A finished day of one pair.
#[derive(Debug, Clone, Copy)]
pub struct PairDay {
    /// To whom.
    pub destination: Destination,
    /// Start of the first flow that sent something.
    pub first_at: Timestamp,
    /// Bytes sent, all of them.
    pub bytes_out: u64,
    /// Bytes sent before the pair fell under suspicion.
    pub clipped: u64,
    /// Was the destination on probation?
    pub is_young: bool,
    /// Did the outside end open most of it?
    pub is_served: bool,
}

impl Pair {
    /// Did the outside end open the flows that carried most of the bytes? Then the host is a server
    /// to this destination, and what it sent are answers.
    pub fn is_served(&self) -> bool {
        self.served * 2 > self.out.sent
    }

    /// Producer–consumer ratio of the day, (sent − received) / (sent + received), from −1 to 1
    /// (Bullard and Gerth, FloCon 2014).
    pub fn producer_consumer_ratio(&self) -> f64 {
        let (sent, received) = (self.out.sent as f64, self.bytes_in as f64);
        (sent - received) / (sent + received).max(1.0)
    }

    /// Puts the pair under suspicion: what it sends from now on teaches nothing.
    fn mark(&mut self) -> bool {
        let is_new = self.clipped.is_none();
        self.clipped.get_or_insert(self.out.sent);
        is_new
    }

    fn new(destination: Destination, delta: &FlowDelta, is_young: bool) -> Self {
        Self {
            destination,
            first_at: delta.started_at,
            last_at: delta.last_at,
            out: Counters::default(),
            bytes_in: 0,
            packets_in: 0,
            served: 0,
            is_young,
            clipped: None,
            flows: SmallVec::new(),
            next_look: 0,
            looked_at: delta.last_at,
        }
    }

    fn receive(&mut self, from: &Counters) {
        self.bytes_in += from.sent;
        self.packets_in += from.packets;
    }

    fn add(&mut self, delta: &FlowDelta, side: Sender) {
        let out = delta.sent_by(side);
        self.out.add(out);
        self.receive(delta.sent_by(side.other()));
        self.last_at = self.last_at.max(delta.last_at);
        if delta.initiator != side {
            self.served += out.sent;
        }
        self.note_flow(delta, side, out.sent);
    }

    /// Keeps the largest flows as evidence.
    fn note_flow(&mut self, delta: &FlowDelta, side: Sender, bytes: u64) {
        let known = self.flows.iter().position(|flow| flow.key == delta.key);
        let mut at = match known {
            Some(at) => {
                self.flows[at].bytes_out += bytes;
                at
            }
            None => {
                let flow = FlowBytes {
                    key: delta.key,
                    side,
                    initiator: delta.initiator,
                    bytes_out: bytes,
                };
                if self.flows.len() == FLOWS_KEPT {
                    let last = FLOWS_KEPT - 1;
                    if self.flows[last].bytes_out >= bytes {
                        return;
                    }
                    self.flows[last] = flow;
                } else {
                    self.flows.push(flow);
                }
                self.flows.len() - 1
            }
        };
        while at > 0 && self.flows[at - 1].bytes_out < self.flows[at].bytes_out {
            self.flows.swap(at - 1, at);
            at -= 1;
        }
    }

    /// Is it time to judge the pair again: a tenth more bytes, or a minute since the last look?
    fn is_due(&mut self, floor: u64) -> bool {
        let minute_is_over = self.last_at >= self.looked_at.plus(LOOK_EVERY);
        if self.out.sent < floor || (self.out.sent < self.next_look && !minute_is_over) {
            return false;
        }
        self.next_look = next_look(self.out.sent);
        self.looked_at = self.last_at;
        true
    }
}

impl Host {
    pub(super) fn new(addr: Addr, group: Group) -> Self {
        Self {
            addr,
            group,
            total_out: Counters::default(),
            total_in: 0,
            largest: None,
            windows: Box::new(WINDOWS.map(SlidingSum::new)),
            today: Today::default(),
        }
    }

    /// Its address.
    pub fn addr(&self) -> Addr {
        self.addr
    }

    /// The group it is compared with.
    pub fn group(&self) -> Group {
        self.group
    }

    /// All it sent to the outside.
    pub fn total_out(&self) -> &Counters {
        &self.total_out
    }

    /// All it received from the outside, in bytes.
    pub fn total_in(&self) -> u64 {
        self.total_in
    }

    /// The destination it sent most to in one day, and how much, today's aside.
    pub fn largest(&self) -> Option<(Destination, u64)> {
        let today = self.today.pairs.values().map(|pair| (pair.destination, pair.out.sent));
        self.largest.into_iter().chain(today).max_by_key(|&(_, bytes)| bytes)
    }

    /// Bytes in each sliding window now.
    pub fn windows(&self) -> WindowSums {
        std::array::from_fn(|at| self.windows[at].sum())
    }

    /// Bytes sent today to destinations on probation.
    pub fn young_out(&self) -> u64 {
        self.today.young_out
    }

    /// Today's destinations, in order of appearance.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = &Pair> {
        self.today.pairs.values()
    }

    /// Puts a pair under suspicion: neither it nor the host's windows teach anything more today.
    pub fn mark(&mut self, destination: Destination) {
        if let Some(pair) = self.today.pairs.get_mut(&destination)
            && pair.mark()
        {
            self.today.is_marked = true;
        }
    }

    /// Puts every destination on probation under suspicion.
    pub fn mark_young(&mut self) {
        for pair in self.today.pairs.values_mut().filter(|pair| pair.is_young) {
            self.today.is_marked |= pair.mark();
        }
    }

    /// Has it sent anything today?
    pub(super) fn is_active(&self) -> bool {
        self.today.bytes_out > 0
    }

    pub(super) fn pair_index(&self, destination: Destination) -> Option<usize> {
        self.today.pairs.get_index_of(&destination)
    }

    pub(super) fn pair_at(&self, index: usize) -> &Pair {
        &self.today.pairs[index]
    }

    /// Starts today's pair with a destination it has none with; answers its index.
    pub(super) fn start_pair(
        &mut self,
        destination: Destination,
        delta: &FlowDelta,
        is_young: bool,
    ) -> usize {
        self.today.pairs.insert_full(destination, Pair::new(destination, delta, is_young)).0
    }

    pub(super) fn receive(&mut self, bytes: u64) {
        self.total_in += bytes;
    }

    pub(super) fn receive_from(&mut self, pair: usize, from: &Counters) {
        self.today.pairs[pair].receive(from);
    }

    /// Adds what the host sent; answers whether the pair or the host should be judged.
    pub(super) fn send(
        &mut self,
        pair: usize,
        delta: &FlowDelta,
        side: Sender,
        floor: u64,
    ) -> bool {
        let out = delta.sent_by(side);
        self.total_out.add(out);
        let today = &mut self.today;
        today.bytes_out += out.sent;
        let pair = &mut today.pairs[pair];
        pair.add(delta, side);
        if pair.is_young && delta.initiator == side {
            today.young_out += out.sent;
            if pair.clipped.is_none() {
                today.young_clipped += out.sent;
            }
        }
        for (at, window) in self.windows.iter_mut().enumerate() {
            let sum = window.add(delta.last_at, out.sent);
            if !today.is_marked {
                today.windows_max[at] = today.windows_max[at].max(sum);
            }
        }
        let young_is_due = today.young_out >= today.next_look.max(floor);
        if young_is_due {
            today.next_look = next_look(today.young_out);
        }
        pair.is_due(floor) || young_is_due
    }

    /// Forgets the smallest of a few of today's pairs; its bytes stay in the host's sums.
    pub(super) fn forget_pair(&mut self) -> bool {
        let pairs = &mut self.today.pairs;
        let sample = super::sample(&mut self.today.hand, pairs.len());
        let smallest = sample.min_by_key(|&at| pairs[at].out.sent);
        smallest.and_then(|at| pairs.swap_remove_index(at)).is_some()
    }

    /// Ends the day; `None` when the host sent nothing in it.
    pub(super) fn close_day(&mut self, day: Day) -> Option<HostDay> {
        self.largest = self.largest();
        let today = std::mem::take(&mut self.today);
        let pairs = today.pairs.into_values().map(|pair| PairDay {
            destination: pair.destination,
            first_at: pair.first_at,
            bytes_out: pair.out.sent,
            clipped: pair.clipped.unwrap_or(pair.out.sent),
            is_young: pair.is_young,
            is_served: pair.is_served(),
        });
        (today.bytes_out > 0).then(|| HostDay {
            host: self.addr,
            group: self.group,
            day,
            windows_max: today.windows_max,
            young_out: today.young_clipped,
            pairs: pairs.collect(),
        })
    }
}

fn next_look(bytes: u64) -> u64 {
    // A tenth, as fine as DETECTION 2 found useful: looks are free for sums that only grow.
    bytes + (bytes / 10).max(1)
}

/// Memory that a host takes today, in bytes, with its place in an ordered map: hash, index, and half as
/// much again for room to grow.
pub const HOST_BYTES: usize =
    (size_of::<Host>() + MAP_ENTRY) * 3 / 2 + size_of::<[SlidingSum; 4]>();
/// The same of a pair.
pub const PAIR_BYTES: usize = (size_of::<Pair>() + size_of::<Destination>() + MAP_ENTRY) * 3 / 2;

const MAP_ENTRY: usize = 24;

const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// Flows kept as evidence for a pair.
const FLOWS_KEPT: usize = 4;
