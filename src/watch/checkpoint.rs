//! When what was learned is written while a watch runs, for whatever may end it.

use std::time::Duration;

use sekisho::alert::Record;
use sekisho::time::Timestamp;

/// Each hour, and once an alert was told: a run that goes on after a crash must know of it.
#[derive(Debug)]
pub(super) struct Checkpoint {
    last: Timestamp,
    /// How long to wait after the last time, whatever was told: packets wait in the ring while it is put together.
    rest: Duration,
    has_news: bool,
    /// The last time is not on the disk yet.
    is_under_way: bool,
}

impl Checkpoint {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { last: now, rest: Duration::ZERO, has_news: false, is_under_way: false }
    }

    /// Notes what is told.
    pub(super) fn note(&mut self, records: &[Record]) {
        self.has_news |= records.iter().any(|record| matches!(record, Record::Alert(_)));
    }

    /// Is it time? The machine's clock may be set back.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let wait = if self.has_news { self.rest } else { EVERY };
        !self.is_under_way && (now >= self.last.plus(wait) || now < self.last)
    }

    /// Notes that it was put together, from then until now, and is being written.
    pub(super) fn begun(&mut self, from: Timestamp, now: Timestamp) {
        let rest = now.since(from) * REST;
        *self = Self { last: now, rest, has_news: false, is_under_way: true };
    }

    /// Notes that it was written.
    pub(super) fn done(&mut self) {
        self.is_under_way = false;
    }
}

/// How much of what was learned a crash may cost.
const EVERY: Duration = Duration::from_secs(3600);

/// How many times as long as it took nothing is written after it.
const REST: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs_nanos(secs, 0)
    }

    /// A crash costs an hour at most, and of what was told nothing, unless it follows at once on something else told.
    #[test]
    fn what_a_crash_may_cost() {
        let mut checkpoint = Checkpoint::new(at(10_000));
        assert!(!checkpoint.is_due(at(13_599)) && checkpoint.is_due(at(13_600)));
        assert!(checkpoint.is_due(at(500)), "the clock was set back");
        checkpoint.note(&[]);
        assert!(!checkpoint.is_due(at(10_000)));
        checkpoint.has_news = true;
        assert!(checkpoint.is_due(at(10_000)));
        checkpoint.begun(at(10_000), at(10_002));
        assert!(!checkpoint.is_due(at(20_000)), "a slow disk is not asked twice");
        checkpoint.done();
        assert!(!checkpoint.is_due(at(11_000)));
        checkpoint.has_news = true;
        assert!(!checkpoint.is_due(at(10_201)) && checkpoint.is_due(at(10_202)));
    }
}
