//! Who works there: hosts, their scale and their habits, and those that come and go.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::habits::Habits;
use super::parameters::{Nat, Parameters, Proxy, Travel, Who};
use super::places::{PlaceId, Places};
use super::travel::Whereabouts;
use crate::net::Addr;
use crate::synth::random::{Random, scramble};

/// One machine.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// Counts all that ever were.
    number: u32,
    addr: Addr,
    pub(super) who: Who,
    /// Its first day, when that is not the office's.
    pub(super) starts_on: Option<u32>,
    /// The day on which another takes its place.
    leaves_on: Option<u32>,
    pub(super) is_always_on: bool,
    travels: bool,
    /// How much it browses, as a multiple of the usual.
    pub(super) scale: f64,
    pub(super) own_service: PlaceId,
    pub(super) habits: Habits,
}

/// All machines.
#[derive(Debug, Clone)]
pub(super) struct Staff {
    hosts: Vec<Host>,
    /// Machines that there ever were.
    count: u32,
}

impl Host {
    /// The address that it is seen by: its own, or that of the gateway it is behind.
    pub(super) fn addr(&self) -> Addr {
        self.addr
    }

    /// The same on a day; none where it is not seen.
    pub(super) fn addr_on(&self, day: u32, travel: &Travel) -> Option<Addr> {
        match self.whereabouts(day, travel) {
            Whereabouts::Here => Some(self.addr),
            Whereabouts::Elsewhere => {
                Some(Ipv4Addr::from_bits(FIRST_ELSEWHERE + self.number).into())
            }
            Whereabouts::Away => None,
        }
    }

    /// Its temporary address of IPv6 on a day, if it has any.
    pub(super) fn temporary_on(&self, day: u32, parameters: &Parameters) -> Option<Addr> {
        let Parameters { ipv6, nat, travel, .. } = parameters;
        let has_one = self.who == Who::Workstations
            && self.is_among(ipv6.share, "ipv6")
            && !self.is_among(nat.share, "nat");
        let network = match self.whereabouts(day, travel) {
            Whereabouts::Here => NETWORK,
            Whereabouts::Elsewhere => NETWORK_ELSEWHERE,
            Whereabouts::Away => return None,
        };
        let interface = scramble(self.seed() ^ scramble(u64::from(day) ^ TEMPORARY));
        let bits = u128::from(network) << 64 | u128::from(interface);
        has_one.then(|| Ipv6Addr::from_bits(bits).into())
    }

    /// Is it where it belongs on a day?
    pub(super) fn is_here(&self, day: u32, travel: &Travel) -> bool {
        self.whereabouts(day, travel) == Whereabouts::Here
    }

    fn whereabouts(&self, day: u32, travel: &Travel) -> Whereabouts {
        if self.travels { Whereabouts::on(day, self.seed(), travel) } else { Whereabouts::Here }
    }

    fn addressed(self, nat: &Nat) -> Self {
        let is_behind = self.who == Who::Workstations && self.is_among(nat.share, "nat");
        let bits = match is_behind {
            true => FIRST_GATEWAY + self.number / nat.hosts % GATEWAYS,
            false => FIRST_ADDR + self.number,
        };
        Self { addr: Ipv4Addr::from_bits(bits).into(), ..self }
    }

    /// A number of its own, for chance.
    pub(super) fn seed(&self) -> u64 {
        scramble(u64::from(self.number) + 1)
    }

    /// Is it one of this share of hosts that do something? The same for a host on all days.
    pub(super) fn is_among(&self, share: f64, what: &str) -> bool {
        let mixed = what.bytes().fold(self.seed(), |hash, byte| scramble(hash ^ u64::from(byte)));
        ((mixed >> 11) as f64 / (1_u64 << 53) as f64) < share
    }

    /// Does it ask a proxy inside to reach what others reach over port 443?
    pub(super) fn asks_proxy(&self, proxy: &Proxy) -> bool {
        self.who == Who::Workstations && self.is_among(proxy.share, "proxy")
    }

    /// Is it there from the first day to the last?
    pub(super) fn stays(&self) -> bool {
        self.leaves_on.is_none() && self.starts_on.is_none() && !self.travels
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

impl Staff {
    pub(super) fn new(parameters: &Parameters, seed: u64, places: &mut Places) -> Self {
        let mut staff = Self { hosts: Vec::new(), count: 0 };
        let mut random = Random::new(scramble(seed));
        let share = parameters.hosts.new_per_month * f64::from(parameters.days) / 30.0;
        for at in 0..parameters.hosts.servers + parameters.hosts.workstations {
            let who = if at < parameters.hosts.servers { Who::Servers } else { Who::Workstations };
            let mut host = staff.hire(parameters, who, seed, places);
            let leaves = who == Who::Workstations && random.unit() < share;
            let on = 1 + random.below(u64::from(parameters.days.saturating_sub(1))) as u32;
            host.leaves_on = leaves.then_some(on);
            staff.hosts.push(host);
        }
        staff
    }

    pub(super) fn hosts(&mut self) -> impl Iterator<Item = &mut Host> {
        self.hosts.iter_mut()
    }

    pub(super) fn workstations(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.who == Who::Workstations)
    }

    /// Those that leave today make room for new ones.
    pub(super) fn replace(
        &mut self,
        parameters: &Parameters,
        day: u32,
        seed: u64,
        places: &mut Places,
    ) {
        for at in 0..self.hosts.len() {
            if self.hosts[at].leaves_on == Some(day) {
                let mut host = self.hire(parameters, Who::Workstations, seed, places);
                host.starts_on = Some(day);
                self.hosts[at] = host;
            }
        }
    }

    fn hire(&mut self, parameters: &Parameters, who: Who, seed: u64, places: &mut Places) -> Host {
        let number = self.count;
        self.count += 1;
        let mut random = Random::new(scramble(seed ^ scramble(u64::from(number) ^ HIRING)));
        let browsing = &parameters.browsing;
        let host = Host {
            number,
            addr: Addr::from_v4([0; 4]),
            who,
            starts_on: None,
            leaves_on: None,
            is_always_on: who == Who::Servers || random.unit() < parameters.hosts.always_on,
            travels: false,
            scale: random.lognormal(1.0, browsing.mb_spread_hosts),
            own_service: places.fresh(),
            habits: Habits::new(browsing.host_discount, browsing.host_strength, 4096),
        };
        let can_travel = who == Who::Workstations && !host.is_always_on;
        let travels = can_travel && host.is_among(parameters.travel.share, "travel");
        Host { travels, ..host }.addressed(&parameters.nat)
    }
}

/// 10.20.0.0/16 and on.
const FIRST_ADDR: u32 = 0x0a14_0010;

/// 10.64.0.16 and on: another site.
const FIRST_ELSEWHERE: u32 = 0x0a40_0010;

/// 2001:db8:20::/64, and of the other site.
const NETWORK: u64 = 0x2001_0db8_0020_0000;
const NETWORK_ELSEWHERE: u64 = 0x2001_0db8_0064_0000;

/// 10.20.254.0 and on.
const FIRST_GATEWAY: u32 = 0x0a14_fe00;
const GATEWAYS: u32 = 256;

/// Keeps the chance of addresses apart from that of working.
const TEMPORARY: u64 = 0x7465_6d70;

/// Keeps the chance of hiring apart from that of working.
const HIRING: u64 = 0x6869_7265;
