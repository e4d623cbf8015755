//! Uploads that grow from day to day, each alone in a fork, and the theft that they prepare.

mod html;
mod report;
mod text;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use report::{Curve, Found, Ramp, RampOutcome, RampsJudged, RampsReport};

use super::lane::{Days, Lane, Waiting, merged};
use super::past::Past;
use super::{GridPlan, labels_of, own, share_out};
use crate::engine::Analyst;
use crate::eval::error::EvalError;
use crate::eval::judge::Judge;
use crate::eval::labels::Label;
use crate::eval::matching::{GRACE, Target};
use crate::eval::report::{Outcome, Verdict};
use crate::eval::score::outcome;
use crate::eval::truth::Truth;
use crate::synth::office::{Cell, Chunking, Destination, Hour, Injection, Office, Pace, Service};
use crate::time::{Calendar, Timestamp};

/// Tries `plan.uploads` ramps; `tell` gets how many of how many steps are over.
///
/// # Errors
/// When the office ends before the thefts that the ramps prepare.
pub fn run(plan: &GridPlan, mut tell: impl FnMut(u32, u32)) -> Result<RampsReport, EvalError> {
    let learned = plan.office.learn_days();
    let start = (learned..plan.office.days().saturating_sub(DAYS))
        .find_map(|day| Some((day, plan.office.working_day(day)?)));
    let Some((first, start)) = start else {
        return Err(EvalError::TooFewDays { learned, needed: DAYS + 1 });
    };
    let mut climbs = Climbs::new(plan);
    for day in 0..first {
        tell(day, first + DAYS);
        climbs.learn();
    }
    tell(first, first + DAYS);
    climbs.climb(start)
}

/// The judges as they are on the first day of the ramps.
struct Climbs<'a> {
    plan: &'a GridPlan,
    office: Office,
    past: Past,
    calendar: Calendar,
    lanes: Vec<(f64, Lane<Analyst>)>,
}

/// A ramp in an office.
struct Climb {
    ramp: Ramp,
    /// The upload of each day, and the theft.
    uploads: Vec<Injection>,
    labels: Vec<Label>,
}

/// What one job came to.
enum Done {
    /// Thefts without any ramp before, by ramp.
    Unprepared(Vec<(usize, Outcome)>),
    /// A ramp's days and its theft.
    Climbed(usize, Vec<Outcome>),
}

impl<'a> Climbs<'a> {
    fn new(plan: &'a GridPlan) -> Self {
        let mut budgets = plan.budgets.clone();
        budgets.sort_by(f64::total_cmp);
        budgets.dedup();
        let lane = |budget| {
            let mut options = plan.analyst.clone();
            options.alert.alerts_per_day = budget;
            (budget, Lane::new(Analyst::new(options)))
        };
        Self {
            plan,
            office: plan.office.clone(),
            past: Past::default(),
            calendar: Calendar::new(plan.analyst.egress.timezone.clone()),
            lanes: budgets.into_iter().map(lane).collect(),
        }
    }

    /// A day without any ramp.
    fn learn(&mut self) {
        let Some(today) = self.office.next_reports() else { return };
        self.past.learn(&Past::sums(&today, |_| false), false);
        let today = [today];
        let days = Days {
            days: &today,
            internal: &self.plan.analyst.egress.internal,
            calendar: &self.calendar,
        };
        share_out(self.plan.threads, self.lanes.iter_mut(), |(_, lane)| lane.live(days, &[]));
    }

