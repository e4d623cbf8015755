//! Claims joined in one place, in packet time: which machine has an address.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::claim::{Claim, ClaimSource, Says};
use super::mac::Mac;
use crate::arena::Hand;
use crate::names::Name;
use crate::net::{Addr, Subnets};
use crate::time::Timestamp;

/// Knows which interface has which inside address, as long as nobody disputes it.
///
/// # What makes sure
///
/// - Nobody else claimed the address within the last [`DAY`]. It becomes another machine's when its bearer
///   was silent for a day, or when the server gives it away and its bearer was silent since the end of its
///   lease. Whatever else another machine claims of it is a dispute, and makes it stand alone for a day.
/// - The bearer has one IPv4 address at a time: it never returned within a day to one that it had changed
///   for another, and had at most four.
/// - It has at most 32 IPv6 addresses in a day, which is a privacy address every hour.
/// - It never claimed an outside address, and is no router.
///
/// So forging claims can take an address out of its machine, and no more, unless its bearer is silent
/// for a day.
///
/// # Bounds
///
/// So many machines, and twice as many addresses. When there are more, of the next few the one not heard of
/// for longest is forgotten, and its addresses stand alone. Of as many it is remembered that they bear many.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Register {
    #[serde(skip)]
    internal: Subnets,
    #[serde(skip)]
    machines_max: usize,
    machines: IndexMap<Mac, Machine, foldhash::fast::RandomState>,
    addresses: IndexMap<Addr, Address, foldhash::fast::RandomState>,
    /// Machines that are taken for the bearers of many, until then; routers for ever.
    #[serde(default)]
    many: IndexMap<Mac, Timestamp, foldhash::fast::RandomState>,
    /// Where the searches for something to forget go on.
    hands: (Hand, Hand),
    forgotten: u64,
    disputes: u64,
    #[serde(skip)]
    changes: u64,
}

/// What is known of a machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Machine {
    heard_at: Timestamp,
    /// Its IPv4 address, and those it had before; the last one is the latest.
    v4: SmallVec<[(Addr, Timestamp); 2]>,
    v6: SmallVec<[(Addr, Timestamp); 2]>,
    names: Hints,
}

/// What is known of an address.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Address {
    mac: Option<Mac>,
    /// Since when it has been the bearer's.
    since: Timestamp,
    heard_at: Timestamp,
    /// The end of the bearer's lease, if there was one.
    lease_until: Option<Timestamp>,
    disputed_until: Timestamp,
    /// Was it ever another's, or disputed?
    is_second_hand: bool,
    names: Hints,
}

/// The latest few names, each with where it was said last.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Hints(SmallVec<[(Name, ClaimSource); 1]>);

impl Register {
    /// More machines than a link has; with all that can be said of them they take 150 MB.
    pub const MACHINES_MAX: usize = 1 << 16;

    /// Goes on from what another process kept.
    #[must_use]
    pub fn resume(self, internal: Subnets, machines_max: usize) -> Self {
        Self { internal, machines_max, ..self }
    }

    /// Knows nobody yet.
    pub fn new(internal: Subnets, machines_max: usize) -> Self {
        Self {
            internal,
            machines_max: machines_max.max(1),
            machines: IndexMap::default(),
            addresses: IndexMap::default(),
            many: IndexMap::default(),
            hands: Default::default(),
            forgotten: 0,
            disputes: 0,
            changes: 0,
        }
    }

    /// Takes a claim, in the order of the input.
    pub fn hear(&mut self, claim: &Claim) {
        let at = claim.at;
        match &claim.says {
            &Says::Bears { mac, addr, lease } => self.bears(mac, addr, at, lease),
            &Says::Routes(mac) => {
                self.machine(mac, at);
                self.take_for_many(mac, Timestamp::MAX);
            }
            Says::Named(mac, name) if name.is_valid() => {
                self.machine(*mac, at).names.add(name, claim.source);
            }
            Says::Called(addr, name) if name.is_valid() && self.internal.contains(*addr) => {
                self.address(*addr, at).names.add(name, claim.source);
            }
            Says::Named(..) | Says::Called(..) => {}
        }
    }

    /// The machine that has an address, if that is sure.
    pub fn bearer(&self, addr: Addr, at: Timestamp) -> Option<Mac> {
        let address = self.addresses.get(&addr)?;
        let mac = address.mac.filter(|_| address.disputed_until <= at)?;
        self.many.get(&mac).is_none_or(|&until| until <= at).then_some(mac)
    }

