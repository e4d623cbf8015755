//! The file of one incident.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::folder::Folder;
use super::{Options, Packets};
use crate::alert::{Alert, Kind};
use crate::capture::{PcapngWriter, Ports};
use crate::frame::FrameHead;
use crate::net::Addr;
use crate::scribe::{Pen, Sheet};
use crate::time::Timestamp;

/// What is written of one incident.
#[derive(Debug)]
pub(super) struct Dossier {
    pub(super) incident: String,
    pub(super) name: String,
    /// Who is meant: pairs of an inside address and an outside one.
    pub(super) pairs: Vec<(Addr, Addr)>,
    /// It gets no frame after so many of the input.
    pub(super) ends_after: Option<u64>,
    /// What becomes of the file.
    pub(super) sheet: Arc<Sheet>,
    /// `None` once it cannot be written.
    writer: Option<PcapngWriter<Pen>>,
    bytes_max: u64,
    is_full: bool,
    is_over: bool,
    left_out: u64,
    /// What is to be said with the first packet from then on.
    comments: VecDeque<(Timestamp, String)>,
    /// What was told last.
    last: String,
    /// Bytes that the folder knows of.
    counted: u64,
}

/// What became of a frame.
pub(super) enum Outcome {
    /// So many bytes were written.
    Kept(u64),
    /// There is no more room.
    Full,
    /// The file cannot be written, and why when that is new.
    Failed(Option<String>),
}

impl Dossier {
    pub(super) fn begin(
        pen: Pen,
        name: String,
        alert: &Alert,
        (options, ports): (&Options, &Ports),
    ) -> io::Result<Self> {
        let what = match options.packets {
            Packets::Headers => "headers of the packets",
            Packets::Whole => "packets",
        };
        let before = options.before.as_secs();
        let about = format!(
            "{}\nKept: {what} between these hosts, from up to {before} s before the first alert on.",
            told(alert)
        );
        let sheet = pen.sheet();
        let mut writer = PcapngWriter::new(pen, SNAP_LEN, ports.clone(), &about)?;
        // Whether there is any room shows now, unless a thread of its own writes.
        writer.flush()?;
        Ok(Self {
            incident: alert.incident.clone(),
            name,
            pairs: Vec::new(),
            ends_after: None,
            counted: writer.written(),
            sheet,
            writer: Some(writer),
            bytes_max: options.incident_bytes_max,
            is_full: false,
            is_over: false,
            left_out: 0,
            comments: VecDeque::new(),
            last: String::new(),
        })
    }

    /// Takes note of an alert of the incident.
    pub(super) fn hear(&mut self, alert: &Alert) {
        self.is_over = alert.kind == Kind::Close;
        self.ends_after = None;
        self.last = told(alert);
        if !self.is_over {
            self.comments.push_back((alert.time, self.last.clone()));
        }
        if self.comments.len() > COMMENTS_MAX {
            self.comments.pop_front();
        }
    }

    /// What is over gets none after the first `frames` frames.
    pub(super) fn end_after(&mut self, frames: u64) {
        if self.is_over && self.ends_after.is_none() {
            self.ends_after = Some(frames);
        }
    }

    pub(super) fn keep(&mut self, head: FrameHead, bytes: &[u8], folder: &mut Folder) -> Outcome {
        let Some(writer) = &mut self.writer else { return Outcome::Failed(None) };
        let mut comment = String::new();
        while let Some((_, text)) = self.comments.pop_front_if(|(at, _)| *at <= head.at) {
            comment.push_str(&text);
        }
        let room = (bytes.len() + comment.len()) as u64 + BLOCK_MAX;
        // The last word, and the packet that says that it is one, fit in any case.
        let is_last = writer.written() + 2 * room + LAST_WORD > self.bytes_max;
        if self.is_full || !folder.make_room(room + LAST_WORD) {
            self.is_full = true;
            return self.leave_out();
        }
        if is_last {
            self.is_full = true;
            comment.push_str(
                "The limit of one incident's evidence is reached: what follows is not kept.",
            );
        }
        if let Err(error) = writer.packet(head, bytes, &comment) {
            self.writer = None;
            return Outcome::Failed(Some(error.to_string()));
        }
        let written = self.uncounted();
        self.counted += written;
        folder.grow(&self.name, written);
        Outcome::Kept(written)
    }

    /// Does without a frame.
    pub(super) fn leave_out(&mut self) -> Outcome {
        self.left_out += 1;
        Outcome::Full
    }

    /// Answers why the file is not whole, when that is new.
    pub(super) fn finish(&mut self, now: Timestamp) -> Option<String> {
        let (last, left_out) = (&self.last, self.left_out);
        let lost = match left_out {
            0 => String::new(),
            _ => format!("\n{left_out} more packets found no room."),
        };
        let comment = format!("{last}{lost}");
        self.attempt(|writer| writer.finish(now, None, &comment))
    }

    /// Hands what is written to the system; answers why it cannot, when that is new.
    pub(super) fn flush(&mut self) -> Option<String> {
        self.attempt(PcapngWriter::flush)
    }

    /// Could all be handed over?
    pub(super) fn is_whole(&self) -> bool {
        self.writer.is_some()
    }

    pub(super) fn written(&self) -> u64 {
        self.writer.as_ref().map_or(self.counted, PcapngWriter::written)
    }

    /// Bytes that the folder does not know of.
    pub(super) fn uncounted(&self) -> u64 {
        self.written() - self.counted
    }

    fn attempt(
        &mut self,
        write: impl FnOnce(&mut PcapngWriter<Pen>) -> io::Result<()>,
    ) -> Option<String> {
        let error = write(self.writer.as_mut()?).err()?;
        self.writer = None;
        Some(error.to_string())
    }
}

/// An alert in words.
fn told(alert: &Alert) -> String {
    let Alert { incident, revision, score_bits, threshold_bits, summary, .. } = alert;
    let mut text = format!(
        "Incident {incident}, alert {revision}: {score_bits} bits, pages from {threshold_bits}\n{summary}\n"
    );
    for why in &alert.why {
        text.push_str(&format!("  {} bits  {}: {}\n", why.bits, why.term, why.text));
    }
    text
}

/// As the files say it: no packet is cut at a length of its own.
const SNAP_LEN: u32 = 1 << 18;

/// Bytes of a packet's block, and of its interface's, beside the packet and its comment.
const BLOCK_MAX: u64 = 256;

/// Bytes left for how it ended.
const LAST_WORD: u64 = 32 << 10;

/// Alerts that wait for a packet to be said with.
const COMMENTS_MAX: usize = 16;
