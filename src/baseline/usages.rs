//! How hosts usually speak: of the host-days of a group, and of the days of a host, how many saw each usage, or each
//! client program.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::history::make_room;
use crate::arena::Hand;
use crate::egress::{Group, HostKey};
use crate::time::Day;

/// What was used, counted by days: ways to speak, or client programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Usages<T> {
    groups: BTreeMap<Group, Days<T>>,
    hosts: IndexMap<HostKey, Known<T>, foldhash::fast::RandomState>,
    hand: Hand,
    forgotten: u64,
}

/// Days, and on how many of them each was seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Days<T> {
    all: u32,
    used: SmallVec<[(T, u32); 4]>,
    /// Days of those that are not told apart, each for itself.
    #[serde(default)]
    others: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known<T> {
    last_day: Day,
    days: Days<T>,
}

/// How usual something is for a host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Custom {
    /// Probability of a host-day with this, or another that is as rare.
    pub p: f64,
    /// Days of this host that saw it.
    pub host_used: u32,
    /// Days of this host.
    pub host_days: u32,
}

impl<T> Default for Days<T> {
    fn default() -> Self {
        Self { all: 0, used: SmallVec::new(), others: 0 }
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { last_day: Day::default(), days: Days::default() }
    }
}

impl<T> Default for Usages<T> {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            hosts: IndexMap::default(),
            hand: Hand::default(),
            forgotten: 0,
        }
    }
}

impl<T: Copy + Ord> Days<T> {
    /// Days that saw it; of one that is not told apart any of the others may have.
    fn used(&self, one: T) -> u32 {
        let known = self.used.iter().find(|(known, _)| *known == one);
        known.map_or(self.others.min(self.all), |&(_, days)| days)
    }

    /// Adds a day, on which `used` was seen. Of more than `max` nothing is known but how many there were.
    fn add(&mut self, used: &BTreeSet<T>, max: usize) {
        self.all = self.all.saturating_add(1);
        for &one in used {
            match self.used.iter().position(|(known, _)| *known == one) {
                Some(at) => self.used[at].1 = self.used[at].1.saturating_add(1),
                None if self.used.len() < max => self.used.push((one, 1)),
                None => self.others = self.others.saturating_add(1),
            }
        }
    }

    /// Counts all days half, and forgets what was seen on one of them.
    fn halve(&mut self) {
        self.all /= 2;
        self.others /= 2;
        self.used.iter_mut().for_each(|(_, days)| *days /= 2);
        self.used.retain(|(_, days)| *days > 0);
    }

    /// Makes room among those that are told apart: how many are rare is still known.
    fn make_room(&mut self) {
        let rare = self.used.iter().filter(|(_, days)| *days == 1).count();
        self.others = self.others.saturating_add(u32::try_from(rare).unwrap_or(u32::MAX));
        self.halve();
    }
}

impl<T: Copy + Ord> Usages<T> {
    /// Hosts remembered at most; the one not seen for longest, of a few, is forgotten.
    pub const HOSTS_MAX: usize = 1 << 14;
    /// Memory that all of it takes at most, in bytes, with room to grow.
    pub const BYTES_MAX: usize = Self::HOSTS_MAX
        * ((size_of::<HostKey>() + size_of::<Known<T>>() + 16) * 3 / 2
            + PER_HOST_MAX * size_of::<(T, u32)>());

    /// Learns what a host used on a finished day.
    pub fn learn(&mut self, (host, group): (HostKey, Group), day: Day, used: &BTreeSet<T>) {
        let of_group = self.groups.entry(group).or_default();
        if of_group.used.len() >= PER_GROUP_MAX {
            of_group.make_room();
        }
        of_group.add(used, PER_GROUP_MAX);
        if !self.hosts.contains_key(&host) {
            let gone =
                make_room(&mut self.hosts, Self::HOSTS_MAX, &mut self.hand, |host| host.last_day);
            self.forgotten += u64::from(gone.is_some());
        }
        let known = self.hosts.entry(host).or_default();
        known.last_day = known.last_day.max(day);
        if known.days.all >= DAYS_MAX {
            known.days.halve();
        }
        known.days.add(used, PER_HOST_MAX);
    }

    /// How usual one is.
    ///
    /// Of a group with n host-days: P′ = (1 + those that saw any seen on at most as many as this one, each for
    /// itself) / (n + 1), the rank of what is as rare or rarer, with this one counted in. Of what was never seen, those that were
    /// seen once say how likely it is (Good 1953). Then of the host, with n days of which k saw it,
    /// P = (k + 5·P′) / (n + 5).
    pub fn custom(&self, host: HostKey, group: Group, one: T) -> Custom {
        let of_group = self.groups.get(&group).map_or(1.0, |days| {
            let most = days.used(one).max(1);
            let rare = days.used.iter().map(|&(_, days)| days).filter(|&days| days <= most);
            let rare = rare.map(u64::from).sum::<u64>() + u64::from(days.others);
            ((rare as f64 + 1.0) / (f64::from(days.all) + 1.0)).min(1.0)
        });
        let (host_used, host_days) =
            self.hosts.get(&host).map_or((0, 0), |known| (known.days.used(one), known.days.all));
        let p = (f64::from(host_used) + 5.0 * of_group) / (f64::from(host_days) + 5.0);
        Custom { p, host_used, host_days }
    }

    /// What was learned of one host is another's from now on, which has nothing of its own.
    pub fn pass_on(&mut self, from: HostKey, to: HostKey) {
        self.lend(from, to);
        self.hosts.swap_remove(&from);
    }

