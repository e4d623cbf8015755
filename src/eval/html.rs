//! The report as one page that needs nothing beside itself.

use std::fmt::{self, Write};

use super::labels::Expected;
use super::report::{Incident, Report, Tally, Verdict};
use super::text::seconds;
use super::timeline::Moment;
use crate::alert::bytes_text as bytes;
use crate::plot::{Chart, Panel, Scale, Series, escaped, grouped};
use crate::sink::printable;

/// A page that is written piece by piece.
pub(super) fn page(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut page);
    page
}

impl Report {
    /// The report as an HTML page with plots.
    pub fn html(&self) -> String {
        page(|page| self.write_html(page))
    }

    fn write_html(&self, page: &mut String) -> fmt::Result {
        let set = shown(&self.input.set);
        writeln!(page, "{HEAD}<title>Sekisho evaluation {set}</title>\n<h1>Evaluation {set}</h1>")?;
        writeln!(
            page,
            "<p>{} packets, {} flows, {} to {}; days of {}. Budget {} a day, pages from {} bits; sekisho {}.</p>",
            grouped(self.input.packets),
            grouped(self.input.flows),
            self.input.first.map_or_else(String::new, |first| first.to_string()),
            self.input.last.map_or_else(String::new, |last| last.to_string()),
            shown(&self.input.timezone),
            self.budget,
            self.threshold_bits,
            self.version,
        )?;
        if !self.not_in_captures.is_empty() {
            writeln!(
                page,
                "<p>Not in these captures: {}.</p>",
                shown(&self.not_in_captures.join(", "))
            )?;
        }
        self.put_curve(page)?;
        self.put_early(page)?;
        self.put_incidents(page)?;
        self.put_rules(page)?;
        self.put_false_alerts(page)?;
        self.put_missed(page)?;
        writeln!(page, "</html>")
    }

    fn put_curve(&self, page: &mut String) -> fmt::Result {
        writeln!(page, "<h2>Found, and cried wolf, over the budget</h2>")?;
        let series = |name: &str, value: &dyn Fn(&super::report::Point) -> Option<f64>| Series {
            name: name.to_owned(),
            points: self
                .curve
                .iter()
                .filter_map(|point| Some((point.budget, value(point)?)))
                .collect(),
            ..Series::default()
        };
        let percent = |share: Option<f64>| share.map(|share| share * 100.0);
        let panel = |unit: &str, series| Panel {
            unit: unit.to_owned(),
            across: Scale::Powers { shift: 0.0 },
            up: Some(Scale::Even),
            series,
        };
        let found = vec![
            series("each alone", &|point| percent(point.alone.recall)),
            series("all together", &|point| percent(point.together.recall)),
        ];
        let wrong = vec![
            series("each alone", &|point| point.alone.false_per_1000_host_days),
            series("all together", &|point| point.together.false_per_1000_host_days),
        ];
        let panels =
            vec![panel("found, %", found), panel("false alerts per 1,000 host-days", wrong)];
        let head = vec!["Over the budget, in alerts a day".to_owned()];
        page.push_str(&Chart { head, panels }.svg());
        writeln!(page, "<table><tr><th>budget<th>bits<th>{TALLY_HEAD}")?;
        for point in &self.curve {
            for (way, tally) in [("alone", &point.alone), ("together", &point.together)] {
                write!(page, "<tr><td>{}<td>{}<td>{way}", point.budget, point.threshold_bits)?;
                write_tally(page, tally)?;
            }
        }
        writeln!(page, "</table>")?;
        for (way, tally) in [("each alone", &self.alone), ("all together", &self.together)] {
            let days: Vec<String> =
                tally.on_other_days.iter().map(|on| format!("{}: {}", on.day, on.alerts)).collect();
            if !days.is_empty() {
                writeln!(page, "<p>Alerts on days of learning, {way}: {}.</p>", days.join("; "))?;
            }
        }
        Ok(())
    }

