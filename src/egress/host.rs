//! One inside host: what it sent today, and how fast.

use serde::{Deserialize, Serialize};

use super::border::Crossing;
use super::class::{Class, OfClass};
use super::key::HostKey;
use super::pairs::{List, Moved, Pair, next_look};
use super::window::{WindowSums, Windows};
use super::{Destination, Group};
use crate::flow::FlowDelta;
use crate::net::Addr;
use crate::time::{Day, Timestamp};

/// What an inside host sends to the outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    key: HostKey,
    addr: Addr,
    group: Group,
    /// Of this run.
    #[serde(skip)]
    total_out: u64,
    #[serde(skip)]
    total_in: u64,
    /// The most it sent to one destination in a day of this run that is over.
    #[serde(skip)]
    pub(super) largest: Option<(Destination, u64)>,
    /// Today's pairs.
    pub(super) list: List,
    today: Today,
    windows: Windows,
    /// Those of calls, where there were any.
    media: Option<Box<Windows>>,
}

/// What is forgotten at midnight.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Today {
    /// Largest sums of the sliding windows, before anything suspicious.
    windows_max: OfClass<WindowSums>,
    young_out: OfClass<u64>,
    young_clipped: OfClass<u64>,
    served_out: u64,
    served_clipped: u64,
    bytes_out: u64,
    is_marked: bool,
    /// Bytes to young destinations and to clients at which their sum is judged again.
    next_look: u64,
}

/// A finished day of one host: what the references learn from.
#[derive(Debug, Clone)]
pub struct HostDay {
    /// Who.
    pub host: HostKey,
    /// Its group.
    pub group: Group,
    /// When.
    pub day: Day,
    /// Largest sums of the sliding windows, without suspicious bytes.
    pub windows_max: OfClass<WindowSums>,
    /// Did they stop there because something was suspicious?
    pub is_marked: bool,
    /// Bytes to all young destinations, without suspicious ones.
    pub young_out: OfClass<u64>,
    /// Bytes in flows that outside ends opened, without suspicious ones.
    pub served_out: u64,
    /// Each destination.
    pub pairs: Vec<PairDay>,
}

/// A finished day of one pair.
#[derive(Debug, Clone, Copy)]
pub struct PairDay {
    /// To whom.
    pub destination: Destination,
    /// Start of the first flow that sent something.
    pub first_at: Timestamp,
    /// Bytes sent, all of them.
    pub bytes_out: u64,
    /// Bytes sent before the pair fell under suspicion.
    pub clipped: u64,
    /// The same, when it was last of each class.
    pub taught: OfClass<u64>,
    /// Did it fall under suspicion?
    pub is_clipped: bool,
    /// Was the destination on probation?
    pub is_young: bool,
    /// Did the outside end open most of it?
    pub is_served: bool,
}

impl HostDay {
    /// The most that it answered to one outside client, without suspicious bytes, and whether there were any;
    /// `None` where it answered none.
    pub fn most_served(&self) -> Option<(u64, bool)> {
        let served = self.pairs.iter().filter(|pair| pair.is_served);
        served.map(|pair| (pair.clipped, pair.is_clipped)).max()
    }
}

impl PairDay {
    fn of(pair: &Pair) -> Self {
        Self {
            destination: pair.destination,
            first_at: pair.first_at,
            bytes_out: pair.out.sent,
            clipped: pair.clipped.unwrap_or(pair.out.sent),
            taught: pair.taught,
            is_clipped: pair.clipped.is_some(),
            is_young: pair.is_young,
            is_served: pair.is_served(),
        }
    }
}

impl Host {
    pub(super) fn new(key: HostKey, addr: Addr, group: Group) -> Self {
        Self {
            key,
            addr,
            group,
            total_out: 0,
            total_in: 0,
            largest: None,
            list: List::default(),
            today: Today::default(),
            windows: Windows::default(),
            media: None,
        }
    }

    /// Who it is.
    pub fn key(&self) -> HostKey {
        self.key
    }

    /// Its address; of several, the one that was seen last.
    pub fn addr(&self) -> Addr {
        self.addr
    }

    /// The group it is compared with.
    pub fn group(&self) -> Group {
        self.group
    }

    /// Is to be compared with others from now on.
    pub(super) fn regroup(&mut self, group: Group) {
        self.group = group;
    }

    /// All it sent to the outside, in bytes.
    pub fn total_out(&self) -> u64 {
        self.total_out
    }

    /// All it received from the outside, in bytes.
    pub fn total_in(&self) -> u64 {
        self.total_in
    }

    /// Was anything of it seen in this run?
    pub fn was_seen(&self) -> bool {
        self.total_out > 0 || self.total_in > 0
    }

    /// Is there anything that would be missed?
    pub(super) fn holds_anything(&self) -> bool {
        self.was_seen() || self.windows != Windows::default() || self.media.is_some()
    }

    /// Bytes of a class in each sliding window now.
    pub fn windows(&self, class: Class) -> WindowSums {
        match class {
            Class::Bulk => self.windows.sums(),
            Class::Media => self.media.as_deref().map(Windows::sums).unwrap_or_default(),
        }
    }

    fn windows_mut(&mut self, class: Class) -> &mut Windows {
        match class {
            Class::Bulk => &mut self.windows,
            Class::Media => self.media.get_or_insert_default(),
        }
    }

    /// Bytes of a class sent today to destinations on probation.
    pub fn young_out(&self, class: Class) -> u64 {
        self.today.young_out[class as usize]
    }

