//! The tests of what sekisho does, one module a theme, in one binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod accounting;
mod architecture;
mod bench;
mod census;
mod cli;
mod corpus;
mod eval;
mod evidence;
mod flows;
mod identity;
mod incidents;
mod laws;
mod machines;
mod mmdb;
mod names;
mod owners;
mod page;
mod pcaps;
mod references;
mod rules;
mod scenario;
mod state;
mod support;
mod traffic;
mod tunnels;
mod watch;
