//! Folds deltas, judges, keeps incidents: one thread, deterministic, can be cloned and restored.

use std::sync::Arc;

use crate::alert::{
    self, Alert, ClosedBecause, Incidents, Labels, RankingEntry, Record, Summary, TopSender, share,
};
use crate::baseline::{self, Baseline};
use crate::detect::{Bits, Case, Finding, Measure, Subject, judge};
use crate::egress::{self, Destination, Egress, Group};
use crate::flow::FlowDelta;
use crate::net::Addr;
use crate::rules::RuleSet;
use crate::time::{Day, PacketClock, Timestamp};

/// What the analyst goes by.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is inside, and limits.
    pub egress: egress::Options,
    /// How much of the past is remembered.
    pub baseline: baseline::Options,
    /// How incidents live.
    pub alert: alert::Options,
    /// What the operator says of networks and destinations.
    pub rules: Arc<RuleSet>,
}

/// The state of the verdict: everything after the flow table.
///
/// A clone is a fork: both go on from the same past.
#[derive(Debug, Clone)]
pub struct Analyst {
    egress: Egress,
    baseline: Baseline,
    incidents: Incidents,
    rules: Arc<RuleSet>,
    clock: PacketClock,
    floor_bytes: u64,
    records: Vec<Record>,
}

impl Analyst {
    /// One that has seen nothing.
    pub fn new(options: Options) -> Self {
        Self {
            floor_bytes: options.egress.floor_bytes,
            egress: Egress::new(options.egress),
            baseline: Baseline::new(options.baseline),
            incidents: Incidents::new(options.alert),
            rules: options.rules,
            clock: PacketClock::default(),
            records: Vec::new(),
        }
    }

    /// Adds a delta and judges what it touched.
    pub fn fold(&mut self, delta: &FlowDelta) {
        // The end of a long idle flow brings nothing new, and so no time either.
        let is_news = delta.low.packets + delta.high.packets > 0;
        if is_news {
            self.clock.advance(delta.last_at);
        }
        let now = self.clock.now();
        let (day, is_another) = self.egress.day_of(now);
        self.advance(now);
        if is_another {
            self.close_day(day);
            let hosts = self.baseline.hosts_lately(day);
            self.incidents.freeze_budget(self.baseline.host_days(), hosts);
        }
        let (rules, baseline) = (&self.rules, &self.baseline);
        let touch = self.egress.fold(
            delta,
            |host| group(rules, host),
            |host, to| baseline.is_young(host, to, day),
        );
        for day in self.egress.take_forgotten() {
            self.baseline.learn(&day);
        }
        let Some(touch) = touch else { return };
        let (host, pair) = self.egress.touched(&touch);
        let case =
            Case { host, pair, baseline: &self.baseline, day, floor_bytes: self.floor_bytes };
        // The last word on an incident is said with its flow's last byte counted.
        let is_last_word =
            delta.end.is_some() && self.incidents.is_open(touch.host, touch.destination);
        if !touch.is_due && !is_last_word {
            self.incidents.touch(case);
            return;
        }
        let finding = judge(case, Measure::of(host, pair));
        let labels = || labels(&self.rules, touch.host, touch.destination.0);
        let (is_suspicious, alert) = self.incidents.observe(case, &finding, labels);
        self.records.extend(alert.map(record));
        if is_suspicious
            && self.baseline.age(touch.host, day) >= LEARN_ALL_BEFORE
            && let Some(host) = self.egress.host_mut(touch.host)
        {
            match finding.subject {
                Subject::Destination => host.mark(touch.destination),
                Subject::Many => host.mark_young(),
            }
        }
    }

    /// Lets time pass: closes incidents that have been quiet.
    pub fn advance(&mut self, now: Timestamp) {
        let mut alerts = Vec::new();
        self.incidents.advance(now, &mut alerts);
        self.records.extend(alerts.into_iter().map(record));
    }

    /// Ends the run: closes the day and all incidents.
    pub fn finish(&mut self, because: ClosedBecause) {
        let mut alerts = Vec::new();
        self.incidents.close_all(because, &mut alerts);
        self.records.extend(alerts.into_iter().map(record));
        let today = self.egress.day();
        self.close_day(today);
    }

