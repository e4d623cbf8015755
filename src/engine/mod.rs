//! The stages put together: workers that count, an analyst that judges.

mod analyst;
mod replay;
mod summary;
mod worker;

pub use analyst::{Analyst, Options, Outgrown};
pub use replay::{count, replay};
pub use summary::summarize;
pub use worker::{Outbox, Position, Reported, Reports, Run, Worker, WorkerCounters};
