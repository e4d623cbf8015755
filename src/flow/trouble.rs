//! What of a direction is not in order: holes, islands, and claims of the receiver.

use smallvec::SmallVec;

use super::stream::Added;

#[derive(Debug, Clone, Default)]
pub(super) struct Trouble {
    /// Ranges below `next` that were not seen, lowest first.
    pub(super) holes: Ranges,
    /// Ranges above `next` that were seen and wait for corroboration, lowest first, disjoint.
    pub(super) islands: Ranges,
    /// A range too far ahead to be an island, as far as it went on without a gap.
    pub(super) far: Option<(u64, u64)>,
    /// How often the receiver spoke and covered neither islands nor the far range.
    pub(super) denied: u8,
    pub(super) claim: Option<Claim>,
}

/// An acknowledgement of bytes that were not seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) offset: u64,
    /// The highest that the receiver said, which is no less, until it was often behind it.
    pub(super) latest: u64,
    /// How often it was repeated or surpassed.
    pub(super) repeated: u8,
    /// How often the receiver was behind it afterwards.
    pub(super) denied: u8,
    /// Further ahead than the window: only the sender can corroborate it.
    pub(super) is_far: bool,
}

impl Claim {
    pub(super) fn at(offset: u64) -> Self {
        Self { offset, latest: offset, repeated: 0, denied: 0, is_far: false }
    }

    /// The receiver said another number, no less than `offset`: the mirror may have shuffled them.
    pub(super) fn say(&mut self, offset: u64) {
        self.denied += u8::from(offset < self.latest);
        if offset > self.latest || self.denied >= DENIALS_BELIEVED {
            (self.latest, self.denied) = (offset, 0);
        }
    }
}

pub(super) type Ranges = SmallVec<[(u64, u64); 2]>;

impl Trouble {
    pub(super) fn is_over(&self) -> bool {
        self.holes.is_empty()
            && self.islands.is_empty()
            && self.far.is_none()
            && self.claim.is_none()
    }

    pub(super) fn open_hole(&mut self, hole: (u64, u64)) {
        if self.holes.len() == RANGES_MAX {
            // The oldest hole is given up: what still comes for it counts as seen before.
            self.holes.remove(0);
        }
        self.holes.push(hole);
    }

    /// Marks `start..end`, below `next`, as seen; answers how many of these bytes were missing.
    pub(super) fn fill(&mut self, start: u64, end: u64) -> u64 {
        let mut filled = 0;
        let mut left = Ranges::new();
        for &(from, to) in &self.holes {
            let (cut_from, cut_to) = (from.max(start), to.min(end));
            if cut_from >= cut_to {
                left.push((from, to));
                continue;
            }
            filled += cut_to - cut_from;
            left.extend(
                [(from, cut_from), (cut_to, to)].into_iter().filter(|(from, to)| from < to),
            );
        }
        left.truncate(RANGES_MAX);
        self.holes = left;
        filled
    }

    /// Adds `start..end` to the islands.
    pub(super) fn wait(&mut self, start: u64, end: u64, added: &mut Added) {
        if self.islands.is_empty() {
            self.denied = 0;
        }
        let (mut low, mut high) = (start, end);
        let mut known = 0;
        self.islands.retain(|&mut (from, to)| {
            let is_apart = to < low || high < from;
            if !is_apart {
                known += to.min(end).saturating_sub(from.max(start));
                low = low.min(from);
                high = high.max(to);
            }
            is_apart
        });
        added.repeated += known;
        let at = self.islands.partition_point(|&(from, _)| from < low);
        self.islands.insert(at, (low, high));
    }
}

/// Times that a receiver must be behind a claim before that is taken for forged.
pub(super) const DENIALS_BELIEVED: u8 = 8;

/// Holes and islands remembered per direction. A sender in recovery leaves a handful; more than this
/// is a capture that loses packets, where only acknowledgements tell the truth.
pub(super) const RANGES_MAX: usize = 64;
