//! Relays inside: what they send outside is what others asked them to.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::Destination;
use crate::arena::Hand;
use crate::net::Addr;

/// What inside relays were asked to carry to each destination, and what they have carried there.
///
/// A relay is whoever was asked for one: nobody needs to declare it. A relay of mail passes on to whom it finds by
/// itself, perhaps many, and later: what it is asked to carry to all of them is one sum. What it carries beyond what it was
/// asked to is its own, so that asking a little of it does not hide what it sends itself. At most
/// [`Relays::MAX`] pairs of relay and destination are remembered; when there are more, the one asked least
/// of among the next few is forgotten, and what it carries is then its own.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Relays {
    legs: IndexMap<(Addr, Onward), Leg, foldhash::fast::RandomState>,
    /// Where the search for something to forget goes on.
    hand: Hand,
}

/// Where a relay is asked to carry something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Onward {
    /// To a destination that is named.
    To(Destination),
    /// As mail, to the servers of whoever it is for.
    Mail,
}

/// Bytes of one relay to one destination.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Leg {
    asked: u64,
    carried: u64,
}

impl Relays {
    /// Pairs of relay and destination remembered at most.
    pub const MAX: usize = 1 << 16;

    /// Has no relay been asked for anything?
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty()
    }

    /// A host speaks SMTP to the outside, and so may do it for others.
    pub fn know_mail(&mut self, relay: Addr) {
        self.ask(relay, Onward::Mail, 0);
    }

    /// Has a host spoken SMTP to the outside, or been asked to?
    pub fn knows_mail(&self, relay: Addr) -> bool {
        self.legs.contains_key(&(relay, Onward::Mail))
    }

    /// A client has sent this much to a relay, for a destination.
    pub fn ask(&mut self, relay: Addr, to: Onward, bytes: u64) {
        if self.legs.len() >= Self::MAX && !self.legs.contains_key(&(relay, to)) {
            let sample = self.hand.next(self.legs.len());
            let least = sample.min_by_key(|&place| self.legs[place].asked);
            least.map(|place| self.legs.swap_remove_index(place));
        }
        self.legs.entry((relay, to)).or_default().asked += bytes;
    }

    /// Is it for others that a relay sends this much more to a destination?
    ///
    /// Its own report may come before that of its client: it is believed as much again as it was asked to
    /// carry, and [`SLACK`]. Mail it takes in whole before it passes it on, and to where cannot be told: there it
    /// is believed an eighth more, for what encryption and its own header fields add.
    pub fn is_asked(&self, relay: Addr, to: Onward, bytes: u64) -> bool {
        let leg = self.legs.get(&(relay, to));
        leg.is_some_and(|leg| match to {
            Onward::To(_) => leg.carried + bytes <= 2 * leg.asked + SLACK,
            // Whoever sends mail has a leg, and most were asked by nobody.
            Onward::Mail => leg.asked > 0 && leg.carried + bytes <= leg.asked + leg.asked / 8,
        })
    }

    /// A relay has sent this much for others.
    pub fn carry(&mut self, relay: Addr, to: Onward, bytes: u64) {
        if let Some(leg) = self.legs.get_mut(&(relay, to)) {
            leg.carried += bytes;
        }
    }
}

/// What a relay may have carried before its client is heard: flows report on their way to the first of
/// their rungs within this much of each other.
const SLACK: u64 = 16 << 20;
