//! Today's sums by host and destination.

use std::hash::BuildHasher;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::Destination;
use super::border::Crossing;
use super::class::{Class, OfClass};
use super::host::Host;
use super::key::HostKey;
use crate::arena::{Arena, Index, NIL, prefetch_whole};
use crate::flow::{Counters, FlowDelta, FlowKey, Sender};
use crate::names::Client;
use crate::net::{Addr, Protocol};
use crate::time::Timestamp;

/// A host and one destination, today.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// Bytes sent today before the pair fell under suspicion.
    pub clipped: Option<u64>,
    /// Bytes it had sent when it was last of each class, before it fell under suspicion.
    pub(super) taught: OfClass<u64>,
    /// The flows that sent most, largest first.
    pub flows: SmallVec<[FlowBytes; 1]>,
    next_look: u64,
    looked_at: Timestamp,
    /// The number of the host, or [`NIL`] where nothing is held.
    host: u32,
    /// The host's next pair, or [`NIL`].
    next: u32,
    /// On probation: this host has not known the destination for long.
    pub is_young: bool,
}

/// What one flow of a pair sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowBytes {
    /// The flow.
    pub key: FlowKey,
    /// The side of it that is the host.
    pub side: Sender,
    /// The side that opened it.
    pub initiator: Sender,
    /// Bytes sent by the host.
    pub bytes_out: u64,
    /// What its client said of itself, if it is known.
    #[serde(default)]
    pub client: Option<Client>,
}

impl FlowBytes {
    /// The inside address.
    pub fn source(&self) -> Addr {
        self.key.end(self.side).addr
    }

    /// Can it be a call? Answers of DNS mirror what they are asked.
    fn is_media(&self) -> bool {
        let ports = [self.key.low.port, self.key.high.port];
        self.key.protocol == Protocol::UDP && !ports.contains(&DNS_PORT)
    }
}

impl Pair {
    /// Did the outside end open the flows that carried most of the bytes? Then the host is a server
    /// to this destination, and what it sent are answers.
    pub fn is_served(&self) -> bool {
        self.served * 2 > self.out.sent
    }

    /// What kind of exchange it is so far.
    pub fn class(&self) -> Class {
        let answers = self.bytes_in.saturating_mul(2) >= self.out.sent;
        match self.flows.first() {
            Some(largest) if answers && largest.is_media() => Class::Media,
            Some(_) | None => Class::Bulk,
        }
    }

    /// Is it one of the clients that are judged together, or else of the destinations on probation that are?
    pub fn counts_together(&self, served: bool) -> bool {
        self.is_served() == served && (served || self.is_young)
    }

    /// The port at the outside end of the flow that sent most; 0 of none.
    pub fn port(&self) -> u16 {
        self.flows.first().map_or(0, |flow| flow.key.end(flow.side.other()).port)
    }

    /// The addresses of the flows that sent most, each once.
    pub fn peers(&self) -> SmallVec<[Addr; FLOWS_KEPT]> {
        let mut peers = SmallVec::new();
        for flow in &self.flows {
            let peer = flow.key.end(flow.side.other()).addr;
            if !peers.contains(&peer) {
                peers.push(peer);
            }
        }
        peers
    }

