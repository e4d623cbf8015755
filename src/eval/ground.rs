//! What every judge is measured against: the labels in time, the truth, the days.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::course::Told;
use super::host_days::HostDays;
use super::labels::Labels;
use super::matching::Target;
use super::score::{Field, Score};
use super::truth::{Mine, Truth};
use crate::egress::Place;
use crate::flow::FlowDelta;
use crate::net::Subnets;
use crate::time::{Calendar, Day, PacketClock};

/// What every judge is measured against.
pub(super) struct Ground {
    internal: Subnets,
    calendar: Calendar,
    clock: PacketClock,
    targets: Arc<[Target]>,
    truth: Truth,
    /// Host-days without the incidents, and with all.
    background: HostDays,
    together: HostDays,
}

impl Ground {
    pub(super) fn new(labels: &Labels, internal: &Subnets, zone: &TimeZone) -> Self {
        let mut calendar = Calendar::new(zone.clone());
        let target = |label| Target::of(label, internal, &mut calendar);
        let targets: Arc<[Target]> = labels.incidents.iter().map(target).collect();
        Self {
            truth: Truth::new(&targets),
            background: HostDays::default(),
            together: HostDays::default(),
            clock: PacketClock::default(),
            internal: internal.clone(),
            calendar,
            targets,
        }
    }

    pub(super) fn targets(&self) -> Arc<[Target]> {
        Arc::clone(&self.targets)
    }

    pub(super) fn truth(&self) -> &Truth {
        &self.truth
    }

    /// The truth, to ask it something.
    pub(super) fn truth_mut(&mut self) -> &mut Truth {
        &mut self.truth
    }

    /// Takes note of a delta, before any judge: which labels it belongs to, and what day it is.
    pub(super) fn step(&mut self, delta: &FlowDelta) -> (Mine, Day) {
        // As the analyst: the end of a long idle flow brings no time.
        if delta.low.packets + delta.high.packets > 0 {
            self.clock.advance(delta.last_at);
        }
        let today = self.calendar.day(self.clock.now());
        let mine = self.truth.add(delta);
        if let Place::Border(crossing) = Place::of(&self.internal, &delta.key)
            && delta.sent_by(crossing.side).sent > 0
        {
            self.together.add(today, crossing.host);
            if mine.is_empty() {
                self.background.add(today, crossing.host);
            }
        }
        (mine, today)
    }

    /// How well a judge did, each incident alone and all together.
    pub(super) fn score(&mut self, labels: &Labels, told: &Told) -> (Score, Score) {
        let judges = |day| labels.judges(day);
        let mut field = Field {
            labels,
            targets: &self.targets,
            truth: &self.truth,
            host_days: (self.background.on(judges), self.together.on(judges)),
            calendar: &mut self.calendar,
        };
        (field.score_alone(told), field.score_together(told))
    }
}
