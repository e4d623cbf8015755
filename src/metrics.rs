//! How a sensor stands, in the text format of Prometheus (0.0.4). Holds nothing: every number is told.

use std::fmt::{Display, Write};
use std::time::Duration;

use crate::alert::Summary;
use crate::capture::live::PortStanding;
use crate::engine::Delays;
use crate::time::Timestamp;

/// All that a page tells.
#[derive(Debug, Clone, Copy)]
pub struct Figures<'a> {
    /// What was counted so far; its heaviest senders and what was silenced are not told.
    pub summary: &'a Summary,
    /// How long verdicts took.
    pub delays: &'a Delays,
    /// The interfaces.
    pub ports: &'a [PortStanding<'a>],
    /// The tables that may fill.
    pub tables: &'a [Table],
    /// Incidents that are open.
    pub open_incidents: usize,
    /// Bytes of what is to be told or kept and is not yet, about.
    pub untold_bytes: u64,
    /// Rules, as read last.
    pub rules: Attempt,
    /// What was learned, as written last, where it is.
    pub state: Option<Attempt>,
    /// What the program takes of the machine, where that can be seen.
    pub process: Option<Process>,
}

/// How full a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// What it holds.
    pub name: &'static str,
    /// How many.
    pub entries: usize,
    /// How many at most.
    pub max: usize,
}

/// Something that is done again and again, and may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Did it succeed the last time?
    pub is_good: bool,
    /// When it last did; the epoch for never.
    pub last_good: Timestamp,
}

impl Attempt {
    /// One that succeeded.
    pub const fn good(at: Timestamp) -> Self {
        Self { is_good: true, last_good: at }
    }

    /// Notes the next one.
    pub fn note(&mut self, at: Timestamp, is_good: bool) {
        let last_good = if is_good { at } else { self.last_good };
        *self = Self { is_good, last_good };
    }
}

/// What the program takes of the machine.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Process {
    /// Memory that is resident, in bytes.
    pub resident_bytes: u64,
    /// CPU time of all threads, in seconds.
    pub cpu_seconds: f64,
}

