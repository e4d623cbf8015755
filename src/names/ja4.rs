//! JA4, the fingerprint of a TLS client.
//!
//! After the specification of FoxIO, LLC (John Althouse, "JA4: TLS Client Fingerprinting", 2023), which is
//! licensed BSD-3-Clause. Of the JA4+ family only JA4 itself is; nothing else of it is here.

use std::hash::BuildHasher;

use ring::digest;
use smallvec::SmallVec;

use super::tls::{ALPN, ClientHello, SERVER_NAME, is_grease};

/// What carried the hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Tcp,
    Quic,
}

/// The fingerprint of a whole hello, 36 characters.
pub(super) fn ja4(carrier: Carrier, hello: &ClientHello<'_>, digests: &mut Digests) -> String {
    let plain = |values: &[u16]| -> Values {
        values.iter().copied().filter(|&value| !is_grease(value)).collect()
    };
    let (mut ciphers, mut extensions) = (plain(&hello.ciphers), plain(&hello.extensions));
    let counts = (ciphers.len().min(99), extensions.len().min(99));
    let carrier = match carrier {
        Carrier::Tcp => b't',
        Carrier::Quic => b'q',
    };
    let mut has_sni = false;
    extensions.retain(|kind| {
        has_sni |= *kind == SERVER_NAME;
        *kind != SERVER_NAME && *kind != ALPN
    });
    let sni = if has_sni { b'd' } else { b'i' };
    let version = version(hello.highest_version.unwrap_or(hello.legacy_version));
    let alpn = alpn(hello.alpn.first().copied().unwrap_or_default());
    ciphers.sort_unstable();
    extensions.sort_unstable();
    if !extensions.is_empty() && !hello.signature_algorithms.is_empty() {
        extensions.push(BETWEEN);
        extensions.extend_from_slice(&hello.signature_algorithms);
    }
    // Put together by hand, and as bytes: formatting costs more than the digests.
    let mut text = Vec::with_capacity(36);
    text.push(carrier);
    text.extend_from_slice(version);
    text.push(sni);
    for count in [counts.0, counts.1] {
        text.extend_from_slice(&[b'0' + (count / 10) as u8, b'0' + (count % 10) as u8]);
    }
    text.extend_from_slice(&alpn);
    for list in [&ciphers, &extensions] {
        text.push(b'_');
        text.extend_from_slice(&digests.of(list));
    }
    String::from_utf8(text).expect("letters, digits and underscores")
}

/// Values of a hello; most have fewer.
type Values = SmallVec<[u16; 32]>;

/// What stands between extensions and signature algorithms: no value of an extension, because it is GREASE.
const BETWEEN: u16 = 0x0a0a;

/// The digests of the lists that came last. An office has a few programs that say hello over and over,
/// and a digest costs as much as all else that is read of a hello.
#[derive(Debug, Clone, Default)]
pub(super) struct Digests {
    /// Each list has one place, by its hash, and the one that came last has it. Empty until one comes.
    places: Vec<(Box<[u16]>, Digits)>,
}

/// The first twelve digits of a SHA-256.
type Digits = [u8; 12];

impl Digests {
    /// The digest of a list; zeros for an empty one.
    fn of(&mut self, list: &[u16]) -> Digits {
        if list.is_empty() {
            return [b'0'; 12];
        }
        if list.len() > LIST_MAX {
            return digest(list);
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, Default::default);
        }
        let hash = foldhash::fast::FixedState::default().hash_one(list);
        let (known, digits) = &mut self.places[hash as usize % PLACES];
        if **known != *list {
            (*known, *digits) = (list.into(), digest(list));
        }
        *digits
    }
}

fn version(version: u16) -> &'static [u8; 2] {
    match version {
        0x0304 => b"13",
        0x0303 => b"12",
        0x0302 => b"11",
        0x0301 => b"10",
        0x0300 => b"s3",
        0x0002 => b"s2",
        _ => b"00",
    }
}

/// First and last character of the protocol offered first; of its hexadecimal form where one of them is
/// neither letter nor digit.
fn alpn(protocol: &[u8]) -> [u8; 2] {
    let (Some(&first), Some(&last)) = (protocol.first(), protocol.last()) else {
        return *b"00";
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first, last];
    }
    [digit(first >> 4), digit(last)]
}

