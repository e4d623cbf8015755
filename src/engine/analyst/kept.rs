//! What outlives the analyst: going on from what was kept, what people said, profiles, and rehearsals.

use std::time::Duration;

use thiserror::Error;

use super::hosts::group;
use super::{Analyst, Options};
use crate::alert::{Record, Settled, Severity, Verdict};
use crate::baseline::{Profile, Unfit};
use crate::detect::Family;
use crate::egress::{Destination, HostKey};
use crate::flow::{Counters, FlowDelta};
use crate::machines::Identity;
use crate::net::{Addr, Endpoint, Protocol};

/// There is more in what was kept than this run has room for.
#[derive(Debug, Error)]
#[error("holds {kept} {what}, this run has room for {max}; give it more with {key}, or --memory")]
pub struct Outgrown {
    what: &'static str,
    kept: usize,
    max: usize,
    key: &'static str,
}

impl Analyst {
    /// Goes on from what another process kept.
    ///
    /// # Errors
    /// When it was learned with more room than there is now.
    pub fn resume(self, options: Options) -> Result<Self, Outgrown> {
        let (egress, baseline) = (&options.egress, &options.baseline);
        let (hosts, pairs, destinations) = self.baseline.sizes();
        for (what, kept, max, key) in [
            ("hosts", self.egress.hosts().len().max(hosts), egress.hosts_max, "limits.hosts_max"),
            ("pairs of a day", self.egress.pairs().len(), egress.pairs_max, "limits.pairs_max"),
            ("remembered pairs", pairs, baseline.pairs_max, "limits.pairs_remembered_max"),
            ("destinations", destinations, baseline.destinations_max, "limits.destinations_max"),
        ] {
            if kept > max {
                return Err(Outgrown { what, kept, max, key });
            }
        }
        let internal = options.egress.internal.clone();
        let is_as_before = self.incidents.budget().alerts_per_day() == options.alert.alerts_per_day;
        let now = self.clock.now();
        let register = self.register.resume(internal, options.machines_max());
        let mut analyst = Self {
            floor_bytes: options.egress.floor_bytes,
            egress: self
                .egress
                .resume(options.egress, |host| group(&options.rules, &register, host, now)),
            baseline: self.baseline.resume(options.baseline),
            incidents: self.incidents.resume(options.alert),
            directory: self.directory.resume(options.book_bytes_max, options.registry),
            rules: options.rules,
            identity: options.identity,
            register,
            ..self
        };
        if analyst.identity == Identity::Address {
            analyst.part();
        }
        if !is_as_before {
            analyst.freeze_budget(analyst.egress.day());
        }
        Ok(analyst)
    }

    /// Takes a person's verdict on an incident, from its second day on until it is forgotten: an upload
    /// that was in order teaches what is normal, a theft nothing.
    pub fn settle(&mut self, incident: &str, verdict: Verdict) {
        let Some(settled) = self.incidents.settle(incident, verdict, self.egress.day()) else {
            return;
        };
        let Settled { host, destination, family, day, bytes, windows } = settled;
        let habits = match family {
            Family::Volume | Family::Server => None,
            Family::Dns => Some(&mut self.habits.names),
            Family::Icmp => Some(&mut self.habits.echoes),
        };
        if let Some(habits) = habits {
            if let (Verdict::Benign, Some(to)) = (verdict, destination) {
                habits.vouch(host, (to, day, bytes));
            }
            return;
        }
        match (verdict, destination) {
            (Verdict::Benign, Some(to)) => self.baseline.vouch(host, (to, day, bytes), windows),
            (Verdict::Benign, None) if family == Family::Server => {
                self.baseline.vouch_served(host, bytes);
            }
            (Verdict::Benign, None) => {
                self.baseline.vouch_many(self.group(host), windows.0, bytes);
            }
            (Verdict::Theft, Some(to)) => self.baseline.disown(host, to, day),
            // Of many, what was under suspicion taught nothing.
            (Verdict::Theft, None) => {}
        }
    }

    /// What was learned of a host, as a document.
    pub fn profile(&self, host: HostKey) -> Option<Profile> {
        self.baseline.profile(host, |to| self.directory.text(to))
    }

    /// Takes in what another sensor learned of a host, in place of what is known of it here.
    ///
    /// # Errors
    /// When the document does not hold together.
    pub fn adopt(&mut self, profile: &Profile) -> Result<(), Unfit> {
        self.baseline.adopt(profile)?;
        for known in &profile.destinations {
            self.directory.learn_text(&known.key, known.first_seen);
        }
        Ok(())
    }

    /// How much of an upload by `host` to a destination that nobody knows would have left when it was told
    /// of: bytes in all, bytes a second, from the day after the latest on. Tried on a fork; `None` where it
    /// would not be told of.
    pub fn rehearse(&self, host: HostKey, bytes: u64, bytes_per_second: u64) -> Option<u64> {
        let mut fork = self.clone();
        let begin = self.now().plus(Duration::from_secs(86_400));
        let addr = match host {
            HostKey::Address(addr) => addr,
            HostKey::Machine(mac) => {
                self.register.addresses_of(mac, begin).next().unwrap_or_else(|| {
                    fork.lend(host, HostKey::Address(NOBODYS));
                    NOBODYS
                })
            }
        };
        let source = Endpoint { addr, port: 49_152 };
        let stranger = (1..=254).map(|last| Addr::from_v4([198, 51, 100, last])).find(|&addr| {
            self.baseline.prevalence(host, Destination::of_address(addr)).host_since.is_none()
        })?;
        let destination = Endpoint { addr: stranger, port: 443 };
        let mut sent = 0;
        for second in 0.. {
            let step = bytes_per_second.min(bytes - sent);
            if step == 0 {
                return None;
            }
            sent += step;
            let out = Counters {
                payload: step,
                acked: step,
                sent: step,
                wire: step,
                packets: 1,
                ..Counters::default()
            };
            let at = begin.plus(Duration::from_secs(second));
            let delta =
                FlowDelta::new(source, destination, Protocol::TCP, at, [out, Counters::default()]);
            fork.fold([&delta]);
            let is_told = |record: Record| match record {
                Record::Alert(alert) => alert.host.ip == addr && alert.severity >= Severity::Medium,
                Record::Silenced(_) | Record::Ranking(_) | Record::Summary(_) => false,
            };
            if fork.drain().any(is_told) {
                return Some(sent);
            }
        }
        None
    }
}

/// An inside address for a machine of which none is sure: one that has to be made up (RFC 3927).
const NOBODYS: Addr = Addr::from_v4([169, 254, 0, 1]);
