//! Flow records for programs: JSON lines, CSV, or a log as Zeek writes it.

use std::io::{self, Write};

use super::{csv, zeek};
use crate::egress::FlowRecord;

/// How flow records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowFormat {
    /// One JSON object a line.
    Json,
    /// Comma-separated values (RFC 4180), with a header.
    Csv,
    /// Tab-separated columns of Zeek's `conn.log`.
    Zeek,
}

/// Writes flow records, head first.
#[derive(Debug)]
pub struct Flows<W> {
    to: W,
    format: FlowFormat,
    /// The record being written: its pieces are many and small, and `to` may be slow with those.
    line: Vec<u8>,
}

impl<W: Write> Flows<W> {
    /// Writes to `to`, beginning with what the format has above its first record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(mut to: W, format: FlowFormat) -> io::Result<Self> {
        match format {
            FlowFormat::Json => {}
            FlowFormat::Csv => csv::head(&mut to)?,
            FlowFormat::Zeek => zeek::head(&mut to)?,
        }
        Ok(Self { to, format, line: Vec::new() })
    }

    /// Takes one record. It may stay in a buffer until [`Flows::finish`]: a flow is no alarm.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, record: &FlowRecord) -> io::Result<()> {
        self.line.clear();
        match self.format {
            FlowFormat::Json => {
                serde_json::to_writer(&mut self.line, record)?;
                self.line.push(b'\n');
            }
            FlowFormat::Csv => csv::row(&mut self.line, record)?,
            FlowFormat::Zeek => zeek::row(&mut self.line, record)?,
        }
        self.to.write_all(&self.line)
    }

    /// Writes out what is still in a buffer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.to.flush()
    }
}
