//! The grid as one page that needs nothing beside itself.

use std::fmt::{self, Write};

use super::super::html::{HEAD, page, shown};
use super::report::{GridReport, Hidden, Judged, Slice, Tally, word};
use super::text::{share, value_text};
use crate::alert::bytes_text;
use crate::plot::{Chart, Panel, Scale, Series, grouped};
use crate::synth::office::{Destination, JudgedBy};

impl GridReport {
    /// The report as an HTML page with plots.
    pub fn html(&self) -> String {
        page(|page| self.write_html(page))
    }

    fn write_html(&self, page: &mut String) -> fmt::Result {
        let set = shown(&self.set);
        writeln!(page, "{HEAD}<title>Sekisho grid {set}</title>\n<h1>Uploads over {set}</h1>")?;
        writeln!(
            page,
            "<p>Seed {}; {} days learned, {} honest days judged, {} host-days; {} of {} uploads tried; sekisho {}. \
             The oracle knows how much honest work sends to each kind of destination, and alarms as often \
             without reason.</p>",
            self.seed,
            self.learned_days,
            self.judged_days,
            grouped(self.host_days),
            grouped(self.uploads.len() as u64),
            grouped(self.uploads_in_all as u64),
            self.version,
        )?;
        self.put_judges(page)?;
        let budgets = || self.judges.iter().filter(|judged| judged.budget.is_some());
        for judged in budgets() {
            writeln!(page, "<h2>{}</h2>", shown(&judged.name))?;
            page.push_str(&self.over(judged).svg());
            self.put_matrix(page, judged)?;
        }
        put_slices(page, &budgets().collect::<Vec<_>>())?;
        put_hidden(page, &budgets().collect::<Vec<_>>())?;
        writeln!(page, "</html>")
    }

    fn put_judges(&self, page: &mut String) -> fmt::Result {
        writeln!(
            page,
            "<h2>Budgets and fixed rules</h2><table><tr><th><th>bits<th>false alerts<th>a day<th>per 1,000 \
             host-days<th>found<th>%<th>oracle %<th>median left<th>oracle's"
        )?;
        for judged in &self.judges {
            let all = &judged.all;
            let left = |bytes: Option<u64>| bytes.map_or_else(String::new, bytes_text);
            writeln!(
                page,
                "<tr><td>{}<td>{}<td>{}<td>{:.2}<td>{:.2}<td>{} of {}<td>{}<td>{}<td>{}<td>{}",
                shown(&judged.name),
                judged.threshold_bits.map_or_else(String::new, |bits| bits.to_string()),
                judged.false_alerts,
                judged.false_per_day,
                judged.false_per_1000_host_days,
                all.found,
                all.uploads,
                share(all.found, all.uploads),
                share(all.oracle_found, all.uploads),
                left(all.median_bytes_left),
                left(all.oracle_median_bytes_left),
            )?;
        }
        writeln!(page, "</table>")
    }

