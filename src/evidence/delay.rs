//! Frames of the last while: what was before an alert is still there when it comes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::frame::{Batch, Frame, FrameHead};
use crate::time::Timestamp;

/// Frames in the order in which they came, each held until it is `held_for` older than the latest that was judged,
/// or `bytes_max` came after it.
///
/// What came and is not judged yet is held beyond that: a few batches.
#[derive(Debug)]
pub(super) struct Delay {
    held_for: Duration,
    bytes_max: u64,
    /// Bytes held of a frame at most.
    frame_max: usize,
    chunks: VecDeque<Batch>,
    spare: Option<Batch>,
    /// The first frame held, in the first chunk.
    next: usize,
    /// Frames that were let go.
    gone: u64,
    /// What each batch adds, of those that are not judged.
    coming: VecDeque<Share>,
    came: u64,
    judged: Share,
}

/// What there is after some frames.
#[derive(Debug, Default, Clone, Copy)]
struct Share {
    /// Frames by then.
    frames: u64,
    /// Bytes held of those that are judged, or that a batch adds.
    bytes: u64,
    latest: Timestamp,
}

impl Delay {
    pub(super) fn new(held_for: Duration, bytes_max: u64, frame_max: usize) -> Self {
        Self {
            held_for,
            bytes_max,
            frame_max,
            chunks: VecDeque::new(),
            spare: None,
            next: 0,
            gone: 0,
            coming: VecDeque::new(),
            came: 0,
            judged: Share::default(),
        }
    }

    /// Takes copies of the frames of a batch.
    pub(super) fn push(&mut self, batch: &Batch) {
        let mut share = Share::default();
        for &head in &batch.heads {
            let frame = batch.frame(head);
            let bytes = &frame.bytes[..frame.bytes.len().min(self.frame_max)];
            let chunk = match self.chunks.back_mut() {
                Some(chunk)
                    if chunk.bytes.len() + bytes.len() <= CHUNK_BYTES
                        && chunk.heads.len() < CHUNK_FRAMES =>
                {
                    chunk
                }
                _ => {
                    self.chunks.push_back(self.spare.take().unwrap_or_default());
                    let last = self.chunks.len() - 1;
                    &mut self.chunks[last]
                }
            };
            chunk.push_from(Frame { bytes, ..frame }, head.port);
            share.bytes += cost(bytes.len());
            share.latest = share.latest.max(head.at);
        }
        self.came += batch.heads.len() as u64;
        self.coming.push_back(Share { frames: self.came, ..share });
    }

    /// The first `frames` frames are judged.
    pub(super) fn settle(&mut self, frames: u64) {
        while let Some(share) = self.coming.pop_front_if(|share| share.frames <= frames) {
            self.judged.frames = share.frames;
            self.judged.bytes += share.bytes;
            self.judged.latest = self.judged.latest.max(share.latest);
        }
    }

    /// It is at least so late, though nothing came.
    pub(super) fn pass(&mut self, now: Timestamp) {
        self.judged.latest = self.judged.latest.max(now);
    }

    /// The latest time there was.
    pub(super) fn now(&self) -> Timestamp {
        self.judged.latest
    }

    /// Frames that are judged.
    pub(super) fn judged(&self) -> u64 {
        self.judged.frames
    }

    /// Frames that were let go.
    pub(super) fn gone(&self) -> u64 {
        self.gone
    }

    /// Hands `take` the first frame if it is due, or if all are to go, and lets it go; false when none was.
    pub(super) fn release(&mut self, all: bool, take: impl FnOnce(FrameHead, Frame<'_>)) -> bool {
        let Some(chunk) = self.chunks.front() else { return false };
        let Some(&head) = chunk.heads.get(self.next) else { return false };
        let is_due = self.gone < self.judged.frames
            && (all
                || self.judged.bytes > self.bytes_max
                || head.at.plus(self.held_for) <= self.judged.latest);
        if !is_due {
            return false;
        }
        take(head, chunk.frame(head));
        self.judged.bytes -= cost(head.captured_len as usize);
        self.gone += 1;
        self.next += 1;
        if self.next == chunk.heads.len() && self.chunks.len() > 1 {
            self.spare = self.chunks.pop_front();
            self.spare.iter_mut().for_each(Batch::clear);
            self.next = 0;
        }
        true
    }
}

fn cost(bytes: usize) -> u64 {
    (bytes + size_of::<FrameHead>()) as u64
}

/// Frames lie together in pieces of this size, or of one frame.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_FRAMES: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::LinkType;

    fn frames(delay: &mut Delay, all: bool) -> Vec<(u64, usize)> {
        let mut seen = Vec::new();
        while delay.release(all, |head, frame| seen.push((head.at.as_secs(), frame.bytes.len()))) {}
        seen
    }

    fn batch(secs: std::ops::Range<u64>, len: usize) -> Batch {
        let mut batch = Batch::default();
        for sec in secs {
            let at = Timestamp::from_secs_nanos(sec, 0);
            let (link, wire_len) = (LinkType::RAW, len as u32);
            batch.push(Frame { at, link, wire_len, bytes: &vec![7; len] });
        }
        batch
    }

    /// What an alert is about came before it: all of it must still be there, and nothing may leave before the alerts
    /// that it gave rise to are known.
    #[test]
    fn frames_stay_for_a_while_and_leave_in_order() {
        let mut delay = Delay::new(Duration::from_secs(10), 1 << 30, 100);
        delay.push(&batch(0..15, 60));
        assert_eq!(frames(&mut delay, true), [], "nothing is judged yet");
        delay.settle(15);
        assert_eq!(frames(&mut delay, false), (0..5).map(|sec| (sec, 60)).collect::<Vec<_>>());
        delay.push(&batch(15..30, 200));
        assert_eq!(frames(&mut delay, false), []);
        delay.pass(Timestamp::from_secs_nanos(16, 0));
        assert_eq!(frames(&mut delay, false), [(5, 60), (6, 60)]);
        delay.settle(30);
        let rest = frames(&mut delay, true);
        assert_eq!((rest.len(), rest[22]), (23, (29, 100)));
        assert_eq!((delay.gone(), delay.judged()), (30, 30));
    }

    /// However much arrives, so much is held.
    #[test]
    fn memory_is_bounded() {
        let mut delay = Delay::new(Duration::from_secs(1000), 8 << 20, 2000);
        let (mut most, mut came) = (0, 0);
        for _ in 0..100 {
            came += 300;
            delay.push(&batch(0..300, 1500));
            delay.settle(came);
            frames(&mut delay, false);
            most = most.max(delay.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum());
        }
        assert!(delay.judged.bytes <= 8 << 20);
        assert!(delay.judged.bytes > 7 << 20);
        assert!(most < 24 << 20, "{most}");
    }
}