    /// What there is to tell since the last call.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Record> {
        self.records.drain(..)
    }

    /// The score from which an incident pages today.
    pub fn threshold(&self) -> Bits {
        self.incidents.budget().threshold()
    }

    /// The verdict on what a host has sent to a destination today, as things are; `None` when it has
    /// sent nothing there. It changes nothing.
    pub fn verdict(&self, host: Addr, destination: Destination) -> Option<Finding> {
        let host = self.egress.host(host)?;
        let pair = host.pairs().find(|pair| pair.destination == destination)?;
        let day = self.egress.day();
        let case =
            Case { host, pair, baseline: &self.baseline, day, floor_bytes: self.floor_bytes };
        Some(judge(case, Measure::of(host, pair)))
    }

    /// Fills in what the analyst knows of the run.
    pub fn summarize(&self, summary: &mut Summary) {
        let totals = self.egress.totals();
        summary.internal = self.egress.internal().nets().iter().map(ToString::to_string).collect();
        summary.timezone = self.egress.zone_name().to_owned();
        summary.hosts = self.egress.hosts().len();
        summary.hosts_evicted = totals.hosts_evicted;
        summary.pairs_evicted = totals.pairs_evicted;
        summary.bytes_out = totals.bytes_out;
        summary.bytes_in = totals.bytes_in;
        summary.bytes_inside = totals.bytes_inside;
        summary.bytes_outside = totals.bytes_outside;
        let unseen = totals.bytes_out.saturating_sub(totals.bytes_out_seen);
        summary.health.lost = Some(share(unseen, totals.bytes_out));
        summary.budget = self.incidents.budget().alerts_per_day();
        summary.threshold_bits = self.threshold();
        summary.alerts = self.incidents.paged();
        summary.top_senders = self.top_senders();
    }

    fn top_senders(&self) -> Vec<TopSender> {
        let mut hosts: Vec<&egress::Host> =
            self.egress.hosts().filter(|host| host.total_out().sent > 0).collect();
        hosts.sort_by_key(|host| (std::cmp::Reverse(host.total_out().sent), host.addr()));
        let sender = |host: &&egress::Host| TopSender {
            host: host.addr(),
            bytes_out: host.total_out().sent,
            bytes_in: host.total_in(),
            destination: host.largest().map(|(to, _)| to.to_string()),
            destination_bytes: host.largest().map_or(0, |(_, bytes)| bytes),
        };
        hosts.iter().take(TOP_SENDERS).map(sender).collect()
    }

    /// Ranks the hosts of the day that ends, and learns from it.
    fn close_day(&mut self, next: Day) {
        let day = self.egress.day();
        for host in self.egress.active() {
            // The last look may lie a tenth of the bytes back, and small hosts had none.
            if let Some(pair) = host.pairs().max_by_key(|pair| pair.out.sent) {
                let case = Case {
                    host,
                    pair,
                    baseline: &self.baseline,
                    day,
                    floor_bytes: self.floor_bytes,
                };
                self.incidents.note(case, &judge(case, Measure::of(host, pair)));
            }
        }
        let ranking = self.incidents.close_day(day);
        self.records.extend(
            ranking.into_iter().map(|entry: RankingEntry| Record::Ranking(Box::new(entry))),
        );
        for host_day in self.egress.close_day(next) {
            self.baseline.learn(&host_day);
        }
    }
}

fn record(alert: Alert) -> Record {
    Record::Alert(Box::new(alert))
}

/// Hosts of one declared role are one group.
fn group(rules: &RuleSet, host: Addr) -> Group {
    rules.networks.role_of(host).map_or(Group::UNDECLARED, |role| Group(role as u8 + 1))
}

fn labels(rules: &RuleSet, host: Addr, destination: Addr) -> Labels {
    Labels {
        role: rules.networks.role_of(host).map(|role| role.to_string()),
        category: rules.destinations.category_of(destination).map(|category| category.to_string()),
    }
}

/// Days of a host from which everything is learned, suspicious or not: else the nightly backup
/// alarms on the first day, is never learned, and alarms for ever (DETECTION 1).
const LEARN_ALL_BEFORE: u32 = 3;

/// Hosts listed in the summary.
const TOP_SENDERS: usize = 10;
