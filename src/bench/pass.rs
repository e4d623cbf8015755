//! One pass of a source through all stages up to one of them.

use std::hint::black_box;
use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::clock::{Spent, timed};
use super::error::BenchError;
use super::feed::{Feed, Latencies};
use super::machine;
use super::replay::Plan;
use super::stage::Stage;
use crate::alert::Summary;
use crate::capture::{Polled, Source};
use crate::decode::{Rejects, decode};
use crate::egress::{Egress, Group, HostKey, Spot};
use crate::engine::{self, Analyst, Position, Reports, Run, WorkerCounters};
use crate::flow::FlowDelta;
use crate::frame::Batch;
use crate::names::{self, Book, Event};
use crate::time::{Day, PacketClock};

/// What a pass took and counted.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) spent: Spent,
    pub(super) packets: u64,
    pub(super) counted: Counted,
    /// Allocations for each packet, over the whole pass and over its second half.
    pub(super) allocations: (f64, f64),
    pub(super) peak_bytes: u64,
    pub(super) latencies: Latencies,
}

/// What the stages counted; 0 for those that the pass did not reach.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) rejected: u64,
    pub(super) flows: u64,
    pub(super) deltas: u64,
    pub(super) hosts: u64,
}

impl Pass {
    /// Runs `source`, of which `expected` packets will come, through the stages up to `stage`.
    pub(super) fn run<S: Source<Error: Into<BenchError>>>(
        plan: &Plan,
        stage: Stage,
        expected: u64,
        open: impl FnOnce() -> Result<S, BenchError>,
    ) -> Result<Self, BenchError> {
        machine::forget_peak();
        let before = (plan.heap)().allocations;
        let (outcome, spent) = timed(|| {
            let mut feed = Feed::new(open()?, expected, plan.speed, plan.heap);
            let counted = through(plan, stage, &mut feed)?;
            Ok::<_, BenchError>((feed.finish(), counted))
        });
        let ((packets, steady, latencies), counted) = outcome?;
        if packets != expected {
            return Err(BenchError::Changed { then: expected, now: packets });
        }
        let allocated = (plan.heap)().allocations - before;
        Ok(Self {
            spent,
            packets,
            counted,
            allocations: (allocated as f64 / packets.max(1) as f64, steady),
            peak_bytes: machine::peak_bytes(),
            latencies,
        })
    }
}

/// `benches/instructions.py` counts what happens in here, so it must be a function.
#[inline(never)]
fn through<S: Source<Error: Into<BenchError>>>(
    plan: &Plan,
    stage: Stage,
    feed: &mut Feed<S>,
) -> Result<Counted, BenchError> {
    match stage {
        Stage::Read => read(feed, |batch| {
            black_box(batch);
        })
        .map(|()| Counted::default()),
        Stage::Decode => decode_all(feed),
        Stage::Flow => count(&Run { names: None, ..plan.run.clone() }, feed, |_| {}),
        Stage::Names => {
            let mut book = Book::new(names::Options::default().book_bytes_max);
            count(&plan.run, feed, |reports| {
                for (_, event) in &reports.events {
                    if let Event::Answer(answer) = event {
                        book.hear(answer, None);
                    }
                }
            })
        }
        Stage::Egress => {
            let mut sums = Sums::new(plan);
            let counted = count(&plan.run, feed, |reports| sums.fold(&reports.deltas))?;
            Ok(Counted { hosts: sums.egress.hosts().len() as u64, ..counted })
        }
        Stage::Detect => detect(plan, feed),
    }
}

fn read<S: Source<Error: Into<BenchError>>>(
    feed: &mut Feed<S>,
    mut take: impl FnMut(&Batch),
) -> Result<(), BenchError> {
    let mut batch = Batch::default();
    loop {
        batch.clear();
        match feed.poll(&mut batch)? {
            Polled::Frames => take(&batch),
            Polled::Idle(_) => {}
            Polled::End => return Ok(()),
        }
        feed.judged();
    }
}

