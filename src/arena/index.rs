//! Numbers by hash: open addressing with linear probing (Knuth, TAOCP 3, section 6.4).

use super::{NIL, prefetch};

/// Numbers of values by a hash of their key.
///
/// Cells stand in the order of their hashes, whose upper bits are the cell's home. So the table
/// grows without asking anybody for a hash, and what is looked for lies in one cache line, or
/// two.
#[derive(Debug, Clone)]
pub struct Index {
    cells: Vec<Cell>,
    /// Bits that a hash is shifted right by to give its home.
    shift: u32,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    hash: u32,
    slot: u32,
}

impl Cell {
    const EMPTY: Self = Self { hash: 0, slot: NIL };

    fn is_empty(self) -> bool {
        self.slot == NIL
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// Nothing in it.
    pub fn new() -> Self {
        Self { cells: vec![Cell::EMPTY; 1 << CELLS_MIN_LOG2], shift: 32 - CELLS_MIN_LOG2, len: 0 }
    }

    /// Values held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is none held?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Asks for the cells of `hash` to be brought into the cache.
    pub fn prefetch(&self, hash: u32) {
        prefetch(&self.cells[self.home(hash)]);
    }

    /// The first slot with this hash for which `is_it` holds.
    pub fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let cell = self.cells[at];
            if cell.is_empty() {
                return None;
            }
            if cell.hash == hash && is_it(cell.slot) {
                return Some(cell.slot);
            }
            at = self.after(at);
        }
    }

    /// Adds a slot, which is not there yet.
    pub fn insert(&mut self, hash: u32, slot: u32) {
        if (self.len + 1) * 4 > self.cells.len() * 3 {
            self.grow();
        }
        self.place(Cell { hash, slot });
        self.len += 1;
    }

    /// Takes out a slot, which is there.
    pub fn remove(&mut self, hash: u32, slot: u32) {
        let mut hole = self.home(hash);
        while self.cells[hole].slot != slot {
            if self.cells[hole].is_empty() {
                return;
            }
            hole = self.after(hole);
        }
        self.len -= 1;
        // Algorithm R: what follows moves up, so that no search stops short of it.
        let mut at = hole;
        loop {
            at = self.after(at);
            let cell = self.cells[at];
            if cell.is_empty() {
                break;
            }
            let from_home = at.wrapping_sub(self.home(cell.hash)) & (self.cells.len() - 1);
            let from_hole = at.wrapping_sub(hole) & (self.cells.len() - 1);
            if from_home >= from_hole {
                self.cells[hole] = cell;
                hole = at;
            }
        }
        self.cells[hole] = Cell::EMPTY;
    }

    /// Takes everything out, and gives its memory back.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    fn home(&self, hash: u32) -> usize {
        (hash >> self.shift) as usize
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.cells.len() - 1)
    }

    fn place(&mut self, cell: Cell) {
        let mut at = self.home(cell.hash);
        while !self.cells[at].is_empty() {
            at = self.after(at);
        }
        self.cells[at] = cell;
    }

    fn grow(&mut self) {
        let doubled = vec![Cell::EMPTY; self.cells.len() * 2];
        let cells = std::mem::replace(&mut self.cells, doubled);
        self.shift -= 1;
        cells.into_iter().filter(|cell| !cell.is_empty()).for_each(|cell| self.place(cell));
    }
}

/// A new table holds so many cells: one page.
const CELLS_MIN_LOG2: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the simplest table there is. Hashes are few and lie at the table's end, so that
        /// runs of cells are long and go round.
        #[test]
        fn finds_what_was_put_in(steps in prop::collection::vec((0u32..400, any::<bool>()), 1..1500)) {
            let (mut index, mut model) = (Index::new(), std::collections::BTreeSet::new());
            let hash = |slot: u32| u32::MAX - (slot % 61) * (1 << 20);
            for (slot, is_in) in steps {
                match (is_in, model.contains(&slot)) {
                    (true, false) => index.insert(hash(slot), slot),
                    (false, true) => index.remove(hash(slot), slot),
                    _ => continue,
                }
                if is_in { model.insert(slot) } else { model.remove(&slot) };
                prop_assert_eq!(index.len(), model.len());
            }
            for slot in 0..400 {
                let found = index.find(hash(slot), |other| other == slot);
                prop_assert_eq!(found.is_some(), model.contains(&slot));
            }
        }
    }

    /// Taking out what is not there changes nothing; growing keeps everything.
    #[test]
    fn grows() {
        let mut index = Index::new();
        let hash = |slot: u32| slot.wrapping_mul(0x9e37_79b9);
        (0..10_000).for_each(|slot| index.insert(hash(slot), slot));
        index.remove(hash(20_000), 20_000);
        assert_eq!(index.len(), 10_000);
        assert!((0..10_000).all(|slot| index.find(hash(slot), |other| other == slot).is_some()));
        index.clear();
        assert_eq!((index.len(), index.find(hash(7), |_| true)), (0, None));
    }
}