    /// The ramps, from this day on.
    fn climb(mut self, start: Timestamp) -> Result<RampsReport, EvalError> {
        let climbs = self.ramps(start)?;
        let (this, count) = (&self, climbs.len());
        let jobs = (0..self.lanes.len()).flat_map(|lane| (0..=count).map(move |job| (lane, job)));
        let done = Mutex::new(Vec::new());
        share_out(self.plan.threads, jobs, |(lane, job)| {
            let judge = &this.lanes[lane].1;
            let one = match climbs.get(job) {
                Some(climb) => Done::Climbed(job, this.one(judge, climb)),
                None => Done::Unprepared(this.unprepared(judge, &climbs)),
            };
            done.lock().unwrap_or_else(PoisonError::into_inner).push((lane, one));
        });
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut report = RampsReport {
            schema: "sekisho.ramps/1",
            version: env!("CARGO_PKG_VERSION"),
            set: self.plan.set.clone(),
            seed: self.plan.seed,
            learned_days: self.plan.office.learn_days(),
            theft_bytes: THEFT_BYTES,
            ramps: climbs.iter().map(|climb| climb.ramp.clone()).collect(),
            judges: Vec::new(),
        };
        for (at, (budget, lane)) in std::mem::take(&mut self.lanes).into_iter().enumerate() {
            let mine = || done.iter().filter(|(lane, _)| *lane == at).map(|(_, done)| done);
            let unprepared = |number: usize| {
                mine().find_map(|done| match done {
                    Done::Unprepared(thefts) => {
                        thefts.iter().find(|(of, _)| *of == number).map(|(_, theft)| theft)
                    }
                    Done::Climbed(..) => None,
                })
            };
            let mut climbed: Vec<_> = mine()
                .filter_map(|done| match done {
                    Done::Climbed(number, days) => Some((*number, days)),
                    Done::Unprepared(_) => None,
                })
                .collect();
            climbed.sort_by_key(|(number, _)| *number);
            let outcomes = climbed.into_iter().map(|(number, days)| {
                RampOutcome::of(&climbs[number].ramp, days, unprepared(number))
            });
            let threshold = lane.judge.threshold();
            report.judges.push(RampsJudged::of(
                budget,
                threshold,
                outcomes.collect(),
                &report.ramps,
            ));
        }
        Ok(report)
    }

    /// Each by a host and to a place of its own.
    fn ramps(&self, start: Timestamp) -> Result<Vec<Climb>, EvalError> {
        let kinds: Vec<(f64, u64, Destination)> = GROWTHS
            .into_iter()
            .flat_map(|growth| START_BYTES.map(|bytes| (growth, bytes)))
            .flat_map(|(growth, bytes)| Destination::ALL.map(|to| (growth, bytes, to)))
            .collect();
        let cell = |bytes, destination| Cell {
            bytes,
            bytes_per_sec: PACE,
            chunking: Chunking::One,
            destination,
            hour: Hour::Work,
            service: Service::Tls,
            pace: Pace::Even,
        };
        let kind = |number: usize| kinds[number % kinds.len()];
        let cells: Vec<(usize, Cell)> = (0..self.plan.uploads)
            .map(|number| (number, cell(kind(number).1, kind(number).2)))
            .collect();
        let mut placed = self.past.inject(&cells, &self.office.staying(), (start, self.plan.seed));
        placed.sort_by_key(|&(number, _)| number);
        let climb = |(number, first): (usize, Injection)| {
            let (growth, start_bytes, destination) = kind(number);
            let mut bytes = start_bytes as f64;
            let mut uploads = Vec::new();
            for day in 0..DAYS {
                let start = first.start.plus(DAY * day);
                uploads.push(Injection { cell: cell(bytes as u64, destination), start, ..first });
                bytes *= growth;
            }
            let theft = cell(THEFT_BYTES, destination);
            let ramp = Ramp {
                growth,
                destination,
                src: first.host,
                dst: [first.place],
                start: first.start,
                bytes: uploads.iter().map(|upload| upload.cell.bytes).collect(),
            };
            uploads.push(Injection { cell: theft, start: first.start.plus(DAY * DAYS), ..first });
            Ok(Climb { labels: labels_of(&self.office, &uploads)?, ramp, uploads })
        };
        placed.into_iter().map(climb).collect()
    }

