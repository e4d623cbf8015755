//! What is captured, kept as a pcapng file (draft-ietf-opsawg-pcapng): replayed, it gives the same.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::frame::{Batch, Frame, LinkType};
use crate::time::Timestamp;

/// Writes frames in the order in which they are handed out.
pub(super) struct Recording<W> {
    out: W,
    snap_len: u32,
    /// The link types described so far; each is an interface of the file.
    links: Vec<LinkType>,
    block: Vec<u8>,
}

impl Recording<BufWriter<File>> {
    /// Makes the file, anew if it is there.
    pub(super) fn create(path: &Path, snap_len: u32) -> io::Result<Self> {
        Self::new(BufWriter::with_capacity(BUFFER, File::create(path)?), snap_len)
    }
}

impl<W: Write> Recording<W> {
    fn new(out: W, snap_len: u32) -> io::Result<Self> {
        let mut recording = Self { out, snap_len, links: Vec::new(), block: Vec::new() };
        recording.words(&[BYTE_ORDER, 1, u32::MAX, u32::MAX]);
        recording.end(SECTION)?;
        Ok(recording)
    }

    /// Adds the frames of a batch.
    pub(super) fn write(&mut self, batch: &Batch) -> io::Result<()> {
        batch.frames().try_for_each(|frame| self.packet(&frame))
    }

    /// Says how many frames were lost by now; the file is whole thereafter.
    pub(super) fn finish(&mut self, now: Timestamp, dropped: u64) -> io::Result<()> {
        if !self.links.is_empty() {
            self.words(&[0]);
            self.time(now);
            self.words(&[8 << 16 | OS_DROPPED]);
            self.block.extend(dropped.to_le_bytes());
            self.words(&[0]);
            self.end(STATISTICS)?;
        }
        self.flush()
    }

    /// Hands all to the system, so that a reader finds it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn packet(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        let interface = match self.links.iter().position(|&link| link == frame.link) {
            Some(known) => known,
            None => self.interface(frame.link)?,
        };
        self.words(&[u32::try_from(interface).unwrap_or(u32::MAX)]);
        self.time(frame.at);
        // A frame is no longer than the snap length, which is a number of 32 bits.
        self.words(&[u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX), frame.wire_len]);
        self.block.extend_from_slice(frame.bytes);
        self.end(PACKET)
    }

    fn interface(&mut self, link: LinkType) -> io::Result<usize> {
        self.words(&[u32::from(link.0), self.snap_len, 1 << 16 | TIME_UNIT, NANOSECONDS, 0]);
        self.end(INTERFACE)?;
        self.links.push(link);
        Ok(self.links.len() - 1)
    }

    fn time(&mut self, at: Timestamp) {
        let ticks = at.as_nanos();
        self.words(&[(ticks >> 32) as u32, ticks as u32]);
    }

    fn words(&mut self, words: &[u32]) {
        self.block.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    /// Writes what was gathered as the body of a block.
    fn end(&mut self, kind: u32) -> io::Result<()> {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
        let len = u32::try_from(self.block.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&len)?;
        self.out.write_all(&self.block)?;
        self.block.clear();
        self.out.write_all(&len)
    }
}

const BUFFER: usize = 1 << 20;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// The option `if_tsresol`: a power of ten.
const TIME_UNIT: u32 = 9;
const NANOSECONDS: u32 = 9;
/// The option `isb_osdrop`.
const OS_DROPPED: u32 = 7;

#[cfg(test)]
mod tests {
    use super::super::super::sample::{frames_of, packets};
    use super::*;

    /// What goes in comes out, for interfaces of several kinds, frames that are cut, and any length.
    #[test]
    fn what_is_recorded_is_read() {
        let mut packets = packets(40);
        for (number, packet) in packets.iter_mut().enumerate() {
            packet.link = [LinkType::ETHERNET, LinkType::RAW, LinkType::LINUX_SLL2][number % 3];
        }
        let mut file = Vec::new();
        let mut recording = Recording::new(&mut file, 1 << 14).unwrap();
        for some in packets.chunks(7) {
            let mut batch = Batch::default();
            for packet in some {
                let (at, link, wire_len) = (packet.at, packet.link, packet.wire_len);
                batch.push(Frame { at, link, wire_len, bytes: &packet.bytes });
            }
            recording.write(&batch).unwrap();
        }
        recording.finish(Timestamp::from_nanos(7), 5).unwrap();
        assert_eq!(frames_of(&file), (packets, vec![]));
    }
}
