//! Which alert is about which incident.

use std::time::Duration;

use super::labels::{Expected, Label};
use super::notes::Alarm;
use crate::net::{Addr, Subnets};
use crate::time::{Calendar, Day, Timestamp};

/// What an alert must say to be about a labelled incident.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) expected: Expected,
    /// The inside ends: the host itself, the one seen in its place, its other addresses.
    hosts: Vec<Addr>,
    /// The outside ends.
    peers: Vec<Addr>,
    names: Vec<String>,
    /// Who sent to whom: what the incident's bytes are counted by.
    pub(super) pairs: Vec<(Addr, Addr)>,
    /// Who asked whom inside to pass it on: what is asked there is the incident's, but no bytes of it.
    pub(super) asked: Option<(Addr, Addr)>,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    first_day: Day,
    last_day: Day,
    /// The day on which an alert may come at last.
    pub(super) graced_day: Day,
}

/// How an alarm stands to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// Another host, another destination, or another time.
    None,
    /// The right ends and the right time.
    InTime,
    /// The right ends, too late to be of use.
    Late,
}

impl Target {
    pub(super) fn of(label: &Label, internal: &Subnets, calendar: &mut Calendar) -> Self {
        let other_ends = label.pairs.iter().map(|&(host, _)| host);
        // A scan from outside is about the inside hosts that it reaches.
        let is_from_inside = internal.contains(label.src);
        let (hosts, peers) = if is_from_inside {
            (
                [label.src].into_iter().chain(label.seen).chain(other_ends).collect(),
                label.dst.clone(),
            )
        } else {
            (label.dst.iter().copied().chain(label.seen).collect(), vec![label.src])
        };
        let hosts = unique(hosts);
        let pairs = hosts.iter().flat_map(|&host| peers.iter().map(move |&peer| (host, peer)));
        let pairs = unique(pairs.chain(label.pairs.iter().copied()).collect());
        Self {
            expected: label.expected,
            names: label.names.clone(),
            start: label.start,
            end: label.end,
            first_day: calendar.day(label.start),
            last_day: calendar.day(label.end),
            graced_day: calendar.day(label.end.plus(GRACE)),
            asked: label.seen.filter(|_| is_from_inside).map(|seen| (label.src, seen)),
            hosts,
            peers,
            pairs,
        }
    }

    pub(super) fn has_host(&self, host: Addr) -> bool {
        self.hosts.contains(&host)
    }

    /// Is a machine with these addresses one of the inside ends?
    pub(super) fn has_one_of(&self, hosts: &[Addr]) -> bool {
        hosts.iter().any(|&host| self.has_host(host))
    }

    /// Does the host's place on this day tell something of the incident?
    pub(super) fn is_ranked_on(&self, day: Day) -> bool {
        (self.first_day..=self.last_day).contains(&day)
    }

    /// Destinations that alarms must name between them: half of those there are.
    pub(super) fn destinations_needed(&self) -> usize {
        self.peers.len().div_ceil(2)
    }

    /// The incident's destinations that the alarm named while it could help; all of them when it named
    /// the destination by its name.
    pub(super) fn named_by<'a>(&'a self, alarm: &'a Alarm) -> impl Iterator<Item = Addr> + 'a {
        let last = self.end.plus(TOO_LATE);
        let is_by_name = alarm.names.iter().any(|name| self.is_name(name));
        self.peers.iter().copied().filter(move |peer| {
            is_by_name || alarm.destinations.get(peer).is_some_and(|&named_at| named_at <= last)
        })
    }

    /// How an alarm stands to the incident, going by `at`: when it paged, or when it was told.
    pub(super) fn matches(&self, alarm: &Alarm, at: Timestamp) -> Match {
        if !self.has_one_of(&alarm.hosts)
            || at < self.start
            || self.named_by(alarm).next().is_none()
        {
            Match::None
        } else if at <= self.end.plus(GRACE) {
            Match::InTime
        } else if at <= self.end.plus(TOO_LATE) {
            Match::Late
        } else {
            Match::None
        }
    }

    /// Is that what a proxy is asked for, to reach an outside end?
    pub(super) fn means(&self, name: &str) -> bool {
        let addr = name.parse::<std::net::IpAddr>().map(Addr::from);
        self.is_name(name) || addr.is_ok_and(|addr| self.peers.contains(&addr))
    }

    fn is_name(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.names.iter().any(|known| {
            name.strip_suffix(known.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

fn unique<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all.dedup();
    all
}

/// An alert that comes this long after the last byte still finds the incident.
pub(super) const GRACE: Duration = Duration::from_secs(3600);

/// From here on the right ends are a coincidence.
const TOO_LATE: Duration = Duration::from_secs(86_400);
