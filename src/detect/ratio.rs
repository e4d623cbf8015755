//! Ratio: does the host mostly send, or is this an exchange?

use super::{Bits, Evidence, Term};
use crate::egress::Pair;

/// Speaks against an alert when the destination sends about as much back: a call, not an upload.
///
/// The one thing that told a recorded 77 MB meeting from a theft without history (DETECTION 4.3).
/// Bounded, because a thief can download as well; half weight. Echoes and answers mirror what they
/// carry, so ICMP, DNS and servers are not judged by it.
pub(super) fn of(pair: &Pair) -> Option<Term> {
    let mirrors = pair.flows.first().is_some_and(|flow| {
        let key = flow.key;
        key.protocol.is_icmp() || [key.low.port, key.high.port].contains(&DNS_PORT)
    });
    if mirrors || pair.is_served() {
        return None;
    }
    let pcr = pair.producer_consumer_ratio();
    let bits = match pcr {
        0.5.. => 0.3,
        0.1..0.5 => -2.0,
        _ => -4.0,
    };
    let evidence = Evidence::Ratio { pcr, bytes_in: pair.bytes_in };
    Some(Term { bits: Bits::from_f64(bits).half(), evidence })
}

const DNS_PORT: u16 = 53;
