//! Values that stay where they are: growing moves nothing, so no packet waits for a copy of the table.

use std::collections::HashSet;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// Values by number, in chunks. Numbers of values taken out are given again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Arena<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Arena<T> {
    /// No values.
    pub fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }

    /// Numbers given out so far, those taken back included.
    pub fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    /// Were no numbers given out?
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The value with this number, if it was given out.
    pub fn get(&self, number: u32) -> Option<&T> {
        self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)
    }

    /// Takes a value in; answers its number.
    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self[number] = value;
            return number;
        }
        let number = self.len() as u32;
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(value),
            Some(_) | None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
        number
    }

    /// The number taken back that is given again next, if there is one.
    pub fn next_free(&self) -> Option<u32> {
        self.free.last().copied()
    }

    /// Gives `number` to the next value that comes.
    pub fn free(&mut self, number: u32) {
        self.free.push(number);
    }

    /// The values whose numbers were not taken back.
    pub fn held(&self) -> impl Iterator<Item = (u32, &T)> {
        let free: HashSet<u32> = self.free.iter().copied().collect();
        self.numbered().filter(move |(number, _)| !free.contains(number))
    }

    /// All values, also what is left of those whose numbers were taken back.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().flatten().zip(0..).map(|(value, number)| (number, value))
    }

    /// The same, to change.
    pub fn held_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let free: HashSet<u32> = self.free.iter().copied().collect();
        let values = self.chunks.iter_mut().flatten();
        let numbered = values.zip(0..).map(|(value, number)| (number, value));
        numbered.filter(move |(number, _)| !free.contains(number))
    }

    /// Takes everything out, and gives its memory back.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.free.clear();
    }
}

impl<T> Index<u32> for Arena<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

const CHUNK: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_again() {
        let mut arena = Arena::new();
        let numbers: Vec<u32> = (0..1000).map(|value| arena.insert(value)).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        arena.free(300);
        assert_eq!((arena.insert(-1), arena[300], arena.len()), (300, -1, 1000));
        assert_eq!(
            (arena.get(999), arena.get(1000), arena.get(u32::MAX)),
            (Some(&999), None, None)
        );
        arena.clear();
        assert_eq!((arena.len(), arena.insert(5)), (0, 0));
    }
}
