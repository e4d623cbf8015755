//! What can be typed to evaluate.

use std::path::PathBuf;

use clap::Args;
use sekisho::config::Keys;
use sekisho::eval::{BUDGETS, Labels};

use super::{Common, FormatArg};

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// Capture files, as for replay [default: those that the labels name]
    #[arg(value_name = "CAPTURE")]
    pub(crate) captures: Vec<PathBuf>,
    /// What the captures hold; its networks and its time zone go before all others
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: PathBuf,
    /// Alerts a day that you want to see [default: 1]
    #[arg(long, env = "SEKISHO_BUDGET", value_name = "N")]
    budget: Option<f64>,
    /// Other budgets to try
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = budget, default_values_t = BUDGETS)]
    pub(crate) budgets: Vec<f64>,
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
}

fn budget(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(budget) if budget > 0.0 && budget <= 10_000.0 => Ok(budget),
        _ => Err(format!("must be above 0 and at most 10000 (got {text:?})")),
    }
}
