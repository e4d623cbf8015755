//! How many host-days there were: what false alerts are counted against.

use std::collections::{BTreeMap, HashSet};

use crate::net::Addr;
use crate::time::Day;

/// Hosts that sent something to the outside, day by day.
#[derive(Debug, Default)]
pub(super) struct HostDays {
    today: Day,
    hosts: HashSet<Addr, foldhash::fast::RandomState>,
    by_day: BTreeMap<Day, u64>,
}

impl HostDays {
    /// Takes note of a host that sent something on this day.
    pub(super) fn add(&mut self, day: Day, host: Addr) {
        if day != self.today {
            self.today = day;
            self.hosts.clear();
        }
        if self.hosts.insert(host) {
            *self.by_day.entry(day).or_default() += 1;
        }
    }

    /// Host-days on the days that `is_judged`.
    pub(super) fn on(&self, is_judged: impl Fn(Day) -> bool) -> u64 {
        self.by_day.iter().filter(|(day, _)| is_judged(**day)).map(|(_, hosts)| hosts).sum()
    }
}
