//! The first bytes of one direction of a stream, put in order.

use smallvec::SmallVec;

/// Bytes of a direction that are looked at.
pub const START_MAX: usize = 16 << 10;

/// The bytes of a stream's start as far as they came, in any order and any pieces.
///
/// Of bytes that come twice, the first stay: what the far end took is not known, and a second look must
/// not change what the first one saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Start {
    bytes: Vec<u8>,
    /// What of `bytes` has come: disjoint, ascending, not adjacent.
    ranges: SmallVec<[(u16, u16); 4]>,
    /// Where bytes begin that the wire carried and the capture does not hold.
    cut_at: Option<u16>,
}

impl Start {
    /// Takes bytes that begin at `offset`; `is_cut` when more of them were on the wire than captured.
    pub(super) fn add(&mut self, offset: usize, piece: &[u8], is_cut: bool) {
        let Some(room) = START_MAX.checked_sub(offset) else { return };
        let piece = &piece[..piece.len().min(room)];
        let end = offset + piece.len();
        if is_cut && end < START_MAX {
            let end = end as u16;
            self.cut_at = Some(self.cut_at.map_or(end, |at| at.min(end)));
        }
        if piece.is_empty() {
            return;
        }
        let (from, to) = (offset as u16, end as u16);
        let first = self.ranges.partition_point(|&(_, end)| end < from);
        let touched = self.ranges[first..].iter().take_while(|&&(start, _)| start <= to).count();
        if touched == 0 && self.ranges.len() == RANGES_MAX {
            return;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let (mut merged, mut at) = ((from, to), from);
        for place in first..first + touched {
            let (start, end) = self.ranges[place];
            self.write(at, start, from, piece);
            at = at.max(end);
            merged = (merged.0.min(start), merged.1.max(end));
        }
        self.write(at, to, from, piece);
        self.ranges.drain(first..first + touched);
        self.ranges.insert(first, merged);
    }

    /// Copies the part of `piece`, which begins at `origin`, between these offsets.
    fn write(&mut self, from: u16, to: u16, origin: u16, piece: &[u8]) {
        if from < to {
            let (from, to, origin) = (usize::from(from), usize::from(to), usize::from(origin));
            self.bytes[from..to].copy_from_slice(&piece[from - origin..to - origin]);
        }
    }

    /// The bytes from the stream's first to the first that is missing.
    pub(super) fn prefix(&self) -> &[u8] {
        match self.ranges.first() {
            Some(&(0, end)) => &self.bytes[..end.into()],
            Some(_) | None => &[],
        }
    }

    /// Can [`Start::prefix`] not become longer?
    pub(super) fn is_over(&self) -> bool {
        let len = self.prefix().len();
        len >= START_MAX || self.cut_at.is_some_and(|at| usize::from(at) <= len)
    }

    /// Has nothing come?
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.cut_at.is_none()
    }

    /// Memory held beside the structure itself, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let ranges = if self.ranges.spilled() { self.ranges.capacity() * 4 } else { 0 };
        self.bytes.capacity() + ranges
    }
}

/// Pieces with gaps between them that are kept; one more is refused, and may come again.
const RANGES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the cuts, the order, the repetitions and the overlaps: once all has come, it is all there;
        /// before that, what is there is right.
        #[test]
        fn the_order_of_pieces_does_not_matter(
            bytes in prop::collection::vec(any::<u8>(), 1..3000),
            pieces in prop::collection::vec((any::<prop::sample::Index>(), 1usize..400), 0..20),
            whole in 1usize..1000,
            order in any::<u64>(),
        ) {
            let mut spans: Vec<(usize, usize)> = pieces
                .iter()
                .map(|(from, len)| {
                    let from = from.index(bytes.len());
                    (from, (from + len).min(bytes.len()))
                })
                .collect();
            // At most as many as are kept apart.
            let step = whole.max(bytes.len() / 8);
            spans.extend((0..bytes.len()).step_by(step).map(|at| (at, (at + step).min(bytes.len()))));
            let len = spans.len() as u64;
            spans.sort_by_key(|&(from, to)| {
                (from as u64 * 31 + to as u64).wrapping_mul(order | 1).rotate_left(17) % (len + 7)
            });
            let mut start = Start::default();
            for (from, to) in spans {
                start.add(from, &bytes[from..to], false);
                prop_assert_eq!(start.prefix(), &bytes[..start.prefix().len()]);
            }
            prop_assert_eq!(start.prefix(), &bytes[..]);
        }
    }

    /// A forged second copy of the hello must not replace the one that was answered.
    #[test]
    fn the_first_copy_stays() {
        let mut start = Start::default();
        start.add(2, b"cd", false);
        start.add(0, b"abXXef", false);
        assert_eq!(start.prefix(), b"abcdef");
    }

    #[test]
    fn what_lies_beyond_the_limit_takes_no_memory() {
        let mut start = Start::default();
        start.add(START_MAX, b"x", false);
        start.add(usize::MAX, b"x", false);
        assert!(start.is_empty() && start.heap_bytes() == 0);
        start.add(START_MAX - 1, b"xyz", false);
        assert_eq!(start.bytes.len(), START_MAX);
        for gap in (1..4000).step_by(2) {
            start.add(gap, b"x", false);
        }
        assert_eq!(start.ranges.len(), RANGES_MAX);
        start.add(0, &vec![b'y'; START_MAX], false);
        assert!(start.is_over() && start.prefix().len() == START_MAX);
    }

    /// A capture that keeps 96 bytes of a packet will never show the rest of the hello.
    #[test]
    fn a_cut_piece_ends_the_start() {
        let mut start = Start::default();
        start.add(4, b"efgh", true);
        assert!(!start.is_over());
        start.add(0, b"abcd", false);
        assert!(start.is_over());
        assert_eq!(start.prefix(), b"abcdefgh");
    }
}
