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

/// A record of the census: how it stands in each format.
pub trait Listed: Serialize {
    /// Heads of the table; the first columns are numbers.
    const HEAD: &'static [&'static str];
    /// Header of the CSV.
    const COLUMNS: &'static [&'static str];

    /// Its row of the table.
    fn cells(&self) -> Vec<String>;

    /// Its row of the CSV.
    ///
    /// # Errors
    /// When it cannot be written.
    fn row(&self, to: &mut impl Write) -> io::Result<()>;
}

/// Writes hosts or destinations in the order given.
///
/// # Errors
/// When they cannot be written.
pub fn write_census<R: Listed>(
    to: &mut impl Write,
    records: &[R],
    format: CensusFormat,
) -> io::Result<()> {
    match format {
        CensusFormat::Text(width) => {
            table(to, R::HEAD, &records.iter().map(R::cells).collect::<Vec<_>>(), width)
        }
        CensusFormat::Json => json_lines(to, records),
        CensusFormat::Csv => {
            writeln!(to, "{}", R::COLUMNS.join(","))?;
            records.iter().try_for_each(|record| record.row(to))
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
fn table(to: &mut impl Write, head: &[&str], rows: &[Vec<String>], width: Width) -> io::Result<()> {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let all = || std::iter::once(&head).chain(rows);
    let wide = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(wide).collect();
    for row in all() {
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

impl Listed for HostRecord {
    const HEAD: &'static [&'static str] = &[
        "OUT", "IN", "PCR", "FLOWS", "DEST", "HOST", "NAME", "ROLE", "SERVICES", "MOST TO",
        "FIRST", "LAST",
    ];

    const COLUMNS: &'static [&'static str] = &[
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
        "bytes_relayed",
    ];

    fn cells(&self) -> Vec<String> {
        let more = match self.addresses.len() {
            0 | 1 => String::new(),
            count => format!(" +{}", count - 1),
        };
        let role = self.role.map_or(String::new(), |role| match self.role_source {
            Some(RoleSource::Inferred) => format!("{role}?"),
            Some(RoleSource::Declared) | None => role.to_string(),
        });
        let relayed = match self.bytes_relayed {
            0 => String::new(),
            bytes => format!(" (relayed {})", bytes_text(bytes)),
        };
        let most = self.top_destinations.first().filter(|share| share.bytes_out > 0);
        let [out, back, pcr, flows, first, last] = traffic(&self.traffic);
        vec![
            out,
            back,
            pcr,
            flows,
            self.destinations.to_string(),
            self.host.map_or_else(|| FORGOTTEN.to_owned(), |host| host.to_string()) + &more,
            self.names.first().map_or(String::new(), |hint| hint.name.to_string()),
            (role + &relayed).trim_start().to_owned(),
            words(&self.services),
            most.map_or(String::new(), |share| {
                format!("{} ({})", share.destination, bytes_text(share.bytes_out))
            }),
            first,
            last,
        ]
    }

    fn row(&self, to: &mut impl Write) -> io::Result<()> {
        let mut row = Row::new(to);
        row.cell(self.schema)?;
        row.known(self.host)?;
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        row.cell(addresses.join(" "))?;
        row.known(self.mac)?;
        let names: Vec<&str> = self.names.iter().map(|hint| hint.name.as_str()).collect();
        row.cell(csv::text(&names.join(" ")))?;
        row.known(self.role)?;
        row.known(self.role_source.map(Word))?;
        traffic_cells(&mut row, &self.traffic)?;
        row.cell(self.destinations)?;
        let top = self.top_destinations.first();
        row.known(top.map(|share| csv::text(&share.destination)))?;
        row.known(top.map(|share| share.bytes_out))?;
        row.cell(words(&self.services))?;
        row.cell(words(&self.serves))?;
        row.cell(self.inside_out)?;
        row.cell(self.inside_in)?;
        row.cell(self.bytes_relayed)?;
        row.end()
    }
}

impl Listed for DestinationRecord {
    const HEAD: &'static [&'static str] = &[
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

    const COLUMNS: &'static [&'static str] = &[
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
        "asn",
        "country",
    ];

    fn cells(&self) -> Vec<String> {
        let most = self.top_hosts.first().filter(|share| share.bytes_out > 0);
        let [out, back, pcr, flows, first, last] = traffic(&self.traffic);
        let mark = if self.name_mismatch { " (name does not fit)" } else { "" };
        vec![
            out,
            back,
            pcr,
            flows,
            self.hosts.to_string(),
            self.destination.as_deref().unwrap_or(FORGOTTEN).to_owned() + mark,
            self.category.map_or(String::new(), |category| category.to_string()),
            words(&self.services),
            most.map_or(String::new(), |share| {
                format!("{} ({})", share.host, bytes_text(share.bytes_out))
            }),
            first,
            last,
        ]
    }

    fn row(&self, to: &mut impl Write) -> io::Result<()> {
        let mut row = Row::new(to);
        row.cell(self.schema)?;
        row.known(self.destination.as_deref().map(csv::text))?;
        let names: Vec<&str> = self.names.iter().map(Name::as_str).collect();
        row.cell(csv::text(&names.join(" ")))?;
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        row.cell(addresses.join(" "))?;
        row.cell(self.has_more)?;
        row.cell(self.name_mismatch)?;
        row.known(self.category)?;
        row.cell(words(&self.services))?;
        traffic_cells(&mut row, &self.traffic)?;
        row.cell(self.hosts)?;
        let top = self.top_hosts.first();
        row.known(top.map(|share| share.host))?;
        row.known(top.map(|share| share.bytes_out))?;
        row.known(self.asn)?;
        row.known(self.country.as_deref())?;
        row.end()
    }
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
