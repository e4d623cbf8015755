//! What the office has really sent so far: where an upload may go, and how much honest work sends.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::net::{Addr, Protocol};
use crate::synth::office::{Cell, Destination, Hour, Injection, Report};
use crate::synth::{Random, scramble};
use crate::time::Timestamp;

/// What the office has really sent so far: by machine and place, whatever addresses they had on the way.
#[derive(Default)]
pub(super) struct Past {
    pairs: HashMap<(Addr, Addr), Pair, RandomState>,
    /// Hosts of earlier days.
    known: HashSet<Addr, RandomState>,
    /// How many hosts were at a place.
    visitors: HashMap<Addr, u32, RandomState>,
    pub(super) host_days: u64,
}

/// A host and a destination.
#[derive(Debug, Default, Clone, Copy)]
struct Pair {
    days: u32,
    is_tcp: bool,
}

/// Bytes between a host and a place.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Exchange {
    pub(super) out: u64,
    back: u64,
    is_tcp: bool,
}

/// What each host sent to each place on one day, in working hours and in others.
pub(super) type Today = HashMap<((Addr, Addr), bool), Exchange, RandomState>;

impl Exchange {
    #[cfg(test)]
    pub(super) fn sent(bytes: u64) -> Self {
        Self { out: bytes, ..Self::default() }
    }

    pub(super) fn add(&mut self, more: &Self) {
        self.out += more.out;
        self.back += more.back;
        self.is_tcp |= more.is_tcp;
    }

    /// Uploads send at least twice what comes back; calls and downloads do not.
    pub(super) fn is_one_sided(&self) -> bool {
        self.out / 2 >= self.back
    }
}

/// Where uploads may go on one day.
struct Choices {
    by_others: Vec<Addr>,
    usual: BTreeMap<Addr, Vec<Addr>>,
}

impl Past {
    /// What was sent on a day.
    pub(super) fn sums(day: &[Report], is_at_work: impl Fn(Timestamp) -> bool) -> Today {
        let mut today = Today::default();
        for report in day {
            let (Some([out, back]), Some(delta)) = (report.sent(), report.delta()) else {
                continue;
            };
            let ends = (report.errand.host, report.errand.place);
            let is_tcp = delta.key.protocol == Protocol::TCP;
            let exchange = Exchange { out, back, is_tcp };
            today.entry((ends, is_at_work(delta.last_at))).or_default().add(&exchange);
        }
        today
    }

    /// Adds a day; of those that are judged host-days are counted.
    pub(super) fn learn(&mut self, today: &Today, is_judged: bool) {
        let mut pairs: HashMap<(Addr, Addr), Exchange, RandomState> = HashMap::default();
        for (&(ends, _), exchange) in today {
            pairs.entry(ends).or_default().add(exchange);
        }
        pairs.retain(|_, exchange| exchange.out > 0);
        let hosts: HashSet<Addr> = pairs.keys().map(|&(host, _)| host).collect();
        self.host_days += if is_judged { hosts.len() as u64 } else { 0 };
        self.known.extend(hosts);
        for (ends, exchange) in pairs {
            let pair = self.pairs.entry(ends).or_default();
            *self.visitors.entry(ends.1).or_default() += u32::from(pair.days == 0);
            pair.days += 1;
            pair.is_tcp |= exchange.is_tcp;
        }
    }

    /// The cells, each by a host and to a place of its own, on the day that begins at `start`; in order
    /// of time. Those for which there is no such place are left out.
    pub(super) fn inject(
        &self,
        cells: &[(usize, Cell)],
        staying: &[(Addr, bool)],
        (start, seed): (Timestamp, u64),
    ) -> Vec<(usize, Injection)> {
        let choices = self.choices(staying);
        let mut injected: Vec<(usize, Injection)> = Vec::new();
        for &(number, cell) in cells {
            // Of its own, so that an upload is the same whatever others are tried.
            let mut random = Random::new(scramble(seed ^ scramble(number as u64)));
            let secs = match cell.hour {
                Hour::Work => 9 * HOUR + random.below(6 * HOUR),
                Hour::Night => HOUR + random.below(3 * HOUR),
            };
            let start = start.plus(Duration::from_secs(secs));
            let ends = self.ends(cell.destination, &choices, staying, &mut random);
            let upload = |((host, asks_proxy), place)| {
                (number, Injection { cell, host, place, start, asks_proxy })
            };
            injected.extend(ends.map(upload));
        }
        injected.sort_by_key(|(number, injection)| (injection.start, *number));
        injected
    }

    fn ends(
        &self,
        destination: Destination,
        choices: &Choices,
        staying: &[(Addr, bool)],
        random: &mut Random,
    ) -> Option<((Addr, bool), Addr)> {
        let mut place_in = |len: usize| random.below(len as u64) as usize;
        (0..TRIES).find_map(|_| {
            let host = *staying.get(place_in(staying.len()))?;
            let mut any = |addrs: &[Addr]| addrs.get(place_in(addrs.len())).copied();
            let place = match destination {
                Destination::NeverSeen => Some(NEVER_SEEN),
                Destination::SeenByOthers => any(&choices.by_others)
                    .filter(|&place| !self.pairs.contains_key(&(host.0, place))),
                Destination::Usual => choices.usual.get(&host.0).and_then(|places| any(places)),
            };
            Some((host, place?))
        })
    }

    fn choices(&self, staying: &[(Addr, bool)]) -> Choices {
        let mut usual: BTreeMap<Addr, Vec<Addr>> =
            staying.iter().map(|&(host, _)| (host, Vec::new())).collect();
        let mut by_others = BTreeSet::new();
        for (&(host, place), pair) in self.pairs.iter().filter(|(_, pair)| pair.is_tcp) {
            if pair.days >= USUAL_DAYS
                && let Some(places) = usual.get_mut(&host)
            {
                places.push(place);
            }
            if self.visitors[&place] >= VISITORS_MIN {
                by_others.insert(place);
            }
        }
        usual.values_mut().for_each(|places| places.sort());
        Choices { by_others: by_others.into_iter().collect(), usual }
    }

    /// Was anything sent by this host on an earlier day?
    pub(super) fn knows(&self, host: Addr) -> bool {
        self.known.contains(&host)
    }

    /// What kind of destination a place is for a host, by the days before.
    pub(super) fn destination(&self, ends: (Addr, Addr)) -> Destination {
        if self.pairs.contains_key(&ends) {
            Destination::Usual
        } else if self.visitors.contains_key(&ends.1) {
            Destination::SeenByOthers
        } else {
            Destination::NeverSeen
        }
    }
}

/// A place for documentation (RFC 5737), where the office never goes.
const NEVER_SEEN: Addr = Addr::from_v4([203, 0, 113, 7]);

const HOUR: u64 = 3600;
const TRIES: u32 = 1000;
const USUAL_DAYS: u32 = 5;
const VISITORS_MIN: u32 = 2;
