//! What a TLS handshake says in the clear (RFC 8446, RFC 5246, RFC 6066): the client's hello, and up to
//! TLS 1.2 the server's certificate.

use std::borrow::Cow;

use super::certificate;
use super::cursor::Cursor;
use super::name::Name;

/// The handshake messages of a stream's start, taken out of their records.
#[derive(Debug)]
pub(super) struct Handshake<'a> {
    /// The messages; borrowed where one record holds them all.
    pub(super) messages: Cow<'a, [u8]>,
    /// Bytes that the stream must have before there is more; `None` when no more will come in the clear.
    pub(super) wants: Option<usize>,
}

impl<'a> Handshake<'a> {
    /// Opens the records at the beginning of `stream`.
    pub(super) fn of(stream: &'a [u8]) -> Self {
        let mut messages = Cow::Borrowed(&[][..]);
        let mut at = 0;
        loop {
            let Some(&[kind, major, _, high, low]) = stream[at..].first_chunk() else {
                return Self { messages, wants: Some(at + RECORD_HEADER) };
            };
            let len = usize::from(u16::from_be_bytes([high, low]));
            // After a ChangeCipherSpec all is secret, and TLS 1.3 sends one only behind the clear part.
            if kind != HANDSHAKE || major != 3 || len == 0 || len > RECORD_MAX {
                return Self { messages, wants: None };
            }
            let begin = at + RECORD_HEADER;
            at = begin + len;
            let part = &stream[begin..at.min(stream.len())];
            if messages.is_empty() {
                messages = Cow::Borrowed(part);
            } else {
                messages.to_mut().extend_from_slice(part);
            }
            if at > stream.len() {
                return Self { messages, wants: Some(at) };
            }
        }
    }
}

/// The first message: its type and as much of its body as there is.
pub(super) fn message<'a>(cursor: &mut Cursor<'a>) -> Option<Message<'a>> {
    let (kind, len) = (cursor.u8()?, cursor.u24()?);
    let body = cursor.take_up_to(len);
    Some(Message { kind, body, len })
}

/// A handshake message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    /// What there is of it.
    pub(super) body: &'a [u8],
    /// Its whole length.
    pub(super) len: usize,
}

impl Message<'_> {
    /// A client's hello.
    pub(super) const CLIENT_HELLO: u8 = 1;
    /// A server's hello.
    pub(super) const SERVER_HELLO: u8 = 2;
    /// A server's certificates.
    pub(super) const CERTIFICATE: u8 = 11;

    pub(super) fn is_whole(&self) -> bool {
        self.body.len() == self.len
    }
}

/// What a client's hello says, or the part of it that came.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ClientHello<'a> {
    /// Did it end properly?
    pub(super) is_whole: bool,
    pub(super) legacy_version: u16,
    /// The highest of `supported_versions` (RFC 8446, 4.2.1), GREASE aside.
    pub(super) highest_version: Option<u16>,
    pub(super) ciphers: Vec<u16>,
    /// Types of its extensions in their order.
    pub(super) extensions: Vec<u16>,
    pub(super) signature_algorithms: Vec<u16>,
    /// The name it asks for. With [`ClientHello::has_ech`] that is the outer one, of whoever serves many.
    pub(super) server_name: Option<Name>,
    /// Protocols offered, first the one liked best (RFC 7301).
    pub(super) alpn: Vec<&'a [u8]>,
    /// Is an encrypted hello in it, real or GREASE? Nobody but the server can tell them apart (RFC 9849).
    pub(super) has_ech: bool,
}

impl<'a> ClientHello<'a> {
    /// Reads the body of a client's hello, or the beginning of one.
    pub(super) fn of(message: &Message<'a>) -> Self {
        let mut hello = Self::default();
        let end = hello.fill(Cursor::new(message.body), |_| Some(()));
        hello.is_whole = message.is_whole() && end.is_some();
        hello
    }

