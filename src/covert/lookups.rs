//! What inside hosts ask DNS for.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::channel::{Channel, ChannelDay, Channels, Touch};
use super::distinct::{Distinct, mix};
use crate::arena::Hand;
use crate::egress::{Destination, HostKey};
use crate::names::{Query, Told};
use crate::net::{Addr, Subnets};
use crate::time::Timestamp;

/// Today's queries, by the host that asks and the domain whose owner hears of it.
///
/// A resolver inside asks on behalf of others. Where these are seen to ask it, its own queries for the same
/// names are theirs and count no second time; as much again is forgiven it, because resolvers may also ask for
/// the names above (RFC 9156). Where they are not seen, the resolver is the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lookups {
    channels: Channels<Names>,
    hosts: IndexMap<HostKey, Asking, foldhash::fast::RandomState>,
    domains: IndexMap<Destination, Shared, foldhash::fast::RandomState>,
    hand: Hand,
    /// What servers inside were asked lately: digests of server and name, each in its own place.
    asked: Vec<u64>,
    /// Known from the first query on, and to nobody who sends.
    key: u64,
}

/// What only a channel of names has.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Names {
    /// Record types asked for.
    pub kinds: Kinds,
    /// Bits of names that were asked on behalf of others.
    relayed_bits: u64,
}

/// A set of record types.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds(u16);

/// What a host asks for altogether.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Asking {
    /// Domains.
    domains: u64,
}

/// A domain, as all hosts ask for it today.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Shared {
    /// The first few hosts.
    hosts: SmallVec<[Teller; 2]>,
    /// How many hosts there are.
    count: u32,
    first_at: Timestamp,
    last_at: Timestamp,
    /// All that differs of what all have told it, in bits.
    told: Distinct,
    /// Whose channel stands for all of them: once there are several, the one that had told most.
    speaker: Option<HostKey>,
    /// Bytes told before all of it together fell under suspicion.
    clipped: Option<u64>,
    next_look: u64,
    /// Once somebody was told of it.
    told_of: Option<ToldOf>,
}

/// What of a domain was told to people first, and is all day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToldOf {
    /// What one host tells it.
    One,
    /// What all hosts tell it together.
    All,
}

/// Who tells a domain something, and how many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teller {
    /// The host.
    pub host: HostKey,
    /// The address that asks.
    pub addr: Addr,
    /// Bytes told.
    pub bytes: u64,
}

/// A finished day of a host.
#[derive(Debug, Clone)]
pub struct LookupDay {
    /// Who.
    pub host: HostKey,
    /// What it told whom; those who were told less than [`Lookups::LEARNED`] left out.
    pub channels: Vec<ChannelDay>,
}

/// A finished day.
#[derive(Debug, Clone)]
pub struct Closed {
    /// Of each host, in the order in which they began to ask.
    pub hosts: Vec<LookupDay>,
    /// What several hosts told a domain together.
    pub together: Vec<ChannelDay>,
}

/// A query, as it counts.
struct Counted {
    host: HostKey,
    addr: Addr,
    server: Addr,
    /// Is the server outside, so that the name leaves here?
    leaves: bool,
    told: Told,
}

impl Channel<Names> {
    /// Bytes told beyond what was told on behalf of others.
    pub fn own(&self) -> u64 {
        self.told().saturating_sub(self.detail.relayed_bits / 8)
    }
}

impl Lookups {
    /// Channels held at most.
    pub const CHANNELS_MAX: usize = 1 << 14;
    /// Domains held at most.
    pub const DOMAINS_MAX: usize = 1 << 14;
    /// Hosts held at most; of more it is not known how many domains they ask for.
    pub const HOSTS_MAX: usize = 1 << 14;
    /// Bytes told in a day below which nothing is judged.
    pub const FLOOR: u64 = 1024;
    /// Bytes told in a day below which a channel teaches nothing of its own.
    pub const LEARNED: u64 = 256;
    /// Memory that all of it takes at most, in bytes.
    pub const BYTES_MAX: usize = Self::CHANNELS_MAX * Channels::<Names>::CHANNEL_BYTES
        + Self::DOMAINS_MAX
            * (size_of::<Shared>() + HOSTS_SHOWN * size_of::<Teller>() + Distinct::HEAP_BYTES + 40)
            * 3
            / 2
        + Self::HOSTS_MAX * (size_of::<Asking>() + 40) * 3 / 2
        + ASKED * size_of::<u64>();

