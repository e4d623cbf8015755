//! How well a judge did: incident by incident, and over all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::course::Told;
use super::labels::{Expected, Labels};
use super::matching::{GRACE, Match, Target};
use super::notes::{Alarm, Notes, Page};
use super::report::{DayCount, Detection, FalseAlert, Outcome, Rank, Tally, Verdict};
use super::truth::Truth;
use crate::alert::share;
use crate::net::Addr;
use crate::time::{Calendar, Day};

/// What scores are counted against.
pub(super) struct Field<'a> {
    pub(super) labels: &'a Labels,
    pub(super) targets: &'a [Target],
    pub(super) truth: &'a Truth,
    /// Host-days on the days that are judged, without the incidents and with all.
    pub(super) host_days: (u64, u64),
    pub(super) calendar: &'a mut Calendar,
}

/// How well a judge did one way: each incident alone, or all together.
pub(super) struct Score {
    /// Of each label; none where nothing of it was in the captures.
    pub(super) outcomes: Vec<Option<Outcome>>,
    pub(super) false_alerts: Vec<FalseAlert>,
    pub(super) tally: Tally,
}

impl Field<'_> {
    /// Each incident alone. A fork's alert that the background raises as well is the background's.
    pub(super) fn score_alone(&mut self, told: &Told) -> Score {
        let known: BTreeSet<&str> =
            told.background.pages().map(|(alarm, _)| alarm.incident.as_str()).collect();
        let mut wrong: Vec<(&Alarm, &Page, Option<usize>)> =
            told.background.pages().map(|(alarm, page)| (alarm, page, None)).collect();
        let mut outcomes = Vec::new();
        for (label, target) in self.targets.iter().enumerate() {
            let Some(notes) = &told.alone[label] else {
                outcomes.push(None);
                continue;
            };
            outcomes.push(Some(outcome(target, label, self.truth, notes)));
            let own = notes.pages().filter(|(alarm, _)| !known.contains(alarm.incident.as_str()));
            wrong.extend(own.filter_map(|(alarm, page)| {
                let is_of_target = target.matches(alarm, page.at) != Match::None;
                match target.expected {
                    Expected::Alert => (!is_of_target).then_some((alarm, page, None)),
                    Expected::Low | Expected::NoAlert => {
                        Some((alarm, page, is_of_target.then_some(label)))
                    }
                }
            }));
        }
        self.score(outcomes, &wrong, self.host_days.0)
    }

    /// All incidents together.
    pub(super) fn score_together(&mut self, told: &Told) -> Score {
        let notes = &told.together;
        let outcome = |(label, target): (usize, &Target)| {
            let sent = self.truth.sent(label);
            sent.is_seen.then(|| outcome(target, label, self.truth, notes))
        };
        let outcomes = self.targets.iter().enumerate().map(outcome).collect();
        let about = |alarm: &Alarm, page: &Page, is_theft: bool| {
            self.targets.iter().position(|target| {
                (target.expected == Expected::Alert) == is_theft
                    && target.matches(alarm, page.at) != Match::None
            })
        };
        let wrong: Vec<_> = notes
            .pages()
            .filter(|(alarm, page)| about(alarm, page, true).is_none())
            .map(|(alarm, page)| (alarm, page, about(alarm, page, false)))
            .collect();
        self.score(outcomes, &wrong, self.host_days.1)
    }

    fn score(
        &mut self,
        outcomes: Vec<Option<Outcome>>,
        wrong: &[(&Alarm, &Page, Option<usize>)],
        host_days: u64,
    ) -> Score {
        let mut false_alerts = Vec::new();
        let mut on_other_days: BTreeMap<Day, u64> = BTreeMap::new();
        for &(alarm, page, label) in wrong {
            let day = self.calendar.day(page.at);
            if self.labels.judges(day) {
                false_alerts.push(self.false_alert(alarm, page, label));
            } else {
                *on_other_days.entry(day).or_default() += 1;
            }
        }
        false_alerts.sort_by_key(|alert| (alert.time, alert.host));
        let others = on_other_days.into_iter().map(|(day, alerts)| DayCount { day, alerts });
        let mut tally = tally(self.targets, &outcomes);
        tally.false_alerts = false_alerts.len();
        tally.host_days = host_days;
        tally.false_per_1000_host_days =
            (host_days > 0).then(|| false_alerts.len() as f64 * 1000.0 / host_days as f64);
        tally.on_other_days = others.collect();
        Score { outcomes, false_alerts, tally }
    }

    fn false_alert(&self, alarm: &Alarm, page: &Page, label: Option<usize>) -> FalseAlert {
        let usual = || {
            let occasion = self.labels.usual.iter().find(|occasion| {
                alarm.hosts.contains(&occasion.src)
                    && occasion.dst.is_none_or(|dst| alarm.destinations.contains_key(&dst))
                    && (occasion.start..=occasion.end.plus(GRACE)).contains(&page.at)
            });
            occasion.map(|occasion| occasion.id.clone())
        };
        FalseAlert {
            time: page.at,
            host: alarm.hosts[0],
            destinations: alarm.destinations.keys().copied().collect(),
            severity: alarm.severity,
            score_bits: page.score,
            bytes_out: alarm.bytes_out,
            about: label.map(|label| self.labels.incidents[label].id.clone()).or_else(usual),
        }
    }
}

