//! The alert as it leaves us: one JSON object a line, `sekisho.alert/1` (DESIGN 7).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::detect::{Bits, Staging};
use crate::flow::Counters;
use crate::names::{Name, NameSource, Service};
use crate::net::Addr;
use crate::rules::Silence;
use crate::time::Timestamp;

/// What is told about an incident, when it opens, grows, closes or comes back.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Alert {
    /// Always `sekisho.alert/1`.
    pub schema: &'static str,
    /// What happened to the incident.
    pub kind: Kind,
    /// The rule because of which it is not told, or is told and does not page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silenced: Option<Silence>,
    /// Why it closed, when it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<ClosedBecause>,
    /// The incident's id: the same in every replay of the same traffic.
    pub incident: String,
    /// Counts the alerts of this incident, from 1.
    pub revision: u32,
    /// Packet time of this alert.
    pub time: Timestamp,
    /// How much it matters, silenced or not.
    pub severity: Severity,
    /// The sum of the terms in `why`.
    pub score_bits: Bits,
    /// The score from which an incident pages today.
    pub threshold_bits: Bits,
    /// Alerts a day that the operator asked for.
    pub budget: f64,
    /// MITRE ATT&CK techniques that fit.
    pub techniques: Vec<&'static str>,
    /// The kind of upload.
    pub family: &'static str,
    /// Detectors that raised the score.
    pub detectors: Vec<&'static str>,
    /// One sentence for a person.
    pub summary: String,
    /// The inside end.
    pub host: HostFacts,
    /// The outside end.
    pub destination: DestinationFacts,
    /// What the host took from another inside before it sent as much, where that is unusual.
    pub staging: Option<StagingFacts>,
    /// The hosts that told it together, the first few, where no one alone did.
    pub together: Vec<TogetherFacts>,
    /// Start of the first flow that counts.
    pub started: Timestamp,
    /// Latest packet.
    pub last: Timestamp,
    /// Bytes sent since `started`: the greater of seen and acknowledged, flow by flow.
    pub bytes_out: u64,
    /// Bytes that the outside end acknowledged (TCP).
    pub bytes_out_acked: u64,
    /// The same as IP bytes on the wire, headers and retransmissions included.
    pub bytes_out_wire: u64,
    /// Bytes received from the destination.
    pub bytes_in: u64,
    /// Mean rate since `started`, in bits per second.
    pub rate_bps: u64,
    /// The terms of the score; their bits add up to `score_bits`.
    pub why: Vec<Why>,
    /// Detectors that had nothing to say.
    pub quiet: Vec<&'static str>,
    /// What would have kept it quiet.
    pub counterfactual: Counterfactual,
    /// Bytes that had left when the incident first paged (when it opened, while it has not).
    pub left_when_raised: u64,
    /// The incident's alerts so far.
    pub revisions: Vec<Revision>,
    /// The flows that sent most, largest first.
    pub flows: Vec<FlowFacts>,
    /// Filters that find the evidence in the capture.
    pub pivot: Pivot,
    /// The capture file with its packets, where these are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// How far the capture can be trusted here.
    pub health: Health,
    /// Who says so.
    pub sensor: Sensor,
}

impl Alert {
    /// Is it one that somebody is woken up for?
    pub fn pages(&self) -> bool {
        self.severity >= Severity::Medium && self.silenced.is_none()
    }
}

/// What happened to the incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is new.
    Open,
    /// It grew fourfold, has a new reason, or matters more.
    Update,
    /// It is over.
    Close,
    /// The same pair again, at four times its largest.
    Reopen,
}

/// Why an incident closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClosedBecause {
    /// Nothing was sent for a while.
    Quiet,
    /// The input ended.
    Eof,
    /// Somebody stopped the sensor.
    Stopped,
}

/// How much an incident matters. From `Medium` on it pages and spends budget.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Within two bits below the threshold: in reports, pages nobody.
    Low,
    /// At or above the threshold.
    Medium,
    /// Six bits above it, or 100 MB beyond normal.
    High,
    /// Twelve bits above it, and 100 MB.
    Critical,
}

/// The inside end.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HostFacts {
    /// Its address; of several, the one that most was sent from at the latest look.
    pub ip: Addr,
    /// All addresses of the machine, where these are sure: this one first, then those that sent to the
    /// destination. Sums are of all of them.
    pub ips: Vec<Addr>,
    /// Its hardware address, where it is sure.
    pub mac: Option<String>,
    /// What it last called itself, if it did.
    pub name: Option<String>,
    /// Does more than one machine claim its address? Then sums are of that address alone.
    pub disputed: bool,
    /// Its declared role, if any.
    pub role: Option<String>,
}

