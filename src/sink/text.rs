//! For people: the run in a paragraph, the incidents with their why, who looks worst.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Sink, printable};
use crate::alert::{
    Alert, ClosedBecause, HostFacts, RankingEntry, Record, Severity, Silenced, Summary, bytes_text,
    duration_text,
};
use crate::net::Addr;
use crate::rules::Silence;

/// Gathers what a run tells and writes it at the end, the worst first.
#[derive(Debug)]
pub struct Text<W> {
    to: W,
    /// The latest alert of each incident.
    incidents: BTreeMap<String, Alert>,
    /// Each host's best day.
    best: BTreeMap<(Addr, Option<String>), RankingEntry>,
}

impl<W: Write> Text<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Self {
        Self { to, incidents: BTreeMap::new(), best: BTreeMap::new() }
    }

    fn report(&mut self, summary: &Summary) -> io::Result<()> {
        overview(&mut self.to, summary)?;
        let mut incidents: Vec<&Alert> = self.incidents.values().collect();
        incidents.sort_by(|a, b| {
            (b.severity, b.score_bits, b.bytes_out)
                .cmp(&(a.severity, a.score_bits, a.bytes_out))
                .then(a.incident.cmp(&b.incident))
        });
        let (paging, low): (Vec<&Alert>, Vec<&Alert>) =
            incidents.into_iter().partition(|alert| alert.pages());
        let to = &mut self.to;
        writeln!(to)?;
        match paging.len() {
            0 => writeln!(to, "No incidents (one pages from {} bits).", summary.threshold_bits)?,
            1 => writeln!(to, "1 incident:")?,
            count => writeln!(to, "{count} incidents:")?,
        }
        for alert in paging {
            writeln!(to)?;
            incident(to, alert)?;
        }
        if !low.is_empty() {
            writeln!(to, "\nBelow the bar, pages nobody:")?;
        }
        for alert in low {
            let why = alert.silenced.as_ref().map_or_else(String::new, because);
            writeln!(to, "  {:>5} bits  {}{why}", alert.score_bits, alert.summary)?;
        }
        senders(&mut self.to, summary)?;
        self.worst()?;
        silenced(&mut self.to, summary)
    }

    fn worst(&mut self) -> io::Result<()> {
        let mut entries: Vec<&RankingEntry> = self.best.values().collect();
        entries.sort_by(|a, b| {
            (b.score_bits, b.bytes_out).cmp(&(a.score_bits, a.bytes_out)).then(a.host.cmp(&b.host))
        });
        if entries.is_empty() {
            return Ok(());
        }
        writeln!(self.to, "\nWho looks worst:")?;
        for entry in entries.into_iter().take(WORST_SHOWN) {
            writeln!(
                self.to,
                "  {:>5} bits  {:<24} {}  {:>8} to {}{}{}",
                entry.score_bits.to_string(),
                entry.host.to_string(),
                entry.day,
                bytes_text(entry.bytes_out),
                entry.destination,
                if entry.alerted { "  (incident)" } else { "" },
                entry.silenced.as_ref().map_or_else(String::new, because),
            )?;
        }
        Ok(())
    }
}

