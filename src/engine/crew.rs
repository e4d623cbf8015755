//! Workers on threads of their own: each reads every batch and keeps the flows of its own shards. What they report is put
//! in the order of the input by the thread that reads the source, which counts some of the shards itself when it would
//! have to wait for the others otherwise.

use std::collections::VecDeque;
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use super::balance::{Balance, Shift, Waited, waiting};
use super::replay::{PORTION, Portions};
use super::worker::{Outbox, Parting, Position, Reports, Run, Worker, WorkerCounters};
use crate::capture::{Polled, Source};
use crate::flow::FlowDelta;
use crate::frame::Batch;
use crate::machines::Claim;
use crate::names;
use crate::time::Timestamp;

/// Counts the flows of `source` by `run.workers` threads, of which one is the caller's, and hands `take` the reports, as
/// [`count`](fn@super::count) promises.
pub(super) fn count<S: Source>(
    source: &mut S,
    run: &Run,
    take: &mut impl FnMut(&mut S, &Reports) -> ControlFlow<()>,
) -> (WorkerCounters, Result<(), S::Error>) {
    let mut balance = Balance::new(run.workers - 1);
    count_by(source, run, take, |waited| balance.weigh(waited))
}

/// As [`count`]; before each batch `weigh` hears how long each has waited, and says which shard goes where.
fn count_by<S: Source>(
    source: &mut S,
    run: &Run,
    take: &mut impl FnMut(&mut S, &Reports) -> ControlFlow<()>,
    mut weigh: impl FnMut(&Waited) -> Option<Shift>,
) -> (WorkerCounters, Result<(), S::Error>) {
    thread::scope(|scope| {
        let run = Run { workers: run.workers - 1, ..run.clone() };
        let (mut streams, mut threads) = (Vec::new(), Vec::new());
        for number in 0..run.workers {
            let (stream, bench) = Stream::new();
            let worker = Worker::new(&run, number);
            threads.push(scope.spawn(move || work(worker, &bench)));
            streams.push(stream);
        }
        let mut joint = Joint {
            streams,
            own: Worker::without_shards(&run),
            joined: Reports::default(),
            waited: Waited::default(),
        };
        let (mut under_way, mut spare, mut first) = (VecDeque::<Load>::new(), Vec::new(), 0);
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
                Load::Frames(..) | Load::Idle(..) | Load::Shift(_) => 0,
            };
            let shift = weigh(joint.waited()).map(Load::Shift);
            for load in shift.into_iter().chain([load]) {
                joint.send(&load);
                under_way.push_back(load);
            }
            let mut flow = ControlFlow::Continue(());
            while under_way.len() > ahead && flow.is_continue() {
                let Some(load) = under_way.pop_front() else { break };
                flow = joint.take(&load, |reports| take(source, reports));
                load.frames().into_iter().for_each(|frames| source.settle(frames));
                spare.extend(load.into_batch());
            }
            if flow.is_break() {
                break Ok(());
            }
        };
        for load in under_way {
            let _ = joint.take(&load, |reports| take(source, reports));
            load.frames().into_iter().for_each(|frames| source.settle(frames));
        }
        let counted = joint.finish(|reports| take(source, reports));
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        (counted, outcome)
    })
}

/// What is on its way through the workers.
#[derive(Clone)]
enum Load {
    /// A batch, and the number of its first frame in the input.
    Frames(u64, Arc<Batch>),
    /// Nothing came until then; the number is that of the frame that comes next.
    Idle(u64, Timestamp),
    /// Who counts a shard from here on is another.
    Shift(Shift),
}

impl Load {
    /// The batch, once no worker has it any more.
    fn into_batch(self) -> Option<Batch> {
        match self {
            Self::Frames(_, batch) => Arc::into_inner(batch),
            Self::Idle(..) | Self::Shift(_) => None,
        }
    }

    /// Frames of the input up to its end.
    fn frames(&self) -> Option<u64> {
        match self {
            Self::Frames(first, batch) => Some(first + batch.heads.len() as u64),
            Self::Idle(next, _) => Some(*next),
            Self::Shift(_) => None,
        }
    }
}

