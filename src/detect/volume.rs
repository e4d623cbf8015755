//! Volume: how likely is a day with this many bytes?

use super::{Bits, Case, Evidence, Measure, Subject, Term};
use crate::baseline::{Prevalence, Tail};
use crate::egress::WINDOWS;

/// Bytes of the day to this destination, or to all on probation together: whichever is less likely.
///
/// Sums of a day only grow, so judging them again and again costs no false alarms: the references
/// hold what earlier days ended at (DETECTION 2).
pub(super) fn of_destinations(
    case: Case<'_>,
    measure: &Measure,
    known: &Prevalence,
) -> (Subject, Term) {
    let single = of_destination(case, measure, known);
    let young = case.host.young_destinations();
    // One destination that has most of the young bytes is judged as itself.
    let is_split = case.pair.is_young && young > 1 && measure.bytes < measure.young / 2;
    if is_split {
        let tail = case.baseline.young_sum(case.host.group(), measure.young);
        let many = Term {
            bits: Bits::of_probability(tail.p),
            evidence: Evidence::Young { bytes: measure.young, destinations: young },
        };
        if many.bits > single.bits {
            return (Subject::Many, many);
        }
    }
    (Subject::Destination, single)
}

/// The least likely of the host's windows against its own days: at half weight, for it sees the same
/// bytes. No window counts more than the `subject` sent: a theft elsewhere is not this one's fault.
pub(super) fn of_host(case: Case<'_>, measure: &Measure, subject: u64) -> Term {
    let (host, group) = (case.host.key(), case.host.group());
    let tails = measure
        .windows
        .iter()
        .enumerate()
        .map(|(at, &bytes)| (at, case.baseline.window(group, host, at, bytes.min(subject))));
    let least = |a: (usize, Tail), b: (usize, Tail)| if b.1.p < a.1.p { b } else { a };
    let (at, tail) = tails.reduce(least).unwrap_or((0, Tail::prior(0)));
    Term {
        bits: Bits::of_probability(tail.p).half(),
        evidence: Evidence::HostVolume {
            bytes: measure.windows[at].min(subject),
            window_secs: WINDOWS[at].as_secs(),
            history_max: case.baseline.windows_largest(host)[at],
            days: case.baseline.days(host),
        },
    }
}

fn of_destination(case: Case<'_>, measure: &Measure, known: &Prevalence) -> Term {
    let (host, group, to) = (case.host.key(), case.host.group(), case.pair.destination);
    let (bytes, days) = (measure.bytes, case.baseline.days(host));
    if case.pair.is_served() {
        let tail = case.baseline.served(group, host, bytes);
        let evidence = Evidence::Served { bytes, days };
        return Term { bits: Bits::of_probability(tail.p), evidence };
    }
    let tail = if case.pair.is_young {
        case.baseline.young_destination(group, to, bytes)
    } else {
        case.baseline.usual_destination(group, host, to, bytes)
    };
    Term {
        bits: Bits::of_probability(tail.p),
        evidence: Evidence::Volume { bytes, history_max: known.host_largest, days },
    }
}
