//! Segments to flows: both directions of a conversation, counted once and reported in increments.

mod duplicates;
mod fragments;
mod key;
mod stream;
mod table;
mod wheel;

pub use duplicates::Duplicates;
pub use key::{FlowKey, SHARDS, Sender};
pub use table::{Counters, FlowCounters, FlowDelta, FlowEnd, FlowTable, Options, TunnelEnds};
