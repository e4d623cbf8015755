//! Uploads over all that may matter of them: what `sekisho eval --grid` lays over an office, one at a time.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Report;
use super::messages::Says;
use super::transfer::{Queue, Transfer};
use crate::net::{Addr, Protocol};
use crate::synth::random::scramble;
use crate::time::Timestamp;

/// One upload of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hour {
    /// Between nine and fifteen.
    Work,
    /// Between one and four.
    Night,
}

/// The protocol of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
    /// TCP, port 25; nobody counts the mails.
    Smtp,
    /// Questions to the place, a hundred bytes in each name; every one is answered.
    Dns,
    /// Echoes of a thousand bytes and a header; as much comes back.
    Icmp,
    /// TCP, a port that no service has.
    Raw,
}

/// What gives an upload away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JudgedBy {
    /// Bytes to a destination.
    Bytes,
    /// What names tell that are asked for.
    Names,
    /// What echoes carry.
    Echoes,
}

/// How the pace of an upload changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// Not at all.
    Even,
    /// It doubles after each quarter of the time.
    Ramp,
}

impl Cell {
    /// The whole grid, less what would take more than seven days, and more messages than a tunnel carries:
    /// 100,000, and a thousand a second.
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
        all.retain(Self::is_possible);
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

    fn is_possible(&self) -> bool {
        let says = self.service.says();
        let messages = |bytes: u64| if says.is_messages() { bytes / says.carries() } else { 0 };
        self.millis() <= MILLIS_MAX
            && messages(self.bytes) <= MESSAGES_MAX
            && messages(self.bytes_per_sec) <= MESSAGES_PER_SEC_MAX
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
    /// Does the host ask a proxy inside to reach places over TLS?
    pub asks_proxy: bool,
}

/// Uploads to lay over an office: the report of `eval --grid`, or a part of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Injections {
    /// Seed of the office that they were tried in.
    pub seed: u64,
    uploads: Vec<Laid>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Laid {
    #[serde(flatten)]
    cell: Cell,
    src: Addr,
    dst: [Addr; 1],
    start: Timestamp,
    asks_proxy: bool,
}

impl Injections {
    /// The uploads, in their order.
    pub fn uploads(&self) -> Vec<Injection> {
        let upload = |&Laid { cell, src, dst: [place], start, asks_proxy }: &Laid| Injection {
            cell,
            host: src,
            place,
            start,
            asks_proxy,
        };
        self.uploads.iter().map(upload).collect()
    }
}

impl Injection {
    /// The reports of its flows and messages, in order of time.
    pub fn reports(&self) -> Vec<Report> {
        let mut queue = Queue::default();
        queue.add(&[], &self.transfers(), Timestamp::EPOCH, &[]);
        std::iter::from_fn(|| queue.next_before(Timestamp::MAX)).collect()
    }

    /// Last moment.
    pub fn end(&self) -> Timestamp {
        self.start.plus(Duration::from_millis(self.cell.millis()))
    }

    /// Bytes of its data that have left by some moment.
    pub fn left(&self, moment: Timestamp) -> u64 {
        let passed = moment.since(self.start).as_millis();
        let left = |part: &Part| {
            let millis = u128::from(part.millis.max(1));
            let by_now = passed.saturating_sub(u128::from(part.after)).min(millis);
            (u128::from(part.bytes) * by_now / millis) as u64
        };
        self.cell.flows().iter().map(left).sum()
    }

    /// Does a proxy inside carry it?
    pub fn is_proxied(&self) -> bool {
        self.asks_proxy && self.cell.service == Service::Tls
    }

    pub(super) fn transfers(&self) -> Vec<Transfer> {
        let service = self.cell.service;
        let says = service.says();
        let [ask, answer] = says.unit();
        let transfer = |part: &Part| {
            let count = part.bytes.div_ceil(says.carries());
            Transfer {
                machine: self.host,
                host: self.host,
                place: self.place,
                port: service.port(),
                protocol: service.protocol(),
                is_inbound: false,
                start: self.start.plus(Duration::from_millis(part.after)),
                millis: part.millis,
                out: count * ask,
                back: if says.is_messages() { count * answer } else { part.bytes / 100 },
                says,
            }
        };
        let transfers = self.cell.flows().iter().map(transfer).collect::<Vec<_>>();
        match self.is_proxied() {
            true => transfers.into_iter().flat_map(|it| it.through_proxy(it.start)).collect(),
            false => transfers,
        }
    }
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Tls, Self::Quic, Self::Ssh, Self::Ftp, Self::Smtp, Self::Dns, Self::Icmp, Self::Raw];

