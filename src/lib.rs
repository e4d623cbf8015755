//! Sekisho (関所, the checkpoint on the road out of the city) watches what leaves a network.
//!
//! Data flows one way. A [`capture`] source hands batches of [`frame`]s to [`decode`], which turns
//! each into a segment. The [`flow`] table counts segments in both directions and reports increments,
//! which [`egress`] sums for each inside host and outside destination; [`names`] reads in a flow's first
//! bytes what the outside end is called, and [`machines`] hears which addresses inside are one machine.
//! [`detect`] judges the sums against the [`baseline`] of finished days, [`alert`] makes incidents of the
//! verdicts, and a [`sink`] tells them; [`metrics`] tell how a sensor stands. A [`census`] lists who is there, without a verdict. The [`engine`]
//! puts the stages on threads, [`state`] keeps what was learned between runs, a [`scribe`] writes so that no packet waits for a disk; [`config`] and [`rules`] say how they work. [`mod@bench`] measures what all
//! of it costs, on recorded traffic or on what [`synth`] makes up, and [`mod@eval`] what it finds, in
//! labelled captures.

pub mod alert;
pub mod arena;
pub mod baseline;
pub mod bench;
pub mod capture;
pub mod census;
pub mod config;
pub mod covert;
pub mod decode;
pub mod detect;
pub mod egress;
pub mod engine;
pub mod eval;
pub mod evidence;
pub mod flow;
pub mod frame;
pub mod machines;
pub mod metrics;
pub mod names;
pub mod net;
mod plot;
pub mod rules;
pub mod scribe;
pub mod sink;
pub mod state;
pub mod synth;
pub mod time;