    /// What was learned of one host is known of another too, unless that has something later of its own.
    pub fn lend(&mut self, from: HostKey, to: HostKey) {
        let Some(known) = self.hosts.get(&from).cloned() else { return };
        if self.hosts.get(&to).is_some_and(|own| own.last_day >= known.last_day) {
            return;
        }
        let gone =
            make_room(&mut self.hosts, Self::HOSTS_MAX, &mut self.hand, |host| host.last_day);
        self.forgotten += u64::from(gone.is_some());
        self.hosts.insert(to, known);
    }
}

/// So many are told apart for one host, and so many for a group.
const PER_HOST_MAX: usize = 32;
const PER_GROUP_MAX: usize = 1 << 10;

/// Days of a host from which older ones count half: who changes his ways is not held to the old ones for ever.
const DAYS_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Naming, PortOf, Service, Usage};
    use crate::net::Addr;

    const TLS: Usage = Usage { service: Service::Tls, port: PortOf::Own, naming: Naming::Named };
    const SSH: Usage = Usage { service: Service::Ssh, port: PortOf::Own, naming: Naming::None };

    fn host(number: u8) -> HostKey {
        HostKey::Address(Addr::from_v4([10, 0, 0, number]))
    }

    fn p(usages: &Usages<Usage>, number: u8, usage: Usage) -> f64 {
        usages.custom(host(number), Group::UNDECLARED, usage).p
    }

    /// Ten days of ten hosts, all of whom browse; the first also logs in somewhere every day.
    fn learned() -> Usages<Usage> {
        let mut usages = Usages::<Usage>::default();
        for (day, number) in (0..10).flat_map(|day| (1..=10).map(move |number| (day, number))) {
            let used = if number == 1 { BTreeSet::from([TLS, SSH]) } else { BTreeSet::from([TLS]) };
            usages.learn((host(number), Group::UNDECLARED), Day(day), &used);
        }
        usages
    }

    /// Before anything was learned nothing is rare; later what a host does daily is usual for it, and rare for
    /// others; what nobody does is rarer.
    #[test]
    fn what_is_rare_follows_from_days() {
        let none = Usages::<Usage>::default();
        assert_eq!(p(&none, 1, SSH), 1.0);
        let usages = learned();
        let odd = Usage { port: PortOf::Another, ..SSH };
        let [usual, own, others, nobodys] = [(1, TLS), (1, SSH), (2, SSH), (2, odd)]
            .map(|(number, usage)| p(&usages, number, usage));
        assert!(
            usual > 0.9 && own > 0.6 && others < 0.05 && nobodys < 0.005,
            "{usual} {own} {others} {nobodys}"
        );
        // One that is new here goes by the others.
        assert!((0.1..0.12).contains(&p(&usages, 99, SSH)), "{}", p(&usages, 99, SSH));
    }

    /// Where every host-day has something that no other had, one more such is no wonder.
    #[test]
    fn where_all_are_odd_nobody_is() {
        let mut usages = Usages::<Usage>::default();
        for (number, service) in Service::ALL.into_iter().enumerate() {
            let odd = Usage { service, port: PortOf::Another, naming: Naming::None };
            let who = (host(number as u8), Group::UNDECLARED);
            usages.learn(who, Day(0), &BTreeSet::from([odd]));
        }
        assert!(p(&usages, 200, SSH) > 0.9, "{}", p(&usages, 200, SSH));
    }

    /// Of more programs than are told apart, those that are not are no rarity for it; what all use stays usual, and of
    /// a group that is still known.
    #[test]
    fn what_is_not_told_apart_is_not_rare() {
        let mut usages = Usages::<u32>::default();
        for day in 0..3000 {
            let who = (host((day % 100) as u8), Group::UNDECLARED);
            usages.learn(who, Day(day as i32), &BTreeSet::from([0, day + 1]));
        }
        let of_group = &usages.groups[&Group::UNDECLARED];
        assert!(of_group.used.len() <= PER_GROUP_MAX);
        let p = |one| usages.custom(host(200), Group::UNDECLARED, one).p;
        assert!(p(0) > 0.9 && p(9_999_999) > 0.5, "{} {}", p(0), p(9_999_999));

        let mut usages = Usages::<u32>::default();
        (0..40).for_each(|day| {
            let who = (host(1), Group::UNDECLARED);
            usages.learn(who, Day(day), &(0..100).collect());
        });
        let known = |one| usages.custom(host(1), Group::UNDECLARED, one).host_used;
        assert_eq!((known(0), known(99), known(1000)), (40, 40, 40));
    }

    #[test]
    fn memory_is_bounded() {
        let mut usages = Usages::<Usage>::default();
        for number in 0..20_000u32 {
            let host = HostKey::Address(Addr::from_v4(number.to_be_bytes()));
            usages.learn((host, Group::UNDECLARED), Day(1), &BTreeSet::from([TLS]));
        }
        assert_eq!(usages.hosts.len(), Usages::<Usage>::HOSTS_MAX);
        let mut all = BTreeSet::new();
        for service in Service::ALL {
            for naming in [Naming::None, Naming::Named, Naming::Nameless] {
                all.insert(Usage { service, port: PortOf::Own, naming });
            }
        }
        (0..500).for_each(|day| usages.learn((host(1), Group::UNDECLARED), Day(day), &all));
        assert_eq!(usages.hosts[&host(1)].days.used.len(), PER_HOST_MAX);
        assert!(usages.hosts[&host(1)].days.all <= DAYS_MAX);
    }
}
