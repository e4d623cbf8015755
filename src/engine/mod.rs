//! The stages put together: workers that count, an analyst that judges.

mod analyst;
mod balance;
mod crew;
mod relief;
mod replay;
mod summary;
mod watch;
mod what_if;
mod worker;

pub use analyst::{Analyst, Options, Outgrown};
pub use relief::{Relief, ReliefNotice};
pub use replay::{count, replay};
pub use summary::{summarize, summarize_watch, tally};
pub use watch::{Delays, Moment, watch};
pub use what_if::{Change, WhatIf, what_if};
pub use worker::{Outbox, Position, Reported, Reports, Run, Worker, WorkerCounters};
