//! Segments to flows: both directions of a conversation, counted once and reported in increments.

mod fragments;
mod key;
mod stream;
mod table;
mod wheel;

pub use key::{FlowKey, SHARDS, Sender};
pub use table::{Counters, FlowCounters, FlowDelta, FlowEnd, FlowTable, Options, TunnelEnds};
