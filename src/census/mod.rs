//! Who is inside, and whom they talk to: flow records in, a record for every host and every destination.
//!
//! # Bounds
//!
//! Hosts, destinations and pairs of the two have a maximum each. When one is reached, of the next few the one
//! with the fewest bytes makes room; what it had counted is kept in a sum of all that were forgotten, so
//! that the records always add up to the flows. Forgotten ones that come again are counted as new.

mod bounded;
mod destination;
mod host;
mod traffic;

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;

pub use destination::{DestinationRecord, HostShare};
pub use host::{DestinationShare, HostRecord, NameHint, RoleSource};
pub use traffic::Traffic;

use self::bounded::Bounded;
use self::destination::{Destination, Owner};
use self::host::{Host, View};
use crate::egress::{FlowRecord, Scope};
use crate::net::Addr;
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
}

impl Default for Options {
    fn default() -> Self {
        Self { hosts_max: 1 << 17, destinations_max: 1 << 17, pairs_max: 1 << 20 }
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
    hosts: Bounded<Addr, Host>,
    destinations: Bounded<Owner, Destination>,
    pairs: Bounded<(u64, u64), Pair>,
    next_id: u64,
    hosts_forgotten: Option<Host>,
    destinations_forgotten: Option<Destination>,
}

/// What a host and a destination exchanged.
#[derive(Debug, Default, Clone, Copy)]
struct Pair {
    bytes_out: u64,
    bytes_in: u64,
}

impl Census {
    /// Nobody seen yet.
    pub fn new(options: Options, rules: Arc<RuleSet>) -> Self {
        Self {
            rules,
            hosts: Bounded::new(options.hosts_max),
            destinations: Bounded::new(options.destinations_max),
            pairs: Bounded::new(options.pairs_max),
            next_id: 0,
            hosts_forgotten: None,
            destinations_forgotten: None,
        }
    }

    /// Adds a flow.
    pub fn count(&mut self, record: &FlowRecord) {
        for view in View::all_of(record) {
            self.next_id += 1;
            let new = || Host::new(self.next_id, record.start);
            let (host, gone) = self.hosts.entry(view.addr, new, Host::weight);
            host.count(&view);
            let id = host.id;
            if let Some(gone) = gone {
                let first = gone.border.first;
                self.hosts_forgotten.get_or_insert_with(|| Host::new(0, first)).add(&gone);
            }
            if record.scope == Scope::Border {
                self.count_destination(record, id);
            }
        }
    }

    fn count_destination(&mut self, record: &FlowRecord, host_id: u64) {
        self.next_id += 1;
        let new = || Destination::new(self.next_id, record.start);
        let owner = Owner::of(record);
        let listed = &self.rules.destinations;
        let category = match &owner {
            Owner::Domain(_) => record.name.as_ref(),
            Owner::Addr(_) => None,
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
            self.hosts.get_mut(&record.host).into_iter().for_each(|host| host.destinations += 1);
        }
        if let Some(gone) = gone {
            let first = gone.sums.first;
            let forgotten = &mut self.destinations_forgotten;
            forgotten.get_or_insert_with(|| Destination::new(0, first)).add(&gone);
        }
    }

    /// A record for every host, and last the one that sums those who were forgotten.
    pub fn hosts(&self, order: Order) -> Vec<HostRecord> {
        let names: HashMap<u64, &Owner> =
            self.destinations.iter().map(|(owner, destination)| (destination.id, owner)).collect();
        let mut shares: HashMap<u64, Vec<DestinationShare>> = HashMap::new();
        for (&(host, destination), &Pair { bytes_out, bytes_in }) in self.pairs.iter() {
            // One that was forgotten has no name any more.
            let Some(owner) = names.get(&destination) else { continue };
            let destination = owner.to_string();
            let share = DestinationShare { destination, bytes_out, bytes_in };
            shares.entry(host).or_default().push(share);
        }
        let mut hosts: Vec<(Addr, HostRecord)> = self
            .hosts
            .iter()
            .map(|(&addr, host)| {
                let mut top = shares.remove(&host.id).unwrap_or_default();
                top.sort_by(|a, b| {
                    (b.bytes_out, b.bytes_in)
                        .cmp(&(a.bytes_out, a.bytes_in))
                        .then_with(|| a.destination.cmp(&b.destination))
                });
                top.truncate(TOP);
                (addr, host.record(addr, self.rules.networks.role_of(addr), top))
            })
            .collect();
        hosts.sort_by(|(a_addr, a), (b_addr, b)| {
            order
                .compare((&a.traffic, a.destinations), (&b.traffic, b.destinations))
                .then(a_addr.cmp(b_addr))
        });
        let forgotten = self.hosts_forgotten.iter().map(Host::nobodys_record);
        hosts.into_iter().map(|(_, host)| host).chain(forgotten).collect()
    }

    /// A record for every destination, and last the one that sums those that were forgotten.
    pub fn destinations(&self, order: Order) -> Vec<DestinationRecord> {
        let addrs: HashMap<u64, Addr> =
            self.hosts.iter().map(|(&addr, host)| (host.id, addr)).collect();
        let mut shares: HashMap<u64, Vec<HostShare>> = HashMap::new();
        for (&(host, destination), &Pair { bytes_out, bytes_in }) in self.pairs.iter() {
            let Some(&host) = addrs.get(&host) else { continue };
            shares.entry(destination).or_default().push(HostShare { host, bytes_out, bytes_in });
        }
        let mut destinations: Vec<(&Owner, DestinationRecord)> = self
            .destinations
            .iter()
            .map(|(owner, destination)| {
                let mut top = shares.remove(&destination.id).unwrap_or_default();
                top.sort_by_key(|share| (Reverse((share.bytes_out, share.bytes_in)), share.host));
                top.truncate(TOP);
                (owner, destination.record(Some(owner), top))
            })
            .collect();
        destinations.sort_by(|(a_owner, a), (b_owner, b)| {
            order
                .compare((&a.traffic, a.hosts), (&b.traffic, b.hosts))
                .then_with(|| a_owner.cmp(b_owner))
        });
        let forgotten = self.destinations_forgotten.iter().map(|all| all.record(None, Vec::new()));
        destinations.into_iter().map(|(_, destination)| destination).chain(forgotten).collect()
    }

    /// How often something was forgotten.
    pub fn forgotten(&self) -> Forgotten {
        Forgotten {
            hosts: self.hosts.evicted(),
            destinations: self.destinations.evicted(),
            pairs: self.pairs.evicted(),
        }
    }
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
