//! Cost per packet and per delta against the hosts inside; what a tick and the end of a day take.

use std::time::Duration;

use super::deltas::{bytes, delta};
use super::{Plan, Scaling};
use crate::bench::clock::{Spent, timed};
use crate::bench::error::BenchError;
use crate::bench::pass;
use crate::capture::{Polled, Source};
use crate::engine::{self, Analyst, Run, Worker};
use crate::frame::Batch;
use crate::synth::{self, Kind, Traffic};
use crate::time::Timestamp;

pub(super) const SIZES: [u64; 7] = [1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000];

/// What a host with its pairs may take at most, for the decision whether to go on.
pub(super) const BYTES_EACH: u64 = 16_000;

/// `hosts` hosts send to ten destinations each, twice; a tick; the end of the day. Then packets.
pub(super) fn measure(plan: &Plan, hosts: u64, to: &mut Scaling) -> Result<(), BenchError> {
    let before = (plan.heap)();
    let mut analyst = Analyst::new(roomy(&plan.analyst, hosts));
    let start = Timestamp::from_secs_nanos(START, 0);
    let round = |analyst: &mut Analyst, number: u64| {
        let mut spent = Spent::default();
        for chunk in 0..(hosts * PAIRS).div_ceil(CHUNK) {
            // All hosts once, then all again: no cache helps.
            let pairs = chunk * CHUNK..(hosts * PAIRS).min((chunk + 1) * CHUNK);
            let deltas: Vec<_> = pairs
                .map(|pair| {
                    let at = start.plus(Duration::from_micros(number * 60_000_000 + pair));
                    let (host, peer) = (pair % hosts, pair % (hosts * PAIRS / 2));
                    delta(host, peer, bytes(pair, number, 20_000), at)
                })
                .collect();
            spent += timed(|| fold(analyst, &deltas)).1;
        }
        spent
    };
    let fresh = round(&mut analyst, 0);
    let again = round(&mut analyst, 1);
    let grown = (plan.heap)().grown_since(before);
    let soon = start.plus(Duration::from_secs(3600));
    let ((), tick) = timed(|| analyst.advance(soon));
    let ((), close) = timed(|| pass::close(&mut analyst));
    drop(analyst);
    let packets = packets(plan, hosts)?;

    let each = |spent: Spent| spent.cpu.as_nanos() as f64 / (hosts * PAIRS) as f64;
    let millis = |spent: Spent| spent.cpu.as_secs_f64() * 1000.0;
    to.add(("a packet, all stages", "ns"), hosts, packets);
    to.add(("a delta of a new pair", "ns"), hosts, each(fresh));
    to.add(("a delta of a known pair", "ns"), hosts, each(again));
    to.aim("a delta of a known pair", 100_000, 1000.0);
    to.add(("a tick", "ms"), hosts, millis(tick));
    to.aim("a tick", 100_000, 200.0);
    to.add(("the end of a day", "ms"), hosts, millis(close));
    to.add(("memory of a host and ten pairs", "bytes"), hosts, grown as f64 / hosts as f64);
    Ok(())
}

pub(super) fn fold(analyst: &mut Analyst, deltas: &[crate::flow::FlowDelta]) {
    analyst.fold(deltas);
    analyst.drain();
}

/// CPU time for each packet of many short flows from `hosts` hosts, through all stages.
fn packets(plan: &Plan, hosts: u64) -> Result<f64, BenchError> {
    let options = synth::Options {
        hosts: u32::try_from(hosts).unwrap_or(u32::MAX),
        seed: plan.seed,
        ..Kind::Flows.options(hosts.max(PACKETS / 2) * 2)
    };
    let analyst = Analyst::new(roomy(&plan.analyst, hosts));
    through(plan, options, analyst)
        .map(|(spent, packets)| spent.cpu.as_nanos() as f64 / packets as f64)
}

/// Runs traffic through worker and analyst; its making is not in the time.
pub(super) fn through(
    plan: &Plan,
    options: synth::Options,
    mut analyst: Analyst,
) -> Result<(Spent, u64), BenchError> {
    let run = Run { workers: 1, ..plan.run.clone() };
    let mut worker = Worker::new(&run, 0);
    let mut traffic = Traffic::new(options)?;
    let (mut batch, mut outbox, mut first) = (Batch::default(), Vec::new(), 0);
    let mut spent = Spent::default();
    loop {
        batch.clear();
        let Ok(polled) = traffic.poll(&mut batch);
        if polled == Polled::End {
            return Ok((spent, first));
        }
        let judge = || {
            worker.run(&batch, first, &mut outbox);
            analyst.fold(outbox.iter().map(|(_, delta)| delta));
            outbox.clear();
            analyst.drain();
        };
        spent += timed(judge).1;
        first += batch.heads.len() as u64;
    }
}

/// These options with room for so many hosts: nothing is to be forgotten.
pub(super) fn roomy(options: &engine::Options, hosts: u64) -> engine::Options {
    let mut options = options.clone();
    let room = |size: &mut usize, least: u64| {
        *size = (*size).max(usize::try_from(least * 2).unwrap_or(usize::MAX));
    };
    room(&mut options.egress.hosts_max, hosts);
    room(&mut options.egress.pairs_max, hosts * PAIRS);
    room(&mut options.baseline.hosts_max, hosts);
    room(&mut options.baseline.pairs_max, hosts * PAIRS);
    room(&mut options.baseline.destinations_max, hosts * PAIRS);
    options
}

/// Destinations of each host.
pub(super) const PAIRS: u64 = 10;
/// Deltas made at a time.
const CHUNK: u64 = 100_000;
/// Packets at least.
const PACKETS: u64 = 1_000_000;
/// 2026-03-16 09:00 UTC.
const START: u64 = 1_773_651_600;
