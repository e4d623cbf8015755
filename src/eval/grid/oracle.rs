//! Judges who know what no detector can: how much honest work really sends, on the very days that are judged.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use schemars::JsonSchema;
use serde::Serialize;

use super::past::{Exchange, Past, Today};
use crate::net::Addr;
use crate::synth::office::Destination;
use crate::time::{Calendar, Timestamp};

/// Over what an oracle sums what a host sends to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sums {
    /// A day.
    Day,
    /// The working hours of a day, and the others, each by limits of their own.
    Hours,
    /// Seven days.
    Week,
}

/// One that looks at sums.
pub(super) struct Oracle {
    pub(super) sums: Sums,
    /// Sums under way, and the days that they span so far.
    open: HashMap<Sum, Honest, RandomState>,
    days: u32,
    /// The largest sum so far.
    largest: HashMap<Sum, u64, RandomState>,
    /// Of each kind of destination in each part of the day, what honest sums scored.
    tails: Vec<Vec<u64>>,
}

/// What is summed: bytes of a host to a place, in a part of the day.
type Sum = ((Addr, Addr), usize);

/// What honest work sent, to a destination of which kind.
#[derive(Clone, Copy)]
struct Honest {
    exchange: Exchange,
    destination: Destination,
    /// Who takes up a new computer sends what would hide all others.
    is_of_known: bool,
}

/// Something that the host of an upload sends to its place, and how much of that is the upload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: Timestamp,
    pub(super) is_at_work: bool,
    pub(super) bytes: u64,
    pub(super) own: u64,
}

/// What an oracle sees of an upload at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    tail: usize,
    score: u64,
    /// What the upload had sent by then.
    left: u64,
}

impl Sums {
    pub(super) const ALL: [Self; 3] = [Self::Day, Self::Hours, Self::Week];

    fn days(self) -> u32 {
        match self {
            Self::Day | Self::Hours => 1,
            Self::Week => 7,
        }
    }

    /// The part of the day, of so many.
    fn part(self, is_at_work: bool) -> usize {
        usize::from(self == Self::Hours && is_at_work)
    }

    fn parts(self) -> usize {
        if self == Self::Hours { 2 } else { 1 }
    }
}

impl Oracle {
    pub(super) fn new(sums: Sums) -> Self {
        Self {
            sums,
            open: HashMap::default(),
            days: 0,
            largest: HashMap::default(),
            tails: vec![Vec::new(); Destination::ALL.len() * sums.parts()],
        }
    }

    /// Adds a day of the office after this past; one that is judged counts in the tails.
    pub(super) fn learn(&mut self, past: &Past, today: &Today, is_judged: bool) {
        for (&(ends, is_at_work), exchange) in today {
            let sum =
                self.open.entry((ends, self.sums.part(is_at_work))).or_insert_with(|| Honest {
                    exchange: Exchange::default(),
                    destination: past.destination(ends),
                    is_of_known: past.knows(ends.0),
                });
            sum.exchange.add(exchange);
        }
        self.days += 1;
        if self.days < self.sums.days() {
            return;
        }
        self.days = 0;
        for (sum, honest) in std::mem::take(&mut self.open) {
            let Honest { exchange, destination, is_of_known } = honest;
            let is_told = is_of_known && exchange.out >= TAIL_BYTES_MIN;
            if is_judged && is_told && exchange.is_one_sided() {
                let score = self.score(destination, sum, exchange.out);
                let tail = self.tail(destination, sum.1);
                self.tails[tail].push(score);
            }
            let largest = self.largest.entry(sum).or_default();
            *largest = exchange.out.max(*largest);
        }
    }

    /// The moments at which an upload, with what its host sends there anyway, scores more than ever before.
    pub(super) fn see(
        &self,
        (destination, ends): (Destination, (Addr, Addr)),
        sent: &[Sent],
        calendar: &mut Calendar,
    ) -> Vec<Seen> {
        let mut sums = BTreeMap::new();
        let mut best = BTreeMap::new();
        let (mut left, mut seen) = (0, Vec::new());
        for &Sent { at, is_at_work, bytes, own } in sent {
            let part = self.sums.part(is_at_work);
            // No upload takes more than a week.
            let day = (self.sums != Sums::Week).then(|| calendar.day(at));
            let sum: &mut u64 = sums.entry((day, part)).or_default();
            *sum += bytes;
            left += own;
            let (tail, score) =
                (self.tail(destination, part), self.score(destination, (ends, part), *sum));
            if left > 0 && best.get(&tail).is_none_or(|&best| best < score) {
                best.insert(tail, score);
                seen.push(Seen { tail, score, left });
            }
        }
        seen
    }

