//! Watch: the same as replay, of what happens now, until somebody ends it.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::analyst::Analyst;
use super::replay::count;
use super::worker::{Reports, Run, WorkerCounters};
use crate::alert::{ClosedBecause, Record, share};
use crate::capture::{Counters, Live};
use crate::egress::Place;
use crate::net::Subnets;
use crate::time::Timestamp;

/// A moment between two batches, or in silence: many a second.
#[derive(Debug)]
pub struct Moment<'a, S> {
    /// Where frames come from.
    pub source: &'a mut S,
    /// Who judges.
    pub analyst: &'a mut Analyst,
    /// What there is to tell since the moment before. Alerts say what share of the frames was lost while
    /// their incident ran.
    pub records: Vec<Record>,
    /// What workers have counted.
    pub counted: &'a WorkerCounters,
    /// How long verdicts took.
    pub delays: &'a Delays,
}

/// How long after a packet it was judged what its flow had sent by then: a flow reports once a second, and at once when it
/// has sent much.
#[derive(Debug)]
pub struct Delays(Histogram<u32>);

impl Delays {
    fn new() -> Self {
        // Two digits, from a microsecond to an hour: a few kilobytes.
        Self(Histogram::new_with_max(3_600_000_000, 2).expect("these bounds are in order"))
    }

    /// What stays inside is not judged.
    fn note(&mut self, now: Timestamp, reports: &Reports, internal: &Subnets) {
        for (_, delta) in &reports.deltas {
            let is_border = Place::of(internal, &delta.key) != Place::Inside;
            if is_border && delta.low.packets + delta.high.packets > 0 {
                let micros = now.since(delta.last_at).as_micros();
                self.0.saturating_record(u64::try_from(micros).unwrap_or(u64::MAX));
            }
        }
    }

    /// The delay that this share of the verdicts did not exceed; zero while there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share))
    }

    /// Verdicts that took no longer than this, to two digits.
    pub fn within(&self, limit: Duration) -> u64 {
        self.0.count_between(0, u64::try_from(limit.as_micros()).unwrap_or(u64::MAX))
    }

    /// All verdicts.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// All delays together, to two digits.
    pub fn sum(&self) -> Duration {
        Duration::from_micros((self.0.mean() * self.0.len() as f64) as u64)
    }
}

/// Watches until `source` ends or `attend` breaks, and then closes all incidents. The day is left as it
/// stands, as [`replay`](fn@super::replay) leaves it.
///
/// # Errors
/// When the source fails. What came before it was counted, judged and told.
pub fn watch<S: Live>(
    source: &mut S,
    run: &Run,
    analyst: &mut Analyst,
    mut attend: impl FnMut(Moment<'_, S>) -> ControlFlow<()>,
) -> Result<(WorkerCounters, Delays), S::Error> {
    let (mut losses, mut delays) = (Losses::default(), Delays::new());
    let outcome = count(source, run, |source, reports| {
        analyst.take(reports);
        delays.note(source.clock(), reports, analyst.egress().internal());
        losses.note(source.now(), source.counters());
        let records = analyst.drain().map(|record| losses.mark(record)).collect();
        let counted = &reports.counted;
        attend(Moment { source, analyst, records, counted, delays: &delays })
    });
    analyst.close(ClosedBecause::Stopped);
    losses.note(source.now(), source.counters());
    let records = analyst.drain().map(|record| losses.mark(record)).collect();
    let nothing = WorkerCounters::default();
    let counted = outcome.as_ref().unwrap_or(&nothing);
    let _ = attend(Moment { source, analyst, records, counted, delays: &delays });
    outcome.map(|counters| (counters, delays))
}

/// How many frames were captured and lost by when, for the share that was lost while an incident ran.
#[derive(Debug, Default)]
struct Losses {
    /// One a minute, for a day.
    marks: VecDeque<Mark>,
    now: Mark,
}

#[derive(Debug, Default, Clone, Copy)]
struct Mark {
    at: Timestamp,
    frames: u64,
    dropped: u64,
    shed: u64,
}

impl Losses {
    fn note(&mut self, at: Timestamp, counted: Counters) {
        // What there was before the first mark counts with it.
        if self.marks.back().is_none_or(|last| at >= last.at.plus(MARK_EVERY)) {
            self.marks.push_back(Mark { at, ..self.now });
        }
        if self.marks.len() > MARKS_MAX {
            self.marks.pop_front();
        }
        let Counters { frames, dropped, shed, .. } = counted;
        self.now = Mark { at, frames, dropped, shed };
    }

    /// The shares lost and passed over since `started`, or a little before.
    fn since(&self, started: Timestamp) -> (f64, f64) {
        let after = self.marks.partition_point(|mark| mark.at <= started);
        let then = self.marks.get(after.saturating_sub(1)).copied().unwrap_or_default();
        let (frames, dropped) = (self.now.frames - then.frames, self.now.dropped - then.dropped);
        let shed = self.now.shed - then.shed;
        (share(dropped, dropped + frames), share(shed, dropped + frames))
    }

    fn mark(&self, mut record: Record) -> Record {
        if let Record::Alert(alert) | Record::Silenced(alert) = &mut record {
            let (dropped, shed) = self.since(alert.started);
            alert.health.dropped = Some(dropped);
            alert.health.shed = (shed > 0.0).then_some(shed);
        }
        record
    }
}

const MARK_EVERY: Duration = Duration::from_secs(60);
const MARKS_MAX: usize = 24 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(frames: u64, dropped: u64) -> Counters {
        Counters { frames, dropped, ..Counters::default() }
    }

    /// Losses of last week say nothing of this upload, and a loss must not be thinned out by the months
    /// before it.
    #[test]
    fn losses_are_those_of_the_incident() {
        let mut losses = Losses::default();
        let minute = |n: u64| Timestamp::from_secs_nanos(n * 60, 0);
        for n in 0..10_000 {
            let dropped = if n < 5000 { 0 } else { 300 };
            losses.note(minute(n), counted(n * 100, dropped));
        }
        assert_eq!(losses.since(minute(9_000)).0, 0.0);
        losses.note(minute(10_000), counted(1_000_000, 400));
        assert_eq!(losses.since(minute(9_999)).0, 0.3333);
        assert_eq!(losses.since(minute(9_990)).0, 0.0833);
        // As far back as is remembered.
        assert!(losses.since(minute(1)).0 < 0.001);
        assert!(losses.marks.len() <= MARKS_MAX);
    }

    #[test]
    fn what_is_lost_at_the_start_counts() {
        let mut losses = Losses::default();
        losses.note(Timestamp::from_nanos(5), counted(50, 50));
        assert_eq!(losses.since(Timestamp::from_nanos(1)), (0.5, 0.0));
    }
}
