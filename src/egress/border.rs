//! Where a flow lies, as seen from the border.

use schemars::JsonSchema;
use serde::Serialize;

use super::Destination;
use crate::flow::{FlowKey, Sender};
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
}

/// Where a flow crosses the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// The inside host.
    pub host: Addr,
    /// The outside end.
    pub peer: Addr,
    /// The side of the flow that is the inside host.
    pub side: Sender,
}

impl Crossing {
    /// The outside end as long as nobody knows whose it is.
    pub fn stranger(&self) -> Destination {
        Destination::of_address(self.peer)
    }
}

impl Place {
    /// Finds the inside host and the outside end. A tunnel that itself leaves the network was counted as
    /// a flow of its own ends before it came here.
    pub fn of(internal: &Subnets, flow: &FlowKey) -> Self {
        let (low, high) = (flow.low.addr, flow.high.addr);
        match (internal.contains(low), internal.contains(high)) {
            (true, false) => Self::Border(Crossing { host: low, peer: high, side: Sender::Low }),
            (false, true) => Self::Border(Crossing { host: high, peer: low, side: Sender::High }),
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
