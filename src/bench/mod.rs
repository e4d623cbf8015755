//! Measures this machine: what each stage costs on recorded traffic, how late a batch is judged, and
//! how the costs grow. docs/performance.md says what every figure means.
//!
//! A stage is measured as the difference of two passes: one through all stages up to it, one through
//! those before it. Passes are run in turn, loop after loop, beside a bare read of the same bytes and
//! libpcap's own loop, because on a shared machine only ratios of runs made in turn mean anything.

mod analyst;
mod clock;
mod compare;
mod error;
mod feed;
mod machine;
mod pass;
mod plot;
mod reference;
mod replay;
mod report;
pub mod scaling;
mod stage;
mod stats;
mod text;

pub use compare::{Change, Comparison, Verdict};
pub use error::BenchError;
pub use machine::{Heap, Machine};
pub use replay::{Plan, run};
pub use report::{
    AnalystCost, Cost, Input, Latency, Percentiles, Reference, Report, Run, StageCost,
};
pub use stage::{Medium, Stage};
pub use stats::Measured;
