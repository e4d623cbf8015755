//! What can be typed after `watch` and `interfaces`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sekisho::config::Keys;
use sekisho::rules::Period;

use super::{Common, EvidenceArgs, Memory, Verdict};

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Interfaces to capture from; those that are missing or down are waited for
    #[arg(
        short,
        long = "interface",
        env = "SEKISHO_INTERFACE",
        value_name = "IFACE,...",
        value_delimiter = ','
    )]
    interfaces: Option<Vec<String>>,
    /// End after this long, as in 8h
    #[arg(long, value_name = "LENGTH")]
    pub(crate) duration: Option<Period>,
    /// Kernel memory for packets of each interface that wait to be looked at [default: 64MiB]
    #[arg(long, env = "SEKISHO_RING_BUFFER", value_name = "SIZE")]
    ring_buffer: Option<String>,
    /// Bytes to capture of a frame [default: 16384]
    #[arg(long, env = "SEKISHO_SNAP_LENGTH", value_name = "BYTES")]
    snap_length: Option<u32>,
    /// Write metrics to this file every five seconds, as Prometheus reads them
    #[arg(long, env = "SEKISHO_METRICS", value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Record what is captured in this file (pcapng): replayed, it gives the same
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) verdict: Verdict,
    #[command(flatten)]
    pub(crate) memory: Memory,
    #[command(flatten)]
    evidence: EvidenceArgs,
}

impl Watch {
    /// What was typed, as keys of the configuration.
    pub(crate) fn keys(&self) -> Keys {
        Keys {
            interfaces: self.interfaces.clone(),
            ring_buffer: self.ring_buffer.clone(),
            snap_length: self.snap_length,
            metrics: self.metrics.clone(),
            evidence: self.evidence.keys(),
            ..self.verdict.keys(&self.common)
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ListInterfaces {
    /// How to tell
    #[arg(long, value_enum, default_value_t = ListFormatArg::Text)]
    pub(crate) format: ListFormatArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ListFormatArg {
    /// For people
    Text,
    /// For programs
    Json,
}
