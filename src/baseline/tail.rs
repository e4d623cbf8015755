//! Tail probabilities of byte counts, from few samples, with a parent to lean on.
//!
//! Samples are kept as logarithmic bins, eight an octave. Beyond the data the tail is a power law
//! whose index is shrunk to the parent's: a generalised Pareto on log-bytes with one parameter,
//! which four samples can feed.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::egress::Class;

/// A sample's place on the logarithmic scale: eight bins an octave, 0 for no bytes at all.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Bin(u16);

impl Bin {
    fn of(bytes: u64) -> Self {
        let Some(octave) = bytes.checked_ilog2() else { return Self(0) };
        // The top three bits below the leading one find the eighth: linear within the octave, as in
        // an HDR histogram, and exact in integers.
        let eighth = if octave >= 3 { bytes >> (octave - 3) } else { bytes << (3 - octave) } & 7;
        Self((octave * 8 + eighth as u32 + 1) as u16)
    }

    /// The least number of bytes in the bin.
    fn floor(self) -> f64 {
        let Some(place) = self.0.checked_sub(1) else { return 0.0 };
        libm::ldexp(1.0 + f64::from(place % 8) / 8.0, i32::from(place / 8))
    }

    /// The natural logarithm of that; of no bytes, that of one.
    fn ln(self) -> f64 {
        static LN: LazyLock<[f64; BINS]> = LazyLock::new(|| {
            std::array::from_fn(|bin| libm::log(Bin(bin as u16).floor().max(1.0)))
        });
        LN[usize::from(self.0)]
    }
}

/// Samples that a tail can be read from.
pub trait Samples {
    /// Number of samples, those of no bytes included.
    fn count(&self) -> u32;

    /// Calls `visit(bin, samples in it)` from the largest down to the smallest that is not zero, until it
    /// answers `false`.
    fn descend(&self, visit: impl FnMut(Bin, u32) -> bool);

    /// Of these samples those of which is known only that they are at least so large, likewise.
    fn descend_censored(&self, _: impl FnMut(Bin, u32) -> bool) {}

    /// Samples in the bin of `bytes` and above.
    fn at_or_above(&self, bytes: u64) -> u32 {
        let least = Bin::of(bytes);
        let mut count = 0;
        self.descend(|bin, samples| {
            let is_above = bin >= least;
            if is_above {
                count += samples;
            }
            is_above
        });
        count
    }

    /// The largest sample, rounded down to its bin, in bytes.
    fn largest(&self) -> u64 {
        let mut largest = Bin(0);
        self.descend(|bin, _| {
            largest = bin;
            false
        });
        largest.floor() as u64
    }
}

/// The samples of a group: any number, none forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    count: u32,
    bins: Vec<u32>,
    /// Of these, those that were cut off.
    censored: Vec<(Bin, u32)>,
}

impl Histogram {
    /// Adds a sample.
    pub fn add(&mut self, bytes: u64) {
        let at = usize::from(Bin::of(bytes).0);
        if self.bins.len() <= at {
            self.bins.resize(at + 1, 0);
        }
        self.bins[at] = self.bins[at].saturating_add(1);
        self.count = self.count.saturating_add(1);
    }

    /// Adds a sample; was it cut off, of it is known only that it is at least so large.
    pub fn take(&mut self, (bytes, is_cut_off): (u64, bool)) {
        self.add(bytes);
        if !is_cut_off {
            return;
        }
        let bin = Bin::of(bytes);
        match self.censored.binary_search_by_key(&bin, |&(bin, _)| bin) {
            Ok(at) => self.censored[at].1 += 1,
            Err(at) => self.censored.insert(at, (bin, 1)),
        }
    }
}

impl Samples for Histogram {
    fn count(&self) -> u32 {
        self.count
    }

    fn descend(&self, mut visit: impl FnMut(Bin, u32) -> bool) {
        for (at, &samples) in self.bins.iter().enumerate().skip(1).rev() {
            if samples > 0 && !visit(Bin(at as u16), samples) {
                return;
            }
        }
    }

    fn descend_censored(&self, mut visit: impl FnMut(Bin, u32) -> bool) {
        for &(bin, samples) in self.censored.iter().rev() {
            if bin == Bin(0) || !visit(bin, samples) {
                return;
            }
        }
    }
}

