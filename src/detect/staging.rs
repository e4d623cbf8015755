//! Staging: did the host take as much from an inside server before, far more than it ever did?

use serde::{Deserialize, Serialize};

use super::{Bits, Case, Evidence, Term};
use crate::baseline::{Asker, Tail};
use crate::egress::{Class, Intake};
use crate::net::Addr;
use crate::time::Timestamp;

/// What a host took from one other inside on one day, before it sent as much outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staging {
    /// From whom.
    pub source: Addr,
    /// Bytes taken.
    pub bytes: u64,
    /// The first of them.
    pub first_at: Timestamp,
    /// The latest.
    pub last_at: Timestamp,
    /// The most that this host took from there on an earlier day.
    pub history_max: u64,
    /// Days on which this host took anything from anybody inside before.
    pub days: u32,
}

/// The least likely intake of today or yesterday that the bytes sent may be made of, at half weight, like all that
/// stands beside volume.
///
/// No more of an intake counts than was sent: who copies a whole share and sends one file of it is judged by the
/// file. So the evidence grows with the bytes sent, as volume does.
pub(super) fn of(case: Case<'_>, class: Class, sent: u64) -> Option<Term> {
    // A call carries no files, and a server answers with what it has.
    if class != Class::Bulk || case.pair.is_served() {
        return None;
    }
    let of_like_size = |intake: &&Intake| {
        intake.first_at <= case.pair.last_at
            && sent >= intake.bytes / PACKED
            && sent <= intake.bytes.saturating_mul(UNPACKED)
    };
    let judged = case.intakes.of(case.host.key()).filter(of_like_size).map(|intake| {
        let tail = tail(case, intake, intake.bytes.min(sent));
        (Bits::of_probability(tail.p).clamp(Bits::default(), MOST).half(), intake)
    });
    let (bits, intake) = judged.max_by_key(|&(bits, intake)| (bits, intake.bytes))?;
    let familiar = case.baseline.taken().familiar(case.host.key(), intake.owner());
    let evidence = Evidence::Staging(Staging {
        source: intake.source,
        bytes: intake.bytes,
        first_at: intake.first_at,
        last_at: intake.last_at,
        history_max: familiar.largest,
        days: familiar.host_days,
    });
    (bits > Bits::default()).then_some(Term { bits, evidence })
}

fn tail(case: Case<'_>, intake: &Intake, bytes: u64) -> Tail {
    let host = case.host.key();
    let asker = Asker { host, group: case.host.group(), stands_for: 1.0 };
    let others = case.intakes.others(host, intake.source).take(OTHERS);
    let prior = Tail::power_law(bytes, PRIOR_SCALE, PRIOR_ALPHA);
    case.baseline.taken().channel(prior, &asker, intake.owner(), others, bytes)
}

/// What is believed of a host's day before anything was seen: the most that it takes from one other inside is x or
/// more with P = min(1, (x / 16 MiB)^−0.7). A guess: file and backup traffic is most of what an office moves
/// inside (Pang et al., IMC 2005), and has the heavy tail of other days (DETECTION 3).
const PRIOR_SCALE: f64 = (16u64 << 20) as f64;
const PRIOR_ALPHA: f64 = 0.7;

/// Text and tables are packed to an eighth at best by what everybody has; base64 and a second try make them larger,
/// and not twice as large.
const PACKED: u64 = 8;
const UNPACKED: u64 = 2;

/// As novelty: a thief can take his time with the server, and an honest copy before an honest upload is no wonder.
const MOST: Bits = Bits::whole(6);

/// Other hosts looked at to see whether it is what everybody does today.
const OTHERS: usize = 32;
