//! Is this unusual, and why? Pure functions from today's sums and the baseline to findings.
//!
//! Evidence is counted in bits, −log2 of a tail probability, so that contributions add and can be
//! read out. The score is `S = V + ½·Vh + ½·(novelty + ratio + staging + protocol + mail)` (DETECTION 4).

mod bits;
mod dns_tunnel;
mod icmp_tunnel;
mod mail;
mod novelty;
mod protocol;
mod ratio;
mod staging;
mod volume;

pub use bits::Bits;
pub use dns_tunnel::{DnsCase, EVERYBODY};
pub use icmp_tunnel::IcmpCase;
pub use mail::Replies;
pub use protocol::{Run, Spoken};
pub use staging::Staging;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::baseline::{Baseline, Familiar, Prevalence, Tail, Whose};
use crate::covert::Kinds;
use crate::egress::{Class, Host, Intakes, Pair, Pairs, WindowSums};
use crate::names::{Program, Usage};
use crate::time::Day;

/// Who is judged, against what.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The host.
    pub host: &'a Host,
    /// The destination it just sent something to.
    pub pair: &'a Pair,
    /// What it and the others sent today.
    pub pairs: &'a Pairs,
    /// What it and the others took from one another inside.
    pub intakes: &'a Intakes,
    /// How the pair's largest flow is spoken, where it has any.
    pub usage: Option<Usage>,
    /// By which program, if that is known.
    pub program: Option<Program>,
    /// What is normal.
    pub baseline: &'a Baseline,
    /// Today.
    pub day: Day,
    /// Bytes below which nothing alerts.
    pub floor_bytes: u64,
    /// An incident about many destinations of the host is open: what is part of it is told with it.
    pub tells_of_many: bool,
}

impl Case<'_> {
    fn whose(&self, measure: &Measure) -> Whose {
        Whose { host: self.host.key(), group: self.host.group(), class: measure.class }
    }
}

/// The sums that are judged: as they are, or as they would have been with fewer bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// What kind of exchange it is.
    pub class: Class,
    /// Bytes to the destination today.
    pub bytes: u64,
    /// Bytes to all destinations on probation today; to all clients, where the destination is one.
    pub together: u64,
    /// Bytes in the host's sliding windows.
    pub windows: WindowSums,
}

impl Measure {
    /// The sums as they are.
    pub fn of(host: &Host, pair: &Pair) -> Self {
        let class = pair.class();
        Self {
            class,
            bytes: pair.out.sent,
            together: if pair.is_served() { host.served_out() } else { host.young_out(class) },
            windows: host.windows(class),
        }
    }

    /// The sums had the destination received only `bytes`.
    fn with_bytes(&self, bytes: u64) -> Self {
        let missing = self.bytes.saturating_sub(bytes);
        Self {
            class: self.class,
            bytes,
            together: self.together.saturating_sub(missing),
            windows: self.windows.map(|sum| sum.saturating_sub(missing)),
        }
    }
}

/// What an incident is about: one destination, or many on probation together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// The destination itself.
    Destination,
    /// All destinations on probation: one upload split over many. Or all clients of a server.
    Many,
}

/// Which kind of upload an incident is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// The host sends.
    Volume,
    /// The host answers a client outside.
    Server,
    /// The host tells in the names that it asks for.
    Dns,
    /// The host tells in pings.
    Icmp,
}

impl Family {
    /// Its word in alerts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Server => "server",
            Self::Dns => "dns",
            Self::Icmp => "icmp",
        }
    }
}

/// One reason, with its share of the score after its weight, and the numbers behind it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// Its share of the score.
    pub bits: Bits,
    /// The numbers.
    pub evidence: Evidence,
}

