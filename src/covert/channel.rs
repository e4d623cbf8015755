//! One inside host and one outside end, between whom something may hide, today.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::distinct::Distinct;
use crate::arena::Hand;
use crate::egress::{Destination, FlowBytes, HostKey};
use crate::flow::{FlowKey, Sender};
use crate::net::Addr;
use crate::time::Timestamp;

/// Messages one way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub messages: u64,
    /// Their bytes, from the application's first on.
    pub bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, bytes: u32) {
        self.messages += 1;
        self.bytes += u64::from(bytes);
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self { messages: self.messages + more.messages, bytes: self.bytes + more.bytes }
    }
}

/// What one host has told one outside end today, with what only such channels have.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Channel<D> {
    /// The inside host.
    pub host: HostKey,
    /// Its address; of several, the one that was seen last.
    pub addr: Addr,
    /// The domain that is asked for, or the address that is pinged.
    pub destination: Destination,
    /// The first message.
    pub first_at: Timestamp,
    /// The latest one, either way.
    pub last_at: Timestamp,
    /// What left.
    pub out: Tally,
    /// What came back.
    pub back: Tally,
    /// The ends that the messages went to, as far as there is room: servers, and those that servers asked.
    pub peers: SmallVec<[Addr; 1]>,
    /// The flows that they came on: the first few, once much was told.
    pub flows: Vec<FlowBytes>,
    /// What only such channels have.
    pub detail: D,
    /// All that differs, in bits.
    told: Distinct,
    /// Bytes told before it fell under suspicion.
    clipped: Option<u64>,
    next_look: u64,
    looked_at: Timestamp,
}

/// A finished day of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelDay {
    /// Who was told.
    pub destination: Destination,
    /// The first message.
    pub first_at: Timestamp,
    /// Bytes told before it fell under suspicion.
    pub clipped: u64,
}

impl<D: Default> Channel<D> {
    pub(super) fn new(
        (host, addr): (HostKey, Addr),
        destination: Destination,
        at: Timestamp,
    ) -> Self {
        Self {
            host,
            addr,
            destination,
            first_at: at,
            last_at: at,
            out: Tally::default(),
            back: Tally::default(),
            peers: SmallVec::new(),
            flows: Vec::new(),
            detail: D::default(),
            told: Distinct::default(),
            clipped: None,
            next_look: 0,
            looked_at: at,
        }
    }

    /// The information in all that left today and differs, in bytes.
    pub fn told(&self) -> u64 {
        self.told.sum() / 8
    }

    /// How many different messages there were.
    pub fn different(&self) -> u64 {
        self.told.count()
    }

    pub(super) fn tell(&mut self, digest: u64, bits: u32, key: u64) {
        self.told.add(digest, bits, key);
    }

    pub(super) fn meet(&mut self, peer: Addr) {
        if self.peers.len() < PEERS_KEPT && !self.peers.contains(&peer) {
            self.peers.push(peer);
        }
    }

    /// Keeps a flow as evidence.
    pub(super) fn keep_flow(&mut self, key: FlowKey, side: Sender, bytes: u32) {
        if self.told() < FLOWS_KEPT_FROM {
            return;
        }
        let bytes_out = u64::from(bytes);
        if let Some(flow) = self.flows.iter_mut().find(|flow| flow.key == key) {
            flow.bytes_out += bytes_out;
        } else if self.flows.len() < FLOWS_KEPT {
            self.flows.push(FlowBytes { key, side, initiator: side, bytes_out, client: None });
        }
    }

    /// Is it time to judge it again: a tenth more, or a minute since the last look?
    pub(super) fn is_due(&mut self, floor: u64) -> bool {
        let told = self.told();
        let minute_is_over =
            self.last_at >= self.looked_at.plus(std::time::Duration::from_secs(60));
        if told < floor || (told < self.next_look && !minute_is_over) {
            return false;
        }
        self.next_look = told + (told / 10).max(1);
        self.looked_at = self.last_at;
        true
    }

    pub(super) fn finished(&self) -> ChannelDay {
        ChannelDay {
            destination: self.destination,
            first_at: self.first_at,
            clipped: self.clipped.unwrap_or_else(|| self.told()),
        }
    }
}

