//! What the office has really sent so far: where an upload may go, and how much honest work sends.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::egress::{Crossing, Place};
use crate::flow::FlowDelta;
use crate::net::{Addr, Protocol, Subnets};
use crate::synth::office::{Cell, Destination, Hour, Injection, Report};
use crate::synth::{Random, scramble};
use crate::time::Timestamp;

/// What the office has really sent so far.
pub(super) struct Past {
    internal: Subnets,
    pairs: HashMap<(Addr, Addr), Pair, RandomState>,
    /// Hosts of earlier days.
    known: HashSet<Addr, RandomState>,
    /// How many hosts were at a place.
    visitors: HashMap<Addr, u32, RandomState>,
    pub(super) host_days: u64,
    pub(super) tails: Tails,
}

/// A host and a destination.
#[derive(Debug, Default, Clone, Copy)]
struct Pair {
    days: u32,
    /// Bytes out on the largest day.
    largest: u64,
    is_tcp: bool,
}

/// Bytes of one day.
#[derive(Debug, Default, Clone, Copy)]
struct Exchange {
    out: u64,
    back: u64,
    is_tcp: bool,
}

/// Of each kind of destination, what honest host-days scored.
#[derive(Debug, Default)]
pub(super) struct Tails([Vec<u64>; 3]);

/// Where uploads may go on one day.
struct Choices {
    by_others: Vec<Addr>,
    usual: BTreeMap<Addr, Vec<Addr>>,
}

impl Past {
    pub(super) fn new(internal: Subnets) -> Self {
        Self {
            internal,
            pairs: HashMap::default(),
            known: HashSet::default(),
            visitors: HashMap::default(),
            host_days: 0,
            tails: Tails::default(),
        }
    }

    /// Adds a day; one that is judged counts in the tails.
    pub(super) fn learn(&mut self, day: &[Report], is_judged: bool) {
        let mut today: HashMap<(Addr, Addr), Exchange, RandomState> = HashMap::default();
        for delta in day.iter().filter_map(Report::delta) {
            let Some(crossing) = self.crossing(delta) else { continue };
            let pair = today.entry((crossing.host, crossing.peer)).or_default();
            pair.out += delta.sent_by(crossing.side).sent;
            pair.back += delta.sent_by(crossing.side.other()).sent;
            pair.is_tcp |= delta.key.protocol == Protocol::TCP;
        }
        today.retain(|_, exchange| exchange.out > 0);
        if is_judged {
            let hosts: BTreeSet<Addr> = today.keys().map(|&(host, _)| host).collect();
            self.host_days += hosts.len() as u64;
            for (&(host, peer), exchange) in &today {
                let destination = self.destination(host, peer);
                // Who takes up a new computer sends what would hide all others.
                let is_told = self.known.contains(&host) && exchange.out >= TAIL_BYTES_MIN;
                if is_told && is_one_sided(exchange.out, exchange.back) {
                    let score = self.score(destination, (host, peer), exchange.out);
                    self.tails.0[destination as usize].push(score);
                }
            }
        }
        for ((host, peer), exchange) in today {
            self.known.insert(host);
            let pair = self.pairs.entry((host, peer)).or_default();
            *self.visitors.entry(peer).or_default() += u32::from(pair.days == 0);
            pair.days += 1;
            pair.largest = pair.largest.max(exchange.out);
            pair.is_tcp |= exchange.is_tcp;
        }
    }

    /// What an oracle goes by, which knows the tails of each kind of destination: bytes of a day; where the
    /// host was before, in thousandths of its largest day there and a floor.
    pub(super) fn score(&self, destination: Destination, pair: (Addr, Addr), bytes: u64) -> u64 {
        match destination {
            Destination::NeverSeen | Destination::SeenByOthers => bytes,
            Destination::Usual => {
                let largest = self.pairs.get(&pair).map_or(0, |pair| pair.largest);
                bytes.saturating_mul(1000) / (largest + FLOOR_BYTES)
            }
        }
    }

    /// The cells, each by a host and to a place of its own, on the day that begins at `start`; in order
    /// of time. Those for which there is no such place are left out.
    pub(super) fn inject(
        &self,
        cells: &[(usize, Cell)],
        staying: &[Addr],
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
            let place = |(host, place)| (number, Injection { cell, host, place, start });
            injected.extend(ends.map(place));
        }
        injected.sort_by_key(|(number, injection)| (injection.start, *number));
        injected
    }

    fn ends(
        &self,
        destination: Destination,
        choices: &Choices,
        staying: &[Addr],
        random: &mut Random,
    ) -> Option<(Addr, Addr)> {
        let mut any =
            |addrs: &[Addr]| addrs.get(random.below(addrs.len() as u64) as usize).copied();
        (0..TRIES).find_map(|_| {
            let host = any(staying)?;
            let place = match destination {
                Destination::NeverSeen => Some(NEVER_SEEN),
                Destination::SeenByOthers => any(&choices.by_others)
                    .filter(|&place| !self.pairs.contains_key(&(host, place))),
                Destination::Usual => choices.usual.get(&host).and_then(|places| any(places)),
            };
            Some((host, place?))
        })
    }

    fn choices(&self, staying: &[Addr]) -> Choices {
        let mut usual: BTreeMap<Addr, Vec<Addr>> =
            staying.iter().map(|&host| (host, Vec::new())).collect();
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

    fn destination(&self, host: Addr, peer: Addr) -> Destination {
        if self.pairs.contains_key(&(host, peer)) {
            Destination::Usual
        } else if self.visitors.contains_key(&peer) {
            Destination::SeenByOthers
        } else {
            Destination::NeverSeen
        }
    }

    fn crossing(&self, delta: &FlowDelta) -> Option<Crossing> {
        match Place::of(&self.internal, &delta.key) {
            Place::Border(crossing) => Some(crossing),
            Place::Inside | Place::Outside | Place::Relayed(_) => None,
        }
    }

    /// What a flow sends from a host to a place.
    pub(super) fn sent(&self, delta: &FlowDelta, (host, place): (Addr, Addr)) -> u64 {
        self.crossing(delta)
            .filter(|crossing| (crossing.host, crossing.peer) == (host, place))
            .map_or(0, |crossing| delta.sent_by(crossing.side).sent)
    }
}

impl Tails {
    /// The scores above which an oracle alarms, by kind of destination, so that it alarms `alerts` times on the honest
    /// days: a third of them for each kind.
    pub(super) fn limits(&mut self, alerts: usize) -> [u64; 3] {
        let mut limits = [0; 3];
        for (at, tail) in self.0.iter_mut().enumerate() {
            tail.sort_unstable_by(|a, b| b.cmp(a));
            let allowed = alerts / 3 + usize::from(at < alerts % 3);
            limits[at] = tail.get(allowed).copied().unwrap_or(0);
        }
        limits
    }
}

/// Uploads send at least twice what comes back; calls and downloads do not.
fn is_one_sided(out: u64, back: u64) -> bool {
    out / 2 >= back
}

/// A place for documentation (RFC 5737), where the office never goes.
const NEVER_SEEN: Addr = Addr::from_v4([203, 0, 113, 7]);

const HOUR: u64 = 3600;
const TRIES: u32 = 1000;
const USUAL_DAYS: u32 = 5;
const VISITORS_MIN: u32 = 2;

/// Less never alerts, and would hide in the tails what does.
const FLOOR_BYTES: u64 = 1 << 20;
const TAIL_BYTES_MIN: u64 = 64 << 10;
