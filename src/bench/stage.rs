//! What can be measured, and from where.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stage, in the order of the data. A pass goes through all stages up to one of them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Bytes to frames.
    Read,
    /// Frames to segments.
    Decode,
    /// Segments to flows and their deltas.
    Flow,
    /// First bytes of flows to names and services.
    Names,
    /// Deltas to sums of hosts and destinations.
    Egress,
    /// Sums to findings and incidents.
    Detect,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Decode, Self::Flow, Self::Names, Self::Egress, Self::Detect];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Decode => "decode",
            Self::Flow => "flow",
            Self::Names => "names",
            Self::Egress => "egress",
            Self::Detect => "detect",
        }
    }
}

/// Where the frames of a pass lie.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    /// In the files, which the first look has brought into the page cache.
    Disk,
    /// In memory, cut into batches as the reader of files cut them.
    Memory,
}

impl Medium {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }
}
