//! What leaves where nobody looks for data: names and pings, summed and judged.

use serde::{Deserialize, Serialize};

use super::hosts::{host_of, machine, role};
use super::{Analyst, LEARN_ALL_BEFORE, labels, record, wishes};
use crate::alert::Severity;
use crate::baseline::Habits;
use crate::covert::{self, ToldOf};
use crate::detect::{DnsCase, IcmpCase, Subject};
use crate::names::{Echo, Query, Service, Who};

/// What is normal on channels that are none for data.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct CovertHabits {
    /// Bytes told in names.
    pub(super) names: Habits,
    /// Bytes told in names by all hosts together.
    pub(super) together: Habits,
    /// Bytes told in echoes.
    pub(super) echoes: Habits,
    /// Addresses pinged that do not reply.
    pub(super) sweeps: Habits,
}

impl Analyst {
    pub(super) fn hear_query(&mut self, query: &Query) {
        self.keep_time(query.at);
        self.has_counted_today = true;
        let owner = query.domain.as_ref().and_then(|name| self.directory.domain(name, query.at));
        let host = self.host_of(query.flow.end(query.client).addr, query.at);
        for touch in self.lookups.take(query, host, owner, self.egress.internal()) {
            self.judge_lookups(&touch);
        }
    }

    fn judge_lookups(&mut self, touch: &covert::Touch) {
        if !touch.is_due && !self.incidents.has_open(touch.host) {
            return;
        }
        let (host, day) = (touch.host, self.egress.day());
        let Some(channel) = self.lookups.channels().get(host, touch.destination) else { return };
        let case = DnsCase {
            channel,
            shared: self.lookups.shared(touch.destination),
            domains: self.lookups.domains(host),
            group: self.group(host),
            habits: &self.habits.names,
            together: &self.habits.together,
            day,
        };
        if !touch.is_due {
            self.incidents.touch(&case);
            return;
        }
        let is_together = case.together().is_some();
        let who = Who { service: Some(Service::Dns), ..Who::default() };
        let ends = (touch.destination, channel.peers.as_slice());
        let labels = || {
            let now = self.clock.now();
            let machine = machine(&self.register, (host, channel.addr), now);
            let of_host = (role(&self.rules, &self.register, host, now), machine);
            labels(&self.rules, &self.directory, of_host, ends, who)
        };
        let wishes = wishes(&self.rules, &self.egress);
        let (is_suspicious, alert) = self.incidents.observe(&case, &case.judge(), labels, wishes);
        let of = if is_together { ToldOf::All } else { ToldOf::One };
        if alert.as_ref().is_some_and(|alert| alert.severity >= Severity::Medium) {
            self.lookups.tell(touch.destination, of);
        }
        self.records.extend(alert.map(record));
        if !is_suspicious || self.habits.names.age(host, day) < LEARN_ALL_BEFORE {
            return;
        }
        match of {
            ToldOf::All => self.lookups.mark_together(touch.destination),
            ToldOf::One => self.lookups.mark(host, touch.destination),
        }
    }

    pub(super) fn hear_echo(&mut self, echo: &Echo) {
        self.keep_time(echo.at);
        self.has_counted_today = true;
        let who = |addr| host_of(self.identity, &self.register, addr, echo.at);
        let Some(touch) = self.echoes.take(echo, self.egress.internal(), who) else { return };
        if !touch.is_due && !self.incidents.has_open(touch.host) {
            return;
        }
        let (host, day) = (touch.host, self.egress.day());
        let channel = self.echoes.channels().get(host, touch.destination);
        let Some((channel, sweep)) = channel.zip(self.echoes.sweep(host)) else { return };
        let case = IcmpCase {
            channel,
            channels: self.echoes.channels(),
            sweep,
            echoes: &self.habits.echoes,
            sweeps: &self.habits.sweeps,
            group: self.group(host),
            day,
        };
        if !touch.is_due {
            self.incidents.touch(&case);
            return;
        }
        let finding = case.judge();
        let ends = (touch.destination, channel.peers.as_slice());
        let labels = || {
            let now = self.clock.now();
            let machine = machine(&self.register, (host, channel.addr), now);
            let of_host = (role(&self.rules, &self.register, host, now), machine);
            let peer = channel.peers.first();
            let who = peer.map(|&peer| self.directory.who(channel.addr, peer, channel.first_at));
            labels(&self.rules, &self.directory, of_host, ends, who.unwrap_or_default())
        };
        let wishes = wishes(&self.rules, &self.egress);
        let (is_suspicious, alert) = self.incidents.observe(&case, &finding, labels, wishes);
        self.records.extend(alert.map(record));
        if is_suspicious && self.habits.echoes.age(host, day) >= LEARN_ALL_BEFORE {
            match finding.subject {
                Subject::Destination => self.echoes.mark(host, touch.destination),
                Subject::Many => self.echoes.mark_sweep(host),
            }
        }
    }
}
