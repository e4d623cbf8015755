//! Where frames come from: files and interfaces.
//!
//! [`files::FileSource`] is the way in for replay. Beneath it, `compress` opens a file and undoes
//! its compression, `pcap_file` and `pcapng_file` turn bytes into frame heads without copying,
//! `reader` joins the two, and `merge` orders several files by packet time. [`live::LiveSource`] is the
//! way in for what happens now.

pub mod error;
pub mod files;
pub mod filter;
pub mod live;
pub mod memory;

mod bpf;
mod compress;
mod merge;
mod pcap_file;
mod pcapng_file;
mod pcapng_writer;
mod ports;
mod reader;
#[cfg(test)]
mod sample;

pub use files::{Counters, FileSource, Options};
pub use pcapng_writer::PcapngWriter;
pub use ports::Ports;

use crate::frame::Batch;
use crate::time::Timestamp;

/// What a poll brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// The batch holds at least one frame.
    Frames,
    /// Nothing arrived, and it is now this late. A file never says so.
    Idle(Timestamp),
    /// There will be no more frames.
    End,
}

/// A place frames come from.
pub trait Source {
    /// What can go wrong.
    type Error;

    /// Fills `batch`, which is empty, with the next frames in order of packet time.
    ///
    /// # Errors
    /// When nothing more can be read; whatever came before has been handed out.
    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, Self::Error>;

    /// Hears that the first `frames` frames handed out are counted and judged.
    fn settle(&mut self, _frames: u64) {}
}

/// A source of what happens now.
pub trait Live: Source {
    /// The machine's time at the last poll.
    fn now(&self) -> Timestamp;

    /// The machine's time.
    fn clock(&self) -> Timestamp;

    /// What was captured so far, and lost.
    fn counters(&self) -> Counters;

    /// How much of the room for frames that wait was taken at the last poll, from 0 to 1.
    fn backlog(&self) -> f64;
}
