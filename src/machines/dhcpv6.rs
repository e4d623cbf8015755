//! DHCP for IPv6 (RFC 8415), straight between client and server or by relays.

use std::time::Duration;

use super::claim::Says;
use super::fqdn;
use super::mac::Mac;
use crate::net::Addr;

/// Of a client whose identifier holds its hardware address: the addresses that a server's reply gives it, and
/// its name. What a relay carries is looked at like what comes straight from a server.
///
/// An identifier may be that of another of the machine's interfaces: still the same machine.
pub(super) fn read(mut bytes: &[u8], mut tell: impl FnMut(Says)) {
    for _ in 0..RELAYS_MAX {
        let Some((&[RELAY_FORWARD | RELAY_REPLY, ..], options)) = bytes.split_first_chunk::<34>()
        else {
            break;
        };
        let relayed = Options(options).find_map(|(kind, value)| (kind == RELAYED).then_some(value));
        let Some(relayed) = relayed else { return };
        bytes = relayed;
    }
    let Some((&[message, ..], options)) = bytes.split_first_chunk::<4>() else { return };
    let mac = Options(options).find_map(|(kind, value)| match kind {
        CLIENT_ID => mac_of(value),
        _ => None,
    });
    let Some(mac) = mac else { return };
    let name = Options(options).find_map(|(kind, value)| match (kind, value) {
        (CLIENT_FQDN, [_, name @ ..]) => fqdn::wire(name),
        _ => None,
    });
    if let Some(name) = name {
        tell(Says::Named(mac, Box::new(name)));
    }
    if message != REPLY {
        return;
    }
    for (kind, value) in Options(options) {
        let inner = match kind {
            ADDRESSES => value.get(12..),
            TEMPORARY_ADDRESSES => value.get(4..),
            _ => None,
        };
        for (kind, value) in Options(inner.unwrap_or_default()) {
            if kind == ADDRESS
                && let Some((addr, times)) = value.split_first_chunk::<16>()
                && let Some([_, _, _, _, valid @ ..]) = times.first_chunk::<8>()
            {
                let secs = u32::from_be_bytes(*valid);
                let lease = Some(Duration::from_secs(secs.into())).filter(|_| secs > 0);
                if lease.is_some() {
                    tell(Says::Bears { mac, addr: Addr::from_v6(*addr), lease });
                }
            }
        }
    }
}

/// The hardware address in an identifier by link-layer address, with or without time (section 11).
fn mac_of(identifier: &[u8]) -> Option<Mac> {
    let hardware = match identifier {
        [0, 1, 0, 1, _, _, _, _, hardware @ ..] | [0, 3, 0, 1, hardware @ ..] => hardware,
        _ => return None,
    };
    Mac::of(hardware.try_into().ok()?)
}

/// Options one after the other; a broken one ends them.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[a, b, c, d], rest) = self.0.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([c, d]).into())?;
        self.0 = rest;
        Some((u16::from_be_bytes([a, b]), value))
    }
}

const REPLY: u8 = 7;
const RELAY_FORWARD: u8 = 12;
const RELAY_REPLY: u8 = 13;
const CLIENT_ID: u16 = 1;
const ADDRESSES: u16 = 3;
const TEMPORARY_ADDRESSES: u16 = 4;
const ADDRESS: u16 = 5;
const RELAYED: u16 = 9;
const CLIENT_FQDN: u16 = 39;

/// Relays that a message may have come through (HOP_COUNT_LIMIT, section 7.6).
const RELAYS_MAX: usize = 8;
