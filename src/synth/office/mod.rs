//! An office that never was: who sends how much where, day by day, as reports of flows.
//!
//! Hosts have habits of their own, go to favourite and rare places, call, mail, push code, keep copies; the
//! office has weekends, servers, people who come and go, services that move. Uploads that should be found
//! are laid over some of them, and labelled. docs/synth.md argues every number of `office.toml`.

mod arrival;
mod grid;
mod habits;
mod labels;
mod messages;
mod packets;
mod parameters;
mod places;
mod staff;
mod thefts;
mod transfer;
mod travel;
mod workday;

use std::time::Duration;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

pub use grid::{Cell, Chunking, Destination, Hour, Injection, Injections, JudgedBy, Pace, Service};
pub use labels::OfficeLabels;
pub use packets::Packets;
pub use parameters::{GRID, OfficeError, Parameters, SHIPPED};

use self::arrival::Arrival;
use self::places::Places;
use self::staff::{Host, Staff};
use self::thefts::{Plan, Theft};
use self::transfer::{Queue, Transfer};
use super::random::{Random, scramble};
use crate::flow::{FlowDelta, Sender};
use crate::machines::Claim;
use crate::names::Event;
use crate::net::Addr;
use crate::time::Timestamp;

/// What a sensor would report, and on whose errand that went over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose.
    pub errand: Errand,
    /// What.
    pub tells: Tells,
}

/// What a flow table, the look at names and the hearing of neighbours report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tells {
    /// What a flow counted, and which of its ends is the host's.
    Delta(FlowDelta, Sender),
    /// What was learned: of questions for names, pings, and requests to a proxy.
    Event(Event),
    /// Which address a machine has.
    Claim(Claim),
}

/// Who sends something where, whatever addresses it has on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errand {
    /// The machine, by its IPv4 address.
    pub host: Addr,
    /// The place, by the address that all know it by.
    pub place: Addr,
    /// Is it a proxy inside that sends it on? Then the same was reported on its way there.
    pub is_passed_on: bool,
}

impl Report {
    /// What a flow counted, if it is that.
    pub fn delta(&self) -> Option<&FlowDelta> {
        match &self.tells {
            Tells::Delta(delta, _) => Some(delta),
            Tells::Event(_) | Tells::Claim(_) => None,
        }
    }

    /// When it is reported.
    pub fn at(&self) -> Timestamp {
        match &self.tells {
            Tells::Delta(delta, _) => delta.last_at,
            Tells::Event(Event::Query(query)) => query.at,
            Tells::Event(Event::Echo(echo)) => echo.at,
            Tells::Event(Event::Facts(_, facts)) => facts.seen_at,
            Tells::Event(Event::Answer(answer)) => answer.at,
            Tells::Claim(claim) => claim.at,
        }
    }

    /// What was sent on the errand, and what came back, as seen where it left the host.
    pub fn sent(&self) -> Option<[u64; 2]> {
        match &self.tells {
            Tells::Delta(delta, host) if !self.errand.is_passed_on => {
                Some([*host, host.other()].map(|side| delta.sent_by(side).sent))
            }
            _ => None,
        }
    }
}

/// The reports of all flows of an office, in order of time; the same for the same seed.
#[derive(Debug, Clone)]
pub struct Office {
    parameters: Parameters,
    seed: u64,
    calendar: Days,
    places: Places,
    staff: Staff,
    thefts: Vec<Theft>,
    injections: Vec<Injection>,
    /// The next day to make up.
    day: u32,
    queue: Queue,
}

impl Office {
    /// An office like this.
    ///
    /// # Errors
    /// When a day, the time zone or a name in the parameters does not exist.
    pub fn new(parameters: Parameters, seed: u64) -> Result<Self, OfficeError> {
        let calendar = Days::new(&parameters)?;
        let mut places = Places::new(&parameters)?;
        let staff = Staff::new(&parameters, seed, &mut places);
        let plan = Plan { parameters: &parameters, calendar: &calendar, staff: &staff };
        let thefts = plan.thefts(seed, &mut places)?;
        Ok(Self {
            calendar,
            places,
            staff,
            thefts,
            injections: Vec::new(),
            seed,
            day: 0,
            queue: Queue::default(),
            parameters,
        })
    }

