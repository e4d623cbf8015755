//! What a DNS query asks for, and how much its name could tell whoever is asked.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};

use smallvec::SmallVec;

use super::name::Name;
use crate::flow::{FlowKey, Sender};
use crate::net::Addr;
use crate::time::Timestamp;

/// A question that was put to a DNS server, as the query has it or the response repeats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Packet time.
    pub at: Timestamp,
    /// The flow that it came on.
    pub flow: FlowKey,
    /// The end that asks.
    pub client: Sender,
    /// Is this the response?
    pub is_response: bool,
    /// Bytes of the message.
    pub bytes: u32,
    /// The record type that is asked for.
    pub kind: u16,
    /// Who is asked in the end: the registrable domain, or a name that is a public suffix itself. Of a
    /// reverse lookup the zone of the address's first 16 bits, in IPv6 its first 32. `None` of a single
    /// label, which nobody owns.
    pub domain: Option<Name>,
    /// Is the domain below a public suffix that is listed? Others only a server that is asked itself
    /// would answer for.
    pub is_listed: bool,
    /// What the name says below the domain.
    pub below: Told,
    /// What the domain itself says, where it is not listed.
    pub own: Told,
    /// The address that a reverse lookup is about.
    pub about: Option<Addr>,
}

/// What some text tells: which it is, and how much that can be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// A digest of the text, upper and lower case alike.
    pub digest: u64,
    /// The bits that a text of such letters can carry at most.
    pub bits: u32,
}

/// A name as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) domain: Option<Name>,
    pub(super) is_listed: bool,
    pub(super) below: Told,
    pub(super) own: Told,
    pub(super) about: Option<Addr>,
}

impl Asked {
    /// Takes a name apart, whose labels have dots between them; nothing of the root.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        // Resolvers mix the cases of what they ask (draft-vixie-dnsext-dns0x20), so that tells nothing.
        let mut name = SmallVec::<[u8; 64]>::from_slice(name);
        name.make_ascii_lowercase();
        if name.is_empty() {
            return None;
        }
        if !name.contains(&b'.') {
            let own = Told::of(&name);
            let below = Told::default();
            return Some(Self { domain: None, is_listed: false, below, own, about: None });
        }
        let reverse = Reverse::of(&name);
        let (domain, is_listed) = match &reverse {
            Some(reverse) => (&name[reverse.zone_at..], true),
            None => psl::domain(&name).map_or((&name[..], true), |domain| {
                let at = name.len() - domain.as_bytes().len();
                (&name[at..], domain.suffix().is_known())
            }),
        };
        let below = name[..name.len() - domain.len()].strip_suffix(b".").unwrap_or_default();
        Some(Self {
            // As one text: the same labels below two domains are two things told.
            below: Told { digest: digest(&name), bits: bits(below) },
            own: if is_listed { Told::default() } else { Told::of(domain) },
            domain: Name::of(domain),
            is_listed,
            about: reverse.and_then(|reverse| reverse.about),
        })
    }
}

/// The names that were asked for last, taken apart. A response repeats the name of its query, and hosts ask for the
/// same names over and over.
#[derive(Debug, Default, Clone)]
pub(super) struct Recent {
    /// Each name has one place, by its hash, and the one that came last has it. Empty until one comes.
    places: Vec<(SmallVec<[u8; 64]>, Option<Asked>)>,
}

impl Recent {
    /// As [`Asked::of`], of a name of at most 255 bytes.
    pub(super) fn asked(&mut self, name: &[u8]) -> Option<&Asked> {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, Default::default);
        }
        let hash = foldhash::fast::FixedState::default().hash_one(name);
        let (known, asked) = &mut self.places[hash as usize % PLACES];
        if **known != *name {
            (*known, *asked) = (name.into(), Asked::of(name));
        }
        asked.as_ref()
    }
}

impl Told {
    fn of(labels: &[u8]) -> Self {
        Self { digest: digest(labels), bits: bits(labels) }
    }
}

/// How much labels could tell: of each so many bits a letter as the smallest of these alphabets needs
/// in which it can be spelled: digits, hexadecimal digits, letters and digits with hyphen and underscore, any
/// bytes.
fn bits(labels: &[u8]) -> u32 {
    let bits = labels.split(|&byte| byte == b'.').map(|label| {
        let kind = label.iter().fold(DIGIT, |kind, &byte| kind.max(KINDS[usize::from(byte)]));
        (label.len() as u32 * HUNDREDTHS[usize::from(kind)]).div_ceil(100)
    });
    bits.sum()
}

/// Names kept that were asked for.
const PLACES: usize = 32;

/// Alphabets, each of which holds the one before it, and the bits of one of their letters in hundredths.
const DIGIT: u8 = 0;
const HEX: u8 = 1;
const HOST: u8 = 2;
const ANY: u8 = 3;
const HUNDREDTHS: [u32; 4] = [333, 400, 525, 800];

/// Of every byte the smallest alphabet that holds it.
const KINDS: [u8; 256] = {
    let mut kinds = [ANY; 256];
    let mut byte = 0;
    while byte < kinds.len() {
        kinds[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' | b'A'..=b'F' => HEX,
            b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' => HOST,
            _ => ANY,
        };
        byte += 1;
    }
    kinds
};