    /// The same of DTLS, which has a cookie (RFC 6347, section 4.2.1).
    pub(super) fn of_dtls(message: &Message<'a>) -> Self {
        let mut hello = Self::default();
        let cookie = |body: &mut Cursor<'a>| body.behind_u8().map(drop);
        let end = hello.fill(Cursor::new(message.body), cookie);
        hello.is_whole = message.is_whole() && end.is_some();
        hello
    }

    fn fill(
        &mut self,
        mut body: Cursor<'a>,
        behind_session: impl FnOnce(&mut Cursor<'a>) -> Option<()>,
    ) -> Option<()> {
        self.legacy_version = body.u16()?;
        body.take(RANDOM)?;
        body.behind_u8()?; // session
        behind_session(&mut body)?;
        self.ciphers = numbers(body.behind_u16()?);
        body.behind_u8()?; // compression
        if body.is_empty() {
            return Some(()); // before RFC 3546 there were no extensions
        }
        let len = body.u16()?;
        let mut extensions = Cursor::new(body.take_up_to(len.into()));
        while !extensions.is_empty() {
            let kind = extensions.u16()?;
            let len = extensions.u16()?;
            let content = extensions.take(len.into())?;
            self.extensions.push(kind);
            self.extension(kind, Cursor::new(content));
        }
        Some(())
    }

    /// A broken extension says nothing; the others still count. Of one that comes twice, which RFC 8446
    /// forbids, the first counts.
    fn extension(&mut self, kind: u16, mut content: Cursor<'a>) {
        match kind {
            SERVER_NAME if self.server_name.is_none() => {
                self.server_name = server_name(content);
            }
            ALPN if self.alpn.is_empty() => {
                let mut protocols = Cursor::new(content.behind_u16().unwrap_or_default());
                while let Some(protocol) = protocols.behind_u8() {
                    self.alpn.push(protocol);
                }
            }
            SIGNATURE_ALGORITHMS if self.signature_algorithms.is_empty() => {
                self.signature_algorithms = numbers(content.behind_u16().unwrap_or_default());
            }
            SUPPORTED_VERSIONS if self.highest_version.is_none() => {
                let versions = numbers(content.behind_u8().unwrap_or_default());
                self.highest_version = versions.into_iter().filter(|it| !is_grease(*it)).max();
            }
            ECH => self.has_ech = true,
            _ => {}
        }
    }
}

/// The first host name of an SNI extension (RFC 6066, section 3).
fn server_name(mut content: Cursor<'_>) -> Option<Name> {
    let mut list = Cursor::new(content.behind_u16()?);
    while let (Some(kind), Some(name)) = (list.u8(), list.behind_u16()) {
        if kind == HOST_NAME {
            return Name::of(name);
        }
    }
    None
}

/// What a server's first messages say.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ServerFlight {
    /// Is there nothing more to wait for?
    pub(super) is_whole: bool,
    /// Names of the first certificate.
    pub(super) certificate: certificate::Names,
}

impl ServerFlight {
    /// Reads a server's handshake messages, or the beginning of them.
    pub(super) fn of(messages: &[u8]) -> Self {
        let mut flight = Self::default();
        let mut cursor = Cursor::new(messages);
        while let Some(message) = message(&mut cursor) {
            match message.kind {
                Message::SERVER_HELLO if is_secret_after(message.body) => flight.is_whole = true,
                Message::CERTIFICATE => {
                    let mut chain = Cursor::new(message.body.get(3..).unwrap_or_default());
                    let leaf_len = chain.u24().unwrap_or(0);
                    let leaf = chain.take_up_to(leaf_len);
                    flight.is_whole = leaf.len() == leaf_len;
                    flight.certificate = certificate::Names::of(leaf);
                    flight.certificate.is_whole &= flight.is_whole;
                    return flight;
                }
                // Anything but what may stand before a certificate (RFC 5246, section 7.3): a session is
                // resumed, or the server has no certificate.
                Message::SERVER_HELLO => {}
                _ => flight.is_whole = true,
            }
            if flight.is_whole {
                break;
            }
        }
        flight
    }
}

