//! What uploads that grow from day to day came to, `sekisho.ramps/1`.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::report::median;
use crate::detect::Bits;
use crate::net::Addr;
use crate::synth::office::Destination;
use crate::time::Timestamp;

/// What uploads that grow from day to day came to, and the thefts after them. The same for the same seed.
#[derive(Debug, Default, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RampsReport {
    /// Always `sekisho.ramps/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// The office.
    pub set: String,
    /// Seed of the office and of the ramps.
    pub seed: u64,
    /// Days of learning before them.
    pub learned_days: u32,
    /// Bytes of the theft on the day after each.
    pub theft_bytes: u64,
    /// The ramps, with their ground truth.
    pub ramps: Vec<Ramp>,
    /// Each budget.
    pub judges: Vec<RampsJudged>,
}

/// An upload a day, each so many times as large as the one before; `src`, `dst` and `start` as in
/// `sekisho.labels/1`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Ramp {
    /// How many times as much each day.
    pub growth: f64,
    /// Where to.
    pub destination: Destination,
    /// The host that sends.
    pub src: Addr,
    /// The other end.
    pub dst: [Addr; 1],
    /// First moment of the first day; the others are whole days later.
    pub start: Timestamp,
    /// Bytes of each day.
    pub bytes: Vec<u64>,
}

/// How well a budget did.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RampsJudged {
    /// Alerts a day that were asked for.
    pub budget: f64,
    /// Score from which an incident paged on the first day of the ramps.
    pub threshold_bits: Bits,
    /// Of the ramps that grow alike and begin alike, how much they sent a day when they were found.
    pub curves: Vec<Curve>,
    /// Of each ramp, in their order.
    pub outcomes: Vec<RampOutcome>,
}

/// Ramps that grow alike and begin alike.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Curve {
    /// How many times as much each day.
    pub growth: f64,
    /// Bytes of the first day.
    pub start_bytes: u64,
    /// Bytes of the last day.
    pub end_bytes: u64,
    /// How many ramps.
    pub ramps: usize,
    /// Of those that were found the bytes of that day, from small to large.
    pub found_at_bytes: Vec<u64>,
    /// Half of those that were found had sent at most so many bytes in all by then.
    pub median_bytes_left: Option<u64>,
    /// Half of the thefts after them were found before more bytes than these had left.
    pub median_theft_left: Option<u64>,
    /// The same of these thefts without any ramp.
    pub median_theft_left_unprepared: Option<u64>,
}

/// What was said of a ramp, and of the theft after it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RampOutcome {
    /// When it was found; null where it never was.
    pub found: Option<Found>,
    /// What left in the theft before a page; all of it where none came.
    pub theft_left: u64,
    /// The same without any ramp before.
    pub theft_left_unprepared: u64,
}

/// When a ramp was found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Found {
    /// On which of its days, from 1.
    pub day: u32,
    /// Bytes of that day.
    pub bytes_of_day: u64,
    /// What had left by the page, all days together.
    pub bytes_left: u64,
}

impl RampsJudged {
    pub(super) fn of(
        budget: f64,
        threshold_bits: Bits,
        outcomes: Vec<RampOutcome>,
        ramps: &[Ramp],
    ) -> Self {
        let ends = |ramp: &Ramp| (ramp.bytes.first().copied(), ramp.bytes.last().copied());
        let kind = |ramp: &Ramp| (ramp.growth, ends(ramp));
        let mut kinds: Vec<_> = ramps.iter().map(kind).collect();
        kinds.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        kinds.dedup();
        let curve = |(growth, (start, end))| {
            let each = ramps.iter().zip(&outcomes);
            let mine: Vec<&RampOutcome> = each
                .filter(|(ramp, _)| kind(ramp) == (growth, (start, end)))
                .map(|(_, outcome)| outcome)
                .collect();
            let found = || mine.iter().filter_map(|outcome| outcome.found.as_ref());
            let mut found_at_bytes: Vec<u64> = found().map(|found| found.bytes_of_day).collect();
            found_at_bytes.sort_unstable();
            let thefts = |left: fn(&RampOutcome) -> u64| {
                median(mine.iter().map(|outcome| left(outcome)).collect())
            };
            Curve {
                growth,
                start_bytes: start.unwrap_or(0),
                end_bytes: end.unwrap_or(0),
                ramps: mine.len(),
                found_at_bytes,
                median_bytes_left: median(found().map(|found| found.bytes_left).collect()),
                median_theft_left: thefts(|outcome| outcome.theft_left),
                median_theft_left_unprepared: thefts(|outcome| outcome.theft_left_unprepared),
            }
        };
        Self { budget, threshold_bits, curves: kinds.into_iter().map(curve).collect(), outcomes }
    }
}

impl Curve {
    /// By how many bytes the ramp raises what can leave unseen, for each byte of its last day.
    pub(super) fn leverage(&self) -> Option<f64> {
        let (with, without) = (self.median_theft_left?, self.median_theft_left_unprepared?);
        Some(with.saturating_sub(without) as f64 / self.end_bytes.max(1) as f64)
    }
}
