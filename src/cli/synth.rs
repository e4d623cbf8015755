//! What can be typed to make traffic up.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use sekisho::rules::Period;
use sekisho::synth::office::{GRID, Injections, Office, Parameters};
use sekisho::synth::{self, Kind, LookupOptions};

#[derive(Debug, Subcommand)]
pub(crate) enum Synth {
    /// Frames of 64 bytes, spread evenly over all flows
    Min(Plain),
    /// An office: TLS, HTTP, QUIC, DNS, SMB, ping
    Mix(Plain),
    /// A few large uploads in full frames
    Bulk(Plain),
    /// Every packet opens a flow of its own
    Flows(Plain),
    /// Names asked for, with data hidden in some of them
    Dns(Names),
    /// The days of an office with habits, as `eval --office` judges them
    Office(OfficeDays),
}

/// Traffic of one kind.
#[derive(Debug, Args)]
pub(crate) struct Plain {
    /// Packets in all
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    packets: u64,
    /// Flows in all [default: as usual for the kind]
    #[arg(long, value_name = "N")]
    flows: Option<u64>,
    /// Inside hosts that open them [default: as usual for the kind]
    #[arg(long, value_name = "N")]
    hosts: Option<u32>,
    /// Packets in a second of packet time [default: as usual for the kind]
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// Other seeds, other traffic
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The pcap file to write
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// Lookups of names.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Bytes a second that one host hides in names; 0 for none
    #[arg(long, value_name = "BYTES", default_value_t = 50.0)]
    rate: f64,
    /// How long
    #[arg(long, value_name = "LENGTH", default_value = "1h")]
    duration: Period,
    /// Hosts that ask as everybody does
    #[arg(long, value_name = "N", default_value_t = 100)]
    hosts: u32,
    /// Other seeds, other names
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The pcap file to write
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// Days of an office.
#[derive(Debug, Args)]
pub(crate) struct OfficeDays {
    /// How it differs from the usual office
    #[arg(long, value_name = "FILE")]
    like: Option<PathBuf>,
    /// Workstations [default: as in the file]
    #[arg(long, value_name = "N")]
    hosts: Option<u32>,
    /// Days [default: as in the file]
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// Bytes of each frame to write at most; its true length stands beside [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(64..))]
    snap: Option<u16>,
    /// Other seeds, other offices
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Lay the uploads of this report of `eval --grid --format json`, or of a part of it, over the office instead
    /// of its thefts
    #[arg(long, value_name = "FILE")]
    inject: Option<PathBuf>,
    /// Write what must be found in it as well, for `eval --labels`
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// The pcap file to write
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

impl Plain {
    pub(crate) fn options(&self, kind: Kind) -> synth::Options {
        let mut options = kind.options(self.packets);
        options.flows = self.flows.unwrap_or(options.flows);
        options.hosts = self.hosts.unwrap_or(options.hosts);
        options.rate = self.rate.unwrap_or(options.rate);
        options.seed = self.seed;
        options
    }
}

impl Names {
    pub(crate) fn options(&self) -> LookupOptions {
        let Self { rate, hosts, seed, .. } = *self;
        LookupOptions { hosts, rate, length: self.duration.0, seed }
    }
}

impl OfficeDays {
    pub(crate) fn office(&self) -> anyhow::Result<Office> {
        let under = if self.inject.is_some() { GRID } else { "" };
        let office = office(self.like.as_ref(), under, (self.hosts, self.days), self.seed)?;
        let Some(path) = &self.inject else { return Ok(office) };
        let name = || path.display().to_string();
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", name()))?;
        let injections: Injections = serde_json::from_str(&text).with_context(name)?;
        if injections.seed != self.seed {
            return Err(anyhow!("{}: is of seed {1}; give --seed {1}", name(), injections.seed));
        }
        Ok(office.with(injections.uploads()))
    }

    /// Bytes of a frame to keep.
    pub(crate) fn snap(&self) -> usize {
        self.snap.map_or(usize::MAX, usize::from)
    }
}

/// The office of a file, or the usual one, laid over what is `under` it, of another size if one was typed.
pub(super) fn office(
    file: Option<&PathBuf>,
    under: &str,
    (hosts, days): (Option<u32>, Option<u32>),
    seed: u64,
) -> anyhow::Result<Office> {
    let (text, name) = match file {
        Some(path) => (std::fs::read_to_string(path), path.display().to_string()),
        None => (Ok(String::new()), "the usual office".to_owned()),
    };
    let text = text.with_context(|| format!("{name}: cannot be read"))?;
    let days = days.map(|days| format!("days = {days}\n")).unwrap_or_default();
    let hosts = hosts.map(|hosts| format!("[hosts]\nworkstations = {hosts}")).unwrap_or_default();
    let like = Parameters::layered(&[under, &text, &(days + &hosts)]);
    like.and_then(|like| Office::new(like, seed)).context(name)
}
