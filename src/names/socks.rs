//! Whom a client of SOCKS asks the proxy for: version 5 (RFC 1928, RFC 1929), version 4 (Lee, "SOCKS: a protocol
//! for TCP proxy across firewall") and 4a (Koblas).

use super::cursor::Cursor;
use super::name::Name;
use crate::net::Addr;

/// What a client has said so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Socks {
    /// Nothing that SOCKS knows.
    No,
    /// It may be SOCKS, when more has come.
    Wants,
    /// It asks to be connected with this name or address; or for something else, or behind a way of
    /// proving who it is that hides whom.
    Asks(Option<Name>),
}

impl Socks {
    /// Reads a stream's first bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let read = match bytes.first() {
            Some(5) => version_5(Cursor::new(bytes)),
            Some(4) => version_4(Cursor::new(bytes)),
            Some(_) => return Self::No,
            None => return Self::Wants,
        };
        read.unwrap_or(if bytes.len() < REQUEST_MAX { Self::Wants } else { Self::No })
    }
}

/// The request behind the greeting, and behind name and password if these were asked for. A greeting alone is
/// too short to be a sign.
fn version_5(mut stream: Cursor<'_>) -> Option<Socks> {
    stream.u8()?;
    let methods = stream.behind_u8()?;
    let is_method = |method: &u8| matches!(method, 0..=9 | 0x80..);
    if methods.is_empty() || !methods.iter().all(is_method) {
        return Some(Socks::No);
    }
    let mut kind = stream.u8()?;
    if kind == 1 && methods.contains(&PASSWORD) {
        if stream.behind_u8()?.is_empty() {
            return Some(Socks::No);
        }
        stream.behind_u8()?;
        kind = stream.u8()?;
    }
    let [command, reserved] = stream.array()?;
    if kind != 5 || !matches!(command, 1..=3) || reserved != 0 {
        return Some(Socks::No);
    }
    let name = match stream.u8()? {
        1 => address(Addr::from_v4(stream.array()?)),
        4 => address(Addr::from_v6(stream.array()?)),
        3 => Name::of(stream.behind_u8()?),
        _ => return Some(Socks::No),
    };
    stream.u16()?;
    Some(Socks::Asks(name.filter(|_| command == CONNECT)))
}

fn version_4(mut stream: Cursor<'_>) -> Option<Socks> {
    stream.u8()?;
    let command = stream.u8()?;
    if !matches!(command, 1..=2) {
        return Some(Socks::No);
    }
    let port = stream.u16()?;
    let addr: [u8; 4] = stream.array()?;
    if port == 0 || addr[0] == 0 && (addr[..3] != [0; 3] || addr[3] == 0) {
        return Some(Socks::No);
    }
    let user = text(&mut stream)?;
    if !user.iter().all(u8::is_ascii_graphic) {
        return Some(Socks::No);
    }
    // 0.0.0.x says that a name follows.
    let name = match addr {
        [0, ..] => Name::of(text(&mut stream)?),
        _ => address(Addr::from_v4(addr)),
    };
    Some(Socks::Asks(name.filter(|_| command == CONNECT)))
}

fn address(addr: Addr) -> Option<Name> {
    Name::of(addr.to_string().as_bytes())
}

/// Bytes before a zero.
fn text<'a>(stream: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let len = stream.rest().iter().position(|&byte| byte == 0)?;
    let text = stream.take(len)?;
    stream.u8()?;
    Some(text)
}

const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;

/// The longest request: 255 methods, name and password of 255 bytes each, a host name of 255.
const REQUEST_MAX: usize = 1040;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(bytes: &[u8]) -> Option<String> {
        match Socks::of(bytes) {
            Socks::Asks(name) => name.map(|name| name.to_string()),
            Socks::No | Socks::Wants => None,
        }
    }

    const BY_NAME: &[u8] = b"\x05\x01\x00\x05\x01\x00\x03\x0dfiles.example\x01\xbb";

    #[test]
    fn who_is_asked_for() {
        for (said, name) in [
            (BY_NAME, "files.example"),
            (
                b"\x05\x02\x00\x02\x01\x02me\x02pw\x05\x01\x00\x03\x0dfiles.example\x01\xbb",
                "files.example",
            ),
            (b"\x05\x01\x00\x05\x01\x00\x01\xcb\x00\x71\x09\x01\xbb", "203.0.113.9"),
            (
                b"\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\x01\xbb",
                "2001:db8::9",
            ),
            (b"\x04\x01\x01\xbb\xcb\x00\x71\x09me\0", "203.0.113.9"),
            (b"\x04\x01\x01\xbb\0\0\0\x01\0files.example\0", "files.example"),
        ] {
            assert_eq!(asked(said).as_deref(), Some(name), "{said:?}");
            // At every place where it may be cut: more is waited for, and nothing is made up.
            for len in 0..said.len() {
                assert_eq!(Socks::of(&said[..len]), Socks::Wants, "{len} of {said:?}");
            }
        }
    }

    /// To be connected to, or to send datagrams by, is no flow to somebody.
    #[test]
    fn what_is_no_connection_names_nobody() {
        for command in [2, 3] {
            let mut said = BY_NAME.to_vec();
            said[4] = command;
            assert_eq!(Socks::of(&said), Socks::Asks(None));
        }
    }

    #[test]
    fn others_are_not_taken_for_it() {
        for said in [
            &b"\x05\x00"[..],
            b"\x05\x01\x00\x16\x03\x01",
            b"\x05\x01\x00\x05\x01\x00\x07aaaa",
            b"\x05\x02\x41\x42",
            b"\x04\x00\x01\xbb\xcb\x00\x71\x09\0",
            b"\x04\x01\x01\xbb\x00\x00\x71\x09\0",
            b"\x04\x01\x01\xbb\xcb\x00\x71\x09\x01\x02\0",
            b"GET / HTTP/1.1",
        ] {
            assert_eq!(Socks::of(said), Socks::No, "{said:?}");
        }
    }

    proptest! {
        /// What it says of some bytes it says of them whatever follows; and it never waits for ever.
        #[test]
        fn a_beginning_decides(
            version in 4u8..6,
            bytes in prop::collection::vec(0u8..8, 0..60),
            more in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let said = [&[version], &bytes[..]].concat();
            let longer = [&said[..], &more].concat();
            if Socks::of(&said) != Socks::Wants {
                prop_assert_eq!(Socks::of(&longer), Socks::of(&said));
            }
            let endless = [&said[..], &[0x41; REQUEST_MAX]].concat();
            prop_assert_ne!(Socks::of(&endless), Socks::Wants);
        }
    }
}
