//! Who the outside ends are, for the one who judges: what flows told, and what hosts were answered.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash};
use std::mem;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::book::{Book, Called};
use super::destination::{Destination, FORGOTTEN};
use super::facts::{Event, Facts, NameSource};
use super::name::Name;
use super::program::Client;
use super::registry::Registry;
use super::service::Service;
use super::usage::{Naming, PortOf, Usage};
use crate::arena::Hand;
use crate::flow::{FlowKey, Sender};
use crate::net::{Addr, Protocol};
use crate::time::Timestamp;

/// What is known of the ends of flows, joined in packet time.
///
/// Of two addresses what their latest flow told is remembered, for at most [`Directory::MET_MAX`] pairs of
/// them, and the text of [`Directory::DOMAINS_MAX`] owners and [`Directory::CLIENTS_MAX`] client programs; when there are
/// more, of the next few the one not met for longest is forgotten. Of open flows that say whose their peer is, or what
/// their client, [`Directory::FLOWS_MAX`] are remembered, and no more: those beyond go by what the host was answered, or by
/// address.
///
/// Open flows are not kept between runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Directory {
    book: Book,
    met: IndexMap<(Addr, Addr), Met, foldhash::fast::RandomState>,
    /// What open flows told of themselves; by a hash of the flow that nobody can foresee, and which is therefore
    /// its name here.
    #[serde(skip)]
    flows: HashMap<u64, Said, foldhash::fast::RandomState>,
    domains: IndexMap<Destination, Text, foldhash::fast::RandomState>,
    #[serde(default)]
    clients: IndexMap<Client, Text, foldhash::fast::RandomState>,
    /// Owners of names met lately, by a hash of the name: most are met again.
    #[serde(skip, default = "no_latest")]
    latest: Box<[(u64, Destination)]>,
    /// Where the search for something to forget goes on.
    hand: Hand,
    evicted: u64,
    #[serde(skip)]
    registry: Registry,
}

/// What a flow told of itself: whose its server is, and what its client.
#[derive(Debug, Default, Clone, Copy)]
pub struct Said {
    owned: Option<Owned>,
    /// What its client said of itself.
    pub client: Option<Client>,
}

impl Said {
    /// The end of the flow that asks the other, as a proxy, to reach somebody; and whom.
    pub fn asked(&self) -> Option<(Sender, Destination)> {
        let owned = self.owned?;
        owned.is_proxied.then_some((owned.client, owned.owner))
    }
}

/// Whose the server of a flow is, and which end is the client.
#[derive(Debug, Clone, Copy)]
struct Owned {
    client: Sender,
    owner: Destination,
    /// Is the server a proxy, asked to reach that owner?
    is_proxied: bool,
}

/// Whose the server of a flow turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The flow.
    pub flow: FlowKey,
    /// Its end that is the client.
    pub client: Sender,
    /// Whom it was counted for.
    pub from: Destination,
    /// Who it is.
    pub to: Destination,
}

/// The text of a domain that owns something, or of a client program, and when it was last heard of.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Text {
    at: Timestamp,
    text: Box<str>,
}

/// What a flow between two addresses told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Met {
    at: Timestamp,
    service: Service,
    /// What is spoken between which ports, of the latest flows of different servers.
    #[serde(default)]
    spoken: Spoken,
    said: Option<(Name, NameSource)>,
    certified: Option<Name>,
    #[serde(default)]
    recipients: u16,
    asks_proxy: bool,
    /// Does the name disagree with the answers that the host got, or with the certificate?
    is_doubted: bool,
}

/// Services by transport and by the lesser and the greater end's port, the latest last.
type Spoken = SmallVec<[((Protocol, u16, u16), Service); SPOKEN_MAX]>;

impl Met {
    /// What a flow told, to which the client's host called the server this.
    fn of(facts: &Facts, called: Option<&Called>) -> Self {
        let is_doubted = facts.named_by.is_some()
            && facts.name.as_ref().is_some_and(|(name, _)| {
                let is_anothers =
                    || called.is_some_and(|called| called.disagrees(name, facts.seen_at));
                !facts.is_certified().unwrap_or_else(|| !is_anothers())
            });
        Self {
            at: facts.seen_at,
            service: facts.service,
            spoken: Spoken::new(),
            said: facts.name.clone(),
            certified: facts.certificate.iter().find(|name| name.is_valid()).cloned(),
            recipients: facts.recipients,
            asks_proxy: facts.asks_proxy,
            is_doubted,
        }
    }

