//! Protocol: does the host usually speak like this, by such a program, and do others?

use serde::{Deserialize, Serialize};

use super::{Bits, Case, Evidence, Term};
use crate::baseline::Custom;
use crate::egress::Class;
use crate::names::Usage;

/// How the flow that sent most is spoken, and how usual that is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spoken {
    /// How it is spoken.
    pub usage: Usage,
    /// Its port at the other end.
    pub port: u16,
    /// Probability of a host-day on which something is as rare.
    pub p: f64,
    /// Days on which this host spoke so.
    pub host_used: u32,
    /// Days on which it spoke with anybody outside.
    pub host_days: u32,
}

/// The client program of the flow that sent most, and how usual that is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Probability of a host-day on which a program is as rare.
    pub p: f64,
    /// Days on which this host sent anything by it.
    pub host_used: u32,
    /// Days on which it sent by any that is known.
    pub host_days: u32,
}

/// −log2 of twice the share of host-days on which something as rare was spoken, or of four times that on which a
/// program as rare was used, whichever is more, at half weight like all that stands beside volume: what is spoken on every second
/// day says nothing. P(bits ≥ b) is at most 2^−(b+1) + 2^−(b+2) < 2^−b.
///
/// One term for all of it. That a service is new to a host, that it is on the port of another, that its server
/// has no name, and that another program speaks it are ways of saying that it is unusual, and would count the same thing again.
///
/// Not of calls, whose ends agree on protocol and port as they find a way to each other (RFC 8445).
pub(super) fn of(case: Case<'_>, class: Class) -> Option<Term> {
    if class != Class::Bulk || case.pair.is_served() {
        return None;
    }
    let terms = [case.usage.map(|usage| spoken(case, usage)), run(case)];
    let term = terms
        .into_iter()
        .flatten()
        .reduce(|one, other| if other.bits > one.bits { other } else { one })?;
    (term.bits > Bits::default()).then_some(term)
}

fn spoken(case: Case<'_>, usage: Usage) -> Term {
    let Custom { p, host_used, host_days } =
        case.baseline.custom(case.host.key(), case.host.group(), usage);
    let spoken = Spoken { usage, port: case.pair.port(), p, host_used, host_days };
    Term { bits: bits_of(2.0 * p), evidence: Evidence::Protocol(spoken) }
}

fn run(case: Case<'_>) -> Option<Term> {
    let program = case.program?;
    let Custom { p, host_used, host_days } =
        case.baseline.program_custom(case.host.key(), case.host.group(), program);
    let run = Run { p, host_used, host_days };
    // Programs come and go by the week: what the first day has not shown is no rarity.
    (host_days >= KNOWN_FROM)
        .then(|| Term { bits: bits_of(4.0 * p), evidence: Evidence::Program(run) })
}

fn bits_of(p: f64) -> Bits {
    Bits::from_f64(-libm::log2(p)).clamp(Bits::default(), MOST).half()
}

/// Days of a host from which a program can be new to it: those after which suspicion is kept out of what is learned.
const KNOWN_FROM: u32 = 3;

/// As novelty: rarity of a protocol is no measure of a theft.
const MOST: Bits = Bits::whole(6);
