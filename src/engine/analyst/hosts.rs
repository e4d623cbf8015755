//! Whose an address is: machines as they become known, and what is then counted as theirs.

use smallvec::SmallVec;

use super::{Analyst, CovertHabits};
use crate::alert::MachineFacts;
use crate::detect::Family;
use crate::egress::{Group, HostKey};
use crate::machines::{Claim, Identity, Mac, Register, Says};
use crate::net::Addr;
use crate::rules::{Role, RuleSet};
use crate::time::Timestamp;

impl Analyst {
    /// Who has an address, as far as is known at some time.
    pub fn host_of(&self, addr: Addr, at: Timestamp) -> HostKey {
        host_of(self.identity, &self.register, addr, at)
    }

    /// Takes what is claimed of machines. What an address sent before its machine was known goes with it; one
    /// of which it is no longer sure whose it is goes by the history of the machine that had it.
    pub fn hear_claim(&mut self, claim: &Claim) {
        if self.identity == Identity::Address {
            self.register.hear(claim);
            return;
        }
        let at = claim.at;
        let settled = settled(&self.register, claim);
        self.register.hear(claim);
        for (addr, mac) in settled {
            if self.register.bearer(addr, at).is_none() {
                self.lend(HostKey::Machine(mac), HostKey::Address(addr));
            }
        }
        if let Says::Bears { mac, addr, lease } = claim.says
            && self.register.bearer(addr, at) == Some(mac)
            && self.register.only_bearer(addr) == Some(mac)
        {
            let (from, to) = (HostKey::Address(addr), HostKey::Machine(mac));
            // Who is given an address now need not be who had it on other days.
            if lease.is_none() {
                self.pass_on(from, to);
            }
            let (baseline, day) = (&self.baseline, self.egress.day());
            let group_of = |host| group(&self.rules, &self.register, host, at);
            self.egress.unite(addr, to, group_of, |of| baseline.is_young(to, of, day));
            let (named, pinged) = (self.lookups.unite(from, to), self.echoes.unite(from, to));
            self.incidents.unite(from, to, |family, destination| match family {
                Family::Volume | Family::Server => true,
                Family::Dns => destination.is_some_and(|owner| named.contains(&owner)),
                Family::Icmp => destination.is_none_or(|peer| pinged.contains(&peer)),
            });
        }
    }

    fn pass_on(&mut self, from: HostKey, to: HostKey) {
        self.baseline.pass_on(from, to);
        let CovertHabits { names, together: _, echoes, sweeps } = &mut self.habits;
        [names, echoes, sweeps].into_iter().for_each(|habits| habits.pass_on(from, to));
    }

    pub(super) fn lend(&mut self, from: HostKey, to: HostKey) {
        self.baseline.lend(from, to);
        let CovertHabits { names, together: _, echoes, sweeps } = &mut self.habits;
        [names, echoes, sweeps].into_iter().for_each(|habits| habits.lend(from, to));
    }

    /// Gives the histories of machines to their addresses: hosts are addresses from now on.
    pub(super) fn part(&mut self) {
        let now = self.clock.now();
        for host in self.baseline.hosts() {
            let Some(mac) = host.mac() else { continue };
            let addresses: Vec<Addr> = self.register.addresses_of(mac, now).collect();
            addresses.into_iter().for_each(|addr| self.lend(host, HostKey::Address(addr)));
        }
    }

    pub(super) fn group(&self, host: HostKey) -> Group {
        group(&self.rules, &self.register, host, self.clock.now())
    }
}

/// Addresses that a claim may make unsure, each with the machine that had it for long.
fn settled(register: &Register, claim: &Claim) -> SmallVec<[(Addr, Mac); 2]> {
    let (mac, addr) = match claim.says {
        Says::Bears { mac, addr, .. } => (mac, Some(addr)),
        Says::Routes(mac) => (mac, None),
        Says::Named(..) | Says::Called(..) => return SmallVec::new(),
    };
    let own = register.first_v4(mac, claim.at).filter(|&own| Some(own) != addr);
    let of = |addr| register.long_bearer(addr, claim.at).map(|mac| (addr, mac));
    addr.into_iter().chain(own).filter_map(of).collect()
}

pub(super) fn host_of(
    identity: Identity,
    register: &Register,
    addr: Addr,
    at: Timestamp,
) -> HostKey {
    let mac = match identity {
        Identity::Address => None,
        Identity::Machine => register.bearer(addr, at),
    };
    mac.map_or(HostKey::Address(addr), HostKey::Machine)
}

/// The declared role of a host; of a machine, that of its latest address which has one, IPv4 before IPv6.
pub(super) fn role(
    rules: &RuleSet,
    register: &Register,
    host: HostKey,
    at: Timestamp,
) -> Option<Role> {
    match host {
        HostKey::Address(addr) => rules.networks.role_of(addr),
        HostKey::Machine(mac) => {
            register.addresses_of(mac, at).find_map(|addr| rules.networks.role_of(addr))
        }
    }
}

/// Hosts of one declared role are one group.
pub(super) fn group(rules: &RuleSet, register: &Register, host: HostKey, at: Timestamp) -> Group {
    role(rules, register, host, at).map_or(Group::UNDECLARED, |role| Group(role as u8 + 1))
}

/// What is known of the machine that a host is, or whose address it is.
pub(super) fn machine(
    register: &Register,
    (host, addr): (HostKey, Addr),
    now: Timestamp,
) -> MachineFacts {
    let mac = host.mac().or_else(|| register.bearer(addr, now));
    let addresses = mac.into_iter().flat_map(|mac| register.addresses_of(mac, now));
    let of_machine = mac.map_or(&[][..], |mac| register.names_of(mac));
    let name = of_machine.last().or_else(|| register.names_at(addr).last());
    MachineFacts {
        addresses: addresses.collect(),
        mac: mac.map(|mac| mac.to_string()),
        name: name.map(|(name, _)| name.to_string()),
        is_disputed: register.is_disputed(addr, now),
    }
}