    /// Goes on from what was spoken before. Flows with a port in common are taken to have one server.
    fn speak(&mut self, flow: &FlowKey, before: Spoken) {
        let (protocol, low, high) = (flow.protocol, flow.low.port, flow.high.port);
        self.spoken = before;
        self.spoken.retain(|((of, at_low, at_high), _)| {
            *of != protocol || *at_low != low && *at_high != high
        });
        if self.spoken.len() == SPOKEN_MAX {
            self.spoken.remove(0);
        }
        self.spoken.push(((protocol, low, high), self.service));
    }

    /// What is spoken with the server of a flow, which is `peer`; else what the latest flow spoke.
    fn service_of(&self, flow: &FlowKey, peer: Sender) -> Service {
        let is_its = |((protocol, low, high), _): &&((Protocol, u16, u16), Service)| {
            *protocol == flow.protocol
                && match peer {
                    Sender::Low => *low == flow.low.port,
                    Sender::High => *high == flow.high.port,
                }
        };
        self.spoken.iter().rev().find(is_its).map_or(self.service, |&(_, service)| service)
    }

    /// The name that says whose the server is.
    fn owner_name(&self) -> Option<&Name> {
        let said = self.said.as_ref().map(|(name, _)| name).filter(|_| !self.is_doubted);
        said.or(self.certified.as_ref())
    }

    /// Did the client say a name unasked that is not its peer's? To a proxy it names others.
    fn is_mismatch(&self) -> bool {
        self.is_doubted && self.said.as_ref().is_some_and(|(_, source)| source.is_sni())
    }
}

/// Who an outside end is, as far as is known.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Its name, and where that is from: what the client said, else what the host was answered, else the
    /// certificate.
    pub name: Option<(Name, NameSource)>,
    /// The application protocol.
    pub service: Option<Service>,
    /// What the client program said of itself.
    pub client: Option<Box<str>>,
    /// Of mail in the clear, to how many the first of the latest flow is.
    #[serde(default)]
    pub recipients: u16,
    /// Does what the client said disagree with the answers that it got, or with the certificate?
    pub is_mismatch: bool,
}

impl Who {
    /// The same without the name, if that is of another owner: several may share an address.
    #[must_use]
    pub fn of(self, destination: Destination) -> Self {
        let is_of = |name: &Name| name.destination().is_none_or(|owner| owner == destination);
        let name = self.name.filter(|(name, _)| self.is_mismatch || is_of(name));
        Self { name, ..self }
    }
}

impl Directory {
    /// Pairs of addresses remembered at most.
    pub const MET_MAX: usize = 1 << 15;
    /// Open flows remembered at most.
    pub const FLOWS_MAX: usize = 1 << 19;
    /// Owners whose text is remembered at most.
    pub const DOMAINS_MAX: usize = 1 << 16;
    /// Client programs whose text is remembered at most.
    pub const CLIENTS_MAX: usize = 1 << 12;

    /// Knows nobody yet but what the registry says, and takes so many bytes for what hosts call addresses.
    pub fn new(book_bytes_max: usize, registry: Registry) -> Self {
        Self {
            book: Book::new(book_bytes_max),
            // Reserved, not taken: growing it later would need it twice for a moment.
            met: IndexMap::with_capacity_and_hasher(Self::MET_MAX, Default::default()),
            flows: HashMap::default(),
            domains: IndexMap::default(),
            clients: IndexMap::default(),
            latest: no_latest(),
            hand: Hand::default(),
            evicted: 0,
            registry,
        }
    }

    /// Goes on from what another process kept.
    #[must_use]
    pub fn resume(mut self, book_bytes_max: usize, registry: Registry) -> Self {
        self.book.resume(book_bytes_max);
        Self { registry, ..self }
    }

