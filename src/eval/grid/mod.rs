//! Uploads over all that may matter of them, each alone in a fork of an office that was learned, beside an
//! oracle. docs/eval.md says how each figure comes about.

mod html;
mod lane;
mod oracle;
mod past;
pub mod ramps;
mod report;
mod text;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

pub use oracle::Sums;
pub use report::{
    GridReport, Hidden, Judged, NotFound, OtherOracle, Outcome, Slice, Tally, Upload,
};

use self::lane::{AtWork, Days, Lane, Waiting, days_needed};
use self::oracle::{Oracle, Seen, Sent, left_at_alarm};
use self::past::Past;
use super::error::EvalError;
use super::fixed_rules::{FixedRule, Rule};
use super::judge::Judge;
use super::labels::{Label, Labels};
use super::report::{Detection, Outcome as Said, Verdict};
use super::review::Reviewed;
use crate::engine::{self, Analyst};
use crate::net::Addr;
use crate::synth::office::{Cell, Errand, Injection, JudgedBy, Office, Report};
use crate::time::{Calendar, Timestamp};

/// What is tried, and on what.
#[derive(Debug, Clone)]
pub struct GridPlan {
    /// The office; its days after those of learning are the honest ones.
    pub office: Office,
    /// A name for it.
    pub set: String,
    /// Seed of the grid.
    pub seed: u64,
    /// Uploads to try.
    pub uploads: usize,
    /// How verdicts are made.
    pub analyst: engine::Options,
    /// Do people answer pages, the day after?
    pub is_answered: bool,
    /// Budgets, in alerts a day.
    pub budgets: Vec<f64>,
    /// Threads.
    pub threads: usize,
}

/// Tries the uploads; `tell` gets how many of how many days are over.
///
/// # Errors
/// When the office has no working day after those of learning.
pub fn run(plan: &GridPlan, mut tell: impl FnMut(u32, u32)) -> Result<GridReport, EvalError> {
    let learned = plan.office.learn_days();
    let on: Vec<u32> = (learned..plan.office.days())
        .filter(|&day| plan.office.working_day(day).is_some())
        .take(DAYS_OF_UPLOADS)
        .collect();
    if on.is_empty() {
        return Err(EvalError::NoDays { learned });
    }
    let mut grid = Grid::new(plan);
    let cells: Vec<(usize, Cell)> =
        Cell::some(plan.uploads, plan.seed).into_iter().enumerate().collect();
    let (mut office, mut ahead) = (plan.office.clone(), VecDeque::new());
    for day in 0..plan.office.days() {
        tell(day, plan.office.days());
        let place = on.iter().position(|&other| other == day);
        let start = plan.office.working_day(day).unwrap_or_default();
        let today = place.map_or(Vec::new(), |place| {
            let mine = cells.iter().filter(|(number, _)| number % on.len() == place);
            grid.inject(&mine.copied().collect::<Vec<_>>(), start)
        });
        let ends = today.iter().map(|(_, injection)| days_needed(start, injection.end()));
        let needed = ends.max().unwrap_or(1);
        while ahead.len() < needed
            && let Some(reports) = office.next_reports()
        {
            ahead.push_back(reports);
        }
        grid.live(ahead.make_contiguous(), today, day >= learned)?;
        ahead.pop_front();
    }
    tell(plan.office.days(), plan.office.days());
    Ok(grid.report())
}

/// All judges, and what they are measured against.
struct Grid<'a> {
    plan: &'a GridPlan,
    past: Past,
    oracles: [Oracle; 3],
    calendar: Calendar,
    judges: Vec<AtWork>,
    tried: Vec<Tried>,
}

/// An upload that was tried, and what oracles saw of it.
struct Tried {
    number: usize,
    injection: Injection,
    /// By each oracle.
    seen: [Vec<Seen>; 3],
}

impl Tried {
    /// What had left: of what is hidden in messages its own bytes, and not those around it; of what a proxy
    /// carries not those that it carries for others.
    fn left(&self, detection: &Detection) -> u64 {
        match self.injection.cell.service.judged_by() {
            JudgedBy::Bytes if !self.injection.is_proxied() => detection.bytes_left,
            _ => self.injection.left(detection.time),
        }
    }
}

