//! Two reports side by side: what is a difference, and what is noise.

use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::error::BenchError;
use super::report::{Reference, Report, Run};
use super::stage::{Medium, Stage};
use super::stats::Measured;

/// Two reports, stage by stage, `sekisho.comparison/1`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// Always `sekisho.comparison/1`.
    pub schema: &'static str,
    /// What is in both reports.
    pub changes: Vec<Change>,
    /// What the reader must know, one sentence each.
    pub notices: Vec<String>,
}

/// A stage in both reports. CPU time for each packet, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Change {
    /// Where the frames lay.
    pub from: Medium,
    /// The stage by itself; none for all of them together.
    pub stage: Option<Stage>,
    /// Before.
    pub old_ns: f64,
    /// After.
    pub new_ns: f64,
    /// After by before.
    pub ratio: f64,
    /// How far `ratio` may be from 1 by chance alone.
    pub noise: f64,
    /// `ratio` by that of the reference, which tells how the machine itself has changed.
    pub corrected: Option<f64>,
    /// What it means.
    pub verdict: Verdict,
}

/// What a change means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It takes less.
    Faster,
    /// It takes more.
    Slower,
    /// Chance does as much.
    Noise,
    /// The machine has changed by as much.
    Machine,
}

impl Verdict {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "SLOWER",
            Self::Noise => "noise",
            Self::Machine => "noise: the machine itself has changed",
        }
    }
}

impl Report {
    /// Reads a report that was written as JSON.
    ///
    /// # Errors
    /// When the file cannot be read or is no report.
    pub fn read(path: &Path) -> Result<Self, BenchError> {
        let text = fs::read_to_string(path)
            .map_err(|source| BenchError::Unreadable { path: path.to_owned(), source })?;
        serde_json::from_str(&text).map_err(|error| BenchError::NoReport {
            path: path.to_owned(),
            message: error.to_string(),
        })
    }
}

impl Comparison {
    /// Compares what both reports measured.
    pub fn of(old: &Report, new: &Report) -> Self {
        let machine = old.reference.as_ref().zip(new.reference.as_ref()).map(machine_ratio);
        let mut changes = Vec::new();
        for new_run in &new.runs {
            let Some(old_run) = old.runs.iter().find(|run| run.from == new_run.from) else {
                continue;
            };
            changes.extend(run_changes(old_run, new_run, machine));
        }
        Self { schema: "sekisho.comparison/1", changes, notices: notices(old, new) }
    }
}

/// Stage by stage, then all together.
fn run_changes(old: &Run, new: &Run, machine: Option<(f64, f64)>) -> Vec<Change> {
    let from = new.from;
    let mut changes = Vec::new();
    for cost in &new.stages {
        if let Some(before) = old.stages.iter().find(|before| before.stage == cost.stage) {
            let (before, after) = (&before.own.cpu_ns, &cost.own.cpu_ns);
            changes.push(Change::of((from, Some(cost.stage)), before, after, machine));
        }
    }
    if let (Some(before), Some(cost)) = (old.stages.last(), new.stages.last())
        && before.stage == cost.stage
    {
        let (before, after) = (&before.total.cpu_ns, &cost.total.cpu_ns);
        changes.push(Change::of((from, None), before, after, machine));
    }
    changes
}

impl Change {
    fn of(
        (from, stage): (Medium, Option<Stage>),
        old: &Measured,
        new: &Measured,
        machine: Option<(f64, f64)>,
    ) -> Self {
        let (old_ns, new_ns) = (old.median, new.median);
        // A stage that costs less than the noise of its neighbours may come out below zero.
        let is_sound = old_ns > 0.0 && new_ns > 0.0;
        let ratio = if is_sound { new_ns / old_ns } else { 1.0 };
        let few = old.samples.len().min(new.samples.len()) < LOOPS_MIN;
        let floor = if few { NOISE_OF_FEW } else { NOISE_MIN };
        let noise = (SIGMAS * old.noise().hypot(new.noise())).max(floor);
        let corrected = machine.map(|(by, _)| ratio / by).filter(|_| is_sound);
        let differs = |ratio: f64, noise: f64| ratio.ln().abs() > noise.ln_1p();
        let is_different = is_sound && differs(ratio, noise);
        let machine_noise = machine.map_or(0.0, |(_, noise)| noise);
        let stays_different = corrected.is_none_or(|corrected| {
            differs(corrected, noise.hypot(machine_noise)) && (corrected > 1.0) == (ratio > 1.0)
        });
        let verdict = match (is_different, stays_different) {
            (false, _) => Verdict::Noise,
            (true, false) => Verdict::Machine,
            (true, true) if ratio > 1.0 => Verdict::Slower,
            (true, true) => Verdict::Faster,
        };
        Self { from, stage, old_ns, new_ns, ratio, noise, corrected, verdict }
    }
}

/// How the machine has changed, by the reference nearest to our work, and the noise of that.
fn machine_ratio((old, new): (&Reference, &Reference)) -> (f64, f64) {
    let (old, new) = match (&old.libpcap, &new.libpcap) {
        (Some(old), Some(new)) => (&old.cpu_ns, &new.cpu_ns),
        _ => (&old.bare_read.cpu_ns, &new.bare_read.cpu_ns),
    };
    (new.median.max(1e-9) / old.median.max(1e-9), SIGMAS * old.noise().hypot(new.noise()))
}

fn notices(old: &Report, new: &Report) -> Vec<String> {
    let mut notices = Vec::new();
    let mut differ = |what: &str, old: &str, new: &str| {
        if old != new {
            notices.push(format!("{what} differs: {old}, then {new}"));
        }
    };
    differ("the processor", &old.machine.cpu, &new.machine.cpu);
    differ("the kernel", &old.machine.kernel, &new.machine.kernel);
    differ("the build", &old.machine.profile, &new.machine.profile);
    differ("the number of workers", &old.workers.to_string(), &new.workers.to_string());
    differ("the pace", &old.speed.to_string(), &new.speed.to_string());
    differ("the number of packets", &old.input.packets.to_string(), &new.input.packets.to_string());
    if old.loops.min(new.loops) < LOOPS_MIN {
        notices.push(format!(
            "fewer than {LOOPS_MIN} loops: differences below {:.0} % cannot be told from noise",
            NOISE_OF_FEW * 100.0
        ));
    }
    notices
}

/// Standard errors that chance alone hardly reaches.
const SIGMAS: f64 = 3.0;
/// Two builds of one source differ by this much for where their code happens to lie (Mytkowicz and
/// others, ASPLOS 2009).
const NOISE_MIN: f64 = 0.03;
/// What is taken for noise when too few loops tell it.
const NOISE_OF_FEW: f64 = 0.3;
const LOOPS_MIN: usize = 3;
