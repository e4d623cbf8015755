//! Series as one picture: SVG that needs nothing beside itself.

use std::fmt::{self, Write};

/// Panels under one another, with lines of text above.
#[derive(Debug, Default)]
pub(crate) struct Chart {
    /// What is shown, and for whom it holds.
    pub(crate) head: Vec<String>,
    /// From top to bottom.
    pub(crate) panels: Vec<Panel>,
}

/// One pair of axes.
#[derive(Debug)]
pub(crate) struct Panel {
    /// What the left axis counts.
    pub(crate) unit: String,
    /// How the lower axis counts.
    pub(crate) across: Scale,
    /// How the left axis counts; none for whichever suits the values.
    pub(crate) up: Option<Scale>,
    /// What is drawn.
    pub(crate) series: Vec<Series>,
}

/// How an axis counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    /// In even steps.
    Even,
    /// In powers of ten, of the value and this much more, so that zero has its place.
    Powers {
        /// What is added.
        shift: f64,
    },
}

/// One line.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// What it shows.
    pub(crate) name: String,
    /// From left to right.
    pub(crate) points: Vec<(f64, f64)>,
    /// Where it should stay below.
    pub(crate) goal: Option<(f64, f64)>,
    /// Is it drawn in dashes, in the colour of the line before it?
    pub(crate) is_twin: bool,
}

impl Chart {
    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let mut svg = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut svg);
        svg
    }

    fn write(&self, svg: &mut String) -> fmt::Result {
        let top = HEAD + HEAD_STEP * self.head.len() as f64;
        let height = top + PANEL_STEP * self.panels.len() as f64;
        writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">"
        )?;
        writeln!(svg, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>")?;
        for (at, line) in self.head.iter().enumerate() {
            text(svg, (LEFT, 22.0 + HEAD_STEP * at as f64), "start", line)?;
        }
        for (at, panel) in self.panels.iter().enumerate() {
            Axes::of(panel, top + PANEL_STEP * at as f64).write(svg, panel)?;
        }
        writeln!(svg, "</svg>")
    }
}

impl Series {
    fn dashes(&self) -> &'static str {
        if self.is_twin { " stroke-dasharray=\"4 3\"" } else { "" }
    }
}

/// Where things lie in a panel.
struct Axes {
    top: f64,
    across: Range,
    up: Range,
}

impl Axes {
    fn of(panel: &Panel, top: f64) -> Self {
        let lines = || panel.series.iter().flat_map(|series| &series.points);
        let mut xs: Vec<f64> = lines().map(|point| point.0).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let ys = lines().chain(panel.series.iter().flat_map(|series| &series.goal));
        let ys: Vec<f64> = ys.map(|point| point.1).collect();
        let up = match panel.up {
            Some(Scale::Even) => Range::even(&ys),
            Some(Scale::Powers { shift }) => Range::powers(&ys, shift),
            None => Range::suitable(&ys),
        };
        Self { top, across: Range::across(panel.across, &xs), up }
    }

    fn write(&self, svg: &mut String, panel: &Panel) -> fmt::Result {
        let bottom = self.top + PANEL;
        for &tick in &self.up.ticks {
            let y = self.y(tick);
            writeln!(svg, "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#ddd\"/>")?;
            text(svg, (LEFT - 6.0, y + 4.0), "end", &number(tick))?;
        }
        for &tick in &self.across.ticks {
            text(svg, (self.x(tick), bottom + 16.0), "middle", &number(tick))?;
        }
        // From the edge, since a long one would else begin outside.
        text(svg, (LEFT - 60.0, self.top - 10.0), "start", &panel.unit)?;
        let mut colours = COLOURS.iter().cycle().peekable();
        let mut colour = COLOURS[0];
        for (at, series) in panel.series.iter().enumerate() {
            if let Some(next) = colours.next_if(|_| !series.is_twin) {
                colour = next;
            }
            self.line(svg, series, colour)?;
            let y = self.top + 14.0 + 18.0 * at as f64;
            let (x, middle) = (RIGHT + 8.0, y - 4.0);
            writeln!(
                svg,
                "<path d=\"M{x} {middle}h16\" stroke=\"{colour}\" stroke-width=\"3\"{}/>",
                series.dashes()
            )?;
            text(svg, (RIGHT + 30.0, y), "start", &series.name)?;
        }
        Ok(())
    }

    fn line(&self, svg: &mut String, series: &Series, colour: &str) -> fmt::Result {
        let points: Vec<String> = series
            .points
            .iter()
            .map(|&(x, y)| format!("{:.1},{:.1}", self.x(x), self.y(y)))
            .collect();
        // One point has no line; its dot is drawn below.
        if points.len() > 1 {
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{}/>",
                points.join(" "),
                series.dashes()
            )?;
        }
        // More of them would hide the line.
        if series.points.len() <= DOTS_MAX {
            for &(x, y) in &series.points {
                writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"><title>{}: \
                     {}</title></circle>",
                    self.x(x),
                    self.y(y),
                    number(x),
                    number(y)
                )?;
            }
        }
        if let Some(goal) = series.goal {
            let (x, y) = (self.x(goal.0), self.y(goal.1));
            let start = x - 12.0;
            writeln!(
                svg,
                "<path d=\"M{start:.1} {y:.1}h24\" stroke=\"{colour}\" stroke-dasharray=\"4 2\"/>"
            )?;
            text(svg, (x + 16.0, y + 4.0), "start", &format!("goal {}", number(goal.1)))?;
        }
        Ok(())
    }

    fn x(&self, x: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * self.across.share(x)
    }

    fn y(&self, y: f64) -> f64 {
        self.top + PANEL * (1.0 - self.up.share(y))
    }
}