    /// The machine that has an address, if it never was another's: for what was seen before the first claim.
    pub fn only_bearer(&self, addr: Addr) -> Option<Mac> {
        let address = self.addresses.get(&addr).filter(|address| !address.is_second_hand)?;
        address.mac.filter(|mac| !self.many.contains_key(mac))
    }

    /// The machine that has had an IPv4 address for a day, if that is sure, and has it for longer than any other
    /// that it claims.
    ///
    /// So nobody can forge that his address is at an interface that has one of its own, to be taken for the
    /// other before he says who he is.
    pub fn long_bearer(&self, addr: Addr, at: Timestamp) -> Option<Mac> {
        let address = self.addresses.get(&addr).filter(|address| address.since.plus(DAY) <= at)?;
        let mac = address.mac.filter(|&mac| self.first_v4(mac, at) == Some(addr))?;
        self.bearer(addr, at).filter(|&bearer| bearer == mac)
    }

    /// Of the IPv4 addresses that a machine claimed within a day, the one before the others.
    pub fn first_v4(&self, mac: Mac, at: Timestamp) -> Option<Addr> {
        let mut lately = self.machines.get(&mac)?.v4.iter();
        lately.find(|(_, heard_at)| heard_at.plus(DAY) > at).map(|&(addr, _)| addr)
    }

    /// Do several machines claim an address?
    pub fn is_disputed(&self, addr: Addr, at: Timestamp) -> bool {
        self.addresses.get(&addr).is_some_and(|address| address.disputed_until > at)
    }

    /// How often an address of which it was sure became disputed.
    pub fn disputes(&self) -> u64 {
        self.disputes
    }

    /// How often it may have become another's whose an address is.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Is it a router's?
    pub fn is_router(&self, mac: Mac) -> bool {
        self.many.get(&mac) == Some(&Timestamp::MAX)
    }

    /// The addresses of a machine at some time, as far as they are sure.
    pub fn addresses_of(&self, mac: Mac, at: Timestamp) -> impl Iterator<Item = Addr> {
        let claimed = self.machines.get(&mac).into_iter().flat_map(Machine::claimed);
        claimed.filter(move |&addr| self.bearer(addr, at) == Some(mac))
    }

    /// Names of a machine.
    pub fn names_of(&self, mac: Mac) -> &[(Name, ClaimSource)] {
        self.machines.get(&mac).map_or(&[], |machine| &machine.names.0)
    }

    /// Names that an address was called by.
    pub fn names_at(&self, addr: Addr) -> &[(Name, ClaimSource)] {
        self.addresses.get(&addr).map_or(&[], |address| &address.names.0)
    }

    /// Machines and addresses that are known.
    pub fn sizes(&self) -> (usize, usize) {
        (self.machines.len(), self.addresses.len())
    }

    /// Machines and addresses that were forgotten for want of room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn bears(&mut self, mac: Mac, addr: Addr, at: Timestamp, lease: Option<Duration>) {
        if is_nobodys(addr) {
            return;
        }
        let is_inside = self.internal.contains(addr);
        let has_many = self.machine(mac, at).take(addr, at);
        if !is_inside || mac.is_virtual_router() {
            self.take_for_many(mac, Timestamp::MAX);
        } else if has_many {
            self.take_for_many(mac, at.plus(DAY));
        }
        if !is_inside {
            return;
        }
        let address = self.address(addr, at);
        let lease_until = lease.map(|lease| at.plus(lease));
        match address.mac {
            Some(known) if known == mac => {
                address.heard_at = at;
                address.lease_until = lease_until.or(address.lease_until);
            }
            None => {
                (address.mac, address.since, address.heard_at) = (Some(mac), at, at);
                address.lease_until = lease_until;
                self.changes += 1;
            }
            Some(_) => {
                let has_run_out = |until| until <= at && address.heard_at <= until;
                let is_over = address.heard_at.plus(DAY) <= at
                    || lease.is_some() && address.lease_until.is_some_and(has_run_out);
                address.is_second_hand = true;
                if is_over {
                    (address.mac, address.since, address.heard_at) = (Some(mac), at, at);
                    address.lease_until = lease_until;
                } else {
                    let is_new = address.disputed_until <= at;
                    address.disputed_until = at.plus(DAY);
                    self.disputes += u64::from(is_new);
                }
                self.changes += 1;
            }
        }
    }

    fn machine(&mut self, mac: Mac, at: Timestamp) -> &mut Machine {
        if self.machines.len() >= self.machines_max && !self.machines.contains_key(&mac) {
            let gone = forget(&mut self.machines, &mut self.hands.0, |machine| machine.heard_at);
            if let Some((mac, machine)) = gone {
                self.release(mac, &machine);
            }
            self.forgotten += 1;
            self.changes += 1;
        }
        let machine = self.machines.entry(mac).or_insert_with(|| Machine::new(at));
        machine.heard_at = at;
        machine
    }

    /// The addresses of a machine are nobody's from now on.
    fn release(&mut self, mac: Mac, machine: &Machine) {
        for addr in machine.claimed() {
            match self.addresses.get_mut(&addr) {
                Some(address) if address.mac == Some(mac) => address.mac = None,
                Some(_) | None => {}
            }
        }
    }

    fn take_for_many(&mut self, mac: Mac, until: Timestamp) {
        if self.many.len() >= self.machines_max && !self.many.contains_key(&mac) {
            forget(&mut self.many, &mut self.hands.0, |&until| until);
            self.forgotten += 1;
            self.changes += 1;
        }
        let known = self.many.entry(mac).or_insert(Timestamp::EPOCH);
        self.changes += u64::from(*known < until);
        *known = until.max(*known);
    }

    fn address(&mut self, addr: Addr, at: Timestamp) -> &mut Address {
        let addresses_max = 2 * self.machines_max;
        if self.addresses.len() >= addresses_max && !self.addresses.contains_key(&addr) {
            forget(&mut self.addresses, &mut self.hands.1, |address| address.heard_at);
            self.forgotten += 1;
            self.changes += 1;
        }
        self.addresses.entry(addr).or_insert_with(|| Address::new(at))
    }
}

