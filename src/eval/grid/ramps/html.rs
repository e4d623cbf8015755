//! Ramps as one page that needs nothing beside itself.

use std::fmt::{self, Write};

use super::report::{Curve, RampsJudged, RampsReport};
use crate::alert::bytes_text;
use crate::eval::html::{HEAD, page, shown};
use crate::plot::{Chart, Panel, Scale, Series};

impl RampsReport {
    /// The report as an HTML page with plots.
    pub fn html(&self) -> String {
        page(|page| self.write_html(page))
    }

    fn write_html(&self, page: &mut String) -> fmt::Result {
        let set = shown(&self.set);
        writeln!(page, "{HEAD}<title>Sekisho ramps {set}</title>\n<h1>Ramps in {set}</h1>")?;
        writeln!(
            page,
            "<p>Seed {}; {} days learned; {} uploads that grow each day, then {} at once; sekisho {}.</p>",
            self.seed,
            self.learned_days,
            self.ramps.len(),
            bytes_text(self.theft_bytes),
            self.version,
        )?;
        for judged in &self.judges {
            writeln!(
                page,
                "<h2>Budget {} a day, pages from {} bits</h2>",
                judged.budget, judged.threshold_bits
            )?;
            page.push_str(&judged.chart().svg());
            judged.put_table(page)?;
        }
        writeln!(page, "</html>")
    }
}

impl RampsJudged {
    /// How many had been found by the time they sent so much a day.
    fn chart(&self) -> Chart {
        let series = |curve: &Curve| {
            let share = |found: usize| 100.0 * found as f64 / curve.ramps.max(1) as f64;
            let mb = |bytes: u64| bytes as f64 / 1e6;
            let mut points = vec![(mb(curve.start_bytes), 0.0)];
            for (at, &bytes) in curve.found_at_bytes.iter().enumerate() {
                points.push((mb(bytes), share(at)));
                points.push((mb(bytes), share(at + 1)));
            }
            points.push((mb(curve.end_bytes), share(curve.found_at_bytes.len())));
            let name = format!("×{} from {}", curve.growth, bytes_text(curve.start_bytes));
            Series { name, points, ..Series::default() }
        };
        Chart {
            head: vec!["Over the size of the day, in MB".to_owned()],
            panels: vec![Panel {
                unit: "found by then, %".to_owned(),
                across: Scale::Powers { shift: 0.0 },
                up: Some(Scale::Even),
                series: self.curves.iter().map(series).collect(),
            }],
        }
    }

    fn put_table(&self, page: &mut String) -> fmt::Result {
        writeln!(
            page,
            "<table><tr><th>a day<th>first day<th>last day<th>found<th>left by then, median<th>theft left, median<th>\
             unprepared<th>raised, for each byte of the last day"
        )?;
        let text = |bytes: Option<u64>| bytes.map_or_else(String::new, bytes_text);
        for curve in &self.curves {
            writeln!(
                page,
                "<tr><td>×{}<td>{}<td>{}<td>{} of {}<td>{}<td>{}<td>{}<td>{}",
                curve.growth,
                bytes_text(curve.start_bytes),
                bytes_text(curve.end_bytes),
                curve.found_at_bytes.len(),
                curve.ramps,
                text(curve.median_bytes_left),
                text(curve.median_theft_left),
                text(curve.median_theft_left_unprepared),
                curve.leverage().map_or_else(String::new, |leverage| format!("{leverage:.2}")),
            )?;
        }
        writeln!(page, "</table>")
    }
}