    /// Takes what was learned, in the order in which it was reported among the deltas. Answers when a flow
    /// turns out to have another owner behind it than it was counted for.
    pub fn hear(&mut self, event: &Event) -> Option<Turn> {
        match event {
            Event::Answer(answer) => {
                let owner = self.remember(&answer.name, answer.at);
                self.book.hear(answer, owner);
                None
            }
            Event::Facts(flow, facts) => {
                let called = facts.named_by.and_then(|client| {
                    self.book.called(flow.end(client).addr, flow.end(client.other()).addr)
                });
                let mut met = Met::of(facts, called);
                let answered = called.and_then(|called| called.owner_at(facts.seen_at));
                let turn = facts.named_by.and_then(|client| self.own(flow, client, answered, &met));
                let ends = (flow.low.addr, flow.high.addr);
                if let Some(known) = self.met.get_mut(&ends) {
                    met.speak(flow, mem::take(&mut known.spoken));
                    *known = met;
                } else {
                    met.speak(flow, Spoken::new());
                    let (_, gone) =
                        self.hand.put(&mut self.met, Self::MET_MAX, (ends, met), |met| met.at);
                    self.evicted += u64::from(gone.is_some());
                }
                if let Some(text) = &facts.client {
                    self.note_client(flow, text, facts.seen_at);
                }
                turn
            }
            Event::Query(_) | Event::Echo(_) => None,
        }
    }

    /// The owner of a domain that was asked for, of whom the text is remembered.
    pub fn domain(&mut self, domain: &Name, at: Timestamp) -> Option<Destination> {
        // Whose it is has been found already: no part of it is left out, as it is of other names.
        let hash = self.flows.hasher().hash_one((domain.as_str(), "domain"));
        let destination = self.latest(hash, || Some(Destination::of_domain(domain.as_str())))?;
        self.keep_owner(destination, at, || Some(domain.as_str().into()));
        Some(destination)
    }

    /// Forgets a flow that is over.
    pub fn end(&mut self, key: &FlowKey) {
        if !self.flows.is_empty() {
            self.flows.remove(&self.hash(key));
        }
    }

    /// Whose the other end of a flow is, for the `host` that is one of its ends, when the flow began at `at`:
    /// by what the flow said of itself where nothing disagrees, else by what the host was answered, else by
    /// the autonomous system, else nobody knows more than its address.
    pub fn destination(
        &self,
        (flow, said): (&FlowKey, &Said),
        host: Sender,
        at: Timestamp,
    ) -> Destination {
        if let Some(owned) = said.owned.filter(|owned| owned.client == host && !owned.is_proxied) {
            return owned.owner;
        }
        let (host, peer) = (flow.end(host).addr, flow.end(host.other()).addr);
        let answered = self.book.called(host, peer).and_then(|called| called.owner_at(at));
        answered.unwrap_or_else(|| self.nameless(peer))
    }

    /// What an open flow told of itself.
    pub fn said(&self, flow: &FlowKey) -> Said {
        let said = (!self.flows.is_empty()).then(|| self.flows.get(&self.hash(flow)));
        said.flatten().copied().unwrap_or_default()
    }

    /// What a client program said of itself, unless that was forgotten.
    pub fn client_text(&self, client: Client) -> Option<&str> {
        self.clients.get(&client).map(|known| &*known.text)
    }

    /// Whose an address is that has no name.
    fn nameless(&self, addr: Addr) -> Destination {
        let system = self.registry.system(addr).map(Destination::of_system);
        system.unwrap_or(Destination::of_address(addr))
    }

    /// What the databases say of addresses.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Remembers the text of a domain that was learned elsewhere.
    pub fn learn_text(&mut self, key: &str, at: Timestamp) {
        if let Some(name) = Name::of(key.as_bytes()).filter(|name| !name.is_address()) {
            self.remember(&name, at);
        }
    }

    /// A destination in words: its domain, `AS` and number, or address. Of a domain whose text was
    /// forgotten, or never known, what is left of its digest.
    pub fn text(&self, destination: Destination) -> String {
        match (destination.address(), destination.system(), self.domains.get(&destination)) {
            (Some(addr), _, _) => addr.to_string(),
            (_, Some(system), _) => format!("AS{system}"),
            (_, _, Some(domain)) => domain.text.to_string(),
            (None, None, None) => format!("{FORGOTTEN}{:030x}", destination.to_bits() & DIGEST),
        }
    }

