//! What is normal: finished days of hosts, their groups and the destinations, as references.

mod habits;
mod history;
mod profile;
mod tail;
mod usages;

pub use habits::{Asker, Familiar, Habits};
pub use history::{
    Baseline, DESTINATION_BYTES, HOST_BYTES, Options, PAIR_BYTES, Prevalence, Whose,
};
pub use profile::{DestinationProfile, Profile, Unfit, WindowProfile};
pub use tail::{Histogram, Ring, Samples, Tail};
pub use usages::{Custom, Usages};
