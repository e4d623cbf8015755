//! One judge over all the traffic: all incidents together, none of them, and each alone.

use std::sync::Arc;

use super::judge::Judge;
use super::matching::Target;
use super::notes::Notes;
use super::timeline::Timeline;
use super::truth::{Mine, Truth};
use crate::flow::FlowDelta;
use crate::machines::Claim;
use crate::names::Event;
use crate::time::Day;

/// One judge over all the traffic, in one pass.
///
/// An incident alone is judged by a fork: the judge as it was when the incident began, which goes on with
/// the background and this incident only, to the end of the day on which an alert may come at last.
pub(super) struct Course<J> {
    targets: Arc<[Target]>,
    together: Track<J>,
    background: Track<J>,
    forks: Vec<Fork<J>>,
    /// One for each label, of the incident alone.
    timelines: Vec<Timeline>,
    today: Day,
}

/// A judge and what it told.
struct Track<J> {
    judge: J,
    notes: Notes,
}

enum Fork<J> {
    /// Nothing of the incident has been seen yet.
    Ahead,
    /// It is being judged.
    Running(Box<Track<J>>),
    /// It was.
    Over(Notes),
}

/// What a judge told, when it is over.
pub(super) struct Told {
    /// With all incidents.
    pub(super) together: Notes,
    /// With none.
    pub(super) background: Notes,
    /// With this one alone; none where nothing of it was in the captures.
    pub(super) alone: Vec<Option<Notes>>,
    /// How each alone came to its score.
    pub(super) timelines: Vec<Timeline>,
}

impl<J: Judge> Course<J> {
    pub(super) fn new(mut judge: J, targets: Arc<[Target]>) -> Self {
        judge.expect(&targets);
        Self {
            forks: targets.iter().map(|_| Fork::Ahead).collect(),
            timelines: targets.iter().map(|_| Timeline::default()).collect(),
            together: Track { judge: judge.clone(), notes: Notes::default() },
            background: Track { judge, notes: Notes::default() },
            targets,
            today: Day::default(),
        }
    }

    /// Hands on a delta that belongs to the labels `mine`, on this day. `truth` has it already.
    pub(super) fn fold(&mut self, delta: &FlowDelta, mine: &Mine, truth: &mut Truth, today: Day) {
        if today != self.today {
            self.today = today;
            self.end_forks(truth);
        }
        self.together.fold(delta, &self.targets, truth);
        for &label in mine {
            let fork = &mut self.forks[label];
            if let Fork::Ahead = fork {
                *fork = Fork::Running(Box::new(self.background.fork()));
            }
            if let Fork::Running(track) = fork {
                track.fold(delta, &self.targets, truth);
                let target = &self.targets[label];
                let sent = truth.sent(label);
                self.timelines[label].look(&track.judge, target, delta, (sent, today));
            }
        }
        if mine.is_empty() {
            self.background.fold(delta, &self.targets, truth);
            for fork in &mut self.forks {
                if let Fork::Running(track) = fork {
                    track.fold(delta, &self.targets, truth);
                }
            }
        }
    }

    /// Hands on something asked for, or pinged, that belongs to the labels `mine`.
    pub(super) fn hear_message(&mut self, event: &Event, mine: &Mine, truth: &mut Truth) {
        self.together.hear(event, &self.targets, truth);
        for &label in mine {
            let fork = &mut self.forks[label];
            if let Fork::Ahead = fork {
                *fork = Fork::Running(Box::new(self.background.fork()));
            }
            if let Fork::Running(track) = fork {
                track.hear(event, &self.targets, truth);
            }
        }
        if mine.is_empty() {
            self.background.hear(event, &self.targets, truth);
            for fork in &mut self.forks {
                if let Fork::Running(track) = fork {
                    track.hear(event, &self.targets, truth);
                }
            }
        }
    }

    /// Hands on what was learned of names.
    pub(super) fn hear(&mut self, event: &Event) {
        self.together.judge.hear(event);
        self.background.judge.hear(event);
        for fork in &mut self.forks {
            if let Fork::Running(track) = fork {
                track.judge.hear(event);
            }
        }
    }

    /// Hands on what was claimed of machines.
    pub(super) fn hear_claim(&mut self, claim: &Claim) {
        self.together.judge.hear_claim(claim);
        self.background.judge.hear_claim(claim);
        for fork in &mut self.forks {
            if let Fork::Running(track) = fork {
                track.judge.hear_claim(claim);
            }
        }
    }

    /// The judge that saw none of the incidents.
    pub(super) fn judge(&self) -> &J {
        &self.background.judge
    }

    /// Ends all runs.
    pub(super) fn finish(mut self, truth: &mut Truth) -> Told {
        for fork in &mut self.forks {
            fork.end(&self.targets, truth);
        }
        let alone = self.forks.into_iter().map(|fork| match fork {
            Fork::Ahead | Fork::Running(_) => None,
            Fork::Over(notes) => Some(notes),
        });
        Told {
            alone: alone.collect(),
            together: self.together.finish(&self.targets, truth),
            background: self.background.finish(&self.targets, truth),
            timelines: self.timelines,
        }
    }

    fn end_forks(&mut self, truth: &mut Truth) {
        for (fork, target) in self.forks.iter_mut().zip(self.targets.iter()) {
            if self.today > target.graced_day {
                fork.end(&self.targets, truth);
            }
        }
    }
}

impl<J: Judge> Track<J> {
    fn fold(&mut self, delta: &FlowDelta, targets: &[Target], truth: &mut Truth) {
        self.judge.fold(delta);
        self.notes.take(self.judge.told(), targets, truth);
    }

    fn hear(&mut self, event: &Event, targets: &[Target], truth: &mut Truth) {
        self.judge.hear(event);
        self.notes.take(self.judge.told(), targets, truth);
    }

    fn fork(&self) -> Self {
        Self { judge: self.judge.clone(), notes: self.notes.fork() }
    }

    fn finish(mut self, targets: &[Target], truth: &mut Truth) -> Notes {
        self.judge.finish();
        self.notes.take(self.judge.told(), targets, truth);
        self.notes
    }
}

impl<J: Judge> Fork<J> {
    fn end(&mut self, targets: &[Target], truth: &mut Truth) {
        *self = match std::mem::replace(self, Self::Ahead) {
            Self::Running(track) => Self::Over(track.finish(targets, truth)),
            other @ (Self::Ahead | Self::Over(_)) => other,
        };
    }
}
