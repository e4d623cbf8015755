//! Somebody outside, as flows show it: `sekisho.destination/1`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;
use smallvec::SmallVec;

use super::host::named_end;
use super::traffic::{Sums, Traffic};
use crate::egress::{FlowRecord, Party};
use crate::names::{Name, Registry, Service};
use crate::net::Addr;
use crate::rules::Category;
use crate::time::Timestamp;

/// The owner of outside ends, and what the inside exchanged with it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DestinationRecord {
    /// Always `sekisho.destination/1`.
    pub schema: &'static str,
    /// Registrable domain, else `AS` and the number of an autonomous system where a database has it, else
    /// address; null in the one object that sums all that were forgotten for want
    /// of room.
    pub destination: Option<String>,
    /// Names that it was called by; the first 8.
    pub names: Vec<Name>,
    /// Its addresses; the first 8.
    pub addresses: Vec<Addr>,
    /// Autonomous system of the first address that a database has, with `--mmdb`.
    pub asn: Option<u32>,
    /// Country of it, as two letters (ISO 3166-1).
    pub country: Option<String>,
    /// Has it more names or addresses than these?
    pub has_more: bool,
    /// Did a flow's hello disagree with its certificate, or with what the host was answered? Such a flow
    /// counts for the address, and not for the owner that it claims.
    pub name_mismatch: bool,
    /// What it is listed as in the rules folder.
    pub category: Option<Category>,
    /// Application protocols.
    pub services: Vec<Service>,
    /// Traffic with the inside.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// Inside hosts that exchanged packets with it.
    pub hosts: u64,
    /// Those that sent most to it; at most 5.
    pub top_hosts: Vec<HostShare>,
}

/// A host's part of what a destination exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HostShare {
    /// The host.
    pub host: Addr,
    /// Bytes from it.
    pub bytes_out: u64,
    /// Bytes to it.
    pub bytes_in: u64,
}

/// Whose an outside end is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Owner {
    Domain(Box<str>),
    System(u32),
    Addr(Addr),
}

impl Owner {
    /// By the name that the flow gives its peer, if nothing disagrees with it: whoever can put any name
    /// into a hello must not put his bytes among those of that name's owner.
    pub(super) fn of(record: &FlowRecord, registry: &Registry) -> Self {
        let nameless = |addr| registry.system(addr).map_or(Self::Addr(addr), Self::System);
        match record.owner.as_deref().filter(|_| !record.name_mismatch) {
            None => nameless(record.peer),
            Some(owner) => match owner.parse::<IpAddr>() {
                Ok(ip) => nameless(ip.into()),
                Err(_) => Self::Domain(owner.into()),
            },
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => f.write_str(domain),
            Self::System(number) => write!(f, "AS{number}"),
            Self::Addr(addr) => addr.fmt(f),
        }
    }
}

/// What is known of a destination by now.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    /// Another for each time that it is met anew.
    pub(super) id: u64,
    pub(super) sums: Sums,
    pub(super) hosts: u64,
    category: Option<Category>,
    names: SmallVec<[Name; 1]>,
    addresses: SmallVec<[Addr; 1]>,
    has_more: bool,
    is_mismatch: bool,
    services: BTreeSet<Service>,
}

impl Destination {
    pub(super) fn new(id: u64, first: Timestamp) -> Self {
        Self {
            id,
            sums: Sums::from(first),
            hosts: 0,
            category: None,
            names: SmallVec::new(),
            addresses: SmallVec::new(),
            has_more: false,
            is_mismatch: false,
            services: BTreeSet::new(),
        }
    }

    /// Adds a flow across the border.
    pub(super) fn count(&mut self, record: &FlowRecord, category: Option<Category>) {
        self.category = self.category.or(category);
        self.sums.seen(record.start, record.last);
        self.sums.count(record.bytes_out(), record.bytes_in());
        self.is_mismatch |= record.name_mismatch;
        self.services.extend(record.service.filter(|&service| service != Service::Unknown));
        let name = record.name.as_ref().filter(|_| named_end(record) == Party::Peer);
        self.has_more |= name.is_some_and(|name| !keep(&mut self.names, name));
        self.has_more |= !keep(&mut self.addresses, &record.peer);
    }

    /// Adds one that was forgotten to those that were.
    pub(super) fn add(&mut self, other: &Self) {
        self.sums.add(&other.sums);
        self.hosts += other.hosts;
        self.is_mismatch |= other.is_mismatch;
        self.services.extend(&other.services);
    }

    pub(super) fn weight(&self) -> u64 {
        self.sums.bytes()
    }

    pub(super) fn record(
        &self,
        owner: Option<&Owner>,
        registry: &Registry,
        top_hosts: Vec<HostShare>,
    ) -> DestinationRecord {
        let country = self.addresses.iter().find_map(|&addr| registry.country(addr));
        DestinationRecord {
            schema: "sekisho.destination/1",
            destination: owner.map(ToString::to_string),
            names: self.names.to_vec(),
            addresses: self.addresses.to_vec(),
            asn: self.addresses.iter().find_map(|&addr| registry.system(addr)),
            country: country.map(str::to_owned),
            has_more: self.has_more,
            name_mismatch: self.is_mismatch,
            category: self.category,
            services: self.services.iter().copied().collect(),
            traffic: self.sums.traffic(),
            hosts: self.hosts,
            top_hosts,
        }
    }
}

/// Puts one more into a list, if it is not there and there is room; is it there now?
fn keep<T: Clone + PartialEq>(list: &mut SmallVec<[T; 1]>, one: &T) -> bool {
    let is_known = list.contains(one);
    if !is_known && list.len() < KEPT_MAX {
        list.push(one.clone());
        return true;
    }
    is_known
}

/// Names, and addresses, kept of a destination.
const KEPT_MAX: usize = 8;
