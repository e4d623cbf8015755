//! Places outside: each name has an address.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::habits::Habits;
use super::parameters::{OfficeError, Parameters};
use crate::net::Addr;
use crate::synth::random::{Random, scramble};

/// A place outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PlaceId(pub(super) u32);

/// Where the office goes.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Places known to nobody yet begin here.
    fresh: u32,
    /// What everybody's habits have in common.
    habits: Habits,
    services: BTreeMap<String, PlaceId>,
    talkative: f64,
    /// Share of places that are reached over IPv6.
    over_v6: f64,
}

impl PlaceId {
    /// Its address: of the networks for benchmarks (RFC 2544) while these last, then of those for
    /// documentation (RFC 3849).
    pub(super) fn addr(self) -> Addr {
        if self.0 < V4_PLACES { Ipv4Addr::from_bits(V4_FIRST + self.0).into() } else { self.v6() }
    }

    fn v6(self) -> Addr {
        Ipv6Addr::from_bits(V6_FIRST + u128::from(self.0)).into()
    }

    /// A part of all there are, the same for each place on all days.
    fn is_among(self, share: f64, what: u64) -> bool {
        let hashed = (scramble(u64::from(self.0) ^ what) >> 11) as f64 / (1_u64 << 53) as f64;
        hashed < share
    }
}

/// The address that all know a place by.
pub(super) fn known_as(addr: Addr) -> Addr {
    match addr.to_bits().checked_sub(V6_FIRST) {
        Some(number) if addr.to_ip().is_ipv6() && number < u128::from(V4_PLACES) => {
            PlaceId(number as u32).addr()
        }
        _ => addr,
    }
}

/// The number of the place with this address.
pub(super) fn number(addr: Addr) -> u32 {
    let low = known_as(addr).to_bits() as u32;
    if addr.to_ip().is_ipv6() && known_as(addr) == addr { V4_FIRST.wrapping_add(low) } else { low }
}

impl Places {
    pub(super) fn new(parameters: &Parameters) -> Result<Self, OfficeError> {
        let browsing = &parameters.browsing;
        let mut places = Self {
            fresh: RELAYS + CLIENTS,
            habits: Habits::new(browsing.office_discount, browsing.office_strength, 1 << 18),
            services: BTreeMap::new(),
            talkative: browsing.talkative,
            over_v6: parameters.ipv6.places,
        };
        for event in &parameters.events {
            let is_service = !["own", "relay", "new", "client"].contains(&event.to.as_str());
            if is_service && !places.services.contains_key(&event.to) {
                let place = places.fresh();
                places.services.insert(event.to.clone(), place);
            }
        }
        for name in parameters.moves.iter().map(|one| one.service.as_str()).chain(["cloud"]) {
            if !places.services.contains_key(name) {
                let problem = format!("no event goes to {name:?}; name one that does");
                return Err(OfficeError::Value { key: "service", problem });
            }
        }
        Ok(places)
    }

    /// A place that nobody has been to.
    pub(super) fn fresh(&mut self) -> PlaceId {
        self.fresh += 1;
        PlaceId(self.fresh - 1)
    }

    /// Its addresses, as far as it has them.
    pub(super) fn ends(&self, place: PlaceId) -> (Addr, Option<Addr>) {
        (place.addr(), self.v6(place))
    }

    /// Those of a place that nobody has been to.
    pub(super) fn fresh_ends(&mut self) -> (Addr, Option<Addr>) {
        let place = self.fresh();
        self.ends(place)
    }

    /// One of the relays of a meeting service.
    pub(super) fn relay(random: &mut Random) -> PlaceId {
        PlaceId(random.below(u64::from(RELAYS)) as u32)
    }

    /// Somebody outside who asks our servers.
    pub(super) fn client(random: &mut Random) -> PlaceId {
        PlaceId(RELAYS + random.below(u64::from(CLIENTS)) as u32)
    }

    /// Where a service is today.
    pub(super) fn service(&self, name: &str) -> PlaceId {
        self.services.get(name).copied().unwrap_or(PlaceId(0))
    }

    /// Where a host goes next.
    pub(super) fn visit(&mut self, habits: &mut Habits, random: &mut Random) -> PlaceId {
        let Self { fresh, habits: office, .. } = self;
        PlaceId(habits.choose(random, |random| {
            office.choose(random, |_| {
                *fresh += 1;
                *fresh - 1
            })
        }))
    }

    /// Is more sent there than comes back?
    pub(super) fn is_talkative(&self, place: PlaceId) -> bool {
        place.is_among(self.talkative, 0)
    }

    /// The address by which a place is reached over IPv6, if it is.
    pub(super) fn v6(&self, place: PlaceId) -> Option<Addr> {
        place.is_among(self.over_v6, OVER_V6).then(|| place.v6())
    }

    /// Services that are somewhere else from this day on.
    pub(super) fn move_services(&mut self, parameters: &Parameters, day: u32) {
        for moved in parameters.moves.iter().filter(|moved| moved.day == day) {
            let place = self.fresh();
            self.services.insert(moved.service.clone(), place);
        }
    }
}

const V4_FIRST: u32 = 0xc612_0000; // 198.18.0.0/15
const V4_PLACES: u32 = 1 << 17;
const V6_FIRST: u128 = 0x2001_0db8_ffff << 80;

/// Keeps the chance of IPv6 apart from others.
const OVER_V6: u64 = 0x6970_7636;

const RELAYS: u32 = 60;
const CLIENTS: u32 = 5000;