impl Machine {
    fn new(at: Timestamp) -> Self {
        Self { heard_at: at, v4: SmallVec::new(), v6: SmallVec::new(), names: Hints::default() }
    }

    /// Those of IPv4 first, the latest first.
    fn claimed(&self) -> impl Iterator<Item = Addr> {
        self.v4.iter().rev().chain(self.v6.iter().rev()).map(|&(addr, _)| addr)
    }

    /// Notes an address that it claims; answers whether these are too many for one machine.
    fn take(&mut self, addr: Addr, at: Timestamp) -> bool {
        let is_v4 = addr.to_ip().is_ipv4();
        let (held, max) = if is_v4 { (&mut self.v4, V4_MAX) } else { (&mut self.v6, V6_MAX) };
        held.retain(|&mut (_, heard_at)| heard_at.plus(DAY) > at);
        let known = held.iter().position(|&(known, _)| known == addr);
        let returns = is_v4 && known.is_some_and(|place| place + 1 < held.len());
        if let Some(place) = known {
            held.remove(place);
        }
        let are_many = returns || held.len() >= max;
        if are_many {
            held.truncate(max - 1);
        }
        held.push((addr, at));
        are_many
    }
}

impl Address {
    fn new(at: Timestamp) -> Self {
        Self {
            mac: None,
            since: at,
            heard_at: at,
            lease_until: None,
            disputed_until: Timestamp::EPOCH,
            is_second_hand: false,
            names: Hints::default(),
        }
    }
}

impl Hints {
    fn add(&mut self, name: &Name, source: ClaimSource) {
        self.0.retain(|(known, _)| known != name);
        if self.0.len() == NAMES_MAX {
            self.0.remove(0);
        }
        self.0.push((name.clone(), source));
    }
}

/// Forgets the one that was not heard of for longest among the next few.
fn forget<K, V>(
    entries: &mut IndexMap<K, V, foldhash::fast::RandomState>,
    hand: &mut Hand,
    heard_at: impl Fn(&V) -> Timestamp,
) -> Option<(K, V)> {
    let oldest = hand.next(entries.len()).min_by_key(|&place| heard_at(&entries[place]));
    oldest.and_then(|place| entries.swap_remove_index(place))
}

/// Groups, loopback and no address at all: nobody bears these.
fn is_nobodys(addr: Addr) -> bool {
    let ip = addr.to_ip();
    let is_broadcast = ip == std::net::IpAddr::from([255; 4]);
    ip.is_multicast() || ip.is_unspecified() || ip.is_loopback() || is_broadcast
}

/// After so long without a word a claim is stale.
const DAY: Duration = Duration::from_secs(86_400);

/// Addresses that a machine may have claimed within a day.
const V4_MAX: usize = 4;
const V6_MAX: usize = 32;

/// Names kept of a machine, and of an address.
const NAMES_MAX: usize = 4;
