//! Uploads over all that may matter of them: what `sekisho eval --grid` lays over an office, one at a time.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::transfer::{Queue, Transfer};
use crate::flow::FlowDelta;
use crate::net::{Addr, Protocol};
use crate::synth::random::scramble;
use crate::time::Timestamp;

/// One upload of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cell {
    /// Payload bytes sent.
    pub bytes: u64,
    /// Its mean pace.
    pub bytes_per_sec: u64,
    /// Over which flows.
    pub chunking: Chunking,
    /// Where to.
    pub destination: Destination,
    /// When.
    pub hour: Hour,
    /// By which protocol.
    pub service: Service,
    /// How the pace changes.
    pub pace: Pace,
}

/// Over which flows an upload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Chunking {
    /// One.
    One,
    /// Eight at once.
    Parallel,
    /// One after the other, of 64 KiB, or a thousand where that would be more.
    Many,
}

/// Where an upload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Destination {
    /// Where nobody of the office ever was.
    NeverSeen,
    /// Where others were, and this host never.
    SeenByOthers,
    /// Where this host was on five days or more.
    Usual,
}

/// When an upload begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hour {
    /// Between nine and fifteen.
    Work,
    /// Between one and four.
    Night,
}

/// The protocol of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// TCP, port 443.
    Tls,
    /// UDP, port 443.
    Quic,
    /// TCP, port 22.
    Ssh,
    /// TCP, port 20.
    Ftp,
    /// TCP, port 25.
    Smtp,
    /// UDP, port 53; as much comes back.
    Dns,
    /// Echoes; as much comes back.
    Icmp,
    /// TCP, a port that no service has.
    Raw,
}

/// How the pace of an upload changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// Not at all.
    Even,
    /// It doubles after each quarter of the time.
    Ramp,
}

impl Cell {
    /// The whole grid, less what would take more than seven days.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for bytes in BYTES {
            for bytes_per_sec in RATES {
                for destination in Destination::ALL {
                    for service in Service::ALL {
                        for chunking in Chunking::ALL {
                            for (hour, pace) in [
                                (Hour::Work, Pace::Even),
                                (Hour::Work, Pace::Ramp),
                                (Hour::Night, Pace::Even),
                                (Hour::Night, Pace::Ramp),
                            ] {
                                all.push(Self {
                                    bytes,
                                    bytes_per_sec,
                                    chunking,
                                    destination,
                                    hour,
                                    service,
                                    pace,
                                });
                            }
                        }
                    }
                }
            }
        }
        all.retain(|cell| cell.millis() <= MILLIS_MAX);
        all
    }

    /// So many of them by chance, evenly over size, pace and destination; fewer are the first of more.
    pub fn some(count: usize, seed: u64) -> Vec<Self> {
        let mut all: Vec<(u64, Self)> =
            (0..).map(|at| scramble(seed ^ scramble(at))).zip(Self::all()).collect();
        all.sort_by_key(|&(chance, _)| chance);
        let stratum = |cell: &Self| (cell.bytes, cell.bytes_per_sec, cell.destination);
        let mut drawn = std::collections::BTreeMap::new();
        let mut ranked: Vec<(usize, Self)> = Vec::new();
        for (_, cell) in all {
            let rank: &mut usize = drawn.entry(stratum(&cell)).or_default();
            ranked.push((*rank, cell));
            *rank += 1;
        }
        ranked.sort_by_key(|&(rank, _)| rank);
        ranked.into_iter().take(count).map(|(_, cell)| cell).collect()
    }

    /// How long it takes.
    pub fn millis(&self) -> u64 {
        (self.bytes * 1000 / self.bytes_per_sec).max(1)
    }

    /// Flows in their order: when each begins, how long it takes, what it sends.
    fn flows(&self) -> Vec<Part> {
        let whole = Part { after: 0, millis: self.millis(), bytes: self.bytes };
        let stages = match self.pace {
            Pace::Even => vec![whole],
            Pace::Ramp => {
                let mut stages = whole.in_a_row(RAMP.len() as u64);
                let mut sum = 0;
                for (stage, weight) in stages.iter_mut().zip(RAMP) {
                    let share = |sum: u64| cut(self.bytes, sum, RAMP.iter().sum());
                    stage.bytes = share(sum + weight) - share(sum);
                    sum += weight;
                }
                stages
            }
        };
        let flows = |stage: &Part| match self.chunking {
            Chunking::One => vec![*stage],
            Chunking::Parallel => stage.at_once(PARALLEL),
            Chunking::Many => {
                let count = (self.bytes / SMALL_BYTES).clamp(1, MANY_MAX);
                stage.in_a_row(count.div_ceil(stages.len() as u64))
            }
        };
        stages.iter().flat_map(flows).collect()
    }
}

/// A part of an upload.
#[derive(Debug, Clone, Copy)]
struct Part {
    after: u64,
    millis: u64,
    bytes: u64,
}

impl Part {
    fn in_a_row(self, count: u64) -> Vec<Self> {
        let cuts = |total: u64, at: u64| cut(total, at, count);
        let part = |at: u64| Self {
            after: self.after + cuts(self.millis, at),
            millis: cuts(self.millis, at + 1) - cuts(self.millis, at),
            bytes: cuts(self.bytes, at + 1) - cuts(self.bytes, at),
        };
        (0..count).map(part).collect()
    }