/// What an axis spans, and where it is marked.
struct Range {
    scale: Scale,
    /// Ends, as places on the scale.
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Range {
    /// The lower axis: from the first value to the last, marked at each while they are few.
    fn across(scale: Scale, xs: &[f64]) -> Self {
        let mut range = match scale {
            Scale::Even => Self::even(xs),
            Scale::Powers { shift } => Self::powers(xs, shift),
        };
        if xs.len() <= TICKS_MAX {
            range.ticks = xs.to_vec();
            if let (Some(&first), Some(&last), Scale::Powers { .. }) =
                (xs.first(), xs.last(), scale)
            {
                (range.low, range.high) = (place(scale, first), place(scale, last));
            }
        }
        range
    }

    fn suitable(values: &[f64]) -> Self {
        let (least, most) = span(values);
        let most = most.max(1e-3);
        if most > 20.0 * least.max(most / 1e6) {
            Self::powers(values, 0.0)
        } else {
            Self::even(values)
        }
    }

    fn even(values: &[f64]) -> Self {
        let (least, most) = span(values);
        let (least, most) = (least.min(0.0), most.max(least.min(0.0) + 1e-3));
        let step = step(most - least);
        let (low, high) = ((least / step).floor(), (most / step).ceil());
        let ticks = (0..=(high - low) as u32).map(|at| (low + f64::from(at)) * step).collect();
        Self { scale: Scale::Even, low: low * step, high: high * step, ticks }
    }

    fn powers(values: &[f64], shift: f64) -> Self {
        let scale = Scale::Powers { shift };
        let (least, most) = span(values);
        let most = (most + shift).max(1e-3);
        let least = (least + shift).max(most / 1e6);
        let (low, high) = (least.log10().floor(), most.log10().ceil());
        let ticks = (low as i32..=high as i32).map(|power| 10_f64.powi(power)).collect();
        Self { scale, low, high, ticks }
    }

    /// How far along the axis a value lies, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let place = place(self.scale, value).max(self.low);
        let span = self.high - self.low;
        (place - self.low) / if span > 0.0 { span } else { 1.0 }
    }
}

fn place(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Even => value,
        Scale::Powers { shift } => (value + shift).max(1e-9).log10(),
    }
}

/// The least and the greatest; zero of none.
fn span(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().reduce(f64::min).unwrap_or_default();
    (least, values.iter().copied().fold(least, f64::max))
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) -> fmt::Result {
    let words = escaped(words);
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>")
}

/// Text as it may stand in SVG or HTML, between tags and within quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
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

/// 1234567 as 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn number(number: f64) -> String {
    match number {
        big if big >= 1000.0 => grouped(big.round() as u64),
        middle if middle >= 10.0 => format!("{middle:.0}"),
        small => {
            let decimals = if small.abs() < 0.095 { 4 } else { 2 };
            format!("{small:.decimals$}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

const WIDTH: f64 = 960.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 700.0;
const HEAD: f64 = 44.0;
const HEAD_STEP: f64 = 18.0;
const PANEL: f64 = 220.0;
const PANEL_STEP: f64 = 290.0;

/// Marks on the lower axis while they can be read beside one another.
const TICKS_MAX: usize = 10;
const DOTS_MAX: usize = 40;

/// Told apart by most people with any colour vision (Okabe and Ito 2008).
const COLOURS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000", "#e69f00", "#56b4e9"];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A name comes from a file that somebody sent.
    #[test]
    fn nothing_in_a_name_becomes_markup() {
        let series = Series { name: "<script>alert('x')</script>".into(), ..Series::default() };
        let panel =
            Panel { unit: "\"&".into(), across: Scale::Even, up: None, series: vec![series] };
        let svg = Chart { head: vec!["a < b".into()], panels: vec![panel] }.svg();
        assert!(
            !svg.contains("<script") && svg.contains("&quot;&amp;") && svg.contains("a &lt; b")
        );
    }

    proptest! {
        /// No values, equal ones, none but zero: every point must still lie within its axes.
        #[test]
        fn every_point_lies_within_the_axes(
            points in prop::collection::vec((0.0..1e9_f64, -20.0..1e12_f64), 0..30),
            is_even: bool,
        ) {
            let across = if is_even { Scale::Even } else { Scale::Powers { shift: 1.0 } };
            let series = Series { points: points.clone(), ..Series::default() };
            let panel = Panel { unit: String::new(), across, up: None, series: vec![series] };
            let axes = Axes::of(&panel, 0.0);
            for &(x, y) in &points {
                let (x, y) = (axes.x(x), axes.y(y));
                prop_assert!((LEFT - 0.1..=RIGHT + 0.1).contains(&x), "{x}");
                prop_assert!((-0.1..=PANEL + 0.1).contains(&y), "{y}");
            }
            let svg = Chart { head: Vec::new(), panels: vec![panel] }.svg();
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }
}
