//! Where a flow lies, as seen from the border.

use schemars::JsonSchema;
use serde::Serialize;

use super::Destination;
use crate::flow::{FlowKey, Sender};
use crate::names::Client;
use crate::net::{Addr, Subnets};

/// Where a flow lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Between an inside host and an outside end.
    Border(Crossing),
    /// Between two inside hosts.
    Inside,
    /// Between two outside ends.
    Outside,
    /// Between an inside relay and an outside end, on behalf of those who asked for it: counted where they
    /// did.
    Relayed(Crossing),
}

/// Where a flow crosses the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// The inside host.
    pub host: Addr,
    /// The other end: the outside one, or the relay inside that was asked to reach one.
    pub peer: Addr,
    /// Whose the outside end is; as long as nobody knows more, its address.
    pub destination: Destination,
    /// The side of the flow that is the inside host.
    pub side: Sender,
    /// What the flow's client said of itself, if it is known.
    pub client: Option<Client>,
}

impl Place {
    /// Finds the inside host and the outside end. A tunnel that itself leaves the network was counted as
    /// a flow of its own ends before it came here.
    pub fn of(internal: &Subnets, flow: &FlowKey) -> Self {
        let (low, high) = (flow.low.addr, flow.high.addr);
        let crossing = |host: Addr, peer: Addr, side| {
            let destination = Destination::of_address(peer);
            Self::Border(Crossing { host, peer, destination, side, client: None })
        };
        match (internal.contains(low), internal.contains(high)) {
            (true, false) => crossing(low, high, Sender::Low),
            (false, true) => crossing(high, low, Sender::High),
            (true, true) => Self::Inside,
            (false, false) => Self::Outside,
        }
    }
}

/// Where a flow lies, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Between an inside host and an outside end: `out` is what left the network.
    Border,
    /// Between two inside hosts.
    Inside,
    /// Between two outside ends.
    Outside,
}
