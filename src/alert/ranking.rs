//! Who looks worst, and why: every host that sent something, day by day, alerted or not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::Why;
use super::text;
use crate::detect::{Bits, Finding, Subject};
use crate::egress::{Destination, HostKey};
use crate::net::Addr;
use crate::rules::Silence;
use crate::time::Day;

/// One host on one day, `sekisho.ranking/1`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RankingEntry {
    /// Always `sekisho.ranking/1`.
    pub schema: &'static str,
    /// The day, in the configured time zone.
    pub day: Day,
    /// Place among that day's hosts, from 1.
    pub rank: usize,
    /// The host's address; of several, the one that it sent most from.
    pub host: Addr,
    /// Its hardware address, where its addresses are judged as one machine.
    pub mac: Option<String>,
    /// Its best score of the day.
    pub score_bits: Bits,
    /// The score from which an incident paged that day.
    pub threshold_bits: Bits,
    /// The terms of that score, of the day's first hundred hosts.
    pub why: Vec<Why>,
    /// Key of the destination that scored it.
    pub destination: String,
    /// Bytes sent to that destination on that day.
    pub bytes_out: u64,
    /// Did an incident of this host page on that day?
    pub alerted: bool,
    /// The rule because of which that best was not told, or did not page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silenced: Option<Silence>,
}

/// A host's best verdict of the day.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Best {
    pub(super) addr: Addr,
    pub(super) finding: Finding,
    pub(super) destination: Destination,
    pub(super) threshold: Bits,
    pub(super) alerted: bool,
    #[serde(default)]
    pub(super) silenced: Option<Silence>,
}

impl Best {
    pub(super) fn worth(&self) -> (Bits, u64) {
        (self.finding.score, self.finding.bytes())
    }
}

/// The day's hosts, worst first; equal scores by bytes, then by address.
pub(super) fn ranked(
    best: impl IntoIterator<Item = (HostKey, Best)>,
    day: Day,
    text_of: impl Fn(Destination) -> String,
) -> Vec<RankingEntry> {
    let mut best: Vec<(HostKey, Best)> = best.into_iter().collect();
    best.sort_by(|(one, a), (other, b)| {
        b.worth().cmp(&a.worth()).then_with(|| (a.addr, one.mac()).cmp(&(b.addr, other.mac())))
    });
    let entry = |(rank, (host, best)): (usize, (HostKey, Best))| RankingEntry {
        schema: "sekisho.ranking/1",
        day,
        rank,
        host: best.addr,
        mac: host.mac().map(|mac| mac.to_string()),
        score_bits: best.finding.score,
        threshold_bits: best.threshold,
        why: match rank {
            ..=EXPLAINED => best.finding.terms.iter().map(|term| text::why(term, None)).collect(),
            _ => Vec::new(),
        },
        destination: match best.finding.subject {
            Subject::Destination => text_of(best.destination),
            Subject::Many => "*".to_owned(),
        },
        bytes_out: best.finding.bytes(),
        alerted: best.alerted,
        silenced: best.silenced,
    };
    (1..).zip(best).map(entry).collect()
}

/// Hosts of a day whose score is explained: of more nobody reads why nothing is wrong with them.
const EXPLAINED: usize = 100;