    /// The scores above which it alarms, so that it does so `alerts` times on the honest days: as often for each kind
    /// of destination and part of the day.
    pub(super) fn limits(&mut self, alerts: usize) -> Vec<u64> {
        let count = self.tails.len();
        let limit = |(at, tail): (usize, &mut Vec<u64>)| {
            tail.sort_unstable_by(|a, b| b.cmp(a));
            let allowed = alerts / count + usize::from(at < alerts % count);
            tail.get(allowed).copied().unwrap_or(0)
        };
        self.tails.iter_mut().enumerate().map(limit).collect()
    }

    /// Bytes of a sum; where the host was before, in thousandths of the largest there and a floor.
    fn score(&self, destination: Destination, sum: Sum, bytes: u64) -> u64 {
        match destination {
            Destination::NeverSeen | Destination::SeenByOthers => bytes,
            Destination::Usual => {
                let largest = self.largest.get(&sum).copied().unwrap_or(0);
                bytes.saturating_mul(1000) / (largest + FLOOR_BYTES)
            }
        }
    }

    fn tail(&self, destination: Destination, part: usize) -> usize {
        destination as usize * self.sums.parts() + part
    }
}

/// What had left when an upload first scored above a limit.
pub(super) fn left_at_alarm(seen: &[Seen], limits: &[u64]) -> Option<u64> {
    seen.iter().find(|seen| seen.score > limits[seen.tail]).map(|seen| seen.left)
}

/// Less never alerts, and would hide in the tails what does.
const FLOOR_BYTES: u64 = 1 << 20;
const TAIL_BYTES_MIN: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOST: Addr = Addr::from_v4([10, 0, 0, 1]);
    const PLACE: Addr = Addr::from_v4([198, 18, 0, 1]);
    const MB: u64 = 1_000_000;
    const HOUR: u64 = 3600;

    /// Four weeks of which each working day sends 100 MB to a place never seen, and each third night 1 MB.
    fn learned() -> [Oracle; 3] {
        let mut past = Past::default();
        past.learn(&day(HOST, PLACE, 1, 1), false);
        let mut oracles = Sums::ALL.map(Oracle::new);
        for number in 0..28u8 {
            let place = |kind| Addr::from_v4([198, 18, kind, number]);
            let mut today = day(HOST, place(1), 100 * MB, 0);
            if number % 3 == 0 {
                today.extend(day(HOST, place(2), 0, MB));
            }
            for oracle in &mut oracles {
                oracle.learn(&past, &today, true);
            }
            past.learn(&today, true);
        }
        oracles
    }

    fn day(host: Addr, place: Addr, at_work: u64, else_sent: u64) -> Today {
        let sums = [(true, at_work), (false, else_sent)]
            .map(|(is_at_work, bytes)| (((host, place), is_at_work), Exchange::sent(bytes)));
        sums.into_iter().collect()
    }

    /// Pieces of so many bytes, an hour apart.
    fn found_by(oracles: &mut [Oracle; 3], is_at_work: bool, pieces: u64, bytes: u64) -> Vec<Sums> {
        let start = Timestamp::from_secs_nanos(1_773_000_000, 0);
        let piece = |number| {
            let at = start.plus(Duration::from_secs(number * HOUR));
            Sent { at, is_at_work, bytes, own: bytes }
        };
        let sent: Vec<Sent> = (0..pieces).map(piece).collect();
        let mut calendar = Calendar::new(jiff::tz::TimeZone::UTC);
        let to = (Destination::NeverSeen, (HOST, PLACE));
        let mut is_found = |oracle: &mut Oracle| {
            let limits = oracle.limits(0);
            left_at_alarm(&oracle.see(to, &sent, &mut calendar), &limits).is_some()
        };
        oracles.iter_mut().filter_map(|oracle| is_found(oracle).then_some(oracle.sums)).collect()
    }

    #[test]
    fn each_finds_what_its_sums_show() {
        let mut oracles = learned();
        assert_eq!(found_by(&mut oracles, true, 1, 101 * MB), Sums::ALL);
        assert_eq!(found_by(&mut oracles, true, 1, 99 * MB), []);
        assert_eq!(found_by(&mut oracles, false, 1, 2 * MB), [Sums::Hours]);
        // No day of it has more than 72 MB.
        assert_eq!(found_by(&mut oracles, true, 72, 3 * MB), [Sums::Week]);
    }
}