/// Does this server's hello choose TLS 1.3, or a draft of it? Then the certificate comes encrypted.
fn is_secret_after(hello: &[u8]) -> bool {
    let extensions = |mut body: Cursor<'_>| {
        body.take(2 + RANDOM)?;
        body.behind_u8()?; // session
        body.take(3)?; // cipher suite and compression
        let mut extensions = Cursor::new(body.behind_u16()?);
        while let (Some(kind), Some(content)) = (extensions.u16(), extensions.behind_u16()) {
            if kind == SUPPORTED_VERSIONS {
                return Some(content != [3, 3] && content != [3, 2] && content != [3, 1]);
            }
        }
        Some(false)
    };
    extensions(Cursor::new(hello)).unwrap_or(false)
}

/// A value that clients make up to keep servers tolerant (RFC 8701).
pub(super) fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

fn numbers(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect()
}

/// Type, version and length of a record.
pub(super) const RECORD_HEADER: usize = 5;

/// The longest record: RFC 5246 allows 2048 bytes over the plain text's 2^14.
const RECORD_MAX: usize = (1 << 14) + 2048;

/// The record type of handshakes.
pub(super) const HANDSHAKE: u8 = 22;

const RANDOM: usize = 32;
const HOST_NAME: u8 = 0;

/// Extension types (IANA, "TLS ExtensionType Values").
pub(super) const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(super) const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
const ECH: u16 = 0xfe0d;

#[cfg(test)]
mod tests {
    use super::super::tests::{client_hello, record, records};
    use super::*;

    fn read<T>(stream: &[u8], see: impl FnOnce(&ClientHello<'_>) -> T) -> T {
        let handshake = Handshake::of(stream);
        let message = message(&mut Cursor::new(&handshake.messages)).unwrap();
        see(&ClientHello::of(&message))
    }

    #[test]
    fn a_hello_names_the_server() {
        read(&record(&client_hello("Files.Example", 0)), |hello| {
            assert!(hello.is_whole && !hello.has_ech);
            assert_eq!(hello.server_name.as_ref().unwrap().as_str(), "files.example");
            assert_eq!(hello.highest_version, Some(0x0304));
        });
    }

    /// A client may put its hello into many records, so that the name lies across two of them.
    #[test]
    fn records_do_not_matter() {
        let hello = client_hello("files.example", 1800);
        let text = |hello: &ClientHello<'_>| format!("{hello:?}");
        let whole = read(&record(&hello), text);
        for len in [1, 7, 100, 1000] {
            assert_eq!(read(&records(&hello, len), text), whole);
        }
    }

    /// At every place where a hello may be cut: no panic, nothing but what the whole one says, and `wants`
    /// says truly when there is more.
    #[test]
    fn a_part_says_no_more_than_the_whole() {
        let stream = records(&client_hello("files.example", 20), 90);
        let (name, extensions) =
            read(&stream, |hello| (hello.server_name.clone(), hello.extensions.clone()));
        for len in 0..stream.len() {
            let handshake = Handshake::of(&stream[..len]);
            let wants = handshake.wants.expect("a hello is no end");
            assert!(wants > len, "{wants} at {len}");
            let Some(message) = message(&mut Cursor::new(&handshake.messages)) else { continue };
            let part = ClientHello::of(&message);
            assert!(!part.is_whole);
            assert!(part.server_name.is_none() || part.server_name == name);
            assert!(extensions.starts_with(&part.extensions));
        }
    }

    #[test]
    fn grease_is_known() {
        let grease: Vec<u16> = (0..=u16::MAX).filter(|&value| is_grease(value)).collect();
        assert_eq!(grease.len(), 16);
        assert_eq!((grease[0], grease[15]), (0x0a0a, 0xfafa));
    }
}
