//! The grid for people.

use std::fmt;

use super::report::{GridReport, Hidden, Judged, NotFound, OtherOracle, Tally, Upload, word};
use crate::alert::bytes_text;
use crate::plot::grouped;
use crate::sink::printable;
use crate::synth::office::{Destination, JudgedBy};

impl fmt::Display for GridReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_bytes = |upload: &&Upload| upload.judged_by == JudgedBy::Bytes;
        let counted = self.uploads.iter().filter(by_bytes).count();
        writeln!(
            f,
            "{} (seed {}): {} days learned, {} honest days judged, {} host-days",
            printable(&self.set),
            self.seed,
            self.learned_days,
            self.judged_days,
            grouped(self.host_days),
        )?;
        writeln!(
            f,
            "{} of {} uploads tried; {counted} by their bytes, {} hidden in names and echoes",
            grouped(self.uploads.len() as u64),
            grouped(self.uploads_in_all as u64),
            self.uploads.len() - counted,
        )?;
        writeln!(
            f,
            "\n{:>32} {:>5} {:>13} {:>8} {:>12} {:>7} {:>7} {:>7} {:>20}",
            "",
            "bits",
            "false alerts",
            "a day",
            "1,000 h-days",
            "found",
            "share",
            "oracle",
            "median left, oracle"
        )?;
        for judged in &self.judges {
            write_judged(f, judged)?;
        }
        self.write_slices(f)?;
        self.write_not_found(f)?;
        self.write_other_oracles(f)?;
        self.write_hidden(f)?;
        match self.judges.iter().find(|judged| judged.budget.is_some()) {
            Some(judged) => self.write_matrix(f, judged),
            None => Ok(()),
        }
    }
}

impl GridReport {
    /// The head of a table with a column for each budget; answers these, and writes nothing where there are none.
    fn write_head(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
    ) -> Result<Vec<&Judged>, fmt::Error> {
        let budgets: Vec<&Judged> =
            self.judges.iter().filter(|judged| judged.budget.is_some()).collect();
        if !budgets.is_empty() {
            write!(f, "\n{title}\n{:>32} {:>7}", "", "uploads")?;
            for judged in &budgets {
                write!(f, "  {:>18}", judged.name)?;
            }
            writeln!(f)?;
        }
        Ok(budgets)
    }

    /// Recall beside the oracle's, value by value, a column for each budget.
    fn write_slices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let budgets = self.write_head(f, "Found (by the oracle), in percent")?;
        let Some(first) = budgets.first() else { return Ok(()) };
        for (at, slice) in first.by.iter().enumerate() {
            let name = format!("{} {}", slice.of, value_text(slice.of, &slice.value));
            write!(f, "{name:>32} {:>7}", slice.tally.uploads)?;
            for judged in &budgets {
                let tally = &judged.by[at].tally;
                write!(f, "  {:>18}", both(tally))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    /// How high those that were not found rank, a column for each budget.
    fn write_not_found(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let budgets =
            self.write_head(f, "Not found: hosts that would be ranked first, among the first ten")?;
        if budgets.is_empty() {
            return Ok(());
        }
        write!(f, "{:>32} {:>7}", "", "")?;
        for judged in &budgets {
            let NotFound { uploads, first, first_ten } = judged.not_found;
            write!(f, "  {:>18}", format!("{first}, {first_ten} of {uploads}"))?;
        }
        writeln!(f)
    }

    /// What oracles find by pace and hour, each by what it sums, a column for each budget.
    fn write_other_oracles(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title =
            "Found by oracles that sum days, hours at work and others apart, weeks, in percent";
        let budgets = self.write_head(f, title)?;
        let Some(first) = budgets.first() else { return Ok(()) };
        let row = |name: &str,
                   tallies: &dyn Fn(&Judged) -> Vec<Tally>,
                   f: &mut fmt::Formatter<'_>| {
            write!(f, "{name:>32} {:>7}", tallies(first)[0].uploads)?;
            for judged in &budgets {
                let found = |tally: &Tally| share(tally.oracle_found, tally.uploads).to_string();
                let found: Vec<String> = tallies(judged).iter().map(found).collect();
                write!(f, "  {:>18}", found.join(", "))?;
            }
            writeln!(f)
        };
        let others = |judged: &Judged, of: &dyn Fn(&OtherOracle) -> Tally| -> Vec<Tally> {
            judged.other_oracles.iter().map(of).collect()
        };
        let all = |judged: &Judged| {
            [vec![judged.all.clone()], others(judged, &|other| other.all.clone())].concat()
        };
        row("all", &all, f)?;
        for (at, slice) in first.by.iter().enumerate() {
            if ["bytes_per_sec", "hour"].contains(&slice.of) {
                let name = format!("{} {}", slice.of, value_text(slice.of, &slice.value));
                let of = |judged: &Judged| {
                    let by_day = vec![judged.by[at].tally.clone()];
                    [by_day, others(judged, &|other| other.by[at].tally.clone())].concat()
                };
                row(&name, &of, f)?;
            }
        }
        Ok(())
    }

    /// Recall of what is hidden in messages, and what had left, a column for each budget.
    fn write_hidden(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let budgets = self.write_head(f, "Hidden in messages: found, median left")?;
        let Some(first) = budgets.first() else { return Ok(()) };
        for (at, hidden) in first.hidden.iter().enumerate() {
            let of = word(&hidden.judged_by);
            let row = |name: &str,
                       tally: &dyn Fn(&Hidden) -> &Tally,
                       f: &mut fmt::Formatter<'_>| {
                write!(f, "{name:>32} {:>7}", tally(hidden).uploads)?;
                for judged in &budgets {
                    let Tally { uploads, found, median_bytes_left, .. } = tally(&judged.hidden[at]);
                    let left = median_bytes_left.map_or("-".to_owned(), bytes_text);
                    write!(f, "  {:>18}", format!("{}, {left}", percent(*found, *uploads)))?;
                }
                writeln!(f)
            };
            row(&format!("{of}, all"), &|hidden| &hidden.all, f)?;
            for (slice, one) in hidden.by.iter().enumerate() {
                if ["bytes", "bytes_per_sec", "destination"].contains(&one.of) {
                    let name = format!("{of}, {} {}", one.of, value_text(one.of, &one.value));
                    row(&name, &|hidden| &hidden.by[slice].tally, f)?;
                }
            }
        }
        Ok(())
    }