/// What a message changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// The inside host.
    pub host: HostKey,
    /// Who was told.
    pub destination: Destination,
    /// Has enough been added, or enough time gone by, to judge the channel again?
    pub is_due: bool,
}

/// Today's channels of all hosts: the heaviest, when there are more than there is room for.
///
/// Of the next few the one that has told least makes room for one that begins, as in Space-Saving (Metwally,
/// Agrawal and El Abbadi 2005), but for two things: the least of eight goes and not the least of all, and who
/// comes begins at nothing instead of at what was there. So no channel is ever thought larger than it is, and
/// one that is forgotten loses what it had told, which was less than seven others had.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Channels<D> {
    channels: IndexMap<(HostKey, Destination), Channel<D>, foldhash::fast::RandomState>,
    max: usize,
    hand: Hand,
    evicted: u64,
}

impl<D: Default> Channels<D> {
    /// Memory that a channel takes at most, in bytes, with its place in an ordered map.
    pub const CHANNEL_BYTES: usize = (size_of::<Channel<D>>() + 48) * 2
        + PEERS_KEPT * size_of::<Addr>()
        + Distinct::HEAP_BYTES
        + FLOWS_KEPT * size_of::<FlowBytes>();

    pub(super) fn new(max: usize) -> Self {
        Self { channels: IndexMap::default(), max, hand: Hand::default(), evicted: 0 }
    }

    /// A channel, if anything has been told on it today.
    pub fn get(&self, host: HostKey, destination: Destination) -> Option<&Channel<D>> {
        self.channels.get(&(host, destination))
    }

    pub(super) fn get_mut(
        &mut self,
        host: HostKey,
        destination: Destination,
    ) -> Option<&mut Channel<D>> {
        self.channels.get_mut(&(host, destination))
    }

    /// Today's channels of a host.
    pub fn of(&self, host: HostKey) -> impl Iterator<Item = &Channel<D>> {
        self.channels.values().filter(move |channel| channel.host == host)
    }

    /// Channels held.
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Is nothing told today?
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Channels forgotten for want of room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Puts a channel under suspicion: what is told on it from now on teaches nothing.
    pub fn mark(&mut self, host: HostKey, destination: Destination) {
        if let Some(channel) = self.channels.get_mut(&(host, destination)) {
            let told = channel.told();
            channel.clipped.get_or_insert(told);
        }
    }

    /// The channel, and whether it begins.
    pub(super) fn open(
        &mut self,
        (host, addr): (HostKey, Addr),
        destination: Destination,
        at: Timestamp,
    ) -> (&mut Channel<D>, bool) {
        let key = (host, destination);
        if let Some(known) = self.channels.get_index_of(&key) {
            let channel = &mut self.channels[known];
            channel.last_at = channel.last_at.max(at);
            channel.addr = addr;
            return (channel, false);
        }
        if self.channels.len() >= self.max {
            let sample = self.hand.next(self.channels.len());
            let least = sample.min_by_key(|&place| self.channels[place].told());
            self.evicted += u64::from(least.is_some());
            least.map(|place| self.channels.swap_remove_index(place));
        }
        let channel = Channel::new((host, addr), destination, at);
        (self.channels.entry(key).or_insert(channel), true)
    }

    /// From now on what `from` told was told by `to`, unless that has told the same end something itself.
    /// Answers to whom.
    pub(super) fn unite(&mut self, from: HostKey, to: HostKey) -> Vec<Destination> {
        let is_its = |&&(host, destination): &&(HostKey, Destination)| {
            host == from && !self.channels.contains_key(&(to, destination))
        };
        let moved = self.channels.keys().filter(is_its).map(|&(_, destination)| destination);
        let moved: Vec<Destination> = moved.collect();
        for &destination in &moved {
            if let Some(mut channel) = self.channels.swap_remove(&(from, destination)) {
                channel.host = to;
                self.channels.insert((to, destination), channel);
            }
        }
        moved
    }

    /// Ends the day.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Channel<D>> + use<D> {
        std::mem::take(&mut self.channels).into_values()
    }
}

/// Ends listed for a channel.
const PEERS_KEPT: usize = 16;

/// Bytes told from which flows are kept as evidence: few channels ever get there.
const FLOWS_KEPT_FROM: u64 = 256;

/// Flows kept as evidence for a channel.
const FLOWS_KEPT: usize = 4;