/// The outside end.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DestinationFacts {
    /// Its owner's key; `*` when many destinations make one incident.
    pub key: String,
    /// Its name, if known.
    pub name: Option<Name>,
    /// Where the name comes from.
    pub name_source: Option<NameSource>,
    /// Its addresses.
    pub ips: Vec<Addr>,
    /// Ports at the outside end (at the inside end when the outside opened the flow).
    pub ports: Vec<u16>,
    /// Transport protocol of most bytes.
    pub transport: Option<String>,
    /// Application protocol, if known.
    pub service: Option<Service>,
    /// Fingerprint of the client program, if known.
    pub client: Option<String>,
    /// To how many the first mail of the latest flow is at least, as its sender says in clear text while that is looked
    /// at; null of anything else.
    pub recipients: Option<u16>,
    /// Who opened the flows.
    pub initiator: &'static str,
    /// Does the name disagree with what the resolver said, or with the certificate? Null without a name.
    pub name_mismatch: Option<bool>,
    /// Autonomous system number, if known.
    pub asn: Option<u32>,
    /// Country code, if known.
    pub country: Option<String>,
    /// Category from the rules folder, if listed.
    pub category: Option<String>,
    /// When this host first sent there, as far as is remembered.
    pub first_seen: Timestamp,
    /// Hosts that sent there in the last 30 days, this one included.
    pub hosts_30d: usize,
}

/// The half of an upload that stays inside: from where it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StagingFacts {
    /// Address of the host inside that it was taken from.
    pub source: Addr,
    /// Bytes taken on one day, today or yesterday.
    pub bytes: u64,
    /// Start of the first flow that brought any.
    pub started: Timestamp,
    /// The latest packet of them.
    pub last: Timestamp,
    /// The most that the host took from there on an earlier day.
    pub history_max: u64,
}

/// One of several hosts that tell something together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TogetherFacts {
    /// Its address.
    pub ip: Addr,
    /// Bytes that it told itself.
    pub bytes: u64,
}

impl TogetherFacts {
    pub(super) fn of(&(ip, bytes): &(Addr, u64)) -> Self {
        Self { ip, bytes }
    }
}

impl StagingFacts {
    pub(super) fn of(staging: &Staging) -> Self {
        let Staging { source, bytes, first_at, last_at, history_max, .. } = *staging;
        Self { source, bytes, started: first_at, last: last_at, history_max }
    }
}

/// One term of the score.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Why {
    /// The detector.
    pub term: &'static str,
    /// Its share of the score, after its weight.
    pub bits: Bits,
    /// The numbers behind it.
    pub values: Map<String, Value>,
    /// The same in words.
    pub text: String,
}

/// What would have kept it quiet.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Counterfactual {
    /// The score without each supporting term.
    pub bits_without: BTreeMap<&'static str, Bits>,
    /// With fewer bytes than this, all else equal, it would not have paged.
    pub no_alert_below_bytes: u64,
}

/// One earlier alert of the same incident.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, Deserialize)]
pub struct Revision {
    /// Its number.
    pub revision: u32,
    /// Its packet time.
    pub time: Timestamp,
    /// Bytes that had left by then.
    pub bytes_out: u64,
    /// The score then.
    pub score_bits: Bits,
}

/// One flow of the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FlowFacts {
    /// Community id, version 1.
    pub community_id: String,
    /// Inside address.
    pub src: Addr,
    /// Inside port.
    pub sport: u16,
    /// Outside address.
    pub dst: Addr,
    /// Outside port.
    pub dport: u16,
    /// Transport protocol.
    pub proto: String,
    /// Bytes sent by the inside end.
    pub bytes_out: u64,
}

/// Filters that find the evidence in the capture.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Pivot {
    /// For tcpdump and `--filter`.
    pub bpf: String,
    /// For Wireshark.
    pub wireshark: String,
}

/// How far the capture can be trusted here: shares between 0 and 1, null where not measured.
#[derive(Debug, Default, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Health {
    /// Frames lost before us, where the capture says so: of a run, or live since the incident started.
    pub dropped: Option<f64>,
    /// Bytes sent of which only the acknowledgement was seen.
    pub lost: Option<f64>,
    /// Packets that the mirror delivered again, of all delivered.
    pub duplicates: Option<f64>,
    /// Flows with payload of which only one direction was seen.
    pub one_sided: Option<f64>,
    /// Packets passed over for want of time, for which others were counted: live, since the incident started, or of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shed: Option<f64>,
    /// Packets of incidents that were to be kept as evidence and could not be, in this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_lost: Option<f64>,
}

impl Health {
    /// The health of what one host sent to one destination.
    pub(super) fn of_pair(out: &Counters, packets_in: u64) -> Self {
        Self {
            dropped: None,
            lost: Some(share(out.sent.saturating_sub(out.payload), out.sent)),
            duplicates: Some(share(out.duplicates, out.packets + out.duplicates)),
            one_sided: Some(if packets_in == 0 { 1.0 } else { 0.0 }),
            shed: None,
            evidence_lost: None,
        }
    }
}

/// A part of a whole, to the tenth of a thousandth; 0 of nothing.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    (part as f64 / whole.max(1) as f64 * 10_000.0).round() / 10_000.0
}

/// Who says so.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Sensor {
    /// The sensor's name.
    pub name: String,
    /// Version of the program.
    pub version: &'static str,
    /// Digest of everything configured that can change a verdict.
    pub config: String,
}
