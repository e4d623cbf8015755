//! Findings to incidents: what a human is told, when, and how often.

mod budget;
mod incident;
mod incidents;
mod ranking;
mod record;
mod scene;
mod summary;
mod text;

pub use budget::Budget;
pub use incidents::{Incidents, Labels, MachineFacts, Options, Settled, Verdict};
pub use ranking::{Ranking, RankingEntry};
pub use record::{
    Alert, ClosedBecause, Counterfactual, DestinationFacts, FlowFacts, Health, HostFacts, Kind,
    Pivot, Revision, Sensor, Severity, Why,
};
pub use summary::{Record, Summary, TopSender};

pub(crate) use record::share;
pub(crate) use text::{bytes as bytes_text, duration as duration_text};
