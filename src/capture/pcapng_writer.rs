//! Writes frames as a pcapng file (draft-ietf-opsawg-pcapng): read again, it gives the same.

use std::io::{self, Write};

use super::Ports;
use crate::frame::{Batch, FrameHead, LinkType};
use crate::time::Timestamp;

/// Writes frames in the order in which they are handed out, with nanoseconds.
#[derive(Debug)]
pub struct PcapngWriter<W> {
    out: W,
    snap_len: u32,
    /// What the source's interfaces are called.
    ports: Ports,
    /// The interfaces described so far: as numbered by the source, one for each link type.
    interfaces: Vec<(u16, LinkType)>,
    block: Vec<u8>,
    written: u64,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a section. `ports` are the source's interfaces; `comment` is about all of it, and may be empty.
    ///
    /// # Errors
    /// When it cannot be written, as of all here.
    pub fn new(out: W, snap_len: u32, ports: Ports, comment: &str) -> io::Result<Self> {
        let (interfaces, block) = (Vec::new(), Vec::new());
        let mut writer = Self { out, snap_len, ports, interfaces, block, written: 0 };
        writer.words(&[BYTE_ORDER, 1, u32::MAX, u32::MAX]);
        writer.comment(comment);
        writer.option(APPLICATION, concat!("sekisho ", env!("CARGO_PKG_VERSION")).as_bytes());
        writer.words(&[0]);
        writer.end(SECTION)?;
        Ok(writer)
    }

    /// Adds the frames of a batch.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let frames = batch.heads.iter().map(|&head| (head, batch.frame(head).bytes));
        frames.into_iter().try_for_each(|(head, bytes)| self.packet(head, bytes, ""))
    }

    /// Adds one frame: what `head` says of it, the bytes to keep, and a comment that may be empty.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn packet(&mut self, head: FrameHead, bytes: &[u8], comment: &str) -> io::Result<()> {
        let known = self.interfaces.iter().position(|&known| known == (head.port, head.link));
        let interface = match known {
            Some(known) => known,
            None => self.interface(head)?,
        };
        self.words(&[u32::try_from(interface).unwrap_or(u32::MAX)]);
        self.time(head.at);
        // A frame is no longer than the snap length, which is a number of 32 bits.
        self.words(&[u32::try_from(bytes.len()).unwrap_or(u32::MAX), head.wire_len]);
        self.block.extend_from_slice(bytes);
        self.pad();
        if !comment.is_empty() {
            self.comment(comment);
            self.words(&[0]);
        }
        self.end(PACKET)
    }

    /// Ends the section: says how many frames were lost by now, where that is known, and what else there is to say.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(
        &mut self,
        now: Timestamp,
        dropped: Option<u64>,
        comment: &str,
    ) -> io::Result<()> {
        if !self.interfaces.is_empty() {
            self.words(&[0]);
            self.time(now);
            self.comment(comment);
            if let Some(dropped) = dropped {
                self.option(OS_DROPPED, &dropped.to_le_bytes());
            }
            self.words(&[0]);
            self.end(STATISTICS)?;
        }
        self.flush()
    }

    /// Hands all to the system, so that a reader finds it.
    ///
    /// # Errors
    /// When it cannot.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Bytes of the file so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    fn interface(&mut self, head: FrameHead) -> io::Result<usize> {
        self.words(&[u32::from(head.link.0), self.snap_len]);
        if let Some(name) = self.ports.name(head.port) {
            self.option(NAME, inert(&name).as_bytes());
        }
        self.option(TIME_UNIT, &[NANOSECONDS]);
        self.words(&[0]);
        self.end(INTERFACE)?;
        self.interfaces.push((head.port, head.link));
        Ok(self.interfaces.len() - 1)
    }

    fn time(&mut self, at: Timestamp) {
        let ticks = at.as_nanos();
        self.words(&[(ticks >> 32) as u32, ticks as u32]);
    }

    fn words(&mut self, words: &[u32]) {
        self.block.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn comment(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut text = inert(text);
        text.truncate(text.floor_char_boundary(COMMENT_MAX));
        self.option(COMMENT, text.as_bytes());
    }

    /// `value` is shorter than 64 KiB.
    fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.block.extend(code.to_le_bytes());
        self.block.extend((value.len() as u16).to_le_bytes());
        self.block.extend_from_slice(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    /// Writes what was gathered as the body of a block.
    fn end(&mut self, kind: u32) -> io::Result<()> {
        let len = u32::try_from(self.block.len() + 12).unwrap_or(u32::MAX);
        let body = std::mem::take(&mut self.block);
        let outcome = [&kind.to_le_bytes()[..], &len.to_le_bytes(), &body, &len.to_le_bytes()]
            .into_iter()
            .try_for_each(|part| self.out.write_all(part));
        self.block = body;
        self.block.clear();
        self.written += u64::from(len);
        outcome
    }
}

/// A text that a program shows as it is: what would steer a terminal is taken out.
fn inert(text: &str) -> String {
    let inert = |c: char| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(inert).collect()
}

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Options, by block: `opt_comment`, `shb_userappl`, `if_name`, `if_tsresol` (a power of ten), `isb_osdrop`.
const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const TIME_UNIT: u16 = 9;
const NANOSECONDS: u8 = 9;
const OS_DROPPED: u16 = 7;

/// Bytes of a comment at most.
const COMMENT_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::super::sample::{frames_of, packets};
    use super::*;
    use crate::frame::Frame;

    /// What goes in comes out, for interfaces of several kinds, frames that are cut, any length, and with
    /// comments.
    #[test]
    fn what_is_written_is_read() {
        let mut packets = packets(40);
        for (number, packet) in packets.iter_mut().enumerate() {
            packet.link = [LinkType::ETHERNET, LinkType::RAW, LinkType::LINUX_SLL2][number % 3];
        }
        let mut file = Vec::new();
        let ports = Ports::of(["span0".to_owned(), "\u{1b}[31mspan1".to_owned()]);
        let mut writer = PcapngWriter::new(&mut file, 1 << 14, ports, "of all").unwrap();
        for (number, some) in packets.chunks(7).enumerate() {
            let mut batch = Batch::default();
            for packet in some {
                let (at, link, wire_len) = (packet.at, packet.link, packet.wire_len);
                let frame = Frame { at, link, wire_len, bytes: &packet.bytes };
                batch.push_from(frame, number as u16);
            }
            if number == 1 {
                for &head in &batch.heads {
                    let bytes = batch.frame(head).bytes;
                    writer.packet(head, bytes, "a \u{7}comment").unwrap();
                }
            } else {
                writer.write(&batch).unwrap();
            }
        }
        writer.finish(Timestamp::from_nanos(7), Some(5), "the end").unwrap();
        assert_eq!(writer.written(), file.len() as u64);
        assert!(!file.windows(10).any(|some| some == "a \u{7}comment".as_bytes()));
        assert_eq!(frames_of(&file), (packets, vec![]));
    }
}
