//! Reports for people.

use std::fmt;

use super::labels::Expected;
use super::report::{Detection, FalseAlert, Incident, Outcome, Report, RuleReport, Tally, Verdict};
use crate::alert::bytes_text as bytes;
use crate::plot::grouped;
use crate::sink::printable;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, alone, budget, threshold_bits, .. } = self;
        let day =
            |time: &Option<crate::time::Timestamp>| time.map_or("-".into(), |t| t.to_string());
        writeln!(
            f,
            "{}: {} packets, {} flows, {} to {}; days of {}",
            if input.set.is_empty() { "captures".into() } else { printable(&input.set) },
            grouped(input.packets),
            grouped(input.flows),
            day(&input.first),
            day(&input.last),
            input.timezone,
        )?;
        writeln!(
            f,
            "{} incidents to find, {} look-alikes; budget {budget} a day, pages from {threshold_bits} bits",
            alone.incidents, alone.lookalikes,
        )?;
        if !self.not_in_captures.is_empty() {
            let names: Vec<String> =
                self.not_in_captures.iter().map(|name| printable(name)).collect();
            writeln!(f, "not in these captures: {}", names.join(", "))?;
        }
        self.write_incidents(f)?;
        self.write_tallies(f)?;
        self.write_rules(f)?;
        write_false_alerts(f, &self.false_alerts)
    }
}

impl Report {
    fn write_incidents(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .incidents
            .iter()
            .map(|label| printable(&label.id).chars().count())
            .max()
            .unwrap_or(0);
        writeln!(f, "\nEach incident alone")?;
        writeln!(
            f,
            "{:<width$} {:<9} {:>8} {:>8} {:>8} {:>6} {:<8} {:>5} {:>8} {:>9}  together",
            "", "", "after", "left", "of", "share", "severity", "bits", "counted", "rank"
        )?;
        for label in &self.incidents {
            write!(f, "{:<width$} ", printable(&label.id))?;
            write_incident(f, label)?;
        }
        Ok(())
    }

    fn write_tallies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:>32} {TALLY_HEAD}", "budget (alerts a day), bits")?;
        for point in &self.curve {
            let mark = if point.budget == self.budget { "*" } else { " " };
            let name =
                format!("{mark} {:>6}  {:>5}", point.budget, point.threshold_bits.to_string());
            write_tally(f, &format!("{name}  alone   "), &point.alone)?;
            write_tally(f, "together", &point.together)?;
        }
        for (way, tally) in [("alone", &self.alone), ("together", &self.together)] {
            let days: Vec<String> =
                tally.on_other_days.iter().map(|on| format!("{} {}", on.day, on.alerts)).collect();
            if !days.is_empty() {
                writeln!(f, "on other days ({way}): {}", days.join(", "))?;
            }
        }
        Ok(())
    }

    fn write_rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:>32} {TALLY_HEAD}", "fixed rules, each alone")?;
        for RuleReport { rule, decides, alone, flagged, .. } in &self.rules {
            write_tally(f, rule, alone)?;
            let found: Vec<String> = flagged.iter().map(|one| flag(&one.id, one.verdict)).collect();
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
            writeln!(f, "{:>32} {decides}: {found}", "")?;
        }
        Ok(())
    }
}

fn flag(id: &str, verdict: Verdict) -> String {
    match verdict {
        Verdict::Found => printable(id),
        other => format!("{} ({})", printable(id), other.word()),
    }
}

