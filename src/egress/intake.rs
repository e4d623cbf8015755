//! What inside hosts take from one another: it may be on its way out.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Destination, HostKey};
use crate::arena::Hand;
use crate::flow::{FlowDelta, Sender};
use crate::net::Addr;
use crate::time::Timestamp;

/// What each inside host took from which others, today and the day before.
///
/// Of a host the [`Intakes::SOURCES_MAX`] are kept that gave it most: one that is new takes the place of the
/// least. Of hosts [`Intakes::HOSTS_MAX`] are kept a day; when there are more, the one that took least of the next
/// few is forgotten. So no sum is ever too large.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Intakes {
    today: Taken,
    before: Taken,
    hand: Hand,
    evicted: u64,
}

type Taken = IndexMap<HostKey, Vec<Intake>, foldhash::fast::RandomState>;

/// What a host took from one other on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    /// From whom.
    pub source: Addr,
    /// The first byte.
    pub first_at: Timestamp,
    /// The latest.
    pub last_at: Timestamp,
    /// How many.
    pub bytes: u64,
    /// It is part of what fell under suspicion, and teaches nothing.
    is_marked: bool,
}

/// A finished day of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeDay {
    /// Who.
    pub host: HostKey,
    /// What it took from whom, without what fell under suspicion.
    pub taken: Vec<Intake>,
}

impl Intake {
    /// The source, as what is learned of it is filed under.
    pub fn owner(&self) -> Destination {
        Destination::of_address(self.source)
    }

    fn absorb(&mut self, other: &Self) {
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        self.bytes += other.bytes;
        self.is_marked |= other.is_marked;
    }
}

impl Intakes {
    /// Hosts of a day remembered at most.
    pub const HOSTS_MAX: usize = 1 << 14;
    /// Sources of a host remembered at most.
    pub const SOURCES_MAX: usize = 8;
    /// Memory that all of it takes at most, in bytes, with room to grow.
    pub const BYTES_MAX: usize = 2
        * Self::HOSTS_MAX
        * ((size_of::<HostKey>() + size_of::<Vec<Intake>>() + MAP_ENTRY) * 3 / 2
            + Self::SOURCES_MAX * size_of::<Intake>());

    /// Adds what a flow between two inside hosts reports, but for small talk: questions, answers of a resolver, less than
    /// a kilobyte in a report, of which there is one a second. `who` says whose an address is.
    pub fn add(&mut self, delta: &FlowDelta, mut who: impl FnMut(Addr) -> HostKey) {
        for side in [Sender::Low, Sender::High] {
            let (addr, source) = (delta.key.end(side).addr, delta.key.end(side.other()).addr);
            let bytes = delta.sent_by(side.other()).sent;
            if bytes >= SMALL_TALK && !addr.to_ip().is_multicast() {
                let (first_at, last_at) = (delta.started_at, delta.last_at);
                let intake = Intake { source, first_at, last_at, bytes, is_marked: false };
                self.take(who(addr), &intake);
            }
        }
    }

    /// What a host took today, then what it took the day before, each from one other.
    pub fn of(&self, host: HostKey) -> impl Iterator<Item = &Intake> {
        [&self.today, &self.before].into_iter().filter_map(move |day| day.get(&host)).flatten()
    }

    /// What other hosts took from the same source today.
    pub fn others(&self, host: HostKey, source: Addr) -> impl Iterator<Item = u64> {
        let others = self.today.iter().filter(move |(other, _)| **other != host);
        let taken = others.flat_map(|(_, taken)| taken).filter(move |one| one.source == source);
        taken.map(|one| one.bytes)
    }

    /// Puts what a host took from a source under suspicion: it teaches nothing.
    pub fn mark(&mut self, host: HostKey, source: Addr) {
        let taken = self.today.get_mut(&host).into_iter().flatten();
        taken.filter(|one| one.source == source).for_each(|one| one.is_marked = true);
    }

    /// What an address took was taken by the machine that it turns out to be of.
    pub fn unite(&mut self, from: HostKey, to: HostKey) {
        let before = self.before.swap_remove(&from);
        for intake in self.today.swap_remove(&from).into_iter().flatten() {
            self.take(to, &intake);
        }
        if let Some(before) = before {
            self.before.entry(to).or_insert(before);
        }
    }

    /// Ends the day: what each host took, in the order in which they began.
    pub fn close_day(&mut self) -> Vec<IntakeDay> {
        self.before = std::mem::take(&mut self.today);
        let unsuspected = |taken: &Vec<Intake>| {
            taken.iter().filter(|one| !one.is_marked).copied().collect::<Vec<_>>()
        };
        let days = self.before.iter();
        days.map(|(&host, taken)| IntakeDay { host, taken: unsuspected(taken) }).collect()
    }

