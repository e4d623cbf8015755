//! The fixed rules that other tools come with, to compare with. Each decides when its tool would.

use std::collections::VecDeque;
use std::time::Duration;

use indexmap::IndexMap;

use super::judge::{Judge, Said, Told};
use crate::alert::{Kind, Severity};
use crate::detect::{Bits, Finding};
use crate::egress::{Crossing, Place};
use crate::flow::{FlowDelta, FlowEnd, FlowKey};
use crate::net::{Addr, Subnets};
use crate::time::{Calendar, Day, PacketClock, Timestamp};

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// 100 MB in one flow.
    Flow,
    /// 500 MB to one destination in an hour of the clock.
    Hour,
    /// 1 GB to one destination in two minutes.
    Burst,
    /// An hour of the host above the mean of its earlier ones by three standard deviations.
    Sigma,
    /// 1 MB in one flow, and more than three times what came back.
    Ratio,
}

impl Rule {
    pub(super) const ALL: [Self; 5] =
        [Self::Flow, Self::Hour, Self::Burst, Self::Sigma, Self::Ratio];

    /// The rule in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flow => "100 MB in a flow",
            Self::Hour => "500 MB an hour to a destination",
            Self::Burst => "1 GB in 2 min to a destination",
            Self::Sigma => "host's hour above mean + 3 sigma",
            Self::Ratio => "1 MB in a flow, out > 3 x in",
        }
    }

    /// When it decides, in words.
    pub(super) fn decides(self) -> &'static str {
        match self {
            Self::Flow | Self::Ratio => "when the flow ends",
            Self::Hour | Self::Sigma => "when the hour ends",
            Self::Burst => "in flight",
        }
    }
}

/// A rule at work. It says the same of a host and a destination (the first it names) once a day, as an
/// operator would set it.
#[derive(Clone)]
pub(super) struct FixedRule {
    rule: Rule,
    internal: Subnets,
    calendar: Calendar,
    clock: PacketClock,
    hour: u64,
    today: Day,
    /// Bytes out and in of the flows under way.
    flows: Table<FlowKey, (u64, u64)>,
    /// Bytes of the present hour by host and destination.
    hours: Table<(Addr, Addr), u64>,
    /// Sums of two minutes, and when they last grew.
    bursts: Table<(Addr, Addr), (Burst, Timestamp)>,
    /// Earlier hours of each host.
    habits: Table<Addr, Habit>,
    /// What was said today.
    said: Table<(Addr, Addr), ()>,
    told: Vec<Told>,
}

/// Of a bounded number of keys; what does not find room is not followed.
type Table<K, V> = IndexMap<K, V, foldhash::fast::RandomState>;

/// Bytes of the last two minutes.
#[derive(Debug, Default, Clone)]
struct Burst {
    /// What came when, the oldest first; a flow reports once in a second, or when it has sent much.
    sent: VecDeque<(Timestamp, u64)>,
    sum: u64,
}

impl Burst {
    fn add(&mut self, at: Timestamp, bytes: u64) -> u64 {
        while let Some(&(first, old)) = self.sent.front()
            && first.plus(BURST) <= at
        {
            self.sent.pop_front();
            self.sum -= old;
        }
        self.sent.push_back((at, bytes));
        self.sum += bytes;
        self.sum
    }
}

/// Mean and spread of the hours in which a host sent anything (Welford 1962).
#[derive(Debug, Default, Clone, Copy)]
struct Habit {
    hours: f64,
    mean: f64,
    squares: f64,
}

impl Habit {
    /// Mean and three standard deviations, once there is a day of hours.
    fn limit(self) -> Option<f64> {
        let spread = (self.squares / (self.hours - 1.0).max(1.0)).sqrt();
        (self.hours >= HABIT_HOURS_MIN).then_some(self.mean + 3.0 * spread)
    }

    fn learn(&mut self, bytes: u64) {
        let bytes = bytes as f64;
        self.hours += 1.0;
        let off = bytes - self.mean;
        self.mean += off / self.hours;
        self.squares += off * (bytes - self.mean);
    }
}

impl FixedRule {
    pub(super) fn new(rule: Rule, internal: Subnets, timezone: jiff::tz::TimeZone) -> Self {
        Self {
            rule,
            internal,
            calendar: Calendar::new(timezone),
            clock: PacketClock::default(),
            hour: 0,
            today: Day::default(),
            flows: Table::default(),
            hours: Table::default(),
            bursts: Table::default(),
            habits: Table::default(),
            said: Table::default(),
            told: Vec::new(),
        }
    }

    fn pass_time(&mut self, to: Timestamp) {
        self.clock.advance(to);
        let now = self.clock.now();
        let hour = now.as_secs() / HOUR_SECS;
        if hour != self.hour {
            self.close_hour();
            self.hour = hour;
        }
        let day = self.calendar.day(now);
        if day != self.today {
            self.today = day;
            self.said.clear();
        }
    }

    /// One flow, when it ends.
    fn end_flow(&mut self, crossing: Crossing, delta: &FlowDelta, end: FlowEnd) {
        let Some((out, back)) = self.flows.swap_remove(&delta.key) else { return };
        let is_much = match self.rule {
            Rule::Flow => out >= FLOW_BYTES,
            Rule::Ratio => out >= RATIO_BYTES && out > back.saturating_mul(3),
            Rule::Hour | Rule::Burst | Rule::Sigma => false,
        };
        if is_much {
            // Whoever waits for silence knows later.
            let at = match end {
                FlowEnd::Idle => self.clock.now(),
                FlowEnd::Fin | FlowEnd::Rst | FlowEnd::Evicted | FlowEnd::Eof => delta.last_at,
            };
            self.say(at, crossing.host, vec![crossing.peer], out);
        }
    }

