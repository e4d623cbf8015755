//! Findings to incidents: what a human is told, when, and how often.

mod budget;
mod incident;
mod incidents;
mod ranking;
mod record;
mod scene;
mod silenced;
mod summary;
mod text;
mod wishes;

pub use budget::Budget;
pub use incidents::{HOST_BYTES, Incidents, Labels, MachineFacts, Options, Settled, Verdict};
pub use ranking::RankingEntry;
pub use record::{
    Alert, ClosedBecause, Counterfactual, DestinationFacts, FlowFacts, Health, HostFacts, Kind,
    Pivot, Revision, Sensor, Severity, StagingFacts, TogetherFacts, Why,
};
pub use silenced::Silenced;
pub use summary::{EvidenceTally, Record, Summary, TopSender, VerdictDelays};
pub use wishes::Wishes;

pub(crate) use record::share;
pub(crate) use text::{bytes as bytes_text, duration as duration_text};
