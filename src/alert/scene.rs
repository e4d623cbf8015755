//! What an incident is told from: the sums of a host and a destination, whatever they were counted by.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::covert::Channel;
use crate::detect::{self, Bits, Case, DnsCase, Family, Finding, IcmpCase, Subject};
use crate::egress::{Destination, FlowBytes, HostKey, Pair};
use crate::flow::Counters;
use crate::net::Addr;
use crate::time::{Day, Timestamp};

/// A host and a destination, as an incident sees them.
pub trait Scene {
    /// The inside host.
    fn host(&self) -> HostKey;
    /// Its address; of several, the one that most was sent from.
    fn addr(&self) -> Addr;
    /// The outside end.
    fn destination(&self) -> Destination;
    /// Today.
    fn day(&self) -> Day;
    /// The latest packet.
    fn last_at(&self) -> Timestamp;
    /// The kinds of incident that it can be part of.
    fn families(&self) -> &'static [Family];
    /// What changes with every packet, and is cheap enough to follow.
    fn subjects(&self) -> &'static [Subject];
    /// All that was sent today, to the destination or to many.
    fn sight(&self, subject: Subject, family: Family) -> Sight;
    /// Hosts that sent there in the `days` before today.
    fn hosts_within(&self, days: i32) -> usize;
    /// The least number of bytes that would still score `threshold`, all else equal.
    fn bytes_at_threshold(&self, finding: &Finding, threshold: Bits) -> u64;
}

/// What was sent today.
#[derive(Debug, Clone)]
pub struct Sight {
    /// Start of the first flow that counts.
    pub first_at: Timestamp,
    /// In every count.
    pub sent: Sent,
    /// The flows that sent most.
    pub flows: SmallVec<[FlowBytes; 1]>,
    /// The inside addresses that they came from.
    pub sources: SmallVec<[Addr; 4]>,
    /// The outside ends.
    pub peers: Vec<Addr>,
    /// How many destinations there are.
    pub destinations: usize,
    /// The hosts that sent it together, with the bytes of each, where it is not this one's alone.
    pub together: Vec<(Addr, u64)>,
}

/// What was sent, in every count.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Sent {
    pub(super) out: Counters,
    pub(super) bytes_in: u64,
    pub(super) packets_in: u64,
}

impl Sent {
    fn of(pair: &Pair) -> Self {
        Self { out: pair.out, bytes_in: pair.bytes_in, packets_in: pair.packets_in }
    }

    /// What was told on a channel, with the messages that told it for packets.
    fn told<D: Default>(channel: &Channel<D>, bytes: u64) -> Self {
        let (out, back) = (channel.out, channel.back);
        let out = Counters {
            sent: bytes,
            payload: bytes,
            wire: out.bytes,
            packets: out.messages,
            ..Counters::default()
        };
        Self { out, bytes_in: back.bytes, packets_in: back.messages }
    }

    pub(super) fn plus(mut self, more: &Self) -> Self {
        self.out.add(&more.out);
        self.bytes_in += more.bytes_in;
        self.packets_in += more.packets_in;
        self
    }
}

impl Sight {
    fn of_channel<D: Default>(channel: &Channel<D>, bytes: u64) -> Self {
        Self {
            first_at: channel.first_at,
            sent: Sent::told(channel, bytes),
            flows: channel.flows.iter().copied().collect(),
            sources: sources(channel),
            peers: channel.peers.to_vec(),
            destinations: 1,
            together: Vec::new(),
        }
    }
}

fn sources<D>(channel: &Channel<D>) -> SmallVec<[Addr; 4]> {
    channel.flows.iter().map(FlowBytes::source).chain([channel.addr]).collect()
}