    /// The addresses that the host sent from in these flows, each once.
    pub fn sources(&self) -> SmallVec<[Addr; FLOWS_KEPT]> {
        let mut sources = SmallVec::new();
        for flow in &self.flows {
            let source = flow.source();
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    }

    /// Producer–consumer ratio of the day, (sent − received) / (sent + received), from −1 to 1
    /// (Bullard and Gerth, FloCon 2014).
    pub fn producer_consumer_ratio(&self) -> f64 {
        let (sent, received) = (self.out.sent as f64, self.bytes_in as f64);
        (sent - received) / (sent + received).max(1.0)
    }

    /// Puts the pair under suspicion: what it sends from now on teaches nothing.
    pub(super) fn mark(&mut self) -> bool {
        let is_new = self.clipped.is_none();
        self.clipped.get_or_insert(self.out.sent);
        is_new
    }

    fn new(
        host: u32,
        destination: Destination,
        (first_at, last_at): (Timestamp, Timestamp),
        is_young: bool,
    ) -> Self {
        Self {
            destination,
            first_at,
            last_at,
            out: Counters::default(),
            bytes_in: 0,
            packets_in: 0,
            served: 0,
            clipped: None,
            taught: Default::default(),
            flows: SmallVec::new(),
            next_look: 0,
            looked_at: last_at,
            host,
            next: NIL,
            is_young,
        }
    }

    /// Takes out all that it has counted.
    fn take(&mut self) -> Self {
        let empty =
            Self::new(self.host, self.destination, (self.first_at, self.last_at), self.is_young);
        std::mem::replace(self, Self { next: self.next, ..empty })
    }

    /// Takes all that another pair of the host has counted.
    fn absorb(&mut self, other: &Self) {
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        let unsuspected = self.out.sent + other.clipped.unwrap_or(0);
        self.clipped = self.clipped.or(other.clipped.map(|_| unsuspected));
        self.out.add(&other.out);
        self.bytes_in += other.bytes_in;
        self.packets_in += other.packets_in;
        self.served += other.served;
        for &flow in &other.flows {
            self.keep_flow(flow);
        }
        for (taught, others) in self.taught.iter_mut().zip(other.taught) {
            *taught = others.max(*taught);
        }
        let taught = self.clipped.unwrap_or(self.out.sent);
        let of_class = &mut self.taught[self.class() as usize];
        *of_class = taught.max(*of_class);
        self.next_look = 0;
    }

    pub(super) fn receive(&mut self, from: &Counters) {
        self.bytes_in += from.sent;
        self.packets_in += from.packets;
    }

    /// Counts a delta; answers which side opened its flow.
    pub(super) fn add(&mut self, delta: &FlowDelta, crossing: &Crossing) -> Sender {
        let Crossing { side, client, .. } = *crossing;
        let out = delta.sent_by(side);
        self.out.add(out);
        self.receive(delta.sent_by(side.other()));
        self.last_at = self.last_at.max(delta.last_at);
        let (key, initiator) = (delta.key, self.initiator_of(delta));
        if initiator != side {
            self.served += out.sent;
        }
        self.keep_flow(FlowBytes { key, side, initiator, bytes_out: out.sent, client });
        if self.clipped.is_none() {
            self.taught[self.class() as usize] = self.out.sent;
        }
        initiator
    }

    /// The side that opened a flow. A sensor that starts again in the middle of one can only guess, but what it
    /// kept may know.
    fn initiator_of(&self, delta: &FlowDelta) -> Sender {
        let is_it = |known: &&FlowBytes| known.key == delta.key;
        let known = || self.flows.iter().find(is_it).map(|known| known.initiator);
        delta.initiator_inferred.then(known).flatten().unwrap_or(delta.initiator)
    }

    /// Keeps the largest flows as evidence.
    fn keep_flow(&mut self, flow: FlowBytes) {
        let known = self.flows.iter().position(|known| known.key == flow.key);
        let mut at = match known {
            Some(at) => {
                let known = &mut self.flows[at];
                known.bytes_out += flow.bytes_out;
                known.client = flow.client.or(known.client);
                at
            }
            None => {
                if self.flows.len() == FLOWS_KEPT {
                    let last = FLOWS_KEPT - 1;
                    if self.flows[last].bytes_out >= flow.bytes_out {
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
    pub(super) fn is_due(&mut self, floor: u64) -> bool {
        let minute_is_over = self.last_at >= self.looked_at.plus(LOOK_EVERY);
        if self.out.sent < floor || (self.out.sent < self.next_look && !minute_is_over) {
            return false;
        }
        self.next_look = next_look(self.out.sent);
        self.looked_at = self.last_at;
        true
    }
}

/// When a sum that only grows is looked at again.
pub(super) fn next_look(bytes: u64) -> u64 {
    // A tenth, as fine as DETECTION 2 found useful: looks are free for sums that only grow.
    bytes + (bytes / 10).max(1)
}

/// Today's pairs of all hosts; those of a host are a list, in the order in which it first sent to them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Pairs {
    #[serde(skip)]
    index: Index,
    pairs: Arena<Pair>,
    #[serde(skip)]
    hasher: foldhash::fast::RandomState,
}

impl Pairs {
    /// Finds again what another process kept: `key_of` answers who a host is.
    pub(super) fn resume(&mut self, key_of: impl Fn(u32) -> HostKey) {
        let mut index = Index::new();
        for (number, pair) in self.pairs.held() {
            index.insert(self.hash(key_of(pair.host), pair.destination), number);
        }
        self.index = index;
    }

    /// Today's pairs of a host, in the order in which it first sent to them.
    pub fn of(&self, host: &Host) -> impl Iterator<Item = &Pair> {
        self.listed(host.list)
    }

    pub(super) fn listed(&self, list: List) -> impl Iterator<Item = &Pair> {
        std::iter::successors(self.pairs.get(list.first), |pair| self.pairs.get(pair.next))
    }

    /// Of each of so many hosts the number of the pair on which it sent most, or [`NIL`]: in one pass over all of
    /// them as they lie in memory, where the list of each host would be a cache miss a pair.
    pub(super) fn largest(&self, hosts: usize) -> Vec<u32> {
        let mut largest = vec![(0, NIL); hosts];
        for (number, pair) in self.pairs.numbered() {
            // None is of a pair that was forgotten.
            if let Some(most) = largest.get_mut(pair.host as usize)
                && pair.out.sent >= most.0
            {
                *most = (pair.out.sent, number);
            }
        }
        largest.into_iter().map(|(_, number)| number).collect()
    }

    /// Pairs held.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn hash(&self, host: HostKey, destination: Destination) -> u32 {
        let hash = self.hasher.hash_one((host.to_bits(), destination.to_bits()));
        (hash >> 32) as u32
    }

    /// Asks for what [`Pairs::guess`] looks at.
    pub(super) fn prefetch(&self, hash: u32) {
        self.index.prefetch(hash);
    }

    /// The pair that probably has this hash, or [`NIL`]; asks for it.
    pub(super) fn guess(&self, hash: u32) -> u32 {
        let guess = self.index.find(hash, |_| true).unwrap_or(NIL);
        if let Some(pair) = self.pairs.get(guess) {
            prefetch_whole(pair);
        }
        guess
    }

    /// The number of the pair, of which `guess` is likely the one.
    pub(super) fn find(
        &self,
        host: u32,
        destination: Destination,
        hash: u32,
        guess: u32,
    ) -> Option<u32> {
        let is_it = |pair: &Pair| pair.host == host && pair.destination == destination;
        match self.pairs.get(guess) {
            Some(pair) if is_it(pair) => Some(guess),
            Some(_) | None => self.index.find(hash, |number| is_it(&self.pairs[number])),
        }
    }

    pub(super) fn get(&self, number: u32) -> &Pair {
        &self.pairs[number]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut Pair {
        &mut self.pairs[number]
    }

    /// Starts the pair of a host, which is number `host`, with a destination it has none with.
    pub(super) fn start(
        &mut self,
        (host, of): (u32, &mut Host),
        destination: Destination,
        span: (Timestamp, Timestamp),
        is_young: bool,
    ) -> u32 {
        let number = self.pairs.insert(Pair::new(host, destination, span, is_young));
        self.index.insert(self.hash(of.key(), destination), number);
        of.list.young += u32::from(is_young);
        self.append(&mut of.list, number);
        number
    }

    /// Moves what `flow` has sent from one of a host's destinations to another, if it alone sent to the
    /// first, whose pair stays behind empty.
    pub(super) fn join(
        &mut self,
        flow: &FlowKey,
        (host, of): (u32, &mut Host),
        (from, to): (Destination, Destination),
        is_young: impl FnOnce() -> bool,
    ) -> Option<Moved> {
        let hash = self.hash(of.key(), from);
        let from = self.find(host, from, hash, NIL)?;
        let is_its = |pair: &Pair| matches!(&pair.flows[..], [only] if only.key == *flow && only.bytes_out == pair.out.sent);
        if !is_its(&self.pairs[from]) {
            return None;
        }
        let moved = self.pairs[from].take();
        let hash = self.hash(of.key(), to);
        let at = self.find(host, to, hash, NIL).unwrap_or_else(|| {
            self.start((host, of), to, (moved.first_at, moved.last_at), is_young())
        });
        let joined = &mut self.pairs[at];
        joined.absorb(&moved);
        Some(Moved {
            class: moved.class(),
            asked: moved.out.sent - moved.served,
            taught: moved.clipped.unwrap_or(moved.out.sent).saturating_sub(moved.served),
            was_young: moved.is_young,
            is_young: joined.is_young,
        })
    }

    /// Moves all pairs of one host, of which `list` they are, to another, who turned out to be it. Says of each
    /// what that changes.
    pub(super) fn hand_over(
        &mut self,
        (from, list): (HostKey, List),
        (host, of): (u32, &mut Host),
        is_young: impl Fn(Destination) -> bool,
    ) {
        let mut next = list.first;
        while next != NIL {
            let number = next;
            let pair = &mut self.pairs[number];
            next = pair.next;
            let (destination, class) = (pair.destination, pair.class());
            let asked = pair.out.sent - pair.served;
            let taught = pair.clipped.unwrap_or(pair.out.sent).saturating_sub(pair.served);
            let was_young = pair.is_young;
            let hash = self.hash(of.key(), destination);
            let is_young = match self.find(host, destination, hash, NIL) {
                Some(known) => {
                    let moved = self.pairs[number].take();
                    self.free(from, number);
                    let known = &mut self.pairs[known];
                    known.absorb(&moved);
                    known.is_young
                }
                None => {
                    self.index.remove(self.hash(from, destination), number);
                    self.index.insert(hash, number);
                    let pair = &mut self.pairs[number];
                    (pair.host, pair.is_young) = (host, is_young(destination));
                    let is_young = pair.is_young;
                    of.list.young += u32::from(is_young);
                    self.append(&mut of.list, number);
                    is_young
                }
            };
            of.move_young(&Moved { class, asked, taught, was_young, is_young });
        }
    }

    /// Forgets the smallest of a host's first few pairs. The others go to the end of its list.
    pub(super) fn forget_one(&mut self, host: &mut Host) -> bool {
        let sample: SmallVec<[u32; FORGET_SAMPLE]> =
            self.numbers(&host.list).take(FORGET_SAMPLE).collect();
        let smallest = sample.iter().copied().min_by_key(|&number| self.pairs[number].out.sent);
        let Some(smallest) = smallest else { return false };
        for number in sample {
            host.list.first = self.pairs[number].next;
            host.list.len -= 1;
            if number != smallest {
                self.append(&mut host.list, number);
            }
        }
        host.list.young -= u32::from(self.pairs[smallest].is_young);
        self.free(host.key(), smallest);
        true
    }

    /// Forgets all pairs of a host.
    pub(super) fn forget_all(&mut self, host: HostKey, list: List) {
        let mut number = list.first;
        while number != NIL {
            let next = self.pairs[number].next;
            self.free(host, number);
            number = next;
        }
    }

    /// Puts all that are judged together with pair number `with` under suspicion; was one of them not?
    pub(super) fn mark_together(&mut self, host: &Host, with: u32) -> bool {
        let is_served = self.pairs[with].is_served();
        let (mut number, mut is_new) = (host.list.first, false);
        while number != NIL {
            let pair = &mut self.pairs[number];
            is_new |= pair.counts_together(is_served) && pair.mark();
            number = pair.next;
        }
        is_new
    }

    /// Forgets all of them: the day is over.
    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.index.clear();
    }

    fn numbers(&self, list: &List) -> impl Iterator<Item = u32> {
        let number = |number: u32| (number != NIL).then_some(number);
        std::iter::successors(number(list.first), move |&at| number(self.pairs[at].next))
    }

    fn append(&mut self, list: &mut List, number: u32) {
        self.pairs[number].next = NIL;
        match list.first {
            NIL => list.first = number,
            _ => self.pairs[list.last].next = number,
        }
        list.last = number;
        list.len += 1;
    }

    fn free(&mut self, host: HostKey, number: u32) {
        let pair = &mut self.pairs[number];
        (pair.host, pair.flows) = (NIL, SmallVec::new());
        let destination = pair.destination;
        self.index.remove(self.hash(host, destination), number);
        self.pairs.free(number);
    }
}

/// Bytes that were counted under one destination of a host and now are under another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    pub(super) class: Class,
    /// In flows that the host opened.
    pub(super) asked: u64,
    /// Of them those that teach.
    pub(super) taught: u64,
    pub(super) was_young: bool,
    pub(super) is_young: bool,
}

/// The pairs of one host.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct List {
    first: u32,
    last: u32,
    pub(super) len: u32,
    /// Those on probation.
    pub(super) young: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { first: NIL, last: NIL, len: 0, young: 0 }
    }
}

/// Memory that a pair takes, in bytes, with its cell in the index when that has just doubled.
pub const PAIR_BYTES: usize = size_of::<Pair>() + 21;

const DNS_PORT: u16 = 53;

const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// Flows kept as evidence for a pair.
const FLOWS_KEPT: usize = 4;

/// Pairs looked at to find one to forget.
const FORGET_SAMPLE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Endpoint;