/// The numbers that let a reader check a term.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Evidence {
    /// Bytes of one day to the destination.
    Volume {
        /// Bytes sent today.
        bytes: u64,
        /// Largest earlier day of this host to this destination.
        history_max: u64,
        /// Days on which this host sent anything before.
        days: u32,
    },
    /// Bytes of one day to all destinations on probation.
    Young {
        /// Bytes sent today.
        bytes: u64,
        /// To how many destinations.
        destinations: usize,
    },
    /// Bytes answered to one outside client in a day.
    Served {
        /// Bytes sent today.
        bytes: u64,
        /// Days on which this host sent anything before.
        days: u32,
    },
    /// Bytes answered to all outside clients in a day.
    ServedTogether {
        /// Bytes sent today.
        bytes: u64,
        /// To how many clients.
        clients: usize,
        /// Days on which this host sent anything before.
        days: u32,
    },
    /// Bytes of the host in a sliding window.
    HostVolume {
        /// Bytes in the window.
        bytes: u64,
        /// Length of the window in seconds.
        window_secs: u64,
        /// Largest such window of the days remembered.
        history_max: u64,
        /// Days on which this host sent anything before.
        days: u32,
    },
    /// A destination that this host never sent a comparable amount to.
    NewDestination {
        /// Largest earlier day of this host to this destination.
        host_max: u64,
        /// Other hosts that have sent there.
        hosts: u32,
        /// Share of big uploads that are as new as this one, between 0 and 1.
        share: f64,
    },
    /// How one-sided the exchange is.
    Ratio {
        /// Producer–consumer ratio, from −1 (only received) to 1 (only sent).
        pcr: f64,
        /// Bytes received from the destination today.
        bytes_in: u64,
    },
    /// Bytes of one day taken from another host inside before.
    Staging(Staging),
    /// A way to speak that is rare here.
    Protocol(Spoken),
    /// A client program that is rare here.
    Program(Run),
    /// Replies of a mail service.
    Mail(Replies),
    /// Information in the names that were asked for below one domain.
    DnsTunnel {
        /// Bytes told in different names today.
        bytes: u64,
        /// How many different names.
        names: u64,
        /// Queries, the same names again included.
        queries: u64,
        /// Record types asked for.
        kinds: Kinds,
        /// Hosts that ask for the domain today.
        hosts: u32,
        /// The most that this host told one domain in an earlier day.
        history_max: u64,
        /// Days on which this host asked anything before.
        days: u32,
    },
    /// Information in the names that several hosts asked for below one domain.
    DnsTogether {
        /// Bytes told in different names today.
        bytes: u64,
        /// How many different names.
        names: u64,
        /// Hosts that ask for the domain today.
        hosts: u32,
        /// Bytes told by the one that stands for all.
        own: u64,
        /// The most that all told this domain in an earlier day.
        history_max: u64,
        /// Days on which several hosts told anything to one domain before.
        days: u32,
    },
    /// Information in echoes to one address.
    IcmpTunnel {
        /// Bytes told in different echoes today.
        bytes: u64,
        /// Requests and replies that left.
        echoes: u64,
        /// Replies that came.
        replies: u64,
        /// Those of them that returned what was sent.
        mirrored: u64,
        /// The most that this host told one address in an earlier day.
        history_max: u64,
        /// Days on which this host pinged anything before.
        days: u32,
    },
    /// Replies that do not return what the requests carried.
    EchoMismatch {
        /// Replies that came.
        replies: u64,
        /// Those of them that returned what was sent.
        mirrored: u64,
    },
    /// Pings to many addresses of which none replies.
    PingSweep {
        /// Addresses that have not replied.
        addresses: u64,
        /// The most of an earlier day.
        history_max: u64,
        /// Days on which this host pinged anything before.
        days: u32,
    },
}

impl Evidence {
    fn staging(&self) -> Option<&Staging> {
        match self {
            Self::Staging(staging) => Some(staging),
            Self::Volume { .. }
            | Self::Young { .. }
            | Self::Served { .. }
            | Self::ServedTogether { .. }
            | Self::HostVolume { .. }
            | Self::NewDestination { .. }
            | Self::Ratio { .. }
            | Self::Protocol(_)
            | Self::Program(_)
            | Self::Mail(_)
            | Self::DnsTunnel { .. }
            | Self::DnsTogether { .. }
            | Self::IcmpTunnel { .. }
            | Self::EchoMismatch { .. }
            | Self::PingSweep { .. } => None,
        }
    }

    /// The detector's name in alerts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Volume { .. } => "volume",
            Self::Young { .. } => "young-destinations",
            Self::Served { .. } => "served-volume",
            Self::ServedTogether { .. } => "served-together",
            Self::HostVolume { .. } => "host-volume",
            Self::NewDestination { .. } => "new-destination",
            Self::Ratio { .. } => "ratio",
            Self::Staging(_) => "staging",
            Self::Protocol(_) | Self::Program(_) => "protocol",
            Self::Mail(_) => "mail",
            Self::DnsTunnel { .. } => "dns-tunnel",
            Self::DnsTogether { .. } => "dns-together",
            Self::IcmpTunnel { .. } => "icmp-tunnel",
            Self::EchoMismatch { .. } => "echo-mismatch",
            Self::PingSweep { .. } => "ping-sweep",
        }
    }
}

/// Every detector, for saying which of them kept quiet.
pub const DETECTORS: [&str; 15] = [
    "volume",
    "young-destinations",
    "served-volume",
    "served-together",
    "host-volume",
    "new-destination",
    "ratio",
    "staging",
    "protocol",
    "mail",
    "dns-tunnel",
    "dns-together",
    "icmp-tunnel",
    "echo-mismatch",
    "ping-sweep",
];

/// The verdict on one pair at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub subject: Subject,
    /// The kind of upload.
    pub family: Family,
    /// The sum of the terms.
    pub score: Bits,
    /// Why.
    pub terms: SmallVec<[Term; 4]>,
    /// Volume evidence and bytes are above the floor. Without it nothing alerts.
    pub passes_gate: bool,
    /// The sums that were judged.
    pub measure: Measure,
    /// Who sent there before today.
    pub known: Prevalence,
}