/// The latest `N` samples of one host or pair, at most 64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring<const N: usize> {
    /// The largest first: they are added once a day and read at every look.
    samples: SmallVec<[Sample; 8]>,
    /// The turn of the sample that comes next.
    turn: u16,
}

/// A bin above, and below, in six bits, the turn in which the sample came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sample(u16);

impl Sample {
    fn new(bin: Bin, turn: u16) -> Self {
        Self(bin.0 << TURN_BITS | turn)
    }

    fn bin(self) -> Bin {
        Bin(self.0 >> TURN_BITS)
    }

    fn turn(self) -> u16 {
        self.0 & ((1 << TURN_BITS) - 1)
    }
}

impl<const N: usize> Ring<N> {
    /// Memory of a full ring besides its own structure.
    pub const BYTES: usize = N.next_power_of_two() * size_of::<Sample>();

    /// Adds a sample; the oldest of more than `N` goes.
    pub fn add(&mut self, bytes: u64) {
        const { assert!(N <= 1 << TURN_BITS) };
        if self.samples.len() == N {
            self.samples.retain(|sample| sample.turn() != self.turn);
        }
        let sample = Sample::new(Bin::of(bytes), self.turn);
        self.samples.insert(self.samples.partition_point(|&other| other > sample), sample);
        self.turn = (self.turn + 1) % N as u16;
    }
}

impl<const N: usize> Ring<N> {
    /// The samples but for the latest `latest`; the oldest stays in any case.
    #[must_use]
    pub fn before(&self, latest: usize) -> Self {
        let kept = self.samples.len().saturating_sub(latest).max(1);
        let left_out = self.samples.len().saturating_sub(kept);
        let is_kept = |sample: &&Sample| usize::from(self.age(**sample)) < kept;
        Self {
            samples: self.samples.iter().filter(is_kept).copied().collect(),
            turn: (self.turn + (N - left_out) as u16) % N as u16,
        }
    }

    /// How many samples came before it.
    fn age(&self, sample: Sample) -> u16 {
        let oldest = (self.turn + N as u16 - self.samples.len() as u16) % N as u16;
        (sample.turn() + N as u16 - oldest) % N as u16
    }

    /// The samples in the order in which they came, each rounded down to its bin, in bytes.
    pub fn oldest_first(&self) -> Vec<u64> {
        let mut samples: Vec<Sample> = self.samples.to_vec();
        samples.sort_unstable_by_key(|&sample| self.age(sample));
        samples.into_iter().map(|sample| sample.bin().floor() as u64).collect()
    }
}

impl<const N: usize> FromIterator<u64> for Ring<N> {
    fn from_iter<T: IntoIterator<Item = u64>>(samples: T) -> Self {
        let mut ring = Self::default();
        samples.into_iter().for_each(|bytes| ring.add(bytes));
        ring
    }
}

impl<const N: usize> Samples for Ring<N> {
    fn count(&self) -> u32 {
        self.samples.len() as u32
    }

    fn descend(&self, mut visit: impl FnMut(Bin, u32) -> bool) {
        for sample in &self.samples {
            if sample.bin() == Bin(0) || !visit(sample.bin(), 1) {
                return;
            }
        }
    }
}

/// P(X ≥ x) at one x, with the tail index that the next level leans on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tail {
    /// The probability, above 0 and up to 1.
    pub p: f64,
    alpha: f64,
}

impl Tail {
    /// What is believed of a workstation's day before anything was seen:
    /// P(X ≥ x) = min(1, (x / 0.5 MiB)^−0.7); of a day with calls (x / 16 MiB)^−0.7.
    ///
    /// Two recorded workstation days gave Hill indices of 0.5 to 0.9 (DETECTION 3): infinite mean,
    /// so nothing here uses means or deviations. Of calls, published lengths and rates give 31 % above 64 MiB in
    /// an hour and 11 % above 256 MiB (EGRESS 4); this gives 38 and 14 % in a day.
    pub fn prior(class: Class, bytes: u64) -> Self {
        let scale = match class {
            Class::Bulk => PRIOR_SCALE,
            Class::Media => PRIOR_SCALE_OF_MEDIA,
        };
        Self::power_law(bytes, scale, PRIOR_ALPHA)
    }

    /// P(X ≥ x) = min(1, (x / scale)^−alpha).
    pub fn power_law(x: u64, scale: f64, alpha: f64) -> Self {
        let ratio = x as f64 / scale;
        let p = if ratio <= 1.0 { 1.0 } else { libm::pow(ratio, -alpha) };
        Self { p, alpha }
    }

