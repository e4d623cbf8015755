//! A host inside, as flows show it: `sekisho.host/1`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use smallvec::SmallVec;

use super::traffic::{Sums, Traffic};
use crate::egress::{Errand, FlowRecord, Party, Scope};
use crate::machines::{ClaimSource, Mac};
use crate::names::{Name, NameSource, Service};
use crate::net::{Addr, Protocol};
use crate::rules::Role;
use crate::time::Timestamp;

/// Somebody inside, and what it exchanged with the outside.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HostRecord {
    /// Always `sekisho.host/1`.
    pub schema: &'static str,
    /// Its address, of several the one with most bytes; null in the one object that sums all who were
    /// forgotten for want of room.
    pub host: Option<Addr>,
    /// All addresses of the machine.
    pub addresses: Vec<Addr>,
    /// Its hardware address, where it is sure which machine had these addresses.
    pub mac: Option<Mac>,
    /// What it called itself, then what others called it.
    pub names: Vec<NameHint>,
    /// What it is for.
    pub role: Option<Role>,
    /// Who says so.
    pub role_source: Option<RoleSource>,
    /// Traffic across the border; first and latest packet inside too.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// Outside owners that it exchanged packets with.
    pub destinations: u64,
    /// Those that it sent most to; at most 5.
    pub top_destinations: Vec<DestinationShare>,
    /// Application protocols of flows that it opened.
    pub services: Vec<Service>,
    /// Application protocols of flows that it answered.
    pub serves: Vec<Service>,
    /// Bytes that it sent to inside hosts.
    pub inside_out: u64,
    /// Bytes that inside hosts sent to it.
    pub inside_in: u64,
    /// Of `bytes_out`, what other inside hosts had it pass on, as a proxy, mail relay or resolver: to each owner at
    /// most what it was asked to send there; of mail, and of DNS questions, at most what it was handed.
    pub bytes_relayed: u64,
}

/// What somebody called a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NameHint {
    /// The name.
    pub name: Name,
    /// Where it was said.
    pub source: HintSource,
}

/// Where a host was called something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum HintSource {
    /// By who connected to it.
    Flow(NameSource),
    /// By itself.
    Claim(ClaimSource),
}

/// Who says what a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleSource {
    /// The rules folder.
    Declared,
    /// What it was seen to ask and to answer.
    Inferred,
}

/// A destination's part of what a host exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DestinationShare {
    /// Registrable domain, else address.
    pub destination: String,
    /// Bytes from the host to it.
    pub bytes_out: u64,
    /// Bytes from it to the host.
    pub bytes_in: u64,
}

/// A flow as one of its inside ends sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'r> {
    pub(super) addr: Addr,
    record: &'r FlowRecord,
    party: Party,
    is_border: bool,
    pub(super) bytes_out: u64,
    pub(super) bytes_in: u64,
    has_sent: bool,
}

impl<'r> View<'r> {
    /// The inside ends of a flow that did anything. Who sent nothing may not exist: nobody need be there
    /// for a scan, a broadcast or a forged packet to be sent to; and who has no address yet is nobody. What
    /// crossed the border counts all the same.
    pub(super) fn all_of(record: &'r FlowRecord) -> impl Iterator<Item = Self> {
        let (bytes_out, bytes_in) = (record.bytes_out(), record.bytes_in());
        let view = move |party| match party {
            Party::Host => Self {
                addr: record.host,
                record,
                party,
                is_border: record.scope == Scope::Border,
                bytes_out,
                bytes_in,
                has_sent: record.packets_out > 0,
            },
            Party::Peer => Self {
                addr: record.peer,
                record,
                party,
                is_border: false,
                bytes_out: bytes_in,
                bytes_in: bytes_out,
                has_sent: record.packets_in > 0,
            },
        };
        let parties: &[Party] = match record.scope {
            Scope::Border => &[Party::Host],
            Scope::Inside => &[Party::Host, Party::Peer],
            Scope::Outside => &[],
        };
        parties.iter().map(move |&party| view(party)).filter(|view| {
            let has_sent = view.has_sent && !view.addr.to_ip().is_unspecified();
            has_sent || view.is_border && view.bytes_out + view.bytes_in > 0
        })
    }

