//! Where the search for something to forget goes on.

use std::hash::{BuildHasher, Hash};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::prefetch_whole;

/// Goes round over the places of a table, a few at a time: of these the caller forgets one. So a full table
/// loses what matters least of a few, at a cost that does not grow with it.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Hand(usize);

impl Hand {
    /// The next few places of a table that has `len`.
    pub fn next(&mut self, len: usize) -> impl Iterator<Item = usize> + use<> {
        let start = self.0;
        self.0 = start.wrapping_add(SAMPLE);
        (0..SAMPLE.min(len)).map(move |step| start.wrapping_add(step) % len)
    }

    /// Puts something new into a table that may have `max` entries: when it is full, into the place of the least of the
    /// next few. Answers where it stands, and what made room.
    pub fn put<K: Hash + Eq, V, S: BuildHasher, R: Ord>(
        &mut self,
        table: &mut IndexMap<K, V, S>,
        max: usize,
        (key, value): (K, V),
        rank: impl Fn(&V) -> R,
    ) -> (usize, Option<V>) {
        let least = (table.len() >= max)
            .then(|| self.next(table.len()).min_by_key(|&place| rank(&table[place])))
            .flatten();
        let Some(least) = least else { return table.insert_full(key, value) };
        // A full table stays full: those that are looked at the next time are there by then.
        let mut ahead = *self;
        ahead.next(table.len()).for_each(|place| prefetch_whole(&table[place]));
        let place = table.replace_index(least, key).map_or_else(|(known, _)| known, |_| least);
        (place, Some(std::mem::replace(&mut table[place], value)))
    }
}

const SAMPLE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_comes_round_and_none_twice_at_once() {
        let mut hand = Hand::default();
        assert_eq!(hand.next(0).count(), 0);
        assert_eq!(hand.next(3).count(), 3);
        let mut met = [0; 40];
        for _ in 0..10 {
            hand.next(40).for_each(|place| met[place] += 1);
        }
        assert_eq!(met, [2; 40]);
    }

    #[test]
    fn the_least_of_a_few_gives_way() {
        let (mut hand, mut table) = (Hand::default(), IndexMap::<u32, u32>::new());
        for key in 0..16 {
            let put = hand.put(&mut table, 16, (key, 100 - key), |&value| value);
            assert_eq!(put, (key as usize, None));
        }
        // The first eight, then the next; in the place of who goes stands who comes.
        assert_eq!(hand.put(&mut table, 16, (50, 1), |&value| value), (7, Some(93)));
        assert_eq!(hand.put(&mut table, 16, (51, 2), |&value| value), (15, Some(85)));
        assert_eq!((table.get_index(7), table.get_index(15)), (Some((&50, &1)), Some((&51, &2))));
        assert_eq!((table.len(), table.get(&7), table.get(&6)), (16, None, Some(&94)));
    }
}
