//! DNS messages (RFC 1035, RFC 3596, RFC 9460): what was asked, and which addresses were answered.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use smallvec::SmallVec;

use super::cursor::Cursor;
use super::name::Name;
use crate::net::Addr;

/// A DNS message that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) is_response: bool,
    /// Is something looked up (opcode 0), and not announced or changed?
    pub(super) is_lookup: bool,
    /// The questions, of which a response repeats its own.
    pub(super) questions: SmallVec<[Question; 1]>,
    /// The name that a response answers, of its first question; `None` for the root, and in a query.
    pub(super) asked: Option<Name>,
    /// Other names that the answers lead to, at most [`ALIASES_MAX`].
    pub(super) aliases: Vec<Name>,
    /// Addresses of it, with how long they hold; at most [`ADDRESSES_MAX`].
    pub(super) addresses: Vec<(Addr, Duration)>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// Labels with dots between them.
    pub(super) name: SmallVec<[u8; 64]>,
    /// The record type.
    pub(super) kind: u16,
}

impl Message {
    /// Reads a message. `None` for what is none: the test is strict, because there is no better sign of
    /// DNS than that all of a datagram is one. Of a message that the capture cut, or the server
    /// (RFC 1035, TC), what is there must be sound.
    pub(super) fn of(bytes: &[u8], is_cut: bool) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let head: [u8; 12] = cursor.array()?;
        let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let flags = number(2);
        let (questions, answers) = (usize::from(number(4)), usize::from(number(6)));
        let (authorities, additional) = (usize::from(number(8)), usize::from(number(10)));
        let is_response = flags & RESPONSE != 0;
        let records = answers + authorities + additional;
        // A response in multicast DNS repeats no question (RFC 6762, section 6).
        let is_plausible = flags & RESERVED == 0
            && matches!(flags >> 11 & 0xf, 0 | 4 | 5)
            && (questions == 1 || questions == 0 && is_response && answers > 0 || {
                (2..=QUESTIONS_MAX).contains(&questions) && !is_response
            })
            && (is_response || answers == 0 || flags & 0x7fff == 0)
            && records <= RECORDS_MAX;
        if !is_plausible {
            return None;
        }
        let is_cut = is_cut || flags & TRUNCATED != 0;
        let mut message = Self {
            is_response,
            is_lookup: flags >> 11 & 0xf == 0,
            questions: SmallVec::new(),
            asked: None,
            aliases: Vec::new(),
            addresses: Vec::new(),
        };
        for number in 0..questions {
            let name = name(bytes, &mut cursor)?;
            let (kind, class) = (cursor.u16()?, cursor.u16()?);
            if !is_class(class) {
                return None;
            }
            if number == 0 && is_response {
                message.asked = Name::of(&name);
            }
            message.questions.push(Question { name, kind });
        }
        for number in 0..records {
            let Some(record) = Record::of(bytes, &mut cursor) else {
                return is_cut.then_some(message);
            };
            if record.kind != OPT && !is_class(record.class) {
                return None;
            }
            if is_response && number < answers {
                message.learn(&record);
            }
        }
        cursor.is_empty().then_some(message)
    }

    fn learn(&mut self, record: &Record<'_>) {
        let mut content = Cursor::new(record.content);
        match record.kind {
            A => self.add_address(content.array().map(Addr::from_v4), record.ttl),
            AAAA => self.add_address(content.array().map(Addr::from_v6), record.ttl),
            CNAME => {
                let mut at = Cursor::new(record.from_content);
                if let Some(alias) = name(record.message, &mut at)
                    && let Some(alias) = Name::of(&alias)
                    && self.aliases.len() < ALIASES_MAX
                    && !self.aliases.contains(&alias)
                {
                    self.aliases.push(alias);
                }
            }
            SVCB | HTTPS => self.learn_hints(record),
            _ => {}
        }
    }

    /// Addresses that a service binding hints at (RFC 9460, section 7.3).
    fn learn_hints(&mut self, record: &Record<'_>) {
        let mut content = Cursor::new(record.content);
        // The target's name is never compressed.
        if content.u16().is_none() || name(&[], &mut content).is_none() {
            return;
        }
        while let (Some(key), Some(value)) = (content.u16(), content.behind_u16()) {
            match key {
                IPV4_HINT => value.as_chunks().0.iter().for_each(|&bytes| {
                    self.add_address(Some(Ipv4Addr::from(bytes).into()), record.ttl);
                }),
                IPV6_HINT => value.as_chunks::<16>().0.iter().for_each(|&bytes| {
                    self.add_address(Some(Ipv6Addr::from(bytes).into()), record.ttl);
                }),
                _ => {}
            }
        }
    }

    fn add_address(&mut self, addr: Option<Addr>, ttl: Duration) {
        if let Some(addr) = addr
            && self.addresses.len() < ADDRESSES_MAX
        {
            self.addresses.push((addr, ttl));
        }
    }
}