    /// Who `addr` was for `host` in a flow that began at `at`. What its client is stands with each flow.
    pub fn who(&self, host: Addr, addr: Addr, at: Timestamp) -> Who {
        let met = self.met.get(&(host.min(addr), host.max(addr)));
        let said = met.and_then(|met| met.said.clone());
        let answered = || {
            let name = self.book.called(host, addr)?.name_at(at)?;
            Some((name.clone(), NameSource::Dns))
        };
        let certified = || Some((met?.certified.clone()?, NameSource::TlsCertificate));
        Who {
            name: said.or_else(answered).or_else(certified),
            service: met.map(|met| met.service),
            client: None,
            recipients: met.map_or(0, |met| met.recipients),
            is_mismatch: met.is_some_and(Met::is_mismatch),
        }
    }

    /// What is spoken with the server of a flow, as far as any of its flows told.
    pub fn service(&self, flow: &FlowKey, server: Sender) -> Option<Service> {
        let met = self.met.get(&(flow.low.addr, flow.high.addr))?;
        Some(met.service_of(flow, server))
    }

    /// How the ends of a flow that began at `at` speak, for the `host` that opened it, as far as is remembered of
    /// what it told, or others with the same server.
    pub fn usage(&self, flow: &FlowKey, host: Sender, at: Timestamp) -> Usage {
        let (low, high) = (flow.low.addr, flow.high.addr);
        let met = self.met.get(&(low, high));
        let service = self.service(flow, host.other()).unwrap_or_default();
        let (host, peer) = (flow.end(host).addr, flow.end(host.other()));
        let is_answered =
            || self.book.called(host, peer.addr).is_some_and(|called| called.name_at(at).is_some());
        let has_name = |met: &Met| met.said.is_some() || met.certified.is_some() || is_answered();
        let naming = match met.filter(|_| service.has_names()) {
            None => Naming::None,
            Some(met) if met.is_mismatch() => Naming::Disputed,
            Some(met) if has_name(met) => Naming::Named,
            Some(_) => Naming::Nameless,
        };
        Usage { service, port: PortOf::of(service, peer.port), naming }
    }

    /// Pairs of addresses, and names of addresses, that were forgotten for want of room.
    pub fn evicted(&self) -> u64 {
        self.evicted + self.book.evicted()
    }

    /// Names of addresses that were forgotten for want of room.
    pub fn answers_evicted(&self) -> u64 {
        self.book.evicted()
    }

    /// Notes whose the server of a flow is, where that flow itself tells: by the name that the client asked
    /// for, or by the certificate; and whom a proxy is asked to reach, who is not the proxy.
    fn own(
        &mut self,
        flow: &FlowKey,
        client: Sender,
        answered: Option<Destination>,
        met: &Met,
    ) -> Option<Turn> {
        let is_proxied = met.asks_proxy;
        let name = if is_proxied { &met.said.as_ref()?.0 } else { met.owner_name()? };
        let to = self.remember(name, met.at).or_else(|| name.target().filter(|_| is_proxied))?;
        let owned = Owned { client, owner: to, is_proxied };
        let before = self.said_mut(flow)?.owned.replace(owned).map(|before| before.owner);
        if is_proxied {
            return None;
        }
        let nameless = || self.nameless(flow.end(client.other()).addr);
        let from = before.or(answered).unwrap_or_else(nameless);
        (from != to).then_some(Turn { flow: *flow, client, from, to })
    }

    /// Where to note what a flow told, if there is room.
    fn said_mut(&mut self, flow: &FlowKey) -> Option<&mut Said> {
        let (hash, is_full) = (self.hash(flow), self.flows.len() >= Self::FLOWS_MAX);
        match self.flows.entry(hash) {
            Entry::Vacant(_) if is_full => {
                self.evicted += 1;
                None
            }
            known => Some(known.or_default()),
        }
    }

    /// Notes what the client of a flow says of itself.
    fn note_client(&mut self, flow: &FlowKey, text: &str, at: Timestamp) {
        let client = Client::of(text);
        let Some(said) = self.said_mut(flow) else { return };
        said.client = Some(client);
        keep_text(&mut self.clients, client, (at, Self::CLIENTS_MAX), &mut self.hand, || {
            Some(text.into())
        });
    }

