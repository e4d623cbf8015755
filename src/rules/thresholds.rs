//! `thresholds.yaml`: from where an upload is to be told, by whom, to whom, over what.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ByteSize;
use super::condition::Condition;
use super::document::{Fields, Node};
use super::exceptions::words;
use super::matcher::{Matcher, MatcherFields, Matter, Upload};
use super::problem::{Fault, Placed, Problem, Problems};
use crate::net::Subnets;

/// Thresholds that the operator sets beside the one that the budget buys, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thresholds(Vec<Threshold>);

/// From where an upload is to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// What it is called; the only one of its kind.
    pub name: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it was made.
    pub reason: String,
    /// The score from which it pages, in bits, in place of what the budget buys.
    pub bits: Option<f64>,
    /// Bytes of a host's day to a destination from which it pages, whatever is usual.
    pub bytes_per_day: Option<u64>,
    matcher: Matcher,
    condition: Option<Condition>,
}

/// What thresholds say of an upload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bar {
    /// The score from which it pages, in bits.
    pub bits: Option<f64>,
    /// The limit that it has passed.
    pub limit: Option<Limit>,
}

/// A limit that an upload has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// The rule's name.
    pub rule: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it was made.
    pub reason: String,
    /// Bytes of a day from which it pages.
    pub bytes_per_day: u64,
}

impl Threshold {
    /// Its condition, as it was written.
    pub fn when(&self) -> Option<&str> {
        self.condition.as_ref().map(Condition::text)
    }

    fn holds(&self, matter: &Matter<'_>) -> bool {
        self.matcher.matches(matter)
            && self.condition.as_ref().is_none_or(|condition| condition.holds(matter))
    }
}

impl Thresholds {
    /// Each of them, in the order of the files.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Threshold> {
        self.0.iter()
    }

    /// Could any say something of so many bytes, or of what passes the gate? Without asking what it is about.
    pub fn concern(&self, bytes: u64, passes_gate: bool) -> bool {
        self.0.iter().any(|each| {
            each.bits.is_some() && passes_gate
                || each.bytes_per_day.is_some_and(|limit| bytes >= limit)
        })
    }

    /// What they say of an upload: of several that set bits the first, of several limits the lowest.
    pub fn bar(&self, matter: &Matter<'_>) -> Bar {
        let is_bytes = matches!(matter.upload, Upload::Volume | Upload::Server);
        let passed = |each: &&Threshold| {
            is_bytes && each.bytes_per_day.is_some_and(|limit| matter.bytes >= limit)
        };
        let passed = self.0.iter().filter(passed).filter(|each| each.holds(matter));
        let bits = self.0.iter().filter(|each| each.bits.is_some());
        Bar {
            bits: bits.clone().find(|each| each.holds(matter)).and_then(|each| each.bits),
            limit: passed.min_by_key(|each| each.bytes_per_day).map(|each| Limit {
                rule: each.name.clone(),
                owner: each.owner.clone(),
                reason: each.reason.clone(),
                bytes_per_day: each.bytes_per_day.unwrap_or_default(),
            }),
        }
    }

    pub(super) fn check(
        files: Vec<ThresholdsFile>,
        (internal, floor_bytes): (&Subnets, u64),
        problems: &mut Problems,
    ) -> Self {
        let (mut thresholds, mut names) = (Vec::new(), HashMap::new());
        for entry in files.into_iter().flat_map(|file| file.entries) {
            if let Some(limit) = &entry.bytes_per_day
                && limit.value.0 < floor_bytes
            {
                let message = format!("{} is less than floor_bytes", limit.value);
                let remedy = format!(
                    "nothing is judged below {}: write as much, or set floor_bytes",
                    ByteSize(floor_bytes)
                );
                problems.push(Problem::at(&limit.at, Fault::new(message, remedy)));
            }
            let condition = entry.when.as_ref().and_then(|written| {
                Condition::check(written).map_err(|problem| problems.push(*problem)).ok()
            });
            if let Some(first) = names.insert(entry.name.value.clone(), entry.name.at.clone()) {
                let message =
                    format!("two thresholds are called {}", super::quoted(&entry.name.value));
                let fault = Fault::new(message, "alerts name them: rename one");
                problems.push(Problem::at(&entry.name.at, fault).and(&first, "first written"));
            }
            thresholds.push(Threshold {
                name: entry.name.value,
                owner: entry.owner.value,
                reason: entry.reason.value,
                bits: entry.bits.map(|bits| bits.value),
                bytes_per_day: entry.bytes_per_day.map(|limit| limit.value.0),
                matcher: entry.matcher.check(internal, problems),
                condition,
            });
        }
        Self(thresholds)
    }
}

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct ThresholdsFile {
    entries: Vec<ThresholdFields>,
}

impl ThresholdsFile {
    pub(super) fn read(node: Node, problems: &mut Problems) -> Self {
        let mut fields = Fields::of(node, "key", problems);
        super::Kind::take(&mut fields);
        let entries = fields.each("thresholds", ThresholdFields::read);
        fields.finish();
        Self { entries }
    }
}

/// From where uploads are told, beside the threshold that the budget buys.
#[derive(Debug, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, rename = "ThresholdsFile")]
#[expect(dead_code, reason = "for the schema")]
pub(super) struct ThresholdsSchema {
    /// What this file holds; needed only when the file has another name than `thresholds.yaml`.
    kind: Option<super::Kind>,
    /// One for each role, destination or service that has its own.
    #[schemars(default)]
    thresholds: Vec<ThresholdFields>,
}

/// From where an upload is told.
#[derive(Debug, Clone, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ThresholdFields {
    /// What it is called; the only one of its kind.
    #[schemars(length(min = 1, max = 200))]
    name: Placed<String>,
    /// Who answers for it.
    #[schemars(length(min = 1, max = 200))]
    owner: Placed<String>,
    /// Why it is made.
    #[schemars(length(min = 1, max = 200))]
    reason: Placed<String>,
    /// The score from which it pages, in bits, in place of what the budget buys.
    #[schemars(range(min = 1, max = 100))]
    bits: Option<Placed<f64>>,
    /// Bytes of a host's day to a destination from which it pages, whatever is usual.
    bytes_per_day: Option<Placed<ByteSize>>,
    /// A condition in the Common Expression Language.
    #[schemars(length(min = 1, max = 500))]
    when: Option<Placed<String>>,
    #[schemars(flatten)]
    matcher: MatcherFields,
}

impl ThresholdFields {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let (name, owner) = (fields.must("name", words), fields.must("owner", words));
        let reason = fields.must("reason", words);
        let bits = fields.value("bits", bits);
        let bytes_per_day = fields.value("bytes_per_day", |text| Ok(text.parse::<ByteSize>()?));
        let when = fields.value("when", |text| Ok(text.to_owned()));
        let matcher = MatcherFields::read_any(&mut fields);
        if !fields.has("bits") && !fields.has("bytes_per_day") {
            let message = "neither `bits` nor `bytes_per_day` says from where on it is told";
            fields.refuse(Fault::new(message, "add at least one of them"));
        }
        fields.finish();
        Some(Self {
            name: name?,
            owner: owner?,
            reason: reason?,
            bits,
            bytes_per_day,
            when,
            matcher,
        })
    }
}

fn bits(text: &str) -> Result<f64, Fault> {
    let bits = text.trim().parse::<f64>().ok().filter(|bits| (1.0..=100.0).contains(bits));
    bits.ok_or_else(|| {
        let message = format!("{} is no number of bits from 1 to 100", super::quoted(text));
        Fault::new(message, "write a score, as alerts have it: 8.5")
    })
}
