//! Mail: do the replies of the mail service tell of far more messages than this sender's?

use serde::{Deserialize, Serialize};

use super::{Bits, Case, Evidence, Term};
use crate::baseline::{Asker, Tail};

/// What a mail service replied to a host in a day, against what is normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replies {
    /// Bytes of replies today.
    pub bytes: u64,
    /// The most that this service replied to this host on an earlier day.
    pub history_max: u64,
    /// Days on which this host sent mail to anybody outside.
    pub days: u32,
}

impl Replies {
    /// For how many messages to one recipient each these would be.
    pub fn messages(&self) -> u64 {
        self.bytes / MESSAGE_BYTES
    }
}

/// Each command of SMTP gets one reply (RFC 5321, section 4.3), so that a message costs three and one for each recipient,
/// within STARTTLS too: what comes back counts messages and recipients, whatever goes out. At half weight, like all that
/// stands beside volume.
pub(super) fn of(case: Case<'_>) -> Option<Term> {
    let usage = case.usage.filter(|_| !case.pair.is_served())?;
    if !usage.is_mail(case.pair.port()) {
        return None;
    }
    let (host, bytes) = (case.host.key(), case.pair.bytes_in);
    let habits = case.baseline.replies();
    let asker = Asker { host, group: case.host.group(), stands_for: 1.0 };
    let prior = Tail::power_law(bytes, PRIOR_SCALE, PRIOR_ALPHA);
    let none = std::iter::empty();
    let tail = habits.channel(prior, &asker, case.pair.destination, none, bytes);
    let bits = Bits::of_probability(tail.p).clamp(Bits::default(), MOST).half();
    let familiar = habits.familiar(host, case.pair.destination);
    let replies = Replies { bytes, history_max: familiar.largest, days: familiar.host_days };
    (bits > Bits::default()).then_some(Term { bits, evidence: Evidence::Mail(replies) })
}

/// What is believed of a day before anything was seen: the mail service that replies most does so with x bytes or
/// more with P = min(1, (x / 16 kB)^−1): two sessions with their certificates. A guess.
const PRIOR_SCALE: f64 = 16_000.0;
const PRIOR_ALPHA: f64 = 1.0;

/// Four replies of 10 to 60 bytes in a record of TLS each, of 22 bytes and more.
const MESSAGE_BYTES: u64 = 200;

/// As novelty.
const MOST: Bits = Bits::whole(6);
