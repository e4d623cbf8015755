//! Flow records as comma-separated values (RFC 4180), but with lines that end as Unix lines do.

use std::fmt::{self, Display};
use std::io::{self, Write};

use serde::Serialize;

use crate::egress::FlowRecord;

/// Writes the header line.
pub(super) fn head(to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "{}", COLUMNS.join(","))
}

/// Writes a record, its cells as in [`COLUMNS`]; what is not known is empty.
pub(super) fn row(to: &mut impl Write, record: &FlowRecord) -> io::Result<()> {
    let mut row = Row::new(to);
    row.cell(record.schema)?;
    row.cell(format_args!("{:.6}", record.start))?;
    row.cell(format_args!("{:.6}", record.last))?;
    row.cell(Word(record.scope))?;
    row.cell(record.host)?;
    row.cell(record.host_port)?;
    row.cell(record.peer)?;
    row.cell(record.peer_port)?;
    row.cell(Word(record.initiator))?;
    row.cell(record.initiator_inferred)?;
    row.cell(record.proto)?;
    row.known(record.service.map(Word))?;
    row.known(record.name.as_ref().map(|name| text(name.as_str())))?;
    row.known(record.name_source.map(Word))?;
    row.known(record.owner.as_deref().map(text))?;
    row.cell(record.name_mismatch)?;
    row.known(record.client.as_deref().map(text))?;
    row.known(record.recipients)?;
    row.known(record.vlan)?;
    row.known(record.tunnel.map(|tunnel| Word(tunnel.kind)))?;
    row.known(record.tunnel.map(|tunnel| tunnel.id))?;
    row.known(record.tunnel.map(|tunnel| tunnel.host))?;
    row.known(record.tunnel.map(|tunnel| tunnel.peer))?;
    row.cell(record.payload_out)?;
    row.cell(record.payload_in)?;
    row.known(record.acked_out)?;
    row.known(record.acked_in)?;
    row.cell(record.wire_out)?;
    row.cell(record.wire_in)?;
    row.cell(record.packets_out)?;
    row.cell(record.packets_in)?;
    row.known(record.retransmitted_out)?;
    row.known(record.lost_out)?;
    row.cell(record.duplicates)?;
    row.cell(record.one_sided)?;
    row.cell(Word(record.end))?;
    row.cell(&record.community_id)?;
    row.end()
}

/// A line while it is being written.
pub(super) struct Row<'a, W> {
    to: &'a mut W,
    is_first: bool,
}

impl<'a, W: Write> Row<'a, W> {
    pub(super) fn new(to: &'a mut W) -> Self {
        Self { to, is_first: true }
    }

    pub(super) fn cell(&mut self, value: impl Display) -> io::Result<()> {
        self.known(Some(value))
    }

    /// A cell that is empty where nothing is known.
    pub(super) fn known(&mut self, value: Option<impl Display>) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            self.to.write_all(b",")?;
        }
        value.map_or(Ok(()), |value| write!(self.to, "{value}"))
    }

    pub(super) fn end(self) -> io::Result<()> {
        writeln!(self.to)
    }
}

/// Text from the wire as one cell: quoted where it must be, and never the start of a formula.
///
/// Spreadsheets run a cell that begins with `=`, `+`, `-` or `@`, behind white space too; an apostrophe
/// makes it text (OWASP, "CSV Injection").
pub(super) fn text(text: &str) -> String {
    let is_formula = text.trim_start().starts_with(['=', '+', '-', '@']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

/// A variant by the name that it has in JSON.
pub(super) struct Word<T>(pub(super) T);

impl<T: Serialize> Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

const COLUMNS: [&str; 37] = [
    "schema",
    "start",
    "last",
    "scope",
    "host",
    "host_port",
    "peer",
    "peer_port",
    "initiator",
    "initiator_inferred",
    "proto",
    "service",
    "name",
    "name_source",
    "owner",
    "name_mismatch",
    "client",
    "recipients",
    "vlan",
    "tunnel_kind",
    "tunnel_id",
    "tunnel_host",
    "tunnel_peer",
    "payload_out",
    "payload_in",
    "acked_out",
    "acked_in",
    "wire_out",
    "wire_in",
    "packets_out",
    "packets_in",
    "retransmitted_out",
    "lost_out",
    "duplicates",
    "one_sided",
    "end",
    "community_id",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A server may name itself so that the analyst's spreadsheet fetches something for it.
    #[test]
    fn text_from_the_wire_is_inert() {
        assert_eq!(text("files.example"), "files.example");
        assert_eq!(text("a,b"), "\"a,b\"");
        assert_eq!(text("say \"hi\"\n"), "\"say \"\"hi\"\"\n\"");
        assert_eq!(text("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        for formula in ["+1", "-1", "@SUM(A1)", "\t=1"] {
            assert_eq!(text(formula), format!("'{formula}"));
        }
    }
}
