//! The analyst alone: how many deltas in a second, what a tick and the end of a day cost.

use std::time::Duration;

use super::clock::timed;
use super::error::BenchError;
use super::pass;
use super::replay::Plan;
use super::report::AnalystCost;
use super::stats::Measured;
use crate::capture::Source;
use crate::engine::Analyst;

/// Feeds an analyst with the deltas of `source`, once for every loop.
pub(super) fn measure<S: Source<Error: Into<BenchError>>>(
    plan: &Plan,
    source: &mut S,
) -> Result<AnalystCost, BenchError> {
    let deltas = pass::deltas(plan, source, DELTAS_MAX)?;
    let (mut speeds, mut ticks, mut closes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.loops {
        let mut analyst = Analyst::new(plan.analyst.clone());
        let ((), fold) = timed(|| {
            for deltas in deltas.chunks(PORTION) {
                analyst.fold(deltas);
                analyst.drain();
            }
        });
        let latest = deltas.iter().map(|delta| delta.last_at).max().unwrap_or_default();
        let ((), tick) = timed(|| analyst.advance(latest.plus(Duration::from_secs(1))));
        let ((), close) = timed(|| pass::close(&mut analyst));
        speeds.push(deltas.len() as f64 / fold.cpu.as_secs_f64().max(1e-9));
        ticks.push(tick.cpu.as_nanos() as f64);
        closes.push(close.cpu.as_nanos() as f64);
    }
    Ok(AnalystCost {
        deltas: deltas.len() as u64,
        deltas_per_sec: Measured::of(speeds),
        tick_ns: Measured::of(ticks),
        close_ns: Measured::of(closes),
    })
}

/// Deltas held in memory at most, about 250 bytes each.
const DELTAS_MAX: usize = 2_000_000;

/// Deltas handed over at a time.
const PORTION: usize = 1024;
