//! The client's fully qualified name in DHCP (RFC 4702) and DHCPv6 (RFC 4704).

use crate::names::Name;

/// A name in the form of DNS, without compression; one that is partial has no label of length zero.
pub(super) fn wire(mut bytes: &[u8]) -> Option<Name> {
    let mut text = Vec::new();
    while let Some((&len, rest)) = bytes.split_first().filter(|&(&len, _)| len > 0) {
        let (label, rest) = rest.split_at_checked(len.into())?;
        if !text.is_empty() {
            text.push(b'.');
        }
        text.extend_from_slice(label);
        bytes = rest;
    }
    Name::of(&text).filter(Name::is_valid)
}

/// The value of DHCP's option 81: flags, two result codes that say nothing, and the name, by the flag E in
/// the form of DNS, else as text.
pub(super) fn of_dhcp(value: &[u8]) -> Option<Name> {
    let ([flags, _, _], name) = value.split_first_chunk::<3>()?;
    match flags & IS_WIRE {
        0 => Name::of(name).filter(Name::is_valid),
        _ => wire(name),
    }
}

const IS_WIRE: u8 = 0x04;