    fn at_once(self, count: u64) -> Vec<Self> {
        let bytes = |at| cut(self.bytes, at + 1, count) - cut(self.bytes, at, count);
        (0..count).map(|at| Self { bytes: bytes(at), ..self }).collect()
    }
}

/// `at` of `of` equal parts.
fn cut(total: u64, at: u64, of: u64) -> u64 {
    (u128::from(total) * u128::from(at) / u128::from(of)) as u64
}

/// An upload of the grid in an office: who, where to, when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Injection {
    /// What it is like.
    pub cell: Cell,
    /// Who sends.
    pub host: Addr,
    /// The other end.
    pub place: Addr,
    /// First moment.
    pub start: Timestamp,
}

impl Injection {
    /// The reports of its flows, in order of time.
    pub fn deltas(&self) -> Vec<FlowDelta> {
        let transfers: Vec<Transfer> = self.transfers();
        let mut queue = Queue::default();
        queue.add(&transfers, &[]);
        std::iter::from_fn(|| queue.next_before(Timestamp::MAX)).collect()
    }

    /// Last moment.
    pub fn end(&self) -> Timestamp {
        self.start.plus(Duration::from_millis(self.cell.millis()))
    }

    fn transfers(&self) -> Vec<Transfer> {
        let service = self.cell.service;
        let transfer = |part: &Part| Transfer {
            host: self.host,
            place: self.place,
            port: service.port(),
            protocol: service.protocol(),
            is_inbound: false,
            start: self.start.plus(Duration::from_millis(part.after)),
            millis: part.millis,
            out: part.bytes,
            back: if service.is_echoed() { part.bytes } else { part.bytes / 100 },
        };
        self.cell.flows().iter().map(transfer).collect()
    }
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Tls, Self::Quic, Self::Ssh, Self::Ftp, Self::Smtp, Self::Dns, Self::Icmp, Self::Raw];

    /// Is it judged by its bytes? DNS, ICMP and mail have detectors of their own to come.
    pub fn is_counted(self) -> bool {
        match self {
            Self::Tls | Self::Quic | Self::Ssh | Self::Ftp | Self::Raw => true,
            Self::Smtp | Self::Dns | Self::Icmp => false,
        }
    }

    fn is_echoed(self) -> bool {
        matches!(self, Self::Dns | Self::Icmp)
    }

    fn protocol(self) -> Protocol {
        match self {
            Self::Tls | Self::Ssh | Self::Ftp | Self::Smtp | Self::Raw => Protocol::TCP,
            Self::Quic | Self::Dns => Protocol::UDP,
            Self::Icmp => Protocol::ICMP,
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Tls | Self::Quic => 443,
            Self::Ssh => 22,
            Self::Ftp => 20,
            Self::Smtp => 25,
            Self::Dns => 53,
            Self::Icmp => 0,
            Self::Raw => 4444,
        }
    }
}

impl Destination {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NeverSeen, Self::SeenByOthers, Self::Usual];
}

impl Chunking {
    const ALL: [Self; 3] = [Self::One, Self::Parallel, Self::Many];
}

const BYTES: [u64; 5] = [1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000];

/// Bytes in a second, up to 1 Gbit/s.
const RATES: [u64; 6] = [1000, 10_000, 100_000, 1_000_000, 10_000_000, 125_000_000];

const MILLIS_MAX: u64 = 7 * 86_400_000;
const PARALLEL: u64 = 8;
const SMALL_BYTES: u64 = 64 << 10;
const MANY_MAX: u64 = 1000;
const RAMP: [u64; 4] = [1, 2, 4, 8];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Sender;

    /// A cell that sends less than it says would make every detector look blind.
    #[test]
    fn every_cell_sends_what_it_says_in_the_time_it_says() {
        let start = Timestamp::from_secs_nanos(1_773_000_000, 0);
        let (host, place) = (Addr::from_v4([10, 20, 0, 1]), Addr::from_v4([203, 0, 113, 7]));
        for cell in Cell::some(400, 3) {
            let injection = Injection { cell, host, place, start };
            let deltas = injection.deltas();
            let sent = |delta: &FlowDelta| {
                let side = if delta.key.low.addr == host { Sender::Low } else { Sender::High };
                delta.sent_by(side).sent
            };
            assert_eq!(deltas.iter().map(sent).sum::<u64>(), cell.bytes, "{cell:?}");
            assert_eq!(deltas.iter().map(|delta| delta.last_at).max(), Some(injection.end()));
            assert!(deltas.iter().map(|delta| delta.last_at).is_sorted());
        }
    }

    /// The thinned grid still has every size, pace and destination as often as any other.
    #[test]
    fn a_thinned_grid_is_an_even_one() {
        let all = Cell::all();
        assert!(all.iter().all(|cell| cell.millis() <= MILLIS_MAX));
        assert_eq!(Cell::some(usize::MAX, 1).len(), all.len());
        let strata = all.len() / (8 * 3 * 2 * 2);
        let (few, more) = (Cell::some(strata, 5), Cell::some(3 * strata, 5));
        assert_eq!(few, more[..strata]);
        let mut kinds: Vec<_> =
            few.iter().map(|cell| (cell.bytes, cell.bytes_per_sec, cell.destination)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), strata);
        assert_ne!(few, Cell::some(strata, 6));
    }
}
