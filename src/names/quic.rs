//! The client's hello of a QUIC connection, out of its Initial packets (RFC 9000, RFC 9001, RFC 9369).
//!
//! Their keys follow from a connection id that anybody can read: they hide the hello from nobody who
//! takes the trouble.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey, quic};
use ring::hkdf;
use smallvec::SmallVec;

use super::cursor::Cursor;

/// A connection id: at most 20 bytes (RFC 9000, section 17.2).
pub(super) type ConnectionId = SmallVec<[u8; 20]>;

/// A version whose Initial packets can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

impl Version {
    fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            0x6b33_43cf => Some(Self::V2),
            _ => None,
        }
    }

    /// The type bits of an Initial and of a Retry packet.
    fn types(self) -> (u8, u8) {
        match self {
            Self::V1 => (0, 3),
            Self::V2 => (1, 0),
        }
    }

    fn salt(self) -> [u8; 20] {
        match self {
            Self::V1 => [
                0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
                0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
            ],
            Self::V2 => [
                0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26,
                0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
            ],
        }
    }

    /// Labels of key, initialisation vector and header protection.
    fn labels(self) -> [&'static [u8]; 3] {
        match self {
            Self::V1 => [b"tls13 quic key", b"tls13 quic iv", b"tls13 quic hp"],
            Self::V2 => [b"tls13 quicv2 key", b"tls13 quicv2 iv", b"tls13 quicv2 hp"],
        }
    }
}

/// One packet with a long header, as far as it can be read without keys.
#[derive(Debug, Clone, Copy)]
struct Long<'a> {
    version: Version,
    is_initial: bool,
    destination: &'a [u8],
    /// From its first byte to its last; shorter than [`Long::len`] where it was cut.
    bytes: &'a [u8],
    len: usize,
    /// Where the protected packet number begins.
    number_at: usize,
}

impl<'a> Long<'a> {
    /// `None` for a short header, another version, a Retry, and for what is no QUIC.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let first = cursor.u8()?;
        if first & LONG != LONG {
            return None;
        }
        let version = Version::of(cursor.u32()?)?;
        let destination = connection_id(&mut cursor)?;
        connection_id(&mut cursor)?;
        let (initial, retry) = version.types();
        let kind = first >> 4 & 3;
        if kind == retry {
            return None;
        }
        let is_initial = kind == initial;
        if is_initial {
            let token_len = varint(&mut cursor)?;
            cursor.take(token_len.try_into().ok()?)?;
        }
        let rest_len = usize::try_from(varint(&mut cursor)?).ok()?;
        let number_at = bytes.len() - cursor.rest().len();
        let len = number_at.checked_add(rest_len)?;
        if rest_len < SAMPLE_AT + quic::AES_128.sample_len() {
            return None;
        }
        let bytes = &bytes[..len.min(bytes.len())];
        Some(Self { version, is_initial, destination, bytes, len, number_at })
    }
}

/// Is this a datagram of a version that is known, beginning with a long header?
///
/// A Retry and packets after the handshake are not taken for one: they have nothing that tells.
pub(super) fn is_quic(datagram: &[u8]) -> bool {
    Long::of(datagram).is_some()
}

/// What keys can be made of: the connection id that the client chose for its server at first, and has
/// to go on using for its keys when the server has named another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Secret {
    version: Version,
    id: ConnectionId,
}

/// Opens the Initial packets of a datagram that a client sent and hands `crypto` the pieces of its
/// handshake with their offsets; answers what opened them. `None` if the datagram has none, or none
/// that `known` or its own connection id opens.
pub(super) fn open(
    datagram: &[u8],
    known: Option<&Secret>,
    scratch: &mut Vec<u8>,
    mut crypto: impl FnMut(usize, &[u8]),
) -> Option<Secret> {
    let (mut secret, mut rest, mut has_opened) = (known.cloned(), datagram, false);
    while let Some(packet) = Long::of(rest) {
        rest = rest.get(packet.len..).unwrap_or_default();
        if !packet.is_initial || packet.bytes.len() < packet.len {
            continue;
        }
        let own = Secret { version: packet.version, id: packet.destination.into() };
        let candidates = secret.iter().chain((secret.as_ref() != Some(&own)).then_some(&own));
        let opened = candidates.cloned().find_map(|candidate| {
            let keys = Keys::of(&candidate)?;
            let plain = keys.open(&packet, scratch)?;
            frames(plain, &mut crypto);
            Some(candidate)
        });
        if opened.is_some() {
            (secret, has_opened) = (opened, true);
        }
    }
    secret.filter(|_| has_opened)
}

/// The keys of a client's Initial packets.
struct Keys {
    packet: LessSafeKey,
    iv: [u8; 12],
    header: quic::HeaderProtectionKey,
}