/// Some of what a worker reports of a load.
#[derive(Default)]
struct Portion {
    reports: Reports,
    is_last: bool,
    /// A shard that it gives away.
    parting: Option<Box<Parting>>,
    /// For how long it has waited for others so far.
    waited: Duration,
}

/// What a worker has before it: what comes to it, and where it puts what it has done.
struct Bench {
    loads: Receiver<Load>,
    partings: Receiver<Box<Parting>>,
    spares: Receiver<Reports>,
    portions: SyncSender<Portion>,
}

fn work(mut worker: Worker, bench: &Bench) {
    let Bench { loads, partings, spares, portions } = bench;
    let mut waited = Duration::ZERO;
    // Nobody listens any more only when the analyst's thread is unwinding.
    let send = |waited: &mut Duration, portion: Portion| {
        let portion = Portion { waited: *waited, ..portion };
        waiting(waited, || portions.send(portion).unwrap_or_default());
    };
    let hand_over = |waited: &mut Duration, reports: &mut Reports, is_last| {
        let empty = spares.try_recv().unwrap_or_default();
        let reports = mem::replace(reports, empty);
        send(waited, Portion { reports, is_last, ..Portion::default() });
    };
    let mut reports = Reports::default();
    while let Ok(load) = waiting(&mut waited, || loads.recv()) {
        let hand_on = |reports: &mut _| hand_over(&mut waited, reports, false);
        let mut outbox = Portions { reports, hand_over: hand_on };
        match load {
            Load::Frames(first, batch) => worker.run(&batch, first, &mut outbox),
            Load::Idle(next, now) => {
                worker.idle(now, next, &mut outbox);
                outbox.reports.idle_at = Some(now);
            }
            Load::Shift(Shift { is_return: true, .. }) => {
                reports = outbox.reports;
                let parting = waiting(&mut waited, || partings.recv());
                parting.into_iter().for_each(|parting| worker.adopt(*parting));
                continue;
            }
            Load::Shift(Shift { shard, .. }) => {
                reports = outbox.reports;
                let parting = worker.part_with(shard);
                send(&mut waited, Portion { parting, ..Portion::default() });
                continue;
            }
        }
        reports = outbox.reports;
        reports.counted = worker.counters();
        hand_over(&mut waited, &mut reports, true);
    }
    let hand_on = |reports: &mut _| hand_over(&mut waited, reports, false);
    let mut outbox = Portions { reports, hand_over: hand_on };
    worker.finish(&mut outbox);
    reports = outbox.reports;
    reports.counted = worker.counters();
    hand_over(&mut waited, &mut reports, true);
}

/// Puts what all report of a load in the order of the input, and hands it over some at a time. No two of them report for
/// one shard, so that no two positions are equal.
struct Joint {
    streams: Vec<Stream>,
    /// Counts the shards that are borrowed, when it is their load's turn: what it reports need not be kept for long.
    own: Worker,
    joined: Reports,
    waited: Waited,
}

impl Joint {
    /// For how long each has waited so far.
    fn waited(&mut self) -> &Waited {
        let Self { streams, waited, .. } = self;
        waited.reader = streams.iter().map(|stream| stream.awaited).sum();
        waited.workers.clear();
        waited.workers.extend(streams.iter().map(|stream| stream.waited));
        waited
    }

    /// Hands a load to those whom it is for.
    fn send(&self, load: &Load) {
        let is_for = |number: usize| match load {
            Load::Frames(..) | Load::Idle(..) => true,
            Load::Shift(shift) => shift.worker == number,
        };
        for (number, stream) in self.streams.iter().enumerate() {
            if is_for(number) {
                // A worker hangs up only by panicking, and the scope hands that on.
                let _ = stream.loads.as_ref().map(|loads| loads.send(load.clone()));
            }
        }
    }

    /// Hands over what was reported of the next load, which is this one.
    fn take(
        &mut self,
        load: &Load,
        take: impl FnMut(&Reports) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Load::Shift(shift) = load {
            self.shift(shift);
            return ControlFlow::Continue(());
        }
        self.join(take, |own, outbox| match load {
            Load::Frames(first, batch) => own.run(batch, *first, outbox),
            Load::Idle(next, now) => own.idle(*now, *next, outbox),
            Load::Shift(_) => {}
        })
    }

