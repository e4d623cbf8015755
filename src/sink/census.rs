//! Hosts and destinations: a table for people, JSON lines or CSV for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::csv::{self, Row, Word};
use crate::alert::bytes_text;
use crate::census::{DestinationRecord, HostRecord, RoleSource, Traffic};
use crate::names::{Name, Service};

/// How hosts and destinations are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CensusFormat {
    /// A table.
    Text(Width),
    /// One JSON object a line.
    Json,
    /// Comma-separated values (RFC 4180), with a header.
    Csv,
}

/// How wide a line of a table may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// So many columns of a terminal; what is longer is cut.
    Columns(usize),
    /// As wide as it comes.
    Any,
}

/// Writes hosts in the order given.
///
/// # Errors
/// When they cannot be written.
pub fn write_hosts(
    to: &mut impl Write,
    hosts: &[HostRecord],
    format: CensusFormat,
) -> io::Result<()> {
    match format {
        CensusFormat::Text(width) => {
            Table::new(&HOST_HEAD, hosts.iter().map(host)).write(to, width)
        }
        CensusFormat::Json => json_lines(to, hosts),
        CensusFormat::Csv => {
            writeln!(to, "{}", HOST_COLUMNS.join(","))?;
            hosts.iter().try_for_each(|host| host_row(to, host))
        }
    }
}

/// Writes destinations in the order given.
///
/// # Errors
/// When they cannot be written.
pub fn write_destinations(
    to: &mut impl Write,
    destinations: &[DestinationRecord],
    format: CensusFormat,
) -> io::Result<()> {
    match format {
        CensusFormat::Text(width) => {
            Table::new(&DESTINATION_HEAD, destinations.iter().map(destination)).write(to, width)
        }
        CensusFormat::Json => json_lines(to, destinations),
        CensusFormat::Csv => {
            writeln!(to, "{}", DESTINATION_COLUMNS.join(","))?;
            destinations.iter().try_for_each(|destination| destination_row(to, destination))
        }
    }
}

fn json_lines(to: &mut impl Write, records: &[impl Serialize]) -> io::Result<()> {
    records.iter().try_for_each(|record| {
        serde_json::to_writer(&mut *to, record)?;
        writeln!(to)
    })
}

