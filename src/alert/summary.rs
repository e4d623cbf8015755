//! What a run as a whole has to say, `sekisho.summary/1`, and everything a sink may be handed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::ranking::RankingEntry;
use super::record::{Alert, Health};
use super::silenced::Silenced;
use crate::detect::Bits;
use crate::net::Addr;
use crate::time::Timestamp;

/// Something a run tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// An incident opened, grew, closed or came back.
    Alert(Box<Alert>),
    /// The same, which a rule keeps from being told: it is for the record.
    Silenced(Box<Alert>),
    /// One host's place on one day.
    Ranking(Box<RankingEntry>),
    /// The run is over.
    Summary(Box<Summary>),
}

/// What a run as a whole has to say.
#[derive(Debug, Default, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Summary {
    /// Always `sekisho.summary/1`.
    pub schema: &'static str,
    /// Files read.
    pub files: u64,
    /// Frames taken from them.
    pub packets: u64,
    /// Captured bytes of these frames.
    pub bytes_captured: u64,
    /// Bytes that they had on the wire.
    pub bytes_wire: u64,
    /// Frames left out by `--filter`, `--since` and `--until`.
    pub packets_filtered: u64,
    /// Frames that the capture itself says it lost.
    pub packets_dropped: u64,
    /// Frames passed over live because too many waited; others stand for them.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    pub packets_shed: u64,
    /// Frames whose first bytes were not looked at live because too many waited.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    pub packets_unnamed: u64,
    /// Earliest frame.
    pub first: Option<Timestamp>,
    /// Latest frame.
    pub last: Option<Timestamp>,
    /// How often the recording's clock was set back by more than an hour.
    pub clock_turned_back: u64,
    /// Time zone of days.
    pub timezone: String,
    /// Frames that a flow was made of.
    pub packets_decoded: u64,
    /// Frames that were not, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Flows seen.
    pub flows: u64,
    /// Flows ended early because the table was full; their counts were handed on.
    pub flows_evicted: u64,
    /// Packets that the mirror delivered again; they count in nothing else.
    pub duplicates: u64,
    /// How far the capture can be trusted.
    pub health: Health,
    /// TCP segments and acknowledgements refused as impossible.
    pub tcp_rejected: u64,
    /// Inside hosts that exchanged something with the outside.
    pub hosts: usize,
    /// Hosts forgotten because there were too many.
    pub hosts_evicted: u64,
    /// Pairs of host and destination forgotten because there were too many.
    pub pairs_evicted: u64,
    /// Pairs of host and domain, or of host and pinged address, forgotten because there were too many.
    pub channels_evicted: u64,
    /// Closed incidents, hosts of the ranking and peaks of a day that made room for others.
    pub incidents_evicted: u64,
    /// Bytes from inside to outside.
    pub bytes_out: u64,
    /// Bytes from outside to inside.
    pub bytes_in: u64,
    /// Bytes between inside hosts.
    pub bytes_inside: u64,
    /// Bytes between outside ends.
    pub bytes_outside: u64,
    /// Bytes between inside relays and the outside, on behalf of hosts that have them in their own sums.
    pub bytes_relayed: u64,
    /// How often an address was claimed by a second machine, and stood alone from then on.
    pub addresses_disputed: u64,
    /// Networks taken for inside.
    pub internal: Vec<String>,
    /// Hosts that sent most, largest first.
    pub top_senders: Vec<TopSender>,
    /// Alerts a day asked for.
    pub budget: f64,
    /// Score from which an incident pages, on the last day.
    pub threshold_bits: Bits,
    /// Incidents at medium severity or above.
    pub alerts: u64,
    /// What rules kept from being told or from paging in this run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub silenced: Vec<Silenced>,
    /// How long after a packet it was judged what its flow had sent by then: live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdicts_after_ms: Option<VerdictDelays>,
    /// What was kept of the packets of incidents, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceTally>,
    /// What went wrong with the input, one sentence each.
    pub warnings: Vec<String>,
}

/// How long verdicts took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct VerdictDelays {
    /// Half of them were sooner.
    pub half: f64,
    /// 99 % of them were.
    pub most: f64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What was kept of the packets of incidents.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EvidenceTally {
    /// Files written.
    pub files: u64,
    /// Those of them that could not be written to their end.
    pub files_incomplete: u64,
    /// Files removed, because they were too old or room was needed.
    pub files_removed: u64,
    /// Packets kept; one that belongs to two incidents counts twice.
    pub packets: u64,
    /// Bytes written for them.
    pub bytes: u64,
    /// Packets that found no room, or could not be written.
    pub packets_lost: u64,
    /// Times that no file could be begun for an incident.
    pub incidents_lost: u64,
}

/// A host and what it sent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TopSender {
    /// The host's address; of several, the one that was seen last.
    pub host: Addr,
    /// Its hardware address, where its addresses are summed as one machine.
    pub mac: Option<String>,
    /// All it sent to the outside.
    pub bytes_out: u64,
    /// All it received from the outside.
    pub bytes_in: u64,
    /// The destination it sent most to in one day.
    pub destination: Option<String>,
    /// How much that was.
    pub destination_bytes: u64,
}
