//! What each incident has sent so far: counted from the flows, whatever an alert says of it.

use std::collections::HashMap;
use std::time::Duration;

use smallvec::SmallVec;

use super::matching::Target;
use crate::flow::{FlowDelta, FlowKey, Sender};
use crate::names::Facts;
use crate::net::Addr;
use crate::time::Timestamp;

/// The numbers of the labels that a delta belongs to.
pub(super) type Mine = SmallVec<[usize; 2]>;

/// Counts what incidents send.
#[derive(Debug)]
pub(super) struct Truth {
    targets: Vec<Target>,
    by_ends: HashMap<(Addr, Addr), SmallVec<[Claim; 1]>, foldhash::fast::RandomState>,
    /// The same of what is asked inside, to be passed on.
    asked_by_ends: HashMap<(Addr, Addr), SmallVec<[Claim; 1]>, foldhash::fast::RandomState>,
    /// Flows inside that ask a proxy for what incidents go to.
    carried: HashMap<FlowKey, Mine, foldhash::fast::RandomState>,
    sent: Vec<Sent>,
    /// When the incidents' flows reported last.
    reported: HashMap<FlowKey, Timestamp, foldhash::fast::RandomState>,
    questions: Vec<Question>,
}

/// What one incident has sent so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Sent {
    /// Bytes from the inside ends to the outside ends.
    pub(super) bytes: u64,
    /// When the flow that brought the first of them began.
    pub(super) first_at: Option<Timestamp>,
    /// Has any packet of it been seen, either way?
    pub(super) is_seen: bool,
    /// What was reported last.
    latest: Portion,
    /// Numbers of the questions that a report to come may still answer.
    asked: Vec<usize>,
}

/// What lies between two addresses at some time is an incident's.
#[derive(Debug, Clone, Copy)]
struct Claim {
    label: usize,
    side: Sender,
    start: Timestamp,
    end: Timestamp,
}

/// What had left by some moment? Flows that are under way then have yet to report a part of it.
#[derive(Debug, Clone, Copy)]
struct Question {
    moment: Timestamp,
    bytes: u64,
}

/// The number of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked(usize);

/// Bytes that left between two moments.
#[derive(Debug, Default, Clone, Copy)]
struct Portion {
    from: Timestamp,
    to: Timestamp,
    bytes: u64,
}

impl Portion {
    /// How many of the bytes had left by a moment, at an even pace.
    fn by(&self, moment: Timestamp) -> u64 {
        if moment >= self.to {
            return self.bytes;
        }
        let (part, whole) = (moment.since(self.from), self.to.since(self.from));
        (u128::from(self.bytes) * part.as_nanos() / whole.as_nanos().max(1)) as u64
    }
}

impl Truth {
    pub(super) fn new(targets: &[Target]) -> Self {
        let mut by_ends: HashMap<_, SmallVec<[Claim; 1]>, _> = HashMap::default();
        let mut asked_by_ends: HashMap<_, SmallVec<[Claim; 1]>, _> = HashMap::default();
        for (label, target) in targets.iter().enumerate() {
            let (start, end) = (target.start.minus(SLACK), target.end.plus(SLACK));
            // As flow keys order their ends.
            let claim = |(host, peer): (Addr, Addr)| match host.to_bits() <= peer.to_bits() {
                true => ((host, peer), Claim { label, side: Sender::Low, start, end }),
                false => ((peer, host), Claim { label, side: Sender::High, start, end }),
            };
            for (ends, claim) in target.pairs.iter().copied().map(claim) {
                by_ends.entry(ends).or_default().push(claim);
            }
            if let Some((ends, claim)) = target.asked.map(claim) {
                asked_by_ends.entry(ends).or_default().push(claim);
            }
        }
        Self {
            targets: targets.to_vec(),
            by_ends,
            asked_by_ends,
            carried: HashMap::default(),
            sent: vec![Sent::default(); targets.len()],
            reported: HashMap::default(),
            questions: Vec::new(),
        }
    }