    /// Whose a name is, of whom the text is remembered.
    fn remember(&mut self, name: &Name, at: Timestamp) -> Option<Destination> {
        let hash = self.flows.hasher().hash_one(name.as_str());
        let destination = self.latest(hash, || name.destination())?;
        self.keep_owner(destination, at, || name.owner().map(Box::from));
        Some(destination)
    }

    /// The owner of the name with this hash, which need not be looked for when it was met lately.
    fn latest(
        &mut self,
        hash: u64,
        look: impl FnOnce() -> Option<Destination>,
    ) -> Option<Destination> {
        let place = hash as usize % self.latest.len();
        match self.latest[place] {
            (known, destination) if known == hash => Some(destination),
            _ => {
                let destination = look()?;
                self.latest[place] = (hash, destination);
                Some(destination)
            }
        }
    }

    /// Remembers the text of an owner.
    fn keep_owner(
        &mut self,
        owner: Destination,
        at: Timestamp,
        text: impl FnOnce() -> Option<Box<str>>,
    ) {
        keep_text(&mut self.domains, owner, (at, Self::DOMAINS_MAX), &mut self.hand, text);
    }

    fn hash(&self, key: &FlowKey) -> u64 {
        self.flows.hasher().hash_one(key)
    }
}

/// Remembers a text, of which there may be so many; the oldest of a few makes room.
fn keep_text<K: Hash + Eq>(
    texts: &mut IndexMap<K, Text, foldhash::fast::RandomState>,
    key: K,
    (at, max): (Timestamp, usize),
    hand: &mut Hand,
    text: impl FnOnce() -> Option<Box<str>>,
) {
    if let Some(known) = texts.get_mut(&key) {
        known.at = at;
        return;
    }
    if let Some(text) = text() {
        hand.put(texts, max, (key, Text { at, text }), |known| known.at);
    }
}

fn no_latest() -> Box<[(u64, Destination)]> {
    vec![(0, Destination::of_system(0)); LATEST].into()
}

/// Names whose owner need not be found again.
const LATEST: usize = 4096;

/// The bits of a domain's digest that tell it from others.
const DIGEST: u128 = (1 << 120) - 1;

