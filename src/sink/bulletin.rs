//! For people who watch: each alert as it comes. Nothing is kept.

use std::io::{self, Write};

use super::Sink;
use super::text::{incident, overview, senders, silenced};
use crate::alert::{Alert, Kind, RankingEntry, Record, Severity};

/// Writes what happens when it happens.
#[derive(Debug)]
pub struct Bulletin<W> {
    to: W,
}

impl<W: Write> Bulletin<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Self {
        Self { to }
    }

    fn alert(&mut self, alert: &Alert) -> io::Result<()> {
        let what = match alert.kind {
            Kind::Open => "opens",
            Kind::Update => "grows",
            Kind::Close => "is over",
            Kind::Reopen => "is back",
        };
        writeln!(self.to, "{}  incident {} {what}", alert.time, alert.incident)?;
        if alert.severity == Severity::Low {
            let (bits, bar) = (alert.score_bits, alert.threshold_bits);
            writeln!(self.to, "LOW      {} ({bits} bits; pages from {bar})", alert.summary)?;
        } else {
            incident(&mut self.to, alert)?;
        }
        writeln!(self.to)
    }

    /// The day's first few: who follows them is in the JSON.
    fn rank(&mut self, entry: &RankingEntry) -> io::Result<()> {
        if entry.rank > RANKS_SHOWN {
            return Ok(());
        }
        if entry.rank == 1 {
            writeln!(self.to, "Who looked worst on {}:", entry.day)?;
        }
        let (bits, host, to) = (entry.score_bits.to_string(), entry.host, &entry.destination);
        writeln!(self.to, "  {bits:>5} bits  {host}  most to {to}")
    }
}

impl<W: Write> Sink for Bulletin<W> {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        match record {
            Record::Alert(alert) => self.alert(alert),
            Record::Silenced(_) => Ok(()),
            Record::Ranking(entry) => self.rank(entry),
            Record::Summary(summary) => {
                writeln!(self.to)?;
                overview(&mut self.to, summary)?;
                senders(&mut self.to, summary)?;
                silenced(&mut self.to, summary)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

const RANKS_SHOWN: usize = 5;
