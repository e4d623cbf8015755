//! Rules of the operator that say what is told, and what would have been told without them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::printable;
use super::text::counted;
use crate::alert::{Silenced, bytes_text};
use crate::engine::{Change, WhatIf};
use crate::rules::{Exceptions, RuleSet, SilencedBy, Terms, Threshold};
use crate::time::{Calendar, Timestamp};

/// A rule, who answers for it, and what it has silenced, `sekisho.rule/1`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RuleRow {
    /// Always `sekisho.rule/1`.
    pub schema: &'static str,
    /// The kind of rule.
    pub by: RuleKind,
    /// Its name.
    pub rule: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it was made.
    pub reason: String,
    /// Until when it holds, as it was written; null of a threshold, which has no end.
    pub until: Option<String>,
    /// How it stands.
    pub status: RuleStatus,
    /// Of an allowance: bytes of a day up to which it holds; of a threshold, from which on it pages.
    pub bytes_per_day: Option<u64>,
    /// Of a threshold: the score from which it pages.
    pub bits: Option<f64>,
    /// Of a threshold: its condition.
    pub when: Option<String>,
    /// What it has silenced; null where there is no record of that, or where it never has.
    pub silenced: Option<Silenced>,
}

/// Which kind of rule it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// It is in order: it is not told.
    Allowance,
    /// It is not told.
    Suppression,
    /// It is told, and does not page.
    Maintenance,
    /// From where it is told.
    Threshold,
}

impl RuleKind {
    fn name(self) -> &'static str {
        match self {
            Self::Allowance => SilencedBy::Allowance.name(),
            Self::Suppression => SilencedBy::Suppression.name(),
            Self::Maintenance => SilencedBy::Maintenance.name(),
            Self::Threshold => "threshold",
        }
    }
}

impl From<SilencedBy> for RuleKind {
    fn from(by: SilencedBy) -> Self {
        match by {
            SilencedBy::Allowance => Self::Allowance,
            SilencedBy::Suppression => Self::Suppression,
            SilencedBy::Maintenance => Self::Maintenance,
        }
    }
}

/// How a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleStatus {
    /// It holds.
    Active,
    /// It begins later.
    Coming,
    /// It holds, and has silenced nothing for long, or never.
    Dead,
    /// It has ended.
    Expired,
}

/// By what the rules are judged that are listed.
#[derive(Debug)]
pub struct RuleRecord<'a> {
    /// What they have silenced, where there is a record of it.
    pub silenced: Option<&'a [Silenced]>,
    /// The present moment.
    pub now: Timestamp,
    /// In the time zone of the rules.
    pub calendar: &'a Calendar,
    /// How long a rule may have silenced nothing before it counts as dead.
    pub dead_after: Duration,
}

impl RuleRow {
    /// All rules of that kind, in the order of the files.
    pub fn all(rules: &RuleSet, record: &RuleRecord<'_>) -> Vec<Self> {
        let sums: Option<BTreeMap<(SilencedBy, &str), &Silenced>> = record.silenced.map(|sums| {
            sums.iter().map(|silenced| ((silenced.by, silenced.rule.as_str()), silenced)).collect()
        });
        let (now, local) = (record.now, record.calendar.local(record.now));
        let row = |by, terms: &Terms, bytes_per_day, has_begun: bool| {
            let silenced = sums.as_ref().and_then(|sums| sums.get(&(by, terms.name.as_str())));
            let is_used = silenced.is_some_and(|sum| sum.last.plus(record.dead_after) >= now);
            let status = if terms.expires.is_reached(now, local) {
                RuleStatus::Expired
            } else if !has_begun {
                RuleStatus::Coming
            } else if sums.is_some() && !is_used {
                RuleStatus::Dead
            } else {
                RuleStatus::Active
            };
            Self {
                schema: "sekisho.rule/1",
                by: by.into(),
                rule: terms.name.clone(),
                owner: terms.owner.clone(),
                reason: terms.reason.clone(),
                until: Some(terms.expires.to_string()),
                status,
                bytes_per_day,
                bits: None,
                when: None,
                silenced: silenced.map(|&silenced| silenced.clone()),
            }
        };
        let Exceptions { allowances, suppressions, maintenance } = &rules.exceptions;
        let allowances = allowances
            .iter()
            .map(|each| row(SilencedBy::Allowance, &each.terms, Some(each.bytes_per_day), true));
        let suppressions =
            suppressions.iter().map(|each| row(SilencedBy::Suppression, &each.terms, None, true));
        let maintenance = maintenance.iter().map(|each| {
            row(SilencedBy::Maintenance, &each.terms, None, each.from.is_reached(now, local))
        });
        let thresholds = rules.thresholds.iter().map(Self::of_threshold);
        allowances.chain(suppressions).chain(maintenance).chain(thresholds).collect()
    }
}

