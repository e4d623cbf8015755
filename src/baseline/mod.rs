//! What is normal: finished days of hosts, their groups and the destinations, as references.

mod history;
mod tail;

pub use history::{Baseline, Options, Prevalence};
pub use tail::{Histogram, Ring, Samples, Tail};
