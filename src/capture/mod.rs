//! Where frames come from: files, later interfaces.

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
}
