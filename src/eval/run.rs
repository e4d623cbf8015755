//! The evaluation itself: one pass over the captures, and a report of it.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::course::{Course, Told};
use super::error::EvalError;
use super::fixed_rules::{FixedRule, Rule};
use super::ground::Ground;
use super::labels::{Expected, Labels};
use super::report::{self, Flagged, Incident, Input, Point, RuleReport, Verdict};
use super::review::Reviewed;
use super::score::Score;
use super::truth::Truth;
use crate::capture::{self, FileSource};
use crate::engine::{self, Analyst, Reported, Run, count};
use crate::flow::FlowDelta;
use crate::names::Event;
use crate::synth::office::{Office, Report, Tells};

/// What is evaluated, and on what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the captures hold.
    pub labels: Labels,
    /// What is replayed.
    pub traffic: Traffic,
    /// How flows are kept, by how many workers.
    pub run: Run,
    /// How verdicts are made; its budget is the one that is asked for.
    pub analyst: engine::Options,
    /// Do people answer pages, the day after, as the labels have it?
    pub is_answered: bool,
    /// Further budgets, in alerts a day.
    pub budgets: Vec<f64>,
}

/// What is replayed.
#[derive(Debug, Clone)]
pub enum Traffic {
    /// Captures, and which of their frames.
    Captures(Vec<PathBuf>, capture::Options),
    /// An office that never was.
    Office(Box<Office>),
}

/// Budgets of the curve, in alerts a day.
pub const BUDGETS: [f64; 7] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

/// Replays the traffic and says how well it went. `tell` gets the captures from time to time, to show
/// progress, and once more at the end.
///
/// # Errors
/// When a capture cannot be read.
pub fn run(plan: &Plan, mut tell: impl FnMut(&FileSource)) -> Result<report::Report, EvalError> {
    let mut pass = Pass::new(plan);
    let mut input = Input {
        set: plan.labels.set.clone(),
        timezone: plan.analyst.egress.timezone.iana_name().unwrap_or("UTC").to_owned(),
        internal: plan.analyst.egress.internal.nets().iter().map(ToString::to_string).collect(),
        evaluation_days: plan.labels.evaluation_days.iter().copied().collect(),
        ..Input::default()
    };
    match &plan.traffic {
        Traffic::Captures(files, options) => {
            let mut source = FileSource::open(files, options.clone())?;
            let counted = count(&mut source, &plan.run, |source, reports| {
                pass.take(&reports.in_order());
                tell(source);
                ControlFlow::Continue(())
            })?;
            tell(&source);
            input.packets = source.counters().frames;
            input.flows = counted.flows.started;
            (input.first, input.last) = counted.span.unzip();
        }
        Traffic::Office(office) => {
            let mut office = office.clone();
            loop {
                let reports: Vec<Report> = office.by_ref().take(PORTION).collect();
                if reports.is_empty() {
                    break;
                }
                pass.take(&reports.iter().map(reported));
                reports.iter().filter_map(Report::delta).for_each(|delta| input.add(delta));
            }
        }
    }
    Ok(pass.report(plan, input))
}

impl Input {
    fn add(&mut self, delta: &FlowDelta) {
        self.packets += delta.low.packets + delta.high.packets;
        self.flows += u64::from(delta.end.is_some());
        self.first = Some(self.first.map_or(delta.started_at, |first| first.min(delta.started_at)));
        self.last = self.last.max(Some(delta.last_at));
    }
}

/// Everything that is fed the deltas: one desk for each budget, from small to large, and for each rule.
struct Pass {
    desks: Vec<Desk>,
    threads: usize,
}

/// One judge, and what it is measured against. Desks share nothing, so that it does not matter which thread
/// works at which.
struct Desk {
    ground: Ground,
    at_work: AtWork,
}

enum AtWork {
    Budget(f64, Box<Course<Reviewed>>),
    Rule(Rule, Box<Course<FixedRule>>),
}

impl Desk {
    fn take(&mut self, reported: Reported<'_>) {
        match reported {
            Reported::Delta(delta) => self.fold(delta),
            Reported::Event(event) => self.hear(event),
            Reported::Claim(claim) => match &mut self.at_work {
                AtWork::Budget(_, course) => course.hear_claim(claim),
                // Fixed rules go by addresses.
                AtWork::Rule(..) => {}
            },
        }
    }

    fn hear(&mut self, event: &Event) {
        if let Event::Facts(flow, facts) = event {
            self.ground.truth_mut().note(flow, facts);
        }
        match &mut self.at_work {
            AtWork::Budget(_, course) => {
                let of = match event {
                    Event::Query(query) => Some((&query.flow, query.at)),
                    Event::Echo(echo) => Some((&echo.flow, echo.at)),
                    Event::Facts(..) | Event::Answer(_) => None,
                };
                let truth = self.ground.truth_mut();
                match of {
                    Some((flow, at)) => {
                        let mine = truth.of_message(flow, at);
                        course.hear_message(event, &mine, truth);
                    }
                    None => course.hear(event),
                }
            }
            AtWork::Rule(..) => {}
        }
    }

    fn fold(&mut self, delta: &FlowDelta) {
        let (mine, today) = self.ground.step(delta);
        let truth = self.ground.truth_mut();
        match &mut self.at_work {
            AtWork::Budget(_, course) => course.fold(delta, &mine, truth, today),
            AtWork::Rule(_, course) => course.fold(delta, &mine, truth, today),
        }
    }
}

