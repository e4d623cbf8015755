//! Transfers, and the reports that a flow table would make of them.

use std::time::Duration;

use crate::flow::{Counters, FlowDelta, FlowEnd};
use crate::net::{Addr, Endpoint, Protocol};
use crate::time::Timestamp;

/// Bytes between a host and a place, at an even pace, in a flow of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Transfer {
    pub(super) host: Addr,
    pub(super) place: Addr,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    /// Does the outside open it?
    pub(super) is_inbound: bool,
    pub(super) start: Timestamp,
    pub(super) millis: u64,
    pub(super) out: u64,
    pub(super) back: u64,
}

/// Reports to come.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    transfers: Vec<Transfer>,
    /// In order of time, the next one last.
    reports: Vec<Report>,
    /// Transfers that there ever were.
    count: u64,
}

/// What a transfer reports, and what it has sent by then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    pub(super) at: Timestamp,
    transfer: u32,
    port: u16,
    pub(super) out: u64,
    pub(super) back: u64,
    /// Milliseconds after the transfer's start at which the first of it was sent.
    pub(super) since: u64,
    pub(super) is_last: bool,
}

impl Queue {
    /// Adds transfers; none may begin before what has been handed out.
    /// No report spans one of the `midnights`, which are in order of time.
    pub(super) fn add(&mut self, transfers: &[Transfer], midnights: &[Timestamp]) {
        let mut kept = Vec::new();
        for report in &mut self.reports {
            kept.push(self.transfers[report.transfer as usize]);
            report.transfer = kept.len() as u32 - 1;
        }
        self.transfers = kept;
        for transfer in transfers {
            let number = self.transfers.len() as u32;
            self.transfers.push(*transfer);
            self.count += 1;
            let port = Self::client_port(self.count);
            self.reports.extend(transfer.reports(number, port, midnights));
        }
        self.reports.sort_unstable_by_key(|report| {
            std::cmp::Reverse((report.at, report.transfer, report.since))
        });
    }

    /// Of the nth transfer; they go round.
    pub(super) fn client_port(number: u64) -> u16 {
        32_768 | number as u16
    }

    /// The next report before a moment.
    pub(super) fn next_before(&mut self, limit: Timestamp) -> Option<FlowDelta> {
        let report = *self.reports.last().filter(|report| report.at < limit)?;
        self.reports.pop();
        Some(self.transfers[report.transfer as usize].delta(&report))
    }
}

impl Transfer {
    /// A report whenever an eighth has been added to 64 KiB or more, after a minute, at midnight, and at the
    /// end. Nothing is sent in the two seconds before midnight, in which a flow table could not tell the days apart.
    pub(super) fn reports(&self, transfer: u32, port: u16, midnights: &[Timestamp]) -> Vec<Report> {
        let mut reports = Vec::new();
        let (mut since, mut out, mut back) = (0, 0, 0);
        let total = u128::from(self.out);
        let to_come = &midnights[midnights.partition_point(|&midnight| midnight <= self.start)..];
        let end = self.start.plus(Duration::from_millis(self.millis));
        let mut pauses = to_come.iter().take_while(|&&midnight| midnight < end).map(|midnight| {
            let to = midnight.since(self.start).as_millis() as u64;
            (to.saturating_sub(PAUSE_MILLIS), to)
        });
        let mut pause = pauses.next();
        while since < self.millis || reports.is_empty() {
            if let Some((from, to)) = pause
                && from <= since
            {
                (since, pause) = (to, pauses.next());
            }
            let next = (out + out / 8).max(LOOK_BYTES);
            let reached = u128::from(self.millis) * u128::from(next) / total.max(1);
            let by_bytes = u64::try_from(reached).unwrap_or(u64::MAX).max(since + 1);
            let silent = pause.map_or(self.millis, |(from, _)| from);
            let until = by_bytes.min(since + LOOK_MILLIS).min(silent).min(self.millis);
            let part = |bytes: u64| {
                (u128::from(bytes) * u128::from(until) / u128::from(self.millis.max(1))) as u64
            };
            let is_last = until == self.millis;
            let (sent, received) =
                if is_last { (self.out, self.back) } else { (part(self.out), part(self.back)) };
            reports.push(Report {
                at: self.start.plus(Duration::from_millis(until)),
                transfer,
                port,
                out: sent - out,
                back: received - back,
                since,
                is_last,
            });
            (since, out, back) = (until, sent, received);
        }
        reports
    }

    fn delta(&self, report: &Report) -> FlowDelta {
        let (own, other) = match (self.protocol, self.is_inbound) {
            // Both ends of an echo bear its identifier.
            (Protocol::ICMP, _) => (report.port, report.port),
            (_, true) => (self.port, report.port),
            (_, false) => (report.port, self.port),
        };
        let host = Endpoint { addr: self.host, port: own };
        let place = Endpoint { addr: self.place, port: other };
        let (out, back) = (self.counters(report.out), self.counters(report.back));
        let (from, to, counters) = match self.is_inbound {
            true => (place, host, [back, out]),
            false => (host, place, [out, back]),
        };
        FlowDelta {
            last_at: report.at,
            end: report.is_last.then_some(FlowEnd::Fin),
            ..FlowDelta::new(from, to, self.protocol, self.start, counters)
        }
    }

    fn counters(&self, bytes: u64) -> Counters {
        let packets = bytes / PACKET_BYTES + 1;
        Counters {
            payload: bytes,
            acked: if self.protocol == Protocol::TCP { bytes } else { 0 },
            sent: bytes,
            wire: bytes + packets * 40,
            packets,
            ..Counters::default()
        }
    }
}

const PAUSE_MILLIS: u64 = 2000;
const LOOK_BYTES: u64 = 64 << 10;
const LOOK_MILLIS: u64 = 60_000;
const PACKET_BYTES: u64 = 1400;
