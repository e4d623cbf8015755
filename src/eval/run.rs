//! The evaluation itself: one pass over the captures, and a report of it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::course::{Course, Told};
use super::error::EvalError;
use super::fixed_rules::{FixedRule, Rule};
use super::host_days::HostDays;
use super::labels::{Expected, Labels};
use super::matching::Target;
use super::report::{Flagged, Incident, Input, Point, Report, RuleReport, Verdict};
use super::score::{Field, Score};
use super::truth::{Mine, Truth};
use crate::capture::{self, FileSource};
use crate::egress::Place;
use crate::engine::{self, Analyst, Run, WorkerCounters, count};
use crate::flow::FlowDelta;
use crate::net::Subnets;
use crate::time::{Calendar, PacketClock};

/// What is evaluated, and on what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the captures hold.
    pub labels: Labels,
    /// The captures.
    pub files: Vec<PathBuf>,
    /// Which frames of them are read.
    pub capture: capture::Options,
    /// How flows are kept, by how many workers.
    pub run: Run,
    /// How verdicts are made; its budget is the one that is asked for.
    pub analyst: engine::Options,
    /// Further budgets, in alerts a day.
    pub budgets: Vec<f64>,
}

/// Budgets of the curve, in alerts a day.
pub const BUDGETS: [f64; 7] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

/// Replays the captures and says how well it went. `tell` gets the source from time to time, to show
/// progress, and once more at the end.
///
/// # Errors
/// When a capture cannot be read.
pub fn run(plan: &Plan, mut tell: impl FnMut(&FileSource)) -> Result<Report, EvalError> {
    let mut source = FileSource::open(&plan.files, plan.capture.clone())?;
    let mut field = Pass::new(plan);
    let counted = count(&mut source, &plan.run, |source, deltas| {
        deltas.iter().for_each(|(_, delta)| field.fold(delta));
        tell(source);
        ControlFlow::Continue(())
    })?;
    tell(&source);
    Ok(field.report(plan, &counted, &source))
}

/// Everything that is fed the deltas.
struct Pass {
    internal: Subnets,
    calendar: Calendar,
    clock: PacketClock,
    targets: Arc<[Target]>,
    truth: Truth,
    /// Host-days without the incidents, and with all.
    background: HostDays,
    together: HostDays,
    /// By budget, from small to large.
    budgets: Vec<(f64, Course<Analyst>)>,
    rules: Vec<(Rule, Course<FixedRule>)>,
}

impl Pass {
    fn new(plan: &Plan) -> Self {
        let internal = plan.analyst.egress.internal.clone();
        let zone: &TimeZone = &plan.analyst.egress.timezone;
        let mut calendar = Calendar::new(zone.clone());
        let target = |label| Target::of(label, &internal, &mut calendar);
        let targets: Arc<[Target]> = plan.labels.incidents.iter().map(target).collect();
        let mut budgets = plan.budgets.clone();
        budgets.push(plan.analyst.alert.alerts_per_day);
        budgets.sort_by(f64::total_cmp);
        budgets.dedup();
        let course = |budget| {
            let mut options = plan.analyst.clone();
            options.alert.alerts_per_day = budget;
            (budget, Course::new(Analyst::new(options), Arc::clone(&targets)))
        };
        let rule = |rule| {
            let judge = FixedRule::new(rule, internal.clone(), zone.clone());
            (rule, Course::new(judge, Arc::clone(&targets)))
        };
        Self {
            truth: Truth::new(&targets),
            background: HostDays::default(),
            together: HostDays::default(),
            budgets: budgets.into_iter().map(course).collect(),
            rules: Rule::ALL.into_iter().map(rule).collect(),
            clock: PacketClock::default(),
            calendar,
            internal,
            targets,
        }
    }

    fn fold(&mut self, delta: &FlowDelta) {
        // As the analyst: the end of a long idle flow brings no time.
        if delta.low.packets + delta.high.packets > 0 {
            self.clock.advance(delta.last_at);
        }
        let today = self.calendar.day(self.clock.now());
        let mine: Mine = self.truth.add(delta);
        if let Place::Border(crossing) = Place::of(&self.internal, delta)
            && delta.sent_by(crossing.side).sent > 0
        {
            self.together.add(today, crossing.host);
            if mine.is_empty() {
                self.background.add(today, crossing.host);
            }
        }
        for (_, course) in &mut self.budgets {
            course.fold(delta, &mine, &self.truth, today);
        }
        for (_, course) in &mut self.rules {
            course.fold(delta, &mine, &self.truth, today);
        }
    }

    fn report(self, plan: &Plan, counted: &WorkerCounters, source: &FileSource) -> Report {
        let Self { targets, truth, calendar, budgets, rules, background, together, .. } = self;
        let labels = &plan.labels;
        let judges = |day| labels.judges(day);
        let host_days = (background.on(judges), together.on(judges));
        let mut field = Field { labels, targets: &targets, truth: &truth, host_days, calendar };

        let asked = plan.analyst.alert.alerts_per_day;
        let mut curve = Vec::new();
        let mut chosen = None;
        for (budget, course) in budgets {
            let threshold_bits = course.judge().threshold();
            let told = course.finish(&truth);
            let (alone, together) = (field.score_alone(&told), field.score_together(&told));
            curve.push(Point {
                budget,
                threshold_bits,
                alone: alone.tally.clone(),
                together: together.tally.clone(),
            });
            if budget == asked {
                chosen = Some((threshold_bits, told, alone, together));
            }
        }
        let rules = rules.into_iter().map(|(rule, course)| {
            let told = course.finish(&truth);
            let (alone, together) = (field.score_alone(&told), field.score_together(&told));
            RuleReport {
                rule: rule.name(),
                decides: rule.decides(),
                flagged: flagged(labels, alone.outcomes),
                alone: alone.tally,
                together: together.tally,
            }
        });
        let rules = rules.collect();
        let mut report = Report {
            input: input(plan, counted, source),
            budget: asked,
            curve,
            rules,
            schema: "sekisho.eval/1",
            version: env!("CARGO_PKG_VERSION"),
            ..Report::default()
        };
        if let Some((threshold_bits, told, alone, together)) = chosen {
            report.threshold_bits = threshold_bits;
            report.tell(labels, &truth, told, (alone, together));
        }
        report
    }
}

fn flagged(labels: &Labels, outcomes: Vec<Option<super::report::Outcome>>) -> Vec<Flagged> {
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

fn input(plan: &Plan, counted: &WorkerCounters, source: &FileSource) -> Input {
    let egress = &plan.analyst.egress;
    Input {
        set: plan.labels.set.clone(),
        timezone: egress.timezone.iana_name().unwrap_or("UTC").to_owned(),
        internal: egress.internal.nets().iter().map(ToString::to_string).collect(),
        packets: source.counters().frames,
        flows: counted.flows.started,
        first: counted.span.map(|(first, _)| first),
        last: counted.span.map(|(_, last)| last),
        evaluation_days: plan.labels.evaluation_days.iter().copied().collect(),
    }
}

impl Report {
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
