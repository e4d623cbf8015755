//! Workers on threads of their own: each reads every batch and keeps the flows of its own shards. What they report is put
//! in the order of the input by the thread that reads the source.

use std::collections::VecDeque;
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::replay::{PORTION, Portions};
use super::worker::{Position, Reports, Run, Worker, WorkerCounters};
use crate::capture::{Polled, Source};
use crate::flow::FlowDelta;
use crate::frame::Batch;
use crate::machines::Claim;
use crate::names;
use crate::time::Timestamp;

/// Counts the flows of `source` by all of `run.workers` threads but the caller's, and hands `take` the reports, as
/// [`count`](fn@super::count) promises.
pub(super) fn count<S: Source>(
    source: &mut S,
    run: &Run,
    take: &mut impl FnMut(&mut S, &Reports) -> ControlFlow<()>,
) -> (WorkerCounters, Result<(), S::Error>) {
    thread::scope(|scope| {
        let (mut to_workers, mut streams, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        let run = Run { workers: run.workers - 1, ..run.clone() };
        for number in 0..run.workers {
            let (to_worker, loads) = sync_channel::<Load>(IN_FLIGHT);
            let (to_stream, portions) = sync_channel::<Portion>(PORTIONS_IN_FLIGHT);
            let (spares, spare) = channel::<Reports>();
            let worker = Worker::new(&run, number);
            threads.push(scope.spawn(move || work(worker, &loads, &to_stream, &spare)));
            to_workers.push(to_worker);
            streams.push(Stream::new(portions, spares));
        }
        let (mut under_way, mut spare, mut first) = (VecDeque::<Load>::new(), Vec::new(), 0);
        let mut joined = Reports::default();
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
            for to_worker in &to_workers {
                // A worker hangs up only by panicking, and the scope hands that on.
                let _ = to_worker.send(load.clone());
            }
            under_way.push_back(load);
            let mut flow = ControlFlow::Continue(());
            while under_way.len() > ahead && flow.is_continue() {
                flow = join(&mut streams, &mut joined, |reports| take(source, reports));
                if let Some(load) = under_way.pop_front() {
                    source.settle(load.frames());
                    spare.extend(load.into_batch());
                }
            }
            if flow.is_break() {
                break Ok(());
            }
        };
        for load in under_way {
            let _ = join(&mut streams, &mut joined, |reports| take(source, reports));
            source.settle(load.frames());
        }
        drop(to_workers);
        let _ = join(&mut streams, &mut joined, |reports| take(source, reports));
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        (joined.counted, outcome)
    })
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

/// Some of what a worker reports of a load.
struct Portion {
    reports: Reports,
    is_last: bool,
}

fn work(
    mut worker: Worker,
    loads: &Receiver<Load>,
    to_stream: &SyncSender<Portion>,
    spare: &Receiver<Reports>,
) {
    // Nobody listens any more only when the analyst's thread is unwinding.
    let send = |reports: &mut Reports, is_last| {
        let empty = spare.try_recv().unwrap_or_default();
        let _ = to_stream.send(Portion { reports: mem::replace(reports, empty), is_last });
    };
    let mut reports = Reports::default();
    for load in loads {
        let mut portions = Portions { reports, hand_over: |reports: &mut _| send(reports, false) };
        match load {
            Load::Frames(first, batch) => worker.run(&batch, first, &mut portions),
            Load::Idle(next, now) => {
                worker.idle(now, next, &mut portions);
                portions.reports.idle_at = Some(now);
            }
        }
        reports = portions.reports;
        reports.counted = worker.counters();
        send(&mut reports, true);
    }
    let mut portions = Portions { reports, hand_over: |reports: &mut _| send(reports, false) };
    worker.finish(&mut portions);
    reports = portions.reports;
    reports.counted = worker.counters();
    send(&mut reports, true);
}

/// Puts what all workers report of the next load in the order of the input, and hands it over some at a time. No two of
/// them report for one shard, so that no two positions are equal.
fn join(
    streams: &mut [Stream],
    joined: &mut Reports,
    mut take: impl FnMut(&Reports) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut flow = ControlFlow::Continue(());
    let mut hand_over = |joined: &mut Reports| {
        if take(joined).is_break() {
            flow = ControlFlow::Break(());
        }
        joined.clear();
    };
    streams.iter_mut().for_each(|stream| stream.is_over = false);
    loop {
        // The worker whose report comes first, and where that of another comes next.
        let (mut next, mut bound) = (None, None);
        for stream in &mut *streams {
            let Some(head) = stream.head() else { continue };
            match &next {
                Some((first, _)) if *first < head => {
                    bound = Some(bound.map_or(head, |bound: Position| bound.min(head)));
                }
                _ => bound = next.replace((head, stream)).map(|(head, _)| head),
            }
        }
        let Some((_, stream)) = next else { break };
        stream.hand_on(bound, joined);
        if joined.len() >= PORTION {
            hand_over(joined);
        }
    }
    let mut streams = streams.iter();
    // All have read all frames: what the first counted of them is what all did.
    if let Some(first) = streams.next() {
        joined.counted = first.counted.clone();
        joined.idle_at = first.idle_at;
    }
    streams.for_each(|other| joined.counted.join(&other.counted));
    hand_over(joined);
    flow
}

/// What a worker reports, load by load.
struct Stream {
    portions: Receiver<Portion>,
    /// Gives the worker its room back.
    spares: Sender<Reports>,
    deltas: VecDeque<(Position, FlowDelta)>,
    events: VecDeque<(Position, names::Event)>,
    claims: VecDeque<(Position, Claim)>,
    counted: WorkerCounters,
    idle_at: Option<Timestamp>,
    /// Was that the last of the load?
    is_over: bool,
}

impl Stream {
    fn new(portions: Receiver<Portion>, spares: Sender<Reports>) -> Self {
        Self {
            portions,
            spares,
            deltas: VecDeque::new(),
            events: VecDeque::new(),
            claims: VecDeque::new(),
            counted: WorkerCounters::default(),
            idle_at: None,
            is_over: false,
        }
    }

    /// Where in the input its next report of the load belongs.
    fn head(&mut self) -> Option<Position> {
        loop {
            let delta = self.deltas.front().map(|&(position, _)| position);
            let event = self.events.front().map(|&(position, _)| position);
            let claim = self.claims.front().map(|&(position, _)| position);
            match [delta, event, claim].into_iter().flatten().min() {
                None if !self.is_over => self.receive(),
                head => return head,
            }
        }
    }

    fn receive(&mut self) {
        let Ok(Portion { reports, is_last }) = self.portions.recv() else {
            self.is_over = true;
            return;
        };
        let Reports { deltas, events, claims, counted, idle_at } = reports;
        let emptied = Reports {
            deltas: mem::replace(&mut self.deltas, deltas.into()).into(),
            events: mem::replace(&mut self.events, events.into()).into(),
            claims: mem::replace(&mut self.claims, claims.into()).into(),
            ..Reports::default()
        };
        // A worker that is done needs none.
        let _ = self.spares.send(emptied);
        (self.counted, self.idle_at, self.is_over) = (counted, idle_at, is_last);
    }

    /// Hands on what it has that comes before `bound`.
    fn hand_on(&mut self, bound: Option<Position>, to: &mut Reports) {
        move_before(bound, &mut self.deltas, &mut to.deltas);
        move_before(bound, &mut self.events, &mut to.events);
        move_before(bound, &mut self.claims, &mut to.claims);
    }
}

fn move_before<T>(
    bound: Option<Position>,
    from: &mut VecDeque<(Position, T)>,
    to: &mut Vec<(Position, T)>,
) {
    let is_before = |(position, _): &(Position, T)| bound.is_none_or(|bound| *position < bound);
    to.extend(from.drain(..from.partition_point(is_before)));
}

/// Batches read ahead of who takes the reports.
const IN_FLIGHT: usize = 4;

/// Portions that a worker is ahead of who takes them.
const PORTIONS_IN_FLIGHT: usize = 8;
