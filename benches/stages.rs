//! What the stages cost on seeded traffic: `cargo bench --bench stages`.
//!
//! `flow_table` counts decoded frames, `egress` sums their deltas, `detect` judges one pair of a host
//! with a month of history, and `pipeline` does all of it.

#![expect(clippy::unwrap_used, reason = "a bench may stop at the first thing that is wrong")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use sekisho::capture::{Polled, Source};
use sekisho::config::{Keys, Settings};
use sekisho::detect::{Case, Measure, judge};
use sekisho::egress::{Egress, Group, HostKey, Spot};
use sekisho::engine::{Analyst, Worker};
use sekisho::flow::FlowDelta;
use sekisho::frame::Batch;
use sekisho::synth::{Kind, Options, Traffic};
use sekisho::time::Day;

fn bench(c: &mut Criterion) {
    let settings = Settings::of(&Keys::default()).unwrap();
    for kind in [Kind::Mix, Kind::Min, Kind::Flows] {
        let batches = batches(kind);
        let (_, deltas) = count(&settings, &batches);

        let mut group = c.benchmark_group("flow_table");
        group.throughput(Throughput::Elements(PACKETS)).sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(kind.name()), |b| {
            b.iter(|| black_box(count(&settings, &batches)));
        });
        group.finish();

        let mut group = c.benchmark_group("egress");
        group.throughput(Throughput::Elements(deltas.len() as u64)).sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(kind.name()), |b| {
            b.iter_batched(
                || Egress::new(settings.analyst.egress.clone()),
                |mut egress| {
                    sum(&mut egress, &deltas);
                    egress
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();

        let mut group = c.benchmark_group("pipeline");
        group.throughput(Throughput::Elements(PACKETS)).sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(kind.name()), |b| {
            b.iter_batched(
                || Analyst::new(settings.analyst.clone()),
                |mut analyst| {
                    let (_, deltas) = count(&settings, &batches);
                    analyst.fold(&deltas);
                    black_box(analyst.drain().count());
                    analyst
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
    judge_one(c, &settings);
}

/// One verdict on the busiest pair of the mix, whose host and destination have thirty days behind them.
fn judge_one(c: &mut Criterion, settings: &Settings) {
    let (_, deltas) = count(settings, &batches(Kind::Mix));
    let mut egress = Egress::new(settings.analyst.egress.clone());
    let mut baseline = sekisho::baseline::Baseline::new(settings.analyst.baseline.clone());
    for day in 0..30 {
        sum(&mut egress, &later(&deltas, day));
        egress.close_day(Day::default(), |host_day| baseline.learn(&host_day));
    }
    sum(&mut egress, &deltas);
    let host = egress.hosts().max_by_key(|host| host.total_out()).unwrap();
    let pair = egress.pairs().of(host).max_by_key(|pair| pair.out.sent).unwrap();
    let case = Case {
        host,
        pair,
        pairs: egress.pairs(),
        intakes: egress.intakes(),
        usage: None,
        program: None,
        baseline: &baseline,
        day: Day::default(),
        floor_bytes: 0,
        tells_of_many: false,
    };
    c.bench_function("detect", |b| b.iter(|| judge(black_box(case), Measure::of(host, pair))));
}

fn batches(kind: Kind) -> Vec<Batch> {
    let mut traffic = Traffic::new(Options { seed: 1, ..kind.options(PACKETS) }).unwrap();
    let mut batches = Vec::new();
    loop {
        let mut batch = Batch::default();
        if traffic.poll(&mut batch).unwrap() == Polled::End {
            return batches;
        }
        batches.push(batch);
    }
}

/// Decodes and counts; the worker is handed out so that its being dropped is not in the time.
fn count(settings: &Settings, batches: &[Batch]) -> (Worker, Vec<FlowDelta>) {
    let mut worker = Worker::new(&settings.run, 0);
    let (mut outbox, mut first) = (Vec::new(), 0);
    for batch in batches {
        worker.run(batch, first, &mut outbox);
        first += batch.heads.len() as u64;
    }
    worker.finish(&mut outbox);
    (worker, outbox.into_iter().map(|(_, delta)| delta).collect())
}

fn sum(egress: &mut Egress, deltas: &[FlowDelta]) {
    for group in deltas.chunks(GROUP) {
        let mut spots: Vec<Spot> = group
            .iter()
            .map(|delta| egress.place(delta, |place| place, HostKey::Address))
            .collect();
        spots.iter_mut().for_each(|spot| egress.approach(spot));
        for (delta, spot) in group.iter().zip(spots) {
            black_box(egress.fold(delta, spot, |_| Group::UNDECLARED, |_, _| false));
        }
    }
}

/// The same deltas, days later.
fn later(deltas: &[FlowDelta], days: u64) -> Vec<FlowDelta> {
    let shift = Duration::from_secs(days * 86_400);
    let mut deltas = deltas.to_vec();
    for delta in &mut deltas {
        delta.started_at = delta.started_at.plus(shift);
        delta.last_at = delta.last_at.plus(shift);
    }
    deltas
}

const PACKETS: u64 = 200_000;
const GROUP: usize = 32;

criterion_group!(benches, bench);
criterion_main!(benches);
