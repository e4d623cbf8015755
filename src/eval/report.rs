//! What an evaluation found, `sekisho.eval/1`.

use schemars::JsonSchema;
use serde::Serialize;

use super::labels::Expected;
use super::timeline::Moment;
use crate::alert::Severity;
use crate::detect::Bits;
use crate::net::Addr;
use crate::time::{Day, Timestamp};

/// What an evaluation found. The same for the same traffic, whoever counts it and however it is cut into
/// files.
#[derive(Debug, Default, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// Always `sekisho.eval/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// What it was evaluated on.
    pub input: Input,
    /// Alerts a day that were asked for.
    pub budget: f64,
    /// Score from which an incident pages, on the last day.
    pub threshold_bits: Bits,
    /// Over all, each incident alone after the same past.
    pub alone: Tally,
    /// Over all, with all incidents in the same traffic.
    pub together: Tally,
    /// Of each label, in their order.
    pub incidents: Vec<Incident>,
    /// Labels of which the captures hold nothing; they count in nothing else.
    pub not_in_captures: Vec<String>,
    /// Alerts without an incident, each incident alone.
    pub false_alerts: Vec<FalseAlert>,
    /// Alerts without an incident, all together.
    pub false_alerts_together: Vec<FalseAlert>,
    /// The same at other budgets, from small to large.
    pub curve: Vec<Point>,
    /// What fixed rules would have found.
    pub rules: Vec<RuleReport>,
}

/// What it was evaluated on.
#[derive(Debug, Default, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Input {
    /// The labels' name for it.
    pub set: String,
    /// Time zone of days.
    pub timezone: String,
    /// Networks taken for inside.
    pub internal: Vec<String>,
    /// Packets.
    pub packets: u64,
    /// Flows.
    pub flows: u64,
    /// Earliest packet.
    pub first: Option<Timestamp>,
    /// Latest packet.
    pub last: Option<Timestamp>,
    /// Days on which an alert without an incident is a false one; none for all.
    pub evaluation_days: Vec<Day>,
}

/// How well it went, over all.
#[derive(Debug, Default, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Tally {
    /// Incidents that must be flagged.
    pub incidents: usize,
    /// Those that were, in time.
    pub found: usize,
    /// Their share.
    pub recall: Option<f64>,
    /// Those of which less than half of the destinations were named.
    pub partial: usize,
    /// Those that were flagged more than an hour after their end.
    pub late: usize,
    /// Half of those found paged after at most so many seconds from the first byte.
    pub median_secs: Option<f64>,
    /// Half of those found had sent at most so many bytes when they paged.
    pub median_bytes_left: Option<f64>,
    /// The same as a share of all that they sent in the end.
    pub median_share_left: Option<f64>,
    /// Incidents that must page nobody.
    pub lookalikes: usize,
    /// Those that did.
    pub lookalikes_paged: usize,
    /// Pages on the days that are judged that no incident accounts for, those on look-alikes included.
    pub false_alerts: usize,
    /// Hosts that sent something on these days, each day anew.
    pub host_days: u64,
    /// False alerts for each thousand of them.
    pub false_per_1000_host_days: Option<f64>,
    /// Such pages on other days, on which there was still to learn.
    pub on_other_days: Vec<DayCount>,
}

/// Alerts of one day.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DayCount {
    /// The day.
    pub day: Day,
    /// Pages.
    pub alerts: u64,
}

/// One label, and what was said of it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Incident {
    /// Its name.
    pub id: String,
    /// What happened, in words.
    pub title: String,
    /// What ought to be said of it.
    pub expected: Expected,
    /// The host that it is about.
    pub host: Addr,
    /// Addresses at the other end.
    pub destinations: usize,
    /// First moment.
    pub start: Timestamp,
    /// Last moment.
    pub end: Timestamp,
    /// What the label says was sent, in bytes.
    pub bytes_label: Option<u64>,
    /// What the capture shows was sent.
    pub bytes_sent: u64,
    /// Alone after the past.
    pub alone: Outcome,
    /// With all others.
    pub together: Outcome,
    /// How its score grew, alone; only of what had to be flagged and was not.
    pub timeline: Vec<Moment>,
}

/// What was said of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Outcome {
    /// In one word.
    pub verdict: Verdict,
    /// The page: that which found it, else the first about it.
    pub detection: Option<Detection>,
    /// How many of its destinations were named in time.
    pub destinations_named: usize,
    /// The best place of its host while it went on.
    pub rank: Option<Rank>,
}

/// What was said of an incident, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It had to be flagged and was, in time.
    Found,
    /// It was flagged with less than half of its destinations.
    Partial,
    /// It was flagged, but more than an hour after its end.
    Late,
    /// It was told at low severity only.
    Mentioned,
    /// It had to be flagged and nothing was said.
    Missed,
    /// It had to page nobody and did.
    Paged,
    /// It had to page nobody and nothing was said.
    Silent,
}

/// The moment somebody was called.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Detection {
    /// Packet time.
    pub time: Timestamp,
    /// Seconds from the first byte.
    pub secs: f64,
    /// What had left by then, in bytes, counted from the flows.
    pub bytes_left: u64,
    /// The same as a share of all that was sent in the end.
    pub share_left: f64,
    /// The gravest that the alert became.
    pub severity: Severity,
    /// The score then; null where there is none.
    pub score_bits: Option<Bits>,
    /// The alerts' own last count of bytes.
    pub bytes_out: u64,
    /// How many pages there were about it.
    pub alerts: usize,
}

/// A host's place on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rank {
    /// The day.
    pub day: Day,
    /// The place, from 1.
    pub rank: usize,
    /// Hosts ranked that day.
    pub of: usize,
}

/// A page that no incident accounts for.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FalseAlert {
    /// Packet time.
    pub time: Timestamp,
    /// The host.
    pub host: Addr,
    /// What it named as destinations.
    pub destinations: Vec<Addr>,
    /// The gravest that it became.
    pub severity: Severity,
    /// The score when it paged; null where there is none.
    pub score_bits: Option<Bits>,
    /// The alert's own last count of bytes.
    pub bytes_out: u64,
    /// The look-alike or ordinary upload that it is about, where labelled.
    pub about: Option<String>,
}

/// How well it went at one budget.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Point {
    /// Alerts a day that were asked for.
    pub budget: f64,
    /// Score from which an incident pages, on the last day.
    pub threshold_bits: Bits,
    /// Each incident alone.
    pub alone: Tally,
    /// All together.
    pub together: Tally,
}

/// What a fixed rule would have found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RuleReport {
    /// The rule.
    pub rule: &'static str,
    /// When it decides.
    pub decides: &'static str,
    /// Each incident alone.
    pub alone: Tally,
    /// All together.
    pub together: Tally,
    /// The incidents that it flags, each alone.
    pub flagged: Vec<Flagged>,
}

/// An incident that a fixed rule flags.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Flagged {
    /// The incident.
    pub id: String,
    /// In one word.
    pub verdict: Verdict,
    /// When, and what had left.
    pub detection: Option<Detection>,
}