impl<'a> Grid<'a> {
    fn new(plan: &'a GridPlan) -> Self {
        let (internal, zone) = (&plan.analyst.egress.internal, &plan.analyst.egress.timezone);
        let mut budgets = plan.budgets.clone();
        budgets.sort_by(f64::total_cmp);
        budgets.dedup();
        let budget = |budget| {
            let mut options = plan.analyst.clone();
            options.alert.alerts_per_day = budget;
            let judge = Reviewed::new(Analyst::new(options), plan.is_answered);
            AtWork::Budget(budget, Box::new(Lane::new(judge)))
        };
        let rule = |rule| {
            let judge = FixedRule::new(rule, internal.clone(), zone.clone());
            AtWork::Rule(rule, Box::new(Lane::new(judge)))
        };
        Self {
            plan,
            past: Past::default(),
            oracles: Sums::ALL.map(Oracle::new),
            calendar: Calendar::new(zone.clone()),
            judges: budgets
                .into_iter()
                .map(budget)
                .chain(Rule::ALL.into_iter().map(rule))
                .collect(),
            tried: Vec::new(),
        }
    }

    fn inject(&mut self, cells: &[(usize, Cell)], start: Timestamp) -> Vec<(usize, Injection)> {
        self.past.inject(cells, &self.plan.office.staying(), (start, self.plan.seed))
    }

    /// A day of the office, and the uploads that begin on it.
    fn live(
        &mut self,
        days: &[Vec<Report>],
        injections: Vec<(usize, Injection)>,
        is_judged: bool,
    ) -> Result<(), EvalError> {
        let alone: Vec<Injection> = injections.iter().map(|&(_, injection)| injection).collect();
        let labels = labels_of(&self.plan.office, &alone)?;
        let waiting: Vec<Waiting> = injections
            .iter()
            .zip(labels)
            .zip(own(days.first().map_or(&[], Vec::as_slice), &alone))
            .map(|((&(number, injection), label), own)| Waiting {
                number,
                label,
                reports: injection.reports(),
                own,
            })
            .collect();
        let internal = &self.plan.analyst.egress.internal;
        let around = Days { days, internal, calendar: &self.calendar };
        let threads = self.plan.threads.min(self.judges.len());
        share_out(threads, self.judges.iter_mut(), |judge| judge.live(around, &waiting));
        for (upload, (number, injection)) in waiting.iter().zip(injections) {
            let seen = self.see(days, upload, &injection);
            self.tried.push(Tried { number, injection, seen });
        }
        if let Some(today) = days.first() {
            let today = Past::sums(today, |at| self.plan.office.is_at_work(at));
            for oracle in &mut self.oracles {
                oracle.learn(&self.past, &today, is_judged);
            }
            self.past.learn(&today, is_judged);
        }
        Ok(())
    }

    /// What oracles see of an upload, with what its host sends there anyway.
    fn see(&mut self, days: &[Vec<Report>], upload: &Waiting, one: &Injection) -> [Vec<Seen>; 3] {
        if one.cell.service.judged_by() != JudgedBy::Bytes {
            return Default::default();
        }
        let ends = (one.host, one.place);
        let today = upload.own.iter().map(|&own| &days[0][own]);
        let usual = today.chain(days.iter().skip(1).flatten());
        let sent = |report: &Report, is_own: bool| {
            let Report { errand: Errand { host, place, .. }, .. } = *report;
            let [bytes, _] = report.sent().filter(|_| (host, place) == ends)?;
            let at = report.at();
            (bytes > 0 && at <= one.end()).then(|| Sent {
                at,
                is_at_work: self.plan.office.is_at_work(at),
                bytes,
                own: if is_own { bytes } else { 0 },
            })
        };
        let usual = usual.filter_map(|report| sent(report, false));
        let own = upload.reports.iter().filter_map(|report| sent(report, true));
        let mut all: Vec<Sent> = usual.chain(own).collect();
        all.sort_by_key(|sent| sent.at);
        let to = (one.cell.destination, ends);
        self.oracles.each_ref().map(|oracle| oracle.see(to, &all, &mut self.calendar))
    }

    fn report(mut self) -> GridReport {
        let office = &self.plan.office;
        let judged_days = office.days() - office.learn_days();
        self.tried.sort_by_key(|tried| tried.number);
        let upload = |Tried { injection, .. }: &Tried| Upload {
            cell: injection.cell,
            judged_by: injection.cell.service.judged_by(),
            asks_proxy: injection.asks_proxy,
            src: injection.host,
            dst: [injection.place],
            start: injection.start,
            end: injection.end(),
        };
        let mut report = GridReport {
            schema: "sekisho.grid/1",
            version: env!("CARGO_PKG_VERSION"),
            set: self.plan.set.clone(),
            seed: self.plan.seed,
            learned_days: office.learn_days(),
            judged_days,
            host_days: self.past.host_days,
            uploads_in_all: Cell::all().len(),
            uploads: self.tried.iter().map(upload).collect(),
            judges: Vec::new(),
        };
        for judge in std::mem::take(&mut self.judges) {
            let judged = match judge {
                AtWork::Budget(budget, lane) => Judged {
                    name: format!("budget {budget} a day"),
                    budget: Some(budget),
                    threshold_bits: lane.threshold,
                    ..self.judged(&report, *lane)
                },
                AtWork::Rule(rule, lane) => {
                    Judged { name: rule.name().to_owned(), ..self.judged(&report, *lane) }
                }
            };
            report.judges.push(judged);
        }
        report
    }

