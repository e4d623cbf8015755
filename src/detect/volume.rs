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
        let tail = case.baseline.young_sum(case.whose(measure), measure.young);
        let many = Term {
            bits: Bits::of_probability(tail.p),
            evidence: Evidence::Young { bytes: measure.young, destinations: young },
        };
        // One that stands out is told as itself.
        if many.bits + STANDS_OUT > single.bits || case.tells_of_many {
            return (Subject::Many, many);
        }
    }
    (Subject::Destination, single)
}

/// The least likely of the host's windows against its own days: at half weight, for it sees the same
/// bytes. No window counts more than the `subject` sent: a theft elsewhere is not this one's fault.
pub(super) fn of_host(case: Case<'_>, measure: &Measure, subject: u64) -> Term {
    let whose = case.whose(measure);
    let tails = measure
        .windows
        .iter()
        .enumerate()
        .map(|(at, &bytes)| (at, case.baseline.window(whose, at, bytes.min(subject))));
    let least = |a: (usize, Tail), b: (usize, Tail)| if b.1.p < a.1.p { b } else { a };
    let (at, tail) = tails.reduce(least).unwrap_or((0, Tail::prior(whose.class, 0)));
    Term {
        bits: Bits::of_probability(tail.p).half(),
        evidence: Evidence::HostVolume {
            bytes: measure.windows[at].min(subject),
            window_secs: WINDOWS[at].as_secs(),
            history_max: case.baseline.windows_largest(whose.host, whose.class)[at],
            days: case.baseline.days(whose.host),
        },
    }
}

fn of_destination(case: Case<'_>, measure: &Measure, known: &Prevalence) -> Term {
    let (whose, to) = (case.whose(measure), case.pair.destination);
    let (bytes, days) = (measure.bytes, case.baseline.days(whose.host));
    if case.pair.is_served() {
        let tail = case.baseline.served(whose, bytes);
        let evidence = Evidence::Served { bytes, days };
        return Term { bits: Bits::of_probability(tail.p), evidence };
    }
    let tail = if case.pair.is_young {
        case.baseline.young_destination(whose, to, bytes)
    } else {
        case.baseline.usual_destination(whose, to, bytes)
    };
    Term {
        bits: Bits::of_probability(tail.p),
        evidence: Evidence::Volume { bytes, history_max: known.host_largest, days },
    }
}

/// Evidence of one destination beyond that of all together, from which it is told as itself: four times less likely.
const STANDS_OUT: Bits = Bits::whole(2);