    /// The tail of the largest of so many: at most as many times as likely (Bonferroni).
    #[must_use]
    pub fn of_largest(self, of: f64) -> Self {
        Self { p: (self.p * of).min(1.0), ..self }
    }

    /// The tail after looking at `samples`, which outweigh the parent when there are more than `weight`.
    ///
    /// Rank within the samples (empirical survival function); beyond the k-th largest a power law
    /// (Weissman 1978) with the index of Hill (1975), shrunk to the parent's by a gamma prior of
    /// weight 4; then P = (n·F + c·P′) / (n + c). A sample that was cut off below `bytes` counts for what the power
    /// law says is left of it (Efron 1967), and not for the index: else what is kept out under suspicion
    /// would make the next of its kind suspicious earlier, and so on.
    #[must_use]
    pub fn refine(self, samples: &impl Samples, bytes: u64, weight: f64) -> Self {
        let n = samples.count();
        if n == 0 {
            return self;
        }
        let edge = Edge::of(samples);
        let mut log_sum = 0.0;
        samples.descend(|bin, count| {
            let is_above = bin > edge.bin;
            if is_above {
                log_sum += f64::from(count) * (bin.ln() - edge.bin.ln());
            }
            is_above
        });
        let alpha = (f64::from(edge.above - edge.censored) + 4.0) / (log_sum + 4.0 / self.alpha);
        let alpha = alpha.clamp(ALPHA_MIN, ALPHA_MAX);
        let rank = samples.at_or_above(bytes);
        let survival = if rank > edge.at_or_above || edge.bin == Bin(0) {
            (f64::from(rank) + left_of(samples, Bin::of(bytes), alpha)) / f64::from(n)
        } else {
            let beyond = libm::pow((bytes as f64 / edge.bin.floor()).max(1.0), -alpha);
            let at_edge = f64::from(edge.at_or_above) + left_of(samples, edge.bin, alpha);
            at_edge / f64::from(n) * beyond
        };
        let n = f64::from(n);
        Self { p: (n * survival + weight * self.p) / (n + weight), alpha }
    }
}

/// How many of the samples that were cut off below `bin` would have come to it.
fn left_of(samples: &impl Samples, bin: Bin, alpha: f64) -> f64 {
    let mut left = 0.0;
    samples.descend_censored(|censored, count| {
        if censored < bin {
            left += f64::from(count) * libm::exp(alpha * (censored.ln() - bin.ln()));
        }
        true
    });
    left
}

/// Where the rank ends and the power law begins.
struct Edge {
    bin: Bin,
    /// Samples in the edge's bin and above.
    at_or_above: u32,
    /// Samples above the edge's bin.
    above: u32,
    /// Of these, those that were cut off.
    censored: u32,
}

impl Edge {
    /// The bin of the k-th largest sample, k = max(4, 5 % of all), zeros aside.
    fn of(samples: &impl Samples) -> Self {
        let k = (samples.count() / 20).max(4);
        let mut edge = Self { bin: Bin(0), at_or_above: 0, above: 0, censored: 0 };
        samples.descend(|bin, count| {
            let above = edge.at_or_above;
            edge = Self { bin, above, at_or_above: above + count, censored: 0 };
            edge.at_or_above < k
        });
        samples.descend_censored(|bin, count| {
            let is_above = bin > edge.bin;
            edge.censored += if is_above { count } else { 0 };
            is_above
        });
        edge
    }
}

/// Eight for each of 64 octaves, and one for no bytes.
const BINS: usize = 513;

/// Bins are below 2^10.
const TURN_BITS: u16 = 6;

const PRIOR_SCALE: f64 = 524_288.0;
const PRIOR_SCALE_OF_MEDIA: f64 = 16_777_216.0;
const PRIOR_ALPHA: f64 = 0.7;

