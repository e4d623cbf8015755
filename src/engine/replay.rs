//! Replay: a source, some workers, one analyst. The same records for any number of workers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::analyst::Analyst;
use super::worker::{Position, Worker, WorkerCounters};
use crate::alert::{ClosedBecause, Record};
use crate::capture::{Polled, Source};
use crate::flow::{self, FlowDelta};
use crate::frame::Batch;
use crate::net::Subnets;

/// What a replay is made with.
#[derive(Debug, Clone)]
pub struct Run {
    /// How flows are kept.
    pub flow: flow::Options,
    /// Networks that are ours.
    pub internal: Subnets,
    /// Worker threads; 1 does everything on the caller's thread.
    pub workers: usize,
}

/// Replays `source` to its end and hands `tell` every record as it comes.
///
/// `tell` also gets the source after every batch, to show progress.
///
/// # Errors
/// When the source fails. What came before it was counted, judged and told.
pub fn replay<S: Source>(
    source: &mut S,
    run: &Run,
    analyst: &mut Analyst,
    mut tell: impl FnMut(&S, std::vec::Drain<'_, Record>),
) -> Result<WorkerCounters, S::Error> {
    let (counters, outcome) = if run.workers <= 1 {
        on_this_thread(source, run, analyst, &mut tell)
    } else {
        on_workers(source, run, analyst, &mut tell)
    };
    analyst.finish(ClosedBecause::Eof);
    tell(source, analyst.drain());
    outcome.map(|()| counters)
}

fn on_this_thread<S: Source>(
    source: &mut S,
    run: &Run,
    analyst: &mut Analyst,
    tell: &mut impl FnMut(&S, std::vec::Drain<'_, Record>),
) -> (WorkerCounters, Result<(), S::Error>) {
    let mut worker = Worker::new(run, 0);
    let (mut batch, mut outbox, mut first) = (Batch::default(), Vec::new(), 0);
    let outcome = loop {
        match next(source, &mut batch) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
        worker.run(&batch, first, &mut outbox);
        first += batch.heads.len() as u64;
        judge(analyst, &mut outbox);
        tell(source, analyst.drain());
    };
    worker.finish(&mut outbox);
    judge(analyst, &mut outbox);
    (worker.counters(), outcome)
}

/// A batch on its way through the workers.
type Load = (u64, Arc<Batch>);
type Deltas = Vec<(Position, FlowDelta)>;

/// Every worker reads every batch and keeps the flows of its own shards; the caller's thread reads
/// the source and judges, batch by batch, in the order of the input.
fn on_workers<S: Source>(
    source: &mut S,
    run: &Run,
    analyst: &mut Analyst,
    tell: &mut impl FnMut(&S, std::vec::Drain<'_, Record>),
) -> (WorkerCounters, Result<(), S::Error>) {
    std::thread::scope(|scope| {
        let mut crew = Vec::new();
        for number in 0..run.workers {
            let (to_worker, loads) = sync_channel::<Load>(IN_FLIGHT);
            let (deltas, from_worker) = sync_channel::<Deltas>(IN_FLIGHT + 1);
            let worker = Worker::new(run, number);
            let thread = scope.spawn(move || work(worker, &loads, &deltas));
            crew.push((to_worker, from_worker, thread));
        }
        let (mut under_way, mut spare, mut first) = (VecDeque::new(), Vec::new(), 0);
        let collect = |analyst: &mut Analyst, under_way: &mut VecDeque<Arc<Batch>>| {
            let mut outbox = Deltas::new();
            for (_, from_worker, _) in &crew {
                outbox.extend(from_worker.recv().into_iter().flatten());
            }
            outbox.sort_by_key(|&(position, _)| position);
            judge(analyst, &mut outbox);
            under_way.pop_front().and_then(Arc::into_inner)
        };
        let outcome = loop {
            let mut batch: Batch = spare.pop().unwrap_or_default();
            match next(source, &mut batch) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
            let frames = batch.heads.len() as u64;
            let batch = Arc::new(batch);
            for (to_worker, _, _) in &crew {
                // A worker hangs up only by panicking, and the scope hands that on.
                let _ = to_worker.send((first, Arc::clone(&batch)));
            }
            under_way.push_back(batch);
            first += frames;
            if under_way.len() == IN_FLIGHT {
                spare.extend(collect(analyst, &mut under_way));
                tell(source, analyst.drain());
            }
        };
        while !under_way.is_empty() {
            collect(analyst, &mut under_way);
            tell(source, analyst.drain());
        }
        let mut last = Deltas::new();
        let mut counters = WorkerCounters::default();
        for (number, (to_worker, from_worker, thread)) in crew.into_iter().enumerate() {
            drop(to_worker);
            last.extend(from_worker.recv().into_iter().flatten());
            match thread.join() {
                Ok(own) if number == 0 => counters = own,
                Ok(own) => counters.flows.add(&own.flows),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        last.sort_by_key(|&(position, _)| position);
        judge(analyst, &mut last);
        (counters, outcome)
    })
}

fn work(mut worker: Worker, loads: &Receiver<Load>, deltas: &SyncSender<Deltas>) -> WorkerCounters {
    for (first, batch) in loads {
        let mut outbox = Deltas::new();
        worker.run(&batch, first, &mut outbox);
        drop(batch);
        if deltas.send(outbox).is_err() {
            break;
        }
    }
    let mut outbox = Deltas::new();
    worker.finish(&mut outbox);
    // Nobody listens any more only when the analyst's thread is unwinding.
    let _ = deltas.send(outbox);
    worker.counters()
}

/// Fetches the next batch; `false` at the end.
fn next<S: Source>(source: &mut S, batch: &mut Batch) -> Result<bool, S::Error> {
    batch.clear();
    loop {
        match source.poll(batch)? {
            Polled::Frames => return Ok(true),
            Polled::Idle(_) => {}
            Polled::End => return Ok(false),
        }
    }
}

fn judge(analyst: &mut Analyst, outbox: &mut Deltas) {
    for (_, delta) in outbox.drain(..) {
        analyst.fold(&delta);
    }
}

/// Batches read ahead of the analyst.
const IN_FLIGHT: usize = 4;