/// Cells under a head, numbers to the right. All text in them is printable ASCII by its type.
struct Table<'h, const N: usize> {
    head: &'h [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<'h, const N: usize> Table<'h, N> {
    fn new(head: &'h [&'static str; N], rows: impl Iterator<Item = [String; N]>) -> Self {
        Self { head, rows: rows.collect() }
    }

    fn write(&self, to: &mut impl Write, width: Width) -> io::Result<()> {
        let wide = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(self.head[column].len())
        };
        let widths: [usize; N] = std::array::from_fn(wide);
        let head = self.head.map(str::to_owned);
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                match column < NUMBERS {
                    true => line.push_str(&format!("{gap}{cell:>width$}")),
                    false => line.push_str(&format!("{gap}{cell:<width$}")),
                }
            }
            let line = match width {
                Width::Columns(columns) => line.chars().take(columns).collect(),
                Width::Any => line,
            };
            writeln!(to, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn host(record: &HostRecord) -> [String; 12] {
    let more = match record.addresses.len() {
        0 | 1 => String::new(),
        count => format!(" +{}", count - 1),
    };
    let role = record.role.map_or(String::new(), |role| match record.role_source {
        Some(RoleSource::Inferred) => format!("{role}?"),
        Some(RoleSource::Declared) | None => role.to_string(),
    });
    let most = record.top_destinations.first().filter(|share| share.bytes_out > 0);
    let [out, back, pcr, flows, first, last] = traffic(&record.traffic);
    [
        out,
        back,
        pcr,
        flows,
        record.destinations.to_string(),
        record.host.map_or_else(|| FORGOTTEN.to_owned(), |host| host.to_string()) + &more,
        record.names.first().map_or(String::new(), |hint| hint.name.to_string()),
        role,
        words(&record.services),
        most.map_or(String::new(), |share| {
            format!("{} ({})", share.destination, bytes_text(share.bytes_out))
        }),
        first,
        last,
    ]
}

fn destination(record: &DestinationRecord) -> [String; 11] {
    let most = record.top_hosts.first().filter(|share| share.bytes_out > 0);
    let [out, back, pcr, flows, first, last] = traffic(&record.traffic);
    let mark = if record.name_mismatch { " (name does not fit)" } else { "" };
    [
        out,
        back,
        pcr,
        flows,
        record.hosts.to_string(),
        record.destination.as_deref().unwrap_or(FORGOTTEN).to_owned() + mark,
        record.category.map_or(String::new(), |category| category.to_string()),
        words(&record.services),
        most.map_or(String::new(), |share| {
            format!("{} ({})", share.host, bytes_text(share.bytes_out))
        }),
        first,
        last,
    ]
}

/// Out, in, ratio, flows, first and last.
fn traffic(traffic: &Traffic) -> [String; 6] {
    [
        bytes_text(traffic.bytes_out),
        bytes_text(traffic.bytes_in),
        traffic.pcr.map_or("-".to_owned(), |pcr| format!("{pcr:+.2}")),
        traffic.flows.to_string(),
        format!("{:.0}", traffic.first),
        format!("{:.0}", traffic.last),
    ]
}

fn words(services: &[Service]) -> String {
    services.iter().map(|service| service.name()).collect::<Vec<_>>().join(" ")
}

fn host_row(to: &mut impl Write, record: &HostRecord) -> io::Result<()> {
    let mut row = Row::new(to);
    row.cell(record.schema)?;
    row.known(record.host)?;
    let addresses: Vec<String> = record.addresses.iter().map(ToString::to_string).collect();
    row.cell(addresses.join(" "))?;
    row.known(record.mac)?;
    let names: Vec<&str> = record.names.iter().map(|hint| hint.name.as_str()).collect();
    row.cell(csv::text(&names.join(" ")))?;
    row.known(record.role)?;
    row.known(record.role_source.map(Word))?;
    traffic_cells(&mut row, &record.traffic)?;
    row.cell(record.destinations)?;
    let top = record.top_destinations.first();
    row.known(top.map(|share| csv::text(&share.destination)))?;
    row.known(top.map(|share| share.bytes_out))?;
    row.cell(words(&record.services))?;
    row.cell(words(&record.serves))?;
    row.cell(record.inside_out)?;
    row.cell(record.inside_in)?;
    row.end()
}

fn destination_row(to: &mut impl Write, record: &DestinationRecord) -> io::Result<()> {
    let mut row = Row::new(to);
    row.cell(record.schema)?;
    row.known(record.destination.as_deref().map(csv::text))?;
    let names: Vec<&str> = record.names.iter().map(Name::as_str).collect();
    row.cell(csv::text(&names.join(" ")))?;
    let addresses: Vec<String> = record.addresses.iter().map(ToString::to_string).collect();
    row.cell(addresses.join(" "))?;
    row.cell(record.has_more)?;
    row.cell(record.name_mismatch)?;
    row.known(record.category)?;
    row.cell(words(&record.services))?;
    traffic_cells(&mut row, &record.traffic)?;
    row.cell(record.hosts)?;
    let top = record.top_hosts.first();
    row.known(top.map(|share| share.host))?;
    row.known(top.map(|share| share.bytes_out))?;
    row.end()
}

fn traffic_cells<W: Write>(row: &mut Row<'_, W>, traffic: &Traffic) -> io::Result<()> {
    row.cell(traffic.flows)?;
    row.cell(traffic.bytes_out)?;
    row.cell(traffic.bytes_in)?;
    row.known(traffic.pcr)?;
    row.cell(traffic.first)?;
    row.cell(traffic.last)
}

/// What stands in the place of those that found no room.
const FORGOTTEN: &str = "(forgotten)";

/// Columns of numbers, which come first in both tables.
const NUMBERS: usize = 5;

const HOST_HEAD: [&str; 12] = [
    "OUT", "IN", "PCR", "FLOWS", "DEST", "HOST", "NAME", "ROLE", "SERVICES", "MOST TO", "FIRST",
    "LAST",
];

const DESTINATION_HEAD: [&str; 11] = [
    "OUT",
    "IN",
    "PCR",
    "FLOWS",
    "HOSTS",
    "DESTINATION",
    "CATEGORY",
    "SERVICES",
    "MOST FROM",
    "FIRST",
    "LAST",
];

const HOST_COLUMNS: [&str; 20] = [
    "schema",
    "host",
    "addresses",
    "mac",
    "names",
    "role",
    "role_source",
    "flows",
    "bytes_out",
    "bytes_in",
    "pcr",
    "first",
    "last",
    "destinations",
    "top_destination",
    "top_destination_bytes_out",
    "services",
    "serves",
    "inside_out",
    "inside_in",
];

const DESTINATION_COLUMNS: [&str; 17] = [
    "schema",
    "destination",
    "names",
    "addresses",
    "has_more",
    "name_mismatch",
    "category",
    "services",
    "flows",
    "bytes_out",
    "bytes_in",
    "pcr",
    "first",
    "last",
    "hosts",
    "top_host",
    "top_host_bytes_out",
];
