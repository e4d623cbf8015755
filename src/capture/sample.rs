//! Builds small capture files byte by byte, for the tests beside it.

use std::io::Cursor;
use std::path::Path;

use super::error::CaptureError;
use super::files::{FileSource, Options};
use super::reader::ByteOrder;
use super::{Polled, Source};
use crate::frame::{Batch, LinkType};
use crate::time::Timestamp;

/// A frame that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) at: Timestamp,
    pub(super) link: LinkType,
    pub(super) wire_len: u32,
    pub(super) bytes: Vec<u8>,
}

/// A packet `micros` microseconds after 2026-01-01 whose bytes say where it is from.
pub(super) fn packet(micros: u64, mark: u8, len: usize) -> Packet {
    let at = Timestamp::from_secs_nanos(1_767_225_600, micros * 1000);
    Packet { at, link: LinkType::ETHERNET, wire_len: len as u32, bytes: vec![mark; len] }
}

/// Packets of growing length, one a second, some of them cut by a snap length.
pub(super) fn packets(count: usize) -> Vec<Packet> {
    (0..count)
        .map(|n| {
            let mut packet = packet(n as u64 * 1_000_001, n as u8, n * 7 % 60);
            packet.wire_len += if n % 3 == 0 { 1400 } else { 0 };
            packet
        })
        .collect()
}

/// All frames that a file of these bytes gives, and what is said about it.
pub(super) fn frames_in(file: &[u8]) -> Result<(Vec<Packet>, Vec<String>), CaptureError> {
    let file = Cursor::new(file.to_vec());
    drain(&mut FileSource::read(Path::new("sample"), file, Options::default())?)
}

/// As [`frames_in`], of a file that is a capture.
pub(super) fn frames_of(file: &[u8]) -> (Vec<Packet>, Vec<String>) {
    frames_in(file).expect("a capture")
}

/// All frames of a source, and its notices.
pub(super) fn drain(source: &mut FileSource) -> Result<(Vec<Packet>, Vec<String>), CaptureError> {
    let (mut batch, mut packets) = (Batch::default(), Vec::new());
    while source.poll(&mut batch)? == Polled::Frames {
        packets.extend(batch.frames().map(|frame| Packet {
            at: frame.at,
            link: frame.link,
            wire_len: frame.wire_len,
            bytes: frame.bytes.to_vec(),
        }));
        batch.clear();
    }
    Ok((packets, source.notices().iter().map(ToString::to_string).collect()))
}

/// How a classic file is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pcap {
    pub(super) magic: u32,
    pub(super) order: ByteOrder,
    pub(super) version: (u16, u16),
    pub(super) snaplen: u32,
    pub(super) link: u32,
    pub(super) original_first: bool,
}

impl Default for Pcap {
    fn default() -> Self {
        Self {
            magic: 0xa1b2_c3d4,
            order: ByteOrder::Little,
            version: (2, 4),
            snaplen: 65_535,
            link: 1,
            original_first: false,
        }
    }
}

impl Pcap {
    pub(super) fn file(&self, packets: &[Packet]) -> Vec<u8> {
        let mut file = Vec::new();
        let is_ixia = self.magic >> 16 == 0x1c00;
        file.extend(put32(self.order, self.magic));
        file.extend(put16(self.order, self.version.0));
        file.extend(put16(self.order, self.version.1));
        file.extend([0; 8]);
        file.extend(put32(self.order, self.snaplen));
        file.extend(put32(self.order, self.link));
        file.extend([0xee; 4].iter().filter(|_| is_ixia));
        for packet in packets {
            file.extend(self.record(packet));
        }
        file
    }

    fn record(&self, packet: &Packet) -> Vec<u8> {
        let nanos_per_unit = if matches!(self.magic, 0xa1b2_3c4d | 0x1c00_01ac) { 1 } else { 1000 };
        let fraction = packet.at.as_nanos() % 1_000_000_000 / nanos_per_unit;
        let mut lengths = [packet.bytes.len() as u32, packet.wire_len];
        if self.original_first {
            lengths.reverse();
        }
        let mut record = Vec::new();
        record.extend(put32(self.order, packet.at.as_secs() as u32));
        record.extend(put32(self.order, fraction as u32));
        record.extend(put32(self.order, lengths[0]));
        record.extend(put32(self.order, lengths[1]));
        if self.magic == 0xa1b2_cd34 {
            record.extend([0xdd; 8]);
        }
        record.extend(&packet.bytes);
        record
    }
}

/// A pcapng file under construction; starts with a section.
#[derive(Debug, Clone)]
pub(super) struct Pcapng {
    pub(super) file: Vec<u8>,
    order: ByteOrder,
}

impl Default for Pcapng {
    fn default() -> Self {
        let mut pcapng = Self { file: Vec::new(), order: ByteOrder::Little };
        pcapng.section(ByteOrder::Little);
        pcapng
    }
}

impl Pcapng {
    pub(super) fn section(&mut self, order: ByteOrder) -> &mut Self {
        self.order = order;
        let mut body = put32(order, 0x1a2b_3c4d).to_vec();
        body.extend(put16(order, 1));
        body.extend(put16(order, 0));
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    pub(super) fn interface(&mut self, link: u16, snaplen: u32, options: &[u8]) -> &mut Self {
        let mut body = put16(self.order, link).to_vec();
        body.extend([0; 2]);
        body.extend(put32(self.order, snaplen));
        body.extend(options);
        self.block(1, &body)
    }

    /// An option, padded.
    pub(super) fn option(&self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = put16(self.order, code).to_vec();
        option.extend(put16(self.order, value.len() as u16));
        option.extend(value);
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    pub(super) fn enhanced(&mut self, interface: u32, ticks: u64, packet: &Packet) -> &mut Self {
        let front = put32(self.order, interface);
        self.stamped(6, front, ticks, packet)
    }

    pub(super) fn obsolete(&mut self, interface: u16, ticks: u64, packet: &Packet) -> &mut Self {
        let [a, b] = put16(self.order, interface);
        self.stamped(2, [a, b, 0xff, 0xff], ticks, packet)
    }

    pub(super) fn simple(&mut self, packet: &Packet) -> &mut Self {
        let mut body = put32(self.order, packet.wire_len).to_vec();
        body.extend(&packet.bytes);
        self.block(3, &body)
    }

    fn stamped(&mut self, kind: u32, front: [u8; 4], ticks: u64, packet: &Packet) -> &mut Self {
        let mut body = front.to_vec();
        body.extend(put32(self.order, (ticks >> 32) as u32));
        body.extend(put32(self.order, ticks as u32));
        body.extend(put32(self.order, packet.bytes.len() as u32));
        body.extend(put32(self.order, packet.wire_len));
        body.extend(&packet.bytes);
        self.block(kind, &body)
    }

    pub(super) fn block(&mut self, kind: u32, body: &[u8]) -> &mut Self {
        let len = 12 + body.len().next_multiple_of(4);
        self.file.extend(put32(self.order, kind));
        self.file.extend(put32(self.order, len as u32));
        self.file.extend(body);
        self.file.resize(self.file.len().next_multiple_of(4), 0);
        self.file.extend(put32(self.order, len as u32));
        self
    }
}

pub(super) fn put16(order: ByteOrder, number: u16) -> [u8; 2] {
    match order {
        ByteOrder::Little => number.to_le_bytes(),
        ByteOrder::Big => number.to_be_bytes(),
    }
}

pub(super) fn put32(order: ByteOrder, number: u32) -> [u8; 4] {
    match order {
        ByteOrder::Little => number.to_le_bytes(),
        ByteOrder::Big => number.to_be_bytes(),
    }
}