    /// By what an upload over it is judged.
    pub fn judged_by(self) -> JudgedBy {
        match self {
            Self::Tls | Self::Quic | Self::Ssh | Self::Ftp | Self::Smtp | Self::Raw => {
                JudgedBy::Bytes
            }
            Self::Dns => JudgedBy::Names,
            Self::Icmp => JudgedBy::Echoes,
        }
    }

    fn says(self) -> Says {
        match self.judged_by() {
            JudgedBy::Bytes => Says::Bytes,
            JudgedBy::Names => Says::HiddenNames,
            JudgedBy::Echoes => Says::HiddenPings,
        }
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
const MESSAGES_MAX: u64 = 100_000;
const MESSAGES_PER_SEC_MAX: u64 = 1000;
const PARALLEL: u64 = 8;
const SMALL_BYTES: u64 = 64 << 10;
const MANY_MAX: u64 = 1000;
const RAMP: [u64; 4] = [1, 2, 4, 8];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::Tells;
    use super::*;
    use crate::flow::{FlowDelta, Sender};
    use crate::names::Event;

    /// A cell that sends less than it says would make every detector look blind.
    #[test]
    fn every_cell_sends_what_it_says_in_the_time_it_says() {
        let start = Timestamp::from_secs_nanos(1_773_000_000, 0);
        let (host, place) = (Addr::from_v4([10, 20, 0, 1]), Addr::from_v4([203, 0, 113, 7]));
        for cell in Cell::some(400, 3) {
            let injection = Injection { cell, host, place, start, asks_proxy: false };
            let reports = injection.reports();
            let sent = |delta: &FlowDelta| {
                let side = if delta.key.low.addr == host { Sender::Low } else { Sender::High };
                delta.sent_by(side).sent
            };
            let sent: u64 = reports.iter().filter_map(Report::delta).map(sent).sum();
            match cell.service.judged_by() {
                JudgedBy::Bytes => assert_eq!(sent, cell.bytes, "{cell:?}"),
                JudgedBy::Names | JudgedBy::Echoes => assert!(sent > cell.bytes, "{cell:?}"),
            }
            assert_eq!(reports.iter().map(Report::at).max(), Some(injection.end()));
            assert!(reports.iter().map(Report::at).is_sorted());
            assert_eq!(injection.left(injection.end()), cell.bytes);
            assert_eq!(injection.left(start), 0);
        }
    }

    /// A tunnel whose messages tell less than was put into them would be no tunnel: the sensor must be told at
    /// least as much as is stolen, every time something else.
    #[test]
    fn hidden_data_is_in_what_is_heard() {
        let start = Timestamp::from_secs_nanos(1_773_000_000, 0);
        let (host, place) = (Addr::from_v4([10, 20, 0, 1]), Addr::from_v4([203, 0, 113, 7]));
        let is_hidden = |cell: &Cell| cell.service.judged_by() != JudgedBy::Bytes;
        let cells = Cell::all().into_iter().filter(is_hidden);
        for cell in cells.filter(|cell| cell.bytes == 1_000_000).step_by(7) {
            let reports = Injection { cell, host, place, start, asks_proxy: false }.reports();
            let told = |report: &Report| match &report.tells {
                Tells::Event(Event::Query(query)) if !query.is_response => Some(query.below),
                Tells::Event(Event::Echo(echo)) if !echo.is_reply => Some(echo.data),
                _ => None,
            };
            let told: Vec<_> = reports.iter().filter_map(told).collect();
            let different: HashSet<u64> = told.iter().map(|told| told.digest).collect();
            assert_eq!(different.len(), told.len(), "{cell:?}");
            let bytes = told.iter().map(|told| u64::from(told.bits) / 8).sum::<u64>();
            // Of chance one byte in 128 follows from the one before, as the bytes of a pattern do.
            let least = cell.bytes - cell.bytes / 64;
            assert!((least..cell.bytes * 5 / 4).contains(&bytes), "{bytes} of {cell:?}");
        }
    }

    /// The thinned grid still has every size, pace and destination as often as any other.
    #[test]
    fn a_thinned_grid_is_an_even_one() {
        let all = Cell::all();
        assert!(all.iter().all(|cell| cell.millis() <= MILLIS_MAX));
        assert_eq!(Cell::some(usize::MAX, 1).len(), all.len());
        let kinds = |cells: &[Cell]| -> HashSet<String> {
            let kind = |cell: &Cell| {
                format!("{} {} {:?}", cell.bytes, cell.bytes_per_sec, cell.destination)
            };
            cells.iter().map(kind).collect()
        };
        let strata = kinds(&all).len();
        let (few, more) = (Cell::some(strata, 5), Cell::some(3 * strata, 5));
        assert_eq!(few, more[..strata]);
        assert_eq!(kinds(&few).len(), strata);
        assert_ne!(few, Cell::some(strata, 6));
    }
}
