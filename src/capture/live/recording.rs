//! What is captured, written to a file beside: packets wait for no disk.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Notice;
use crate::capture::{PcapngWriter, Ports};
use crate::frame::Batch;
use crate::scribe::{Pen, Scribe};
use crate::time::Timestamp;

/// A file that all frames go to that its disk can take.
pub(super) struct Recording {
    path: PathBuf,
    /// `None` once it cannot be written.
    writer: Option<PcapngWriter<Pen>>,
    scribe: Scribe,
    /// Frames that found no room.
    left_out: u64,
}

impl Recording {
    pub(super) fn create(path: &Path, snap_len: u32, ports: Ports) -> io::Result<Self> {
        let scribe = Scribe::on_thread("recording");
        let pen = scribe.pen(File::create(path)?);
        let writer = Some(PcapngWriter::new(pen, snap_len, ports, "")?);
        Ok(Self { path: path.to_owned(), writer, scribe, left_out: 0 })
    }

    pub(super) fn write(&mut self, batch: &Batch) -> Option<Notice> {
        if self.scribe.has_room() {
            return self.attempt(|writer| writer.write(batch));
        }
        let is_first = self.left_out == 0;
        self.left_out += batch.heads.len() as u64;
        is_first.then(|| Notice::Gap { path: self.path.clone() })
    }

    /// Hands all to the system, so that a reader finds it.
    pub(super) fn flush(&mut self) -> Option<Notice> {
        self.attempt(PcapngWriter::flush)
    }

    /// There is no more. Frames that were lost by now, and those that found no room, are what the file lacks.
    pub(super) fn finish(&mut self, now: Timestamp, dropped: u64) -> Option<Notice> {
        let left_out = self.left_out;
        let comment = match left_out {
            0 => String::new(),
            _ => format!("{left_out} packets were captured that the disk had no time for."),
        };
        let scribe = self.scribe.clone();
        self.attempt(|writer| {
            writer.finish(now, Some(dropped + left_out), &comment)?;
            if !scribe.finish(LAST_WAIT) {
                return Err(io::Error::other("the disk does not answer"));
            }
            writer.flush()
        })
    }

    /// Goes on without a file that cannot be written.
    fn attempt(
        &mut self,
        write: impl FnOnce(&mut PcapngWriter<Pen>) -> io::Result<()>,
    ) -> Option<Notice> {
        let error = write(self.writer.as_mut()?).err()?;
        self.writer = None;
        let (path, reason) = (self.path.clone(), error.to_string());
        Some(Notice::Recording { path, reason })
    }
}

/// How long the disk is waited for in the end.
const LAST_WAIT: Duration = Duration::from_secs(2);
