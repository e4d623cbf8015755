//! What leaves where nobody looks for data: in the names that DNS is asked for, and in pings.
//!
//! Both are summed the same way: of each inside host and outside end, how much all different messages of a
//! day could tell together. What is asked or sent again tells nothing new.

#![forbid(unsafe_code)]

mod channel;
mod distinct;
mod echoes;
mod lookups;

pub use channel::{Channel, ChannelDay, Channels, Tally, Touch};
pub use distinct::Distinct;
pub use echoes::{EchoDay, Echoes, Pings, Sweep};
pub use lookups::{Closed, Kinds, LookupDay, Lookups, Names, Shared, Teller, ToldOf};
