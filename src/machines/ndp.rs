//! Neighbour discovery (RFC 4861), of which every message has to come from the link itself.

use super::claim::Says;
use super::mac::Mac;
use crate::decode::Segment;
use crate::net::Addr;

/// Who has which address, by the sender's own word.
pub(super) fn read(segment: &Segment<'_>) -> Option<Says> {
    // Routers count it down (section 7.1.1).
    if segment.hop_limit != 255 {
        return None;
    }
    let (head, _) = segment.transport.split_first_chunk::<8>()?;
    let (options_at, option) = match head[0] {
        ROUTER_SOLICITATION => (8, SOURCE_LINK_ADDRESS),
        ROUTER_ADVERTISEMENT => (16, SOURCE_LINK_ADDRESS),
        NEIGHBOUR_SOLICITATION => (24, SOURCE_LINK_ADDRESS),
        NEIGHBOUR_ADVERTISEMENT => (24, TARGET_LINK_ADDRESS),
        _ => return None,
    };
    let mac = link_address(segment.transport.get(options_at..)?, option)?;
    let addr = match head[0] {
        ROUTER_ADVERTISEMENT => return Some(Says::Routes(mac)),
        NEIGHBOUR_ADVERTISEMENT if head[4] & ROUTER_FLAG != 0 => return Some(Says::Routes(mac)),
        NEIGHBOUR_ADVERTISEMENT => {
            Addr::from_v6(*segment.transport.get(8..24)?.first_chunk::<16>()?)
        }
        // Who looks whether his address is free has none yet, and gives no option.
        _ => segment.source.addr,
    };
    Some(Says::Bears { mac, addr, lease: None })
}

/// The hardware address in an option of this kind.
fn link_address(mut options: &[u8], kind: u8) -> Option<Mac> {
    for _ in 0..OPTIONS_MAX {
        let &[found, len, ..] = options else { return None };
        let len = usize::from(len) * 8;
        let option = options.get(..len).filter(|_| len > 0)?;
        if found == kind && len == 8 {
            return Mac::of(*option.last_chunk::<6>()?);
        }
        options = &options[len..];
    }
    None
}

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_ADDRESS: u8 = 1;
const TARGET_LINK_ADDRESS: u8 = 2;
const ROUTER_FLAG: u8 = 0x80;

/// Options that are read.
const OPTIONS_MAX: usize = 16;
