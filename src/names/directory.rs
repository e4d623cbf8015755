//! Who the outside ends are, for the one who judges: what flows told, and what hosts were answered.

use indexmap::IndexMap;

use super::book::Book;
use super::facts::{Event, Facts, NameSource};
use super::name::Name;
use super::service::Service;
use crate::flow::FlowKey;
use crate::net::Addr;
use crate::time::Timestamp;

/// What is known of the ends of flows, joined in packet time.
///
/// Of two addresses what their latest flow told is remembered, for at most [`Directory::MET_MAX`] pairs of
/// them; when there are more, of the next few the one not met for longest is forgotten.
#[derive(Debug, Clone)]
pub struct Directory {
    book: Book,
    met: IndexMap<(Addr, Addr), Met, foldhash::fast::RandomState>,
    /// Where the search for something to forget goes on.
    hand: usize,
    evicted: u64,
}

/// What a flow between two addresses told.
#[derive(Debug, Clone)]
struct Met {
    at: Timestamp,
    service: Service,
    said: Option<(Name, NameSource)>,
    certified: Option<Name>,
    client: Option<Box<str>>,
    is_mismatch: bool,
}

/// Who an outside end is, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Its name, and where that is from: what the client said, else what the host was answered, else the
    /// certificate.
    pub name: Option<(Name, NameSource)>,
    /// The application protocol.
    pub service: Option<Service>,
    /// The client program.
    pub client: Option<Box<str>>,
    /// Does what the client said disagree with the answers that it got, or with the certificate?
    pub is_mismatch: bool,
}

impl Directory {
    /// Pairs of addresses remembered at most.
    pub const MET_MAX: usize = 1 << 15;

    /// Knows nobody yet, and takes so many bytes for what hosts call addresses.
    pub fn new(book_bytes_max: usize) -> Self {
        Self { book: Book::new(book_bytes_max), met: IndexMap::default(), hand: 0, evicted: 0 }
    }

    /// Takes what was learned, in the order in which it was reported among the deltas.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Answer(answer) => self.book.hear(answer),
            Event::Facts(key, facts) => {
                let met = self.met(key, facts);
                self.met.insert((key.low.addr, key.high.addr), met);
                if self.met.len() > Self::MET_MAX {
                    self.forget_one();
                }
            }
        }
    }

    /// Who `addr` was for `host` in a flow that began at `at`.
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
            client: met.and_then(|met| met.client.clone()),
            is_mismatch: met.is_some_and(|met| met.is_mismatch),
        }
    }

    /// Pairs of addresses, and names of addresses, that were forgotten for want of room.
    pub fn evicted(&self) -> u64 {
        self.evicted + self.book.evicted()
    }

    fn met(&self, key: &FlowKey, facts: &Facts) -> Met {
        let is_mismatch = match (&facts.name, facts.named_by) {
            (Some((name, source)), Some(client)) if source.is_sni() => {
                let (host, addr) = (key.end(client).addr, key.end(client.other()).addr);
                let is_anothers = || {
                    let called = self.book.called(host, addr);
                    called.is_some_and(|called| called.disagrees(name, facts.seen_at))
                };
                !facts.is_certified().unwrap_or_else(|| !is_anothers())
            }
            _ => false,
        };
        Met {
            at: facts.seen_at,
            service: facts.service,
            said: facts.name.clone(),
            certified: facts.certificate.iter().find(|name| name.is_valid()).cloned(),
            client: facts.client.clone(),
            is_mismatch,
        }
    }

    fn forget_one(&mut self) {
        let len = self.met.len();
        let oldest = (0..EVICTION_SAMPLE.min(len))
            .map(|step| (self.hand + step) % len)
            .min_by_key(|&place| self.met[place].at);
        if let Some(place) = oldest {
            self.met.swap_remove_index(place);
            self.hand = (self.hand + EVICTION_SAMPLE) % len;
            self.evicted += 1;
        }
    }
}

/// Pairs looked at to find one to forget.
const EVICTION_SAMPLE: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::flow::Sender;
    use crate::names::Answer;
    use crate::net::{Endpoint, Protocol};

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
            Box::new(Facts {
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
        let mut directory = Directory::new(10_000);
        events.iter().for_each(|event| directory.hear(event));
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
        let mut directory = Directory::new(10_000);
        for number in 0..40_000u32 {
            directory.hear(&hello(number, u64::from(number), Some("a.example"), &[]));
        }
        assert_eq!(directory.met.len(), Directory::MET_MAX);
        assert_eq!(directory.evicted(), 40_000 - Directory::MET_MAX as u64);
        assert!(directory.who(Addr::from_v4(HOST), outside(39_999), at(0)).name.is_some());
    }
}