    fn close_hour(&mut self) {
        let ends_at = Timestamp::from_secs_nanos((self.hour + 1) * HOUR_SECS, 0);
        let hours = std::mem::take(&mut self.hours);
        match self.rule {
            Rule::Hour => {
                for ((host, peer), bytes) in hours {
                    if bytes >= HOUR_BYTES {
                        self.say(ends_at, host, vec![peer], bytes);
                    }
                }
            }
            Rule::Sigma => self.close_host_hours(ends_at, &hours),
            Rule::Burst => self.bursts.retain(|_, (_, grew_at)| grew_at.plus(BURST) > ends_at),
            Rule::Flow | Rule::Ratio => {}
        }
    }

    fn close_host_hours(&mut self, ends_at: Timestamp, hours: &Table<(Addr, Addr), u64>) {
        let mut hosts: Table<Addr, Vec<(u64, Addr)>> = Table::default();
        for (&(host, peer), &bytes) in hours {
            hosts.entry(host).or_default().push((bytes, peer));
        }
        for (host, mut peers) in hosts {
            let sum: u64 = peers.iter().map(|&(bytes, _)| bytes).sum();
            if !has_room(&self.habits, &host) {
                continue;
            }
            let habit = self.habits.entry(host).or_default();
            let limit = habit.limit();
            habit.learn(sum);
            if limit.is_some_and(|limit| sum as f64 > limit) {
                // It names a host; who looks into it finds where most went.
                peers.sort_unstable_by(|a, b| b.cmp(a));
                let mut rest = sum - sum / 10;
                let most = peers.into_iter().take_while(|&(bytes, _)| {
                    let is_needed = rest > 0;
                    rest = rest.saturating_sub(bytes);
                    is_needed
                });
                let most = most.map(|(_, peer)| peer).collect();
                self.say(ends_at, host, most, sum);
            }
        }
    }

    fn say(&mut self, time: Timestamp, host: Addr, destinations: Vec<Addr>, bytes_out: u64) {
        let Some(&to) = destinations.first() else { return };
        if !has_room(&self.said, &(host, to)) || self.said.insert((host, to), ()).is_some() {
            return;
        }
        self.told.push(Told::Alert(Box::new(Said {
            incident: format!("{host} {to} {time}"),
            kind: Kind::Open,
            time,
            severity: Severity::Medium,
            score: None,
            hosts: vec![host],
            destinations,
            names: Vec::new(),
            bytes_out,
        })));
    }
}

impl Judge for FixedRule {
    fn fold(&mut self, delta: &FlowDelta) {
        if delta.low.packets + delta.high.packets > 0 {
            self.pass_time(delta.last_at);
        }
        let Place::Border(crossing) = Place::of(&self.internal, &delta.key) else { return };
        let out = delta.sent_by(crossing.side).sent;
        let back = delta.sent_by(crossing.side.other()).sent;
        let ends = (crossing.host, crossing.peer);
        match self.rule {
            Rule::Flow | Rule::Ratio => {
                if has_room(&self.flows, &delta.key) {
                    let flow = self.flows.entry(delta.key).or_default();
                    *flow = (flow.0 + out, flow.1 + back);
                }
                if let Some(end) = delta.end {
                    self.end_flow(crossing, delta, end);
                }
            }
            Rule::Hour | Rule::Sigma if out > 0 => {
                if has_room(&self.hours, &ends) {
                    *self.hours.entry(ends).or_default() += out;
                }
            }
            Rule::Burst if out > 0 => {
                if !has_room(&self.bursts, &ends) {
                    return;
                }
                let new = || (Burst::default(), delta.last_at);
                let (burst, grew_at) = self.bursts.entry(ends).or_insert_with(new);
                *grew_at = delta.last_at;
                let sum = burst.add(delta.last_at, out);
                if sum >= BURST_BYTES {
                    self.say(delta.last_at, crossing.host, vec![crossing.peer], sum);
                }
            }
            Rule::Hour | Rule::Burst | Rule::Sigma => {}
        }
    }

    fn settle(&mut self) {
        self.close_hour();
    }

    fn finish(&mut self) {
        self.close_hour();
    }

    fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    fn verdict(&self, _: Addr, _: Addr) -> Option<(Finding, Bits)> {
        None
    }
}

fn has_room<K: std::hash::Hash + Eq, V>(table: &Table<K, V>, key: &K) -> bool {
    table.len() < ENTRIES_MAX || table.contains_key(key)
}

const FLOW_BYTES: u64 = 100_000_000;
const HOUR_BYTES: u64 = 500_000_000;
const BURST_BYTES: u64 = 1_000_000_000;
const BURST: Duration = Duration::from_secs(120);
const RATIO_BYTES: u64 = 1_000_000;
const HOUR_SECS: u64 = 3600;

/// Hours of sending before a host's habit is believed.
const HABIT_HOURS_MIN: f64 = 24.0;

/// Flows, pairs or hosts that a rule follows at once.
const ENTRIES_MAX: usize = 1 << 20;
