//! Uploads that should be found, laid over the days that are judged.

use std::time::Duration;

use super::Days;
use super::messages::Says;
use super::parameters::{OfficeError, Parameters};
use super::places::Places;
use super::staff::{Host, Staff};
use super::transfer::Transfer;
use crate::net::{Addr, Protocol};
use crate::synth::random::{Random, scramble};
use crate::time::Timestamp;

/// An upload that should be found.
#[derive(Debug, Clone)]
pub(super) struct Theft {
    pub(super) id: String,
    pub(super) title: &'static str,
    pub(super) host: Addr,
    /// Each with its day.
    pub(super) transfers: Vec<(u32, Transfer)>,
}

/// What thefts are planned by.
pub(super) struct Plan<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) calendar: &'a Days,
    pub(super) staff: &'a Staff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bulk,
    Cloud,
    Night,
    Split,
    Slow,
}

impl Theft {
    /// First and last moment.
    pub(super) fn span(&self) -> (Timestamp, Timestamp) {
        let starts = self.transfers.iter().map(|(_, transfer)| transfer.start);
        let end = |(_, transfer): &(u32, Transfer)| {
            transfer.start.plus(Duration::from_millis(transfer.millis))
        };
        let ends = self.transfers.iter().map(end);
        (starts.min().unwrap_or_default(), ends.max().unwrap_or_default())
    }
}

impl Plan<'_> {
    /// All thefts, each by a host of its own that is there all the time.
    pub(super) fn thefts(&self, seed: u64, places: &mut Places) -> Result<Vec<Theft>, OfficeError> {
        let thefts = &self.parameters.thefts;
        let kinds = [
            (Kind::Bulk, thefts.bulk),
            (Kind::Cloud, thefts.cloud),
            (Kind::Night, thefts.night),
            (Kind::Split, thefts.split),
            (Kind::Slow, thefts.slow),
        ];
        let days: Vec<u32> = (self.parameters.learn_days..self.parameters.days)
            .filter(|&day| !self.calendar.is_off(day))
            .collect();
        let mut random = Random::new(scramble(seed ^ THEFTS));
        let mut hosts: Vec<&Host> = self.staff.workstations().filter(|host| host.stays()).collect();
        let all = || kinds.iter().flat_map(|&(kind, count)| (0..count).map(move |n| (kind, n)));
        if all().next().is_some() && (days.is_empty() || hosts.len() < all().count()) {
            let problem = "too many for the days and the workstations that stay; make it fewer";
            return Err(OfficeError::Value { key: "thefts", problem: problem.to_owned() });
        }
        let mut planned = Vec::new();
        for (kind, n) in all() {
            let host = hosts.swap_remove(random.below(hosts.len() as u64) as usize);
            let day = random.below(days.len() as u64) as usize;
            let mut chance =
                Random::new(scramble(seed ^ scramble(u64::from(host.number()) ^ THEFTS)));
            planned.push(Theft {
                id: format!("{}-{}", kind.name(), n + 1),
                title: kind.title(),
                host: host.addr(),
                transfers: self.transfers(kind, host, &days[day..], (&mut chance, places)),
            });
        }
        Ok(planned)
    }

    fn transfers(
        &self,
        kind: Kind,
        host: &Host,
        days: &[u32],
        (random, places): (&mut Random, &mut Places),
    ) -> Vec<(u32, Transfer)> {
        let thefts = &self.parameters.thefts;
        let mb =
            random.lognormal(thefts.bulk_mb_median, thefts.bulk_mb_spread).clamp(3.0, 20_000.0);
        let mbit = random.lognormal(40.0, 0.7);
        let asks_proxy = host.asks_proxy(&self.parameters.proxy);
        let machine = host.addr();
        let send = |day: u32, (place, v6): (Addr, Option<Addr>), secs: u64, mb: f64| {
            let start = self.calendar.start(day).plus(Duration::from_secs(secs));
            let (out, millis) = ((mb * 1e6) as u64, (mb * 8000.0 / mbit) as u64);
            let (port, back) = (443, out / 100);
            let (protocol, is_inbound) = (Protocol::TCP, false);
            let says = Says::Bytes;
            let direct = Transfer {
                machine,
                host: machine,
                place,
                port,
                protocol,
                is_inbound,
                start,
                millis,
                out,
                back,
                says,
            };
            let own = host.temporary_on(day, self.parameters);
            let legs = match own.zip(v6) {
                _ if asks_proxy => direct.through_proxy(start).to_vec(),
                Some((own, place)) => vec![direct.over_v6([own, place])],
                None => vec![direct],
            };
            legs.into_iter().map(move |leg| (day, leg))
        };
        let at_work = HOUR * 9 + random.below(HOUR * 8);
        match kind {
            Kind::Bulk => send(days[0], places.fresh_ends(), at_work, mb).collect(),
            Kind::Cloud => {
                send(days[0], places.ends(places.service("cloud")), at_work, mb).collect()
            }
            Kind::Night => {
                let secs = HOUR + random.below(HOUR * 4);
                send(days[0], places.fresh_ends(), secs, mb).collect()
            }
            Kind::Split => (0..SPLIT)
                .flat_map(|n| send(days[0], places.fresh_ends(), at_work + n, mb / SPLIT as f64))
                .collect(),
            Kind::Slow => {
                let place = places.fresh_ends();
                let mut all = Vec::new();
                for &day in days.iter().take(SLOW_DAYS) {
                    for _ in 0..SLOW_PIECES {
                        let secs = HOUR * 9 + random.below(HOUR * 9);
                        all.extend(send(day, place, secs, thefts.slow_mb_day / SLOW_PIECES as f64));
                    }
                }
                all
            }
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Cloud => "cloud",
            Self::Night => "night",
            Self::Split => "split",
            Self::Slow => "slow",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Bulk => "One upload to a place never seen, at work",
            Self::Cloud => "One upload to the cloud that others use, at work",
            Self::Night => "One upload to a place never seen, at night",
            Self::Split => "An upload split over twenty places never seen",
            Self::Slow => "A little each day to a place never seen",
        }
    }
}

const HOUR: u64 = 3600;
const SPLIT: u64 = 20;
const SLOW_DAYS: usize = 5;
const SLOW_PIECES: u64 = 40;

/// Keeps the chance of thefts apart from that of hosts.
const THEFTS: u64 = 0x7468_6566_7473;
