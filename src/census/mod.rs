//! Who is inside, and whom they talk to: flow records in, a record for every host and every destination.
//!
//! Addresses of one machine are one host, where it is sure whose they were when a flow ended, or where an
//! address never was anybody else's ([`Register`]).
//!
//! # Bounds
//!
//! Hosts, destinations and pairs of the two have a maximum each. When one is reached, of the next few the one
//! with the fewest bytes makes room; what it had counted is kept in a sum of all that were forgotten, so
//! that the records always add up to the flows. Forgotten ones that come again are counted as new. What proxies were
//! asked for has a maximum too; beyond it, what they sent there is their own.

mod bounded;
mod destination;
mod host;
mod traffic;

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use indexmap::IndexMap;

pub use destination::{DestinationRecord, HostShare};
pub use host::{DestinationShare, HintSource, HostRecord, NameHint, RoleSource};
pub use traffic::Traffic;

use self::bounded::Bounded;
use self::destination::{Destination, Owner};
use self::host::{Host, View};
use crate::egress::{Errand, FlowRecord, Relays, Scope};
use crate::machines::{Claim, Identity, Mac, Register};
use crate::names::Registry;
use crate::net::{Addr, Subnets};
use crate::rules::RuleSet;

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Hosts at most.
    pub hosts_max: usize,
    /// Destinations at most.
    pub destinations_max: usize,
    /// Pairs of host and destination at most.
    pub pairs_max: usize,
    /// What makes a host.
    pub identity: Identity,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hosts_max: 1 << 17,
            destinations_max: 1 << 17,
            pairs_max: 1 << 20,
            identity: Identity::Machine,
        }
    }
}

/// How often something was forgotten for want of room.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// Hosts.
    pub hosts: u64,
    /// Destinations.
    pub destinations: u64,
    /// Pairs of the two: where there are any, counts of destinations and hosts may be too high.
    pub pairs: u64,
    /// Machines, and addresses of them: those stand alone.
    pub machines: u64,
}

/// By what records are put in order; ties go by bytes out, then by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Most bytes out first.
    BytesOut,
    /// Most bytes in first.
    BytesIn,
    /// Most flows first.
    Flows,
    /// Most destinations of a host, or hosts of a destination, first.
    Peers,
    /// Largest producer–consumer ratio first.
    Pcr,
    /// Earliest first.
    First,
    /// Latest first.
    Last,
    /// By address or name.
    Name,
}

/// What flows tell of hosts and destinations.
#[derive(Debug, Clone)]
pub struct Census {
    rules: Arc<RuleSet>,
    registry: Registry,
    identity: Identity,
    register: Register,
    hosts: Bounded<Spell, Host>,
    destinations: Bounded<Owner, Destination>,
    pairs: Bounded<(u64, u64), Pair>,
    /// Bytes that proxies were asked to send to others.
    proxied: Bounded<(Spell, Owner), u64>,
    next_id: u64,
    hosts_forgotten: Option<Host>,
    destinations_forgotten: Option<Destination>,
}

/// An address, as long as one machine had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Spell {
    addr: Addr,
    mac: Option<Mac>,
}

/// Who a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    Machine(Mac),
    Addr(Addr),
}

/// What a host and a destination exchanged.
#[derive(Debug, Default, Clone, Copy)]
struct Pair {
    bytes_out: u64,
    bytes_in: u64,
}

impl Census {
    /// Nobody seen yet.
    pub fn new(
        options: Options,
        rules: Arc<RuleSet>,
        registry: Registry,
        internal: Subnets,
    ) -> Self {
        Self {
            rules,
            registry,
            identity: options.identity,
            register: Register::new(internal, options.hosts_max.min(Register::MACHINES_MAX)),
            hosts: Bounded::new(options.hosts_max),
            destinations: Bounded::new(options.destinations_max),
            pairs: Bounded::new(options.pairs_max),
            proxied: Bounded::new(Relays::MAX),
            next_id: 0,
            hosts_forgotten: None,
            destinations_forgotten: None,
        }
    }