    /// Hosts and sources forgotten for want of room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn take(&mut self, host: HostKey, intake: &Intake) {
        if self.today.len() >= Self::HOSTS_MAX && !self.today.contains_key(&host) {
            let sum = |taken: &[Intake]| taken.iter().map(|one| one.bytes).sum::<u64>();
            let sample = self.hand.next(self.today.len());
            let least = sample.min_by_key(|&place| sum(&self.today[place]));
            least.map(|place| self.today.swap_remove_index(place));
            self.evicted += 1;
        }
        let taken = self.today.entry(host).or_default();
        if let Some(known) = taken.iter_mut().find(|known| known.source == intake.source) {
            known.absorb(intake);
        } else if taken.len() < Self::SOURCES_MAX {
            taken.push(*intake);
        } else if let Some(least) = taken.iter_mut().min_by_key(|known| known.bytes) {
            *least = *intake;
            self.evicted += 1;
        }
    }
}

/// Bytes of a report from which it counts. Most of what hosts say to each other is less, and none of it is a copy.
const SMALL_TALK: u64 = 1 << 10;

/// Memory of an entry in an ordered map besides key and value: hash, index.
const MAP_ENTRY: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::Counters;
    use crate::net::{Endpoint, Protocol};

    fn inside(number: u32) -> Addr {
        Addr::from_v4((0x0a00_0000 + number).to_be_bytes())
    }

    fn delta(client: u32, server: u32, out: u64, back: u64) -> FlowDelta {
        let end = |addr, port| Endpoint { addr, port };
        let sent = |sent| Counters { sent, ..Counters::default() };
        FlowDelta::new(
            end(inside(client), 40_000),
            end(inside(server), 445),
            Protocol::TCP,
            Timestamp::from_secs_nanos(1000, 0),
            [sent(out), sent(back)],
        )
    }

    fn taken(intakes: &Intakes, host: u32, source: u32) -> u64 {
        let of_host = intakes.of(HostKey::Address(inside(host)));
        of_host.filter(|one| one.source == inside(source)).map(|one| one.bytes).sum()
    }

    /// A scan of a whole network by many hosts must neither take more room than there is nor push out what
    /// somebody takes meanwhile.
    #[test]
    fn a_flood_is_bounded_and_hides_nothing() {
        let mut intakes = Intakes::default();
        for number in 0..200_000u32 {
            intakes.add(
                &delta(number % 40_000 + 10, number * 7 + 100_000, 1500, 1500),
                HostKey::Address,
            );
            intakes.add(&delta(1, number + 500_000, 1500, 1500), HostKey::Address);
            intakes.add(&delta(1, 2, 60, 5000), HostKey::Address);
        }
        assert_eq!(intakes.today.len(), Intakes::HOSTS_MAX);
        assert!(intakes.today.values().all(|taken| taken.len() <= Intakes::SOURCES_MAX));
        assert!(intakes.evicted() > 0);
        assert_eq!(taken(&intakes, 1, 2), 200_000 * 5000);
    }

    /// Staged in the evening, sent in the morning.
    #[test]
    fn yesterday_is_remembered_and_the_day_before_is_not() {
        let mut intakes = Intakes::default();
        intakes.add(&delta(1, 2, 10_000, 700_000), HostKey::Address);
        let of = |days: &[IntakeDay], host: u32| {
            let host = HostKey::Address(inside(host));
            days.iter().find(|day| day.host == host).map(|day| day.taken[0].bytes)
        };
        let days = intakes.close_day();
        assert_eq!((of(&days, 1), of(&days, 2)), (Some(700_000), Some(10_000)));
        assert_eq!(taken(&intakes, 1, 2), 700_000);
        intakes.add(&delta(1, 3, 0, 5000), HostKey::Address);
        intakes.mark(HostKey::Address(inside(1)), inside(3));
        assert_eq!(intakes.close_day()[0].taken, []);
        assert_eq!((taken(&intakes, 1, 2), taken(&intakes, 1, 3)), (0, 5000));
    }

    proptest! {
        /// Few hosts and sources are summed exactly but for small talk, whoever opened the flow, and an address that turns out to
        /// be a machine's takes everything with it.
        #[test]
        fn few_are_summed_exactly(
            flows in prop::collection::vec((0u32..4, 0u32..4, 0u64..5000, 0u64..5000), 0..60),
        ) {
            let mut intakes = Intakes::default();
            for &(client, server, out, back) in flows.iter().filter(|flow| flow.0 != flow.1) {
                intakes.add(&delta(client, server, out, back), HostKey::Address);
            }
            intakes.unite(HostKey::Address(inside(3)), HostKey::Address(inside(9)));
            for (host, source) in (0..4).flat_map(|host| (0..4).map(move |source| (host, source))) {
                let sum: u64 = flows
                    .iter()
                    .filter(|flow| flow.0 != flow.1)
                    .map(|&(client, server, out, back)| match (client, server) {
                        _ if (client, server) == (host, source) => back,
                        _ if (server, client) == (host, source) => out,
                        _ => 0,
                    })
                    .filter(|&bytes| bytes >= SMALL_TALK)
                    .sum();
                let host = if host == 3 { 9 } else { host };
                prop_assert_eq!(taken(&intakes, host, source), sum);
            }
        }
    }
}
