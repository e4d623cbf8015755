//! New destination: did this host ever send a comparable amount there?

use super::{Bits, Case, Evidence, Measure, Term};
use crate::baseline::Prevalence;

/// Worth what novelty is worth here: −log2 of twice the share of big uploads that are as new.
///
/// The share is measured, by the age of the host and by destination. On a sensor's first day all is
/// new and novelty counts against an alert; where everybody calls a service for the first time it
/// is soon worth nothing (DETECTION 4.1, 4.2). Half weight.
pub(super) fn of(case: Case<'_>, measure: &Measure, known: &Prevalence) -> Option<Term> {
    // Each client is new to a server.
    if case.pair.is_served() || !known.is_novel(measure.bytes) {
        return None;
    }
    let share = case.baseline.novelty_share(case.whose(measure), case.pair.destination, case.day);
    let bits = (-1.0 - libm::log2(share)).clamp(-1.0, 6.0);
    Some(Term {
        bits: Bits::from_f64(bits).half(),
        evidence: Evidence::NewDestination {
            host_max: known.host_largest,
            hosts: known.hosts.saturating_sub(u32::from(known.host_since.is_some())),
            share,
        },
    })
}
