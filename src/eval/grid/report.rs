//! What uploads over all that may matter came to, `sekisho.grid/1`.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::report::Verdict;
use super::oracle::Sums;
use crate::detect::Bits;
use crate::net::Addr;
use crate::synth::office::{Cell, JudgedBy};
use crate::time::Timestamp;

/// What uploads over all that may matter came to. The same for the same seed.
#[derive(Debug, Default, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GridReport {
    /// Always `sekisho.grid/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// The office.
    pub set: String,
    /// Seed of the office and of the grid.
    pub seed: u64,
    /// Days of learning before the first upload.
    pub learned_days: u32,
    /// Honest days after them, on which false alerts are counted.
    pub judged_days: u32,
    /// Hosts that sent something on these, each day anew.
    pub host_days: u64,
    /// Uploads of the whole grid.
    pub uploads_in_all: usize,
    /// Those that were tried, with their ground truth.
    pub uploads: Vec<Upload>,
    /// Each budget and each fixed rule.
    pub judges: Vec<Judged>,
}

/// An upload; its ground truth has the names of `sekisho.labels/1`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Upload {
    /// What it is like.
    #[serde(flatten)]
    pub cell: Cell,
    /// What gives it away. Those hidden in names and echoes are told apart, and an oracle of bytes sees none of them.
    pub judged_by: JudgedBy,
    /// The host that sends.
    pub src: Addr,
    /// Does it ask a proxy inside for what goes over TLS?
    pub asks_proxy: bool,
    /// The other end.
    pub dst: [Addr; 1],
    /// First moment.
    pub start: Timestamp,
    /// Last moment.
    pub end: Timestamp,
}

/// How well a budget or a fixed rule did, beside the oracle.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Judged {
    /// The rule, or what the budget is.
    pub name: String,
    /// Alerts a day that were asked for; null for a rule.
    pub budget: Option<f64>,
    /// Score from which an incident paged on the first day with uploads; null for a rule.
    pub threshold_bits: Option<Bits>,
    /// Pages on the honest days.
    pub false_alerts: usize,
    /// The same in a day.
    pub false_per_day: f64,
    /// The same for each 1,000 host-days.
    pub false_per_1000_host_days: f64,
    /// Over all uploads that bytes give away.
    pub all: Tally,
    /// Over those of them that have something in common.
    pub by: Vec<Slice>,
    /// How high those that were not found would rank their hosts, of whatever kind they are.
    pub not_found: NotFound,
    /// The same beside oracles that sum otherwise.
    pub other_oracles: Vec<OtherOracle>,
    /// Over those that are hidden in messages.
    pub hidden: Vec<Hidden>,
    /// Of each upload, in their order.
    pub outcomes: Vec<Outcome>,
}

/// Uploads that nobody was called for in time, and where they would rank their host on their last day, among all hosts
/// of an honest office, by the scores that they end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotFound {
    /// Uploads.
    pub uploads: usize,
    /// Of them, those whose host would be ranked first.
    pub first: usize,
    /// The same for the first ten.
    pub first_ten: usize,
}

/// How well a budget or a fixed rule did beside an oracle that sums otherwise than by the day: what it finds
/// and that by the day does not is what such sums could gain.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct OtherOracle {
    /// What it sums.
    pub sums: Sums,
    /// Over all uploads that bytes give away.
    pub all: Tally,
    /// Over those of them that have something in common.
    pub by: Vec<Slice>,
}

/// Uploads hidden in messages; the oracle's numbers are 0 and null.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Hidden {
    /// In which.
    pub judged_by: JudgedBy,
    /// Over all of them.
    pub all: Tally,
    /// Over those that have something in common.
    pub by: Vec<Slice>,
}

/// Uploads that have something in common.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Slice {
    /// Of what: `bytes`, `bytes_per_sec`, `destination`, ...
    pub of: &'static str,
    /// Which they have in common.
    pub value: String,
    /// How well it went.
    pub tally: Tally,
}