    /// Takes a query of this host, for whose domain this is the owner. What neither leaves nor is asked of one who could
    /// pass it on is not counted.
    pub fn take(
        &mut self,
        query: &Query,
        host: HostKey,
        owner: Option<Destination>,
        internal: &Subnets,
    ) -> SmallVec<[Touch; 4]> {
        let (client, server) = (query.flow.end(query.client), query.flow.end(query.client.other()));
        let leaves = !internal.contains(server.addr);
        let is_of_link = !leaves && LINK_PORTS.contains(&server.port);
        let is_about_inside = query.about.is_some_and(|addr| internal.contains(addr));
        if !internal.contains(client.addr) || is_of_link || is_about_inside {
            return SmallVec::new();
        }
        if self.key == 0 {
            self.key = mix(query.at.as_nanos()) | 1;
        }
        let (addr, server) = (client.addr, server.addr);
        let counted = |told| Counted { host, addr, server, leaves, told };
        let below = owner.map(|owner| self.count(query, owner, &counted(query.below)));
        // Under no suffix that is listed the name need not even be somebody's: whoever is asked hears all.
        let is_for_server = leaves && !query.is_listed;
        let direct = is_for_server
            .then(|| self.count(query, Destination::of_address(server), &counted(query.own)));
        below.into_iter().chain(direct).flatten().collect()
    }

    /// Counts it for the host's channel, and for all that tell the domain something.
    fn count(
        &mut self,
        query: &Query,
        owner: Destination,
        counted: &Counted,
    ) -> SmallVec<[Touch; 2]> {
        let &Counted { host, addr, server, leaves, told } = counted;
        let is_relayed = self.is_asked(addr, told);
        if !leaves {
            self.note_asked(server, told);
        }
        let (channel, is_new) = self.channels.open((host, addr), owner, query.at);
        channel.meet(server);
        if query.is_response {
            channel.back.add(query.bytes);
        } else {
            channel.out.add(query.bytes);
            channel.keep_flow(query.flow, query.client, query.bytes);
        }
        channel.detail.kinds.add(query.kind);
        if is_relayed {
            channel.detail.relayed_bits += u64::from(told.bits);
        } else {
            channel.tell(told.digest, told.bits, self.key);
        }
        let is_due = channel.is_due(Self::FLOOR) && !is_relayed;
        let bytes = channel.own();
        if is_new && (self.hosts.len() < Self::HOSTS_MAX || self.hosts.contains_key(&host)) {
            self.hosts.entry(host).or_default().domains += 1;
        }
        let speaker =
            self.share(owner, Teller { host, addr, bytes }, (is_new, is_relayed), (query.at, told));
        if is_relayed {
            self.pass_on(owner, server);
        }
        let own = Touch { host, destination: owner, is_due: is_due || speaker == Some(host) };
        let speaker = speaker.filter(|&speaker| speaker != host);
        let together = speaker.map(|host| Touch { host, destination: owner, is_due: true });
        [own].into_iter().chain(together).collect()
    }

    /// Those who asked for what was passed on hear to whom it went.
    fn pass_on(&mut self, owner: Destination, server: Addr) {
        let Some(shared) = self.domains.get(&owner) else { return };
        for &Teller { host, .. } in &shared.hosts {
            if let Some(channel) = self.channels.get_mut(host, owner) {
                channel.meet(server);
            }
        }
    }

    /// Keeps account of who asks for a domain. When it is time to judge all of them together again, answers by
    /// whose channel.
    fn share(
        &mut self,
        owner: Destination,
        teller: Teller,
        (is_new, is_relayed): (bool, bool),
        (at, told): (Timestamp, Told),
    ) -> Option<HostKey> {
        let shared = match self.domains.get_index_of(&owner) {
            Some(known) => &mut self.domains[known],
            None => {
                // As of channels: a flood of domains hides none that is told more.
                let worth = |shared: &Shared| (shared.told(), shared.last_at);
                let new = (owner, Shared { first_at: at, ..Shared::default() });
                let (place, _) = self.hand.put(&mut self.domains, Self::DOMAINS_MAX, new, worth);
                &mut self.domains[place]
            }
        };
        shared.last_at = at;
        if is_relayed {
            return None;
        }
        shared.told.add(told.digest, told.bits, self.key);
        shared.count += u32::from(is_new);
        if let Some(known) = shared.hosts.iter_mut().find(|known| known.host == teller.host) {
            *known = teller;
        } else if shared.hosts.len() < HOSTS_SHOWN {
            shared.hosts.push(teller);
        }
        shared.is_due().then_some(shared.speaker).flatten()
    }

