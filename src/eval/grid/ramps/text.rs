//! Ramps for people.

use std::fmt;

use super::report::RampsReport;
use crate::alert::bytes_text;
use crate::sink::printable;

impl fmt::Display for RampsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} (seed {}): {} days learned; {} ramps of {} days, then {} at once",
            printable(&self.set),
            self.seed,
            self.learned_days,
            self.ramps.len(),
            self.ramps.first().map_or(0, |ramp| ramp.bytes.len()),
            bytes_text(self.theft_bytes),
        )?;
        let text = |bytes: Option<u64>| bytes.map_or("-".to_owned(), bytes_text);
        for judged in &self.judges {
            writeln!(
                f,
                "\nBudget {} a day, pages from {} bits\n{:>8} {:>22} {:>8} {:>30} {:>12} {:>10} {:>10} {:>8}",
                judged.budget,
                judged.threshold_bits,
                "a day",
                "first to last day",
                "found",
                "on a day of (least, median)",
                "left by then",
                "theft left",
                "unprepared",
                "raised"
            )?;
            for curve in &judged.curves {
                let found = &curve.found_at_bytes;
                let middle = found.get(found.len().saturating_sub(1) / 2).copied();
                let days = format!("{}, {}", text(found.first().copied()), text(middle));
                let ends =
                    format!("{} to {}", bytes_text(curve.start_bytes), bytes_text(curve.end_bytes));
                writeln!(
                    f,
                    "{:>8} {ends:>22} {:>8} {days:>30} {:>12} {:>10} {:>10} {:>8}",
                    format!("x{}", curve.growth),
                    format!("{} of {}", found.len(), curve.ramps),
                    text(curve.median_bytes_left),
                    text(curve.median_theft_left),
                    text(curve.median_theft_left_unprepared),
                    curve.leverage().map_or("-".to_owned(), |leverage| format!("{leverage:.2}")),
                )?;
            }
        }
        writeln!(
            f,
            "\n\"Raised\": bytes more that leave unseen in the theft, for each byte of the ramp's last day."
        )
    }
}
