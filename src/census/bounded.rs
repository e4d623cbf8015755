//! A map of at most so many entries.

use std::hash::Hash;

use indexmap::IndexMap;

use crate::arena::Hand;

/// Holds at most so many entries. When it is full, the lightest among the next few makes room.
#[derive(Debug, Clone)]
pub(super) struct Bounded<K, V> {
    entries: IndexMap<K, V, foldhash::fast::RandomState>,
    max: usize,
    /// Where the search for something to forget goes on.
    hand: Hand,
    evicted: u64,
}

impl<K: Eq + Hash, V> Bounded<K, V> {
    /// An empty one for at least one entry.
    pub(super) fn new(max: usize) -> Self {
        Self { entries: IndexMap::default(), max: max.max(1), hand: Hand::default(), evicted: 0 }
    }

    /// The value of a key, new where there is none, and the one that had to go for it.
    pub(super) fn entry(
        &mut self,
        key: K,
        new: impl FnOnce() -> V,
        weight: impl Fn(&V) -> u64,
    ) -> (&mut V, Option<V>) {
        let is_full = self.entries.len() >= self.max && !self.entries.contains_key(&key);
        let gone = if is_full { self.evict(weight) } else { None };
        (self.entries.entry(key).or_insert_with(new), gone)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    fn evict(&mut self, weight: impl Fn(&V) -> u64) -> Option<V> {
        let sample = self.hand.next(self.entries.len());
        let lightest = sample.min_by_key(|&place| weight(&self.entries[place]))?;
        self.evicted += 1;
        // The last one takes its place, so that the hand moves on over all of them.
        self.entries.swap_remove_index(lightest).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flood of newcomers must not wash out the one that matters.
    #[test]
    fn the_heavy_ones_stay() {
        let mut sums = Bounded::new(100);
        let mut gone = 0;
        *sums.entry(7, || 0, |&sum| sum).0 += 1_000_000u64;
        for key in 1000..11_000 {
            let (sum, lightest) = sums.entry(key, || 0, |&sum| sum);
            *sum += 1;
            gone += lightest.unwrap_or(0);
        }
        let held: u64 = sums.iter().map(|(_, &sum)| sum).sum();
        assert_eq!((sums.iter().count(), sums.evicted()), (100, 9901));
        assert_eq!(held + gone, 1_010_000, "nothing is lost on the way");
        assert!(sums.iter().any(|(&key, &sum)| (key, sum) == (7, 1_000_000)));
    }
}