    /// Did this end answer what the other one opened?
    fn is_answer(&self) -> bool {
        let is_known = self.record.proto != Protocol::TCP || !self.record.initiator_inferred;
        self.record.initiator != self.party && is_known && self.has_sent && self.bytes_out > 0
    }

    /// Is this end asked to pass on what it is sent?
    pub(super) fn errand(&self) -> Option<Errand> {
        let is_resolver = self.port() == DNS_PORT;
        let is_possible = |errand: &Errand| *errand != Errand::Questions || is_resolver;
        let errand = self.record.errand.filter(is_possible);
        errand.filter(|_| !self.is_border && self.is_answer())
    }

    fn port(&self) -> u16 {
        match self.party {
            Party::Host => self.record.host_port,
            Party::Peer => self.record.peer_port,
        }
    }

    fn other(&self) -> Addr {
        match self.party {
            Party::Host => self.record.peer,
            Party::Peer => self.record.host,
        }
    }
}

/// The end of a flow that its name is the name of.
pub(super) fn named_end(record: &FlowRecord) -> Party {
    match (record.name_source, record.initiator) {
        (Some(NameSource::Dns), _) | (_, Party::Host) => Party::Peer,
        (_, Party::Peer) => Party::Host,
    }
}

/// What is known of a host by now.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// Another for each time that it is met anew.
    pub(super) id: u64,
    pub(super) border: Sums,
    pub(super) destinations: u64,
    inside_out: u64,
    inside_in: u64,
    used: BTreeSet<Service>,
    served: BTreeSet<Service>,
    clients: Clients,
    is_proxy: bool,
    mail: Errands,
    questions: Errands,
    names: SmallVec<[NameHint; 1]>,
}

/// What a host was handed to pass on, and what it sent of that kind, in bytes.
#[derive(Debug, Default, Clone, Copy)]
struct Errands {
    handed: u64,
    sent: u64,
}

impl Errands {
    fn add(&mut self, other: Self) {
        self.handed += other.handed;
        self.sent += other.sent;
    }

    fn done(self) -> u64 {
        self.handed.min(self.sent)
    }
}

/// Whom a host answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clients {
    None,
    One(Addr),
    Many,
}

impl Clients {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, any) | (any, Self::None) => any,
            (Self::One(a), Self::One(b)) if a == b => Self::One(a),
            (Self::One(_) | Self::Many, Self::One(_) | Self::Many) => Self::Many,
        }
    }
}

impl Host {
    pub(super) fn new(id: u64, first: Timestamp) -> Self {
        Self {
            id,
            border: Sums::from(first),
            destinations: 0,
            inside_out: 0,
            inside_in: 0,
            used: BTreeSet::new(),
            served: BTreeSet::new(),
            clients: Clients::None,
            is_proxy: false,
            mail: Errands::default(),
            questions: Errands::default(),
            names: SmallVec::new(),
        }
    }

    /// Adds a flow of its own.
    pub(super) fn count(&mut self, view: &View<'_>) {
        let record = view.record;
        self.border.seen(record.start, record.last);
        if view.is_border {
            self.border.count(view.bytes_out, view.bytes_in);
        } else {
            self.inside_out += view.bytes_out;
            self.inside_in += view.bytes_in;
        }
        let service = record.service.filter(|&service| service != Service::Unknown);
        if view.is_answer() {
            self.clients = self.clients.and(Clients::One(view.other()));
            // Multicast DNS and its like are asked and answered by everybody.
            self.served.extend(service.filter(|&is| is != Service::Dns || view.port() == DNS_PORT));
            match view.errand() {
                Some(Errand::Proxied) => self.is_proxy = true,
                Some(Errand::Mail) => self.mail.handed += view.bytes_in,
                Some(Errand::Questions) => self.questions.handed += view.bytes_in,
                None => {}
            }
        } else {
            self.used.extend(service);
            match service.filter(|_| view.is_border) {
                Some(Service::Smtp) => self.mail.sent += view.bytes_out,
                Some(Service::Dns) => self.questions.sent += view.bytes_out,
                Some(_) | None => {}
            }
        }
        self.hear(view);
    }

