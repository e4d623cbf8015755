//! Traffic that nobody sent: seeded, and the same bytes on any machine.
//!
//! Only what is the same everywhere goes into it: a generator whose algorithm is fixed, integers, and
//! logarithms from `libm`. [`traffic`](Traffic) has the plain kinds that benches and sizing need, [`Lookups`]
//! names asked for with data in them, [`office`] the days of an office, as reports of flows, that detection is judged by.

mod file;
mod lookups;
pub mod office;
mod packet;
mod payload;
mod random;
mod talk;
mod traffic;

pub use file::write_pcap;
pub use lookups::{LookupOptions, Lookups};
pub(crate) use random::{Random, scramble};
pub use traffic::{Kind, Options, SynthError, Traffic};
