//! Limits of memory: how many of each thing are kept, given one by one or as a budget divided.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{Program, Usage};
use crate::{alert, baseline, covert, egress, flow};

/// Limits of memory: how many of each are kept at most.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Flows.
    pub flows_max: Option<usize>,
    /// Hosts.
    pub hosts_max: Option<usize>,
    /// Pairs of host and destination in a day.
    pub pairs_max: Option<usize>,
    /// Destinations remembered for a host.
    pub pairs_per_host_max: Option<usize>,
    /// Pairs of host and destination remembered over all hosts.
    pub pairs_remembered_max: Option<usize>,
    /// Destinations remembered for the organisation.
    pub destinations_max: Option<usize>,
}

impl Limits {
    /// These limits, and `other` where they are silent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            flows_max: self.flows_max.or(other.flows_max),
            hosts_max: self.hosts_max.or(other.hosts_max),
            pairs_max: self.pairs_max.or(other.pairs_max),
            pairs_per_host_max: self.pairs_per_host_max.or(other.pairs_per_host_max),
            pairs_remembered_max: self.pairs_remembered_max.or(other.pairs_remembered_max),
            destinations_max: self.destinations_max.or(other.destinations_max),
        }
    }

    /// What fits into `bytes`: a third for flows, the rest for hosts, each with as many pairs and
    /// destinations, today's and remembered ones, as the defaults give it.
    ///
    /// `None` when `bytes` is below [`MEMORY_MIN`].
    pub fn of_memory(bytes: u64) -> Option<Self> {
        if bytes < MEMORY_MIN {
            return None;
        }
        let tables = bytes - PROGRAM;
        let (today, past) = (egress::Options::default(), baseline::Options::default());
        let each = |all: usize| all / today.hosts_max;
        let (pairs, remembered, destinations) =
            (each(today.pairs_max), each(past.pairs_max), each(past.destinations_max));
        let host = egress::HOST_BYTES
            + baseline::HOST_BYTES
            + alert::HOST_BYTES
            + pairs * egress::PAIR_BYTES
            + remembered * baseline::PAIR_BYTES
            + destinations * baseline::DESTINATION_BYTES;
        let fitting =
            |bytes: u64, one: usize| usize::try_from(bytes / one as u64).unwrap_or(usize::MAX);
        let hosts = fitting(tables - tables / 3, host);
        Some(Self {
            flows_max: Some(fitting(tables / 3, flow::FLOW_BYTES)),
            hosts_max: Some(hosts),
            pairs_max: Some(hosts * pairs),
            pairs_per_host_max: None,
            pairs_remembered_max: Some(hosts * remembered),
            destinations_max: Some(hosts * destinations),
        })
    }
}

/// The least memory that can be divided, in bytes.
pub const MEMORY_MIN: u64 = PROGRAM + (32 << 20);

/// What the program takes besides its tables: code, rules, batches of frames, what the allocator keeps
/// for itself (measured, on a flood of flows that fills every table), 8 MiB of first bytes, and what is kept
/// of names, echoes, usages and what hosts take inside when all of it is full.
const PROGRAM: u64 = (64 << 20)
    + (covert::Lookups::BYTES_MAX
        + covert::Echoes::BYTES_MAX
        + egress::Intakes::BYTES_MAX
        + 6 * baseline::Habits::BYTES_MAX
        + baseline::Usages::<Usage>::BYTES_MAX
        + baseline::Usages::<Program>::BYTES_MAX) as u64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Twice the memory holds twice as much, and what is stated of each adds up to no more than all.
    #[test]
    fn a_budget_is_divided_and_not_exceeded() {
        let limits = |mib: u64| Limits::of_memory(mib << 20).unwrap();
        for mib in [MEMORY_MIN.div_ceil(1 << 20), 256, 512, 2048, 65_536] {
            let limits = limits(mib);
            let sum = [
                (limits.flows_max, flow::FLOW_BYTES),
                (limits.hosts_max, egress::HOST_BYTES + baseline::HOST_BYTES + alert::HOST_BYTES),
                (limits.pairs_max, egress::PAIR_BYTES),
                (limits.pairs_remembered_max, baseline::PAIR_BYTES),
                (limits.destinations_max, baseline::DESTINATION_BYTES),
            ]
            .iter()
            .map(|&(count, bytes)| count.unwrap() * bytes)
            .sum::<usize>() as u64;
            assert!(sum <= (mib << 20) - PROGRAM, "{mib}");
            assert!(sum * 10 > ((mib << 20) - PROGRAM) * 9, "{mib}: {sum}");
        }
        let half = (2048 + PROGRAM / (1 << 20)) / 2;
        let ratio = |of: fn(&Limits) -> usize| of(&limits(2048)) as f64 / of(&limits(half)) as f64;
        assert!((ratio(|limits| limits.hosts_max.unwrap()) - 2.0).abs() < 0.01);
        assert_eq!(Limits::of_memory(MEMORY_MIN - 1), None);
    }
}
