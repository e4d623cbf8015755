//! Which names the addresses have that hosts talk to, by the DNS answers they got: joined in one place,
//! in packet time.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::destination::Destination;
use super::facts::Answer;
use super::name::Name;
use crate::arena::Hand;
use crate::net::Addr;
use crate::time::Timestamp;

/// Remembers for each host what the addresses it was answered are called.
///
/// Another host's answers say nothing of this one: two customers of a cloud share its addresses. When
/// it is full, the address that was not answered for longest among the next few is forgotten, which
/// [`Book::evicted`] counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Book {
    entries: IndexMap<(Addr, Addr), Called, foldhash::fast::RandomState>,
    bytes: usize,
    #[serde(skip)]
    bytes_max: usize,
    /// Where the search for an address to forget goes on.
    hand: Hand,
    evicted: u64,
}

/// What an address is called by one host, at any time: at most [`NAMES_MAX`] names, the one that was
/// answered last at the end.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    names: SmallVec<[Calling; 1]>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Calling {
    name: Name,
    owner: Option<Destination>,
    aliases: Vec<Name>,
    from: Timestamp,
    answered_at: Timestamp,
    until: Timestamp,
}

impl Book {
    /// An empty book that takes at most so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            entries: IndexMap::default(),
            bytes: 0,
            bytes_max,
            hand: Hand::default(),
            evicted: 0,
        }
    }

    /// Goes on from what another process kept, in so many bytes.
    pub(super) fn resume(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Takes an answer, and whose the name is that was asked for. Names that are not valid are not taken.
    pub fn hear(&mut self, answer: &Answer, owner: Option<Destination>) {
        if !answer.name.is_valid() {
            return;
        }
        for &(addr, ttl) in &answer.addresses {
            let called = self.entries.entry((answer.host, addr)).or_default();
            let before = called.bytes();
            called.hear(answer, owner, ttl);
            self.bytes = self.bytes + called.bytes() - before;
            while self.bytes > self.bytes_max && !self.entries.is_empty() {
                self.forget_one();
            }
        }
    }

    /// What `host` calls an address.
    pub fn called(&self, host: Addr, addr: Addr) -> Option<&Called> {
        self.entries.get(&(host, addr))
    }

    /// Pairs of host and address that are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Memory that they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Is nothing remembered?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Pairs that were forgotten for want of room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn forget_one(&mut self) {
        let sample = self.hand.next(self.entries.len());
        let oldest = sample.min_by_key(|&place| self.entries[place].answered_at());
        if let Some(place) = oldest {
            // The last one takes its place, so that the hand moves on over all of them.
            let removed = self.entries.swap_remove_index(place);
            self.bytes -= removed.map_or(0, |(_, called)| called.bytes());
            self.evicted += 1;
        }
    }
}

impl Called {
    fn hear(&mut self, answer: &Answer, owner: Option<Destination>, ttl: Duration) {
        let known = self.names.iter().position(|calling| calling.name == answer.name);
        let before = known.map(|place| self.names.remove(place));
        if self.names.len() == NAMES_MAX {
            self.names.remove(0);
        }
        let until = answer.at.plus(ttl.clamp(HOLDS_MIN, HOLDS_MAX));
        // An answer that came after the last one had run out begins anew.
        let before = before.filter(|before| answer.at <= before.until);
        self.names.push(Calling {
            name: answer.name.clone(),
            owner,
            aliases: answer.aliases.clone(),
            from: before.as_ref().map_or(answer.at, |before| before.from.min(answer.at)),
            answered_at: answer.at,
            until: before.map_or(until, |before| before.until.max(until)),
        });
    }

    /// What it takes, with its place in the book; nothing before it has a name.
    fn bytes(&self) -> usize {
        let text = |name: &Name| size_of::<Name>() + name.as_str().len();
        let calling = |calling: &Calling| {
            size_of::<Calling>()
                + text(&calling.name)
                + calling.aliases.iter().map(text).sum::<usize>()
        };
        let names = self.names.iter().map(calling).sum::<usize>();
        if names == 0 { 0 } else { ENTRY_BYTES + names }
    }

    fn answered_at(&self) -> Timestamp {
        self.names.last().map_or(Timestamp::EPOCH, |calling| calling.answered_at)
    }

    /// The name by which the address was meant in a flow that began at `at`: the one answered last.
    pub fn name_at(&self, at: Timestamp) -> Option<&Name> {
        self.holding(at).last().map(|calling| &calling.name)
    }

    /// The owner of that name.
    pub fn owner_at(&self, at: Timestamp) -> Option<Destination> {
        self.holding(at).last().and_then(|calling| calling.owner)
    }

