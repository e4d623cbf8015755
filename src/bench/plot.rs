//! Series as one picture: SVG that needs nothing beside itself.

use std::fmt::{self, Write};

use super::scaling::{Axis, Scaling, Series};
use super::text::grouped;

impl Scaling {
    /// All series as one SVG, those of one unit in one panel.
    pub fn svg(&self) -> String {
        let mut units: Vec<&str> = Vec::new();
        for series in &self.series {
            if !units.contains(&series.unit.as_str()) {
                units.push(&series.unit);
            }
        }
        let height = TOP + PANEL_STEP * units.len() as f64;
        let mut svg = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_svg(&mut svg, &units, height);
        svg
    }

    fn write_svg(&self, svg: &mut String, units: &[&str], height: f64) -> fmt::Result {
        writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">"
        )?;
        writeln!(svg, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>")?;
        text(svg, (LEFT, 22.0), "start", &format!("Cost against {}", self.axis.name()))?;
        let machine = format!("{} {}", self.machine.cpu, self.machine.kernel);
        let version = format!("sekisho {} ({})", self.machine.version, self.machine.profile);
        text(svg, (LEFT, 40.0), "start", &format!("{version}, {machine}"))?;
        for (at, unit) in units.iter().enumerate() {
            let series: Vec<&Series> =
                self.series.iter().filter(|series| series.unit == *unit).collect();
            let panel = Panel::of(&series, self.axis, TOP + PANEL_STEP * at as f64);
            panel.write(svg, unit, &series)?;
        }
        writeln!(svg, "</svg>")
    }
}

/// One pair of axes. The lower one counts in powers of ten, the left one does when it must.
struct Panel {
    top: f64,
    xs: Vec<u64>,
    low: f64,
    high: f64,
    is_log: bool,
    /// Added before the logarithm, so that no history has its place.
    shift: f64,
}

impl Panel {
    fn of(series: &[&Series], axis: Axis, top: f64) -> Self {
        let points = || series.iter().flat_map(|series| series.points.iter().chain(&series.goal));
        let mut xs: Vec<u64> =
            series.iter().flat_map(|series| &series.points).map(|point| point.x).collect();
        xs.sort_unstable();
        xs.dedup();
        let most = points().map(|point| point.y).fold(0.0, f64::max).max(1e-3);
        let least = points().map(|point| point.y).fold(most, f64::min).max(most / 1e6);
        let is_log = most > 20.0 * least;
        let (low, high) = if is_log {
            (least.log10().floor(), most.log10().ceil())
        } else {
            (0.0, step(most) * (most / step(most)).ceil())
        };
        Self { top, xs, low, high, is_log, shift: f64::from(u8::from(axis == Axis::History)) }
    }

    fn write(&self, svg: &mut String, unit: &str, series: &[&Series]) -> fmt::Result {
        let (top, bottom) = (self.top, self.top + PANEL);
        for tick in self.ticks() {
            let y = self.y(tick);
            writeln!(svg, "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#ddd\"/>")?;
            text(svg, (LEFT - 6.0, y + 4.0), "end", &number(tick))?;
        }
        for &x in &self.xs {
            text(svg, (self.x(x), bottom + 16.0), "middle", &grouped(x))?;
        }
        text(svg, (LEFT - 6.0, top - 10.0), "end", unit)?;
        for (at, series) in series.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            let points: Vec<String> = series
                .points
                .iter()
                .map(|point| format!("{:.1},{:.1}", self.x(point.x), self.y(point.y)))
                .collect();
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                points.join(" ")
            )?;
            for point in &series.points {
                let (x, y) = (self.x(point.x), self.y(point.y));
                writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"><title>{}: \
                     {}</title></circle>",
                    grouped(point.x),
                    number(point.y)
                )?;
            }
            if let Some(goal) = series.goal {
                let (x, y) = (self.x(goal.x), self.y(goal.y));
                writeln!(
                    svg,
                    "<path d=\"M{:.1} {y:.1}h24\" stroke=\"{colour}\" stroke-dasharray=\"4 2\"/>",
                    x - 12.0
                )?;
                text(svg, (x + 16.0, y + 4.0), "start", &format!("goal {}", number(goal.y)))?;
            }
            let y = top + 14.0 + 18.0 * at as f64;
            writeln!(
                svg,
                "<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>",
                RIGHT + 12.0,
                y - 6.0
            )?;
            text(svg, (RIGHT + 30.0, y), "start", &series.name)?;
        }
        Ok(())
    }

    fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power)).collect()
        } else {
            let step = step(self.high);
            (0..=(self.high / step).round() as u32).map(|at| f64::from(at) * step).collect()
        }
    }

    fn x(&self, x: u64) -> f64 {
        let place = |x: u64| (x as f64 + self.shift).max(1.0).log10();
        let first = self.xs.first().map_or(0.0, |&x| place(x));
        let span = self.xs.last().map_or(1.0, |&x| place(x)) - first;
        LEFT + (RIGHT - LEFT) * (place(x) - first) / if span > 0.0 { span } else { 1.0 }
    }

    fn y(&self, y: f64) -> f64 {
        let place = if self.is_log { y.max(10_f64.powf(self.low)).log10() } else { y };
        self.top + PANEL * (1.0 - (place - self.low) / (self.high - self.low).max(1e-9))
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) -> fmt::Result {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>")
}

/// A round number that cuts `most` into four to ten parts.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf(most.log10().floor());
    match most / power {
        part if part < 2.0 => power / 5.0,
        part if part < 5.0 => power / 2.0,
        _ => power,
    }
}

fn number(number: f64) -> String {
    match number {
        big if big >= 1000.0 => grouped(big.round() as u64),
        middle if middle >= 10.0 => format!("{middle:.0}"),
        small => format!("{small:.2}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

const WIDTH: f64 = 960.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 80.0;
const PANEL: f64 = 220.0;
const PANEL_STEP: f64 = 290.0;

/// Told apart by most people with any colour vision (Okabe and Ito 2008).
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000"];