impl<W: Write> Sink for Text<W> {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        match record {
            Record::Alert(alert) => {
                self.incidents.insert(alert.incident.clone(), (**alert).clone());
            }
            Record::Silenced(_) => {}
            Record::Ranking(entry) => {
                let host = (entry.host, entry.mac.clone());
                let best = self.best.entry(host).or_insert_with(|| (**entry).clone());
                if entry.score_bits > best.score_bits {
                    *best = (**entry).clone();
                }
            }
            Record::Summary(summary) => self.report(summary)?,
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The run as a whole.
pub(super) fn overview(to: &mut impl Write, summary: &Summary) -> io::Result<()> {
    match summary.files {
        0 => {}
        1 => write!(to, "1 file, ")?,
        files => write!(to, "{files} files, ")?,
    }
    write!(to, "{} packets", summary.packets)?;
    if let (Some(first), Some(last)) = (summary.first, summary.last) {
        write!(to, ", {first} to {last} ({})", duration_text(last.since(first)))?;
    }
    writeln!(
        to,
        "\n{} on the wire; days are {}'s",
        bytes_text(summary.bytes_wire),
        summary.timezone
    )?;
    writeln!(
        to,
        "{} inside {} sent {} outside and received {}; {} stayed inside, {} was between strangers",
        summary.hosts,
        if summary.hosts == 1 { "host" } else { "hosts" },
        bytes_text(summary.bytes_out),
        bytes_text(summary.bytes_in),
        bytes_text(summary.bytes_inside),
        bytes_text(summary.bytes_outside),
    )?;
    if summary.bytes_relayed > 0 {
        let relayed = bytes_text(summary.bytes_relayed);
        writeln!(to, "{relayed} went through proxies inside for those who asked them")?;
    }
    let rejected: u64 = summary.rejected.values().sum();
    if rejected > 0 {
        let mut reasons: Vec<(&String, &u64)> = summary.rejected.iter().collect();
        reasons.sort_by_key(|&(reason, count)| (std::cmp::Reverse(count), reason));
        let reasons: Vec<String> =
            reasons.into_iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        writeln!(to, "{rejected} packets carry no flow: {}", reasons.join(", "))?;
    }
    for (count, what) in [
        (summary.packets_filtered, "packets left out by the filter"),
        (summary.packets_dropped, "packets lost by the capture itself"),
        (summary.duplicates, "packets delivered twice by the mirror, counted once"),
        (summary.tcp_rejected, "TCP segments refused as impossible"),
        (summary.flows_evicted, "flows ended early for want of room; their bytes are counted"),
        (summary.hosts_evicted, "hosts forgotten for want of room"),
        (summary.pairs_evicted, "destinations forgotten for want of room"),
        (summary.clock_turned_back, "times the recording's clock was set back"),
    ] {
        if count > 0 {
            writeln!(to, "{count} {what}")?;
        }
    }
    for (share, what) in [
        (summary.health.lost, "of the bytes sent were acknowledged but not captured"),
        (summary.health.one_sided, "of the flows with payload were seen in one direction only"),
    ] {
        if let Some(share) = share.filter(|share| *share >= WORTH_SAYING) {
            writeln!(to, "{:.1} % {what}", share * 100.0)?;
        }
    }
    for warning in &summary.warnings {
        writeln!(to, "warning: {}", printable(warning))?;
    }
    if summary.hosts == 0 && summary.alerts == 0 && summary.packets_decoded > 0 {
        writeln!(
            to,
            "No inside host found: nothing crossed the border of {}. Say what is inside with \
             --internal CIDR,...",
            summary.internal.join(", ")
        )?;
    }
    Ok(())
}

/// Who sent most.
pub(super) fn senders(to: &mut impl Write, summary: &Summary) -> io::Result<()> {
    if summary.top_senders.is_empty() {
        return Ok(());
    }
    writeln!(to, "\nTop senders:")?;
    for sender in &summary.top_senders {
        writeln!(
            to,
            "  {:<24} {:>8} out {:>8} in   most to {} ({} in a day)",
            sender.host.to_string(),
            bytes_text(sender.bytes_out),
            bytes_text(sender.bytes_in),
            sender.destination.as_deref().unwrap_or("nobody"),
            bytes_text(sender.destination_bytes),
        )?;
    }
    Ok(())
}

/// What rules kept from being told, so that nobody forgets that they do.
pub(super) fn silenced(to: &mut impl Write, summary: &Summary) -> io::Result<()> {
    if summary.silenced.is_empty() {
        return Ok(());
    }
    writeln!(to, "\nSilenced by rules:")?;
    for Silenced { by, rule, incidents, bytes, .. } in &summary.silenced {
        let (by, bytes, incidents) = (by.name(), bytes_text(*bytes), counted(*incidents));
        writeln!(to, "  {by:<12} {}  {incidents}, {bytes}", printable(rule))?;
    }
    Ok(())
}

pub(super) fn counted(incidents: u64) -> String {
    match incidents {
        1 => "1 incident".to_owned(),
        _ => format!("{incidents} incidents"),
    }
}

/// The rule that silences something.
fn because(silence: &Silence) -> String {
    format!("  ({}: {})", silence.by.name(), printable(&silence.rule))
}

fn rate(bps: u64) -> String {
    match bps {
        0..1_000_000 => format!("{} kbit/s", (bps + 500) / 1000),
        _ => format!("{} Mbit/s", (bps + 500_000) / 1_000_000),
    }
}

/// One incident with its why.
pub(super) fn incident(to: &mut impl Write, alert: &Alert) -> io::Result<()> {
    let severity = match alert.severity {
        Severity::Low => "LOW",
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
        Severity::Critical => "CRITICAL",
    };
    writeln!(to, "{severity:<9}{}", alert.summary)?;
    let ports: Vec<String> = alert.destination.ports.iter().map(u16::to_string).collect();
    writeln!(
        to,
        "         {}{}{} · {} · started {} · incident {}",
        alert.destination.transport.as_deref().unwrap_or("?"),
        if ports.is_empty() { String::new() } else { format!(" {}", ports.join(",")) },
        alert
            .destination
            .service
            .map_or_else(String::new, |service| format!(" {}", service.name())),
        rate(alert.rate_bps),
        alert.started,
        alert.incident,
    )?;
    machine(to, &alert.host)?;
    if let Some(Silence { by, rule, until, .. }) = &alert.silenced {
        let (by, rule) = (by.name(), printable(rule));
        writeln!(to, "         pages nobody: {by} {rule} until {until}")?;
    }
    let raised =
        alert.revisions.iter().find(|revision| revision.bytes_out >= alert.left_when_raised);
    let share = alert.left_when_raised as f64 / alert.bytes_out.max(1) as f64 * 100.0;
    writeln!(
        to,
        "         raised {} when {} had left ({share:.1} %){}",
        raised.map_or_else(|| alert.time.to_string(), |revision| revision.time.to_string()),
        bytes_text(alert.left_when_raised),
        match alert.reason {
            Some(ClosedBecause::Quiet) => "; over",
            Some(ClosedBecause::Eof | ClosedBecause::Stopped) => "; running when the input ended",
            None => "; still running",
        },
    )?;
    writeln!(to, "         {} bits; pages from {}:", alert.score_bits, alert.threshold_bits)?;
    for why in &alert.why {
        writeln!(to, "         {:>6}  {}: {}", signed(why.bits.to_f64()), why.term, why.text)?;
    }
    let without: Vec<String> = alert
        .counterfactual
        .bits_without
        .iter()
        .map(|(term, bits)| format!("{bits} bits without {term}"))
        .collect();
    writeln!(
        to,
        "         quiet below {}{}",
        bytes_text(alert.counterfactual.no_alert_below_bytes),
        without.iter().fold(String::new(), |text, part| text + "; " + part),
    )?;
    writeln!(to, "         evidence: {}", alert.pivot.bpf)?;
    if let Some(file) = &alert.evidence {
        writeln!(to, "         packets: {}", printable(file))?;
    }
    let health = [
        (alert.health.dropped, "of all packets were lost before they were captured"),
        (alert.health.lost, "of the bytes were acknowledged but not captured"),
        (alert.health.duplicates, "of the packets came twice and were counted once"),
        (alert.health.one_sided, "of it was seen in one direction only"),
        (alert.health.shed, "of all packets were passed over, and others counted for them"),
        (alert.health.evidence_lost, "of the packets of incidents could not be kept"),
    ];
    for (share, what) in health {
        if let Some(share) = share.filter(|share| *share >= WORTH_SAYING) {
            writeln!(to, "         capture: {:.1} % {what}", share * 100.0)?;
        }
    }
    Ok(())
}

/// Which machine the host is, where that is known.
fn machine(to: &mut impl Write, host: &HostFacts) -> io::Result<()> {
    if host.disputed {
        writeln!(to, "         machine not sure: others claim {} too", host.ip)?;
    }
    let Some(mac) = &host.mac else { return Ok(()) };
    let others: Vec<String> = host.ips.iter().skip(1).map(Addr::to_string).collect();
    writeln!(
        to,
        "         machine {mac}{}{}",
        host.name.as_deref().map_or_else(String::new, |name| format!(" ({name})")),
        if others.is_empty() { String::new() } else { format!(", also {}", others.join(", ")) },
    )
}

fn signed(bits: f64) -> String {
    format!("{bits:+.1}")
}

/// Shares below this are the ordinary untidiness of a capture.
const WORTH_SAYING: f64 = 0.001;

/// Hosts shown in the ranking; the JSON has all.
const WORST_SHOWN: usize = 10;
