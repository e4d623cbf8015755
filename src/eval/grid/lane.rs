//! One judge over the office, and its forks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::fixed_rules::{FixedRule, Rule};
use super::super::judge::{Judge, Place, Told};
use super::super::labels::Label;
use super::super::matching::{GRACE, Target};
use super::super::notes::Notes;
use super::super::report::Outcome;
use super::super::review::Reviewed;
use super::super::score::outcome;
use super::super::truth::Truth;
use crate::detect::{Bits, Finding};
use crate::net::{Addr, Subnets};
use crate::synth::office::Report;
use crate::time::{Calendar, Day, Timestamp};

/// An upload that waits for its turn.
pub(super) struct Waiting {
    /// Of the cell.
    pub(super) number: usize,
    pub(super) label: Label,
    pub(super) reports: Vec<Report>,
    /// Places in today of what its host does otherwise, in their order.
    pub(super) own: Vec<usize>,
}

/// One judge over the days of the office without any upload, and what its forks found.
pub(super) struct Lane<J> {
    pub(super) judge: J,
    pub(super) notes: Notes,
    pub(super) outcomes: Vec<(usize, Outcome)>,
    /// What each host scored on each honest day.
    honest: BTreeMap<Day, Vec<(Addr, Bits)>>,
    /// What uploads scored at their end, by number.
    scored: BTreeMap<usize, Scored>,
    /// The score from which an incident paged on the first day with uploads.
    pub(super) threshold: Option<Bits>,
}

/// What an upload scored at its end.
#[derive(Clone, Copy)]
struct Scored {
    day: Day,
    host: Addr,
    score: Bits,
}

pub(super) enum AtWork {
    Budget(f64, Box<Lane<Reviewed>>),
    Rule(Rule, Box<Lane<FixedRule>>),
}

/// What a fork lives in: the days to come, and who is inside.
#[derive(Clone, Copy)]
pub(super) struct Days<'a> {
    /// Today first, and as many as the longest upload needs.
    pub(super) days: &'a [Vec<Report>],
    pub(super) internal: &'a Subnets,
    pub(super) calendar: &'a Calendar,
}

impl AtWork {
    pub(super) fn live(&mut self, days: Days<'_>, waiting: &[Waiting]) {
        match self {
            Self::Budget(_, lane) => {
                lane.live(days, waiting);
                if !waiting.is_empty() && lane.threshold.is_none() {
                    lane.threshold = Some(lane.judge.analyst.threshold());
                }
            }
            Self::Rule(_, lane) => lane.live(days, waiting),
        }
    }
}

impl<J: Judge> Lane<J> {
    pub(super) fn new(judge: J) -> Self {
        Self {
            judge,
            notes: Notes::default(),
            outcomes: Vec::new(),
            honest: BTreeMap::new(),
            scored: BTreeMap::new(),
            threshold: None,
        }
    }

    /// The place that an upload would give its host among all hosts of its last day, by their scores.
    pub(super) fn rank(&self, number: usize) -> Option<usize> {
        let Scored { day, host, score } = *self.scored.get(&number)?;
        let others = self.honest.get(&day)?.iter().filter(|(other, _)| *other != host);
        Some(1 + others.filter(|(_, theirs)| *theirs > score).count())
    }

    /// One that goes on from here, and has found nothing yet.
    pub(super) fn fork(&self) -> Self {
        Self { notes: self.notes.fork(), ..Self::new(self.judge.clone()) }
    }

    /// Lives through today; when an upload begins, a fork goes on with it. They are in order of time.
    pub(super) fn live(&mut self, days: Days<'_>, waiting: &[Waiting]) {
        let mut waiting = waiting.iter().peekable();
        let Some(today) = days.days.first() else { return };
        let mut nobody = Truth::new(&[]);
        for (at, report) in today.iter().enumerate() {
            while let Some(upload) = waiting.next_if(|one| one.label.start <= report.at()) {
                self.try_alone(upload, days, at);
            }
            self.judge.see(report);
            let told = self.judge.told();
            for told in &told {
                if let Told::Place(Place { day, host, score, .. }) = *told {
                    self.honest.entry(day).or_default().push((host, score));
                }
            }
            self.notes.take(told, &[], &mut nobody);
        }
        waiting.for_each(|upload| self.try_alone(upload, days, today.len()));
    }

    /// Judges one upload, alone after the past, from the place in today at which it begins.
    fn try_alone(
        &mut self,
        upload: &Waiting,
        Days { days, internal, calendar }: Days<'_>,
        at: usize,
    ) {
        let mut calendar = calendar.clone();
        let target = Target::of(&upload.label, internal, &mut calendar);
        let host = upload.label.src;
        let is_over_today = calendar.day(upload.label.start) == target.graced_day;
        let mut is_last = |day: &[Report]| {
            day.first().is_some_and(|first| calendar.day(first.at()) == target.graced_day)
        };
        let last = days[1..].iter().position(|day| is_last(day)).map(|at| at + 1);
        let targets: Arc<[Target]> = [target].into();
        let (mut judge, mut notes) = (self.judge.clone(), self.notes.fork());
        judge.expect(&targets);
        let mut truth = Truth::new(&targets);
        let until = upload.label.end.plus(GRACE);
        // Until midnight nothing that others do changes the verdict on a host, but for who else goes to the
        // same place: what all have done is learned then. So on the last day of an upload it is alone.
        let rest: Box<dyn Iterator<Item = &Report>> = if is_over_today {
            let from = upload.own.partition_point(|&own| own < at);
            Box::new(upload.own[from..].iter().map(|&own| &days[0][own]))
        } else {
            let (all, alone) = days.split_at(last.unwrap_or(days.len()));
            let alone = alone.iter().flatten().filter(move |report| report.errand.host == host);
            Box::new(all[0][at..].iter().chain(all[1..].iter().flatten()).chain(alone))
        };
        let rest = rest.take_while(|report| report.at() <= until);
        for report in merged(rest, upload.reports.iter()) {
            if let Some(delta) = report.delta() {
                truth.add(delta);
            }
            judge.see(report);
            notes.take(judge.told(), &targets, &mut truth);
        }
        // Not the end of the run: who is ranked where changes no verdict, and costs as much as all of them.
        judge.settle();
        notes.take(judge.told(), &targets, &mut truth);
        let place = upload.label.dst.first().and_then(|&place| judge.verdict(host, place));
        if let Some((Finding { score, .. }, _)) = place {
            let day = calendar.day(upload.label.end);
            self.scored.insert(upload.number, Scored { day, host, score });
        }
        self.outcomes.push((upload.number, outcome(&targets[0], 0, &truth, &notes)));
    }
}

/// Both in order of time.
pub(super) fn merged<'a>(
    one: impl Iterator<Item = &'a Report>,
    other: impl Iterator<Item = &'a Report>,
) -> impl Iterator<Item = &'a Report> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if second.at() < first.at() => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}

/// How many days an upload needs that begins on a day which starts at `day`.
pub(super) fn days_needed(day: Timestamp, end: Timestamp) -> usize {
    const DAY: Duration = Duration::from_secs(86_400);
    (end.plus(GRACE).since(day).as_nanos() / DAY.as_nanos()) as usize + 1
}
