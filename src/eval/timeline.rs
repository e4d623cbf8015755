//! How an incident alone came to its score.

use schemars::JsonSchema;
use serde::Serialize;

use super::judge::Judge;
use super::labels::Expected;
use super::matching::Target;
use super::truth::Sent;
use crate::detect::Bits;
use crate::flow::FlowDelta;
use crate::time::{Day, Timestamp};

/// The moments at which an incident scored more than before on that day.
#[derive(Debug, Default, Clone)]
pub(super) struct Timeline {
    pub(super) moments: Vec<Moment>,
    /// Day and score of the latest.
    latest: Option<(Day, Bits)>,
}

/// The verdict at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Moment {
    /// Packet time.
    pub time: Timestamp,
    /// Since the first byte.
    pub secs: f64,
    /// What the incident had sent by then.
    pub bytes_left: u64,
    /// The score.
    pub score_bits: Bits,
    /// The score from which it would have paged.
    pub threshold_bits: Bits,
    /// Is there volume evidence enough for any alert?
    pub passes_gate: bool,
    /// What the score is made of.
    pub terms: Vec<TermBits>,
}

/// A part of a score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct TermBits {
    /// The detector.
    pub term: &'static str,
    /// Its share.
    pub bits: Bits,
}

impl Timeline {
    /// Looks at the verdict that a delta of the incident has led to.
    pub(super) fn look(
        &mut self,
        judge: &impl Judge,
        target: &Target,
        delta: &FlowDelta,
        (sent, today): (&Sent, Day),
    ) {
        let (low, high) = (delta.key.low.addr, delta.key.high.addr);
        let (host, peer) = if target.has_host(low) { (low, high) } else { (high, low) };
        if target.expected != Expected::Alert || self.moments.len() == MOMENTS_MAX {
            return;
        }
        let Some((finding, threshold)) = judge.verdict(host, peer) else { return };
        let best = self.latest.filter(|&(day, _)| day == today).map(|(_, score)| score);
        if best.is_some_and(|best| finding.score.to_f64() < best.to_f64() + STEP_BITS) {
            return;
        }
        self.latest = Some((today, finding.score));
        let term =
            |term: &crate::detect::Term| TermBits { term: term.evidence.name(), bits: term.bits };
        self.moments.push(Moment {
            time: delta.last_at,
            secs: sent.first_at.map_or(0.0, |first| delta.last_at.since(first).as_secs_f64()),
            bytes_left: sent.bytes,
            score_bits: finding.score,
            threshold_bits: threshold,
            passes_gate: finding.passes_gate,
            terms: finding.terms.iter().map(term).collect(),
        });
    }
}

/// Less of a difference is not drawn.
const STEP_BITS: f64 = 0.25;

/// Moments kept of one incident: enough for two weeks of days.
const MOMENTS_MAX: usize = 500;
