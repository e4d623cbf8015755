//! Transfers, and the reports that a flow table would make of them.

use std::cmp::Reverse;
use std::time::Duration;

use super::arrival::Arrival;
use super::messages::{Ear, Says, Topic, Word};
use super::places::known_as;
use super::{Errand, Report, Tells};
use crate::flow::{Counters, FlowDelta, FlowEnd, FlowKey};
use crate::machines::Claim;
use crate::net::{Addr, Protocol};
use crate::time::Timestamp;

/// Bytes between a host and a place, at an even pace, in a flow of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Transfer {
    /// Whose it is in the end: the machine, by its IPv4 address.
    pub(super) machine: Addr,
    pub(super) host: Addr,
    pub(super) place: Addr,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    /// Does the outside open it?
    pub(super) is_inbound: bool,
    pub(super) start: Timestamp,
    pub(super) millis: u64,
    /// Bytes, a multiple of those of a message where it consists of messages; what a proxy is asked is not in them.
    pub(super) out: u64,
    pub(super) back: u64,
    pub(super) says: Says,
}

/// Reports to come.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    transfers: Vec<Transfer>,
    /// In order of time, the next one last.
    increments: Vec<Increment>,
    /// In order of time, the next one last.
    claims: Vec<(Errand, Claim)>,
    /// In order of time, the next one last.
    words: Vec<Heard>,
    /// What the latest message told, the next one last.
    told: Vec<Report>,
    ear: Ear,
    /// Transfers that there ever were.
    count: u64,
}

/// A message that will be heard.
#[derive(Debug, Clone, Copy)]
struct Heard {
    word: Word,
    transfer: u32,
    port: u16,
}

/// What a transfer reports, and what it has sent by then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Increment {
    pub(super) at: Timestamp,
    transfer: u32,
    port: u16,
    pub(super) out: u64,
    pub(super) back: u64,
    /// Milliseconds after the transfer's start at which the first of it was sent.
    pub(super) since: u64,
    pub(super) is_first: bool,
    pub(super) is_last: bool,
}

impl Queue {
    /// Adds transfers of a `day`; none may begin before what has been handed out.
    /// No report spans one of the `midnights`, which are in order of time.
    pub(super) fn add(
        &mut self,
        arrivals: &[Arrival],
        transfers: &[Transfer],
        day: Timestamp,
        midnights: &[Timestamp],
    ) {
        self.forget();
        for arrival in arrivals {
            let (host, is_passed_on) = (arrival.machine, false);
            let errand = Errand { host, place: host, is_passed_on };
            self.claims.extend(arrival.claims().map(|claim| (errand, claim)));
        }
        self.claims.sort_by_key(|(errand, claim)| Reverse((claim.at, errand.host, claim.source)));
        for transfer in transfers {
            let number = self.transfers.len() as u32;
            self.transfers.push(*transfer);
            self.count += 1;
            let port = Self::client_port(self.count);
            let increments = transfer.increments(number, port, midnights);
            let words = transfer.words(&increments, day).into_iter();
            self.words.extend(words.map(|word| Heard { word, transfer: number, port }));
            // What stays inside is no report that anybody judges.
            if transfer.says != Says::Digests {
                self.increments.extend(increments);
            }
        }
        self.increments.sort_unstable_by_key(|increment| {
            Reverse((increment.at, increment.transfer, increment.since))
        });
        self.words.sort_unstable_by_key(|heard| {
            Reverse((heard.word.at, heard.transfer, heard.word.asked_at, heard.word.topic))
        });
    }

    /// Forgets transfers of which nothing will come.
    fn forget(&mut self) {
        let (mut kept, mut places) = (Vec::new(), vec![None; self.transfers.len()]);
        let increments = self.increments.iter_mut().map(|one| &mut one.transfer);
        for transfer in increments.chain(self.words.iter_mut().map(|one| &mut one.transfer)) {
            let old = *transfer as usize;
            *transfer = *places[old].get_or_insert_with(|| {
                kept.push(self.transfers[old]);
                kept.len() as u32 - 1
            });
        }
        self.transfers = kept;
    }

    /// Of the nth transfer; they go round.
    pub(super) fn client_port(number: u64) -> u16 {
        32_768 | number as u16
    }

    /// The next report before a moment.
    pub(super) fn next_before(&mut self, limit: Timestamp) -> Option<Report> {
        loop {
            if let Some(report) = self.told.pop() {
                return Some(report);
            }
            let increment = self.increments.last().filter(|increment| increment.at < limit);
            let heard = self.words.last().filter(|heard| heard.word.at < limit);
            let next =
                increment.map(|it| it.at).into_iter().chain(heard.map(|it| it.word.at)).min();
            let is_first = |(_, claim): &mut (Errand, Claim)| {
                claim.at < limit && next.is_none_or(|next| claim.at <= next)
            };
            if let Some((errand, claim)) = self.claims.pop_if(is_first) {
                return Some(Report { errand, tells: Tells::Claim(claim) });
            }
            match (heard, increment) {
                (Some(heard), increment)
                    if increment.is_none_or(|increment| heard.word.at <= increment.at) =>
                {
                    let transfer = &self.transfers[heard.transfer as usize];
                    let errand = transfer.errand();
                    self.ear.hear((transfer, heard.port), &heard.word, |event| {
                        self.told.push(Report { errand, tells: Tells::Event(event) });
                    });
                    self.told.reverse();
                    self.words.pop();
                }
                (_, Some(increment)) => {
                    let report = self.transfers[increment.transfer as usize].report(increment);
                    self.increments.pop();
                    return Some(report);
                }
                (_, None) => return None,
            }
        }
    }
}