/// The names that a response gives to addresses: the owners of its address records, at most
/// [`ADDRESSES_MAX`], as far as it can be read. Multicast DNS puts them anywhere behind its answers.
pub(crate) fn address_owners(bytes: &[u8]) -> Vec<(Name, Addr)> {
    let mut owners = Vec::new();
    let mut cursor = Cursor::new(bytes);
    let Some([_id, flags, questions, counts @ ..]) = cursor.array::<12>().map(|head| {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = head;
        [[a, b], [c, d], [e, f], [g, h], [i, j], [k, l]].map(u16::from_be_bytes)
    }) else {
        return owners;
    };
    if flags & RESPONSE == 0 || usize::from(questions) > QUESTIONS_MAX {
        return owners;
    }
    for _ in 0..questions {
        if name(bytes, &mut cursor).is_none() || cursor.u32().is_none() {
            return owners;
        }
    }
    let records = counts.iter().map(|&count| usize::from(count)).sum::<usize>();
    for _ in 0..records.min(RECORDS_MAX) {
        let mut at = cursor;
        let Some(record) = Record::of(bytes, &mut cursor) else { break };
        let mut content = Cursor::new(record.content);
        let addr = match record.kind {
            A => content.array().map(Addr::from_v4),
            AAAA => content.array().map(Addr::from_v6),
            _ => None,
        };
        if let Some(addr) = addr
            && owners.len() < ADDRESSES_MAX
            && let Some(owner) = name(bytes, &mut at).and_then(|owner| Name::of(&owner))
        {
            owners.push((owner, addr));
        }
    }
    owners
}

/// A resource record.
#[derive(Debug)]
struct Record<'a> {
    message: &'a [u8],
    kind: u16,
    class: u16,
    ttl: Duration,
    content: &'a [u8],
    /// The message from the content on, for names in it.
    from_content: &'a [u8],
}

impl<'a> Record<'a> {
    fn of(message: &'a [u8], cursor: &mut Cursor<'a>) -> Option<Self> {
        walk(message, cursor, |_| {})?;
        let (kind, class, ttl) = (cursor.u16()?, cursor.u16()?, cursor.u32()?);
        let from_content = cursor.rest().get(2..)?;
        let content = cursor.behind_u16()?;
        // A lifetime with its highest bit set is none (RFC 2181, section 8).
        let ttl = Duration::from_secs(if ttl >> 31 == 0 { ttl.into() } else { 0 });
        Some(Self { message, kind, class, ttl, content, from_content })
    }
}

/// Reads a name, whose compressed rest lies further ahead in `message`: each pointer must lead to
/// before the last one, so that no loop is possible. At most 255 bytes on the wire (RFC 1035, 2.3.4).
///
/// A dot within a label is not one between labels: such a name comes out as one that is not valid.
fn name<'a>(message: &'a [u8], cursor: &mut Cursor<'a>) -> Option<SmallVec<[u8; 64]>> {
    let mut text = SmallVec::new();
    walk(message, cursor, |label| {
        if !text.is_empty() {
            text.push(b'.');
        }
        let begin = text.len();
        text.extend_from_slice(label);
        for byte in text[begin..].iter_mut().filter(|byte| **byte == b'.') {
            *byte = 0;
        }
    })?;
    Some(text)
}