/// The page.
pub fn page(figures: &Figures<'_>) -> String {
    let mut page = Page(String::with_capacity(8 << 10));
    let Figures { summary, .. } = figures;
    page.family("sekisho_build_info", "gauge", "The version that runs; always 1.");
    page.sample("sekisho_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    packets(&mut page, figures);
    page.family("sekisho_traffic_bytes_total", "counter", "Payload counted, by where it went.");
    for (direction, bytes) in [
        ("out", summary.bytes_out),
        ("in", summary.bytes_in),
        ("inside", summary.bytes_inside),
        ("outside", summary.bytes_outside),
        ("relayed", summary.bytes_relayed),
    ] {
        page.sample("sekisho_traffic_bytes_total", &[("direction", direction)], bytes);
    }
    page.one("sekisho_flows_total", "counter", "Flows seen.", summary.flows);
    tables(&mut page, figures);
    let open = figures.open_incidents;
    page.one("sekisho_incidents_open", "gauge", "Incidents that are open.", open);
    let text = "Incidents of medium severity or above.";
    page.one("sekisho_incidents_total", "counter", text, summary.alerts);
    let text = "Bytes of what is to be told or kept and waits for a reader or the disk, about.";
    page.one("sekisho_untold_bytes", "gauge", text, figures.untold_bytes);
    page.delays(figures.delays);
    attempt(&mut page, "rules_reload", "Rules read", figures.rules);
    if let Some(state) = figures.state {
        attempt(&mut page, "state_save", "What was learned written", state);
    }
    evidence(&mut page, summary);
    if let Some(process) = figures.process {
        let (bytes, seconds) = (process.resident_bytes, process.cpu_seconds);
        page.one("process_resident_memory_bytes", "gauge", "Resident memory.", bytes);
        page.one("process_cpu_seconds_total", "counter", "CPU time of all threads.", seconds);
    }
    page.0
}

fn packets(page: &mut Page, figures: &Figures<'_>) {
    let Figures { summary, ports, .. } = figures;
    let mut one = |name, help, value| page.one(name, "counter", help, value);
    one("sekisho_packets_total", "Packets captured.", summary.packets);
    one("sekisho_bytes_total", "Bytes that they had on the wire.", summary.bytes_wire);
    one(
        "sekisho_shed_packets_total",
        "Captured packets passed over for too many; others count for them.",
        summary.packets_shed,
    );
    one(
        "sekisho_unnamed_packets_total",
        "Captured packets whose first bytes were not looked at for too many.",
        summary.packets_unnamed,
    );
    one("sekisho_decoded_packets_total", "Packets of flows.", summary.packets_decoded);
    one("sekisho_duplicate_packets_total", "Packets mirrored twice.", summary.duplicates);
    let name = "sekisho_rejected_packets_total";
    page.family(name, "counter", "Packets that no flow is made of, by reason.");
    for (reason, &packets) in &summary.rejected {
        page.sample(name, &[("reason", reason)], packets);
    }
    let name = "sekisho_rejected_segments_total";
    page.one(name, "counter", "TCP segments and acknowledgements refused.", summary.tcp_rejected);
    let name = "sekisho_dropped_packets_total";
    page.family(
        name,
        "counter",
        "Packets lost before capture: no room in the ring, or by the interface.",
    );
    for port in *ports {
        for (place, packets) in [("ring", port.lost.ring), ("interface", port.lost.interface)] {
            page.sample(name, &[("interface", port.name), ("where", place)], packets);
        }
    }
    let name = "sekisho_interface_up";
    page.family(name, "gauge", "Is the interface captured from?");
    for port in *ports {
        page.sample(name, &[("interface", port.name)], u8::from(port.is_open));
    }
}

fn tables(page: &mut Page, figures: &Figures<'_>) {
    let Figures { summary, tables, .. } = figures;
    for (name, help, value) in [
        (
            "sekisho_table_entries",
            "Entries of a table.",
            (|table| table.entries) as fn(&Table) -> _,
        ),
        ("sekisho_table_entries_max", "Entries that a table may have.", |table| table.max),
    ] {
        page.family(name, "gauge", help);
        for table in *tables {
            page.sample(name, &[("table", table.name)], value(table));
        }
    }
    let name = "sekisho_evicted_total";
    page.family(name, "counter", "Entries that made room for others.");
    for (table, evicted) in [
        ("flows", summary.flows_evicted),
        ("hosts", summary.hosts_evicted),
        ("pairs", summary.pairs_evicted),
        ("channels", summary.channels_evicted),
        ("incidents", summary.incidents_evicted),
    ] {
        page.sample(name, &[("table", table)], evicted);
    }
}

fn attempt(page: &mut Page, what: &str, help: &str, attempt: Attempt) {
    let name = format!("sekisho_last_{what}_successful");
    page.one(
        &name,
        "gauge",
        &format!("{help} without error the last time?"),
        u8::from(attempt.is_good),
    );
    let name = format!("sekisho_last_{what}_success_timestamp_seconds");
    page.one(&name, "gauge", &format!("{help} without error, when."), seconds(attempt.last_good));
}

fn evidence(page: &mut Page, summary: &Summary) {
    let Some(evidence) = &summary.evidence else { return };
    for (name, help, value) in [
        ("sekisho_evidence_files_total", "Files of evidence begun.", evidence.files),
        ("sekisho_evidence_packets_total", "Packets kept as evidence.", evidence.packets),
        ("sekisho_evidence_bytes_total", "Bytes written as evidence.", evidence.bytes),
        ("sekisho_evidence_lost_packets_total", "Packets not kept.", evidence.packets_lost),
    ] {
        page.one(name, "counter", help, value);
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.since(Timestamp::EPOCH).as_secs_f64()
}

/// A page that is being written.
struct Page(String);

impl Page {
    /// Begins a family of samples.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// One number of a family.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            self.write(format_args!("{before}{label}=\"{}\"", escaped(text)));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.write(format_args!("{end} {value}\n"));
    }

    /// A family of one number.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn delays(&mut self, delays: &Delays) {
        let name = "sekisho_verdict_delay_seconds";
        self.family(
            name,
            "histogram",
            "From a packet until what its flow had sent by then was judged.",
        );
        let bucket = format!("{name}_bucket");
        for millis in BUCKETS {
            let limit = Duration::from_millis(millis);
            let text = limit.as_secs_f64().to_string();
            self.sample(&bucket, &[("le", &text)], delays.within(limit));
        }
        self.sample(&bucket, &[("le", "+Inf")], delays.count());
        self.sample(&format!("{name}_sum"), &[], delays.sum().as_secs_f64());
        self.sample(&format!("{name}_count"), &[], delays.count());
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // A string takes whatever is written to it.
        let _ = self.0.write_fmt(text);
    }
}

/// As the value of a label is written.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Upper ends of the buckets, in milliseconds.
const BUCKETS: [u64; 10] = [50, 100, 250, 500, 750, 1000, 1500, 2000, 5000, 10_000];

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of an interface is what somebody typed: it must not end its label.
    #[test]
    fn labels_stay_within_their_quotes() {
        let mut page = Page(String::new());
        page.sample("up", &[("interface", "a\"b\\c\nd"), ("where", "ring")], 7);
        assert_eq!(page.0, "up{interface=\"a\\\"b\\\\c\\nd\",where=\"ring\"} 7\n");
    }
}
