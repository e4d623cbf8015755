//! What can be typed for `hosts` and `destinations`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sekisho::census::Order;
use sekisho::config::Keys;

use super::Common;

/// Which of the two is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    Hosts,
    Destinations,
}

#[derive(Debug, Args)]
pub(crate) struct Census {
    /// Capture files (pcap, pcapng, each also .gz or .zst), folders of them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How to tell
    #[arg(long, value_enum, default_value_t = CensusFormatArg::Text)]
    pub(crate) format: CensusFormatArg,
    /// What comes first
    #[arg(long, value_enum, default_value_t = OrderArg::BytesOut)]
    pub(crate) sort: OrderArg,
    /// Print so many of them [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl Census {
    /// What was typed, as keys of the configuration.
    pub(crate) fn keys(&self) -> Keys {
        self.common.keys()
    }
}

/// As of `flows`, apart from `--format` of those that judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CensusFormatArg {
    /// A table
    Text,
    /// JSON lines
    Json,
    /// Comma-separated values with a header
    Csv,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OrderArg {
    /// Most bytes out
    BytesOut,
    /// Most bytes in
    BytesIn,
    /// Most flows
    Flows,
    /// Most destinations of a host, or hosts of a destination
    Peers,
    /// Largest producer–consumer ratio
    Pcr,
    /// Seen first
    First,
    /// Seen last
    Last,
    /// Address or name
    Name,
}

impl From<OrderArg> for Order {
    fn from(order: OrderArg) -> Self {
        match order {
            OrderArg::BytesOut => Self::BytesOut,
            OrderArg::BytesIn => Self::BytesIn,
            OrderArg::Flows => Self::Flows,
            OrderArg::Peers => Self::Peers,
            OrderArg::Pcr => Self::Pcr,
            OrderArg::First => Self::First,
            OrderArg::Last => Self::Last,
            OrderArg::Name => Self::Name,
        }
    }
}
