//! ARP (RFC 826, RFC 5227).

use super::claim::Says;
use super::mac::Mac;
use crate::decode::Resolution;
use crate::net::Addr;

/// Who has which address, by the sender's own word.
///
/// Not by what he says of others, nor where the frame came from another interface: bridges and snooping
/// switches may answer for others, and forgers do.
pub(super) fn read(resolution: &Resolution<'_>) -> Option<Says> {
    let (head, rest) = resolution.bytes.split_first_chunk::<8>()?;
    let (sender, _) = rest.split_first_chunk::<10>()?;
    if *head != ETHERNET_AND_IPV4_REQUEST && *head != ETHERNET_AND_IPV4_REPLY {
        return None;
    }
    let (hardware, addr) = (sender.first_chunk::<6>()?, sender.last_chunk::<4>()?);
    if resolution.source.is_some_and(|source| source != *hardware) {
        return None;
    }
    // A probe has no address yet.
    let is_probe = *addr == [0; 4];
    let mac = Mac::of(*hardware).filter(|_| !is_probe)?;
    Some(Says::Bears { mac, addr: Addr::from_v4(*addr), lease: None })
}

const ETHERNET_AND_IPV4_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
const ETHERNET_AND_IPV4_REPLY: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 2];
