//! Protocol: does the host usually speak like this, and do others?

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

/// −log2 of twice the share of host-days on which something as rare was spoken, at half weight like all that
/// stands beside volume: what is spoken on every second day says nothing.
///
/// One term for all of it. That a service is new to a host, that it is on the port of another, and that its server
/// has no name are three ways of saying that it is unusual, and would count the same thing three times.
///
/// Not of calls, whose ends agree on protocol and port as they find a way to each other (RFC 8445).
pub(super) fn of(case: Case<'_>, class: Class) -> Option<Term> {
    let usage = case.usage.filter(|_| class == Class::Bulk)?;
    if case.pair.is_served() {
        return None;
    }
    let Custom { p, host_used, host_days } =
        case.baseline.custom(case.host.key(), case.host.group(), usage);
    let bits = Bits::from_f64(-1.0 - libm::log2(p)).clamp(Bits::default(), MOST).half();
    let spoken = Spoken { usage, port: case.pair.port(), p, host_used, host_days };
    (bits > Bits::default()).then_some(Term { bits, evidence: Evidence::Protocol(spoken) })
}

/// As novelty: rarity of a protocol is no measure of a theft.
const MOST: Bits = Bits::whole(6);