    /// Takes what is claimed of machines, in the order in which it was reported among the deltas.
    pub fn hear(&mut self, claim: &Claim) {
        self.register.hear(claim);
    }

    /// Adds a flow.
    pub fn count(&mut self, record: &FlowRecord) {
        for view in View::all_of(record) {
            self.next_id += 1;
            let new = || Host::new(self.next_id, record.start);
            let mac = match self.identity {
                Identity::Address => None,
                Identity::Machine => self.register.bearer(view.addr, record.last),
            };
            let spell = Spell { addr: view.addr, mac };
            let (host, gone) = self.hosts.entry(spell, new, Host::weight);
            host.count(&view);
            let id = host.id;
            if let Some(gone) = gone {
                let first = gone.border.first;
                self.hosts_forgotten.get_or_insert_with(|| Host::new(0, first)).add(&gone);
            }
            if view.errand() == Some(Errand::Proxied) && record.owner.is_some() {
                let asked = (spell, Owner::of(record, &self.registry));
                *self.proxied.entry(asked, || 0, |&bytes| bytes).0 += view.bytes_in;
            }
            if record.scope == Scope::Border {
                self.count_destination(record, spell, id);
            }
        }
    }

    fn count_destination(&mut self, record: &FlowRecord, spell: Spell, host_id: u64) {
        self.next_id += 1;
        let new = || Destination::new(self.next_id, record.start);
        let owner = Owner::of(record, &self.registry);
        let listed = &self.rules.destinations;
        let category = match &owner {
            Owner::Domain(_) => record.name.as_ref(),
            Owner::System(_) | Owner::Addr(_) => None,
        }
        .and_then(|name| listed.category_of_domain(name.as_str()))
        .or_else(|| listed.category_of(record.peer));
        let (destination, gone) = self.destinations.entry(owner, new, Destination::weight);
        destination.count(record, category);
        let mut is_new = false;
        let new = || {
            is_new = true;
            Pair::default()
        };
        let (pair, _) = self.pairs.entry((host_id, destination.id), new, Pair::bytes);
        pair.bytes_out += record.bytes_out();
        pair.bytes_in += record.bytes_in();
        if is_new {
            destination.hosts += 1;
            self.hosts.get_mut(&spell).into_iter().for_each(|host| host.destinations += 1);
        }
        if let Some(gone) = gone {
            let first = gone.sums.first;
            let forgotten = &mut self.destinations_forgotten;
            forgotten.get_or_insert_with(|| Destination::new(0, first)).add(&gone);
        }
    }

    /// A record for every host, and last the one that sums those who were forgotten.
    pub fn hosts(&self, order: Order) -> Vec<HostRecord> {
        let owners: HashMap<u64, &Owner> =
            self.destinations.iter().map(|(owner, destination)| (destination.id, owner)).collect();
        let groups = self.groups();
        let (shares, again) = self.shares(&groups);
        let relayed = self.relayed(&groups, &shares);
        let mut top: Vec<Vec<DestinationShare>> = vec![Vec::new(); groups.len()];
        for (&(group, destination), &Pair { bytes_out, bytes_in }) in &shares {
            // One that was forgotten has no name any more.
            let Some(owner) = owners.get(&destination) else { continue };
            let destination = owner.to_string();
            top[group].push(DestinationShare { destination, bytes_out, bytes_in });
        }
        let mut hosts: Vec<HostRecord> = groups
            .iter()
            .zip(top)
            .enumerate()
            .map(|(number, ((who, members), mut top))| {
                top.sort_by(|a, b| {
                    (b.bytes_out, b.bytes_in)
                        .cmp(&(a.bytes_out, a.bytes_in))
                        .then_with(|| a.destination.cmp(&b.destination))
                });
                top.truncate(TOP);
                let mut record = self.host(*who, members, top);
                record.destinations -= again.hosts.get(&number).copied().unwrap_or(0);
                // Who is a proxy too may have sent the same bytes as one.
                let relayed = record.bytes_relayed + relayed.get(&number).copied().unwrap_or(0);
                record.bytes_relayed = relayed.min(record.traffic.bytes_out);
                record
            })
            .collect();
        hosts.sort_by(|a, b| {
            order
                .compare((&a.traffic, a.destinations), (&b.traffic, b.destinations))
                .then(a.host.cmp(&b.host))
                .then(a.mac.cmp(&b.mac))
        });
        hosts.extend(self.hosts_forgotten.iter().map(Host::nobodys_record));
        hosts
    }

