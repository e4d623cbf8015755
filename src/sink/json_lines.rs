//! One JSON object a line, as DESIGN 7 has them.

use std::io::{self, Write};

use super::Sink;
use crate::alert::Record;

/// Writes records as JSON lines.
#[derive(Debug)]
pub struct JsonLines<W> {
    to: W,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Self {
        Self { to }
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        match record {
            Record::Alert(alert) => serde_json::to_writer(&mut self.to, alert)?,
            Record::Ranking(entry) => serde_json::to_writer(&mut self.to, entry)?,
            Record::Summary(summary) => serde_json::to_writer(&mut self.to, summary)?,
        }
        self.to.write_all(b"\n")?;
        // An alert that sits in a buffer has not been told.
        self.to.flush()
    }
}