/// Goes over the labels of a name, as [`name`] does.
fn walk<'a>(
    message: &'a [u8],
    cursor: &mut Cursor<'a>,
    mut take: impl FnMut(&'a [u8]),
) -> Option<()> {
    let (mut limit, mut text_len) = (message.len(), 0);
    let mut jumped: Option<Cursor<'a>> = None;
    loop {
        let at = jumped.as_mut().unwrap_or(cursor);
        match at.u8()? {
            0 => return Some(()),
            len @ 1..64 => {
                let label = at.take(len.into())?;
                if text_len + label.len() + 1 > WIRE_NAME_MAX {
                    return None;
                }
                text_len += label.len() + usize::from(text_len > 0);
                take(label);
            }
            high @ 0xc0.. => {
                let to = usize::from(high & 0x3f) << 8 | usize::from(at.u8()?);
                if to >= limit {
                    return None;
                }
                limit = to;
                jumped = Some(Cursor::new(&message[to..]));
            }
            _ => return None,
        }
    }
}

/// Internet, Chaos, Hesiod, none, any; the highest bit has a meaning in multicast DNS (RFC 6762).
fn is_class(class: u16) -> bool {
    matches!(class & 0x7fff, 1 | 3 | 4 | 254 | 255)
}

const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
/// The bit that must be zero (RFC 2535, section 6.1).
const RESERVED: u16 = 0x0040;

/// Record types.
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const OPT: u16 = 41;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;

/// Parameters of a service binding.
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

/// Bytes of a name, without the lengths of its labels.
const WIRE_NAME_MAX: usize = 254;

/// Questions that multicast DNS asks at once.
const QUESTIONS_MAX: usize = 32;

/// Records of a message; a datagram of 64 KiB could claim as many as a number of 16 bits can say, thrice.
const RECORDS_MAX: usize = 512;

/// Addresses kept of an answer.
pub(super) const ADDRESSES_MAX: usize = 32;

