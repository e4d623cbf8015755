//! Whoever is evaluated: the analyst, a fixed rule, or a fake of which the score is known.

use std::sync::Arc;

use super::matching::Target;
use crate::alert::{Kind, RankingEntry, Record, Severity};
use crate::detect::{Bits, Finding};
use crate::engine::Analyst;
use crate::flow::FlowDelta;
use crate::machines::Claim;
use crate::names::Event;
use crate::net::Addr;
use crate::synth::office::{Report, Tells};
use crate::time::{Day, Timestamp};

/// Says what it finds unusual. A clone goes on from the same past.
pub(super) trait Judge: Clone {
    /// Judges what a flow reports.
    fn fold(&mut self, delta: &FlowDelta);

    /// Takes what was learned of names.
    fn hear(&mut self, _: &Event) {}

    /// Takes what was claimed of machines.
    fn hear_claim(&mut self, _: &Claim) {}

    /// Judges whatever of a made-up office was reported.
    fn see(&mut self, report: &Report) {
        match &report.tells {
            Tells::Delta(delta, _) => self.fold(delta),
            Tells::Event(event) => self.hear(event),
            Tells::Claim(claim) => self.hear_claim(claim),
        }
    }

    /// Decides what it would have decided a little later, for want of an end of the hour.
    fn settle(&mut self) {}

    /// From now on people know what these incidents are.
    fn expect(&mut self, _: &Arc<[Target]>) {}

    /// Ends the run.
    fn finish(&mut self);

    /// What there is to tell since the last call.
    fn told(&mut self) -> Vec<Told>;

    /// The verdict on what a host has sent to a destination today, and the score from which an incident
    /// pages, where there is a score.
    fn verdict(&self, host: Addr, peer: Addr) -> Option<(Finding, Bits)>;
}

/// Something told.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// An incident opened, grew, closed or came back.
    Alert(Box<Said>),
    /// A host's place on a day that is over; those of one day come together.
    Place(Place),
}

/// An alert, as far as it is judged itself.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// The same for all alerts of one incident.
    pub(super) incident: String,
    pub(super) kind: Kind,
    pub(super) time: Timestamp,
    pub(super) severity: Severity,
    pub(super) score: Option<Bits>,
    /// The addresses of its host, first the one that it goes by.
    pub(super) hosts: Vec<Addr>,
    pub(super) destinations: Vec<Addr>,
    pub(super) names: Vec<String>,
    pub(super) bytes_out: u64,
}

/// A host's place on one day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) day: Day,
    pub(super) host: Addr,
    pub(super) rank: usize,
    pub(super) score: Bits,
}

impl Judge for Analyst {
    fn fold(&mut self, delta: &FlowDelta) {
        Self::fold(self, [delta]);
    }

    fn hear(&mut self, event: &Event) {
        Self::hear(self, event);
    }

    fn hear_claim(&mut self, claim: &Claim) {
        Self::hear_claim(self, claim);
    }

    fn finish(&mut self) {
        self.close(crate::alert::ClosedBecause::Eof);
        self.rank_day();
    }

    fn told(&mut self) -> Vec<Told> {
        self.drain().filter_map(told).collect()
    }

    fn verdict(&self, host: Addr, peer: Addr) -> Option<(Finding, Bits)> {
        Some((Self::verdict(self, host, peer)?, self.threshold()))
    }
}

fn told(record: Record) -> Option<Told> {
    match record {
        Record::Alert(alert) => {
            let destination = alert.destination;
            Some(Told::Alert(Box::new(Said {
                incident: alert.incident,
                kind: alert.kind,
                time: alert.time,
                // What rules keep from paging wakes nobody up.
                severity: if alert.silenced.is_some() { Severity::Low } else { alert.severity },
                score: Some(alert.score_bits),
                hosts: [&[alert.host.ip][..], &alert.host.ips].concat(),
                destinations: destination.ips,
                names: destination
                    .name
                    .map(|name| name.to_string())
                    .into_iter()
                    .chain([destination.key])
                    .collect(),
                bytes_out: alert.bytes_out,
            })))
        }
        Record::Ranking(entry) => {
            let RankingEntry { day, host, rank, score_bits: score, .. } = *entry;
            Some(Told::Place(Place { day, host, rank, score }))
        }
        Record::Silenced(_) | Record::Summary(_) => None,
    }
}