    /// Recall by size and pace, for each kind of destination.
    fn write_matrix(&self, f: &mut fmt::Formatter<'_>, judged: &Judged) -> fmt::Result {
        let (sizes, paces) = (judged.values("bytes"), judged.values("bytes_per_sec"));
        for destination in Destination::ALL {
            let name = word(&destination);
            writeln!(f, "\n{name}, {}: found (by the oracle), in percent", judged.name)?;
            write!(f, "{:>10}", "")?;
            for pace in &paces {
                write!(f, " {:>12}", value_text("bytes_per_sec", &pace.to_string()))?;
            }
            writeln!(f)?;
            for &bytes in &sizes {
                write!(f, "{:>10}", bytes_text(bytes))?;
                for &pace in &paces {
                    let tally = self.tally(&judged.outcomes, JudgedBy::Bytes, |cell| {
                        (cell.bytes, cell.bytes_per_sec, cell.destination)
                            == (bytes, pace, destination)
                    });
                    write!(f, " {:>12}", both(&tally))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl Judged {
    /// The numbers that a dimension has.
    pub(super) fn values(&self, of: &str) -> Vec<u64> {
        let slices = self.by.iter().filter(|slice| slice.of == of);
        slices.filter_map(|slice| slice.value.parse().ok()).collect()
    }
}

fn write_judged(f: &mut fmt::Formatter<'_>, judged: &Judged) -> fmt::Result {
    let Tally { uploads, found, oracle_found, median_bytes_left, oracle_median_bytes_left } =
        &judged.all;
    let left = |bytes: &Option<u64>| bytes.map_or("-".to_owned(), bytes_text);
    let left = format!("{}, {}", left(median_bytes_left), left(oracle_median_bytes_left));
    writeln!(
        f,
        "{:>32} {:>5} {:>13} {:>8.2} {:>12.2} {:>7} {:>7} {:>7} {left:>20}",
        judged.name,
        judged.threshold_bits.map_or("-".to_owned(), |bits| bits.to_string()),
        judged.false_alerts,
        judged.false_per_day,
        judged.false_per_1000_host_days,
        found,
        percent(*found, *uploads),
        percent(*oracle_found, *uploads),
    )
}

/// A value as people write it.
pub(super) fn value_text(of: &str, value: &str) -> String {
    match (of, value.parse()) {
        ("bytes", Ok(bytes)) => bytes_text(bytes),
        ("bytes_per_sec", Ok(bytes)) => format!("{}/s", bytes_text(bytes)),
        _ => value.to_owned(),
    }
}

fn both(tally: &Tally) -> String {
    if tally.uploads == 0 {
        return "-".to_owned();
    }
    format!("{} ({})", share(tally.found, tally.uploads), share(tally.oracle_found, tally.uploads))
}

/// In percent, rounded.
pub(super) fn share(part: usize, of: usize) -> usize {
    (part * 200 + of) / (2 * of.max(1))
}

fn percent(part: usize, of: usize) -> String {
    if of == 0 { "-".to_owned() } else { format!("{}%", share(part, of)) }
}
