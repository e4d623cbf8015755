//! What hosts usually tell on channels of one kind: the references for names and for echoes.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::history::make_room;
use super::tail::{Histogram, Ring, Samples, Tail};
use crate::arena::Hand;
use crate::covert::ChannelDay;
use crate::egress::{Destination, Group, HostKey};
use crate::time::{Day, Timestamp};

/// References of one kind of channel; one sample is one day of a host, of a destination for one host, or of
/// both. What is not remembered any more is judged by what it is part of.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Habits {
    /// Of the hosts of a group, the most that one told one destination in a day.
    groups: BTreeMap<Group, Histogram>,
    hosts: IndexMap<HostKey, Habit, foldhash::fast::RandomState>,
    destinations: IndexMap<Destination, Known, foldhash::fast::RandomState>,
    pairs: IndexMap<(HostKey, Destination), Habit, foldhash::fast::RandomState>,
    hand: Hand,
    forgotten: u64,
}

/// What was told in a day, by one host or on one channel.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Habit {
    first_day: Day,
    first_at: Timestamp,
    last_day: Day,
    days: u32,
    largest: u64,
    samples: Ring<32>,
}

/// What a destination was told in a day by one host.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Known {
    last_day: Day,
    hosts: u32,
    samples: Ring<32>,
}

/// What is known of a channel from days before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Familiar {
    /// Days on which the host told anything to anybody.
    pub host_days: u32,
    /// The most that it told one destination in a day, in the unit of the samples.
    pub host_largest: u64,
    /// When the channel was first seen.
    pub since: Option<Timestamp>,
    /// The most told on it in a day.
    pub largest: u64,
    /// Hosts that have told the destination something worth learning.
    pub hosts: u32,
}

/// Whose day is judged.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// The host.
    pub host: HostKey,
    /// The hosts that it is compared with.
    pub group: Group,
    /// How many hosts it speaks for: more than one where it asks on behalf of others who are not seen.
    pub stands_for: f64,
}

impl Habit {
    fn add(&mut self, day: Day, told: u64) {
        self.last_day = self.last_day.max(day);
        self.days += 1;
        self.largest = self.largest.max(told);
        self.samples.add(told);
    }
}

impl Habits {
    /// Hosts remembered at most; the one not seen for longest, of a few, is forgotten.
    pub const HOSTS_MAX: usize = 1 << 14;
    /// Destinations remembered at most; likewise.
    pub const DESTINATIONS_MAX: usize = 1 << 13;
    /// Pairs of host and destination remembered at most; likewise.
    pub const PAIRS_MAX: usize = 1 << 14;
    /// Memory that all of it takes at most, in bytes, with room to grow.
    pub const BYTES_MAX: usize = {
        let habit = (size_of::<Habit>() + ENTRY) * 3 / 2 + Ring::<32>::BYTES;
        let known = (size_of::<Known>() + ENTRY) * 3 / 2 + Ring::<32>::BYTES;
        (Self::HOSTS_MAX + Self::PAIRS_MAX) * habit + Self::DESTINATIONS_MAX * known
    };

    /// Learns from a finished day of a host: what it told whom. `largest` is the most it told at once.
    pub fn learn(
        &mut self,
        (host, group): (HostKey, Group),
        day: Day,
        largest: u64,
        channels: &[ChannelDay],
    ) {
        self.groups.entry(group).or_default().add(largest);
        self.forgotten += make_place(&mut self.hosts, &host, Self::HOSTS_MAX, &mut self.hand);
        let new = || Habit { first_day: day, ..Habit::default() };
        self.hosts.entry(host).or_insert_with(new).add(day, largest);
        for channel in channels {
            let pair = (host, channel.destination);
            self.forgotten += make_place(&mut self.pairs, &pair, Self::PAIRS_MAX, &mut self.hand);
            let known = self.pairs.entry(pair).or_insert_with(|| Habit {
                first_day: day,
                first_at: channel.first_at,
                ..Habit::default()
            });
            let is_first = known.days == 0;
            known.add(day, channel.clipped);
            self.forgotten += make_place(
                &mut self.destinations,
                &channel.destination,
                Self::DESTINATIONS_MAX,
                &mut self.hand,
            );
            let known = self.destinations.entry(channel.destination).or_default();
            known.last_day = known.last_day.max(day);
            known.hosts += u32::from(is_first);
            known.samples.add(channel.clipped);
        }
    }

    /// Takes what was told on a channel on one day for a sample, though it was under suspicion: somebody says that
    /// it was in order.
    pub fn vouch(&mut self, host: HostKey, (to, day, told): (Destination, Day, u64)) {
        if let Some(habit) = self.pairs.get_mut(&(host, to)) {
            habit.add(day, told);
        }
        if let Some(habit) = self.hosts.get_mut(&host) {
            habit.add(day, told);
        }
    }

    /// What was learned of one host is another's from now on, which has nothing of its own: it turned out to be
    /// it.
    pub fn pass_on(&mut self, from: HostKey, to: HostKey) {
        if !self.hosts.contains_key(&to) {
            self.lend(from, to);
            self.hosts.swap_remove(&from);
            self.pairs.retain(|(host, _), _| *host != from);
        }
    }

