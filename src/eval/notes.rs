//! What a judge has told in one run, kept for the score.

use std::collections::BTreeMap;

use super::judge::{Place, Said, Told};
use super::matching::Target;
use super::truth::{Asked, Truth};
use crate::alert::{Kind, Severity};
use crate::detect::Bits;
use crate::net::Addr;
use crate::time::{Day, Timestamp};

/// One incident of the judge's, from its opening to its close.
#[derive(Debug, Clone)]
pub(super) struct Alarm {
    pub(super) incident: String,
    /// The addresses of its host, first the one that it goes by.
    pub(super) hosts: Vec<Addr>,
    /// Everything that it named as a destination, and when it first did.
    pub(super) destinations: BTreeMap<Addr, Timestamp>,
    pub(super) names: Vec<String>,
    pub(super) told_at: Timestamp,
    /// The page, from when it is of medium severity or above.
    pub(super) page: Option<Page>,
    /// The gravest it became.
    pub(super) severity: Severity,
    /// Its own last count.
    pub(super) bytes_out: u64,
}

/// The moment somebody is called.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) at: Timestamp,
    pub(super) score: Option<Bits>,
    /// What had the incidents of this host sent by then?
    left: Vec<(usize, Asked)>,
}

impl Page {
    /// What an incident of the alarm's host had sent when it paged.
    pub(super) fn left(&self, label: usize, truth: &Truth) -> u64 {
        let asked = self.left.iter().find(|(of, _)| *of == label);
        asked.map_or(0, |&(_, asked)| truth.answer(asked))
    }
}

/// A host's best place while an incident went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placing {
    pub(super) day: Day,
    pub(super) rank: usize,
    /// Hosts ranked that day.
    pub(super) of: usize,
}

/// What a judge has told in one run.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    pub(super) alarms: Vec<Alarm>,
    /// Of each incident, its latest alarm while it is open.
    open: BTreeMap<String, usize>,
    /// Of each label, the best place.
    pub(super) placings: BTreeMap<usize, Placing>,
}

impl Notes {
    /// Notes of a run that goes on from another: what is open there is open here.
    pub(super) fn fork(&self) -> Self {
        let (mut alarms, mut open) = (Vec::new(), BTreeMap::new());
        for (incident, &at) in &self.open {
            open.insert(incident.clone(), alarms.len());
            alarms.push(self.alarms[at].clone());
        }
        Self { alarms, open, placings: BTreeMap::new() }
    }

    /// Takes note of what was told just now; `truth` has the latest delta.
    pub(super) fn take(&mut self, told: Vec<Told>, targets: &[Target], truth: &mut Truth) {
        let mut places = Vec::new();
        for told in told {
            match told {
                Told::Alert(said) => self.hear(*said, targets, truth),
                Told::Place(place) => places.push(place),
            }
        }
        self.rank(&places, targets);
    }

    /// The alarms that paged, with the page.
    pub(super) fn pages(&self) -> impl Iterator<Item = (&Alarm, &Page)> {
        self.alarms.iter().filter_map(|alarm| Some((alarm, alarm.page.as_ref()?)))
    }

    fn hear(&mut self, said: Said, targets: &[Target], truth: &mut Truth) {
        let known = match said.kind {
            Kind::Update | Kind::Close => self.open.get(&said.incident).copied(),
            Kind::Open | Kind::Reopen => None,
        };
        let at = known.unwrap_or_else(|| {
            self.alarms.push(Alarm::of(&said));
            self.alarms.len() - 1
        });
        if said.kind == Kind::Close {
            self.open.remove(&said.incident);
        } else {
            self.open.insert(said.incident.clone(), at);
        }
        let alarm = &mut self.alarms[at];
        alarm.severity = alarm.severity.max(said.severity);
        alarm.bytes_out = said.bytes_out;
        for destination in said.destinations {
            alarm.destinations.entry(destination).or_insert(said.time);
        }
        if alarm.page.is_none() && said.severity >= Severity::Medium {
            let of_host =
                targets.iter().enumerate().filter(|(_, target)| target.has_one_of(&said.hosts));
            let left = of_host.map(|(label, _)| (label, truth.ask(label, said.time))).collect();
            alarm.page = Some(Page { at: said.time, score: said.score, left });
        }
    }

    fn rank(&mut self, places: &[Place], targets: &[Target]) {
        for place in places {
            for (label, target) in targets.iter().enumerate() {
                if !target.is_ranked_on(place.day) || !target.has_host(place.host) {
                    continue;
                }
                let of = places.iter().filter(|other| other.day == place.day).count();
                let placing = Placing { day: place.day, rank: place.rank, of };
                let best = self.placings.entry(label).or_insert(placing);
                if placing.rank < best.rank {
                    *best = placing;
                }
            }
        }
    }
}

impl Alarm {
    pub(super) fn of(said: &Said) -> Self {
        Self {
            incident: said.incident.clone(),
            hosts: said.hosts.clone(),
            destinations: said.destinations.iter().map(|&to| (to, said.time)).collect(),
            names: said.names.clone(),
            told_at: said.time,
            page: None,
            severity: said.severity,
            bytes_out: said.bytes_out,
        }
    }
}
