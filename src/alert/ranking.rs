//! Who looks worst, and why: every host that sent something, day by day, alerted or not.

use schemars::JsonSchema;
use serde::Serialize;

use super::record::Why;
use crate::detect::Bits;
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
    /// The terms of that score.
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

/// A day's hosts, in the making.
#[derive(Debug, Clone, Default)]
pub struct Ranking {
    entries: Vec<RankingEntry>,
}

impl Ranking {
    /// Adds one host's best of the day.
    pub fn add(&mut self, entry: RankingEntry) {
        self.entries.push(entry);
    }

    /// The day's hosts, worst first; equal scores by bytes, then by address.
    pub fn finish(self) -> Vec<RankingEntry> {
        let mut entries = self.entries;
        entries.sort_by(|a, b| {
            (b.score_bits, b.bytes_out)
                .cmp(&(a.score_bits, a.bytes_out))
                .then_with(|| (a.host, &a.mac).cmp(&(b.host, &b.mac)))
        });
        for (place, entry) in entries.iter_mut().enumerate() {
            entry.rank = place + 1;
        }
        entries
    }
}
