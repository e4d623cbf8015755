//! Volume: how likely is a day with this many bytes?

use super::{Bits, Case, Evidence, Measure, Subject, Term};
use crate::baseline::{Prevalence, Tail};
use crate::egress::WINDOWS;

/// Bytes of the day to this destination, or to all on probation (of a server: all clients) together.
///
/// Sums of a day only grow, so judging them again and again costs no false alarms: the references
/// hold what earlier days ended at (DETECTION 2).
pub(super) fn of_destinations(
    case: Case<'_>,
    measure: &Measure,
    known: &Prevalence,
) -> (Subject, Term) {
    let single = of_destination(case, measure, known);
    // One that has most of the bytes is judged as itself.
    if measure.bytes < measure.together / 2
        && let Some(many) = together(case, measure)
        // And so is one that stands out.
        && (many.bits + STANDS_OUT > single.bits || case.tells_of_many)
    {
        return (Subject::Many, many);
    }
    (Subject::Destination, single)
}

/// All destinations on probation as one, or all clients of a server.
fn together(case: Case<'_>, measure: &Measure) -> Option<Term> {
    let (whose, bytes) = (case.whose(measure), measure.together);
    let (tail, evidence) = if case.pair.is_served() {
        let clients = case.pairs.of(case.host).filter(|pair| pair.counts_together(true)).count();
        let days = case.baseline.days(whose.host);
        let evidence = Evidence::ServedTogether { bytes, clients, days };
        (case.baseline.served_together(whose, bytes), evidence)
    } else if case.pair.is_young {
        let evidence = Evidence::Young { bytes, destinations: case.host.young_destinations() };
        (case.baseline.young_sum(whose, bytes), evidence)
    } else {
        return None;
    };
    Some(Term { bits: Bits::of_probability(tail.p), evidence })
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