/// Aliases kept of an answer.
pub(super) const ALIASES_MAX: usize = 8;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire_name(name: &str) -> Vec<u8> {
        let labels = name.split('.').filter(|label| !label.is_empty());
        let mut bytes: Vec<u8> =
            labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
        bytes.push(0);
        bytes
    }

    fn head(flags: u16, counts: [u16; 4]) -> Vec<u8> {
        [0x1234, flags, counts[0], counts[1], counts[2], counts[3]]
            .into_iter()
            .flat_map(u16::to_be_bytes)
            .collect()
    }

    pub(in super::super) fn query(name: &str) -> Vec<u8> {
        [head(0x0100, [1, 0, 0, 0]), wire_name(name), vec![0, 1, 0, 1]].concat()
    }

    /// An answer of one address, its owner compressed to a pointer to the question.
    pub(in super::super) fn answer(name: &str, ttl: u32, addr: [u8; 4]) -> Vec<u8> {
        let mut bytes = [head(0x8180, [1, 1, 0, 0]), wire_name(name), vec![0, 1, 0, 1]].concat();
        record(&mut bytes, &[0xc0, 12], A, ttl, &addr);
        bytes
    }

    fn record(to: &mut Vec<u8>, owner: &[u8], kind: u16, ttl: u32, content: &[u8]) {
        to.extend(owner);
        to.extend(kind.to_be_bytes());
        to.extend([0, 1]);
        to.extend(ttl.to_be_bytes());
        to.extend((content.len() as u16).to_be_bytes());
        to.extend(content);
    }

    /// Multicast DNS: no question, and the address behind other records.
    #[test]
    fn owners_of_addresses_are_found_anywhere() {
        let mut bytes = head(0x8400, [0, 1, 0, 1]);
        record(&mut bytes, &wire_name("_ipp._tcp.local"), 12, 120, &[0xc0, 12]);
        record(&mut bytes, &wire_name("PC-37.local"), A, 120, &[10, 0, 0, 37]);
        let owners = address_owners(&bytes);
        assert_eq!(owners, [(Name::of(b"pc-37.local").unwrap(), Addr::from_v4([10, 0, 0, 37]))]);
        assert!(address_owners(&query("pc-37.local")).is_empty());
        for len in 0..bytes.len() {
            assert!(address_owners(&bytes[..len]).is_empty(), "{len}");
        }
    }

    #[test]
    fn an_answer_names_its_addresses() {
        let mut bytes =
            [head(0x8180, [1, 3, 0, 0]), wire_name("www.Files.Example"), vec![0, 1, 0, 1]].concat();
        // The alias ends in a pointer to "Example" in the question.
        record(&mut bytes, &[0xc0, 12], CNAME, 60, &[3, b'c', b'd', b'n', 0xc0, 22]);
        record(&mut bytes, &[0xc0, 12], A, 300, &[203, 0, 113, 9]);
        let mut hints = vec![0, 1, 0, 0, 4, 0, 4, 203, 0, 113, 10, 0, 6, 0, 16];
        hints.extend([0x20; 16]);
        record(&mut bytes, &[0xc0, 12], HTTPS, 30, &hints);
        let message = Message::of(&bytes, false).unwrap();
        assert_eq!(message.asked.unwrap().as_str(), "www.files.example");
        assert_eq!(message.aliases[0].as_str(), "cdn.example");
        let secs = Duration::from_secs;
        assert_eq!(
            message.addresses,
            [
                (Addr::from_v4([203, 0, 113, 9]), secs(300)),
                (Addr::from_v4([203, 0, 113, 10]), secs(30)),
                (Addr::from_v6([0x20; 16]), secs(30)),
            ]
        );
    }

    /// Pointers that lead round and round have hung many a resolver.
    #[test]
    fn pointers_lead_back_or_nowhere() {
        let with_name = |name: &[u8]| {
            let bytes = [&head(0x0100, [1, 0, 0, 0]), name, &[0, 1, 0, 1]].concat();
            Message::of(&bytes, false)
        };
        assert!(with_name(&[1, b'a', 0]).is_some());
        for name in [&[0xc0, 12][..], &[1, b'a', 0xc0, 12], &[0xc0, 14, 0xc0, 12], &[0xff, 0xff]] {
            assert!(with_name(name).is_none(), "{name:?}");
        }
        // Each pointer one step back, to the last byte of which a long name would grow.
        let mut chain = vec![63; 64];
        for _ in 0..2000 {
            chain.extend([0xc0, 12]);
        }
        assert!(with_name(&chain).is_none());
    }

    /// Nearly any datagram could pass for DNS if only its header were looked at.
    #[test]
    fn only_whole_messages_are_messages() {
        let bytes = answer("files.example", 60, [203, 0, 113, 9]);
        assert!(Message::of(&bytes, false).is_some());
        assert!(Message::of(&[&bytes[..], &[0]].concat(), false).is_none());
        for len in 0..bytes.len() {
            assert!(Message::of(&bytes[..len], false).is_none(), "{len}");
        }
        assert!(Message::of(&bytes[..bytes.len() - 1], true).unwrap().addresses.is_empty());
        assert!(Message::of(&[0; 12], false).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), is_cut: bool) {
            let _ = Message::of(&bytes, is_cut);
            prop_assert!(address_owners(&bytes).len() <= ADDRESSES_MAX);
        }

        #[test]
        fn no_changed_answer_panics(at in 0usize..60, to: u8, is_cut: bool) {
            let mut bytes = answer("files.example", 60, [203, 0, 113, 9]);
            let at = at % bytes.len();
            bytes[at] = to;
            if let Some(message) = Message::of(&bytes, is_cut) {
                prop_assert!(message.addresses.len() <= 1);
            }
        }
    }
}
