//! Sums over sliding windows of packet time.

use std::time::Duration;

use crate::time::Timestamp;

/// The windows that egress is summed in: 1 min, 10 min, 1 h and 24 h.
pub const WINDOWS: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(3600),
    Duration::from_secs(86_400),
];

/// One number for each of [`WINDOWS`].
pub type WindowSums = [u64; WINDOWS.len()];

/// Bytes in the last `window`, in twenty slots: the sum spans between 19/20 and all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlidingSum {
    slot_nanos: u64,
    /// Number of the newest slot since the epoch.
    newest: u64,
    sum: u64,
    slots: [u64; SLOTS],
}

impl SlidingSum {
    /// An empty sum over `window`.
    pub fn new(window: Duration) -> Self {
        let slot_nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX) / SLOTS as u64;
        Self { slot_nanos: slot_nanos.max(1), newest: 0, sum: 0, slots: [0; SLOTS] }
    }

    /// Adds bytes sent at `at` and answers the sum up to the newest moment seen.
    ///
    /// What is older than the window is not added. A clock set back by more than a window starts anew.
    pub fn add(&mut self, at: Timestamp, bytes: u64) -> u64 {
        let nanos = at.as_nanos();
        // Most additions fall into the newest slot, and a division is the dearest thing here.
        let is_newest = nanos.wrapping_sub(self.newest * self.slot_nanos) < self.slot_nanos;
        let slot = if is_newest { self.newest } else { nanos / self.slot_nanos };
        if slot + 2 * (SLOTS as u64) < self.newest {
            *self = Self { newest: slot, sum: 0, slots: [0; SLOTS], ..*self };
        }
        self.slide_to(slot);
        if slot + (SLOTS as u64) > self.newest {
            self.slots[(slot % SLOTS as u64) as usize] += bytes;
            self.sum += bytes;
        }
        self.sum
    }

    /// The sum as it was after the latest addition.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    fn slide_to(&mut self, slot: u64) {
        let steps = slot.saturating_sub(self.newest).min(SLOTS as u64);
        for step in 0..steps {
            let old = &mut self.slots[((slot - step) % SLOTS as u64) as usize];
            self.sum -= std::mem::take(old);
        }
        self.newest = self.newest.max(slot);
    }
}

const SLOTS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs_nanos(secs, 0)
    }

    #[test]
    fn bytes_leave_after_the_window() {
        let mut sum = SlidingSum::new(WINDOWS[0]);
        assert_eq!(sum.add(at(1000), 5), 5);
        assert_eq!(sum.add(at(1050), 7), 12);
        assert_eq!(sum.add(at(1063), 0), 7);
        assert_eq!(sum.add(at(2000), 1), 1);
        assert_eq!(sum.add(at(4_000_000_000), 2), 2);
    }

    proptest! {
        /// Never more than what was sent in the window, never less than in 19/20 of it.
        #[test]
        fn sum_is_between_its_bounds(steps in prop::collection::vec((0u64..40, 0u64..1000), 1..80)) {
            let mut sum = SlidingSum::new(WINDOWS[0]);
            let (mut now, mut sent) = (10_000, Vec::new());
            for (step, bytes) in steps {
                now += step;
                sent.push((now, bytes));
                let got = sum.add(at(now), bytes);
                let within = |secs: u64| -> u64 {
                    sent.iter().filter(|&&(when, _)| when + secs > now).map(|&(_, bytes)| bytes).sum()
                };
                prop_assert!(within(57) <= got && got <= within(60), "{} {got} {}", within(57), within(60));
            }
        }
    }
}
