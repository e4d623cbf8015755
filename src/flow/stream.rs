//! One direction of a TCP connection as a line of bytes: which were seen, which were acknowledged.

use smallvec::SmallVec;

/// Bytes sent in one direction, on a 64-bit line unwrapped from sequence numbers (RFC 9293).
///
/// Offset 0 is the first byte after the SYN, or the first byte met when there was no SYN.
#[derive(Debug, Clone, Default)]
pub(super) struct Stream {
    /// Sequence number of offset 0, once anything was met.
    origin: Option<u32>,
    /// Offset after the highest byte seen.
    next: u64,
    /// Offset up to which the other end acknowledged.
    acked: u64,
    /// Offset of the FIN, which takes a sequence number but is no byte.
    fin: Option<u64>,
    /// Ranges below `next` that were not seen, lowest first.
    holes: SmallVec<[(u64, u64); 1]>,
    /// Segments and acknowledgements that cannot be true.
    rejected: u32,
}

impl Stream {
    /// Takes the SYN of this direction.
    pub(super) fn syn(&mut self, seq: u32) {
        if self.origin.is_none() {
            self.origin = Some(seq.wrapping_add(1));
        }
    }

    /// Would this SYN start another connection than the one at hand?
    pub(super) fn is_foreign_syn(&self, seq: u32) -> bool {
        self.origin.is_some_and(|origin| origin != seq.wrapping_add(1))
    }

    /// Takes `len` bytes at `seq`, and answers how many of them had not been seen before.
    pub(super) fn data(&mut self, seq: u32, len: u32) -> u64 {
        let len = u64::from(len);
        let Some(offset) = self.offset_of(seq, self.next) else {
            self.rejected = self.rejected.saturating_add(1);
            return 0;
        };
        // Bytes from before the first one met are someone else's account.
        let end = offset + i128::from(len);
        let (start, end) = (clamp(offset), clamp(end));
        if start == self.next {
            self.next = end;
            return end - start;
        }
        if start > self.next {
            self.open_hole(self.next, start);
            self.next = end;
            return end - start;
        }
        let filled = self.fill(start, end.min(self.next));
        let beyond = end.saturating_sub(self.next);
        self.next += beyond;
        filled + beyond
    }

    /// Takes the FIN that follows the bytes up to `seq`.
    pub(super) fn fin(&mut self, seq: u32) {
        if let Some(offset) = self.offset_of(seq, self.next) {
            self.fin = Some(clamp(offset));
        }
    }

    /// Takes the other end's acknowledgement, and answers how many more bytes it proves delivered.
    pub(super) fn ack(&mut self, ack: u32) -> u64 {
        let Some(offset) = self.offset_of(ack, self.next.max(self.acked)) else {
            self.rejected = self.rejected.saturating_add(1);
            return 0;
        };
        let mut acked = clamp(offset);
        if let Some(fin) = self.fin {
            acked = acked.min(fin);
        }
        let more = acked.saturating_sub(self.acked);
        self.acked += more;
        more
    }

    /// Bytes acknowledged since offset 0.
    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// Was the FIN seen and acknowledged?
    pub(super) fn is_finished(&self) -> bool {
        self.fin.is_some_and(|fin| self.acked >= fin)
    }

    /// Segments and acknowledgements refused as impossible.
    pub(super) fn rejected(&self) -> u32 {
        self.rejected
    }

    /// The offset of a sequence number, read as the one nearest to `near`; negative before offset 0.
    ///
    /// Nothing may lie further ahead than the largest window TCP can have (RFC 7323, section 2.3).
    fn offset_of(&mut self, seq: u32, near: u64) -> Option<i128> {
        let origin = *self.origin.get_or_insert(seq);
        let distance = seq.wrapping_sub(origin.wrapping_add(near as u32)).cast_signed();
        (distance <= WINDOW_MAX).then(|| i128::from(near) + i128::from(distance))
    }

    fn open_hole(&mut self, start: u64, end: u64) {
        if self.holes.len() == HOLES_MAX {
            // The oldest hole is given up: what still comes for it counts as seen before.
            self.holes.remove(0);
        }
        self.holes.push((start, end));
    }

