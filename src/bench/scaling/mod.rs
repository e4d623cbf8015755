//! How costs grow: with the flows in the table, the hosts inside, the history behind.
//!
//! The traffic is made up in memory, seeded; making it is not measured. Times are CPU time.

mod deltas;
mod flows;
mod history;
mod hosts;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::BenchError;
use super::machine::{Heap, Machine, available_bytes};
use crate::engine::{self, Run};

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// Flows in the table.
    Flows,
    /// Inside hosts, each with ten destinations.
    Hosts,
    /// Hours that were learned from.
    History,
}

impl Axis {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::Hosts => "hosts",
            Self::History => "hours of history",
        }
    }
}

/// What to measure, and how far.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What grows.
    pub axis: Axis,
    /// Up to this many of it.
    pub most: Option<u64>,
    /// Seed of the traffic.
    pub seed: u64,
    /// How flows are kept; limits are raised to fit.
    pub run: Run,
    /// How verdicts are made; limits are raised to fit.
    pub analyst: engine::Options,
    /// What the process has taken from its allocator so far.
    pub heap: fn() -> Heap,
}

/// How costs grow, `sekisho.scaling/1`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Scaling {
    /// Always `sekisho.scaling/1`.
    pub schema: &'static str,
    /// The machine and the program.
    pub machine: Machine,
    /// What grows.
    pub axis: Axis,
    /// Seed of the traffic.
    pub seed: u64,
    /// What was measured, each over what grows.
    pub series: Vec<Series>,
    /// What the reader must know, one sentence each.
    pub notices: Vec<String>,
}

/// One thing measured at several sizes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Series {
    /// What.
    pub name: String,
    /// In what: `ns`, `ms` or `bytes`.
    pub unit: String,
    /// Where it should stay below, and at which size.
    pub goal: Option<Point>,
    /// From small to large.
    pub points: Vec<Point>,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Point {
    /// How many of what grows.
    pub x: u64,
    /// What was measured.
    pub y: f64,
}

/// Measures one size after the other. `tell` hears which.
///
/// # Errors
/// When there is no such traffic.
pub fn run(plan: &Plan, mut tell: impl FnMut(&str)) -> Result<Scaling, BenchError> {
    let mut scaling = Scaling {
        schema: "sekisho.scaling/1",
        machine: Machine::here(),
        axis: plan.axis,
        seed: plan.seed,
        series: Vec::new(),
        notices: Vec::new(),
    };
    let (sizes, bytes_each): (&[u64], u64) = match plan.axis {
        Axis::Flows => (&flows::SIZES, flows::BYTES_EACH),
        Axis::Hosts => (&hosts::SIZES, hosts::BYTES_EACH),
        Axis::History => (&history::SIZES, 0),
    };
    let most = plan.most.unwrap_or(u64::MAX);
    let sizes: Vec<u64> = sizes.iter().copied().filter(|&size| size <= most).collect();
    if plan.axis == Axis::History {
        history::measure(plan, &sizes, &mut scaling, &mut tell)?;
        return Ok(scaling);
    }
    for size in sizes {
        let (need, free) = (size * bytes_each, available_bytes());
        if free > 0 && need > free {
            scaling.notices.push(format!(
                "stopped before {size} {}: they may take {need} bytes of memory, {free} are free",
                plan.axis.name()
            ));
            break;
        }
        tell(&format!("{size} {}", plan.axis.name()));
        match plan.axis {
            Axis::Flows => flows::measure(plan, size, &mut scaling)?,
            Axis::Hosts | Axis::History => hosts::measure(plan, size, &mut scaling)?,
        }
    }
    Ok(scaling)
}

impl Scaling {
    /// Adds a point to the series of this name.
    fn add(&mut self, (name, unit): (&str, &str), x: u64, y: f64) {
        let point = Point { x, y };
        match self.series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => self.series.push(Series {
                name: name.to_owned(),
                unit: unit.to_owned(),
                goal: None,
                points: vec![point],
            }),
        }
    }

    /// Says where the series of this name should stay below.
    fn aim(&mut self, name: &str, x: u64, y: f64) {
        for series in self.series.iter_mut().filter(|series| series.name == name) {
            series.goal = Some(Point { x, y });
        }
    }
}
