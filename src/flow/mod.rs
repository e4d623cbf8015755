//! Segments to flows: both directions of a conversation, counted once and reported in increments.

mod delta;
mod duplicates;
mod fragments;
mod hash;
mod key;
mod slot;
mod state;
mod stream;
mod table;
mod tcp_options;
mod trouble;
mod wheel;

pub use delta::{Closing, Counters, FlowDelta, FlowEnd, TunnelEnds};
pub use duplicates::{Duplicates, Fingerprint, Fingerprints};
pub use key::{FlowKey, SHARDS, Sender};
pub use slot::{SHOWN_ALWAYS, SHOWN_NO_MORE};
pub use table::{FLOW_BYTES, FlowCounters, FlowTable, Glimpse, Options, Place, Reporting};