impl RuleRow {
    fn of_threshold(threshold: &Threshold) -> Self {
        Self {
            schema: "sekisho.rule/1",
            by: RuleKind::Threshold,
            rule: threshold.name.clone(),
            owner: threshold.owner.clone(),
            reason: threshold.reason.clone(),
            until: None,
            status: RuleStatus::Active,
            bytes_per_day: threshold.bytes_per_day,
            bits: threshold.bits,
            when: threshold.when().map(str::to_owned),
            silenced: None,
        }
    }
}

/// Writes a rule in three lines, for people.
impl fmt::Display for RuleRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, rule, owner, reason, until, .. } = self;
        let status = match (self.status, &self.silenced) {
            (RuleStatus::Active, _) => "",
            (RuleStatus::Coming, _) => ", not yet begun",
            (RuleStatus::Dead, None) => ", DEAD: never used",
            (RuleStatus::Dead, Some(_)) => ", DEAD: not used for long",
            (RuleStatus::Expired, _) => ", EXPIRED",
        };
        writeln!(f, "{:<12} {rule}{status}", by.name())?;
        let ceiling = self
            .bytes_per_day
            .map_or_else(String::new, |bytes| format!(", {} a day", bytes_text(bytes)));
        let until = until.as_ref().map_or_else(String::new, |until| format!(" until {until}"));
        let bits = self.bits.map_or_else(String::new, |bits| format!(", pages from {bits} bits"));
        write!(f, "             {owner}{until}{ceiling}{bits}: {reason}")?;
        if let Some(when) = &self.when {
            write!(f, "\n             when {}", printable(when))?;
        }
        if let Some(Silenced { incidents, bytes, last, .. }) = &self.silenced {
            let (incidents, bytes) = (counted(*incidents), bytes_text(*bytes));
            write!(f, "\n             silenced {incidents}, {bytes}, last {last:.0}")?;
        }
        Ok(())
    }
}

/// Writes what other rules would have told.
///
/// # Errors
/// When it cannot be written.
pub fn write_what_if(to: &mut impl Write, what_if: &WhatIf) -> io::Result<()> {
    let WhatIf { alerts_before, alerts_after, added, removed, .. } = what_if;
    writeln!(to, "Alerts by the rules at hand: {alerts_before}; by the others: {alerts_after}")?;
    for (what, why, changes) in
        [("Added", "by the rules at hand", added), ("Removed", "by the others", removed)]
    {
        if !changes.is_empty() {
            writeln!(to, "\n{what}:")?;
        }
        for change in changes {
            let because = because(change);
            writeln!(to, "  {}  {}", change.incident, printable(&change.summary))?;
            writeln!(to, "      {} bits; {why} {because}", change.score_bits)?;
        }
    }
    Ok(())
}

/// Why it does not page by the other rules.
fn because(change: &Change) -> String {
    match (&change.silenced, change.other_score_bits) {
        (Some(silence), _) => {
            let (rule, owner) = (printable(&silence.rule), printable(&silence.owner));
            format!("silenced: {} {rule} of {owner} until {}", silence.by.name(), silence.until)
        }
        (None, Some(score)) => format!("{score} bits, which do not page"),
        (None, None) => "no incident".to_owned(),
    }
}