    /// Adds a delta to the incidents that it belongs to, and says which.
    ///
    /// It is theirs when its latest packet lies in their time: of a connection that was there before
    /// and stays after, only what lies between.
    pub(super) fn add(&mut self, delta: &FlowDelta) -> Mine {
        let mut mine = self.carried.get(&delta.key).cloned().unwrap_or_default();
        if delta.end.is_some() {
            self.carried.remove(&delta.key);
        }
        let Some(claims) = self.by_ends.get(&(delta.key.low.addr, delta.key.high.addr)) else {
            return mine;
        };
        let before = match delta.end {
            Some(_) => self.reported.remove(&delta.key),
            None => self.reported.insert(delta.key, delta.last_at),
        };
        let since = before.unwrap_or(delta.started_at);
        let from = since.max(delta.last_at.minus(REPORTED_AFTER));
        for claim in claims {
            if delta.last_at < claim.start || claim.end < delta.last_at {
                continue;
            }
            let bytes = delta.sent_by(claim.side).sent;
            let sent = &mut self.sent[claim.label];
            sent.is_seen = true;
            sent.bytes += bytes;
            if sent.bytes > 0 && sent.first_at.is_none() {
                sent.first_at = Some(delta.started_at.max(claim.start));
            }
            sent.latest = Portion { from, to: delta.last_at, bytes };
            let questions = &mut self.questions;
            sent.asked.retain(|&number| {
                let question = &mut questions[number];
                question.bytes += sent.latest.by(question.moment);
                delta.last_at < question.moment.plus(ANSWERED_AFTER)
            });
            if !mine.contains(&claim.label) {
                mine.push(claim.label);
            }
        }
        mine
    }

    /// Notes what a flow asks a proxy for: from now on what it sends there is an incident's, if that is what the
    /// incident goes to, and no bytes of it: these are counted where they leave.
    pub(super) fn note(&mut self, flow: &FlowKey, facts: &Facts) {
        let Some((name, _)) = facts.name.as_ref().filter(|_| facts.asks_proxy) else { return };
        let asked = self.asked_by_ends.get(&(flow.low.addr, flow.high.addr));
        let is_meant = |claim: &&Claim| {
            let (from, to) = (claim.start, claim.end);
            (from..=to).contains(&facts.seen_at) && self.targets[claim.label].means(name.as_str())
        };
        let mine: Mine = asked.into_iter().flatten().filter(is_meant).map(|it| it.label).collect();
        match mine.is_empty() {
            true => drop(self.carried.remove(flow)),
            false => drop(self.carried.insert(*flow, mine)),
        }
    }

    /// The incidents that something belongs to which was asked for, or pinged, on a flow: by its ends and time.
    pub(super) fn of_message(&self, flow: &FlowKey, at: Timestamp) -> Mine {
        let ends = (flow.low.addr, flow.high.addr);
        let claims = [self.by_ends.get(&ends), self.asked_by_ends.get(&ends)];
        let claims = claims.into_iter().flatten().flatten();
        let mut mine: Mine = claims
            .filter(|claim| claim.start <= at && at <= claim.end)
            .map(|claim| claim.label)
            .collect();
        mine.sort_unstable();
        mine.dedup();
        mine
    }

    /// What an incident has sent so far.
    pub(super) fn sent(&self, label: usize) -> &Sent {
        &self.sent[label]
    }

    /// Asks what an incident had sent by a moment: now, or before the latest delta.
    pub(super) fn ask(&mut self, label: usize, moment: Timestamp) -> Asked {
        let sent = &mut self.sent[label];
        let after = sent.latest.bytes - sent.latest.by(moment);
        self.questions.push(Question { moment, bytes: sent.bytes - after });
        sent.asked.push(self.questions.len() - 1);
        Asked(self.questions.len() - 1)
    }

    /// The answer, once everything has been added.
    pub(super) fn answer(&self, asked: Asked) -> u64 {
        self.questions[asked.0].bytes
    }
}

/// Labels say times to the millisecond or the second.
const SLACK: Duration = Duration::from_secs(1);

/// A flow reports what it sends after a second at most.
const REPORTED_AFTER: Duration = Duration::from_secs(1);

/// No report that comes later, by packet time, has bytes from before the moment.
const ANSWERED_AFTER: Duration = Duration::from_secs(10);