    /// There are no more loads: hands over what the end of the input ended.
    fn finish(mut self, take: impl FnMut(&Reports) -> ControlFlow<()>) -> WorkerCounters {
        self.streams.iter_mut().for_each(|stream| stream.loads = None);
        // There is nothing left to stop.
        let _ = self.join(take, |own, outbox| own.finish(outbox));
        self.joined.counted
    }

    fn shift(&mut self, shift: &Shift) {
        let Self { streams, own, .. } = self;
        let stream = &mut streams[shift.worker];
        if shift.is_return {
            // As above.
            let _ = own.part_with(shift.shard).map(|parting| stream.partings.send(parting));
        } else if let Some(parting) = stream.next().parting {
            own.adopt(*parting);
        }
    }

    fn join<F: FnMut(&Reports) -> ControlFlow<()>>(
        &mut self,
        take: F,
        count: impl FnOnce(&mut Worker, &mut Order<'_, F>),
    ) -> ControlFlow<()> {
        let Self { streams, own, joined, .. } = self;
        streams.iter_mut().for_each(|stream| stream.is_over = false);
        let mut order = Order { streams, joined, take, flow: ControlFlow::Continue(()) };
        if own.has_shards() {
            count(own, &mut order);
        }
        order.up_to(None);
        let Order { streams, joined, .. } = &mut order;
        // All have read all frames: what the first counted of them is what all did.
        if let Some((first, others)) = streams.split_first() {
            joined.counted.clone_from(&first.counted);
            joined.idle_at = first.idle_at;
            others.iter().for_each(|other| joined.counted.join(&other.counted));
            joined.counted.join(&own.counters());
        }
        order.hand_over();
        order.flow
    }
}

/// The reports of a load on their way into the order of the input: what the others report goes before what is put here and
/// comes later.
struct Order<'a, F> {
    streams: &'a mut [Stream],
    joined: &'a mut Reports,
    take: F,
    flow: ControlFlow<()>,
}

impl<F: FnMut(&Reports) -> ControlFlow<()>> Order<'_, F> {
    fn hand_over(&mut self) {
        if (self.take)(self.joined).is_break() {
            self.flow = ControlFlow::Break(());
        }
        self.joined.clear();
    }

    fn hand_over_if_full(&mut self) {
        if self.joined.len() >= PORTION {
            self.hand_over();
        }
    }

    /// Adds what the others report that comes before `bound`.
    fn up_to(&mut self, bound: Option<Position>) {
        loop {
            // The one whose report comes first, and what comes next after it.
            let (mut next, mut limit) = (None::<(Position, &mut Stream)>, bound);
            for stream in &mut *self.streams {
                let Some(head) = stream.head() else { continue };
                if limit.is_some_and(|limit| limit < head) {
                    continue;
                }
                match &next {
                    Some((first, _)) if *first < head => limit = Some(head),
                    _ => {
                        let before = next.replace((head, stream)).map(|(head, _)| head);
                        limit = before.or(limit);
                    }
                }
            }
            let Some((_, stream)) = next else { return };
            stream.hand_on(limit, self.joined);
            self.hand_over_if_full();
        }
    }
}

impl<F: FnMut(&Reports) -> ControlFlow<()>> Outbox for Order<'_, F> {
    fn put(&mut self, position: Position, delta: FlowDelta) {
        self.up_to(Some(position));
        self.joined.put(position, delta);
        self.hand_over_if_full();
    }

    fn tell(&mut self, position: Position, event: names::Event) {
        self.up_to(Some(position));
        self.joined.tell(position, event);
        self.hand_over_if_full();
    }

    fn claim(&mut self, position: Position, claim: Claim) {
        self.up_to(Some(position));
        self.joined.claim(position, claim);
        self.hand_over_if_full();
    }
}

/// What a worker reports, load by load.
struct Stream {
    /// `None` once there are no more.
    loads: Option<SyncSender<Load>>,
    partings: Sender<Box<Parting>>,
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
    /// For how long it has waited for others, and it was waited for.
    waited: Duration,
    awaited: Duration,
}