    /// How many were found before which share had left, beside the fixed rules.
    fn put_early(&self, page: &mut String) -> fmt::Result {
        writeln!(page, "<h2>What had left before the alert</h2>")?;
        let own = self.incidents.iter().map(|incident| &incident.alone);
        let own = own.filter(|outcome| outcome.verdict == Verdict::Found);
        let own: Vec<(f64, u64)> = own
            .filter_map(|outcome| outcome.detection.as_ref())
            .map(|detection| (detection.share_left, detection.bytes_left))
            .collect();
        let mut all = vec![("sekisho".to_owned(), own)];
        for rule in &self.rules {
            let found = rule.flagged.iter().filter(|flagged| flagged.verdict == Verdict::Found);
            let found = found.filter_map(|flagged| flagged.detection.as_ref());
            let found: Vec<(f64, u64)> =
                found.map(|detection| (detection.share_left, detection.bytes_left)).collect();
            if !found.is_empty() {
                all.push((rule.rule.to_owned(), found));
            }
        }
        let of = self.alone.incidents.max(1) as f64;
        let lines = |value: &dyn Fn(&(f64, u64)) -> f64| -> Vec<Series> {
            let line = |(name, found): &(String, Vec<(f64, u64)>)| Series {
                name: name.clone(),
                points: cumulated(found.iter().map(value).collect(), of),
                ..Series::default()
            };
            all.iter().map(line).collect()
        };
        let panels = vec![
            Panel {
                unit: "found, %".to_owned(),
                across: Scale::Even,
                up: Some(Scale::Even),
                series: lines(&|(share, _)| share * 100.0),
            },
            Panel {
                unit: "found, %".to_owned(),
                across: Scale::Powers { shift: 0.0 },
                up: Some(Scale::Even),
                series: lines(&|&(_, bytes)| bytes as f64 / 1e6),
            },
        ];
        let head =
            vec!["Found before this share (%), and before this many MB, had left".to_owned()];
        page.push_str(&Chart { head, panels }.svg());
        Ok(())
    }

    fn put_incidents(&self, page: &mut String) -> fmt::Result {
        writeln!(
            page,
            "<h2>Each incident</h2><table><tr><th>incident<th>what<th>expected<th>alone<th>together\
             <th>after<th>left<th>sent<th>share<th>severity<th>bits<th>counted<th>by the label<th>rank"
        )?;
        for incident in &self.incidents {
            write_incident(page, incident)?;
        }
        writeln!(page, "</table>")
    }

    fn put_rules(&self, page: &mut String) -> fmt::Result {
        writeln!(
            page,
            "<h2>Fixed rules on the same traffic</h2><table><tr><th>rule<th>decides<th>{TALLY_HEAD}"
        )?;
        for rule in &self.rules {
            for (way, tally) in [("alone", &rule.alone), ("together", &rule.together)] {
                let (name, decides) = (shown(rule.rule), shown(rule.decides));
                write!(page, "<tr><td>{name}<td>{decides}<td>{way}")?;
                write_tally(page, tally)?;
            }
        }
        writeln!(page, "</table>")
    }

    fn put_false_alerts(&self, page: &mut String) -> fmt::Result {
        for (way, alerts) in
            [("each alone", &self.false_alerts), ("all together", &self.false_alerts_together)]
        {
            writeln!(
                page,
                "<h2>False alerts, {way}: {}</h2><table><tr><th>time<th>host<th>destination\
                 <th>bytes<th>bits<th>about",
                alerts.len()
            )?;
            for alert in alerts.iter().take(FALSE_ALERTS_SHOWN) {
                let to: Vec<String> =
                    alert.destinations.iter().take(3).map(ToString::to_string).collect();
                let more = if alert.destinations.len() > 3 { " …" } else { "" };
                writeln!(
                    page,
                    "<tr><td>{}<td>{}<td>{}{more}<td>{}<td>{}<td>{}",
                    alert.time,
                    alert.host,
                    to.join(" "),
                    bytes(alert.bytes_out),
                    alert.score_bits.map_or_else(String::new, |bits| bits.to_string()),
                    alert.about.as_ref().map_or_else(String::new, |id| shown(id)),
                )?;
            }
            writeln!(page, "</table>")?;
        }
        Ok(())
    }

    fn put_missed(&self, page: &mut String) -> fmt::Result {
        for incident in &self.incidents {
            if incident.expected != Expected::Alert || incident.alone.verdict == Verdict::Found {
                continue;
            }
            writeln!(
                page,
                "<h2>{}, {}</h2><p>{}</p>",
                shown(&incident.id),
                incident.alone.verdict.word().to_lowercase(),
                shown(&incident.title)
            )?;
            if incident.timeline.is_empty() {
                writeln!(page, "<p>It sent nothing that is judged.</p>")?;
                continue;
            }
            page.push_str(&timeline(&incident.timeline).svg());
            let is_open = incident.timeline.iter().any(|moment| moment.passes_gate);
            if !is_open {
                writeln!(
                    page,
                    "<p>Too little volume evidence, or too few bytes in a day, for any alert.</p>"
                )?;
            }
        }
        Ok(())
    }
}

