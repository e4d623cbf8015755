//! Replay: a source, some workers, and one who takes what they counted. The same reports in the same
//! order for any number of workers.

use std::ops::ControlFlow;

use super::analyst::Analyst;
use super::crew;
use super::worker::{Outbox, Position, Reports, Run, Worker, WorkerCounters};
use crate::alert::{ClosedBecause, Record};
use crate::capture::{Polled, Source};
use crate::flow::FlowDelta;
use crate::frame::Batch;
use crate::machines::Claim;
use crate::names;

/// Replays `source` to its end, closes all incidents, and hands `tell` every record as it comes.
///
/// The day is left as it stands: whoever keeps the analyst writes it down before it is ranked. `tell` also gets the source after every batch, to show progress.
///
/// # Errors
/// When the source fails. What came before it was counted, judged and told.
pub fn replay<S: Source>(
    source: &mut S,
    run: &Run,
    analyst: &mut Analyst,
    mut tell: impl FnMut(&mut S, std::vec::Drain<'_, Record>),
) -> Result<WorkerCounters, S::Error> {
    let outcome = count(source, run, |source, reports| {
        analyst.take(reports);
        tell(source, analyst.drain());
        ControlFlow::Continue(())
    });
    analyst.close(ClosedBecause::Eof);
    tell(source, analyst.drain());
    outcome
}

/// Counts the flows of `source` to its end, and hands `take` the reports in the order of the input: after
/// every batch those of the batch, or before when they are many. The last call has those of the flows
/// that the end of the input ended. While the source is silent, nothing is held back: what came before
/// is taken, and time passes.
///
/// `take` also gets the source, to show progress. Once it breaks, no more is read; what is under way
/// still comes.
///
/// # Errors
/// When the source fails. What came before it was counted and taken.
pub fn count<S: Source>(
    source: &mut S,
    run: &Run,
    mut take: impl FnMut(&mut S, &Reports) -> ControlFlow<()>,
) -> Result<WorkerCounters, S::Error> {
    let (counters, outcome) = if run.workers <= 1 {
        on_this_thread(source, run, &mut take)
    } else {
        crew::count(source, run, &mut take)
    };
    outcome.map(|()| counters)
}

fn on_this_thread<S: Source>(
    source: &mut S,
    run: &Run,
    take: &mut impl FnMut(&mut S, &Reports) -> ControlFlow<()>,
) -> (WorkerCounters, Result<(), S::Error>) {
    let mut worker = Worker::new(run, 0);
    let (mut batch, mut reports, mut first) = (Batch::default(), Reports::default(), 0);
    let outcome = loop {
        batch.clear();
        let polled = match source.poll(&mut batch) {
            Ok(Polled::End) => break Ok(()),
            Ok(polled) => polled,
            Err(error) => break Err(error),
        };
        let mut is_over = false;
        let hand_over = |reports: &mut Reports| {
            is_over |= take(source, reports).is_break();
            reports.clear();
        };
        let mut portions = Portions { reports, hand_over };
        match polled {
            Polled::Frames => worker.run(&batch, first, &mut portions),
            Polled::Idle(now) => {
                worker.idle(now, first, &mut portions);
                portions.reports.idle_at = Some(now);
            }
            Polled::End => {}
        }
        first += batch.heads.len() as u64;
        portions.reports.counted = worker.counters();
        reports = portions.finish();
        source.settle(first);
        if is_over {
            break Ok(());
        }
    };
    // There is nothing left to stop.
    let hand_over = |reports: &mut Reports| {
        let _ = take(source, reports);
        reports.clear();
    };
    let mut portions = Portions { reports, hand_over };
    worker.finish(&mut portions);
    portions.reports.counted = worker.counters();
    portions.finish();
    (worker.counters(), outcome)
}

/// Hands reports over some at a time: when a million flows report in one packet, they need not all be
/// held at once.
pub(super) struct Portions<F> {
    pub(super) reports: Reports,
    /// Takes what there is, and leaves nothing.
    pub(super) hand_over: F,
}

impl<F: FnMut(&mut Reports)> Portions<F> {
    /// Hands over the rest.
    pub(super) fn finish(mut self) -> Reports {
        (self.hand_over)(&mut self.reports);
        self.reports
    }

    fn hand_over_if(&mut self, is_full: bool) {
        if is_full {
            (self.hand_over)(&mut self.reports);
        }
    }
}

impl<F: FnMut(&mut Reports)> Outbox for Portions<F> {
    fn put(&mut self, position: Position, delta: FlowDelta) {
        self.reports.put(position, delta);
        self.hand_over_if(self.reports.deltas.len() == PORTION);
    }

    fn tell(&mut self, position: Position, event: names::Event) {
        self.reports.tell(position, event);
        self.hand_over_if(self.reports.events.len() == PORTION);
    }

    fn claim(&mut self, position: Position, claim: Claim) {
        self.reports.claim(position, claim);
        self.hand_over_if(self.reports.claims.len() == PORTION);
    }
}

/// Reports of a kind handed over at a time: they stay in the second-level cache.
pub(super) const PORTION: usize = 1024;
