//! Frames that are in memory already: for tests, benches and the generator.

use std::convert::Infallible;

use super::{Polled, Source};
use crate::frame::Batch;

/// Hands out the frames of one batch in smaller ones of a chosen size.
#[derive(Debug, Clone)]
pub struct MemorySource {
    frames: Batch,
    next: usize,
    frames_per_poll: usize,
}

impl MemorySource {
    /// A source of `frames`, in their order, `frames_per_poll` at a time (at least one).
    pub fn new(frames: Batch, frames_per_poll: usize) -> Self {
        Self { frames, next: 0, frames_per_poll: frames_per_poll.max(1) }
    }

    /// Starts again with the first frame.
    pub fn rewind(&mut self) {
        self.next = 0;
    }
}

impl Source for MemorySource {
    type Error = Infallible;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, Infallible> {
        let heads = &self.frames.heads[self.next..];
        let heads = &heads[..heads.len().min(self.frames_per_poll)];
        for head in heads {
            batch.push_from(self.frames.frame(*head), head.port);
        }
        self.next += heads.len();
        Ok(if heads.is_empty() { Polled::End } else { Polled::Frames })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, LinkType};
    use crate::time::Timestamp;

    #[test]
    fn any_batch_size_gives_the_same_frames() {
        let mut frames = Batch::default();
        for number in 0..10_u8 {
            let at = Timestamp::from_nanos(u64::from(number));
            frames.push(Frame { at, link: LinkType::RAW, wire_len: 60, bytes: &[number; 3] });
        }
        for size in [0, 1, 3, 10, 99] {
            let mut source = MemorySource::new(frames.clone(), size);
            let (mut batch, mut seen) = (Batch::default(), Batch::default());
            while source.poll(&mut batch) == Ok(Polled::Frames) {
                batch.frames().for_each(|frame| seen.push(frame));
                batch.clear();
            }
            assert!(seen.frames().eq(frames.frames()), "{size}");
        }
    }
}
