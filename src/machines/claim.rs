//! What packets claim of machines.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mac::Mac;
use crate::names::Name;
use crate::net::Addr;
use crate::time::Timestamp;

/// Something that a packet claims; anybody on the link can claim anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Packet time.
    pub at: Timestamp,
    /// Where it was claimed.
    pub source: ClaimSource,
    /// What.
    pub says: Says,
}

/// What is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// An interface has an address.
    Bears {
        /// The interface.
        mac: Mac,
        /// Its address.
        addr: Addr,
        /// For how long, if a server says so.
        lease: Option<Duration>,
    },
    /// An interface is a router's.
    Routes(Mac),
    /// The machine with this interface has a name.
    Named(Mac, Box<Name>),
    /// The machine with this address has a name.
    Called(Addr, Box<Name>),
}

/// Where something was claimed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ClaimSource {
    /// Address resolution (RFC 826).
    Arp,
    /// Neighbour discovery (RFC 4861).
    Ndp,
    /// DHCP (RFC 2131).
    Dhcp,
    /// DHCPv6 (RFC 8415).
    Dhcpv6,
    /// NetBIOS name service (RFC 1002).
    Netbios,
    /// Multicast DNS (RFC 6762).
    Mdns,
    /// Link-local multicast name resolution (RFC 4795).
    Llmnr,
}
