//! The stages put together: workers that count, an analyst that judges.

mod analyst;
mod replay;
mod summary;
mod watch;
mod what_if;
mod worker;

pub use analyst::{Analyst, Options, Outgrown};
pub use replay::{count, replay};
pub use summary::{summarize, summarize_watch};
pub use watch::{Moment, watch};
pub use what_if::{Change, WhatIf, what_if};
pub use worker::{Outbox, Position, Reported, Reports, Run, Worker, WorkerCounters};