    /// A fork that lives through a ramp and its theft.
    fn one(&self, lane: &Lane<Analyst>, climb: &Climb) -> Vec<Outcome> {
        let (mut calendar, mut office) = (self.calendar.clone(), self.office.clone());
        let internal = &self.plan.analyst.egress.internal;
        let target = |label| Target::of(label, internal, &mut calendar);
        let targets: Arc<[Target]> = climb.labels.iter().map(target).collect();
        let (mut judge, mut notes) = (lane.judge.clone(), lane.notes.fork());
        let mut truth = Truth::new(&targets);
        let until = targets.last().map_or(Timestamp::EPOCH, |theft| theft.end.plus(GRACE));
        for upload in &climb.uploads {
            let (mine, Some(today)) = (upload.reports(), office.next_reports()) else { break };
            let today = today.iter().take_while(|report| report.at() <= until);
            for report in merged(today, mine.iter()) {
                if let Some(delta) = report.delta() {
                    truth.add(delta);
                }
                judge.see(report);
                notes.take(judge.told(), &targets, &mut truth);
            }
        }
        let targets = targets.iter().enumerate();
        targets.map(|(at, target)| outcome(target, at, &truth, &notes)).collect()
    }

    /// The thefts alone, each in a fork of a lane that saw no ramp.
    fn unprepared(&self, lane: &Lane<Analyst>, climbs: &[Climb]) -> Vec<(usize, Outcome)> {
        let mut office = self.office.clone();
        let mut lane = lane.fork();
        for day in 0..=DAYS {
            let Some(today) = office.next_reports() else { break };
            let mut waiting = Vec::new();
            if day == DAYS {
                let thefts: Vec<Injection> =
                    climbs.iter().filter_map(|climb| climb.uploads.last().copied()).collect();
                let each = climbs.iter().zip(&thefts).zip(own(&today, &thefts)).enumerate();
                waiting.extend(each.filter_map(|(number, ((climb, theft), own))| {
                    let label = climb.labels.last()?.clone();
                    Some(Waiting { number, label, reports: theft.reports(), own })
                }));
                waiting.sort_by_key(|theft| theft.label.start);
            }
            let internal = &self.plan.analyst.egress.internal;
            lane.live(Days { days: &[today], internal, calendar: &self.calendar }, &waiting);
        }
        lane.outcomes
    }
}

impl RampOutcome {
    /// Of the outcomes of each day and the theft, and of the theft without any of these days.
    fn of(ramp: &Ramp, days: &[Outcome], unprepared: Option<&Outcome>) -> Self {
        let (theft, days) =
            days.split_last().map_or((None, days), |(theft, days)| (Some(theft), days));
        let day = days.iter().position(|day| day.verdict == Verdict::Found);
        let found = day.map(|day| {
            let left = days[day].detection.as_ref().map_or(0, |detection| detection.bytes_left);
            Found {
                day: day as u32 + 1,
                bytes_of_day: ramp.bytes[day],
                bytes_left: ramp.bytes[..day].iter().sum::<u64>() + left,
            }
        });
        let left = |theft: Option<&Outcome>| {
            let found = theft.filter(|theft| theft.verdict == Verdict::Found);
            found
                .and_then(|theft| theft.detection.as_ref())
                .map_or(THEFT_BYTES, |detection| detection.bytes_left)
        };
        Self { found, theft_left: left(theft), theft_left_unprepared: left(unprepared) }
    }
}

/// How many times as much each day as on the day before.
const GROWTHS: [f64; 3] = [1.2, 1.5, 2.0];
/// What is sent on the first day.
const START_BYTES: [u64; 2] = [1_000_000, 10_000_000];
/// A ramp has so many days, and the theft comes on the next.
const DAYS: u32 = 14;
const DAY: Duration = Duration::from_secs(86_400);
/// Bytes in a second: whatever a day sends is sent before midnight.
const PACE: u64 = 10_000_000;
const THEFT_BYTES: u64 = 10_000_000_000;