    /// A record for every destination, and last the one that sums those that were forgotten.
    pub fn destinations(&self, order: Order) -> Vec<DestinationRecord> {
        let groups = self.groups();
        let (shares, again) = self.shares(&groups);
        let mut top: HashMap<u64, Vec<HostShare>> = HashMap::new();
        for (&(group, destination), &Pair { bytes_out, bytes_in }) in &shares {
            let host = groups[group][0].0.addr;
            top.entry(destination).or_default().push(HostShare { host, bytes_out, bytes_in });
        }
        let mut destinations: Vec<(&Owner, DestinationRecord)> = self
            .destinations
            .iter()
            .map(|(owner, destination)| {
                let id = destination.id;
                let mut top = top.remove(&id).unwrap_or_default();
                top.sort_by_key(|share| (Reverse((share.bytes_out, share.bytes_in)), share.host));
                top.truncate(TOP);
                let mut record = destination.record(Some(owner), &self.registry, top);
                record.hosts -= again.destinations.get(&id).copied().unwrap_or(0);
                (owner, record)
            })
            .collect();
        destinations.sort_by(|(a_owner, a), (b_owner, b)| {
            order
                .compare((&a.traffic, a.hosts), (&b.traffic, b.hosts))
                .then_with(|| a_owner.cmp(b_owner))
        });
        let forgotten = self.destinations_forgotten.iter();
        let forgotten = forgotten.map(|all| all.record(None, &self.registry, Vec::new()));
        destinations.into_iter().map(|(_, destination)| destination).chain(forgotten).collect()
    }

    /// Which spells are one host; of each, the one with most bytes first.
    fn groups(&self) -> IndexMap<Who, Vec<(Spell, &Host)>> {
        let mut groups: IndexMap<Who, Vec<(Spell, &Host)>> = IndexMap::new();
        for (&spell, host) in self.hosts.iter() {
            let sure = spell.mac.filter(|&mac| !self.register.is_router(mac));
            let mac = match self.identity {
                Identity::Address => None,
                Identity::Machine => sure.or_else(|| self.register.only_bearer(spell.addr)),
            };
            let who = mac.map_or(Who::Addr(spell.addr), Who::Machine);
            groups.entry(who).or_default().push((spell, host));
        }
        for members in groups.values_mut() {
            members.sort_by_key(|&(spell, host)| (Reverse(host.weight()), spell));
        }
        groups
    }

    /// What each group exchanged with each destination, and how many pairs of addresses that joins.
    fn shares(
        &self,
        groups: &IndexMap<Who, Vec<(Spell, &Host)>>,
    ) -> (HashMap<(usize, u64), Pair>, Again) {
        let members = groups.values().enumerate();
        let group_of: HashMap<u64, usize> = members
            .flat_map(|(number, members)| members.iter().map(move |(_, host)| (host.id, number)))
            .collect();
        let (mut shares, mut again) = (HashMap::new(), Again::default());
        for (&(host, destination), pair) in self.pairs.iter() {
            let Some(&group) = group_of.get(&host) else { continue };
            match shares.entry((group, destination)) {
                Entry::Vacant(entry) => {
                    entry.insert(*pair);
                }
                Entry::Occupied(mut entry) => {
                    let sum: &mut Pair = entry.get_mut();
                    sum.bytes_out += pair.bytes_out;
                    sum.bytes_in += pair.bytes_in;
                    *again.hosts.entry(group).or_default() += 1;
                    *again.destinations.entry(destination).or_default() += 1;
                }
            }
        }
        (shares, again)
    }