fn decode_all<S: Source<Error: Into<BenchError>>>(
    feed: &mut Feed<S>,
) -> Result<Counted, BenchError> {
    let mut rejects = Rejects::default();
    read(feed, |batch| {
        for frame in batch.frames() {
            // By reference, as the pipeline does: moving a segment costs as much as decoding it.
            match &decode(&frame) {
                Ok(segment) => {
                    black_box(segment);
                }
                Err(reject) => rejects.count(*reject),
            }
        }
    })?;
    Ok(Counted { rejected: rejected(&rejects), ..Counted::default() })
}

fn count<S: Source<Error: Into<BenchError>>>(
    run: &Run,
    feed: &mut Feed<S>,
    mut take: impl FnMut(&Reports),
) -> Result<Counted, BenchError> {
    let mut taken = 0;
    let counters = engine::count(feed, run, |feed, reports| {
        take(black_box(reports));
        taken += reports.deltas.len() as u64;
        feed.judged();
        ControlFlow::Continue(())
    })?;
    Ok(Counted { deltas: taken, ..counted(&counters) })
}

fn detect<S: Source<Error: Into<BenchError>>>(
    plan: &Plan,
    feed: &mut Feed<S>,
) -> Result<Counted, BenchError> {
    let mut analyst = Analyst::new(plan.analyst.clone());
    let counters = engine::replay(feed, &plan.run, &mut analyst, |feed, records| {
        records.for_each(|record| {
            black_box(record);
        });
        feed.judged();
    })?;
    analyst.rank_day();
    black_box(analyst.drain());
    let mut summary = Summary::default();
    analyst.summarize(&mut summary);
    Ok(Counted { hosts: summary.hosts as u64, ..counted(&counters) })
}

fn counted(counters: &WorkerCounters) -> Counted {
    Counted {
        rejected: rejected(&counters.rejects),
        flows: counters.flows.started,
        ..Counted::default()
    }
}

fn rejected(rejects: &Rejects) -> u64 {
    rejects.iter().map(|(_, count)| count).sum()
}

/// The sums alone, with nobody to judge them; a day is closed as the analyst does.
struct Sums {
    egress: Egress,
    clock: PacketClock,
}

impl Sums {
    fn new(plan: &Plan) -> Self {
        Self { egress: Egress::new(plan.analyst.egress.clone()), clock: PacketClock::default() }
    }

    fn fold(&mut self, deltas: &[(Position, FlowDelta)]) {
        for group in deltas.chunks(GROUP) {
            let place = |(_, delta): &_| self.egress.place(delta, |place| place, HostKey::Address);
            let mut spots: SmallVec<[_; GROUP]> = group.iter().map(place).collect();
            spots.iter_mut().for_each(|spot| self.egress.approach(spot));
            for ((_, delta), spot) in group.iter().zip(spots) {
                self.add(delta, spot);
            }
        }
    }

    fn add(&mut self, delta: &FlowDelta, spot: Spot) {
        if delta.low.packets + delta.high.packets > 0 {
            self.clock.advance(delta.last_at);
        }
        let (day, is_another) = self.egress.day_of(self.clock.now());
        if is_another {
            self.egress.close_day(day, |host_day| drop(black_box(host_day)));
        }
        black_box(self.egress.fold(delta, spot, |_| Group::UNDECLARED, |_, _| false));
        black_box(self.egress.take_forgotten());
    }
}

/// Counts the flows of `source` and hands out their deltas, at most `most` of them.
pub(super) fn deltas<S: Source<Error: Into<BenchError>>>(
    plan: &Plan,
    source: &mut S,
    most: usize,
) -> Result<Vec<FlowDelta>, BenchError> {
    let mut all = Vec::new();
    engine::count(source, &plan.run, |_, reports| {
        all.extend(reports.deltas.iter().map(|(_, delta)| delta.clone()).take(most - all.len()));
        if all.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .map_err(Into::into)?;
    Ok(all)
}

/// Ends an analyst's day, as midnight does.
pub(super) fn close(analyst: &mut Analyst) {
    analyst.end_day(Day::default());
    analyst.drain();
}

/// Deltas that ask for their memory together, as the analyst's do.
const GROUP: usize = 32;
