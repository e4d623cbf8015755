//! The pcapng file: sections of blocks, with any number of interfaces in each.
//!
//! Format: draft-ietf-opsawg-pcapng. Each section may have its own byte order, each interface its
//! own link type and its own unit of time. Blocks that carry no packets are skipped unread.

use super::Ports;
use super::error::Damage;
use super::pcap_file::link_type;
use super::reader::{ByteOrder, Decoded, FRAMES_MAX, Stop, Tally, captured_len_max};
use crate::frame::{FrameHead, LinkType};
use crate::time::Timestamp;

/// Decodes the blocks of one file.
#[derive(Debug, Default)]
pub(super) struct PcapngDecoder {
    ports: Ports,
    /// Of the section at hand; none before the first.
    order: Option<ByteOrder>,
    interfaces: Vec<Interface>,
    skipping: Option<Skip>,
    /// The time of the latest packet that had one.
    latest: Timestamp,
    tally: Tally,
}

/// An interface description, as far as packets need it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Interface {
    link: LinkType,
    port: u16,
    captured_len_max: u32,
    snaplen: u32,
    unit: TimeUnit,
    offset_secs: i64,
    /// Packets it had lost when it last said so; the blocks give running totals.
    dropped: u64,
}

/// How long one tick of a packet's time lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimeUnit {
    /// This many nanoseconds.
    Nanos(u64),
    /// One nanosecond is this many ticks.
    PerNano(u64),
    /// One second is two to this power of ticks.
    BinaryPerSec(u8),
}

/// The rest of a block that is not worth keeping: its middle, then the length at its end.
#[derive(Debug, Clone, Copy)]
struct Skip {
    left: u32,
    len: u32,
}

/// One whole block.
struct Block<'a> {
    kind: u32,
    len: u32,
    order: ByteOrder,
    /// What stands between the lengths at both ends.
    body: &'a [u8],
    /// Where the body begins in the batch.
    start: usize,
}

impl PcapngDecoder {
    /// One whose interfaces are numbered with those of other files.
    pub(super) fn new(ports: Ports) -> Self {
        Self { ports, ..Self::default() }
    }

    /// Does a file that begins like this belong here?
    pub(super) fn recognises(first: &[u8]) -> bool {
        let kind = &first[..first.len().min(4)];
        let mark = first.get(8..12);
        kind == SECTION.to_be_bytes() && mark.is_none_or(|mark| order_of(mark).is_some())
    }

    /// Is the end of what was decoded within a block?
    pub(super) fn is_within_block(&self) -> bool {
        self.skipping.is_some()
    }

