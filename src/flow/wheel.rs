//! A timing wheel of one-second slots (Varghese and Lauck, SOSP 1987) for the idle timers of flows.

use crate::arena::NIL;

/// Doubly linked lists of entries, one list for each second of the turn.
///
/// A deadline further away than one turn waits in the turn's last slot and is asked again then: a
/// turn costs each live entry one visit, and a gap of years costs one turn.
#[derive(Debug, Clone)]
pub(super) struct Wheel {
    heads: Vec<u32>,
    links: Vec<Links>,
    /// The second up to which everything has fired.
    now: u64,
}

#[derive(Debug, Clone, Copy)]
struct Links {
    slot: u32,
    before: u32,
    after: u32,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { heads: vec![NIL; SLOTS as usize], links: Vec::new(), now: 0 }
    }

    /// Puts `entry`, which is in no slot, where the second `deadline` will find it.
    pub(super) fn insert(&mut self, entry: u32, deadline: u64) {
        let deadline = deadline.clamp(self.now + 1, self.now + SLOTS - 1);
        let slot = (deadline % SLOTS) as u32;
        let after = std::mem::replace(&mut self.heads[slot as usize], entry);
        if after != NIL {
            self.links[after as usize].before = entry;
        }
        if self.links.len() <= entry as usize {
            self.links.resize(entry as usize + 1, Links { slot: NIL, before: NIL, after: NIL });
        }
        self.links[entry as usize] = Links { slot, before: NIL, after };
    }

    /// Takes `entry` out of its slot, if it is in one.
    pub(super) fn remove(&mut self, entry: u32) {
        let Links { slot, before, after } = self.links[entry as usize];
        if slot == NIL {
            return;
        }
        match before {
            NIL => self.heads[slot as usize] = after,
            _ => self.links[before as usize].after = after,
        }
        if after != NIL {
            self.links[after as usize].before = before;
        }
        self.links[entry as usize].slot = NIL;
    }

    /// Moves on to second `now` and takes out every entry whose slot was passed.
    ///
    /// Some are early (their deadline was more than a turn away): the caller puts those back.
    pub(super) fn advance(&mut self, now: u64, due: &mut Vec<u32>) {
        let passed = now.saturating_sub(self.now).min(SLOTS);
        self.now = self.now.max(now);
        for second in (self.now + 1 - passed)..=self.now {
            let mut entry = std::mem::replace(&mut self.heads[(second % SLOTS) as usize], NIL);
            while entry != NIL {
                due.push(entry);
                let links = &mut self.links[entry as usize];
                links.slot = NIL;
                entry = links.after;
            }
        }
    }

    /// Empties the wheel and sets it to second `now`, which may be earlier.
    pub(super) fn reset(&mut self, now: u64) {
        self.heads.fill(NIL);
        self.links.clear();
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
        wheel.remove(2);
        assert!(due(&mut wheel, 1002).is_empty());
        assert_eq!(due(&mut wheel, 1004), [1]);
        assert_eq!(due(&mut wheel, 1005), [0]);
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