    /// Do the names that held at `at` belong to other owners than `name`? Not if none held.
    pub fn disagrees(&self, name: &Name, at: Timestamp) -> bool {
        let is_same = |other: &Name| {
            other == name || other.owner().is_some_and(|owner| Some(owner) == name.owner())
        };
        let mut holding = self.holding(at).peekable();
        holding.peek().is_some()
            && !holding.any(|calling| is_same(&calling.name) || calling.aliases.iter().any(is_same))
    }

    fn holding(&self, at: Timestamp) -> impl Iterator<Item = &Calling> {
        self.names.iter().filter(move |calling| calling.from <= at && at <= calling.until)
    }
}

/// A pair's place in the book, in bytes: key, value, hash and index, half of them kept free.
const ENTRY_BYTES: usize = 3 * (size_of::<(Addr, Addr)>() + size_of::<Called>() + 16) / 2;

/// Names kept of an address: those that share one with others at a host of many.
const NAMES_MAX: usize = 4;

/// Answers hold for so long at least: programs and systems keep them beyond their time, browsers for a
/// minute, and open further connections by them.
const HOLDS_MIN: Duration = Duration::from_secs(300);

/// And for so long at most.
const HOLDS_MAX: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Timestamp {
        Timestamp::from_secs_nanos(secs, 0)
    }

    fn addr(last: u32) -> Addr {
        Addr::from_v4((0xcb00_7100 + last).to_be_bytes())
    }

    fn answer(at: u64, name: &str, last: u32, ttl: u64) -> Answer {
        Answer {
            at: secs(at),
            host: Addr::from_v4([10, 0, 0, 1]),
            name: Name::of(name.as_bytes()).unwrap(),
            aliases: Name::of(b"edge.cdn.example").into_iter().collect(),
            addresses: vec![(addr(last), Duration::from_secs(ttl))],
        }
    }

    fn name(book: &Book, at: u64) -> Option<String> {
        let called = book.called(Addr::from_v4([10, 0, 0, 1]), addr(1))?;
        called.name_at(secs(at)).map(ToString::to_string)
    }

    /// A flow has the name that its address had when it began, not the one it got later.
    #[test]
    fn names_hold_in_packet_time() {
        let mut book = Book::new(1 << 20);
        book.hear(&answer(1000, "a.example", 1, 600), None);
        book.hear(&answer(1100, "b.example", 1, 600), None);
        assert_eq!(name(&book, 999), None);
        assert_eq!(name(&book, 1050).as_deref(), Some("a.example"));
        assert_eq!(name(&book, 1100).as_deref(), Some("b.example"));
        assert_eq!(name(&book, 1700).as_deref(), Some("b.example"));
        assert_eq!(name(&book, 1701), None);
        assert_eq!(book.called(Addr::from_v4([10, 0, 0, 2]), addr(1)), None);
    }

    /// An upload to one's own server under a harmless name: the name belongs to nobody that this host
    /// has been led to.
    #[test]
    fn a_name_that_dns_did_not_give_disagrees() {
        let mut book = Book::new(1 << 20);
        book.hear(&answer(1000, "www.files.example", 1, 60), None);
        let called = book.called(Addr::from_v4([10, 0, 0, 1]), addr(1)).unwrap();
        let disagrees =
            |name: &str, at| called.disagrees(&Name::of(name.as_bytes()).unwrap(), secs(at));
        assert!(disagrees("harmless.example", 1010));
        assert!(!disagrees("www.files.example", 1010));
        assert!(!disagrees("api.files.example", 1010), "the same owner");
        assert!(!disagrees("other.cdn.example", 1010), "an alias's owner");
        assert!(!disagrees("harmless.example", 9999), "nothing held");
    }

    /// Long names take the room of many short ones, and what is forgotten gives its room back.
    #[test]
    fn an_address_keeps_few_names_and_a_book_few_bytes() {
        let mut book = Book::new(20_000);
        for n in 0..1000u32 {
            book.hear(&answer(1000 + u64::from(n), &format!("n{n}.example"), 1, 60), None);
            let long = format!("{}.example", "a".repeat(n as usize % 60 + 1));
            book.hear(&answer(1000 + u64::from(n), &long, n + 2, 60), None);
            let held: usize = book.entries.values().map(Called::bytes).sum();
            assert!(book.bytes() == held && held <= 20_000);
        }
        assert_eq!(book.len() as u64 + book.evicted(), 1001);
        assert!(book.len() > 30, "{}", book.len());
        let called = book.called(Addr::from_v4([10, 0, 0, 1]), addr(1)).unwrap();
        assert_eq!(called.names.len(), NAMES_MAX);
        assert_eq!(name(&book, 1999).as_deref(), Some("n999.example"));
    }
}
