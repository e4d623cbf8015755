//! Recorded traffic through the stages, loop after loop, in turn with those who only read it.

use std::path::PathBuf;

use hdrhistogram::Histogram;

use super::analyst;
use super::clock::Spent;
use super::error::BenchError;
use super::feed::{Held, Latencies};
use super::machine::{Heap, Machine};
use super::pass::{Counted, Pass};
use super::reference;
use super::report::{Cost, Input, Latency, Percentiles, Reference, Report, Run, StageCost};
use super::stage::{Medium, Stage};
use super::stats::Measured;
use crate::capture::{self, FileSource, Polled, Source};
use crate::engine;
use crate::frame::{Batch, FrameHead};
use crate::time::Timestamp;

/// What to measure, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Capture files, folders of them.
    pub files: Vec<PathBuf>,
    /// Which frames are taken.
    pub capture: capture::Options,
    /// How flows are kept, by how many workers.
    pub run: engine::Run,
    /// How verdicts are made.
    pub analyst: engine::Options,
    /// Stages to measure, at least one.
    pub stages: Vec<Stage>,
    /// Where from, at least one.
    pub media: Vec<Medium>,
    /// How often; at least once.
    pub loops: usize,
    /// 0: as fast as possible; else how many times as fast as recorded. Then the last stage alone is run.
    pub speed: f64,
    /// Bytes that frames held in memory may take.
    pub memory_max: u64,
    /// What the process has taken from its allocator so far.
    pub heap: fn() -> Heap,
}

/// Measures. `tell` hears what is being done.
///
/// # Errors
/// When the files cannot be read, hold no packet, or change meanwhile.
pub fn run(plan: &Plan, mut tell: impl FnMut(&str)) -> Result<Report, BenchError> {
    if plan.files.iter().any(|file| file.as_os_str() == "-") {
        return Err(BenchError::StandardInput);
    }
    let machine = Machine::here();
    tell("looking at the input");
    let (input, notices) = survey(plan)?;
    let mut report = Report {
        machine,
        input,
        workers: plan.run.workers,
        loops: plan.loops,
        speed: plan.speed,
        notices,
        ..Report::default()
    };
    // From disk first: what is held in memory would be part of its peak.
    let mut media = plan.media.clone();
    media.sort_unstable();
    media.dedup();
    let mut references = References::default();
    let mut held = Vec::new();
    for &medium in &media {
        if medium == Medium::Memory {
            match hold(plan) {
                Err(BenchError::TooLarge { max }) if media.len() > 1 => {
                    report.notices.push(format!(
                        "not measured from memory: the input takes more than --memory-max, {max} bytes"
                    ));
                    continue;
                }
                outcome => held = outcome?,
            }
        }
        report.runs.push(measure(plan, medium, &held, &report.input, &mut references, &mut tell)?);
    }
    report.reference = references.costs(report.input.packets);
    if plan.speed == 0.0 && plan.stages.contains(&Stage::Detect) {
        tell("the analyst alone");
        let mut source = FileSource::open(&plan.files, plan.capture.clone())?;
        report.analyst = Some(analyst::measure(plan, &mut source)?);
    }
    Ok(report)
}