    /// What each group sent that it was asked for as a proxy: to each destination at most as much as that.
    fn relayed(
        &self,
        groups: &IndexMap<Who, Vec<(Spell, &Host)>>,
        shares: &HashMap<(usize, u64), Pair>,
    ) -> HashMap<usize, u64> {
        let members = groups.values().enumerate();
        let group_of: HashMap<Spell, usize> = members
            .flat_map(|(number, members)| members.iter().map(move |(spell, _)| (*spell, number)))
            .collect();
        let mut asked: HashMap<(usize, u64), u64> = HashMap::new();
        for ((spell, owner), bytes) in self.proxied.iter() {
            let destination = self.destinations.get(owner).map(|destination| destination.id);
            if let (Some(&group), Some(destination)) = (group_of.get(spell), destination) {
                *asked.entry((group, destination)).or_default() += bytes;
            }
        }
        let mut relayed = HashMap::new();
        for (place, bytes) in asked {
            let sent = shares.get(&place).map_or(0, |pair| pair.bytes_out);
            *relayed.entry(place.0).or_default() += bytes.min(sent);
        }
        relayed
    }

    fn host(&self, who: Who, members: &[(Spell, &Host)], top: Vec<DestinationShare>) -> HostRecord {
        let mut sum = members[0].1.clone();
        members[1..].iter().for_each(|(_, host)| sum.add(host));
        let mut addresses: Vec<Addr> = Vec::new();
        for (spell, _) in members {
            if !addresses.contains(&spell.addr) {
                addresses.push(spell.addr);
            }
        }
        let mac = match who {
            Who::Machine(mac) => Some(mac),
            Who::Addr(_) => None,
        };
        let of_machine = mac.iter().flat_map(|&mac| self.register.names_of(mac));
        let of_addresses = addresses.iter().flat_map(|&addr| self.register.names_at(addr));
        let mut names: Vec<NameHint> = Vec::new();
        for (name, source) in of_machine.chain(of_addresses) {
            if names.iter().all(|hint| hint.name != *name) {
                let source = HintSource::Claim(*source);
                names.push(NameHint { name: name.clone(), source });
            }
        }
        let role = addresses.iter().find_map(|&addr| self.rules.networks.role_of(addr));
        sum.record(addresses, mac, names, role, top)
    }

    /// How often something was forgotten.
    pub fn forgotten(&self) -> Forgotten {
        Forgotten {
            hosts: self.hosts.evicted(),
            destinations: self.destinations.evicted(),
            pairs: self.pairs.evicted(),
            machines: self.register.forgotten(),
        }
    }
}

/// Pairs that are of the same host as one before, by host and by destination.
#[derive(Debug, Default)]
struct Again {
    hosts: HashMap<usize, u64>,
    destinations: HashMap<u64, u64>,
}

impl Pair {
    fn bytes(&self) -> u64 {
        self.bytes_out + self.bytes_in
    }
}

impl Order {
    /// Compares what two records have besides their names: traffic, and how many they talk to.
    fn compare(self, (a, a_peers): (&Traffic, u64), (b, b_peers): (&Traffic, u64)) -> Ordering {
        let first = match self {
            Self::BytesOut => Ordering::Equal,
            Self::BytesIn => b.bytes_in.cmp(&a.bytes_in),
            Self::Flows => b.flows.cmp(&a.flows),
            Self::Peers => b_peers.cmp(&a_peers),
            Self::Pcr => pcr_or_least(b).total_cmp(&pcr_or_least(a)),
            Self::First => a.first.cmp(&b.first),
            Self::Last => b.last.cmp(&a.last),
            Self::Name => return Ordering::Equal,
        };
        first.then(b.bytes_out.cmp(&a.bytes_out))
    }
}

/// Whoever exchanged nothing comes behind those who only received.
fn pcr_or_least(traffic: &Traffic) -> f64 {
    traffic.pcr.unwrap_or(f64::NEG_INFINITY)
}

/// Shares told of a host or a destination.
const TOP: usize = 5;

#[cfg(test)]
mod tests;
