//! What other rules would have told of the same traffic.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::Serialize;

use super::analyst::Analyst;
use super::replay::count;
use super::worker::{Run, WorkerCounters};
use crate::alert::{Alert, ClosedBecause, Record, Severity};
use crate::capture::Source;
use crate::detect::Bits;
use crate::net::Addr;
use crate::rules::Silence;
use crate::time::Timestamp;

/// Incidents that page by one set of rules and not by the other, `sekisho.what-if/1`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct WhatIf {
    /// Always `sekisho.what-if/1`.
    pub schema: &'static str,
    /// Incidents that page by the rules at hand.
    pub alerts_before: usize,
    /// Incidents that page by the other rules.
    pub alerts_after: usize,
    /// Those that page by the other rules alone.
    pub added: Vec<Change>,
    /// Those that page by the rules at hand alone.
    pub removed: Vec<Change>,
}

/// An incident that pages by one set of rules, and why it does not by the other.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Change {
    /// The incident's id.
    pub incident: String,
    /// Packet time of its latest alert, where it pages.
    pub time: Timestamp,
    /// The inside end.
    pub host: Addr,
    /// The outside end.
    pub destination: String,
    /// How much it matters where it pages.
    pub severity: Severity,
    /// Its score there.
    pub score_bits: Bits,
    /// Bytes sent.
    pub bytes_out: u64,
    /// One sentence for a person.
    pub summary: String,
    /// The rule that keeps it from paging where it does not; null where none does, and its score is too low.
    pub silenced: Option<Silence>,
    /// Its score where it does not page, null where it is no incident there, and the score from which it would.
    pub other_score_bits: Option<Bits>,
    /// The score from which it pages where it does.
    pub threshold_bits: Bits,
}

/// What one set of rules says of each incident.
#[derive(Debug, Default)]
struct Side {
    latest: BTreeMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    alert: Box<Alert>,
    pages: bool,
}

impl Side {
    fn take(&mut self, analyst: &mut Analyst) {
        for record in analyst.drain() {
            let alert = match record {
                Record::Alert(alert) | Record::Silenced(alert) => alert,
                Record::Ranking(_) | Record::Summary(_) => continue,
            };
            let has_paged = self.latest.get(&alert.incident).is_some_and(|seen| seen.pages);
            let pages = has_paged || alert.pages();
            self.latest.insert(alert.incident.clone(), Seen { alert, pages });
        }
    }

    fn paging(&self) -> impl Iterator<Item = &Alert> {
        self.latest.values().filter(|seen| seen.pages).map(|seen| &*seen.alert)
    }

    /// What pages here and not there, in the order of time.
    fn without(&self, other: &Self) -> Vec<Change> {
        let mut changes: Vec<Change> = self
            .paging()
            .filter_map(|alert| {
                let there = other.latest.get(&alert.incident);
                let is_alike = there.is_some_and(|there| there.pages);
                (!is_alike).then(|| change(alert, there.map(|there| &*there.alert)))
            })
            .collect();
        changes.sort_by(|a, b| (a.time, &a.incident).cmp(&(b.time, &b.incident)));
        changes
    }
}

fn change(alert: &Alert, there: Option<&Alert>) -> Change {
    Change {
        incident: alert.incident.clone(),
        time: alert.time,
        host: alert.host.ip,
        destination: alert.destination.key.clone(),
        severity: alert.severity,
        score_bits: alert.score_bits,
        bytes_out: alert.bytes_out,
        summary: alert.summary.clone(),
        silenced: there.and_then(|there| there.silenced.clone()),
        other_score_bits: there.map(|there| there.score_bits),
        threshold_bits: alert.threshold_bits,
    }
}

/// Replays `source` before two analysts who differ in their rules, and says in which incidents they do.
/// `tell` gets the source after every batch, to show progress.
///
/// # Errors
/// When the source fails.
pub fn what_if<S: Source>(
    source: &mut S,
    run: &Run,
    (before, after): (&mut Analyst, &mut Analyst),
    mut tell: impl FnMut(&S),
) -> Result<(WorkerCounters, WhatIf), S::Error> {
    let (mut at_hand, mut others) = (Side::default(), Side::default());
    let counted = count(source, run, |source, reports| {
        for (side, analyst) in [(&mut at_hand, &mut *before), (&mut others, &mut *after)] {
            analyst.take(reports);
            side.take(analyst);
        }
        tell(source);
        ControlFlow::Continue(())
    })?;
    for (side, analyst) in [(&mut at_hand, before), (&mut others, after)] {
        analyst.close(ClosedBecause::Eof);
        side.take(analyst);
    }
    let what_if = WhatIf {
        schema: "sekisho.what-if/1",
        alerts_before: at_hand.paging().count(),
        alerts_after: others.paging().count(),
        added: others.without(&at_hand),
        removed: at_hand.without(&others),
    };
    Ok((counted, what_if))
}