    /// The same office with these uploads in it instead of its thefts.
    #[must_use]
    pub fn with(self, injections: Vec<Injection>) -> Self {
        Self { thefts: Vec::new(), injections, ..self }
    }

    /// What must be found in it, in the form that `sekisho eval` reads.
    pub fn labels(&self) -> OfficeLabels {
        let labels = OfficeLabels::of(&self.parameters, &self.calendar, &self.thefts);
        if self.injections.is_empty() { labels } else { labels.with(&self.injections) }
    }

    /// Labels of the same office with these uploads in it instead; each is called by its number.
    pub fn labels_of(&self, injections: &[Injection]) -> OfficeLabels {
        self.labels().with(injections)
    }

    /// Days in all.
    pub fn days(&self) -> u32 {
        self.parameters.days
    }

    /// Days of learning, the first ones.
    pub fn learn_days(&self) -> u32 {
        self.parameters.learn_days
    }

    /// When the days of learning are over.
    pub fn judged_from(&self) -> Timestamp {
        let starts = &self.calendar.starts;
        starts.get(self.learn_days() as usize).copied().unwrap_or(Timestamp::MAX)
    }

    /// When a day begins, if nobody is free on it.
    pub fn working_day(&self, day: u32) -> Option<Timestamp> {
        (day < self.days() && !self.calendar.is_off(day)).then(|| self.calendar.start(day))
    }

    /// Is it an hour of a working day at which most are at work?
    pub fn is_at_work(&self, at: Timestamp) -> bool {
        let starts = &self.calendar.starts;
        let Some(day) = starts.partition_point(|&start| start <= at).checked_sub(1) else {
            return false;
        };
        let hour = at.since(starts[day]).as_secs() / 3600;
        let share = self.parameters.hours.at_work.get(hour as usize).copied().unwrap_or(0.0);
        !self.calendar.is_off(day as u32) && share >= 0.5
    }

    /// The addresses of the workstations that are there from the first day to the last, and whether they ask a
    /// proxy inside; of a gateway whether the first behind it does.
    pub fn staying(&self) -> Vec<(Addr, bool)> {
        let staying = self.staff.workstations().filter(|host| host.stays());
        let mut addrs: Vec<(Addr, bool)> =
            staying.map(|host| (host.addr(), host.asks_proxy(&self.parameters.proxy))).collect();
        addrs.sort_by_key(|&(addr, _)| addr);
        addrs.dedup_by_key(|&mut (addr, _)| addr);
        addrs
    }

    /// All reports of the next day, in order of time; with those of the last come all that are left.
    pub fn next_reports(&mut self) -> Option<Vec<Report>> {
        if !self.next_day() {
            return None;
        }
        let limit = self.limit();
        Some(std::iter::from_fn(|| self.queue.next_before(limit)).collect())
    }

    /// What begins on a later day comes after all that this day has.
    fn limit(&self) -> Timestamp {
        if self.day < self.parameters.days { self.calendar.start(self.day) } else { Timestamp::MAX }
    }

    /// Makes up the next day.
    fn next_day(&mut self) -> bool {
        let Some((arrivals, transfers)) = self.next_transfers() else { return false };
        let day = self.calendar.start(self.day - 1);
        self.queue.add(&arrivals, &transfers, day, &self.calendar.midnights);
        true
    }

