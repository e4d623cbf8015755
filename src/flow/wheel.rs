//! A timing wheel of one-second slots (Varghese and Lauck, SOSP 1987) for the idle timers of flows.

/// Entries by the second at which to look at them.
///
/// An entry whose deadline moves is not looked for: it is put in again, and the caller, who knows
/// which second it waits for, passes over it where it stood before. A deadline further away than
/// one turn waits in the turn's last slot and is asked again then: a turn costs each live entry one
/// visit, and a gap of years costs one turn.
#[derive(Debug, Clone)]
pub(super) struct Wheel {
    slots: Vec<Vec<u32>>,
    /// The second up to which everything has fired.
    now: u64,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { slots: vec![Vec::new(); SLOTS as usize], now: 0 }
    }

    /// Puts `entry` where the second `deadline` will find it; answers the slot.
    pub(super) fn insert(&mut self, entry: u32, deadline: u64) -> u16 {
        let deadline = deadline.clamp(self.now + 1, self.now + SLOTS - 1);
        let slot = deadline % SLOTS;
        self.slots[slot as usize].push(entry);
        slot as u16
    }

    /// Moves on to second `now`, and takes out every entry whose slot was passed, with that slot.
    ///
    /// Some are early (their deadline was more than a turn away): the caller puts those back.
    pub(super) fn advance(&mut self, now: u64, due: &mut Vec<(u16, u32)>) {
        let passed = now.saturating_sub(self.now).min(SLOTS);
        self.now = self.now.max(now);
        for second in (self.now + 1 - passed)..=self.now {
            let slot = second % SLOTS;
            let entries = std::mem::take(&mut self.slots[slot as usize]);
            due.extend(entries.into_iter().map(|entry| (slot as u16, entry)));
        }
    }

    /// Empties the wheel and sets it to second `now`, which may be earlier.
    pub(super) fn reset(&mut self, now: u64) {
        self.slots.iter_mut().for_each(Vec::clear);
        self.now = now;
    }
}

/// One turn: longer than the usual timeouts, so that most entries are visited once.
const SLOTS: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut entries = Vec::new();
        wheel.advance(now, &mut entries);
        let mut entries: Vec<u32> = entries.into_iter().map(|(_, entry)| entry).collect();
        entries.sort_unstable();
        entries
    }

    #[test]
    fn entries_come_out_at_their_second() {
        let mut wheel = Wheel::new();
        wheel.reset(1000);
        for (entry, deadline) in [(0, 1005), (1, 1003), (2, 1005), (3, 1400)] {
            wheel.insert(entry, deadline);
        }
        assert!(due(&mut wheel, 1002).is_empty());
        assert_eq!(due(&mut wheel, 1004), [1]);
        assert_eq!(due(&mut wheel, 1005), [0, 2]);
        assert_eq!(due(&mut wheel, 1500), [3]);
    }

    /// A broken frame from the year 2106 must not walk two billion slots, nor lose a timer.
    #[test]
    fn a_gap_of_years_costs_one_turn() {
        let mut wheel = Wheel::new();
        wheel.insert(7, 100_000);
        assert_eq!(due(&mut wheel, 4_000_000_000), [7]);
        wheel.insert(7, 4_000_000_001);
        assert_eq!(due(&mut wheel, 4_000_000_001), [7]);
    }
}
