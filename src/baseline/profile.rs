//! What was learned of one host as a document: to be read, signed, compared, and taken to another sensor.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::egress::HostKey;
use crate::time::{Day, Timestamp};

/// What is normal for a host, by its finished days: `sekisho.baseline/1`.
///
/// Bytes are rounded down to an eighth of an octave, as they are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Always `sekisho.baseline/1`.
    pub schema: String,
    /// Who: an address, or a machine by its hardware address.
    pub host: HostKey,
    /// The first day on record.
    pub first_day: Day,
    /// The latest.
    pub last_day: Day,
    /// Days on which it sent something outside.
    pub days: u32,
    /// For each window that slides over a day, the largest sums of its latest days, at most 60, the oldest
    /// first.
    pub windows: Vec<WindowProfile>,
    /// The same of calls and their like, which the others leave out.
    #[serde(default)]
    pub media_windows: Vec<WindowProfile>,
    /// Bytes answered in a day to the outside client that got most, the latest 60.
    pub answered: Vec<u64>,
    /// The same to all of them.
    #[serde(default)]
    pub answered_in_all: Vec<u64>,
    /// To whom it sends, what it sent most to first.
    pub destinations: Vec<DestinationProfile>,
}

/// The busiest such window of each day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowProfile {
    /// Its length in seconds.
    pub seconds: u64,
    /// Bytes sent outside in it.
    pub bytes: Vec<u64>,
}

/// One destination of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationProfile {
    /// Its owner's key: domain, autonomous system or address.
    pub key: String,
    /// When the host first sent there.
    pub first_seen: Timestamp,
    /// The day of that.
    pub first_day: Day,
    /// The latest day it did.
    pub last_day: Day,
    /// Bytes sent there on the largest day.
    pub largest: u64,
    /// That day.
    pub largest_day: Day,
    /// Bytes sent there on the latest 32 days on which any were, the oldest first.
    pub bytes: Vec<u64>,
    /// The largest day of which a person said that it was in order.
    #[serde(default)]
    pub vouched: u64,
    /// Hosts of the organisation that have sent there.
    pub hosts: u32,
}

impl Profile {
    /// The kind of document.
    pub const SCHEMA: &'static str = "sekisho.baseline/1";

    /// The range of what the busiest hour of a day usually has: from the tenth to the ninetieth percentile of
    /// the days on record.
    pub fn busiest_hour(&self) -> Option<(u64, u64)> {
        let hours = self.windows.iter().find(|window| window.seconds == 3600)?;
        let mut bytes = hours.bytes.clone();
        bytes.sort_unstable();
        let last = bytes.len().checked_sub(1)?;
        Some((bytes[last / 10], bytes[last - last / 10]))
    }

    /// The destination that got most in one day.
    pub fn largest(&self) -> Option<&DestinationProfile> {
        self.destinations.iter().max_by_key(|known| known.largest)
    }
}

/// A profile that cannot be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit(pub(super) String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}