    /// Adds another address of the machine, or one who was forgotten to those who were.
    pub(super) fn add(&mut self, other: &Self) {
        self.border.add(&other.border);
        self.clients = self.clients.and(other.clients);
        self.is_proxy |= other.is_proxy;
        self.mail.add(other.mail);
        self.questions.add(other.questions);
        for hint in &other.names {
            if self.names.len() < NAMES_MAX && !self.names.contains(hint) {
                self.names.push(hint.clone());
            }
        }
        self.destinations += other.destinations;
        self.inside_out += other.inside_out;
        self.inside_in += other.inside_in;
        self.used.extend(&other.used);
        self.served.extend(&other.served);
    }

    pub(super) fn weight(&self) -> u64 {
        self.border.bytes() + self.inside_out + self.inside_in
    }

    fn hear(&mut self, view: &View<'_>) {
        let (Some(name), Some(source)) = (&view.record.name, view.record.name_source) else {
            return;
        };
        // What a proxy is asked for is not what it is called.
        let is_own = named_end(view.record) == view.party
            && view.record.errand != Some(Errand::Proxied)
            && name.is_valid()
            && !name.is_address();
        if is_own
            && self.names.len() < NAMES_MAX
            && self.names.iter().all(|hint| hint.name != *name)
        {
            let source = HintSource::Flow(source);
            self.names.push(NameHint { name: name.clone(), source });
        }
    }

    /// What it was seen to do for others, else for itself; the weakest word comes last.
    fn inferred(&self) -> Option<Role> {
        if self.is_proxy {
            Some(Role::Proxy)
        } else if self.served.contains(&Service::Smtp) {
            Some(Role::Mail)
        } else if self.served.contains(&Service::Dns) {
            Some(Role::Resolver)
        } else if self.clients == Clients::Many {
            Some(Role::Server)
        } else if self.clients == Clients::None && !self.used.is_empty() && self.border.flows > 0 {
            Some(Role::Workstation)
        } else {
            None
        }
    }

    /// Its record; the first of the addresses is the one that it goes by.
    pub(super) fn record(
        &self,
        addresses: Vec<Addr>,
        mac: Option<Mac>,
        claimed: Vec<NameHint>,
        declared: Option<Role>,
        top_destinations: Vec<DestinationShare>,
    ) -> HostRecord {
        let (role, role_source) = match (declared, self.inferred()) {
            (Some(role), _) => (Some(role), Some(RoleSource::Declared)),
            (None, Some(role)) => (Some(role), Some(RoleSource::Inferred)),
            (None, None) => (None, None),
        };
        HostRecord {
            host: addresses.first().copied(),
            addresses,
            mac,
            names: claimed.into_iter().chain(self.names.iter().cloned()).collect(),
            role,
            role_source,
            top_destinations,
            bytes_relayed: self.mail.done() + self.questions.done(),
            ..self.nobodys_record()
        }
    }

    /// The record of those who were forgotten.
    pub(super) fn nobodys_record(&self) -> HostRecord {
        HostRecord {
            schema: "sekisho.host/1",
            host: None,
            addresses: Vec::new(),
            mac: None,
            names: Vec::new(),
            role: None,
            role_source: None,
            traffic: self.border.traffic(),
            destinations: self.destinations,
            top_destinations: Vec::new(),
            services: self.used.iter().copied().collect(),
            serves: self.served.iter().copied().collect(),
            inside_out: self.inside_out,
            inside_in: self.inside_in,
            bytes_relayed: 0,
        }
    }
}

/// Names kept of a host.
const NAMES_MAX: usize = 4;

const DNS_PORT: u16 = 53;
