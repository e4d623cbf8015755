//! The flows of a shard that are looked at over several packets, in the order in which that began.

use std::mem;

use super::look::Held;
use crate::arena::{Arena, NIL, prefetch_whole};
use crate::flow::FlowKey;

/// Looks by the numbers of their flows. One that goes on stays in its place, and is edited there.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// Where the look of each flow is, or [`NIL`].
    places: Vec<u32>,
    entries: Arena<Entry>,
    oldest: u32,
    newest: u32,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    flow: u32,
    key: FlowKey,
    held: Held,
    /// What `held` took when it was put there.
    bytes: u32,
    older: u32,
    newer: u32,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), entries: Arena::new(), oldest: NIL, newest: NIL, bytes: 0 }
    }

    /// Memory that the looks take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the look of a flow is, if there is one.
    pub(super) fn find(&self, flow: u32) -> Option<u32> {
        self.places.get(flow as usize).copied().filter(|&place| place != NIL)
    }

    /// Asks for the look of a flow.
    pub(super) fn approach(&self, flow: u32) {
        if let Some(place) = self.find(flow) {
            prefetch_whole(&self.entries[place]);
        }
    }

    /// Takes in the look of a flow that has none; answers where it is.
    pub(super) fn insert(&mut self, flow: u32, key: FlowKey, held: Held) -> u32 {
        let bytes = held.bytes() as u32;
        let entry = Entry { flow, key, bytes, held, older: self.newest, newer: NIL };
        self.bytes += bytes as usize + ENTRY_BYTES;
        let place = self.entries.insert(entry);
        if self.places.len() <= flow as usize {
            self.places.resize(flow as usize + 1, NIL);
        }
        self.places[flow as usize] = place;
        match mem::replace(&mut self.newest, place) {
            NIL => self.oldest = place,
            older => self.entries[older].newer = place,
        }
        place
    }

    /// A look at its place, to change it by less than what it takes.
    pub(super) fn at(&mut self, place: u32) -> &mut Held {
        &mut self.entries[place].held
    }

    /// Hands out a look; its place waits for it.
    pub(super) fn lend(&mut self, place: u32) -> Held {
        mem::take(&mut self.entries[place].held)
    }

    /// Takes a look back.
    pub(super) fn put_back(&mut self, place: u32, held: Held) {
        let entry = &mut self.entries[place];
        self.bytes -= entry.bytes as usize;
        entry.bytes = held.bytes() as u32;
        self.bytes += entry.bytes as usize;
        entry.held = held;
    }

    /// Takes out the look of a flow, and answers it with whose it was.
    pub(super) fn remove(&mut self, place: u32) -> (FlowKey, Held) {
        let entry = &mut self.entries[place];
        let (flow, key, held) = (entry.flow, entry.key, mem::take(&mut entry.held));
        let (bytes, older, newer) = (entry.bytes, entry.older, entry.newer);
        self.bytes -= bytes as usize + ENTRY_BYTES;
        match older {
            NIL => self.oldest = newer,
            _ => self.entries[older].newer = newer,
        }
        match newer {
            NIL => self.newest = older,
            _ => self.entries[newer].older = older,
        }
        self.places[flow as usize] = NIL;
        self.entries.free(place);
        (key, held)
    }

    /// The look that began first, if it is not the one at `place`; else the one after it.
    pub(super) fn oldest_but(&self, place: u32) -> Option<u32> {
        let oldest = if self.oldest == place { self.entries[place].newer } else { self.oldest };
        (oldest != NIL).then_some(oldest)
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.entries.clear();
        (self.oldest, self.newest, self.bytes) = (NIL, NIL, 0);
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> impl Iterator<Item = &Held> {
        let mut place = self.oldest;
        std::iter::from_fn(move || {
            let entry = self.entries.get(place)?;
            place = entry.newer;
            Some(&entry.held)
        })
    }
}

/// Memory of a look's place, in bytes.
pub(super) const ENTRY_BYTES: usize = size_of::<Entry>();