impl Keys {
    fn of(secret: &Secret) -> Option<Self> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &secret.version.salt());
        let mut client = [0; 32];
        expand(&salt.extract(&secret.id), b"tls13 client in", &mut client)?;
        let client = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &client);
        let [key_label, iv_label, header_label] = secret.version.labels();
        let (mut key, mut iv, mut header) = ([0; 16], [0; 12], [0; 16]);
        expand(&client, key_label, &mut key)?;
        expand(&client, iv_label, &mut iv)?;
        expand(&client, header_label, &mut header)?;
        Some(Self {
            packet: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?),
            iv,
            header: quic::HeaderProtectionKey::new(&quic::AES_128, &header).ok()?,
        })
    }

    /// Removes both protections of a whole packet (RFC 9001, sections 5.3 and 5.4); `None` unless it is
    /// authentic.
    fn open<'s>(&self, packet: &Long<'_>, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
        scratch.clear();
        scratch.extend_from_slice(packet.bytes);
        let sample_at = packet.number_at + SAMPLE_AT;
        let mask = self.header.new_mask(scratch.get(sample_at..sample_at + 16)?).ok()?;
        scratch[0] ^= mask[0] & 0x0f;
        let number_len = usize::from(scratch[0] & 3) + 1;
        let number_end = packet.number_at + number_len;
        let (header, sealed) = scratch.split_at_mut(number_end);
        let mut nonce = self.iv;
        let mut number = 0u64;
        for (byte, mask) in header[packet.number_at..].iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
            number = number << 8 | u64::from(*byte);
        }
        // A client's Initial packets are its first: the number is not shortened.
        for (byte, number) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.packet.open_in_place(nonce, Aad::from(header), sealed).ok().map(|plain| &*plain)
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
fn expand(secret: &hkdf::Prk, label: &[u8], out: &mut [u8]) -> Option<()> {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let len = u8::try_from(out.len()).ok()?;
    let label_len = u8::try_from(label.len()).ok()?;
    let info = [&[0, len, label_len], label, &[0]];
    secret.expand(&info, Len(out.len())).and_then(|material| material.fill(out)).ok()
}

/// Hands out the CRYPTO frames of an Initial packet, among the few frames that may be in one
/// (RFC 9000, section 17.2.2); stops at any other.
fn frames(plain: &[u8], crypto: &mut impl FnMut(usize, &[u8])) -> Option<()> {
    let mut cursor = Cursor::new(plain);
    loop {
        match varint(&mut cursor)? {
            0x00 | 0x01 => {} // PADDING, PING
            kind @ (0x02 | 0x03) => {
                varint(&mut cursor)?; // largest acknowledged
                varint(&mut cursor)?; // delay
                let ranges = varint(&mut cursor)?;
                varint(&mut cursor)?; // first range
                for _ in 0..ranges {
                    varint(&mut cursor)?;
                    varint(&mut cursor)?;
                }
                for _ in 0..if kind == 0x03 { 3 } else { 0 } {
                    varint(&mut cursor)?; // ECN counts
                }
            }
            0x06 => {
                let offset = usize::try_from(varint(&mut cursor)?).ok()?;
                let len = usize::try_from(varint(&mut cursor)?).ok()?;
                crypto(offset, cursor.take(len)?);
            }
            _ => return None,
        }
    }
}

fn connection_id<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    cursor.behind_u8().filter(|id| id.len() <= 20)
}

/// A number of one to eight bytes (RFC 9000, section 16).
fn varint(cursor: &mut Cursor<'_>) -> Option<u64> {
    let first = cursor.u8()?;
    let more = (1usize << (first >> 6)) - 1;
    let rest = cursor.take(more)?;
    Some(rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte)))
}

/// The bits of a long header: form and fixed bit.
const LONG: u8 = 0xc0;