    /// Makes up who comes on the next day, and the transfers that begin on it.
    fn next_transfers(&mut self) -> Option<(Vec<Arrival>, Vec<Transfer>)> {
        if self.day == self.parameters.days {
            return None;
        }
        let day = self.day;
        self.day += 1;
        self.places.move_services(&self.parameters, day);
        self.staff.replace(&self.parameters, day, self.seed, &mut self.places);
        let (mut arrivals, mut transfers) = (Vec::new(), Vec::<Transfer>::new());
        let midnight = self.calendar.start(day);
        for host in self.staff.hosts() {
            let Some(addr) = host.addr_on(day, &self.parameters.travel) else { continue };
            let random = Random::new(scramble(scramble(self.seed ^ host.seed()) ^ u64::from(day)));
            let office = workday::Office {
                parameters: &self.parameters,
                calendar: &self.calendar,
                places: &mut self.places,
            };
            let temporary = host.temporary_on(day, &self.parameters);
            let out = &mut transfers;
            let before = out.len();
            workday::Workday { office, host, addr, temporary, random, day, out }.make_up();
            let first = transfers[before..].iter().map(|one| one.start).min();
            arrivals.extend(first.zip(temporary).filter(|_| self.parameters.ipv6.is_heard).map(
                |(first, temporary)| Arrival {
                    at: first.minus(ARRIVES_BEFORE).max(midnight),
                    machine: addr,
                    temporary,
                },
            ));
        }
        arrivals.sort_by_key(|arrival| (arrival.at, arrival.machine));
        for theft in &self.thefts {
            transfers
                .extend(theft.transfers.iter().filter(|&&(on, _)| on == day).map(|&(_, it)| it));
        }
        let (from, to) = (self.calendar.start(day), self.calendar.midnights[day as usize]);
        let begun = |one: &&Injection| (from..to).contains(&one.start);
        transfers.extend(self.injections.iter().filter(begun).flat_map(Injection::transfers));
        Some((arrivals, transfers))
    }
}

impl Iterator for Office {
    type Item = Report;

    fn next(&mut self) -> Option<Report> {
        loop {
            if let Some(report) = self.queue.next_before(self.limit()) {
                return Some(report);
            }
            if !self.next_day() {
                return None;
            }
        }
    }
}

/// The days of the office, in its time zone.
#[derive(Debug, Clone)]
struct Days {
    dates: Vec<Date>,
    starts: Vec<Timestamp>,
    /// The ends of the days.
    midnights: Vec<Timestamp>,
    is_off: Vec<bool>,
    zone: TimeZone,
}

impl Days {
    fn new(parameters: &Parameters) -> Result<Self, OfficeError> {
        let zone = TimeZone::get(&parameters.timezone).map_err(|_| OfficeError::Value {
            key: "timezone",
            problem: format!("no time zone {:?}; give one as in Asia/Tokyo", parameters.timezone),
        })?;
        let date = |key, text: &str| -> Result<Date, OfficeError> {
            text.parse().map_err(|_| OfficeError::Value {
                key,
                problem: format!("{text:?} is no day; write one as in 2026-03-02"),
            })
        };
        let holidays = parameters.holidays.iter().map(|text| date("holidays", text));
        let holidays = holidays.collect::<Result<Vec<Date>, _>>()?;
        let mut dates = vec![date("first_day", &parameters.first_day)?];
        let mut starts = Vec::new();
        let outside = || OfficeError::Value {
            key: "first_day",
            problem: "the days must lie between 1970 and 2554".to_owned(),
        };
        for day in 0..=parameters.days as usize {
            let date = dates[day];
            let start = date.to_zoned(zone.clone()).map_err(|_| outside())?.timestamp();
            let nanos = u64::try_from(start.as_nanosecond()).map_err(|_| outside())?;
            starts.push(Timestamp::from_nanos(nanos));
            dates.push(date.tomorrow().map_err(|_| outside())?);
        }
        let midnights = starts[1..].to_vec();
        dates.truncate(parameters.days as usize);
        starts.truncate(parameters.days as usize);
        let is_off = |date: &Date| {
            matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday) || holidays.contains(date)
        };
        Ok(Self { is_off: dates.iter().map(is_off).collect(), dates, starts, midnights, zone })
    }

    fn start(&self, day: u32) -> Timestamp {
        self.starts[day as usize]
    }

    fn is_off(&self, day: u32) -> bool {
        self.is_off[day as usize]
    }

    fn is_friday(&self, day: u32) -> bool {
        self.dates[day as usize].weekday() == Weekday::Friday
    }
}

/// A machine tells its neighbours who it is so long before it does anything else.
const ARRIVES_BEFORE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod likeness;
#[cfg(test)]
mod tests;
