//! One inside host and one outside end, between whom something may hide, today.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
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
#[serde(from = "Kept<D>")]
pub struct Channels<D> {
    channels: IndexMap<(HostKey, Destination), Channel<D>, foldhash::fast::RandomState>,
    /// In the same order the marks of their hosts, so that those of one are found among thousands.
    #[serde(skip)]
    marks: Vec<u32>,
    max: usize,
    hand: Hand,
    evicted: u64,
}

/// Channels as they are kept between runs.
#[derive(Deserialize)]
struct Kept<D> {
    channels: IndexMap<(HostKey, Destination), Channel<D>, foldhash::fast::RandomState>,
    max: usize,
    hand: Hand,
    evicted: u64,
}

impl<D> From<Kept<D>> for Channels<D> {
    fn from(Kept { channels, max, hand, evicted }: Kept<D>) -> Self {
        let marks = channels.keys().map(|&(host, _)| mark(host)).collect();
        Self { channels, marks, max, hand, evicted }
    }
}

impl<D: Default> Channels<D> {
    /// Memory that a channel takes at most, in bytes, with its place in the map.
    pub const CHANNEL_BYTES: usize = (size_of::<Channel<D>>() + 56) * 2
        + PEERS_KEPT * size_of::<Addr>()
        + Distinct::HEAP_BYTES
        + FLOWS_KEPT * size_of::<FlowBytes>();

    pub(super) fn new(max: usize) -> Self {
        Self {
            channels: IndexMap::default(),
            marks: Vec::new(),
            max,
            hand: Hand::default(),
            evicted: 0,
        }
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
        let mark = mark(host);
        let marked = self.marks.iter().enumerate().filter(move |&(_, of)| *of == mark);
        let channels = marked.filter_map(|(place, _)| self.channels.get_index(place));
        channels.map(|(_, channel)| channel).filter(move |channel| channel.host == host)
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
        let channel = Channel::new((host, addr), destination, at);
        let Self { channels, marks, max, hand, evicted } = self;
        let (place, gone) = hand.put(channels, *max, (key, channel), Channel::told);
        *evicted += u64::from(gone.is_some());
        match marks.get_mut(place) {
            Some(known) => *known = mark(host),
            None => marks.push(mark(host)),
        }
        (&mut channels[place], true)
    }

    fn add(&mut self, channel: Channel<D>) -> &mut Channel<D> {
        self.marks.push(mark(channel.host));
        self.channels.entry((channel.host, channel.destination)).or_insert(channel)
    }

    fn remove(&mut self, place: usize) -> Option<Channel<D>> {
        self.marks.swap_remove(place);
        self.channels.swap_remove_index(place).map(|(_, channel)| channel)
    }

    /// From now on what `from` told was told by `to`, unless that has told the same end something itself.
    /// Answers to whom.
    pub(super) fn unite(&mut self, from: HostKey, to: HostKey) -> Vec<Destination> {
        let is_its = |&owner: &Destination| !self.channels.contains_key(&(to, owner));
        let moved: Vec<Destination> =
            self.of(from).map(|channel| channel.destination).filter(is_its).collect();
        for &destination in &moved {
            let place = self.channels.get_index_of(&(from, destination));
            if let Some(mut channel) = place.and_then(|place| self.remove(place)) {
                channel.host = to;
                self.add(channel);
            }
        }
        moved
    }

    /// Ends the day.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Channel<D>> + use<D> {
        self.marks.clear();
        std::mem::take(&mut self.channels).into_values()
    }
}

/// A few bits of a host, that many another one has too.
fn mark(host: HostKey) -> u32 {
    FixedState::default().hash_one(host) as u32
}

/// Ends listed for a channel.
const PEERS_KEPT: usize = 16;

/// Bytes told from which flows are kept as evidence: few channels ever get there.
const FLOWS_KEPT_FROM: u64 = 256;

/// Flows kept as evidence for a channel.
const FLOWS_KEPT: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Pings = Channels<u8>;

    fn host(number: u8) -> (HostKey, Addr) {
        let addr = Addr::from_v4([10, 0, 0, number]);
        (HostKey::Address(addr), addr)
    }

    fn read_again(channels: &Pings) -> Pings {
        let kept = rmp_serde::to_vec_named(channels).unwrap();
        rmp_serde::from_slice(&kept).unwrap()
    }

    proptest! {
        /// The channels of a host are those that it has, whatever began, made room, changed hands or was kept between.
        #[test]
        fn channels_of_a_host_are_found(
            steps in prop::collection::vec((0u8..4, 0u8..5, 0u32..5), 1..60),
        ) {
            let mut channels = Pings::new(6);
            for (step, number, owner) in steps {
                match step {
                    0 => drop(channels.unite(host(number).0, host(owner as u8).0)),
                    1 => channels = read_again(&channels),
                    _ => drop(channels.open(
                        host(number),
                        Destination::of_system(owner),
                        Timestamp::EPOCH,
                    )),
                }
                for number in 0..6 {
                    let host = host(number).0;
                    let found = channels.of(host).map(|channel| channel.destination);
                    let keys = channels.channels.keys().filter(|(of, _)| *of == host);
                    prop_assert!(found.eq(keys.map(|&(_, owner)| owner)));
                }
                prop_assert_eq!(channels.marks.len(), channels.len());
            }
        }
    }
}