impl Pass {
    fn new(plan: &Plan) -> Self {
        let (internal, zone) = (&plan.analyst.egress.internal, &plan.analyst.egress.timezone);
        let ground = || Ground::new(&plan.labels, internal, zone);
        let mut budgets = plan.budgets.clone();
        budgets.push(plan.analyst.alert.alerts_per_day);
        budgets.sort_by(f64::total_cmp);
        budgets.dedup();
        let budget = |budget| {
            let ground = ground();
            let mut options = plan.analyst.clone();
            options.alert.alerts_per_day = budget;
            let judge = Reviewed::new(Analyst::new(options), plan.is_answered);
            let course = Course::new(judge, ground.targets());
            Desk { ground, at_work: AtWork::Budget(budget, Box::new(course)) }
        };
        let rule = |rule| {
            let ground = ground();
            let judge = FixedRule::new(rule, internal.clone(), zone.clone());
            let course = Course::new(judge, ground.targets());
            Desk { ground, at_work: AtWork::Rule(rule, Box::new(course)) }
        };
        let desks = budgets.into_iter().map(budget).chain(Rule::ALL.into_iter().map(rule));
        Self { desks: desks.collect(), threads: plan.run.workers }
    }

    /// Hands what was reported to every desk, some desks to a thread.
    fn take<'a>(&mut self, reports: &(impl Iterator<Item = Reported<'a>> + Clone + Sync)) {
        let mut shares: Vec<Vec<&mut Desk>> = Vec::new();
        shares.resize_with(self.threads.clamp(1, self.desks.len()), Vec::new);
        let of = shares.len();
        for (at, desk) in self.desks.iter_mut().enumerate() {
            shares[at % of].push(desk);
        }
        std::thread::scope(|scope| {
            let first = shares.pop();
            for share in shares {
                scope.spawn(move || work(share, reports));
            }
            if let Some(share) = first {
                work(share, reports);
            }
        });
    }

    fn report(self, plan: &Plan, input: Input) -> report::Report {
        let labels = &plan.labels;
        let asked = plan.analyst.alert.alerts_per_day;
        let mut report = report::Report {
            schema: "sekisho.eval/1",
            version: env!("CARGO_PKG_VERSION"),
            input,
            budget: asked,
            ..report::Report::default()
        };
        for Desk { mut ground, at_work } in self.desks {
            match at_work {
                AtWork::Budget(budget, course) => {
                    let threshold_bits = course.judge().analyst.threshold();
                    let told = course.finish(ground.truth_mut());
                    let scores = ground.score(labels, &told);
                    report.curve.push(Point {
                        budget,
                        threshold_bits,
                        alone: scores.0.tally.clone(),
                        together: scores.1.tally.clone(),
                    });
                    if budget == asked {
                        report.threshold_bits = threshold_bits;
                        report.tell(labels, ground.truth(), told, scores);
                    }
                }
                AtWork::Rule(rule, course) => {
                    let told = course.finish(ground.truth_mut());
                    let (alone, together) = ground.score(labels, &told);
                    report.rules.push(RuleReport {
                        rule: rule.name(),
                        decides: rule.decides(),
                        flagged: flagged(labels, alone.outcomes),
                        alone: alone.tally,
                        together: together.tally,
                    });
                }
            }
        }
        report
    }
}

fn work<'a>(desks: Vec<&mut Desk>, reports: &(impl Iterator<Item = Reported<'a>> + Clone)) {
    for desk in desks {
        reports.clone().for_each(|reported| desk.take(reported));
    }
}

fn reported(report: &Report) -> Reported<'_> {
    match &report.tells {
        Tells::Delta(delta, _) => Reported::Delta(delta),
        Tells::Event(event) => Reported::Event(event),
        Tells::Claim(claim) => Reported::Claim(claim),
    }
}

/// Reports of a made-up office that are handed over at a time.
const PORTION: usize = 8192;

fn flagged(labels: &Labels, outcomes: Vec<Option<report::Outcome>>) -> Vec<Flagged> {
    let each = labels.incidents.iter().zip(outcomes).filter_map(|(label, outcome)| {
        let outcome = outcome?;
        let is_flagged = label.expected == Expected::Alert && outcome.detection.is_some();
        is_flagged.then(|| Flagged {
            id: label.id.clone(),
            verdict: outcome.verdict,
            detection: outcome.detection,
        })
    });
    each.collect()
}

impl report::Report {
    /// What there is to tell at the budget asked for.
    fn tell(
        &mut self,
        labels: &Labels,
        truth: &Truth,
        told: Told,
        (alone, together): (Score, Score),
    ) {
        let outcomes = alone.outcomes.into_iter().zip(together.outcomes).zip(told.timelines);
        for (at, (label, ((alone, together), timeline))) in
            labels.incidents.iter().zip(outcomes).enumerate()
        {
            let (Some(alone), Some(together)) = (alone, together) else {
                self.not_in_captures.push(label.id.clone());
                continue;
            };
            let is_found = alone.verdict == Verdict::Found;
            self.incidents.push(Incident {
                id: label.id.clone(),
                title: label.title.clone(),
                expected: label.expected,
                host: label.src,
                destinations: label.dst.len(),
                start: label.start,
                end: label.end,
                bytes_label: label.bytes,
                bytes_sent: truth.sent(at).bytes,
                timeline: if is_found { Vec::new() } else { timeline.moments },
                alone,
                together,
            });
        }
        self.false_alerts = alone.false_alerts;
        self.false_alerts_together = together.false_alerts;
        self.alone = alone.tally;
        self.together = together.tally;
    }
}