    /// Bytes sent today in flows that outside ends opened.
    pub fn served_out(&self) -> u64 {
        self.today.served_out
    }

    /// Destinations on probation that it sent something to today.
    pub fn young_destinations(&self) -> usize {
        self.list.young as usize
    }

    /// Has it sent anything today?
    pub(super) fn is_active(&self) -> bool {
        self.today.bytes_out > 0
    }

    /// Asks for what [`Host::send`] looks at.
    pub(super) fn prefetch(&self) {
        crate::arena::prefetch_whole(&self.key);
        crate::arena::prefetch_whole(&self.addr);
        crate::arena::prefetch(&self.total_in);
        crate::arena::prefetch_whole(&self.today);
        self.windows.prefetch();
    }

    /// Asks for what [`Host::send`] of media looks at besides.
    pub(super) fn prefetch_media(&self) {
        self.media.iter().for_each(|windows| windows.prefetch());
    }

    /// From now on the host's windows teach nothing more today.
    pub(super) fn mark(&mut self) {
        self.today.is_marked = true;
    }

    /// Notes from or to which of its addresses something goes, and what it received.
    pub(super) fn receive(&mut self, addr: Addr, bytes: u64) {
        self.addr = addr;
        self.total_in += bytes;
    }

    /// Adds what the host sent to `pair`; answers whether the pair or the host should be judged.
    pub(super) fn send(
        &mut self,
        pair: &mut Pair,
        delta: &FlowDelta,
        crossing: &Crossing,
        floor: u64,
    ) -> bool {
        let side = crossing.side;
        let out = delta.sent_by(side);
        self.total_out += out.sent;
        let today = &mut self.today;
        today.bytes_out += out.sent;
        let initiator = pair.add(delta, crossing);
        let kind = pair.class();
        let class = kind as usize;
        if pair.is_young && initiator == side {
            today.young_out[class] += out.sent;
            if pair.clipped.is_none() {
                today.young_clipped[class] += out.sent;
            }
        }
        if initiator != side {
            today.served_out += out.sent;
            if pair.clipped.is_none() {
                today.served_clipped += out.sent;
            }
        }
        let windows = self.windows_mut(kind);
        windows.add(delta.last_at, out.sent);
        let sums = windows.sums();
        let today = &mut self.today;
        if !today.is_marked {
            for (max, sum) in today.windows_max[class].iter_mut().zip(sums) {
                *max = sum.max(*max);
            }
        }
        let together = today.young_out.iter().sum::<u64>() + today.served_out;
        let sum_is_due = together >= today.next_look.max(floor);
        if sum_is_due {
            today.next_look = next_look(together);
        }
        pair.is_due(floor) || sum_is_due
    }

    /// Follows bytes from one of its destinations to another.
    pub(super) fn move_young(&mut self, moved: &Moved) {
        let today = &mut self.today;
        let class = moved.class as usize;
        let (young_out, young_clipped) =
            (&mut today.young_out[class], &mut today.young_clipped[class]);
        match (moved.was_young, moved.is_young) {
            (true, false) => {
                *young_out = young_out.saturating_sub(moved.asked);
                *young_clipped = young_clipped.saturating_sub(moved.taught);
            }
            (false, true) => {
                *young_out += moved.asked;
                *young_clipped += moved.taught;
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Takes all that was counted of another, but for its pairs.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.total_out += other.total_out;
        self.total_in += other.total_in;
        self.largest = self.largest.into_iter().chain(other.largest).max_by_key(|&(_, most)| most);
        let (today, theirs) = (&mut self.today, &other.today);
        today.bytes_out += theirs.bytes_out;
        today.served_out += theirs.served_out;
        today.served_clipped += theirs.served_clipped;
        today.is_marked |= theirs.is_marked;
        today.next_look = 0;
        self.windows.absorb(&other.windows);
        if let Some(media) = &other.media {
            self.media.get_or_insert_default().absorb(media);
        }
        for kind in Class::ALL {
            let (class, sums) = (kind as usize, self.windows(kind));
            let today = &mut self.today;
            today.young_out[class] += theirs.young_out[class];
            today.young_clipped[class] += theirs.young_clipped[class];
            let sums = if today.is_marked { WindowSums::default() } else { sums };
            for (at, max) in today.windows_max[class].iter_mut().enumerate() {
                *max = sums[at].max(theirs.windows_max[class][at]).max(*max);
            }
        }
    }

    /// Ends the day, in which it had these pairs; `None` when it sent nothing in it.
    pub(super) fn close_day<'p>(
        &mut self,
        day: Day,
        pairs: impl Iterator<Item = &'p Pair>,
    ) -> Option<HostDay> {
        let today = std::mem::take(&mut self.today);
        let list = std::mem::take(&mut self.list);
        let mut days = Vec::with_capacity(list.len as usize);
        // One whose only flow turned out to be another's is empty.
        days.extend(pairs.filter(|pair| pair.out.sent > 0).map(PairDay::of));
        let largest = days.iter().map(|pair| (pair.destination, pair.bytes_out));
        self.largest = self.largest.into_iter().chain(largest).max_by_key(|&(_, bytes)| bytes);
        (today.bytes_out > 0).then_some(HostDay {
            host: self.key,
            group: self.group,
            day,
            windows_max: today.windows_max,
            is_marked: today.is_marked,
            young_out: today.young_clipped,
            served_out: today.served_clipped,
            pairs: days,
        })
    }
}

/// Memory that a host takes, in bytes, with its cell in the index when that has just doubled.
pub const HOST_BYTES: usize = size_of::<Host>() + size_of::<Windows>() + 21;
