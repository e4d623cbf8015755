//! Which addresses are one machine, and what it is called: by what the machines on a link, and the servers
//! that give them addresses, tell each other.
//!
//! # What is heard
//!
//! ARP, neighbour discovery, acknowledgements of DHCP and DHCPv6 tie an address to an interface. DHCP,
//! NetBIOS registrations, multicast DNS and LLMNR give names. What comes out of a tunnel is not heard: it is
//! another link's.
//!
//! # What is believed
//!
//! Claims are anybody's. [`Register`] says what it takes for addresses to count as one machine, and that
//! who forges claims can only undo that.

#![forbid(unsafe_code)]

mod arp;
mod claim;
mod dhcp;
mod dhcpv6;
mod fqdn;
mod mac;
mod ndp;
mod netbios;
mod register;

pub use claim::{Claim, ClaimSource, Says};
pub use mac::{Mac, NoMac};
pub use register::Register;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decode::{Resolution, Segment};
use crate::flow::FlowKey;
use crate::names::address_owners;
use crate::net::Protocol;
use crate::time::Timestamp;

/// What makes a host.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// An address.
    Address,
    /// A machine with all its addresses where that is sure, else an address.
    #[default]
    Machine,
}

/// Is every packet of this flow to be heard?
pub fn is_heard(key: &FlowKey) -> bool {
    match key.protocol {
        // Echoes, which neighbours need not be, have a number.
        Protocol::ICMPV6 => key.low.port == 0,
        Protocol::UDP => is_port(key.low.port) || is_port(key.high.port),
        _ => false,
    }
}

/// Tells what an ARP packet claims.
pub fn hear_resolution(at: Timestamp, resolution: &Resolution<'_>, tell: impl FnMut(Claim)) {
    let claim = |says| Claim { at, source: ClaimSource::Arp, says };
    arp::read(resolution).map(claim).into_iter().for_each(tell);
}

/// Tells what a packet claims that [`is_heard`].
pub fn hear(at: Timestamp, segment: &Segment<'_>, mut tell: impl FnMut(Claim)) {
    if segment.tunnel.is_some() {
        return;
    }
    let mut says = |source, says| tell(Claim { at, source, says });
    let called = |(name, addr)| Says::Called(addr, Box::new(name));
    let sender = segment.source.addr;
    match (segment.protocol, segment.source.port) {
        (Protocol::ICMPV6, _) => {
            ndp::read(segment).into_iter().for_each(|heard| says(ClaimSource::Ndp, heard));
        }
        (Protocol::UDP, DHCP_SERVER | DHCP_CLIENT) => {
            let heard = dhcp::read(segment.payload());
            heard.into_iter().for_each(|heard| says(ClaimSource::Dhcp, heard));
        }
        (Protocol::UDP, DHCPV6_SERVER | DHCPV6_CLIENT) => {
            dhcpv6::read(segment.payload(), |heard| says(ClaimSource::Dhcpv6, heard));
        }
        (Protocol::UDP, NETBIOS) => {
            let owned = netbios::read(segment.payload()).filter(|&(_, addr)| addr == sender);
            owned.map(called).into_iter().for_each(|heard| says(ClaimSource::Netbios, heard));
        }
        (Protocol::UDP, port @ (MDNS | LLMNR)) => {
            let source = if port == MDNS { ClaimSource::Mdns } else { ClaimSource::Llmnr };
            // Only what it says of itself: others' names are for others to say.
            let owned = address_owners(segment.payload()).into_iter();
            let own = owned.filter(|(name, addr)| *addr == sender && name.is_valid());
            own.map(called).take(1).for_each(|heard| says(source, heard));
        }
        _ => {}
    }
}

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const NETBIOS: u16 = 137;
const DHCPV6_CLIENT: u16 = 546;
const DHCPV6_SERVER: u16 = 547;
const MDNS: u16 = 5353;
const LLMNR: u16 = 5355;

fn is_port(port: u16) -> bool {
    matches!(
        port,
        DHCP_SERVER | DHCP_CLIENT | NETBIOS | DHCPV6_CLIENT | DHCPV6_SERVER | MDNS | LLMNR
    )
}

#[cfg(test)]
mod tests;
