//! How hosts usually speak: of the host-days of a group, and of the days of a host, how many saw each usage.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::history::make_room;
use crate::arena::Hand;
use crate::egress::{Group, HostKey};
use crate::names::Usage;
use crate::time::Day;

/// Usages, counted by days.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Usages {
    groups: BTreeMap<Group, Days>,
    hosts: IndexMap<HostKey, Known, foldhash::fast::RandomState>,
    hand: Hand,
    forgotten: u64,
}

/// Days, and on how many of them each usage was seen.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Days {
    all: u32,
    used: SmallVec<[(Usage, u32); 4]>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Known {
    last_day: Day,
    days: Days,
}

/// How usual a usage is for a host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Custom {
    /// Probability of a host-day with this usage, or another that is as rare.
    pub p: f64,
    /// Days of this host that saw it.
    pub host_used: u32,
    /// Days of this host.
    pub host_days: u32,
}

impl Days {
    fn used(&self, usage: Usage) -> u32 {
        self.used.iter().find(|(known, _)| *known == usage).map_or(0, |&(_, days)| days)
    }

    fn add(&mut self, used: &BTreeSet<Usage>, max: usize) {
        self.all = self.all.saturating_add(1);
        for &usage in used {
            match self.used.iter().position(|(known, _)| *known == usage) {
                Some(at) => self.used[at].1 = self.used[at].1.saturating_add(1),
                None if self.used.len() < max => self.used.push((usage, 1)),
                None => {}
            }
        }
    }

    fn halve(&mut self) {
        self.all /= 2;
        self.used.iter_mut().for_each(|(_, days)| *days /= 2);
        self.used.retain(|(_, days)| *days > 0);
    }
}

impl Usages {
    /// Hosts remembered at most; the one not seen for longest, of a few, is forgotten.
    pub const HOSTS_MAX: usize = 1 << 14;
    /// Memory that all of it takes at most, in bytes, with room to grow.
    pub const BYTES_MAX: usize = Self::HOSTS_MAX
        * ((size_of::<HostKey>() + size_of::<Known>() + 16) * 3 / 2
            + PER_HOST_MAX * size_of::<(Usage, u32)>());

    /// Learns how a host spoke on a finished day.
    pub fn learn(&mut self, (host, group): (HostKey, Group), day: Day, used: &BTreeSet<Usage>) {
        self.groups.entry(group).or_default().add(used, usize::MAX);
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

    /// How usual a usage is.
    ///
    /// Of a group with n host-days: P′ = (1 + those that saw any usage seen on at most as many as this one, each for
    /// itself) / (n + 1), the rank of what is as rare or rarer, with this one counted in. Of what was never seen, those that were
    /// seen once say how likely it is (Good 1953). Then of the host, with n days of which k saw it,
    /// P = (k + 5·P′) / (n + 5).
    pub fn custom(&self, host: HostKey, group: Group, usage: Usage) -> Custom {
        let of_group = self.groups.get(&group).map_or(1.0, |days| {
            let most = days.used(usage).max(1);
            let rare = days.used.iter().map(|&(_, days)| days).filter(|&days| days <= most);
            let rare: u64 = rare.map(u64::from).sum();
            ((rare as f64 + 1.0) / (f64::from(days.all) + 1.0)).min(1.0)
        });
        let (host_used, host_days) =
            self.hosts.get(&host).map_or((0, 0), |known| (known.days.used(usage), known.days.all));
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

/// Usages counted for one host; what it used later goes by its group.
const PER_HOST_MAX: usize = 32;

/// Days of a host from which older ones count half: who changes his ways is not held to the old ones for ever.
const DAYS_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Naming, PortOf, Service};
    use crate::net::Addr;

    const TLS: Usage = Usage { service: Service::Tls, port: PortOf::Own, naming: Naming::Named };
    const SSH: Usage = Usage { service: Service::Ssh, port: PortOf::Own, naming: Naming::None };

    fn host(number: u8) -> HostKey {
        HostKey::Address(Addr::from_v4([10, 0, 0, number]))
    }

    fn p(usages: &Usages, number: u8, usage: Usage) -> f64 {
        usages.custom(host(number), Group::UNDECLARED, usage).p
    }

    /// Ten days of ten hosts, all of whom browse; the first also logs in somewhere every day.
    fn learned() -> Usages {
        let mut usages = Usages::default();
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
        let none = Usages::default();
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
        let mut usages = Usages::default();
        for (number, service) in Service::ALL.into_iter().enumerate() {
            let odd = Usage { service, port: PortOf::Another, naming: Naming::None };
            let who = (host(number as u8), Group::UNDECLARED);
            usages.learn(who, Day(0), &BTreeSet::from([odd]));
        }
        assert!(p(&usages, 200, SSH) > 0.9, "{}", p(&usages, 200, SSH));
    }

    #[test]
    fn memory_is_bounded() {
        let mut usages = Usages::default();
        for number in 0..20_000u32 {
            let host = HostKey::Address(Addr::from_v4(number.to_be_bytes()));
            usages.learn((host, Group::UNDECLARED), Day(1), &BTreeSet::from([TLS]));
        }
        assert_eq!(usages.hosts.len(), Usages::HOSTS_MAX);
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