/// How one incident was met with.
/// What was said of the incident `label`.
pub(super) fn outcome(target: &Target, label: usize, truth: &Truth, notes: &Notes) -> Outcome {
    let mut pages: Vec<(&Alarm, &Page, Match)> = notes
        .pages()
        .map(|(alarm, page)| (alarm, page, target.matches(alarm, page.at)))
        .filter(|(.., how)| *how != Match::None)
        .collect();
    pages.sort_by_key(|(_, page, _)| page.at);
    let mut named: BTreeSet<Addr> = BTreeSet::new();
    let mut found = None;
    for &(alarm, page, how) in &pages {
        if how == Match::InTime {
            named.extend(target.named_by(alarm));
            if found.is_none() && named.len() >= target.destinations_needed() {
                found = Some((alarm, page));
            }
        }
    }
    let is_mentioned = notes
        .alarms
        .iter()
        .any(|alarm| alarm.page.is_none() && target.matches(alarm, alarm.told_at) == Match::InTime);
    let verdict = match target.expected {
        Expected::Alert if found.is_some() => Verdict::Found,
        Expected::Alert if !named.is_empty() => Verdict::Partial,
        Expected::Alert if !pages.is_empty() => Verdict::Late,
        Expected::Alert if is_mentioned => Verdict::Mentioned,
        Expected::Alert => Verdict::Missed,
        Expected::Low | Expected::NoAlert if !pages.is_empty() => Verdict::Paged,
        Expected::Low | Expected::NoAlert if is_mentioned => Verdict::Mentioned,
        Expected::Low | Expected::NoAlert => Verdict::Silent,
    };
    // Who was called too late, or for one of many destinations, was called nevertheless.
    let (alarm, page) = match found.or_else(|| pages.first().map(|&(alarm, page, _)| (alarm, page)))
    {
        Some((alarm, page)) => (Some(alarm), Some(page)),
        None => (None, None),
    };
    let sent = truth.sent(label);
    let detection = alarm.zip(page).map(|(alarm, page)| Detection {
        time: page.at,
        secs: sent.first_at.map_or(0.0, |first| secs(page.at.since(first))),
        bytes_left: page.left(label, truth),
        share_left: share(page.left(label, truth), sent.bytes),
        severity: alarm.severity,
        score_bits: page.score,
        bytes_out: counted(pages.iter().map(|&(alarm, ..)| alarm)),
        alerts: pages.len(),
    });
    Outcome {
        verdict,
        detection,
        destinations_named: named.len(),
        rank: notes.placings.get(&label).map(|placing| Rank {
            day: placing.day,
            rank: placing.rank,
            of: placing.of,
        }),
    }
}

fn tally(targets: &[Target], outcomes: &[Option<Outcome>]) -> Tally {
    let seen = || {
        targets
            .iter()
            .zip(outcomes)
            .filter_map(|(target, outcome)| Some((target.expected, outcome.as_ref()?)))
    };
    let count = |verdict| seen().filter(|(_, outcome)| outcome.verdict == verdict).count();
    let thefts = seen().filter(|(expected, _)| *expected == Expected::Alert).count();
    let lookalikes = seen().count() - thefts;
    let of_found = |value: fn(&Detection) -> f64| {
        let found = seen().filter(|(_, outcome)| outcome.verdict == Verdict::Found);
        median(found.filter_map(|(_, outcome)| outcome.detection.as_ref().map(value)).collect())
    };
    let found = count(Verdict::Found);
    Tally {
        incidents: thefts,
        found,
        recall: (thefts > 0).then(|| found as f64 / thefts as f64),
        partial: count(Verdict::Partial),
        late: count(Verdict::Late),
        lookalikes,
        lookalikes_paged: count(Verdict::Paged),
        median_secs: of_found(|detection| detection.secs),
        median_bytes_left: of_found(|detection| detection.bytes_left as f64),
        median_share_left: of_found(|detection| detection.share_left),
        ..Tally::default()
    }
}

/// What the alarms say was sent: alarms about single destinations add up, one about many has them all.
fn counted<'a>(alarms: impl Iterator<Item = &'a Alarm>) -> u64 {
    let (mut single, mut many) = (0, 0);
    for alarm in alarms {
        if alarm.destinations.len() == 1 {
            single += alarm.bytes_out;
        } else {
            many = alarm.bytes_out.max(many);
        }
    }
    single.max(many)
}

/// To the millisecond.
fn secs(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}