/// How many were found, and by the oracle at as many false alerts.
#[derive(Debug, Default, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Tally {
    /// Uploads.
    pub uploads: usize,
    /// Found, in time.
    pub found: usize,
    /// Found by the oracle.
    pub oracle_found: usize,
    /// Half of those found had sent at most so many bytes by then.
    pub median_bytes_left: Option<u64>,
    /// The same for the oracle.
    pub oracle_median_bytes_left: Option<u64>,
}

/// What was said of an upload.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Outcome {
    /// In one word.
    pub verdict: Verdict,
    /// Seconds from the first byte to the page.
    pub secs: Option<f64>,
    /// What had left by then.
    pub bytes_left: Option<u64>,
    /// What had left when the oracle alarmed; null where it did not.
    pub oracle_bytes_left: Option<u64>,
    /// The place that its score, when it ended, would give its host among all hosts of the day; null for fixed rules.
    pub rank: Option<usize>,
}

impl NotFound {
    pub(super) fn of(outcomes: &[Outcome]) -> Self {
        let missed = outcomes.iter().filter(|one| one.verdict != Verdict::Found);
        let within = |most| {
            let ranks = missed.clone().filter_map(|one| one.rank);
            ranks.filter(|&rank| rank <= most).count()
        };
        Self { uploads: missed.clone().count(), first: within(1), first_ten: within(10) }
    }
}

impl GridReport {
    /// Adds up the outcomes of a judge.
    pub(super) fn tally(
        &self,
        outcomes: &[Outcome],
        judged_by: JudgedBy,
        is_meant: impl Fn(&Cell) -> bool,
    ) -> Tally {
        let uploads = self.uploads.iter().zip(outcomes);
        let meant: Vec<&Outcome> = uploads
            .filter(|(upload, _)| upload.judged_by == judged_by && is_meant(&upload.cell))
            .map(|(_, outcome)| outcome)
            .collect();
        let found = || meant.iter().filter(|one| one.verdict == Verdict::Found);
        let by_oracle = || meant.iter().filter_map(|one| one.oracle_bytes_left);
        Tally {
            uploads: meant.len(),
            found: found().count(),
            oracle_found: by_oracle().count(),
            median_bytes_left: median(found().filter_map(|one| one.bytes_left).collect()),
            oracle_median_bytes_left: median(by_oracle().collect()),
        }
    }

    /// The same for each value of each dimension.
    pub(super) fn slices(&self, outcomes: &[Outcome], judged_by: JudgedBy) -> Vec<Slice> {
        let mut slices = Vec::new();
        for Dimension { of, value } in DIMENSIONS {
            let counted = self.uploads.iter().filter(|upload| upload.judged_by == judged_by);
            let mut values: Vec<Value> = counted.map(|upload| value(&upload.cell)).collect();
            values.sort();
            values.dedup();
            for one in values {
                let tally = self.tally(outcomes, judged_by, |cell| value(cell) == one);
                slices.push(Slice { of, value: one.to_string(), tally });
            }
        }
        slices
    }
}

/// A dimension of the grid, and where in it a cell lies.
struct Dimension {
    of: &'static str,
    value: fn(&Cell) -> Value,
}

/// Numbers go by their size, words by the alphabet.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(u64),
    Word(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

const DIMENSIONS: [Dimension; 7] = [
    Dimension { of: "bytes", value: |cell| Value::Number(cell.bytes) },
    Dimension { of: "bytes_per_sec", value: |cell| Value::Number(cell.bytes_per_sec) },
    Dimension { of: "destination", value: |cell| Value::Word(word(&cell.destination)) },
    Dimension { of: "chunking", value: |cell| Value::Word(word(&cell.chunking)) },
    Dimension { of: "service", value: |cell| Value::Word(word(&cell.service)) },
    Dimension { of: "hour", value: |cell| Value::Word(word(&cell.hour)) },
    Dimension { of: "pace", value: |cell| Value::Word(word(&cell.pace)) },
];

/// The word that stands for it in JSON.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The middle one, the lesser of two in the middle.
pub(super) fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}