    /// What was counted since the last call.
    pub(super) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Turns the packets in the blocks from `at` on into `heads`, until there are enough of them.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        heads: &mut Vec<FrameHead>,
    ) -> Decoded {
        while heads.len() < FRAMES_MAX {
            let step = match self.skipping {
                None => self.block(bytes, at, heads),
                Some(skip) => self.skip(skip, bytes, at),
            };
            match step {
                Ok(Some(end)) => at = end,
                Ok(None) => return Decoded { end: at, stop: Stop::Short },
                Err(damage) => return Decoded { end: at, stop: Stop::Bad(damage) },
            }
        }
        Decoded { end: at, stop: Stop::Full }
    }

    /// Takes the block at `at`, if it is all there; says where the next one begins.
    fn block(
        &mut self,
        bytes: &[u8],
        at: usize,
        heads: &mut Vec<FrameHead>,
    ) -> Result<Option<usize>, Damage> {
        let rest = &bytes[at..];
        let Some((header, _)) = rest.split_first_chunk::<12>() else { return Ok(None) };
        let [k0, k1, k2, k3, l0, l1, l2, l3, mark @ ..] = *header;
        // The type of a section header reads the same in both byte orders.
        let is_section = [k0, k1, k2, k3] == SECTION.to_be_bytes();
        if is_section {
            self.order = order_of(&mark);
        }
        let order = self.order.ok_or(Damage::ByteOrder)?;
        let kind = order.u32([k0, k1, k2, k3]);
        let len = order.u32([l0, l1, l2, l3]);
        // Some writers leave the padding out of the length; Wireshark reads them the same way.
        let Some(padded) = len.checked_next_multiple_of(4).filter(|_| len >= 12) else {
            return Err(Damage::BlockLength { kind, len });
        };
        if !matches!(
            kind,
            SECTION | INTERFACE | PACKET | SIMPLE_PACKET | STATISTICS | ENHANCED_PACKET
        ) {
            self.skipping = Some(Skip { left: padded, len });
            return Ok(Some(at));
        }
        if len > BLOCK_LEN_MAX && len > self.packet_block_len_max() {
            return Err(Damage::BlockLength { kind, len });
        }
        let Some((block, _)) = rest.split_at_checked(padded as usize) else { return Ok(None) };
        let Some((front, tail)) = block.split_last_chunk::<4>() else { return Ok(None) };
        let tail = order.u32(*tail);
        if tail != len {
            return Err(Damage::Trailer { head: len, tail });
        }
        let block = Block { kind, len, order, body: &front[8..], start: at + 8 };
        match kind {
            SECTION => self.section(&block)?,
            INTERFACE => self.interface(&block)?,
            STATISTICS => self.statistics(&block),
            SIMPLE_PACKET => heads.push(self.simple_packet(&block)?),
            _ => heads.push(self.packet(&block)?),
        }
        Ok(Some(at + padded as usize))
    }

    /// Passes over as much of a skipped block as is there.
    fn skip(&mut self, skip: Skip, bytes: &[u8], at: usize) -> Result<Option<usize>, Damage> {
        let rest = &bytes[at..];
        if skip.left > 4 {
            let by = rest.len().min(skip.left as usize - 4);
            self.skipping = Some(Skip { left: skip.left - by as u32, ..skip });
            return Ok((by > 0).then_some(at + by));
        }
        let Some((tail, _)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let tail = self.order.ok_or(Damage::ByteOrder)?.u32(*tail);
        if tail != skip.len {
            return Err(Damage::Trailer { head: skip.len, tail });
        }
        self.skipping = None;
        Ok(Some(at + 4))
    }

    fn section(&mut self, block: &Block<'_>) -> Result<(), Damage> {
        let Some((fixed, _)) = block.body.split_first_chunk::<16>() else {
            return Err(block.impossible());
        };
        let major = block.order.u16([fixed[4], fixed[5]]);
        if major != 1 {
            return Err(Damage::SectionVersion(major));
        }
        self.interfaces.clear();
        Ok(())
    }

    fn interface(&mut self, block: &Block<'_>) -> Result<(), Damage> {
        let Some((fixed, mut options)) = block.body.split_first_chunk::<8>() else {
            return Err(block.impossible());
        };
        if self.interfaces.len() == INTERFACES_MAX {
            return Err(Damage::Interfaces(INTERFACES_MAX));
        }
        let [l0, l1, _, _, s0, s1, s2, s3] = *fixed;
        let link = link_type(block.order.u16([l0, l1]));
        let mut interface = Interface {
            link,
            port: 0,
            captured_len_max: captured_len_max(link),
            snaplen: block.order.u32([s0, s1, s2, s3]),
            unit: TimeUnit::Nanos(1000),
            offset_secs: 0,
            dropped: 0,
        };
        while let Some((code, value)) = next_option(&mut options, block.order)? {
            match (code, value) {
                (IF_NAME, name) => {
                    interface.port = self.ports.number(&String::from_utf8_lossy(name));
                }
                (IF_TSRESOL, [unit]) => interface.unit = TimeUnit::of(*unit),
                (IF_TSOFFSET, value) => {
                    let value = value.try_into().map_err(|_| Damage::Options)?;
                    interface.offset_secs = block.order.u64(value).cast_signed();
                }
                (IF_TSRESOL, _) => return Err(Damage::Options),
                _ => {}
            }
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// Takes an interface's drop counters; what is malformed there harms no packet.
    fn statistics(&mut self, block: &Block<'_>) {
        let Some((fixed, mut options)) = block.body.split_first_chunk::<12>() else { return };
        let [i0, i1, i2, i3, ..] = *fixed;
        let index = block.order.u32([i0, i1, i2, i3]) as usize;
        let Some(interface) = self.interfaces.get_mut(index) else { return };
        let mut dropped: u64 = 0;
        while let Ok(Some((code, value))) = next_option(&mut options, block.order) {
            if let (ISB_IFDROP | ISB_OSDROP, Ok(value)) = (code, value.try_into()) {
                dropped = dropped.saturating_add(block.order.u64(value));
            }
        }
        let more = dropped.saturating_sub(interface.dropped);
        interface.dropped = interface.dropped.max(dropped);
        self.tally.dropped = self.tally.dropped.saturating_add(more);
    }

    /// An enhanced packet, or the obsolete kind that had a drop count beside a shorter index.
    fn packet(&mut self, block: &Block<'_>) -> Result<FrameHead, Damage> {
        let Some((fixed, content)) = block.body.split_first_chunk::<20>() else {
            return Err(block.impossible());
        };
        let order = block.order;
        let [i0, i1, i2, i3, h0, h1, h2, h3, t0, t1, t2, t3, c0, c1, c2, c3, w0, w1, w2, w3] =
            *fixed;
        let index = match block.kind {
            PACKET => u32::from(order.u16([i0, i1])),
            _ => order.u32([i0, i1, i2, i3]),
        };
        let interface = self.interfaces.get(index as usize).ok_or(Damage::Interface(index))?;
        let captured_len = order.u32([c0, c1, c2, c3]);
        if captured_len > interface.captured_len_max {
            let limit = interface.captured_len_max;
            return Err(Damage::CapturedLength { len: captured_len, limit });
        }
        if content.len() < captured_len as usize {
            return Err(Damage::Overrun { len: captured_len, room: content.len() });
        }
        let (high, low) = (order.u32([h0, h1, h2, h3]), order.u32([t0, t1, t2, t3]));
        self.latest = interface.time(u64::from(high) << 32 | u64::from(low));
        Ok(FrameHead {
            at: self.latest,
            start: (block.start + fixed.len()) as u32,
            captured_len,
            wire_len: order.u32([w0, w1, w2, w3]),
            link: interface.link,
            port: interface.port,
        })
    }

    /// A packet without time or captured length: the time is that of the packet before it, the
    /// length what the snap length and the block leave.
    fn simple_packet(&mut self, block: &Block<'_>) -> Result<FrameHead, Damage> {
        let Some((wire_len, content)) = block.body.split_first_chunk::<4>() else {
            return Err(block.impossible());
        };
        let interface = self.interfaces.first().ok_or(Damage::Interface(0))?;
        let wire_len = block.order.u32(*wire_len);
        let snaplen = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
        let captured_len = wire_len.min(snaplen).min(content.len() as u32);
        if captured_len > interface.captured_len_max {
            let limit = interface.captured_len_max;
            return Err(Damage::CapturedLength { len: captured_len, limit });
        }
        self.tally.unstamped += 1;
        Ok(FrameHead {
            at: self.latest,
            start: (block.start + 4) as u32,
            captured_len,
            wire_len,
            link: interface.link,
            port: interface.port,
        })
    }

    /// The longest block that can hold a packet of the interfaces at hand.
    fn packet_block_len_max(&self) -> u32 {
        let packet = self.interfaces.iter().map(|interface| interface.captured_len_max).max();
        packet.unwrap_or(0) + BLOCK_LEN_MAX
    }
}

impl Interface {
    /// The moment `ticks` units after the interface's own zero, held within what can be said.
    fn time(&self, ticks: u64) -> Timestamp {
        let ticks = u128::from(ticks);
        let nanos = match self.unit {
            TimeUnit::Nanos(nanos) => ticks * u128::from(nanos),
            TimeUnit::PerNano(ticks_per_nano) => ticks / u128::from(ticks_per_nano),
            TimeUnit::BinaryPerSec(power) => (ticks * u128::from(NANOS_PER_SEC)) >> power,
        };
        if self.offset_secs == 0 {
            return Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
        let offset = i128::from(self.offset_secs) * i128::from(NANOS_PER_SEC);
        let nanos = nanos.cast_signed().saturating_add(offset).max(0);
        Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl TimeUnit {
    /// Reads `if_tsresol`: a negative power of ten, or of two when the top bit is set.
    fn of(byte: u8) -> Self {
        match byte {
            0..=9 => Self::Nanos(10_u64.pow(9 - u32::from(byte))),
            // 2^64 ticks of so short a unit are less than a nanosecond.
            29..=127 => Self::Nanos(0),
            10..=28 => Self::PerNano(10_u64.pow(u32::from(byte) - 9)),
            128.. => Self::BinaryPerSec(byte & 0x7f),
        }
    }
}

impl Block<'_> {
    fn impossible(&self) -> Damage {
        Damage::BlockLength { kind: self.kind, len: self.len }
    }
}

/// Takes the next option off the front; none at the end or at the mark of the end.
fn next_option<'a>(
    options: &mut &'a [u8],
    order: ByteOrder,
) -> Result<Option<(u16, &'a [u8])>, Damage> {
    let Some(([c0, c1, l0, l1], rest)) = options.split_first_chunk::<4>() else {
        return if options.is_empty() { Ok(None) } else { Err(Damage::Options) };
    };
    let (code, len) = (order.u16([*c0, *c1]), usize::from(order.u16([*l0, *l1])));
    if code == END_OF_OPTIONS {
        return Ok(None);
    }
    let value = rest.get(..len).ok_or(Damage::Options)?;
    *options = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    Ok(Some((code, value)))
}

fn order_of(mark: &[u8]) -> Option<ByteOrder> {
    match mark {
        [0x4d, 0x3c, 0x2b, 0x1a] => Some(ByteOrder::Little),
        [0x1a, 0x2b, 0x3c, 0x4d] => Some(ByteOrder::Big),
        _ => None,
    }
}

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const END_OF_OPTIONS: u16 = 0;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;
const ISB_IFDROP: u16 = 5;
const ISB_OSDROP: u16 = 7;

/// The longest block that is believed, besides the packet in it; libpcap's limit.
const BLOCK_LEN_MAX: u32 = 16 << 20;
/// More interfaces than any machine has; each costs memory for the length of its section.
const INTERFACES_MAX: usize = 1 << 16;
const NANOS_PER_SEC: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::super::sample::{Packet, Pcapng, frames_of, packet, packets};
    use super::*;

    fn at(packet: &Packet, nanos: u64) -> Packet {
        Packet { at: Timestamp::from_nanos(nanos), ..packet.clone() }
    }

    /// Two sections in both byte orders, three link types, three units of time, blocks in between
    /// that carry no packets.
    #[test]
    fn sections_and_interfaces_keep_their_own() {
        let packets = packets(5);
        let mut pcapng = Pcapng::default();
        let nanos = pcapng.option(9, &[9]);
        pcapng.interface(1, 0, &[]).interface(12, 96, &nanos).block(4, &[1; 9]);
        pcapng.enhanced(1, 7, &packets[0]).enhanced(0, 7, &packets[1]);
        pcapng.section(ByteOrder::Big);
        let binary = pcapng.option(9, &[0x80 | 10]);
        pcapng.interface(113, 0, &binary).block(0x0000_0bad, &[0; 40]).block(10, b"keys");
        pcapng.enhanced(0, 1 << 40, &packets[2]).obsolete(0, 1, &packets[3]);
        let link = |packet: Packet, link| Packet { link: LinkType(link), ..packet };
        let expected = vec![
            link(at(&packets[0], 7), 101),
            link(at(&packets[1], 7000), 1),
            link(at(&packets[2], (1 << 30) * 1_000_000_000), 113),
            link(at(&packets[3], 976_562), 113),
        ];
        assert_eq!(frames_of(&pcapng.file), (expected, vec![]));
    }

    /// From seconds to units no clock has, with zeros that lie before the epoch: the time is exact
    /// or held at the end of the range.
    #[test]
    fn time_units_and_offsets_saturate() {
        let time = |unit, offset_secs, ticks| {
            let unit = TimeUnit::of(unit);
            let (link, captured_len_max) = (LinkType::ETHERNET, 0);
            let interface = Interface {
                link,
                port: 0,
                captured_len_max,
                snaplen: 0,
                unit,
                offset_secs,
                dropped: 0,
            };
            interface.time(ticks).as_nanos()
        };
        assert_eq!(time(0, 0, 3), 3_000_000_000);
        assert_eq!(time(6, 0, 3), 3000);
        assert_eq!(time(12, 0, 3999), 3);
        assert_eq!(time(28, 0, u64::MAX), 1);
        assert_eq!(time(127, 0, u64::MAX), 0);
        assert_eq!(time(0x80, 0, 3), 3_000_000_000);
        assert_eq!(time(0xff, 0, u64::MAX), 0);
        assert_eq!(time(6, 0, u64::MAX), u64::MAX);
        assert_eq!(time(0, 0, u64::MAX), u64::MAX);
        assert_eq!(time(6, 2, 1), 2_000_001_000);
        assert_eq!(time(6, -1, 1_500_000), 500_000_000);
        assert_eq!(time(6, -5, 1), 0);
        assert_eq!(time(0, i64::MIN, u64::MAX), u64::MAX);
        assert_eq!(time(0, i64::MAX, u64::MAX), u64::MAX);
    }

    /// Simple packets have no time: they stay beside the packet before them, and are counted.
    #[test]
    fn simple_packets_take_the_time_before() {
        let packet = packet(0, 1, 50);
        let mut pcapng = Pcapng::default();
        pcapng.interface(1, 20, &[]).simple(&packet).enhanced(0, 9, &packet).simple(&packet);
        let mut heads = Vec::new();
        let mut decoder = PcapngDecoder::default();
        decoder.decode(&pcapng.file, 0, &mut heads);
        let seen: Vec<_> = heads
            .iter()
            .map(|head| (head.at.as_nanos(), head.captured_len, head.wire_len))
            .collect();
        assert_eq!(seen, [(0, 20, 50), (9000, 50, 50), (9000, 20, 50)]);
        assert_eq!(decoder.take_tally(), Tally { unstamped: 2, dropped: 0 });
    }

    /// Statistics come again and again with running totals; they must not be added up.
    #[test]
    fn drops_are_running_totals_of_each_interface() {
        let mut pcapng = Pcapng::default();
        pcapng.interface(1, 0, &[]).interface(1, 0, &[]);
        for (interface, interface_drops, system_drops) in
            [(0, 3, 1), (1, 5, 0), (0, 4, 2), (9, 70, 0)]
        {
            let mut body = vec![interface, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            body.extend(pcapng.option(5, &u64::to_le_bytes(interface_drops)));
            body.extend(pcapng.option(7, &u64::to_le_bytes(system_drops)));
            pcapng.block(5, &body);
        }
        let mut decoder = PcapngDecoder::default();
        decoder.decode(&pcapng.file, 0, &mut Vec::new());
        assert_eq!(decoder.take_tally(), Tally { unstamped: 0, dropped: 11 });
    }

    /// Each way to be broken is named with the offset of the block; what came before is used.
    #[test]
    fn broken_blocks_end_the_file_where_they_are() {
        let packet = packet(0, 1, 8);
        let mut good = Pcapng::default();
        good.interface(1, 0, &[]).enhanced(0, 1, &packet);
        let offset = good.file.len();
        let mut huge = good.clone();
        huge.enhanced(0, 1, &packet);
        huge.file[offset + 4..offset + 8].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
        let mut tail = good.clone();
        tail.enhanced(0, 1, &packet);
        *tail.file.last_mut().unwrap() = 1;
        let mut skipped_tail = good.clone();
        skipped_tail.block(77, &[0; 8]);
        *skipped_tail.file.last_mut().unwrap() = 1;
        let mut overrun = good.clone();
        overrun.enhanced(0, 1, &packet);
        overrun.file[offset + 20] = 200;
        let mut absurd = overrun.clone();
        absurd.file[offset + 23] = 1;
        let mut version = good.clone();
        version.section(ByteOrder::Big);
        version.file[offset + 13] = 9;
        let mut mark = version.clone();
        mark.file[offset + 8] = 9;
        let mut options = good.clone();
        options.interface(1, 0, &[9, 0, 200, 0]);
        for (file, reason) in [
            (good.clone().enhanced(1, 1, &packet), "interface 1, which is not described"),
            (&mut huge, "impossible length of 4294967280"),
            (&mut tail, "ends with length"),
            (&mut skipped_tail, "ends with length"),
            (&mut overrun, "200 captured bytes in a block with room for 8"),
            (&mut absurd, "262144 is the most"),
            (&mut version, "version 9"),
            (&mut mark, "no byte order mark"),
            (&mut options, "options of an interface description"),
            (good.clone().block(6, &[0; 16]), "impossible length"),
        ] {
            let (frames, notices) = frames_of(&file.file);
            assert_eq!(frames.len(), 1, "{reason}");
            let [notice] = &notices[..] else { panic!("{reason}: {notices:?}") };
            assert!(notice.contains(reason), "{notice}");
            let at = if reason == "ends with length" && file.file[offset] == 77 {
                file.file.len() - 4
            } else {
                offset
            };
            assert!(notice.starts_with(&format!("sample: byte {at}:")), "{notice}");
        }
    }
}
