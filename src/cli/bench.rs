//! What can be typed to measure, and to make what is measured.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sekisho::bench::{Medium, Stage, scaling};
use sekisho::config::Keys;

use super::{Common, FormatArg};

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Capture files (pcap, pcapng, each also .gz or .zst), folders of them
    #[arg(value_name = "FILE", required_unless_present_any = ["scaling", "compare"])]
    pub(crate) files: Vec<PathBuf>,
    /// Stages to measure, each as the difference to the one measured before it
    #[arg(
        long,
        value_enum,
        value_name = "STAGE,...",
        value_delimiter = ',',
        default_value = "all"
    )]
    pub(crate) stages: Vec<StageArg>,
    /// Where frames are taken from [default: both; paced, disk]
    #[arg(long, value_enum, value_name = "PLACE,...", value_delimiter = ',')]
    pub(crate) from: Vec<MediumArg>,
    /// How often each pass is run, all in turn [default: 5; paced, 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) loops: Option<u16>,
    /// 0 as fast as possible, 1 as recorded, 10 ten times as fast
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = speed, allow_negative_numbers = true)]
    pub(crate) speed: f64,
    /// Memory that frames may take when they are replayed from there
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 30)]
    pub(crate) memory_max: u64,
    /// Measure how costs grow with this, on traffic made up
    #[arg(long, value_enum, conflicts_with_all = ["files", "compare"])]
    pub(crate) scaling: Option<AxisArg>,
    /// Grow up to this [default: as far as memory allows]
    #[arg(long, value_name = "N", requires = "scaling")]
    pub(crate) scaling_max: Option<u64>,
    /// Seed of the traffic made up
    #[arg(long, value_name = "S", default_value_t = 1, requires = "scaling")]
    pub(crate) seed: u64,
    /// Draw the growth as SVG
    #[arg(long, value_name = "FILE", requires = "scaling")]
    pub(crate) plot: Option<PathBuf>,
    /// Compare two reports written with --format json
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "files")]
    pub(crate) compare: Option<Vec<PathBuf>>,
    /// How to tell
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    pub(crate) format: FormatArg,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl Bench {
    /// What was typed, as keys of the configuration. One worker, unless it is said otherwise.
    pub(crate) fn keys(&self) -> Keys {
        let keys = self.common.keys();
        Keys { workers: keys.workers.clone().or_else(|| Some("1".to_owned())), ..keys }
    }

    pub(crate) fn stages(&self) -> Vec<Stage> {
        self.stages.iter().flat_map(|stage| stage.stages()).copied().collect()
    }

    pub(crate) fn media(&self) -> Vec<Medium> {
        let both = [MediumArg::Disk, MediumArg::Memory];
        let chosen = match &self.from[..] {
            [] if self.speed > 0.0 => &both[..1],
            [] => &both[..],
            chosen => chosen,
        };
        chosen.iter().map(|&medium| medium.into()).collect()
    }

    pub(crate) fn loops(&self) -> usize {
        self.loops.map_or(if self.speed > 0.0 { 1 } else { 5 }, usize::from)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StageArg {
    /// Every stage
    All,
    /// Bytes to frames
    Read,
    /// Frames to segments
    Decode,
    /// Segments to flows
    Flow,
    /// First bytes of flows to names and services
    Names,
    /// Flows to sums of hosts and destinations
    Egress,
    /// Sums to verdicts
    Detect,
}

impl StageArg {
    fn stages(self) -> &'static [Stage] {
        match self {
            Self::All => &Stage::ALL,
            Self::Read => &[Stage::Read],
            Self::Decode => &[Stage::Decode],
            Self::Flow => &[Stage::Flow],
            Self::Names => &[Stage::Names],
            Self::Egress => &[Stage::Egress],
            Self::Detect => &[Stage::Detect],
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum MediumArg {
    /// The files, in the page cache
    Disk,
    /// Memory
    Memory,
}

impl From<MediumArg> for Medium {
    fn from(medium: MediumArg) -> Self {
        match medium {
            MediumArg::Disk => Self::Disk,
            MediumArg::Memory => Self::Memory,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum AxisArg {
    /// Flows in the table
    Flows,
    /// Inside hosts
    Hosts,
    /// Hours of history behind
    History,
}

impl From<AxisArg> for scaling::Axis {
    fn from(axis: AxisArg) -> Self {
        match axis {
            AxisArg::Flows => Self::Flows,
            AxisArg::Hosts => Self::Hosts,
            AxisArg::History => Self::History,
        }
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed @ 0.0..=1e6) => Ok(speed),
        _ => Err(format!("must be 0 to 1000000 (got {text:?})")),
    }
}
