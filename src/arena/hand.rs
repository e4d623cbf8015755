//! Where the search for something to forget goes on.

use serde::{Deserialize, Serialize};

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
}