/// What the input is; leaves it in the page cache.
fn survey(plan: &Plan) -> Result<(Input, Vec<String>), BenchError> {
    let mut source = FileSource::open(&plan.files, plan.capture.clone())?;
    let mut span: Option<(Timestamp, Timestamp)> = None;
    let mut batch = Batch::default();
    while source.poll(&mut batch)? != Polled::End {
        for &FrameHead { at, .. } in &batch.heads {
            span = Some(span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        }
        batch.clear();
    }
    let counters = source.counters();
    let Some((first, last)) = span else { return Err(BenchError::Empty) };
    let input = Input {
        files: plan.files.iter().map(|file| file.display().to_string()).collect(),
        packets: counters.frames,
        bytes_captured: counters.captured_bytes,
        bytes_wire: counters.wire_bytes,
        bytes_files: source.total_bytes(),
        span_secs: last.since(first).as_secs_f64(),
        first: Some(first.to_string()),
    };
    Ok((input, source.notices().iter().map(ToString::to_string).collect()))
}

/// All batches of the input, as the reader of files cuts them.
fn hold(plan: &Plan) -> Result<Vec<Batch>, BenchError> {
    let mut source = FileSource::open(&plan.files, plan.capture.clone())?;
    let (mut batches, mut bytes) = (Vec::new(), 0);
    let mut batch = Batch::default();
    while source.poll(&mut batch)? != Polled::End {
        // A copy is as large as what is in it.
        batches.push(batch.clone());
        bytes += held_bytes(&batch);
        if bytes > plan.memory_max {
            return Err(BenchError::TooLarge { max: plan.memory_max });
        }
        batch.clear();
    }
    Ok(batches)
}

fn held_bytes(batch: &Batch) -> u64 {
    (batch.bytes.len() + batch.heads.len() * size_of::<FrameHead>()) as u64
}

/// All passes from one place.
fn measure(
    plan: &Plan,
    medium: Medium,
    held: &[Batch],
    input: &Input,
    references: &mut References,
    tell: &mut impl FnMut(&str),
) -> Result<Run, BenchError> {
    let stages = stages(plan);
    let mut passes: Vec<Vec<Pass>> = stages.iter().map(|_| Vec::new()).collect();
    let mut beside = References::default();
    for turn in 1..=plan.loops {
        if plan.speed == 0.0 {
            beside.measure(plan)?;
        }
        for (stage, passes) in stages.iter().zip(&mut passes) {
            tell(&format!("{turn} of {}: {} from {}", plan.loops, stage.name(), medium.name()));
            passes.push(match medium {
                Medium::Disk => Pass::run(plan, *stage, input.packets, || {
                    Ok(FileSource::open(&plan.files, plan.capture.clone())?)
                }),
                Medium::Memory => {
                    Pass::run(plan, *stage, input.packets, || Ok(Held { batches: held.iter() }))
                }
            }?);
        }
    }
    let reference = beside.costs(input.packets);
    let mut costs: Vec<StageCost> = Vec::new();
    for (stage, passes) in stages.iter().zip(&passes) {
        let before = costs.last().map(|cost| &cost.total);
        costs.push(stage_cost(*stage, passes, before, reference.as_ref(), input));
    }
    references.add(beside);
    let counted = |of: fn(&Counted) -> u64, from: Stage| {
        let reached = stages.iter().any(|stage| *stage >= from);
        let last = passes.iter().flatten().map(|pass| of(&pass.counted)).max();
        last.filter(|_| reached)
    };
    let mut latencies = Latencies::default();
    passes.iter().last().into_iter().flatten().for_each(|pass| latencies.add(&pass.latencies));
    Ok(Run {
        from: medium,
        stages: costs,
        held_bytes: held.iter().map(held_bytes).sum(),
        flows: counted(|counted| counted.flows, Stage::Flow),
        deltas: counted(|counted| counted.deltas, Stage::Flow).filter(|&deltas| deltas > 0),
        hosts: counted(|counted| counted.hosts, Stage::Egress),
        rejected: counted(|counted| counted.rejected, Stage::Decode),
        latency: latency(&latencies),
    })
}

/// The stages in order; paced, only the last of them.
fn stages(plan: &Plan) -> Vec<Stage> {
    let mut stages = plan.stages.clone();
    stages.sort_unstable();
    stages.dedup();
    if plan.speed > 0.0 {
        stages.drain(..stages.len().saturating_sub(1));
    }
    stages
}

fn stage_cost(
    stage: Stage,
    passes: &[Pass],
    before: Option<&Cost>,
    reference: Option<&Reference>,
    input: &Input,
) -> StageCost {
    let total = Cost::of(passes.iter().map(|pass| pass.spent), input.packets);
    let own = before.map_or_else(|| total.clone(), |before| total.without(before));
    let packets_per_sec = 1e9 / total.wall_ns.median.max(1e-9);
    let bits = input.bytes_wire as f64 * 8.0 / input.packets as f64;
    let last = passes.last();
    let by = |cost: &Cost| total.cpu_ns.pairwise(&cost.cpu_ns, |own, other| own / other.max(1e-9));
    StageCost {
        stage,
        packets: last.map_or(0, |pass| pass.packets),
        packets_per_sec,
        gbit_per_sec: packets_per_sec * bits / 1e9,
        own,
        allocations_per_packet: last.map_or(0.0, |pass| pass.allocations.0),
        allocations_per_packet_steady: last.map_or(0.0, |pass| pass.allocations.1),
        peak_bytes: passes.first().map_or(0, |pass| pass.peak_bytes),
        by_libpcap: reference.and_then(|reference| reference.libpcap.as_ref()).map(by),
        by_bare_read: reference.map(|reference| by(&reference.bare_read)),
        total,
    }
}

impl Cost {
    fn of(spent: impl Iterator<Item = Spent> + Clone, packets: u64) -> Self {
        let per_packet = |spent: std::time::Duration| spent.as_nanos() as f64 / packets as f64;
        Self {
            wall_ns: Measured::of(spent.clone().map(|spent| per_packet(spent.wall)).collect()),
            cpu_ns: Measured::of(spent.map(|spent| per_packet(spent.cpu)).collect()),
        }
    }

    fn without(&self, before: &Self) -> Self {
        let difference = |after, before| after - before;
        Self {
            wall_ns: self.wall_ns.pairwise(&before.wall_ns, difference),
            cpu_ns: self.cpu_ns.pairwise(&before.cpu_ns, difference),
        }
    }
}

/// What others took, loop by loop.
#[derive(Debug, Default)]
struct References {
    bare_reads: Vec<Spent>,
    libpcap: Vec<Spent>,
}

impl References {
    fn measure(&mut self, plan: &Plan) -> Result<(), BenchError> {
        let files: Vec<PathBuf> =
            plan.files.iter().filter(|file| file.is_file()).cloned().collect();
        self.bare_reads.push(reference::bare_read(&files)?.1);
        self.libpcap.extend(reference::libpcap_loop(&files).map(|(_, spent)| spent));
        Ok(())
    }

    fn add(&mut self, more: Self) {
        self.bare_reads.extend(more.bare_reads);
        self.libpcap.extend(more.libpcap);
    }

    fn costs(&self, packets: u64) -> Option<Reference> {
        let cost =
            |spent: &[Spent]| (!spent.is_empty()).then(|| Cost::of(spent.iter().copied(), packets));
        Some(Reference { bare_read: cost(&self.bare_reads)?, libpcap: cost(&self.libpcap) })
    }
}

fn latency(latencies: &Latencies) -> Latency {
    let percentiles = |histogram: &Histogram<u64>| Percentiles {
        p50: histogram.value_at_quantile(0.5),
        p90: histogram.value_at_quantile(0.9),
        p99: histogram.value_at_quantile(0.99),
        p999: histogram.value_at_quantile(0.999),
        max: histogram.max(),
    };
    Latency {
        batches: latencies.batch.len(),
        batch_ns: percentiles(&latencies.batch),
        packet_ns: percentiles(&latencies.packet),
        late_ns: (!latencies.late.is_empty()).then(|| percentiles(&latencies.late)),
    }
}