    fn judged<J: Judge>(&mut self, report: &GridReport, mut lane: Lane<J>) -> Judged {
        let mut said = std::mem::take(&mut lane.outcomes);
        said.sort_by_key(|&(number, _)| number);
        let from = self.plan.office.judged_from();
        let false_alerts = lane.notes.pages().filter(|(_, page)| page.at >= from).count();
        let limits = self.oracles.each_mut().map(|oracle| oracle.limits(false_alerts));
        let left =
            |tried: &Tried, oracle: usize| left_at_alarm(&tried.seen[oracle], &limits[oracle]);
        let outcome = |(tried, (_, said)): (&Tried, (usize, Said))| {
            let detection = said.detection.filter(|_| said.verdict == Verdict::Found);
            Outcome {
                verdict: said.verdict,
                secs: detection.as_ref().map(|detection| detection.secs),
                bytes_left: detection.as_ref().map(|detection| tried.left(detection)),
                oracle_bytes_left: left(tried, 0),
                rank: lane.rank(tried.number),
            }
        };
        let outcomes: Vec<Outcome> = self.tried.iter().zip(said).map(outcome).collect();
        let other = |(at, oracle): (usize, &Oracle)| {
            let of = |(tried, outcome): (&Tried, &Outcome)| Outcome {
                oracle_bytes_left: left(tried, at),
                ..outcome.clone()
            };
            let outcomes: Vec<Outcome> = self.tried.iter().zip(&outcomes).map(of).collect();
            OtherOracle {
                sums: oracle.sums,
                all: report.tally(&outcomes, JudgedBy::Bytes, |_| true),
                by: report.slices(&outcomes, JudgedBy::Bytes),
            }
        };
        let other_oracles = self.oracles.iter().enumerate().skip(1).map(other).collect();
        let rate = |of: f64| (false_alerts as f64 / of.max(1.0) * 100.0).round() / 100.0;
        Judged {
            name: String::new(),
            budget: None,
            threshold_bits: None,
            false_alerts,
            false_per_day: rate(f64::from(report.judged_days)),
            false_per_1000_host_days: rate(report.host_days as f64 / 1000.0),
            all: report.tally(&outcomes, JudgedBy::Bytes, |_| true),
            by: report.slices(&outcomes, JudgedBy::Bytes),
            not_found: NotFound::of(&outcomes),
            other_oracles,
            hidden: [JudgedBy::Names, JudgedBy::Echoes]
                .map(|judged_by| Hidden {
                    judged_by,
                    all: report.tally(&outcomes, judged_by, |_| true),
                    by: report.slices(&outcomes, judged_by),
                })
                .into(),
            outcomes,
        }
    }
}

/// Of each upload, the places in a day of what its host does otherwise.
fn own(day: &[Report], injections: &[Injection]) -> Vec<Vec<usize>> {
    let mut by_host: HashMap<Addr, Vec<usize>> =
        injections.iter().map(|injection| (injection.host, Vec::new())).collect();
    for (at, report) in day.iter().enumerate() {
        if let Some(own) = by_host.get_mut(&report.errand.host) {
            own.push(at);
        }
    }
    injections.iter().map(|injection| by_host[&injection.host].clone()).collect()
}

/// What an office says of uploads into it, as `eval` reads it.
fn labels_of(office: &Office, uploads: &[Injection]) -> Result<Vec<Label>, EvalError> {
    let labels = serde_json::to_string(&office.labels_of(uploads)).unwrap_or_default();
    Ok(Labels::parse("the office".as_ref(), &labels)?.incidents)
}

/// Whoever is free takes the next: they share nothing, so that it does not matter who.
fn share_out<T: Send>(
    threads: usize,
    jobs: impl Iterator<Item = T> + Send,
    work: impl Fn(T) + Sync,
) {
    let jobs = Mutex::new(jobs);
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(job) = next() {
                    work(job);
                }
            });
        }
    });
}

/// Uploads begin on the first working days after learning, and on as many of them.
const DAYS_OF_UPLOADS: usize = 5;