    /// Marks `start..end` as seen; answers how many of these bytes were missing.
    fn fill(&mut self, start: u64, end: u64) -> u64 {
        let mut filled = 0;
        let mut at = 0;
        while at < self.holes.len() {
            let (from, to) = self.holes[at];
            let (cut_from, cut_to) = (from.max(start), to.min(end));
            if cut_from >= cut_to {
                at += 1;
                continue;
            }
            filled += cut_to - cut_from;
            match (from < cut_from, cut_to < to) {
                (false, false) => {
                    self.holes.remove(at);
                    continue;
                }
                (true, false) => self.holes[at] = (from, cut_from),
                (false, true) => self.holes[at] = (cut_to, to),
                (true, true) => {
                    self.holes[at] = (from, cut_from);
                    if self.holes.len() < HOLES_MAX {
                        self.holes.insert(at + 1, (cut_to, to));
                    }
                }
            }
            at += 1;
        }
        filled
    }
}

fn clamp(offset: i128) -> u64 {
    u64::try_from(offset.max(0)).unwrap_or(u64::MAX)
}

const WINDOW_MAX: i32 = 1 << 30;

/// Holes remembered per direction. A sender in recovery leaves a handful (RFC 6675 speaks of three
/// duplicate acknowledgements); more than this is a capture that loses packets, where only
/// acknowledgements tell the truth.
const HOLES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn retransmission_and_keep_alive_add_nothing() {
        let mut stream = Stream::default();
        stream.syn(999);
        assert_eq!(stream.data(1000, 100), 100);
        assert_eq!(stream.data(1000, 100), 0);
        assert_eq!(stream.data(1099, 1), 0);
        assert_eq!(stream.data(1050, 100), 50);
        assert_eq!(stream.ack(1150), 150);
        assert_eq!(stream.ack(1100), 0);
    }

    #[test]
    fn fin_is_no_byte() {
        let mut stream = Stream::default();
        stream.syn(0);
        stream.data(1, 10);
        stream.fin(11);
        assert_eq!(stream.ack(12), 10);
        assert!(stream.is_finished());
    }

    /// An upload of 20 GB wraps the sequence number five times.
    #[test]
    fn more_than_four_gib_is_ordinary() {
        let mut stream = Stream::default();
        stream.syn(u32::MAX - 5);
        let (mut seq, mut seen, mut acked) = (u32::MAX - 4, 0u64, 0u64);
        for _ in 0..20_000 {
            seen += stream.data(seq, 1 << 20);
            seq = seq.wrapping_add(1 << 20);
            acked += stream.ack(seq);
        }
        assert_eq!((seen, acked), (20_000 << 20, 20_000 << 20));
    }

    /// The capture lost a stretch, but the other end acknowledged it.
    #[test]
    fn acknowledgements_cover_what_the_capture_lost() {
        let mut stream = Stream::default();
        stream.syn(0);
        assert_eq!(stream.data(1, 1000), 1000);
        assert_eq!(stream.data(50_001, 1000), 1000);
        assert_eq!(stream.ack(51_001), 51_000);
    }

    #[test]
    fn what_no_window_can_hold_is_refused() {
        let mut stream = Stream::default();
        stream.syn(0);
        stream.data(1, 1000);
        assert_eq!(stream.data(1001 + (1 << 30) + 1, 1000), 0);
        assert_eq!(stream.ack(1001 + (1 << 30) + 1), 0);
        assert_eq!(stream.rejected(), 2);
        assert_eq!(stream.data(1001, 1000), 1000);
    }

    proptest! {
        /// However segments are cut, repeated and reordered, each byte counts once.
        #[test]
        fn every_byte_counts_once(
            isn in any::<u32>(),
            cuts in prop::collection::vec((0u64..40_000, 1u32..3_000), 1..60),
        ) {
            let mut stream = Stream::default();
            stream.syn(isn);
            let mut seen = vec![false; 43_000];
            for (start, len) in cuts {
                let seq = isn.wrapping_add(1).wrapping_add(start as u32);
                let expected = (start..start + u64::from(len)).filter(|&byte| !seen[byte as usize]).count();
                prop_assert_eq!(stream.data(seq, len), expected as u64);
                seen[start as usize..][..len as usize].fill(true);
            }
        }
    }
}
