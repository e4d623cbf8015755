//! What rules have kept from being told, on record.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::{Silence, SilencedBy};
use crate::time::Timestamp;

/// What one rule has silenced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Silenced {
    /// The kind of rule.
    pub by: SilencedBy,
    /// Its name.
    pub rule: String,
    /// Incidents.
    pub incidents: u64,
    /// Bytes that were sent in them meanwhile.
    pub bytes: u64,
    /// Packet time of the first.
    pub first: Timestamp,
    /// Packet time of the latest.
    pub last: Timestamp,
}

/// What each rule has silenced, by name; one that has not for long is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally(BTreeMap<(SilencedBy, String), Sum>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    incidents: u64,
    bytes: u64,
    first: Timestamp,
    last: Timestamp,
}

/// What a rule silences of one incident, at one look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hush {
    pub(super) at: Timestamp,
    /// Did it not silence this incident before?
    pub(super) is_another: bool,
    /// Bytes sent since the look before.
    pub(super) bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, silence: &Silence, hush: Hush) {
        let Hush { at, is_another, bytes } = hush;
        let none = Sum { incidents: 0, bytes: 0, first: at, last: at };
        let sum = self.0.entry((silence.by, silence.rule.clone())).or_insert(none);
        sum.incidents += u64::from(is_another);
        sum.bytes += bytes;
        sum.last = sum.last.max(at);
    }

    /// Forgets rules that have silenced nothing for long.
    pub(super) fn forget(&mut self) {
        let now = self.0.values().map(|sum| sum.last).max().unwrap_or_default();
        self.0.retain(|_, sum| sum.last.plus(KEPT) >= now);
    }

    pub(super) fn list(&self) -> Vec<Silenced> {
        let each = self.0.iter().map(|((by, rule), sum)| Silenced {
            by: *by,
            rule: rule.clone(),
            incidents: sum.incidents,
            bytes: sum.bytes,
            first: sum.first,
            last: sum.last,
        });
        each.collect()
    }
}

/// How long a rule is remembered that silences nothing: longer than a yearly one needs.
const KEPT: Duration = Duration::from_secs(400 * 86_400);