impl Stream {
    fn new() -> (Self, Bench) {
        let (to_worker, loads) = sync_channel(IN_FLIGHT + 1);
        let (to_stream, portions) = sync_channel(PORTIONS_IN_FLIGHT);
        let (to_adopt, partings) = channel();
        let (emptied, spares) = channel();
        let stream = Self {
            loads: Some(to_worker),
            partings: to_adopt,
            portions,
            spares: emptied,
            deltas: VecDeque::new(),
            events: VecDeque::new(),
            claims: VecDeque::new(),
            counted: WorkerCounters::default(),
            idle_at: None,
            is_over: false,
            waited: Duration::ZERO,
            awaited: Duration::ZERO,
        };
        (stream, Bench { loads, partings, spares, portions: to_stream })
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

    /// What it hands over next. A worker that hung up has nothing more of any load.
    fn next(&mut self) -> Portion {
        let portion = waiting(&mut self.awaited, || self.portions.recv());
        let portion = portion.unwrap_or(Portion { is_last: true, ..Portion::default() });
        self.waited = self.waited.max(portion.waited);
        portion
    }

    fn receive(&mut self) {
        let Portion { reports, is_last, .. } = self.next();
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

#[cfg(test)]
mod tests {
    use super::super::replay;
    use super::*;
    use crate::config::{Keys, Settings};
    use crate::net::Subnets;
    use crate::synth::{Kind, Traffic};

    /// All that is reported, and what is counted in the end; portions may be cut anywhere.
    #[derive(Default, PartialEq, Debug)]
    struct Told {
        deltas: Vec<(Position, FlowDelta)>,
        events: Vec<(Position, names::Event)>,
        claims: Vec<(Position, Claim)>,
        counted: WorkerCounters,
    }

    impl Told {
        fn take(&mut self, reports: &Reports) -> ControlFlow<()> {
            self.deltas.extend(reports.deltas.iter().cloned());
            self.events.extend(reports.events.iter().cloned());
            self.claims.extend(reports.claims.iter().cloned());
            ControlFlow::Continue(())
        }
    }

    /// Shards go to and fro all the time, also two at once, before anything came and when nearly all are lent; and the
    /// reports, their order and what is counted are those of a single thread.
    #[test]
    fn whoever_counts_a_shard_it_tells_the_same() {
        let settings = Settings::of(&Keys::default()).unwrap();
        let run = |workers| Run { workers, internal: Subnets::private(), ..settings.run.clone() };
        let traffic = || Traffic::new(Kind::Mix.options(80_000)).unwrap();
        let mut alone = Told::default();
        let counted = replay::count(&mut traffic(), &run(1), |_, reports| alone.take(reports));
        alone.counted = counted.unwrap();
        assert!(alone.deltas.len() > 1000 && alone.events.len() > 1000);
        for workers in 1..4 {
            for (borrows, returns) in [(1, 1), (3, 1), (1, 0), (2, 3)] {
                let (mut told, mut number, mut lent) = (Told::default(), 0, Vec::new());
                let mut shifts = 0;
                let weigh = |waited: &Waited| {
                    assert_eq!(waited.workers.len(), workers);
                    number += 1;
                    let is_return = number % (borrows + returns) >= borrows;
                    let shift = if is_return {
                        lent.pop().map(|shift| Shift { is_return, ..shift })
                    } else {
                        let shard =
                            (0..32).find(|&shard| lent.iter().all(|l: &Shift| l.shard != shard));
                        let shard = shard.filter(|_| lent.len() < 31);
                        shard.map(|shard| Shift { worker: shard % workers, shard, is_return })
                    };
                    lent.extend(shift.filter(|_| !is_return));
                    shifts += u32::from(shift.is_some());
                    shift
                };
                let mut take = |_: &mut Traffic, reports: &Reports| told.take(reports);
                let (counted, _) = count_by(&mut traffic(), &run(workers + 1), &mut take, weigh);
                told.counted = counted;
                assert!(shifts > 5, "{shifts}");
                assert!(told == alone, "{workers} workers, {borrows} and {returns}");
            }
        }
    }
}
