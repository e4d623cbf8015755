//! The yardstick: what would have been found in labelled captures, how early, and how often it would have
//! cried wolf. docs/eval.md says how each figure comes about.
//!
//! The captures are counted once, all merged in packet time. Every budget and every fixed rule is a
//! [`course::Course`] that is fed the same deltas, learns and judges from the first packet on, and never
//! sees a label: [`truth`] counts what each incident has sent, [`matching`] says which alert is about
//! which incident, and [`score`] adds up.

mod course;
mod error;
mod fixed_rules;
pub mod grid;
mod ground;
mod host_days;
mod html;
mod judge;
mod labels;
mod matching;
mod notes;
mod report;
mod review;
mod run;
mod score;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod truth;

pub use error::EvalError;
pub use labels::{Expected, Label, Labels, LabelsFile, Occasion};
pub use report::{
    DayCount, Detection, FalseAlert, Flagged, Incident, Input, Outcome, Point, Rank, Report,
    RuleReport, Tally, Verdict,
};
pub use run::{BUDGETS, Plan, Traffic, run};
pub use timeline::{Moment, TermBits};