    /// What was seen to open is not guessed anew by a sensor that starts again; where nothing is known, the guess counts.
    #[test]
    fn a_guess_gives_way_to_what_was_seen() {
        let end = |ip, port| Endpoint { addr: Addr::from_v4(ip), port };
        let (host, peer) = (end([10, 0, 0, 1], 50_000), end([198, 51, 100, 7], 50_000));
        let sent = Counters { sent: 1_000_000, packets: 700, ..Counters::default() };
        let at = Timestamp::from_secs_nanos(1_000_000, 0);
        let opened_by = |[source, destination]: [Endpoint; 2], [out, back]: [Counters; 2]| {
            FlowDelta::new(source, destination, Protocol::TCP, at, [out, back])
        };
        let seen = opened_by([host, peer], [sent, Counters::default()]);
        let guessed = FlowDelta {
            initiator_inferred: true,
            ..opened_by([peer, host], [Counters::default(), sent])
        };
        let crossing = Crossing {
            host: host.addr,
            peer: peer.addr,
            destination: Destination::of_address(peer.addr),
            side: seen.initiator,
            client: None,
        };
        let pair = || Pair::new(0, Destination::of_address(peer.addr), (at, at), false);
        let mut alone = pair();
        alone.add(&guessed, &crossing);
        assert_eq!(alone.served, 1_000_000);

        let mut known = pair();
        known.add(&seen, &crossing);
        known.add(&guessed, &crossing);
        assert_eq!((known.served, known.out.sent), (0, 2_000_000));
        assert_eq!(known.flows[0].initiator, seen.initiator);
    }
}
