//! The source of a pass: hands batches on, at a pace if there is one, and notes when they were judged.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Instant;

use hdrhistogram::Histogram;

use super::clock;
use super::error::BenchError;
use super::machine::Heap;
use crate::capture::{Polled, Source};
use crate::frame::Batch;
use crate::time::Timestamp;

/// Frames in memory, in batches that are copied out whole.
#[derive(Debug)]
pub(super) struct Held<'a> {
    pub(super) batches: std::slice::Iter<'a, Batch>,
}

impl Source for Held<'_> {
    type Error = Infallible;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, Infallible> {
        let Some(next) = self.batches.next() else { return Ok(Polled::End) };
        batch.copy_from(next);
        Ok(Polled::Frames)
    }
}

/// A source that is watched.
pub(super) struct Feed<S> {
    inner: S,
    pace: Option<Pace>,
    packets: u64,
    heap: fn() -> Heap,
    /// Packets after which the state is steady.
    steady_after: u64,
    /// Packets and allocations at that moment.
    steady: Option<(u64, u64)>,
    laps: RefCell<Laps>,
}

/// Hands frames out as late as they were captured, and not sooner.
struct Pace {
    speed: f64,
    began: Option<(Instant, Timestamp)>,
    held: Batch,
    next: usize,
}

/// Batches that are under way, and how long others were.
struct Laps {
    under_way: VecDeque<Lap>,
    judged_at: Option<Instant>,
    latencies: Latencies,
}

struct Lap {
    handed_at: Instant,
    /// When its first frame would have come from the wire.
    due_at: Option<Instant>,
    frames: u64,
}

/// All in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Latencies {
    /// From a batch handed out to its deltas judged.
    pub(super) batch: Histogram<u64>,
    /// A batch's own share of the time, for each of its packets.
    pub(super) packet: Histogram<u64>,
    /// From the time a batch's first frame was due to its deltas judged; only when paced.
    pub(super) late: Histogram<u64>,
}

impl<S: Source> Feed<S> {
    /// Watches `inner`, which has `expected` packets; a `speed` of 0 is as fast as possible.
    pub(super) fn new(inner: S, expected: u64, speed: f64, heap: fn() -> Heap) -> Self {
        let pace = Pace { speed, began: None, held: Batch::default(), next: 0 };
        let latencies = Latencies::default();
        Self {
            inner,
            pace: (speed > 0.0).then_some(pace),
            packets: 0,
            heap,
            steady_after: expected / 2,
            steady: None,
            laps: RefCell::new(Laps { under_way: VecDeque::new(), judged_at: None, latencies }),
        }
    }

    /// Notes that the oldest batch under way has been judged.
    pub(super) fn judged(&self) {
        let laps = &mut *self.laps.borrow_mut();
        // What ends with the input belongs to no batch.
        let Some(lap) = laps.under_way.pop_front() else { return };
        let now = clock::now();
        let since = |then: Instant| now.saturating_duration_since(then).as_nanos() as u64;
        laps.latencies.batch.saturating_record(since(lap.handed_at));
        if let Some(due_at) = lap.due_at {
            laps.latencies.late.saturating_record(since(due_at));
        }
        let began = laps.judged_at.map_or(lap.handed_at, |before| before.max(lap.handed_at));
        let share = since(began) / lap.frames.max(1);
        laps.latencies.packet.saturating_record_n(share, lap.frames);
        laps.judged_at = Some(now);
    }

    /// Packets handed out; allocations for each of them once the state was steady; how long it took.
    pub(super) fn finish(self) -> (u64, f64, Latencies) {
        let (packets, allocations) = self.steady.unwrap_or((0, 0));
        let since = (self.heap)().allocations - allocations;
        let steady = since as f64 / (self.packets - packets).max(1) as f64;
        (self.packets, steady, self.laps.into_inner().latencies)
    }
}

impl<S: Source<Error: Into<BenchError>>> Source for Feed<S> {
    type Error = BenchError;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, BenchError> {
        let (polled, due_at) = match &mut self.pace {
            None => (self.inner.poll(batch).map_err(Into::into)?, None),
            Some(pace) => pace.poll(&mut self.inner, batch)?,
        };
        if self.steady.is_none() && self.packets >= self.steady_after {
            self.steady = Some((self.packets, (self.heap)().allocations));
        }
        if polled == Polled::Frames {
            let frames = batch.heads.len() as u64;
            self.packets += frames;
            let lap = Lap { handed_at: clock::now(), due_at, frames };
            self.laps.get_mut().under_way.push_back(lap);
        }
        Ok(polled)
    }
}

impl Pace {
    /// Waits for the next frame's time, and hands out all that have come by then.
    fn poll<S: Source<Error: Into<BenchError>>>(
        &mut self,
        inner: &mut S,
        batch: &mut Batch,
    ) -> Result<(Polled, Option<Instant>), BenchError> {
        while self.next >= self.held.heads.len() {
            self.held.clear();
            self.next = 0;
            let polled = inner.poll(&mut self.held).map_err(Into::into)?;
            if polled != Polled::Frames {
                return Ok((polled, None));
            }
        }
        let first = self.held.heads[self.next].at;
        let (start, zero) = *self.began.get_or_insert_with(|| (clock::now(), first));
        let due = |at: Timestamp| start + at.since(zero).div_f64(self.speed);
        let first_due = due(first);
        clock::sleep_until(first_due);
        let now = clock::now();
        for (index, head) in self.held.heads.iter().enumerate().skip(self.next) {
            if index > self.next && due(head.at) > now {
                break;
            }
            batch.push(self.held.frame(*head));
        }
        self.next += batch.heads.len();
        Ok((Polled::Frames, Some(first_due)))
    }
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("bounds and digits are constants")
        };
        Self { batch: histogram(), packet: histogram(), late: histogram() }
    }
}

impl Latencies {
    pub(super) fn add(&mut self, more: &Self) {
        for (all, some) in [
            (&mut self.batch, &more.batch),
            (&mut self.packet, &more.packet),
            (&mut self.late, &more.late),
        ] {
            all.add(some).expect("all have the same bounds");
        }
    }
}

/// An hour, in nanoseconds: longer ones count as this.
const LONGEST: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;