impl Transfer {
    pub(super) fn errand(&self) -> Errand {
        let is_passed_on = self.host == PROXY;
        Errand { host: self.machine, place: known_as(self.target()), is_passed_on }
    }

    /// May a proxy carry it?
    pub(super) fn is_web(&self) -> bool {
        (self.protocol, self.port) == (Protocol::TCP, 443) && !self.is_inbound
    }

    /// The same over IPv6, between these ends, if it is of the kind: pings and questions are not.
    pub(super) fn over_v6(self, [host, place]: [Addr; 2]) -> Self {
        if self.says == Says::Bytes && !self.is_inbound {
            Self { host, place, ..self }
        } else {
            self
        }
    }

    /// The same from `start` on through a proxy inside: from the host to the proxy, and from there on.
    pub(super) fn through_proxy(self, start: Timestamp) -> [Self; 2] {
        let whole = Self { start, millis: self.millis.max(1), ..self };
        let (place, port) = (PROXY, PROXY_PORT);
        [
            Self { place, port, says: Says::Proxied(self.place), ..whole },
            Self { host: PROXY, start: start.plus(PROXY_CONNECTS_AFTER), ..whole },
        ]
    }

    /// A report whenever an eighth has been added to 64 KiB or more, after a minute, at midnight, and at the
    /// end. Nothing is sent in the two seconds before midnight, in which a flow table could not tell the days apart.
    pub(super) fn increments(
        &self,
        transfer: u32,
        port: u16,
        midnights: &[Timestamp],
    ) -> Vec<Increment> {
        let mut increments: Vec<Increment> = Vec::new();
        let [ask, answer] = self.says.unit();
        let (mut since, mut out, mut back) = (0, 0, 0);
        let total = u128::from(self.out);
        let to_come = &midnights[midnights.partition_point(|&midnight| midnight <= self.start)..];
        let end = self.start.plus(Duration::from_millis(self.millis));
        let mut pauses = to_come.iter().take_while(|&&midnight| midnight < end).map(|midnight| {
            let to = midnight.since(self.start).as_millis() as u64;
            (to.saturating_sub(PAUSE_MILLIS), to)
        });
        let mut pause = pauses.next();
        while since < self.millis || increments.is_empty() {
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
            // Of messages whole ones.
            let part = |bytes: u64, unit: u64| {
                let units = u128::from(bytes / unit) * u128::from(until);
                (units / u128::from(self.millis.max(1))) as u64 * unit
            };
            let is_last = until == self.millis;
            let (sent, received) = match is_last {
                true => (self.out, self.back),
                false => (part(self.out, ask), part(self.back, answer)),
            };
            let [asked, consented] = if increments.is_empty() { self.heads() } else { [0, 0] };
            increments.push(Increment {
                at: self.start.plus(Duration::from_millis(until)),
                transfer,
                port,
                out: sent - out + asked,
                back: received - back + consented,
                since,
                is_first: increments.is_empty(),
                is_last,
            });
            (since, out, back) = (until, sent, received);
        }
        increments
    }

    fn report(&self, increment: &Increment) -> Report {
        let [host, place] = self.ends(Topic::Own, increment.port);
        let (_, side) = FlowKey::of(host, place, self.protocol);
        let (out, back) = (self.counters(increment.out), self.counters(increment.back));
        let (from, to, counters) = match self.is_inbound {
            true => (place, host, [back, out]),
            false => (host, place, [out, back]),
        };
        let delta = FlowDelta {
            last_at: increment.at,
            end: increment.is_last.then_some(FlowEnd::Fin),
            ..FlowDelta::new(from, to, self.protocol, self.start, counters)
        };
        Report { errand: self.errand(), tells: Tells::Delta(delta, side) }
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

/// Of the office, inside it.
pub(super) const PROXY: Addr = Addr::from_v4([10, 20, 255, 80]);
const PROXY_PORT: u16 = 3128;
/// It asks for the name meanwhile.
const PROXY_CONNECTS_AFTER: Duration = Duration::from_millis(60);

const PAUSE_MILLIS: u64 = 2000;
const LOOK_BYTES: u64 = 64 << 10;
const LOOK_MILLIS: u64 = 60_000;
const PACKET_BYTES: u64 = 1400;