/// The digest of the values in four digits each, with commas between them.
fn digest(list: &[u16]) -> Digits {
    let mut text = Vec::with_capacity(5 * list.len());
    // The first one is what stands between; behind it anything may be a value.
    let mut between = list.iter().position(|&value| value == BETWEEN);
    for (at, &value) in list.iter().enumerate() {
        if between.take_if(|between| *between == at).is_some() {
            text.pop();
            text.push(b'_');
            continue;
        }
        let [high, low] = value.to_be_bytes();
        text.extend([digit(high >> 4), digit(high), digit(low >> 4), digit(low), b',']);
    }
    text.pop();
    let digest = digest::digest(&digest::SHA256, &text);
    let mut digits = [0; 12];
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(digest.as_ref()) {
        *pair = [digit(byte >> 4), digit(*byte)];
    }
    digits
}

/// The hexadecimal digit of the lower four bits.
fn digit(value: u8) -> u8 {
    b"0123456789abcdef"[usize::from(value & 0x0f)]
}

/// Digests kept.
const PLACES: usize = 32;

/// Values of the longest list whose digest is kept. Nobody in earnest has more.
const LIST_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(carrier: Carrier, hello: &ClientHello<'_>) -> String {
        ja4(carrier, hello, &mut Digests::default())
    }

    fn published() -> ClientHello<'static> {
        ClientHello {
            is_whole: true,
            legacy_version: 0x0303,
            highest_version: Some(0x0304),
            ciphers: vec![
                0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
                0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x9a9a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005,
                0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x4a4a,
            ],
            signature_algorithms: vec![
                0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
            ],
            alpn: vec![b"h2", b"http/1.1"],
            ..ClientHello::default()
        }
    }

    /// The example of the specification (technical_details/JA4.md).
    #[test]
    fn the_published_example() {
        let hello = published();
        assert_eq!(fingerprint(Carrier::Tcp, &hello), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(fingerprint(Carrier::Quic, &hello), "q13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    /// The specification's other example of the last part: no signature algorithms, no underscore.
    #[test]
    fn without_signature_algorithms() {
        let hello = ClientHello { signature_algorithms: Vec::new(), ..published() };
        assert_eq!(fingerprint(Carrier::Tcp, &hello), "t13d1516h2_8daaf6152771_6d807ffa2a79");
    }

    #[test]
    fn what_is_not_there_is_zeros() {
        let bare = ClientHello { legacy_version: 0x0301, ..ClientHello::default() };
        assert_eq!(fingerprint(Carrier::Tcp, &bare), "t10i000000_000000000000_000000000000");
        let many = ClientHello { ciphers: (0..200).collect(), ..bare };
        assert!(fingerprint(Carrier::Tcp, &many).starts_with("t10i990000_"));
    }

    /// Examples of the specification for protocols that are no words.
    #[test]
    fn alpn_that_is_no_word() {
        for (protocol, shown) in [
            (&[0xab][..], "ab"),
            (&[0xab, 0xcd], "ad"),
            (&[0x30, 0xab], "3b"),
            (&[0x30, 0x31, 0xab, 0xcd], "3d"),
            (&[0x30, 0xab, 0xcd, 0x31], "01"),
            (b"h", "hh"),
            (b"", "00"),
        ] {
            assert_eq!(&alpn(protocol)[..], shown.as_bytes(), "{protocol:02x?}");
        }
    }

    /// What is remembered must not give a client another one's fingerprint: more lists than have room,
    /// some too long to be kept, in any order.
    #[test]
    fn what_is_remembered_changes_nothing() {
        let mut digests = Digests::default();
        let lists: Vec<Vec<u16>> =
            (0..3 * PLACES as u16).map(|n| (0..=n + n / 8).map(|at| at * n).collect()).collect();
        assert!(lists.iter().any(|list| list.len() > LIST_MAX));
        for step in [1, 5, 7] {
            for at in (0..lists.len()).map(|at| at * step % lists.len()) {
                assert_eq!(digests.of(&lists[at]), digest(&lists[at]), "{at}");
                assert_eq!(digests.of(&lists[at]), digest(&lists[at]), "{at} again");
            }
        }
        assert!(digests.places.iter().all(|(list, _)| list.len() <= LIST_MAX));
    }
}