    /// What was asked for under an address was asked by the machine that turns out to have it, but for domains
    /// that it has asked for itself. Answers which.
    pub fn unite(&mut self, from: HostKey, to: HostKey) -> Vec<Destination> {
        let Some(Asking { domains }) = self.hosts.swap_remove(&from) else { return Vec::new() };
        self.hosts.entry(to).or_default().domains += domains;
        let moved = self.channels.unite(from, to);
        for owner in &moved {
            let shared = self.domains.get_mut(owner);
            let Some(shared) = shared else { continue };
            let known = shared.hosts.iter_mut().map(|known| &mut known.host);
            known
                .chain(&mut shared.speaker)
                .filter(|host| **host == from)
                .for_each(|host| *host = to);
        }
        moved
    }

    /// Today's channels.
    pub fn channels(&self) -> &Channels<Names> {
        &self.channels
    }

    /// Puts a channel under suspicion.
    pub fn mark(&mut self, host: HostKey, owner: Destination) {
        self.channels.mark(host, owner);
    }

    /// Puts all that hosts have told a domain together under suspicion.
    pub fn mark_together(&mut self, owner: Destination) {
        let Some(shared) = self.domains.get_mut(&owner) else { return };
        let told = shared.told();
        shared.clipped.get_or_insert(told);
        for teller in &shared.hosts {
            self.channels.mark(teller.host, owner);
        }
    }

    /// Takes note that people are told of a domain.
    pub fn tell(&mut self, owner: Destination, of: ToldOf) {
        if let Some(shared) = self.domains.get_mut(&owner) {
            shared.told_of.get_or_insert(of);
        }
    }

    /// A domain as all ask for it; nothing of one that is not remembered.
    pub fn shared(&self, owner: Destination) -> Option<&Shared> {
        self.domains.get(&owner)
    }

    /// Domains that a host has asked for today, those again that were forgotten meanwhile.
    pub fn domains(&self, host: HostKey) -> u64 {
        self.hosts.get(&host).map_or(0, |asking| asking.domains)
    }

    /// Ends the day: what each host has told, in the order in which the hosts began to ask.
    pub fn close_day(&mut self) -> Closed {
        let hosts = std::mem::take(&mut self.hosts);
        let mut days: IndexMap<HostKey, LookupDay, foldhash::fast::RandomState> = hosts
            .into_keys()
            .map(|host| (host, LookupDay { host, channels: Vec::new() }))
            .collect();
        for channel in self.channels.take() {
            if let Some(day) = days.get_mut(&channel.host)
                && channel.own() >= Self::LEARNED
            {
                day.channels.push(channel.finished());
            }
        }
        let together = std::mem::take(&mut self.domains).into_iter();
        let together = together.filter(|(_, shared)| shared.count > 1).map(|(owner, shared)| {
            let clipped = shared.clipped.unwrap_or_else(|| shared.told());
            ChannelDay { destination: owner, first_at: shared.first_at, clipped }
        });
        Closed {
            hosts: days.into_values().collect(),
            together: together.filter(|day| day.clipped >= Self::LEARNED).collect(),
        }
    }

    fn is_asked(&self, server: Addr, told: Told) -> bool {
        let tag = self.tag(server, told);
        self.asked.get(tag as usize % ASKED) == Some(&tag)
    }

    fn note_asked(&mut self, server: Addr, told: Told) {
        if self.asked.is_empty() {
            self.asked = vec![0; ASKED];
        }
        let tag = self.tag(server, told);
        self.asked[tag as usize % ASKED] = tag;
    }

    fn tag(&self, server: Addr, told: Told) -> u64 {
        let [high, low] = server.halves();
        mix(mix(mix(high ^ self.key) ^ low) ^ told.digest)
    }
}

impl Default for Lookups {
    fn default() -> Self {
        Self {
            channels: Channels::new(Self::CHANNELS_MAX),
            hosts: IndexMap::default(),
            domains: IndexMap::default(),
            hand: Hand::default(),
            asked: Vec::new(),
            key: 0,
        }
    }
}

impl Shared {
    /// What other hosts have told the domain today, of the first few in bytes.
    pub fn others(&self, host: HostKey) -> impl Iterator<Item = u64> {
        self.hosts.iter().filter(move |known| known.host != host).map(|known| known.bytes)
    }

    /// Bytes that all have told it, what several told alike once.
    pub fn told(&self) -> u64 {
        self.told.sum() / 8
    }

    /// How many different names it was told.
    pub fn different(&self) -> u64 {
        self.told.count()
    }

    /// The first few hosts that tell it something.
    pub fn tellers(&self) -> &[Teller] {
        &self.hosts
    }

    /// Does this host's channel stand for all of them?
    pub fn is_spoken_for_by(&self, host: HostKey) -> bool {
        self.speaker == Some(host)
    }

    /// What of it was told to people.
    pub fn told_of(&self) -> Option<ToldOf> {
        self.told_of
    }

