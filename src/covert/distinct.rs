//! How much different things tell, each counted once, in little memory.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// The sum of the weights of all different items, of which each may come any number of times.
///
/// Up to [`Distinct::EXACT`] items are remembered and the sum is exact. Beyond, a HyperLogLog (Flajolet,
/// Fusy, Gandouet and Meunier 2007) of m = 256 registers remembers which have probably been there. It is not
/// read as such, though: when an item changes a register, its weight is added divided by the
/// probability that a new item would have done so,
///
/// `sum += w / p,  p = (1/m) Σ 2^−register`,
///
/// the historic inverse probability estimator of Cohen (2014) and Ting (2014), here with weights: whether an item
/// changes anything depends on its hash alone, so the sum has no bias for any weights. An item that has been
/// there never changes it, and for equal weights its relative standard error is about √(ln 2 / m) = 5.2 %; for weights
/// whose coefficient of variation is v, √(1 + v²) times that. What is told is never more than the sum over all
/// that came, and never falls.
///
/// Whoever chooses the items must not know `key`: he could choose such as change nothing.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Distinct {
    items: Items,
    sum: f64,
    count: f64,
    /// Of all items, those that had been there again: no sum is larger.
    all_sum: u64,
    all_count: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Items {
    Few(SmallVec<[u64; 2]>),
    Many(Registers),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Registers {
    places: Vec<u8>,
    /// Σ 2^−register, in 2^−55.
    open: u64,
}

impl Default for Items {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl Distinct {
    /// Items up to which the sum is exact.
    pub const EXACT: usize = 32;
    /// Memory that it takes at most, in bytes, its own structure aside.
    pub const HEAP_BYTES: usize = Self::EXACT * size_of::<u64>();

    /// Adds an item by its digest; answers whether it was taken for one that had not been there.
    pub fn add(&mut self, digest: u64, weight: u32, key: u64) -> bool {
        self.all_sum += u64::from(weight);
        self.all_count += 1;
        let hash = mix(digest ^ key);
        let chance = match &mut self.items {
            Items::Few(known) if known.contains(&hash) => return false,
            Items::Few(known) if known.len() < Self::EXACT => {
                known.push(hash);
                1.0
            }
            Items::Few(known) => {
                let mut registers = Registers::new();
                known.iter().for_each(|&hash| {
                    registers.take(hash);
                });
                let chance = registers.take(hash);
                self.items = Items::Many(registers);
                match chance {
                    Some(chance) => chance,
                    None => return false,
                }
            }
            Items::Many(registers) => match registers.take(hash) {
                Some(chance) => chance,
                None => return false,
            },
        };
        self.sum += f64::from(weight) / chance;
        self.count += 1.0 / chance;
        true
    }

    /// The sum of the weights.
    pub fn sum(&self) -> u64 {
        (self.sum as u64).min(self.all_sum)
    }

    /// How many different items there were.
    pub fn count(&self) -> u64 {
        (self.count as u64).min(self.all_count)
    }
}

impl Registers {
    fn new() -> Self {
        Self { places: vec![0; REGISTERS], open: (REGISTERS as u64) << SCALE }
    }

    /// Takes a hash; if that changes anything, answers how likely a new one was to do so.
    fn take(&mut self, hash: u64) -> Option<f64> {
        let place = self.places.get_mut(hash as usize % REGISTERS)?;
        // Of the hash's other bits: leading zeros, and one.
        let rank = (hash >> 8 << 8).leading_zeros().min(SCALE - 1) as u8 + 1;
        if rank <= *place {
            return None;
        }
        let share = |rank: u8| 1u64 << (SCALE - u32::from(rank));
        let chance = self.open as f64 / ((REGISTERS as u64) << SCALE) as f64;
        self.open = self.open - share(*place) + share(rank);
        *place = rank;
        Some(chance)
    }
}

/// Spreads 64 bits over one another, and loses none (the finaliser of SplitMix64; Steele, Lea and Flood 2014).
pub(super) fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// As many bytes as the exact items take.
const REGISTERS: usize = Distinct::EXACT * size_of::<u64>();

/// The largest rank, less than the bits of a hash that are no register's number.
const SCALE: u32 = 55;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    fn sum(items: impl IntoIterator<Item = (u64, u32)>, key: u64) -> Distinct {
        let mut distinct = Distinct::default();
        for (item, weight) in items {
            distinct.add(item, weight, key);
        }
        distinct
    }

    proptest! {
        /// Few items are counted as a naive count does, in any order, however often they come.
        #[test]
        fn few_are_counted_exactly(
            weights in prop::collection::btree_map(any::<u64>(), 0u32..2000, 0..Distinct::EXACT),
            turns in prop::collection::vec(any::<prop::sample::Index>(), 0..100), key: u64,
        ) {
            let weights: BTreeMap<u64, u32> = weights;
            let items: Vec<(u64, u32)> = weights.into_iter().collect();
            let again = turns.iter().filter(|_| !items.is_empty()).map(|turn| *turn.get(&items));
            let distinct = sum(items.iter().copied().chain(again), key);
            let naive: u64 = items.iter().map(|&(_, weight)| u64::from(weight)).sum();
            prop_assert_eq!((distinct.sum(), distinct.count()), (naive, items.len() as u64));
            prop_assert_eq!(sum(items.into_iter().rev(), key).sum(), naive);
        }

        /// A sum never falls, and what comes a third time tells nothing.
        #[test]
        fn it_only_grows_and_only_by_news(count in 0u64..3000, key: u64) {
            let mut distinct = Distinct::default();
            let mut last = 0;
            for item in (0..count).chain(0..count) {
                distinct.add(mix(item), 100, key);
                prop_assert!(distinct.sum() >= last);
                last = distinct.sum();
            }
            for item in 0..count {
                distinct.add(mix(item), 100, key);
            }
            prop_assert_eq!(distinct.sum(), last);
        }
    }

    /// The stated error, and no bias, over many keys; with weights as names have them.
    #[test]
    fn many_are_counted_as_well_as_said() {
        for count in [100u64, 1000, 20_000] {
            let weight = |item: u64| 20 + (item % 60) as u32;
            let truth: u64 = (0..count).map(|item| u64::from(weight(item))).sum();
            let errors: Vec<f64> = (0..100)
                .map(|key| {
                    // Twice each, so that how many came bounds nothing.
                    let items = (0..2 * count).map(|at| (at % count, weight(at % count)));
                    sum(items, mix(key)).sum() as f64 / truth as f64 - 1.0
                })
                .collect();
            let mean = errors.iter().sum::<f64>() / 100.0;
            let spread = (errors.iter().map(|error| error * error).sum::<f64>() / 100.0).sqrt();
            assert!(mean.abs() < 0.02 && spread < 0.075, "{count}: {mean} {spread}");
        }
    }

    /// A million names in no more memory than thirty-three.
    #[test]
    fn a_million_take_no_more_room() {
        let distinct = sum((0..2_000_000).map(|at| (at % 1_000_000, 8)), 1);
        let error = distinct.sum() as f64 / 8e6 - 1.0;
        assert!(error.abs() < 0.2, "{error}");
        let Items::Many(registers) = &distinct.items else { panic!("no registers") };
        assert_eq!(registers.places.capacity(), Distinct::HEAP_BYTES);
    }
}