/// The score over time, what it is made of, and what had left.
fn timeline(moments: &[Moment]) -> Chart {
    let is_long = moments.last().is_some_and(|last| last.secs > DAY_SECS);
    let (across, unit, unit_secs) = if is_long {
        (Scale::Even, "Days", DAY_SECS)
    } else {
        (Scale::Powers { shift: 1.0 }, "Seconds", 1.0)
    };
    let line = |name: &str, value: &dyn Fn(&Moment) -> Option<f64>| Series {
        name: name.to_owned(),
        points: moments
            .iter()
            .filter_map(|moment| Some((moment.secs / unit_secs, value(moment)?)))
            .collect(),
        ..Series::default()
    };
    let mut series = vec![
        line("score", &|moment| Some(moment.score_bits.to_f64())),
        line("pages from", &|moment| Some(moment.threshold_bits.to_f64())),
    ];
    let mut terms: Vec<&'static str> = Vec::new();
    for term in moments.iter().flat_map(|moment| &moment.terms) {
        if !terms.contains(&term.term) {
            terms.push(term.term);
        }
    }
    for name in terms {
        series.push(line(name, &|moment| {
            let term = moment.terms.iter().find(|term| term.term == name)?;
            Some(term.bits.to_f64())
        }));
    }
    let left = line("left so far", &|moment| Some(moment.bytes_left as f64 / 1e6));
    let panel = |unit: &str, up, series| Panel { unit: unit.to_owned(), across, up, series };
    Chart {
        head: vec![format!("{unit} from the first byte")],
        panels: vec![panel("bits", Some(Scale::Even), series), panel("MB", None, vec![left])],
    }
}

/// Steps up by one part in `of`, in percent, at each of the values.
fn cumulated(mut values: Vec<f64>, of: f64) -> Vec<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let mut points = Vec::new();
    for (at, &value) in values.iter().enumerate() {
        points.push((value, at as f64 / of * 100.0));
        points.push((value, (at + 1) as f64 / of * 100.0));
    }
    points
}

fn write_incident(page: &mut String, incident: &Incident) -> fmt::Result {
    let Incident { id, title, expected, alone, together, .. } = incident;
    let class = match alone.verdict {
        Verdict::Found | Verdict::Silent => "good",
        Verdict::Missed | Verdict::Paged => "bad",
        Verdict::Partial | Verdict::Late | Verdict::Mentioned => "half",
    };
    write!(
        page,
        "<tr><td>{}<td>{}<td>{}<td class=\"{class}\">{}<td>{}",
        shown(id),
        shown(title),
        expected.word(),
        alone.verdict.word(),
        together.verdict.word()
    )?;
    match &alone.detection {
        Some(detection) => write!(
            page,
            "<td>{}<td>{}<td>{}<td>{:.1} %<td>{:?}<td>{}<td>{}",
            seconds(detection.secs),
            bytes(detection.bytes_left),
            bytes(incident.bytes_sent),
            detection.share_left * 100.0,
            detection.severity,
            detection.score_bits.map_or_else(String::new, |bits| bits.to_string()),
            bytes(detection.bytes_out),
        )?,
        None => write!(page, "<td><td><td>{}<td><td><td><td>", bytes(incident.bytes_sent))?,
    }
    writeln!(
        page,
        "<td>{}<td>{}",
        incident.bytes_label.map_or_else(String::new, bytes),
        alone.rank.map_or_else(String::new, |rank| format!("{} of {}", rank.rank, rank.of))
    )
}

const TALLY_HEAD: &str = "incidents<th>found<th>%<th>partial<th>late<th>median after<th>median left<th>median share\
     <th>look-alikes paged<th>false alerts<th>per 1,000 host-days";

fn write_tally(page: &mut String, tally: &Tally) -> fmt::Result {
    let or_none = |text: Option<String>| text.unwrap_or_default();
    writeln!(
        page,
        "<td>{} of {}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{} of {}<td>{}<td>{}",
        tally.found,
        tally.incidents,
        or_none(tally.recall.map(|recall| format!("{:.0}", recall * 100.0))),
        tally.partial,
        tally.late,
        or_none(tally.median_secs.map(seconds)),
        or_none(tally.median_bytes_left.map(|left| bytes(left as u64))),
        or_none(tally.median_share_left.map(|share| format!("{:.1} %", share * 100.0))),
        tally.lookalikes_paged,
        tally.lookalikes,
        tally.false_alerts,
        or_none(tally.false_per_1000_host_days.map(|rate| format!("{rate:.1}"))),
    )
}

/// Text from a file, as it may stand in the page.
pub(super) fn shown(text: &str) -> String {
    escaped(&printable(text))
}

const FALSE_ALERTS_SHOWN: usize = 200;
const DAY_SECS: f64 = 86_400.0;

pub(super) const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
<style>body{font:14px/1.4 sans-serif;max-width:75em;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;margin:1em 0}td,th{border-bottom:1px solid #ddd;padding:.2em .6em;text-align:left;\
vertical-align:top}svg{max-width:60em}.good{color:#006b4f}.bad{color:#b03a00;font-weight:bold}.half{color:#8a6d00}\
</style>\n";