    /// Recall over the size, and what had left, for each kind of destination.
    fn over(&self, judged: &Judged) -> Chart {
        let line =
            |name: String, destination: Destination, value: &dyn Fn(&Tally) -> Option<f64>| {
                let point = |bytes: u64| {
                    let tally = self.tally(&judged.outcomes, JudgedBy::Bytes, |cell| {
                        (cell.bytes, cell.destination) == (bytes, destination)
                    });
                    Some((bytes as f64 / 1e6, value(&tally)?))
                };
                let points = judged.values("bytes").into_iter().filter_map(point).collect();
                Series { is_twin: name.starts_with(ORACLE), name, points, goal: None }
            };
        let percent = |part: usize, tally: &Tally| {
            (tally.uploads > 0).then(|| part as f64 / tally.uploads as f64 * 100.0)
        };
        let mb = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / 1e6);
        let (mut found, mut left) = (Vec::new(), Vec::new());
        for destination in Destination::ALL {
            let (name, oracle) = (word(&destination), format!("{ORACLE}{}", word(&destination)));
            found.push(line(name.clone(), destination, &|all| percent(all.found, all)));
            found.push(line(oracle.clone(), destination, &|all| percent(all.oracle_found, all)));
            left.push(line(name, destination, &|all| mb(all.median_bytes_left)));
            left.push(line(oracle, destination, &|all| mb(all.oracle_median_bytes_left)));
        }
        let across = Scale::Powers { shift: 0.0 };
        let panel = |unit: &str, up, series| Panel { unit: unit.to_owned(), across, up, series };
        Chart {
            head: vec!["Over the size of the upload, in MB".to_owned()],
            panels: vec![
                panel("found, %", Some(Scale::Even), found),
                panel("median left, MB", Some(Scale::Powers { shift: 0.0 }), left),
            ],
        }
    }

    fn put_matrix(&self, page: &mut String, judged: &Judged) -> fmt::Result {
        let (sizes, paces) = (judged.values("bytes"), judged.values("bytes_per_sec"));
        for destination in Destination::ALL {
            write!(
                page,
                "<h3>{}: found (by the oracle), %</h3><table><tr><th>",
                word(&destination)
            )?;
            for pace in &paces {
                write!(page, "<th>{}", value_text("bytes_per_sec", &pace.to_string()))?;
            }
            writeln!(page)?;
            for &bytes in &sizes {
                write!(page, "<tr><th>{}", bytes_text(bytes))?;
                for &pace in &paces {
                    let tally = self.tally(&judged.outcomes, JudgedBy::Bytes, |cell| {
                        (cell.bytes, cell.bytes_per_sec, cell.destination)
                            == (bytes, pace, destination)
                    });
                    write_cell(page, &tally)?;
                }
                writeln!(page)?;
            }
            writeln!(page, "</table>")?;
        }
        Ok(())
    }
}

/// Value by value, two columns for each budget.
fn put_slices(page: &mut String, budgets: &[&Judged]) -> fmt::Result {
    let Some(first) = budgets.first() else { return Ok(()) };
    write!(page, "<h2>Found (by the oracle), %</h2><table><tr><th><th>uploads")?;
    for judged in budgets {
        write!(page, "<th>{}", shown(&judged.name))?;
    }
    for (at, slice) in first.by.iter().enumerate() {
        write!(
            page,
            "\n<tr><td>{} {}<td>{}",
            slice.of,
            value_text(slice.of, &slice.value),
            slice.tally.uploads
        )?;
        for judged in budgets {
            write_cell(page, &judged.by[at].tally)?;
        }
    }
    writeln!(page, "</table>")
}

/// The same of what is hidden in messages, with what had left.
fn put_hidden(page: &mut String, budgets: &[&Judged]) -> fmt::Result {
    let Some(first) = budgets.first() else { return Ok(()) };
    write!(
        page,
        "<h2>Hidden in messages: found, %, and median left</h2><table><tr><th><th>uploads"
    )?;
    for judged in budgets {
        write!(page, "<th>{}", shown(&judged.name))?;
    }
    for (at, hidden) in first.hidden.iter().enumerate() {
        let tallies = |judged: &Judged| {
            let Hidden { all, by, .. } = &judged.hidden[at];
            let slice = |slice: &Slice| {
                (
                    format!("{} {}", slice.of, value_text(slice.of, &slice.value)),
                    slice.tally.clone(),
                )
            };
            std::iter::once(("all".to_owned(), all.clone()))
                .chain(by.iter().map(slice))
                .collect::<Vec<_>>()
        };
        for (row, (name, tally)) in tallies(first).into_iter().enumerate() {
            write!(page, "\n<tr><td>{}, {name}<td>{}", word(&hidden.judged_by), tally.uploads)?;
            for judged in budgets {
                let (_, tally) = &tallies(judged)[row];
                let left = tally.median_bytes_left.map_or_else(String::new, bytes_text);
                write!(page, "<td>{} {left}", share(tally.found, tally.uploads))?;
            }
        }
    }
    writeln!(page, "</table>")
}

/// What lines of the oracle are called before what they are of.
const ORACLE: &str = "oracle, ";

/// Recall, as dark as it is high.
fn write_cell(page: &mut String, tally: &Tally) -> fmt::Result {
    if tally.uploads == 0 {
        return write!(page, "<td>");
    }
    let found = share(tally.found, tally.uploads);
    write!(
        page,
        "<td style=\"background:rgb(0 114 178/{}%)\">{found} ({})",
        found / 2,
        share(tally.oracle_found, tally.uploads)
    )
}