    /// The first of it today.
    pub fn first_at(&self) -> Timestamp {
        self.first_at
    }

    /// Is it time to judge all of them together again: several hosts, and a tenth more than at the last look?
    fn is_due(&mut self) -> bool {
        let told = self.told();
        if self.count < 2 || told < Lookups::FLOOR || told < self.next_look {
            return false;
        }
        self.next_look = told + (told / 10).max(1);
        let most = || self.hosts.iter().rev().max_by_key(|teller| teller.bytes);
        self.speaker = self.speaker.or_else(|| most().map(|teller| teller.host));
        true
    }

    /// Hosts that ask for it today.
    pub fn hosts(&self) -> u32 {
        self.count
    }
}

impl Kinds {
    fn add(&mut self, kind: u16) {
        let at = KINDS.iter().position(|(known, _)| *known == kind).unwrap_or(KINDS.len());
        self.0 |= 1 << at;
    }

    /// Their names; `other` for those that have none here.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = KINDS.iter().map(|&(_, name)| name).chain(["other"]);
        all.enumerate().filter(move |(at, _)| self.0 >> at & 1 == 1).map(|(_, name)| name)
    }
}

/// Record types that have a name here.
const KINDS: [(u16, &str); 13] = [
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (10, "NULL"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (33, "SRV"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (255, "ANY"),
];

/// Ports of what looks like DNS and stays on a link: NetBIOS names, multicast DNS, LLMNR. Only inside: an
/// outside server may have any port.
const LINK_PORTS: [u16; 3] = [137, 5353, 5355];

/// Hosts that a domain lists.
const HOSTS_SHOWN: usize = 8;

/// Names remembered that servers inside were asked for.
const ASKED: usize = 1 << 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::FlowKey;
    use crate::names::Name;
    use crate::net::{Endpoint, Protocol};

    const HOST: [u8; 4] = [10, 0, 0, 1];
    const SERVER: [u8; 4] = [198, 51, 100, 53];

    fn query(number: u64, bits: u32) -> Query {
        let end = |addr, port| Endpoint { addr: Addr::from_v4(addr), port };
        let (flow, client) = FlowKey::of(end(HOST, 40_000), end(SERVER, 53), Protocol::UDP);
        Query {
            at: Timestamp::from_secs_nanos(number, 0),
            flow,
            client,
            is_response: false,
            bytes: 100,
            kind: 16,
            domain: Name::of(b"far.example.com"),
            is_listed: true,
            below: Told { digest: mix(number), bits },
            own: Told::default(),
            about: None,
        }
    }

    fn owner(number: u32) -> Destination {
        Destination::of_address(Addr::from_v4(number.to_be_bytes()))
    }

    fn host() -> HostKey {
        HostKey::Address(Addr::from_v4(HOST))
    }

    /// A flood of names under a million domains, and one tunnel in its midst: the flood takes no more room than
    /// there is, and the tunnel stays.
    #[test]
    fn a_flood_of_domains_is_bounded_and_hides_nothing() {
        let mut lookups = Lookups::default();
        let (internal, tunnel) = (Subnets::private(), owner(u32::MAX));
        for number in 0..1_000_000u64 {
            lookups.take(&query(number, 20), host(), Some(owner(number as u32)), &internal);
            if number % 1000 == 0 {
                lookups.take(&query(number, 500), host(), Some(tunnel), &internal);
            }
        }
        assert_eq!(lookups.channels.len(), Lookups::CHANNELS_MAX);
        assert!(lookups.domains.len() <= Lookups::DOMAINS_MAX);
        assert!(lookups.channels.evicted() > 900_000);
        let told = lookups.channels.get(host(), tunnel).map_or(0, Channel::told);
        assert!(told.abs_diff(1000 * 500 / 8) < 10_000, "{told}");
        assert_eq!(lookups.domains(host()), 1_000_001);
    }

    proptest! {
        /// In any order, and however often each is asked, few names tell what they tell together.
        #[test]
        fn few_names_are_summed_exactly(
            names in prop::collection::vec((0u64..30, 0u32..500), 0..100),
        ) {
            let told = |names: &[(u64, u32)]| {
                let mut lookups = Lookups::default();
                for &(number, _) in names {
                    let query = query(number, number as u32 * 8);
                    lookups.take(&query, host(), Some(owner(1)), &Subnets::private());
                }
                lookups.channels.get(host(), owner(1)).map_or(0, Channel::told)
            };
            let mut unique: Vec<u64> = names.iter().map(|&(number, _)| number).collect();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(told(&names), unique.iter().sum::<u64>());
            let backwards: Vec<_> = names.iter().rev().copied().collect();
            prop_assert_eq!(told(&names), told(&backwards));
        }
    }
}
