//! The client's hello of DTLS (RFC 6347, RFC 9147): that of TLS with a cookie in it, in records with numbers, and
//! perhaps in fragments.

use super::cursor::Cursor;
use super::start::Start;
use super::tls::{ClientHello, HANDSHAKE, Message};

/// The bytes of a client's hello, as far as they have come, in any order and over any number of datagrams.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    body: Start,
    number: u16,
    len: usize,
}

impl Hello {
    /// Begins with the hello that a datagram holds, or a part of; `None` where its first message is another.
    pub(super) fn of(datagram: &[u8], is_cut: bool) -> Option<Self> {
        let mut records = Cursor::new(datagram);
        let mut hello = Self::begun(&fragment(&mut record(&mut records)?)?);
        hello.add(datagram, is_cut);
        Some(hello)
    }

    fn begun(fragment: &Fragment<'_>) -> Self {
        Self { body: Start::default(), number: fragment.number, len: fragment.len }
    }

    /// Takes what another datagram has of it. Answers whether that is a handshake's: behind it no more will come.
    pub(super) fn add(&mut self, datagram: &[u8], is_cut: bool) -> bool {
        let (mut records, mut is_handshake) = (Cursor::new(datagram), false);
        while let Some(mut record) = record(&mut records) {
            is_handshake = true;
            let Some(fragment) = fragment(&mut record) else { break };
            // The hello that repeats the cookie is another message, and says the same.
            if fragment.number > self.number {
                *self = Self::begun(&fragment);
            }
            if (fragment.number, fragment.len) != (self.number, self.len) {
                break;
            }
            let is_cut = is_cut && fragment.is_cut();
            self.body.add(fragment.offset, fragment.bytes, is_cut);
        }
        is_handshake
    }

    /// Can no more of it come?
    pub(super) fn is_over(&self) -> bool {
        self.body.prefix().len() >= self.len || self.body.is_over()
    }

    /// What it says; `None` as long as its beginning has not come.
    pub(super) fn read(&self) -> Option<ClientHello<'_>> {
        let body = self.body.prefix();
        let message = Message { kind: Message::CLIENT_HELLO, body, len: self.len };
        (!body.is_empty()).then(|| ClientHello::of_dtls(&message))
    }

    /// Memory held beside the structure itself, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.body.heap_bytes()
    }
}

/// A part of a handshake message.
struct Fragment<'a> {
    number: u16,
    /// Length of the whole message.
    len: usize,
    offset: usize,
    /// Length of the part.
    part_len: usize,
    bytes: &'a [u8],
}

impl Fragment<'_> {
    fn is_cut(&self) -> bool {
        self.bytes.len() < self.part_len
    }
}

/// The content of the next record of a handshake in the clear.
fn record<'a>(records: &mut Cursor<'a>) -> Option<Cursor<'a>> {
    let kind = records.u8()?;
    let _version = records.u16()?;
    let epoch = records.u16()?;
    let _number: [u8; 6] = records.array()?;
    let len = records.u16()?;
    (kind == HANDSHAKE && epoch == 0).then(|| Cursor::new(records.take_up_to(len.into())))
}

/// The fragment in a record, if it is of a client's hello.
fn fragment<'a>(record: &mut Cursor<'a>) -> Option<Fragment<'a>> {
    let kind = record.u8()?;
    let (len, number) = (record.u24()?, record.u16()?);
    let (offset, part_len) = (record.u24()?, record.u24()?);
    let bytes = record.take_up_to(part_len);
    let is_within = offset + part_len <= len;
    let fragment = Fragment { number, len, offset, part_len, bytes };
    (kind == Message::CLIENT_HELLO && is_within).then_some(fragment)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::start::START_MAX;
    use super::super::tests::client_hello;
    use super::*;

    /// A hello for a name, with a cookie, in records of at most `most` bytes of it.
    pub(crate) fn datagram(name: &str, most: usize) -> Vec<u8> {
        let hello = client_hello(name, 0);
        // Behind type and length: version, random and session; then the cookie.
        let at = 4 + 2 + 32;
        let at = at + 1 + usize::from(hello[at]);
        let body = [&hello[4..at], &[3, 7, 7, 7], &hello[at..]].concat();
        let number = |number: usize| number.to_be_bytes()[5..].to_vec();
        let mut datagram = Vec::new();
        for (place, part) in body.chunks(most).enumerate() {
            let head = [&[1][..], &number(body.len()), &[0, 0], &number(place * most)].concat();
            let content = [&head[..], &number(part.len()), part].concat();
            let len = (content.len() as u16).to_be_bytes();
            datagram.extend([22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, place as u8]);
            datagram.extend(len.into_iter().chain(content));
        }
        datagram
    }

    fn name(datagram: &[u8]) -> Option<String> {
        Hello::of(datagram, true)?.read()?.server_name.map(|name| name.to_string())
    }

    /// The records of a datagram, each in one of its own.
    pub(crate) fn apart(datagram: &[u8]) -> Vec<&[u8]> {
        let (mut apart, mut rest) = (Vec::new(), datagram);
        while let [_, _, _, _, _, _, _, _, _, _, _, high, low, ..] = *rest {
            let (one, more) = rest.split_at(13 + usize::from(u16::from_be_bytes([high, low])));
            apart.push(one);
            rest = more;
        }
        apart
    }

    /// However it is cut into fragments, and however much of it the capture kept.
    #[test]
    fn a_hello_names_the_server() {
        for most in [1, 20, 100, 5000] {
            let whole = datagram("files.example", most);
            assert!(Hello::of(&whole, false).unwrap().read().unwrap().is_whole, "{most}");
            assert_eq!(name(&whole).as_deref(), Some("files.example"), "{most}");
            for len in 0..whole.len() {
                let part = name(&whole[..len]);
                assert!(part.is_none() || part == name(&whole), "{len} of {most}");
            }
        }
    }

    /// A fragment from the middle must not be read as a beginning.
    #[test]
    fn what_begins_elsewhere_says_nothing() {
        let whole = datagram("files.example", 100);
        let second = 13 + 12 + 100;
        assert_eq!(name(&whole[second..]), None);
        let mut encrypted = whole;
        encrypted[4] = 1;
        assert_eq!(name(&encrypted), None);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300) {
            let mut forged = datagram("files.example", 40);
            let at = at.min(forged.len());
            forged.truncate(at);
            forged.extend(&bytes);
            for datagram in [&bytes, &forged] {
                let mut hello = Hello::of(datagram, at % 2 == 0);
                if let Some(hello) = &mut hello {
                    hello.add(&bytes, at % 3 == 0);
                    hello.read();
                    prop_assert!(hello.heap_bytes() <= START_MAX + 1000);
                }
            }
        }
    }
}
