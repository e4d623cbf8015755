//! What can be typed to evaluate.

use std::path::PathBuf;

use clap::Args;
use sekisho::config::Keys;
use sekisho::eval::{BUDGETS, Labels};
use sekisho::synth::office::{GRID, Office};

use super::{Common, FormatArg};

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// Capture files, as for replay [default: those that the labels name]
    #[arg(value_name = "CAPTURE")]
    pub(crate) captures: Vec<PathBuf>,
    /// What the captures hold; its networks and its time zone go before all others
    #[arg(long, value_name = "FILE", required_unless_present_any = ["office", "grid", "ramps"])]
    pub(crate) labels: Option<PathBuf>,
    /// Judge an office that is made up instead of captures; FILE says how it differs from the usual one
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with_all = ["labels", "captures"])]
    pub(crate) office: Option<Option<PathBuf>>,
    /// Workstations of the office [default: as in its file]
    #[arg(long, value_name = "N", conflicts_with_all = ["labels", "captures"])]
    hosts: Option<u32>,
    /// Days of the office [default: as in its file; 58 for a grid and ramps]
    #[arg(long, value_name = "N", conflicts_with_all = ["labels", "captures"])]
    days: Option<u32>,
    /// Seed of the office
    #[arg(long, value_name = "S", default_value_t = 1, conflicts_with_all = ["labels", "captures"])]
    pub(crate) seed: u64,
    /// Try uploads of every size, pace and kind in an office, each alone after four weeks of learning
    #[arg(long, conflicts_with_all = ["labels", "captures"])]
    pub(crate) grid: bool,
    /// Try uploads that grow from day to day in such an office, and the thefts that they prepare
    #[arg(long, conflicts_with_all = ["labels", "captures", "grid"])]
    pub(crate) ramps: bool,
    /// Uploads of the grid to try, evenly over size, pace and destination, or ramps [default: 648, or 36 ramps]
    #[arg(long, value_name = "N", conflicts_with_all = ["labels", "captures"])]
    uploads: Option<usize>,
    /// Let people answer each page on the day after: theft or benign, as the labels have it
    #[arg(long, conflicts_with = "ramps")]
    pub(crate) answered: bool,
    /// Alerts a day that you want to see [default: 1]
    #[arg(long, env = "SEKISHO_BUDGET", value_name = "N")]
    budget: Option<f64>,
    /// Other budgets to try [default: 0.1 to 100; 1, 5 and 20 for a grid and ramps]
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = budget)]
    budgets: Option<Vec<f64>>,
    /// How to tell
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    pub(crate) format: FormatArg,
    /// Write a page with plots as well
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl Eval {
    /// What was typed, as keys of the configuration.
    pub(crate) fn keys(&self) -> Keys {
        Keys { budget: self.budget, ..self.common.keys() }
    }

    /// The captures to read: those typed, or those that the labels name.
    pub(crate) fn files(&self, labels: &Labels) -> Vec<PathBuf> {
        if self.captures.is_empty() { labels.files.clone() } else { self.captures.clone() }
    }

    /// Are uploads tried one by one?
    fn is_tried(&self) -> bool {
        self.grid || self.ramps
    }

    /// How many uploads to try.
    pub(crate) fn uploads(&self) -> usize {
        self.uploads.unwrap_or(if self.ramps { RAMPS } else { UPLOADS })
    }

    /// The budgets of the curve.
    pub(crate) fn budgets(&self) -> Vec<f64> {
        let usual = if self.is_tried() { &GRID_BUDGETS[..] } else { &BUDGETS };
        self.budgets.clone().unwrap_or_else(|| usual.to_vec())
    }

    /// The office to make up, if one is asked for.
    pub(crate) fn office(&self) -> anyhow::Result<Option<Office>> {
        let file = match &self.office {
            None if !self.is_tried() => return Ok(None),
            file => file.as_ref().and_then(Option::as_ref),
        };
        let under = if self.is_tried() { GRID } else { "" };
        Ok(Some(super::synth::office(file, under, (self.hosts, self.days), self.seed)?))
    }
}

fn budget(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(budget) if budget > 0.0 && budget <= 10_000.0 => Ok(budget),
        _ => Err(format!("must be above 0 and at most 10000 (got {text:?})")),
    }
}

/// Eight for each size, pace and destination.
const UPLOADS: usize = 648;
/// Two for each growth, beginning and destination.
const RAMPS: usize = 36;

/// Budgets of a grid: each costs as much as the office takes to judge.
const GRID_BUDGETS: [f64; 3] = [1.0, 5.0, 20.0];