impl Finding {
    /// Bytes that the finding is about.
    pub fn bytes(&self) -> u64 {
        match self.subject {
            Subject::Destination => self.measure.bytes,
            Subject::Many => self.measure.together,
        }
    }

    /// The host's least likely window: its length in seconds, the largest such window on record in
    /// bytes, and the days on record.
    pub fn busiest_window(&self) -> (u64, u64, u32) {
        let window = self.terms.iter().find_map(|term| match term.evidence {
            Evidence::HostVolume { window_secs, history_max, days, .. } => {
                Some((window_secs, history_max, days))
            }
            Evidence::Volume { .. }
            | Evidence::Young { .. }
            | Evidence::Served { .. }
            | Evidence::ServedTogether { .. }
            | Evidence::NewDestination { .. }
            | Evidence::Ratio { .. }
            | Evidence::Staging(_)
            | Evidence::Protocol(_)
            | Evidence::Program(_)
            | Evidence::Mail(_)
            | Evidence::DnsTunnel { .. }
            | Evidence::DnsTogether { .. }
            | Evidence::IcmpTunnel { .. }
            | Evidence::EchoMismatch { .. }
            | Evidence::PingSweep { .. } => None,
        });
        window.unwrap_or_default()
    }

    /// What the host took inside before, where that speaks for the finding.
    pub fn staging(&self) -> Option<&Staging> {
        self.terms.iter().find_map(|term| term.evidence.staging())
    }

    /// The score without one of its terms.
    pub fn score_without(&self, term: &Term) -> Bits {
        self.score - term.bits
    }
}

/// Judges one pair by these sums.
pub fn judge(case: Case<'_>, measure: Measure) -> Finding {
    let known = case.baseline.prevalence(case.host.key(), case.pair.destination);
    let (subject, main) = volume::of_destinations(case, &measure, &known);
    let subject_bytes = match subject {
        Subject::Destination => measure.bytes,
        Subject::Many => measure.together,
    };
    let window = volume::of_host(case, &measure, subject_bytes);
    let strongest = main.bits.max(window.bits * 2);
    let mut terms: SmallVec<[Term; 4]> = [main, window].into_iter().collect();
    terms.extend(novelty::of(case, &measure, &known));
    terms.extend(ratio::of(case.pair));
    terms.extend(staging::of(case, measure.class, subject_bytes));
    terms.extend(protocol::of(case, measure.class));
    terms.extend(mail::of(case).filter(|_| subject == Subject::Destination));
    Finding {
        subject,
        family: if case.pair.is_served() { Family::Server } else { Family::Volume },
        score: terms.iter().map(|term| term.bits).sum(),
        passes_gate: strongest >= GATE && subject_bytes >= case.floor_bytes,
        terms,
        measure,
        known,
    }
}

/// The least number of bytes to the destination that would still score `threshold`, all else equal.
pub fn bytes_at_threshold(case: Case<'_>, measure: Measure, threshold: Bits) -> u64 {
    least_at_threshold(measure.bytes, threshold, |bytes| judge(case, measure.with_bytes(bytes)))
}

/// The least number, up to `most`, of which the verdict would still score `threshold`.
fn least_at_threshold(most: u64, threshold: Bits, judge: impl Fn(u64) -> Finding) -> u64 {
    let scores = |bytes| {
        let finding = judge(bytes);
        finding.passes_gate && finding.score >= threshold
    };
    let (mut below, mut above) = (0, most);
    while above - below > (above / 100).max(1) {
        let middle = below + (above - below) / 2;
        if scores(middle) {
            above = middle;
        } else {
            below = middle;
        }
    }
    above
}

/// The verdict of a detector that sees channels of its own, and not the bytes that flows carry.
///
/// Its evidence `V` weighs `1.5·V`: of an ordinary host-day's bytes V comes with ½·Vh, which sees the same
/// bytes, so that their score is about 1.5·V too. A prior of −log2 P per host-day then gives all families peaks of
/// one law, P(score > s) = 2^(−s/1.5), and one threshold spends one budget on them.
fn of_channel(
    (subject, family): (Subject, Family),
    (tail, evidence): (Tail, Evidence),
    (bytes, is_enough): (u64, bool),
    familiar: &Familiar,
) -> Finding {
    let evidence_bits = Bits::of_probability(tail.p);
    let bits = evidence_bits + evidence_bits.half();
    Finding {
        subject,
        family,
        score: bits,
        terms: [Term { bits, evidence }].into_iter().collect(),
        passes_gate: evidence_bits >= GATE && is_enough,
        measure: Measure {
            class: Class::Bulk,
            bytes,
            together: bytes,
            windows: WindowSums::default(),
        },
        known: Prevalence {
            host_since: familiar.since,
            host_largest: familiar.largest,
            hosts: familiar.hosts,
        },
    }
}

/// Volume evidence that novelty and ratio need before they count for anything.
const GATE: Bits = Bits::whole(4);
