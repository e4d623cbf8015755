//! What `sekisho bench` found, `sekisho.bench/1`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::stage::{Medium, Stage};
use super::stats::Measured;
use crate::time::Timestamp;

/// The name of the form that a report has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) enum Form {
    #[default]
    #[serde(rename = "sekisho.bench/1")]
    V1,
}

/// What was measured, on what, and how.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Always `sekisho.bench/1`.
    pub(super) schema: Form,
    /// The machine and the program.
    pub machine: Machine,
    /// The traffic.
    pub input: Input,
    /// Threads; reading and decoding alone are measured on one.
    pub workers: usize,
    /// How often each pass was run.
    pub loops: usize,
    /// 0: as fast as possible; else how many times as fast as recorded.
    pub speed: f64,
    /// The same files read by others, in turn with the passes; none when paced.
    pub reference: Option<Reference>,
    /// One for each place that frames were taken from.
    pub runs: Vec<Run>,
    /// The analyst alone, fed from memory; when `detect` was measured, and not paced.
    pub analyst: Option<AnalystCost>,
    /// What the reader of the figures must know, one sentence each.
    pub notices: Vec<String>,
}

/// The traffic that was measured on.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Input {
    /// Files named.
    pub files: Vec<String>,
    /// Packets, after `--filter`, `--since` and `--until`.
    pub packets: u64,
    /// Their captured bytes.
    pub bytes_captured: u64,
    /// Their bytes on the wire.
    pub bytes_wire: u64,
    /// Bytes of the files on disk.
    pub bytes_files: u64,
    /// From the earliest packet to the latest.
    pub span_secs: f64,
    /// The earliest packet.
    #[schemars(with = "Option<Timestamp>")]
    pub first: Option<String>,
}

/// Time for each packet, in nanoseconds.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Of the clock on the wall.
    pub wall_ns: Measured,
    /// Of the processors, user and system, all threads of the process.
    pub cpu_ns: Measured,
}

/// The same files read by others.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// `read` in chunks of 1 MiB, one byte of every cache line summed, divided by our packets.
    pub bare_read: Cost,
    /// libpcap's loop that counts packets and bytes; none when it cannot read the files.
    pub libpcap: Option<Cost>,
}

/// All passes from one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Where the frames lay.
    pub from: Medium,
    /// The stages, in order.
    pub stages: Vec<StageCost>,
    /// Bytes of memory that the frames themselves took all the time: part of every peak.
    pub held_bytes: u64,
    /// Flows, when the flow stage was reached.
    pub flows: Option<u64>,
    /// Reports of flows, when the flow stage was measured and `detect` alone was not.
    pub deltas: Option<u64>,
    /// Inside hosts, when the egress stage was reached.
    pub hosts: Option<u64>,
    /// Packets that could not be decoded, when the decode stage was reached.
    pub rejected: Option<u64>,
    /// How late batches were, over all loops of the last stage.
    pub latency: Latency,
}

/// What one stage costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageCost {
    /// The stage.
    pub stage: Stage,
    /// Packets of each pass.
    pub packets: u64,
    /// Packets in a second, through all stages up to this one.
    pub packets_per_sec: f64,
    /// Gigabits in a second as they were on the wire, likewise.
    pub gbit_per_sec: f64,
    /// Through all stages up to this one.
    pub total: Cost,
    /// The same without the stage measured before it; loop by loop.
    pub own: Cost,
    /// Allocations for each packet, through all stages up to this one.
    pub allocations_per_packet: f64,
    /// The same over the second half of the packets, when the tables have grown.
    pub allocations_per_packet_steady: f64,
    /// The most memory that was resident in the first pass of this stage, in bytes; 0 where the kernel does
    /// not say.
    pub peak_bytes: u64,
    /// `total` by libpcap's loop, CPU time; loop by loop.
    pub by_libpcap: Option<Measured>,
    /// `total` by the bare read, CPU time; loop by loop.
    pub by_bare_read: Option<Measured>,
}

/// How late batches were judged.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Batches.
    pub batches: u64,
    /// From a batch handed out to its deltas judged, in nanoseconds.
    pub batch_ns: Percentiles,
    /// A batch's own time divided by its packets, for each packet, in nanoseconds.
    pub packet_ns: Percentiles,
    /// From the time a batch's first packet was due to its deltas judged; only when paced.
    pub late_ns: Option<Percentiles>,
}

/// Shares of all that were not above this.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// Half of them.
    pub p50: u64,
    /// 90 of 100.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1000.
    pub p999: u64,
    /// All.
    pub max: u64,
}

/// The analyst alone, by CPU time.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AnalystCost {
    /// Reports of flows it was fed.
    pub deltas: u64,
    /// Reports in a second.
    pub deltas_per_sec: Measured,
    /// To let a second go by, in nanoseconds.
    pub tick_ns: Measured,
    /// To close the last day and all incidents, in nanoseconds.
    pub close_ns: Measured,
}
