//! What can be typed to evaluate.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use sekisho::config::Keys;
use sekisho::eval::{BUDGETS, Labels};
use sekisho::synth::office::{Office, Parameters};

use super::{Common, FormatArg};

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// Capture files, as for replay [default: those that the labels name]
    #[arg(value_name = "CAPTURE")]
    pub(crate) captures: Vec<PathBuf>,
    /// What the captures hold; its networks and its time zone go before all others
    #[arg(long, value_name = "FILE", required_unless_present = "office")]
    pub(crate) labels: Option<PathBuf>,
    /// Judge an office that is made up instead of captures; FILE says how it differs from the usual one
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with_all = ["labels", "captures"])]
    pub(crate) office: Option<Option<PathBuf>>,
    /// Seed of the office
    #[arg(long, value_name = "S", default_value_t = 1, requires = "office")]
    pub(crate) seed: u64,
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

    /// The office to make up, if one is asked for.
    pub(crate) fn office(&self) -> anyhow::Result<Option<Office>> {
        let Some(file) = &self.office else { return Ok(None) };
        let (text, name) = match file {
            Some(path) => (std::fs::read_to_string(path), path.display().to_string()),
            None => (Ok(String::new()), "the usual office".to_owned()),
        };
        let text = text.with_context(|| format!("{name}: cannot be read"))?;
        let office = Parameters::parse(&text).and_then(|like| Office::new(like, self.seed));
        Ok(Some(office.with_context(|| name)?))
    }
}

fn budget(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(budget) if budget > 0.0 && budget <= 10_000.0 => Ok(budget),
        _ => Err(format!("must be above 0 and at most 10000 (got {text:?})")),
    }
}
