//! NetBIOS name service over UDP (RFC 1002): the names that machines register for themselves.

use crate::names::Name;
use crate::net::Addr;

/// The name that a registration or a refresh gives to an address.
pub(super) fn read(bytes: &[u8]) -> Option<(Name, Addr)> {
    let (head, rest) = bytes.split_first_chunk::<12>()?;
    let operation = head[2] >> 3;
    if !matches!(operation, REGISTRATION | REFRESH | REFRESH_AS_SENT) || head[4..6] != [0, 1] {
        return None;
    }
    let (question, rest) = rest.split_first_chunk::<38>()?;
    let [32, encoded @ .., 0, 0, 0x20, 0, 1] = question else { return None };
    // The record: a pointer to the name, type, class, lifetime, length, flags, address.
    let [0xc0, 12, 0, 0x20, 0, 1, _, _, _, _, 0, 6, flags, _, addr @ ..] = rest else {
        return None;
    };
    let mut name = [0; 16];
    for (byte, &[high, low]) in name.iter_mut().zip(encoded.as_chunks().0) {
        let nibble = |letter: u8| letter.checked_sub(b'A').filter(|&nibble| nibble < 16);
        *byte = nibble(high)? << 4 | nibble(low)?;
    }
    let [text @ .., service] = name;
    let is_own = flags & GROUP == 0 && matches!(service, WORKSTATION | FILE_SERVER);
    let text = text.trim_ascii_end();
    let name = Name::of(text).filter(|name| is_own && name.is_valid())?;
    Some((name, Addr::from_v4(*addr.first_chunk::<4>()?)))
}

const REGISTRATION: u8 = 5;
const REFRESH: u8 = 8;
/// What Windows sends (section 4.2.4 has both).
const REFRESH_AS_SENT: u8 = 9;
const GROUP: u8 = 0x80;
const WORKSTATION: u8 = 0x00;
const FILE_SERVER: u8 = 0x20;