/// Where the sample of header protection begins, from the packet number on.
const SAMPLE_AT: usize = 4;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Seals an Initial packet of a client, as RFC 9001 appendix A.2 does: a number of four bytes.
    pub(in super::super) fn seal(
        version: Version,
        keyed_by: &[u8],
        destination: &[u8],
        number: u32,
        plain: &[u8],
    ) -> Vec<u8> {
        let keys = Keys::of(&Secret { version, id: keyed_by.into() }).unwrap();
        let (first, wire) = match version {
            Version::V1 => (0xc3, [0, 0, 0, 1]),
            Version::V2 => (0xd3, [0x6b, 0x33, 0x43, 0xcf]),
        };
        let mut packet = vec![first];
        packet.extend(wire);
        packet.push(destination.len() as u8);
        packet.extend(destination);
        packet.extend([0, 0]); // source, token
        packet.extend((0x4000 | (4 + plain.len() + 16) as u16).to_be_bytes());
        let number_at = packet.len();
        packet.extend(number.to_be_bytes());
        let mut nonce = keys.iv;
        nonce[8..].iter_mut().zip(number.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
        let mut sealed = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        keys.packet.seal_in_place_append_tag(nonce, Aad::from(&packet), &mut sealed).unwrap();
        packet.extend(sealed);
        let mask = keys.header.new_mask(&packet[number_at + 4..number_at + 20]).unwrap();
        packet[0] ^= mask[0] & 0x0f;
        packet[number_at..].iter_mut().zip(&mask[1..]).for_each(|(byte, mask)| *byte ^= mask);
        packet
    }

    /// A CRYPTO frame.
    pub(in super::super) fn crypto(offset: usize, bytes: &[u8]) -> Vec<u8> {
        let number = |number: usize| (0x8000_0000 | number as u32).to_be_bytes();
        [&[6][..], &number(offset), &number(bytes.len()), bytes].concat()
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
    }

    const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

    /// The CRYPTO frame of RFC 9001, appendix A.2, and RFC 9369, appendix A.2.
    fn published_frame() -> Vec<u8> {
        hex("060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868
            04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578
            616d706c652e636f6dff01000100000a00080006001d00170018001000070005
            04616c706e000500050100000000003300260024001d00209370b2c9caa47fba
            baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400
            0d0010000e0403050306030203080408050806002d00020101001c0002400100
            3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000
            75300901100f088394c8f03e51570806048000ffff")
    }

    /// The published packets: their first 38 bytes, with the sample of header protection, and their
    /// last 16, with which the library authenticates all of the rest.
    #[test]
    fn the_published_packets() {
        let mut plain = published_frame();
        plain.resize(1162, 0);
        for (version, begin, end) in [
            (
                Version::V1,
                "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9b",
                "e221af44860018ab0856972e194cd934",
            ),
            (
                Version::V2,
                "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071",
                "a18b2faa745b6fe189cf772a9f84cbfc",
            ),
        ] {
            let packet = seal(version, &ID, &ID, 2, &plain);
            assert_eq!(packet.len(), 1200);
            assert!(packet.starts_with(&hex(begin)) && packet.ends_with(&hex(end)), "{version:?}");
            let mut hello = Vec::new();
            let secret = open(&packet, None, &mut Vec::new(), |offset, bytes| {
                assert_eq!(offset, 0);
                hello.extend_from_slice(bytes);
            });
            assert_eq!(secret, Some(Secret { version, id: ConnectionId::from_slice(&ID) }));
            assert_eq!(hello, published_frame()[4..]);
        }
    }

    /// After the server has named itself, the client calls it by that name and keeps its keys; after a
    /// Retry, the keys are new. Both must open.
    #[test]
    fn a_new_connection_id_with_old_or_new_keys() {
        let frame = crypto(0, b"hello");
        let known = Secret { version: Version::V1, id: ConnectionId::from_slice(&ID) };
        let opened = |packet: &[u8], known: Option<&Secret>| {
            open(packet, known, &mut Vec::new(), |_, bytes| assert_eq!(bytes, b"hello"))
        };
        let renamed = seal(Version::V1, &ID, &[9; 5], 1, &frame);
        assert_eq!(opened(&renamed, Some(&known)), Some(known.clone()));
        assert_eq!(opened(&renamed, None), None);
        let retried = seal(Version::V1, &[9; 5], &[9; 5], 1, &frame);
        let new = Secret { version: Version::V1, id: ConnectionId::from_slice(&[9; 5]) };
        assert_eq!(opened(&retried, Some(&known)), Some(new));
    }

    #[test]
    fn coalesced_packets_are_all_read() {
        let first = seal(Version::V1, &ID, &ID, 0, &crypto(5, b"world"));
        let second = seal(Version::V1, &ID, &ID, 1, &[&[0; 30][..], &crypto(0, b"hello")].concat());
        let mut pieces = Vec::new();
        open(&[first, second].concat(), None, &mut Vec::new(), |offset, bytes| {
            pieces.push((offset, bytes.to_vec()));
        });
        assert_eq!(pieces, [(5, b"world".to_vec()), (0, b"hello".to_vec())]);
    }

    /// A packet that was cut, or changed in any one byte, opens to nothing.
    #[test]
    fn nothing_unauthentic_is_read() {
        let packet = seal(Version::V1, &ID, &ID, 0, &crypto(0, b"hello, world"));
        let opens = |bytes: &[u8]| open(bytes, None, &mut Vec::new(), |_, _| {}).is_some();
        assert!(opens(&packet));
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 0x40;
            assert!(!opens(&changed), "{at}");
            assert!(!opens(&packet[..at]), "{at}");
        }
    }
}