fn write_incident(f: &mut fmt::Formatter<'_>, label: &Incident) -> fmt::Result {
    let Outcome { verdict, detection, destinations_named, rank } = &label.alone;
    write!(f, "{:<9} ", verdict.word())?;
    match detection {
        Some(Detection {
            secs, bytes_left, share_left, severity, score_bits, bytes_out, ..
        }) => {
            write!(
                f,
                "{:>8} {:>8} {:>8} {:>5.1}% {:<8} {:>5} {:>8}",
                seconds(*secs),
                bytes(*bytes_left),
                bytes(label.bytes_sent),
                share_left * 100.0,
                format!("{severity:?}").to_lowercase(),
                score_bits.map_or("-".to_owned(), |bits| bits.to_string()),
                bytes(*bytes_out),
            )?;
        }
        None => {
            write!(
                f,
                "{:>8} {:>8} {:>8} {:>6} {:<8} ",
                "-",
                "-",
                bytes(label.bytes_sent),
                "-",
                "-"
            )?;
            let best = label.timeline.iter().map(|moment| moment.score_bits).max();
            write!(f, "{:>5} {:>8}", best.map_or("-".to_owned(), |bits| bits.to_string()), "-")?;
        }
    }
    let place = rank.map_or("-".to_owned(), |rank| format!("{} of {}", rank.rank, rank.of));
    write!(f, " {place:>9}  ")?;
    let named = (*destinations_named > 0 && label.destinations > 1)
        .then(|| format!(" ({destinations_named} of {} destinations)", label.destinations));
    writeln!(f, "{}{}", label.together.verdict.word(), named.unwrap_or_default())
}

const TALLY_HEAD: &str =
    "    found   share  median: after, left, share  look-alikes  false alerts  per 1,000 host-days";

fn write_tally(f: &mut fmt::Formatter<'_>, name: &str, tally: &Tally) -> fmt::Result {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    writeln!(
        f,
        "{name:>32} {:>9} {:>7} {:>14} {:>7} {:>6} {:>11} {:>13} {:>21}",
        format!("{} of {}", tally.found, tally.incidents),
        or_none(tally.recall.map(|recall| format!("{:.0}%", recall * 100.0))),
        or_none(tally.median_secs.map(seconds)),
        or_none(tally.median_bytes_left.map(|left| bytes(left as u64))),
        or_none(tally.median_share_left.map(|share| format!("{:.1}%", share * 100.0))),
        format!("{} of {}", tally.lookalikes_paged, tally.lookalikes),
        tally.false_alerts,
        or_none(
            tally.false_per_1000_host_days.map(|rate| format!("{rate:.1} ({})", tally.host_days))
        ),
    )
}

fn write_false_alerts(f: &mut fmt::Formatter<'_>, alerts: &[FalseAlert]) -> fmt::Result {
    if alerts.is_empty() {
        return writeln!(f, "\nno false alert");
    }
    writeln!(f, "\nFalse alerts, each incident alone")?;
    for alert in alerts.iter().take(FALSE_ALERTS_SHOWN) {
        let to = match &alert.destinations[..] {
            [only] => only.to_string(),
            many => format!("{} destinations", many.len()),
        };
        writeln!(
            f,
            "{} {} to {to}, {}, {:?}, {} bits{}",
            alert.time,
            alert.host,
            bytes(alert.bytes_out),
            alert.severity,
            alert.score_bits.map_or("-".to_owned(), |bits| bits.to_string()),
            alert.about.as_ref().map_or(String::new(), |id| format!(": {}", printable(id))),
        )?;
    }
    if alerts.len() > FALSE_ALERTS_SHOWN {
        writeln!(f, "and {} more", alerts.len() - FALSE_ALERTS_SHOWN)?;
    }
    Ok(())
}

const FALSE_ALERTS_SHOWN: usize = 20;

/// A time after the first byte, short enough for a column.
pub(super) fn seconds(secs: f64) -> String {
    match secs {
        short if short < 120.0 => format!("{short:.1} s"),
        middle if middle < 7200.0 => format!("{:.0} min", middle / 60.0),
        long if long < 172_800.0 => format!("{:.1} h", long / 3600.0),
        days => format!("{:.1} days", days / 86_400.0),
    }
}

impl Verdict {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Partial => "partial",
            Self::Late => "late",
            Self::Mentioned => "mentioned",
            Self::Missed => "MISSED",
            Self::Paged => "PAGED",
            Self::Silent => "silent",
        }
    }
}

impl Expected {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Low => "low",
            Self::NoAlert => "no alert",
        }
    }
}