/// Bounds of the tail index. Small or synthetic histories look bounded; above 2 they would grant
/// several bits for nothing (DETECTION 3).
const ALPHA_MIN: f64 = 0.4;
const ALPHA_MAX: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histogram(samples: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        samples.iter().for_each(|&bytes| histogram.add(bytes));
        histogram
    }

    #[test]
    fn bins_hold_what_their_floor_says() {
        for bytes in [1, 2, 3, 7, 8, 9, 1000, 1 << 20, u64::MAX] {
            let floor = Bin::of(bytes).floor();
            assert!(floor <= bytes as f64 && bytes as f64 <= floor * 1.126, "{bytes} {floor}");
        }
        assert_eq!(Bin::of(0), Bin(0));
    }

    #[test]
    fn without_samples_the_parent_speaks() {
        let prior = Tail::prior(Class::Bulk, 100 << 20);
        assert_eq!(prior.refine(&Histogram::default(), 100 << 20, 20.0), prior);
        assert!((prior.p - 200f64.powf(-0.7)).abs() < 1e-9);
    }

    /// A host that sends 30 MB every day must not be surprised by 30 MB, and should be by 3 GB.
    #[test]
    fn habit_is_no_surprise() {
        let daily = histogram(&[30_000_000; 20]);
        let usual = Tail::prior(Class::Bulk, 30_000_000).refine(&daily, 30_000_000, 5.0);
        assert!(usual.p > 0.7, "{}", usual.p);
        let much = Tail::prior(Class::Bulk, 3_000_000_000).refine(&daily, 3_000_000_000, 5.0);
        assert!(much.p < 0.05, "{}", much.p);
    }

    /// What is cut off because it is suspicious must not make the next of its kind more suspicious, and that again the next.
    #[test]
    fn cutting_off_changes_little() {
        let days: Vec<u64> = (1..=1000).map(|rank| (1e9 / f64::from(rank)) as u64).collect();
        let p = |most: u64, bytes: u64| {
            let mut samples = Histogram::default();
            days.iter().for_each(|&day| samples.take((day.min(most), day > most)));
            Tail::prior(Class::Bulk, bytes).refine(&samples, bytes, 20.0).p
        };
        for bytes in [10_000_000, 50_000_000, 300_000_000] {
            let (whole, cut) = (p(u64::MAX, bytes), p(20_000_000, bytes));
            assert!((0.5..2.0).contains(&(cut / whole)), "{bytes}: {cut} of {whole}");
        }
    }

    #[test]
    fn days_of_nothing_count_as_days() {
        let mut samples = vec![0; 300];
        samples.extend([5_000_000, 6_000_000, 200_000]);
        let tail =
            Tail::prior(Class::Bulk, 5_000_000).refine(&histogram(&samples), 5_000_000, 20.0);
        assert!(tail.p < 0.03, "{}", tail.p);
    }

    proptest! {
        /// A ring is the histogram of its latest samples.
        #[test]
        fn a_ring_holds_the_latest(samples in prop::collection::vec(0u64..1 << 40, 0..150)) {
            let mut ring = Ring::<60>::default();
            samples.iter().for_each(|&bytes| ring.add(bytes));
            let histogram = histogram(&samples[samples.len().saturating_sub(60)..]);
            fn bins(samples: &impl Samples) -> (u32, Vec<Bin>) {
                let mut bins = Vec::new();
                samples.descend(|bin, count| {
                    bins.extend((0..count).map(|_| bin));
                    true
                });
                (samples.count(), bins)
            }
            prop_assert_eq!(bins(&ring), bins(&histogram));
            // Written out and read back it is the same.
            let again: Ring<60> = ring.oldest_first().into_iter().collect();
            prop_assert_eq!(bins(&again), bins(&ring));
            prop_assert_eq!(again.oldest_first(), ring.oldest_first());
            for latest in [0, 1, 5, 60] {
                let mut before = ring.oldest_first();
                before.truncate(before.len().saturating_sub(latest).max(1));
                prop_assert_eq!(ring.before(latest).oldest_first(), before);
            }
        }

        /// More bytes are never less surprising: looks in flight would otherwise depend on their times.
        #[test]
        fn more_bytes_are_never_more_likely(
            days in prop::collection::vec((0u64..1 << 34, any::<bool>()), 0..80),
            a in 1u64..1 << 36, b in 1u64..1 << 36,
        ) {
            let mut samples = Histogram::default();
            days.into_iter().for_each(|day| samples.take(day));
            let (less, more) = (a.min(b), a.max(b));
            let p = |bytes| Tail::prior(Class::Bulk, bytes).refine(&samples, bytes, 10.0).p;
            prop_assert!(p(more) <= p(less) * (1.0 + 1e-9));
            prop_assert!(p(more) > 0.0);
        }
    }
}
