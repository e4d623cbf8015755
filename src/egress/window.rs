//! Sums over sliding windows of packet time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arena::prefetch_whole;
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

/// Bytes in the last minute, ten minutes, hour and day, each in twenty slots: a sum spans between 19/20
/// of its window and all of it.
///
/// Nearly all additions fall into the newest slots, whose latest bytes are kept apart, beside the sums: so these
/// few bytes are all that an addition touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// Numbers of the newest slots since the epoch.
    newest: [u64; WINDOWS.len()],
    sums: WindowSums,
    /// What the newest slots hold beside what stands in `slots`.
    #[serde(default)]
    latest: [u64; WINDOWS.len()],
    slots: [[u64; SLOTS]; WINDOWS.len()],
}

impl Windows {
    /// Empty sums.
    pub fn new() -> Self {
        Self {
            newest: [0; WINDOWS.len()],
            sums: [0; WINDOWS.len()],
            latest: [0; WINDOWS.len()],
            slots: [[0; SLOTS]; WINDOWS.len()],
        }
    }

    /// Adds bytes sent at `at`.
    ///
    /// What is older than a window is not added to it. A clock set back by more than a window starts
    /// that one anew.
    pub fn add(&mut self, at: Timestamp, bytes: u64) {
        let nanos = at.as_nanos();
        for (window, slot_nanos) in SLOT_NANOS.into_iter().enumerate() {
            // Most additions fall into the newest slot, and a division is the dearest thing here.
            if nanos.wrapping_sub(self.newest[window] * slot_nanos) < slot_nanos {
                self.latest[window] += bytes;
                self.sums[window] += bytes;
            } else {
                self.slide(window, nanos / slot_nanos, bytes);
            }
        }
    }

    /// Adds all that others hold, as if it had been added here.
    pub(super) fn absorb(&mut self, other: &Self) {
        for window in 0..WINDOWS.len() {
            let newest = other.newest[window];
            // The newest first: what is then left of the others is within one window of it.
            for slot in (newest.saturating_sub(SLOTS as u64 - 1)..=newest).rev() {
                let latest = if slot == newest { other.latest[window] } else { 0 };
                let bytes = other.slots[window][slot_at(slot)] + latest;
                if bytes > 0 && slot + SLOTS as u64 > self.newest[window] {
                    self.slide(window, slot, bytes);
                }
            }
        }
    }

    /// The sums as they were after the latest addition.
    pub fn sums(&self) -> WindowSums {
        self.sums
    }

    /// Asks for what an addition to the newest slots looks at.
    pub(super) fn prefetch(&self) {
        prefetch_whole(&self.newest);
        prefetch_whole(&self.sums);
        prefetch_whole(&self.latest);
    }

    fn slide(&mut self, window: usize, slot: u64, bytes: u64) {
        let (newest, sum) = (&mut self.newest[window], &mut self.sums[window]);
        let slots = &mut self.slots[window];
        slots[slot_at(*newest)] += std::mem::take(&mut self.latest[window]);
        if slot + 2 * (SLOTS as u64) < *newest {
            (*newest, *sum, *slots) = (slot, 0, [0; SLOTS]);
        }
        let steps = slot.saturating_sub(*newest).min(SLOTS as u64);
        for step in 0..steps {
            *sum -= std::mem::take(&mut slots[slot_at(slot - step)]);
        }
        *newest = slot.max(*newest);
        if slot + (SLOTS as u64) > *newest {
            slots[slot_at(slot)] += bytes;
            *sum += bytes;
        }
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self::new()
    }
}

fn slot_at(number: u64) -> usize {
    (number % SLOTS as u64) as usize
}

const SLOT_NANOS: WindowSums = {
    let mut nanos = [0; WINDOWS.len()];
    let mut window = 0;
    while window < WINDOWS.len() {
        nanos[window] = WINDOWS[window].as_nanos() as u64 / SLOTS as u64;
        window += 1;
    }
    nanos
};

const SLOTS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs_nanos(secs, 0)
    }

    fn minute(windows: &mut Windows, secs: u64, bytes: u64) -> u64 {
        windows.add(at(secs), bytes);
        windows.sums()[0]
    }

    #[test]
    fn bytes_leave_after_the_window() {
        let mut windows = Windows::new();
        assert_eq!(minute(&mut windows, 1000, 5), 5);
        assert_eq!(minute(&mut windows, 1050, 7), 12);
        assert_eq!(minute(&mut windows, 1063, 0), 7);
        assert_eq!(minute(&mut windows, 2000, 1), 1);
        assert_eq!(windows.sums(), [1, 1, 13, 13]);
        assert_eq!(minute(&mut windows, 4_000_000_000, 2), 2);
        assert_eq!(windows.sums(), [2; 4]);
    }

    proptest! {
        /// Never more than what was sent in the window, never less than in 19/20 of it.
        #[test]
        fn sum_is_between_its_bounds(steps in prop::collection::vec((0u64..40, 0u64..1000), 1..80)) {
            let mut windows = Windows::new();
            let (mut now, mut sent) = (10_000, Vec::new());
            for (step, bytes) in steps {
                now += step;
                sent.push((now, bytes));
                windows.add(at(now), bytes);
                for (window, got) in WINDOWS.iter().zip(windows.sums()) {
                    let within = |secs: u64| -> u64 {
                        sent.iter().filter(|&&(when, _)| when + secs > now).map(|&(_, bytes)| bytes).sum()
                    };
                    let secs = window.as_secs();
                    let (least, most) = (within(secs - secs / 20), within(secs));
                    prop_assert!(least <= got && got <= most, "{least} {got} {most}");
                }
            }
        }

        /// Two hosts that turn out to be one have sent what one would have.
        #[test]
        fn two_are_one(steps in prop::collection::vec((0u64..5000, 0u64..1000, any::<bool>()), 1..80)) {
            let (mut now, mut one, mut other, mut both) =
                (10_000, Windows::new(), Windows::new(), Windows::new());
            for (step, bytes, is_one) in steps {
                now += step;
                if is_one { &mut one } else { &mut other }.add(at(now), bytes);
                both.add(at(now), bytes);
            }
            one.absorb(&other);
            // Slides to the latest, where nothing was added to either.
            one.add(at(now), 0);
            prop_assert_eq!(one.sums(), both.sums());
        }
    }
}