    /// What was learned of one host is known of another too, unless that has later habits of its own.
    pub fn lend(&mut self, from: HostKey, to: HostKey) {
        let Some(habit) = self.hosts.get(&from).cloned() else { return };
        if self.hosts.get(&to).is_some_and(|own| own.last_day >= habit.last_day) {
            return;
        }
        let of_host = self.pairs.iter().filter(|((host, _), _)| *host == from);
        let pairs: Vec<_> = of_host.map(|(&(_, at), habit)| (at, habit.clone())).collect();
        self.forgotten += make_place(&mut self.hosts, &to, Self::HOSTS_MAX, &mut self.hand);
        self.hosts.insert(to, habit);
        for (at, habit) in pairs {
            let pair = (to, at);
            self.forgotten += make_place(&mut self.pairs, &pair, Self::PAIRS_MAX, &mut self.hand);
            self.pairs.insert(pair, habit);
        }
    }

    /// Days since the host was first heard; 0 for one that was not.
    pub fn age(&self, host: HostKey, today: Day) -> u32 {
        self.hosts.get(&host).map_or(0, |host| today.since(host.first_day).max(0).cast_unsigned())
    }

    /// What is known of a channel.
    pub fn familiar(&self, host: HostKey, destination: Destination) -> Familiar {
        let (of_host, pair) = (self.hosts.get(&host), self.pairs.get(&(host, destination)));
        Familiar {
            host_days: of_host.map_or(0, |host| host.days),
            host_largest: of_host.map_or(0, |host| host.largest),
            since: pair.map(|pair| pair.first_at),
            largest: pair.map_or(0, |pair| pair.largest),
            hosts: self.destinations.get(&destination).map_or(0, |known| known.hosts),
        }
    }

    /// Hosts that have told a destination something in the `days` before `today`.
    pub fn hosts_within(&self, destination: Destination, today: Day, days: i32) -> usize {
        let is_it = |(pair, habit): (&(HostKey, Destination), &Habit)| {
            pair.1 == destination && today.since(habit.last_day) <= days
        };
        self.pairs.iter().filter(|&each| is_it(each)).count()
    }

    /// How likely is a day on which a host's largest channel holds this much?
    pub fn largest(&self, prior: Tail, asker: &Asker, told: u64) -> Tail {
        let group = self.groups.get(&asker.group);
        let tail = group.map_or(prior, |group| prior.refine(group, told, 20.0));
        let tail = tail.of_largest(asker.stands_for);
        self.hosts.get(&asker.host).map_or(tail, |host| tail.refine(&host.samples, told, 10.0))
    }

    /// How likely is a day on which this channel holds this much? `others` is what other hosts have told the
    /// destination today: what three of them do alike is no host's own doing.
    pub fn channel(
        &self,
        prior: Tail,
        asker: &Asker,
        destination: Destination,
        others: impl Iterator<Item = u64>,
        told: u64,
    ) -> Tail {
        let mut tail = self.largest(prior, asker, told);
        if let Some(known) = self.destinations.get(&destination)
            && known.hosts >= SHARED_BY
        {
            tail = tail.refine(&known.samples, told, 10.0);
        }
        let mut today = Ring::<32>::default();
        others.for_each(|told| today.add(told));
        if today.count() >= SHARED_BY {
            tail = tail.refine(&today, told, 10.0);
        }
        match self.pairs.get(&(asker.host, destination)) {
            Some(pair) => tail.refine(&pair.samples, told, 5.0),
            None => tail,
        }
    }

    /// How likely is a day on which this channel holds this much, by its own days alone?
    pub fn of_pair(
        &self,
        prior: Tail,
        (host, destination): (HostKey, Destination),
        told: u64,
    ) -> Tail {
        match self.pairs.get(&(host, destination)) {
            Some(pair) => prior.refine(&pair.samples, told, 5.0),
            None => prior,
        }
    }

    /// What was forgotten because there was too much.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// Something that is remembered with the day on which it was last seen.
trait Dated {
    fn last_day(&self) -> Day;
}

impl Dated for Habit {
    fn last_day(&self) -> Day {
        self.last_day
    }
}

impl Dated for Known {
    fn last_day(&self) -> Day {
        self.last_day
    }
}

/// Makes room for one more where it is not known yet; answers how many were forgotten for it.
fn make_place<K: std::hash::Hash + Eq, V: Dated>(
    map: &mut IndexMap<K, V, foldhash::fast::RandomState>,
    key: &K,
    max: usize,
    hand: &mut Hand,
) -> u64 {
    if map.contains_key(key) {
        return 0;
    }
    u64::from(make_room(map, max, hand, Dated::last_day).is_some())
}

/// Memory of an entry in an ordered map besides its value: key, hash, index.
const ENTRY: usize = 56;

/// Hosts that make a destination known to the organisation.
const SHARED_BY: u32 = 3;
