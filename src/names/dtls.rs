//! The client's hello of DTLS (RFC 6347, RFC 9147): that of TLS with a cookie in it, in records with numbers, and
//! perhaps in fragments.

use super::cursor::Cursor;
use super::tls::{ClientHello, HANDSHAKE, Message};

/// The bytes of a client's hello, as far as the records of one datagram hold them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    body: Vec<u8>,
    len: usize,
}

impl Hello {
    /// Puts the fragments in a datagram together, from the first byte of the hello on. `None` where its first
    /// message is another, or the beginning of the hello came in another datagram.
    pub(super) fn of(datagram: &[u8]) -> Option<Self> {
        let mut records = Cursor::new(datagram);
        let mut hello: Option<Self> = None;
        // Of a record that was cut what is there counts.
        while let Some(mut record) = record(&mut records) {
            let Some(fragment) = fragment(&mut record) else { break };
            let known = hello.get_or_insert(Self { body: Vec::new(), len: fragment.len });
            if fragment.len != known.len {
                break;
            }
            // Those that come again, or out of turn, are left out.
            if fragment.offset == known.body.len() {
                known.body.extend_from_slice(fragment.bytes);
            }
        }
        hello.filter(|hello| !hello.body.is_empty())
    }

    /// What it says.
    pub(super) fn read(&self) -> ClientHello<'_> {
        let Self { body, len } = self;
        ClientHello::of_dtls(&Message { kind: Message::CLIENT_HELLO, body, len: *len })
    }
}

/// A part of a handshake message.
struct Fragment<'a> {
    /// Length of the whole message.
    len: usize,
    offset: usize,
    bytes: &'a [u8],
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
    let len = record.u24()?;
    let _number = record.u16()?;
    let (offset, fragment_len) = (record.u24()?, record.u24()?);
    let bytes = record.take_up_to(fragment_len);
    let is_within = offset + bytes.len() <= len;
    (kind == Message::CLIENT_HELLO && is_within).then_some(Fragment { len, offset, bytes })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

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
        Hello::of(datagram)?.read().server_name.map(|name| name.to_string())
    }

    /// However it is cut into fragments, and however much of it the capture kept.
    #[test]
    fn a_hello_names_the_server() {
        for most in [1, 20, 100, 5000] {
            let whole = datagram("files.example", most);
            assert!(Hello::of(&whole).unwrap().read().is_whole, "{most}");
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
            for datagram in [bytes, forged] {
                let hello = Hello::of(&datagram);
                let is_bounded = hello.is_none_or(|hello| {
                    hello.read();
                    hello.body.len() <= datagram.len()
                });
                prop_assert!(is_bounded);
            }
        }
    }
}
