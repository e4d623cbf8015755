//! What each incident has sent so far: counted from the flows, whatever an alert says of it.

use std::collections::HashMap;
use std::time::Duration;

use smallvec::SmallVec;

use super::matching::Target;
use crate::flow::{FlowDelta, Sender};
use crate::net::Addr;
use crate::time::Timestamp;

/// The numbers of the labels that a delta belongs to.
pub(super) type Mine = SmallVec<[usize; 2]>;

/// What one incident has sent so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Bytes from the inside ends to the outside ends.
    pub(super) bytes: u64,
    /// When the flow that brought the first of them began.
    pub(super) first_at: Option<Timestamp>,
    /// Has any packet of it been seen, either way?
    pub(super) is_seen: bool,
    /// When the latest of them left, and how many those were.
    latest: (Timestamp, u64),
}

impl Sent {
    /// What it had sent by a moment of late: who decides at the end of an hour says so only with the
    /// first packet after it.
    pub(super) fn by(&self, moment: Timestamp) -> u64 {
        let (left_at, bytes) = self.latest;
        if moment < left_at { self.bytes - bytes } else { self.bytes }
    }
}

/// Counts what incidents send.
#[derive(Debug)]
pub(super) struct Truth {
    by_ends: HashMap<(Addr, Addr), SmallVec<[Claim; 1]>, foldhash::fast::RandomState>,
    sent: Vec<Sent>,
}

/// What lies between two addresses at some time is an incident's.
#[derive(Debug, Clone, Copy)]
struct Claim {
    label: usize,
    side: Sender,
    start: Timestamp,
    end: Timestamp,
}

impl Truth {
    pub(super) fn new(targets: &[Target]) -> Self {
        let mut by_ends: HashMap<_, SmallVec<[Claim; 1]>, _> = HashMap::default();
        for (label, target) in targets.iter().enumerate() {
            let (start, end) = (target.start.minus(SLACK), target.end.plus(SLACK));
            for &(host, peer) in &target.pairs {
                // As flow keys order their ends.
                let is_low = host.to_bits() <= peer.to_bits();
                let (ends, side) =
                    if is_low { ((host, peer), Sender::Low) } else { ((peer, host), Sender::High) };
                by_ends.entry(ends).or_default().push(Claim { label, side, start, end });
            }
        }
        Self { by_ends, sent: vec![Sent::default(); targets.len()] }
    }

    /// Adds a delta to the incidents that it belongs to, and says which.
    ///
    /// It is theirs when its latest packet lies in their time: of a connection that was there before
    /// and stays after, only what lies between.
    pub(super) fn add(&mut self, delta: &FlowDelta) -> Mine {
        let Some(claims) = self.by_ends.get(&(delta.key.low.addr, delta.key.high.addr)) else {
            return Mine::new();
        };
        let mut mine = Mine::new();
        for claim in claims {
            if delta.last_at < claim.start || claim.end < delta.last_at {
                continue;
            }
            let sent = &mut self.sent[claim.label];
            sent.is_seen = true;
            let bytes = delta.sent_by(claim.side).sent;
            sent.bytes += bytes;
            if bytes > 0 {
                sent.latest = (delta.last_at, bytes);
            }
            if sent.bytes > 0 && sent.first_at.is_none() {
                sent.first_at = Some(delta.started_at.max(claim.start));
            }
            if !mine.contains(&claim.label) {
                mine.push(claim.label);
            }
        }
        mine
    }

    /// What an incident has sent so far.
    pub(super) fn sent(&self, label: usize) -> Sent {
        self.sent[label]
    }
}

/// Labels say times to the millisecond or the second.
const SLACK: Duration = Duration::from_secs(1);