/// The same in every run; who counts by it mixes a key of his own in.
fn digest(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A lookup of an address (RFC 1035, section 3.5; RFC 3596, section 2.5).
struct Reverse {
    /// Where in the name the zone begins that stands for its owner.
    zone_at: usize,
    about: Option<Addr>,
}

impl Reverse {
    fn of(name: &[u8]) -> Option<Self> {
        let zones = (name.strip_suffix(b".in-addr.arpa"), name.strip_suffix(b".ip6.arpa"));
        let (labels, zone_labels, about) = match zones {
            (Some(labels), _) => (labels, 2, v4(labels)),
            (None, Some(labels)) => (labels, 8, v6(labels)),
            (None, None) => return None,
        };
        let dots = labels.iter().enumerate().rev().filter(|(_, byte)| **byte == b'.');
        let zone_at = dots.map(|(at, _)| at + 1).nth(zone_labels - 1).unwrap_or(0);
        Some(Self { zone_at, about })
    }
}

/// The address whose octets these are, the last one first.
fn v4(labels: &[u8]) -> Option<Addr> {
    let mut octets = [0; 4];
    let mut labels = labels.split(|&byte| byte == b'.');
    for octet in octets.iter_mut().rev() {
        *octet = str::from_utf8(labels.next()?).ok()?.parse().ok()?;
    }
    labels.next().is_none().then(|| Addr::from_v4(octets))
}

/// The address whose hexadecimal digits these are, the last one first.
fn v6(labels: &[u8]) -> Option<Addr> {
    let mut digits = labels.split(|&byte| byte == b'.');
    let mut bits = 0u128;
    for place in 0..32 {
        let [digit] = digits.next()? else { return None };
        bits |= u128::from(char::from(*digit).to_digit(16)?) << (4 * place);
    }
    digits.next().is_none().then(|| Addr::from_v6(bits.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(name: &str) -> Asked {
        Asked::of(name.as_bytes()).unwrap()
    }

    fn domain(name: &str) -> Option<String> {
        asked(name).domain.map(|domain| domain.to_string())
    }

    /// What an attacker's server hears is what lies below the domain that he could register.
    #[test]
    fn whoever_owns_the_domain_is_told_what_lies_below() {
        for (name, owner, bits) in [
            ("a1b2.t.far-zone.example", Some("far-zone.example"), 16 + 6),
            ("mine.github.io", Some("mine.github.io"), 0),
            ("github.io", Some("github.io"), 0),
            ("co.uk", Some("co.uk"), 0),
            ("123.45.x.co.uk", Some("x.co.uk"), 10 + 7),
            ("printer", None, 0),
            ("\u{c3}\u{28}.far-zone.example", Some("far-zone.example"), 24),
        ] {
            assert_eq!(domain(name).as_deref(), owner, "{name}");
            assert_eq!(asked(name).below.bits, bits, "{name}");
        }
        assert!(Asked::of(b"").is_none());
        assert!(asked("www.example.com").is_listed && !asked("www.far-zone.example").is_listed);
    }

    /// A resolver that mixes cases asks for one name in a thousand forms.
    #[test]
    fn cases_tell_nothing_and_everything_else_does() {
        let digest = |name| asked(name).below.digest;
        assert_eq!(digest("wWw.ExAmple.com"), digest("www.example.com"));
        assert_ne!(digest("a.example.com"), digest("b.example.com"));
        assert_ne!(digest("a.b.example.com"), digest("ab.example.com"));
    }

    /// What is remembered must not tell of one name what another said: more names than have room, in any order.
    #[test]
    fn what_is_remembered_changes_nothing() {
        let mut recent = Recent::default();
        let names: Vec<String> = (0..3 * PLACES)
            .flat_map(|n| [format!("n{n}.example.com"), format!("N{n}.Example.com"), String::new()])
            .collect();
        for step in [1, 3, 7] {
            for at in (0..names.len()).map(|at| at * step % names.len()) {
                let name = names[at].as_bytes();
                let expected = Asked::of(name);
                assert_eq!(recent.asked(name), expected.as_ref(), "{at}");
                assert_eq!(recent.asked(name), expected.as_ref(), "{at} again");
            }
        }
        assert_eq!(recent.places.len(), PLACES);
    }

    /// A log is resolved line by line: the zones of many owners, of each a few addresses.
    #[test]
    fn reverse_lookups_go_by_the_networks_that_they_are_about() {
        let v4 = asked("9.113.0.203.in-addr.arpa");
        assert_eq!(v4.domain.unwrap().as_str(), "0.203.in-addr.arpa");
        assert_eq!(v4.about, Some(Addr::from_v4([203, 0, 113, 9])));
        assert_eq!(domain("203.in-addr.arpa").unwrap(), "203.in-addr.arpa");
        assert_eq!(asked("x.9.113.0.203.in-addr.arpa").about, None);
        let digits = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        let v6 = asked(digits);
        assert_eq!(v6.domain.unwrap().as_str(), "8.b.d.0.1.0.0.2.ip6.arpa");
        let address = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap();
        assert_eq!(v6.about, Some(address.into()));
    }

    proptest! {
        /// Never more than the letters there are, and nothing that is asked for panics.
        #[test]
        fn no_name_tells_more_than_its_bytes(name in prop::collection::vec(any::<u8>(), 1..254)) {
            if let Some(asked) = Asked::of(&name) {
                prop_assert!(asked.below.bits as usize <= name.len() * 8);
                prop_assert!(asked.own.bits as usize <= name.len() * 8);
            }
        }
    }
}