/// Servers between two addresses of whom what they speak is remembered.
const SPOKEN_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use std::sync::Arc;

    use super::*;
    use crate::names::Answer;
    use crate::net::Endpoint;

    const HOST: [u8; 4] = [10, 0, 0, 1];

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs_nanos(secs, 0)
    }

    fn outside(number: u32) -> Addr {
        Addr::from_v4((0xcb00_0000 + number).to_be_bytes())
    }

    fn name(text: &str) -> Name {
        Name::of(text.as_bytes()).unwrap()
    }

    fn hello(to: u32, secs: u64, sni: Option<&str>, certificate: &[&str]) -> Event {
        let end = |addr, port| Endpoint { addr, port };
        let (key, client) =
            FlowKey::of(end(Addr::from_v4(HOST), 50_000), end(outside(to), 443), Protocol::TCP);
        Event::Facts(
            key,
            Arc::new(Facts {
                seen_at: at(secs),
                service: Service::Tls,
                name: sni.map(|sni| (name(sni), NameSource::TlsSni)),
                named_by: sni
                    .map(|_| if client == Sender::Low { Sender::Low } else { Sender::High }),
                certificate: certificate.iter().copied().map(name).collect(),
                is_certificate_whole: !certificate.is_empty(),
                has_hello: true,
                ..Facts::default()
            }),
        )
    }

    /// What a flow spoke is not what another to the same address spoke later, on whatever port.
    #[test]
    fn each_server_of_an_address_speaks_its_own() {
        let mut directory = Directory::new(10_000, Registry::default());
        let end = |addr, port| Endpoint { addr, port };
        let flow = |from, port, protocol| {
            FlowKey::of(end(Addr::from_v4(HOST), from), end(outside(1), port), protocol)
        };
        let mut say = |from, port, protocol, service| {
            let (key, _) = flow(from, port, protocol);
            let facts = Facts { seen_at: at(10), service, ..Facts::default() };
            directory.hear(&Event::Facts(key, Arc::new(facts)));
        };
        say(50_001, 31_337, Protocol::TCP, Service::Unknown);
        say(50_002, 22, Protocol::TCP, Service::Ssh);
        say(50_003, 443, Protocol::UDP, Service::Quic);
        (0..100).for_each(|n| say(51_000 + n, 443, Protocol::TCP, Service::Tls));
        for (port, protocol, service) in [
            (31_337, Protocol::TCP, Service::Unknown),
            (22, Protocol::TCP, Service::Ssh),
            (443, Protocol::UDP, Service::Quic),
            (443, Protocol::TCP, Service::Tls),
            (8080, Protocol::TCP, Service::Tls),
        ] {
            let (key, host) = flow(60_000, port, protocol);
            assert_eq!(directory.usage(&key, host, at(20)).service, service, "{port}");
        }
    }

    fn answer(to: u32, secs: u64, asked: &str) -> Event {
        Event::Answer(Box::new(Answer {
            at: at(secs),
            host: Addr::from_v4(HOST),
            name: name(asked),
            aliases: Vec::new(),
            addresses: vec![(outside(to), Duration::from_secs(60))],
        }))
    }

    fn who(events: &[Event]) -> (Option<(String, NameSource)>, bool) {
        let mut directory = Directory::new(10_000, Registry::default());
        for event in events {
            directory.hear(event);
        }
        let who = directory.who(Addr::from_v4(HOST), outside(1), at(20));
        (who.name.map(|(name, source)| (name.to_string(), source)), who.is_mismatch)
    }

    /// What the client said comes first, then the answer, then the certificate.
    #[test]
    fn the_client_has_the_first_word() {
        let sni = |sni: &str| Some((sni.to_owned(), NameSource::TlsSni));
        let dns = |asked: &str| Some((asked.to_owned(), NameSource::Dns));
        let asked = answer(1, 10, "files.example.com");
        assert_eq!(who(&[]), (None, false));
        assert_eq!(who(std::slice::from_ref(&asked)), (dns("files.example.com"), false));
        assert_eq!(
            who(&[asked.clone(), hello(1, 11, Some("up.example.com"), &[])]),
            (sni("up.example.com"), false)
        );
        assert_eq!(
            who(&[asked, hello(1, 11, None, &["cert.example.net"])]),
            (dns("files.example.com"), false)
        );
        assert_eq!(
            who(&[hello(1, 11, None, &["cert.example.net"])]),
            (Some(("cert.example.net".to_owned(), NameSource::TlsCertificate)), false)
        );
    }

    /// A hello that names a bank, to an address that was answered for somebody else, or with somebody
    /// else's certificate.
    #[test]
    fn a_lying_hello_is_shown_as_one() {
        let lie = || hello(1, 11, Some("www.bank.example"), &[]);
        assert!(who(&[answer(1, 10, "drop.evil.example"), lie()]).1);
        assert!(!who(&[answer(1, 10, "login.bank.example"), lie()]).1);
        assert!(who(&[hello(1, 11, Some("www.bank.example"), &["drop.evil.example"])]).1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut directory = Directory::new(10_000, Registry::default());
        for number in 0..40_000u32 {
            directory.hear(&hello(number, u64::from(number), Some("a.example"), &[]));
        }
        assert_eq!(directory.met.len(), Directory::MET_MAX);
        assert_eq!(directory.evicted(), 40_000 - Directory::MET_MAX as u64);
        assert!(directory.who(Addr::from_v4(HOST), outside(39_999), at(0)).name.is_some());
    }

    /// A client that calls its server by another name each time, and ends none of its flows.
    #[test]
    fn a_million_names_take_no_more_room() {
        let mut directory = Directory::new(10_000, Registry::default());
        for number in 0..1_000_000u32 {
            let name = format!("www.owner{number}.example");
            directory.hear(&hello(number, 1, Some(&name), &[]));
        }
        assert_eq!(directory.met.len(), Directory::MET_MAX);
        assert!(directory.flows.len() <= Directory::FLOWS_MAX);
        assert!(directory.domains.len() <= Directory::DOMAINS_MAX);
        assert!(directory.evicted() >= 1_000_000 - Directory::MET_MAX as u64);
    }
}
