//! Reports for people.

use std::fmt;

use super::compare::Comparison;
use super::report::{AnalystCost, Latency, Percentiles, Reference, Report, Run, StageCost};
use super::scaling::Scaling;
use super::stats::Measured;
use crate::alert::bytes_text as bytes;
use crate::plot::grouped;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(
            f,
            "{} packets, {} on the wire, {:.1} s of traffic; {} worker{}, {} loop{}{}",
            grouped(self.input.packets),
            bytes(self.input.bytes_wire),
            self.input.span_secs,
            self.workers,
            plural(self.workers),
            self.loops,
            plural(self.loops),
            if self.speed > 0.0 { format!(", paced at {} x", self.speed) } else { String::new() },
        )?;
        for run in &self.runs {
            write!(f, "\n{run}")?;
        }
        if let Some(reference) = &self.reference {
            write!(f, "\n{reference}")?;
        }
        if let Some(analyst) = &self.analyst {
            write!(f, "\n{analyst}")?;
        }
        notices(f, &self.notices)
    }
}

impl fmt::Display for super::machine::Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, kernel, arch, load, version, profile, memory_bytes } = self;
        write!(
            f,
            "sekisho {version} ({profile}) on {cpu}, {cores} core{}, {}, {kernel} {arch}, load {load}",
            plural(*cores),
            bytes(*memory_bytes)
        )?;
        if profile == "debug" {
            write!(f, "\nits checks are on: build with --release before you believe a figure")?;
        }
        Ok(())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "from {:<10} packets/s   Gbit/s  CPU ns/packet (range)    wall ns   own CPU  allocations  peak",
            self.from.name()
        )?;
        self.stages.iter().try_for_each(|stage| write!(f, "{stage}"))?;
        let counts = [
            ("flows", self.flows),
            ("deltas", self.deltas),
            ("hosts", self.hosts),
            ("rejected", self.rejected),
        ];
        let counts: Vec<String> = counts
            .into_iter()
            .filter_map(|(name, count)| Some(format!("{} {name}", grouped(count?))))
            .collect();
        if !counts.is_empty() {
            writeln!(f, "  {}", counts.join(", "))?;
        }
        write!(f, "{}", self.latency)
    }
}

impl fmt::Display for StageCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = &self.total.cpu_ns;
        writeln!(
            f,
            "  {:<10} {:>12} {:>8.2}  {:>8.1} ({:.1} to {:.1}){:pad$} {:>8.1} {:>9.1} {:>12.4}  {}",
            self.stage.name(),
            grouped(self.packets_per_sec as u64),
            self.gbit_per_sec,
            cpu.median,
            cpu.least,
            cpu.most,
            "",
            self.total.wall_ns.median,
            self.own.cpu_ns.median,
            self.allocations_per_packet_steady,
            bytes(self.peak_bytes),
            pad = 16_usize.saturating_sub(format!("({:.1} to {:.1})", cpu.least, cpu.most).len()),
        )?;
        let by = |name, ratio: &Option<Measured>| {
            ratio.as_ref().map(|ratio| format!("{:.2} x {name}", ratio.median))
        };
        let ratios = [by("libpcap's loop", &self.by_libpcap), by("bare read", &self.by_bare_read)];
        let ratios: Vec<String> = ratios.into_iter().flatten().collect();
        if !ratios.is_empty() {
            writeln!(f, "  {:<10} {}", "", ratios.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  a batch judged after   {}", self.batch_ns)?;
        writeln!(f, "  for each packet        {}", self.packet_ns)?;
        if let Some(late) = &self.late_ns {
            writeln!(f, "  later than it was due  {late}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, p999, max } = *self;
        let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(nanos);
        write!(f, "{p50} (median), {p90} (90 %), {p99} (99 %), {p999} (99.9 %), {max} (most)")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = |measured: &Measured| {
            format!("{:.1} ({:.1} to {:.1})", measured.median, measured.least, measured.most)
        };
        writeln!(f, "the same files, CPU ns/packet: bare read {}", cpu(&self.bare_read.cpu_ns))?;
        match &self.libpcap {
            Some(cost) => writeln!(f, "  libpcap's loop {}", cpu(&cost.cpu_ns)),
            None => writeln!(f, "  libpcap cannot read them as they are"),
        }
    }
}

impl fmt::Display for AnalystCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "the analyst alone: {} deltas/s of {} deltas ({} to {}); a tick {}, the end of the day {}",
            grouped(self.deltas_per_sec.median as u64),
            grouped(self.deltas),
            grouped(self.deltas_per_sec.least as u64),
            grouped(self.deltas_per_sec.most as u64),
            nanos(self.tick_ns.median as u64),
            nanos(self.close_ns.median as u64),
        )
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "from    stage      old ns   new ns   ratio   noise   by the machine  verdict"
        )?;
        for change in &self.changes {
            writeln!(
                f,
                "{:<7} {:<8} {:>8.1} {:>8.1} {:>7.3} {:>5.1} % {:>16}  {}",
                change.from.name(),
                change.stage.map_or("all", super::Stage::name),
                change.old_ns,
                change.new_ns,
                change.ratio,
                change.noise * 100.0,
                change.corrected.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
                change.verdict.words(),
            )?;
        }
        notices(f, &self.notices)
    }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        let xs: Vec<u64> = self
            .series
            .first()
            .map_or(vec![], |first| first.points.iter().map(|at| at.x).collect());
        write!(f, "{:<34}", self.axis.name())?;
        xs.iter().try_for_each(|&x| write!(f, " {:>12}", grouped(x)))?;
        writeln!(f)?;
        for series in &self.series {
            write!(f, "{:<34}", format!("{}, {}", series.name, series.unit))?;
            for x in &xs {
                match series.points.iter().find(|point| point.x == *x) {
                    Some(point) => write!(f, " {:>12.1}", point.y)?,
                    None => write!(f, " {:>12}", "-")?,
                }
            }
            writeln!(f)?;
        }
        notices(f, &self.notices)
    }
}

fn notices(f: &mut fmt::Formatter<'_>, notices: &[String]) -> fmt::Result {
    notices.iter().try_for_each(|notice| writeln!(f, "note: {notice}"))
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn nanos(nanos: u64) -> String {
    match nanos {
        0..1000 => format!("{nanos} ns"),
        1000..1_000_000 => format!("{:.1} us", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        _ => format!("{:.2} s", nanos as f64 / 1e9),
    }
}
