//! Replay: a source, some workers, and one who takes what they counted. The same reports in the same
//! order for any number of workers.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::analyst::Analyst;
use super::worker::{Outbox, Position, Reports, Run, Worker, WorkerCounters};
use crate::alert::{ClosedBecause, Record};
use crate::capture::{Polled, Source};
use crate::flow::FlowDelta;
use crate::frame::Batch;
use crate::machines::Claim;
use crate::names;
use crate::time::Timestamp;

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
        on_workers(source, run, &mut take)
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
        let mut portions =
            Portions { reports, take: |reports: &_| take(source, reports), is_over: false };
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
        portions.hand_over();
        let is_over = portions.is_over;
        reports = portions.reports;
        source.settle(first);
        if is_over {
            break Ok(());
        }
    };
    // There is nothing left to stop.
    let mut portions =
        Portions { reports, take: |reports: &_| take(source, reports), is_over: false };
    worker.finish(&mut portions);
    portions.reports.counted = worker.counters();
    portions.hand_over();
    (worker.counters(), outcome)
}

/// Hands reports over some at a time: when a million flows report in one packet, they need not all be
/// held at once.
struct Portions<F> {
    reports: Reports,
    take: F,
    is_over: bool,
}

impl<F: FnMut(&Reports) -> ControlFlow<()>> Portions<F> {
    fn hand_over(&mut self) {
        self.is_over |= (self.take)(&self.reports).is_break();
        self.reports.clear();
    }
}

impl<F: FnMut(&Reports) -> ControlFlow<()>> Outbox for Portions<F> {
    fn put(&mut self, position: Position, delta: FlowDelta) {
        self.reports.put(position, delta);
        if self.reports.deltas.len() == PORTION {
            self.hand_over();
        }
    }

    fn tell(&mut self, position: Position, event: names::Event) {
        self.reports.tell(position, event);
        if self.reports.events.len() == PORTION {
            self.hand_over();
        }
    }

    fn claim(&mut self, position: Position, claim: Claim) {
        self.reports.claim(position, claim);
        if self.reports.claims.len() == PORTION {
            self.hand_over();
        }
    }
}

/// What is on its way through the workers.
#[derive(Clone)]
enum Load {
    /// A batch, and the number of its first frame in the input.
    Frames(u64, Arc<Batch>),
    /// Nothing came until then; the number is that of the frame that comes next.
    Idle(u64, Timestamp),
}

impl Load {
    /// The batch, once no worker has it any more.
    fn into_batch(self) -> Option<Batch> {
        match self {
            Self::Frames(_, batch) => Arc::into_inner(batch),
            Self::Idle(..) => None,
        }
    }

    /// Frames of the input up to its end.
    fn frames(&self) -> u64 {
        match self {
            Self::Frames(first, batch) => first + batch.heads.len() as u64,
            Self::Idle(next, _) => *next,
        }
    }
}

/// Every worker reads every batch and keeps the flows of its own shards; the caller's thread reads
/// the source and takes the reports, batch by batch, in the order of the input.
fn on_workers<S: Source>(
    source: &mut S,
    run: &Run,
    take: &mut impl FnMut(&mut S, &Reports) -> ControlFlow<()>,
) -> (WorkerCounters, Result<(), S::Error>) {
    std::thread::scope(|scope| {
        let mut crew = Vec::new();
        for number in 0..run.workers {
            let (to_worker, loads) = sync_channel::<Load>(IN_FLIGHT);
            let (reports, from_worker) = sync_channel::<Reports>(IN_FLIGHT + 1);
            let worker = Worker::new(run, number);
            let thread = scope.spawn(move || work(worker, &loads, &reports));
            crew.push((to_worker, from_worker, thread));
        }
        let (mut under_way, mut spare, mut first) = (VecDeque::new(), Vec::new(), 0);
        let collect = |under_way: &mut VecDeque<Load>| {
            let outbox = joined(crew.iter().map(|(_, from_worker, _)| from_worker));
            let load = under_way.pop_front();
            let frames = load.as_ref().map_or(0, Load::frames);
            (outbox, frames, load.and_then(Load::into_batch))
        };
        let outcome = loop {
            let mut batch: Batch = spare.pop().unwrap_or_default();
            batch.clear();
            let load = match source.poll(&mut batch) {
                Ok(Polled::Frames) => {
                    let number = first;
                    first += batch.heads.len() as u64;
                    Load::Frames(number, Arc::new(batch))
                }
                Ok(Polled::Idle(now)) => {
                    spare.push(batch);
                    Load::Idle(first, now)
                }
                Ok(Polled::End) => break Ok(()),
                Err(error) => break Err(error),
            };
            // While no more waits, nothing is held back.
            let ahead = match &load {
                Load::Frames(_, batch) if !batch.is_all => IN_FLIGHT - 1,
                Load::Frames(..) | Load::Idle(..) => 0,
            };
            for (to_worker, _, _) in &crew {
                // A worker hangs up only by panicking, and the scope hands that on.
                let _ = to_worker.send(load.clone());
            }
            under_way.push_back(load);
            let mut flow = ControlFlow::Continue(());
            while under_way.len() > ahead && flow.is_continue() {
                let (reports, frames, batch) = collect(&mut under_way);
                spare.extend(batch);
                flow = take(source, &reports);
                source.settle(frames);
            }
            if flow.is_break() {
                break Ok(());
            }
        };
        while !under_way.is_empty() {
            let (reports, frames, _) = collect(&mut under_way);
            let _ = take(source, &reports);
            source.settle(frames);
        }
        let mut from_workers = Vec::new();
        for (to_worker, from_worker, thread) in crew {
            drop(to_worker);
            from_workers.push((from_worker, thread));
        }
        let last = joined(from_workers.iter().map(|(from_worker, _)| from_worker));
        for (_, thread) in from_workers {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        let _ = take(source, &last);
        (last.counted, outcome)
    })
}

/// What each worker reports next, in the order of the input.
fn joined<'r>(from_workers: impl Iterator<Item = &'r Receiver<Reports>>) -> Reports {
    // All have read all frames: what the first counted of them is what all did.
    let mut reported = from_workers.filter_map(|from_worker| from_worker.recv().ok());
    let mut reports = reported.next().unwrap_or_default();
    reported.for_each(|other| reports.join(other));
    reports.sort();
    reports
}

fn work(mut worker: Worker, loads: &Receiver<Load>, reports: &SyncSender<Reports>) {
    for load in loads {
        let mut outbox = Reports::default();
        match load {
            Load::Frames(first, batch) => worker.run(&batch, first, &mut outbox),
            Load::Idle(next, now) => {
                worker.idle(now, next, &mut outbox);
                outbox.idle_at = Some(now);
            }
        }
        outbox.counted = worker.counters();
        if reports.send(outbox).is_err() {
            break;
        }
    }
    let mut outbox = Reports::default();
    worker.finish(&mut outbox);
    outbox.counted = worker.counters();
    // Nobody listens any more only when the analyst's thread is unwinding.
    let _ = reports.send(outbox);
}

/// Reports of a kind handed over at a time: they stay in the second-level cache.
const PORTION: usize = 1024;

/// Batches read ahead of who takes the reports.
const IN_FLIGHT: usize = 4;