impl Scene for Case<'_> {
    fn host(&self) -> HostKey {
        self.host.key()
    }

    fn addr(&self) -> Addr {
        self.pair.flows.first().map_or(self.host.addr(), FlowBytes::source)
    }

    fn destination(&self) -> Destination {
        self.pair.destination
    }

    fn day(&self) -> Day {
        self.day
    }

    fn last_at(&self) -> Timestamp {
        self.pair.last_at
    }

    fn families(&self) -> &'static [Family] {
        &[Family::Volume, Family::Server]
    }

    fn subjects(&self) -> &'static [Subject] {
        &[Subject::Destination, Subject::Many]
    }

    fn sight(&self, subject: Subject, family: Family) -> Sight {
        let pair = self.pair;
        let mut sight = Sight {
            first_at: pair.first_at,
            sent: Sent::of(pair),
            flows: pair.flows.clone(),
            sources: pair.sources(),
            peers: pair.peers().to_vec(),
            destinations: 1,
            together: Vec::new(),
        };
        if subject == Subject::Many {
            (sight.sent, sight.destinations) = (Sent::default(), 0);
            sight.peers.clear();
            sight.sources.clear();
            let counts = |pair: &&Pair| pair.counts_together(family == Family::Server);
            for pair in self.pairs.of(self.host).filter(counts) {
                sight.sent = sight.sent.plus(&Sent::of(pair));
                sight.first_at = sight.first_at.min(pair.first_at);
                sight.destinations += usize::from(pair.out.sent > 0);
                sight.peers.extend(pair.peers());
                sight.sources.extend(pair.sources());
            }
        }
        sight
    }

    fn hosts_within(&self, days: i32) -> usize {
        self.baseline.hosts_within(self.pair.destination, self.day, days)
    }

    fn bytes_at_threshold(&self, finding: &Finding, threshold: Bits) -> u64 {
        detect::bytes_at_threshold(*self, finding.measure, threshold)
    }
}

impl Scene for DnsCase<'_> {
    fn host(&self) -> HostKey {
        self.channel.host
    }

    fn addr(&self) -> Addr {
        self.channel.addr
    }

    fn destination(&self) -> Destination {
        self.channel.destination
    }

    fn day(&self) -> Day {
        self.day
    }

    fn last_at(&self) -> Timestamp {
        self.channel.last_at
    }

    fn families(&self) -> &'static [Family] {
        &[Family::Dns]
    }

    fn subjects(&self) -> &'static [Subject] {
        &[Subject::Destination]
    }

    fn sight(&self, _: Subject, _: Family) -> Sight {
        let Some(shared) = self.together() else {
            return Sight::of_channel(self.channel, self.channel.own());
        };
        let sight = Sight::of_channel(self.channel, shared.told());
        let tellers = shared.tellers();
        Sight {
            first_at: shared.first_at(),
            sources: sight.sources.into_iter().chain(tellers.iter().map(|it| it.addr)).collect(),
            together: tellers.iter().map(|teller| (teller.addr, teller.bytes)).collect(),
            ..sight
        }
    }

    fn hosts_within(&self, days: i32) -> usize {
        self.habits.hosts_within(self.channel.destination, self.day, days)
    }

    fn bytes_at_threshold(&self, _: &Finding, threshold: Bits) -> u64 {
        Self::bytes_at_threshold(self, threshold)
    }
}

impl Scene for IcmpCase<'_> {
    fn host(&self) -> HostKey {
        self.channel.host
    }

    fn addr(&self) -> Addr {
        self.channel.addr
    }

    fn destination(&self) -> Destination {
        self.channel.destination
    }

    fn day(&self) -> Day {
        self.day
    }

    fn last_at(&self) -> Timestamp {
        self.channel.last_at
    }

    fn families(&self) -> &'static [Family] {
        &[Family::Icmp]
    }

    fn subjects(&self) -> &'static [Subject] {
        &[Subject::Destination]
    }

    fn sight(&self, subject: Subject, _: Family) -> Sight {
        match subject {
            Subject::Destination => Sight::of_channel(self.channel, self.channel.told()),
            Subject::Many => {
                let out = self.sweep.out;
                let counters = Counters {
                    sent: out.bytes,
                    payload: out.bytes,
                    wire: out.bytes,
                    packets: out.messages,
                    ..Counters::default()
                };
                let silent = self.channels.of(self.channel.host).filter(|one| one.is_silent());
                let peers: Vec<Addr> =
                    silent.flat_map(|channel| channel.peers.iter().copied()).collect();
                Sight {
                    first_at: self.sweep.first_at,
                    sent: Sent { out: counters, ..Sent::default() },
                    flows: self.channel.flows.iter().copied().collect(),
                    sources: sources(self.channel),
                    destinations: peers.len(),
                    peers,
                    together: Vec::new(),
                }
            }
        }
    }

    fn hosts_within(&self, days: i32) -> usize {
        self.echoes.hosts_within(self.channel.destination, self.day, days)
    }

    fn bytes_at_threshold(&self, finding: &Finding, threshold: Bits) -> u64 {
        Self::bytes_at_threshold(self, finding.subject, threshold)
    }
}
