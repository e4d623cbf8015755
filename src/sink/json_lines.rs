//! One JSON object a line, as DESIGN 7 has them.

use std::io::{self, Write};

use super::Sink;
use crate::alert::Record;

/// Writes records as JSON lines.
#[derive(Debug)]
pub struct JsonLines<W> {
    to: W,
    /// The record being written: its pieces are many and small, and `to` may be slow with those.
    line: Vec<u8>,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Self {
        Self { to, line: Vec::new() }
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.line.clear();
        match record {
            Record::Silenced(_) => return Ok(()),
            Record::Alert(alert) => serde_json::to_writer(&mut self.line, alert)?,
            Record::Ranking(entry) => serde_json::to_writer(&mut self.line, entry)?,
            Record::Summary(summary) => serde_json::to_writer(&mut self.line, summary)?,
        }
        self.line.push(b'\n');
        self.to.write_all(&self.line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
