//! Cost per packet against the history behind: an analyst that has learned for weeks must not be slower.

use std::time::Duration;

use super::deltas::{bytes, delta};
use super::hosts::{PAIRS, fold, roomy, through};
use super::{Plan, Scaling};
use crate::bench::clock::{Spent, timed};
use crate::bench::error::BenchError;
use crate::bench::pass;
use crate::engine::Analyst;
use crate::synth::{self, Kind};
use crate::time::Timestamp;

/// Hours: four weeks at the end.
pub(super) const SIZES: [u64; 9] = [0, 1, 4, 12, 24, 72, 168, 336, 672];

/// One analyst learns hour after hour; at each size a copy of it judges an office's packets.
pub(super) fn measure(
    plan: &Plan,
    hours: &[u64],
    to: &mut Scaling,
    tell: &mut impl FnMut(&str),
) -> Result<(), BenchError> {
    let start = Timestamp::from_secs_nanos(START, 0);
    let before = (plan.heap)();
    let mut analyst = Analyst::new(roomy(&plan.analyst, HOSTS));
    let (mut learned, mut taught) = (0, Spent::default());
    for &until in hours {
        tell(&format!("{until} hours of history"));
        let since = learned;
        while learned < until {
            let deltas = hour(learned, start);
            taught = timed(|| fold(&mut analyst, &deltas)).1;
            learned += 1;
        }
        let now = start.plus(Duration::from_secs(until * 3600));
        let options = synth::Options {
            hosts: HOSTS as u32,
            seed: plan.seed,
            start: now,
            ..Kind::Mix.options(PACKETS)
        };
        let grown = (plan.heap)().grown_since(before);
        let (spent, packets) = through(plan, options, analyst.clone())?;
        to.add(("a packet, all stages", "ns"), until, spent.cpu.as_nanos() as f64 / packets as f64);
        if learned > since {
            let each = taught.cpu.as_nanos() as f64 / (HOSTS * PAIRS) as f64;
            to.add(("a delta", "ns"), until, each);
        }
        let mut copy = analyst.clone();
        let ((), close) = timed(|| pass::close(&mut copy));
        to.add(("the end of a day", "ms"), until, close.cpu.as_secs_f64() * 1000.0);
        to.add(("memory of a host", "bytes"), until, grown as f64 / HOSTS as f64);
    }
    Ok(())
}

/// What the flow tables report in one hour: half of the destinations are the same every day.
fn hour(number: u64, start: Timestamp) -> Vec<crate::flow::FlowDelta> {
    let day = number / 24;
    (0..HOSTS * PAIRS)
        .map(|pair| {
            let second = pair * 3600 / (HOSTS * PAIRS);
            let at = start.plus(Duration::from_secs(number * 3600 + second));
            let (host, place) = (pair % HOSTS, pair / HOSTS);
            let peer = if place < PAIRS / 2 {
                host % 97 * PAIRS + place
            } else {
                1_000_000 + (pair * 31 + day * 7919) % 50_000
            };
            delta(host, peer, bytes(pair, number, 20_000), at)
        })
        .collect()
}

const HOSTS: u64 = 2000;
const PACKETS: u64 = 400_000;
/// 2026-02-16 00:00 UTC, a Monday.
const START: u64 = 1_771_200_000;
