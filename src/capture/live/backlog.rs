//! How much of the ring is taken. The kernel does not say; how late its frames are, and how fast they come, does. Where the
//! ring holds less than frames are late in any case, what it has lost says the same.

use std::time::Duration;

use super::super::reader::{BYTES_MAX, FRAMES_MAX};
use crate::frame::Batch;
use crate::time::Timestamp;

/// An estimate of what waits in the rings, as of the latest batch.
#[derive(Debug)]
pub(super) struct Backlog {
    ring_bytes: f64,
    /// Bytes that arrived since then, and how many a second in the stretch before.
    since: Timestamp,
    bytes: u64,
    bytes_per_sec: f64,
    /// Frames lost by the latest count, and whether there were more than by the one before.
    lost: u64,
    is_losing: bool,
    share: f64,
}

impl Backlog {
    /// `ring_bytes` is the room of one interface.
    pub(super) fn new(ring_bytes: u64) -> Self {
        Self {
            ring_bytes: ring_bytes as f64,
            since: Timestamp::EPOCH,
            bytes: 0,
            bytes_per_sec: 0.0,
            lost: 0,
            is_losing: false,
            share: 0.0,
        }
    }

    /// So many frames are lost by now.
    pub(super) fn lose(&mut self, lost: u64) {
        self.is_losing = lost > std::mem::replace(&mut self.lost, lost);
    }

    /// What is later than the batch's last frame waits still.
    pub(super) fn note(&mut self, batch: &Batch, now: Timestamp) {
        let Some(last) = batch.heads.last() else { return };
        self.bytes +=
            batch.heads.iter().map(|head| u64::from(head.captured_len) + OVERHEAD).sum::<u64>();
        let stretch = last.at.since(self.since);
        if stretch >= STRETCH || last.at < self.since {
            self.bytes_per_sec = self.bytes as f64 / stretch.max(STRETCH).as_secs_f64();
            (self.since, self.bytes) = (last.at, 0);
        }
        let late = now.since(last.at).saturating_sub(USUAL);
        // A burst that is over leaves a loss behind too, and no batch that could hold no more.
        let is_behind = batch.bytes.len() * 2 >= BYTES_MAX || batch.heads.len() * 2 >= FRAMES_MAX;
        self.share = if self.is_losing && is_behind {
            1.0
        } else {
            (late.as_secs_f64() * self.bytes_per_sec / self.ring_bytes).min(1.0)
        };
    }

    /// From 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.share
    }
}

/// Bytes that the kernel needs beside each frame.
const OVERHEAD: u64 = 64;

/// Over how long the rate is taken.
const STRETCH: Duration = Duration::from_millis(50);

/// How late frames are when all is well: the kernel holds them back, and legs of a TAP wait for each other.
const USUAL: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, LinkType};

    /// Frames that are late are a sign only where many of them wait.
    #[test]
    fn what_waits_is_how_late_times_how_fast() {
        let at = |millis: u64| Timestamp::from_nanos(millis * 1_000_000);
        let batch = |millis: u64| {
            let mut batch = Batch::default();
            let frame =
                Frame { at: at(millis), link: LinkType::RAW, wire_len: 936, bytes: &[0; 936] };
            (0..1000).for_each(|_| batch.push(frame));
            batch
        };
        // A million bytes each 100 ms: ten million a second, into a ring of that size.
        let mut backlog = Backlog::new(10_000_000);
        for n in 10..20 {
            backlog.note(&batch(n * 100), at(n * 100 + 20));
            assert_eq!(backlog.share(), 0.0);
        }
        backlog.note(&batch(2000), at(2650));
        assert!((backlog.share() - 0.5).abs() < 0.01, "{}", backlog.share());
        backlog.note(&batch(2100), at(9000));
        assert_eq!(backlog.share(), 1.0);
        backlog.note(&batch(2200), at(2210));
        assert_eq!(backlog.share(), 0.0);
    }

    /// A ring of 64 MiB is full within 54 ms at 10 Gbit/s: nothing in it is ever late.
    #[test]
    fn losing_while_behind_is_a_full_ring() {
        let mut batch = Batch::default();
        let frame =
            Frame { at: Timestamp::EPOCH, link: LinkType::RAW, wire_len: 1500, bytes: &[0; 1500] };
        (0..700).for_each(|_| batch.push(frame));
        let mut backlog = Backlog::new(64 << 20);
        let mut share = |lost, batch: &Batch| {
            backlog.lose(lost);
            backlog.note(batch, Timestamp::EPOCH);
            backlog.share()
        };
        assert_eq!(share(0, &batch), 0.0);
        assert_eq!(share(10, &batch), 1.0);
        assert_eq!(share(10, &batch), 0.0);
        batch.heads.truncate(100);
        batch.bytes.truncate(150_000);
        assert_eq!(share(20, &batch), 0.0);
    }
}
