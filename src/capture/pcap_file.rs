//! The classic pcap file: a file header, then records of one link type.
//!
//! Format: draft-ietf-opsawg-pcap. The variants are those that libpcap 1.10 and Wireshark 4 tell
//! apart by the file header alone; guessing a variant from the first records is left out.

use super::error::Damage;
use super::reader::{ByteOrder, Decoded, FRAMES_MAX, Stop, captured_len_max};
use crate::frame::{FrameHead, LinkType};
use crate::time::Timestamp;

/// Decodes the records of one file.
#[derive(Debug, Clone)]
pub(super) struct PcapDecoder {
    order: ByteOrder,
    link: LinkType,
    captured_len_max: u32,
    /// Nanoseconds in one unit of a record's fraction of a second.
    fraction_nanos: u64,
    lengths: Lengths,
    /// Bytes between the common sixteen of a record header and the packet.
    extra: usize,
}

/// What the first bytes of a file say.
#[derive(Debug)]
pub(super) enum PcapHeader {
    /// A good header, and its length.
    Good(PcapDecoder, usize),
    /// It starts like one, but the file ends within it.
    Short,
    /// A header of this version, which is not read.
    Version(u16, u16),
    /// Not a pcap file.
    Foreign,
}

/// In which order a record header has captured and original length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lengths {
    /// As every file since version 2.3.
    CapturedFirst,
    /// Before version 2.3, and DG/UX (version 543.0).
    OriginalFirst,
    /// Version 2.3 was written both ways: the smaller number is the captured length.
    Unsure,
}

impl PcapDecoder {
    /// Reads the file header.
    pub(super) fn of(file: &[u8]) -> PcapHeader {
        let Some((magic, rest)) = file.split_first_chunk::<4>() else { return PcapHeader::Foreign };
        let little = Variant::of(u32::from_le_bytes(*magic)).map(|v| (v, ByteOrder::Little));
        let big = Variant::of(u32::from_be_bytes(*magic)).map(|v| (v, ByteOrder::Big));
        let Some((variant, order)) = little.or(big) else { return PcapHeader::Foreign };
        let header_len = 24 + variant.header_extra;
        let Some((fields, _)) = rest.split_first_chunk::<20>() else { return PcapHeader::Short };
        if file.len() < header_len {
            return PcapHeader::Short;
        }
        let [v0, v1, m0, m1, _, _, _, _, _, _, _, _, _, _, _, _, l0, l1, l2, l3] = *fields;
        let (major, minor) = (order.u16([v0, v1]), order.u16([m0, m1]));
        let lengths = match (major, minor) {
            (0 | 1, _) => return PcapHeader::Version(major, minor),
            (2, 0..=2) | (543, _) => Lengths::OriginalFirst,
            (2, 3) => Lengths::Unsure,
            _ => Lengths::CapturedFirst,
        };
        // The upper half of the field holds the length of the frame check sequence.
        let link = link_type(order.u32([l0, l1, l2, l3]) as u16);
        let decoder = Self {
            order,
            link,
            captured_len_max: captured_len_max(link),
            fraction_nanos: variant.fraction_nanos,
            lengths,
            extra: variant.record_extra,
        };
        PcapHeader::Good(decoder, header_len)
    }

    /// Turns the records from `at` on into `heads`, until there are enough of them.
    pub(super) fn decode(
        &self,
        bytes: &[u8],
        mut at: usize,
        heads: &mut Vec<FrameHead>,
    ) -> Decoded {
        while heads.len() < FRAMES_MAX {
            let Some((record, rest)) = bytes[at..].split_first_chunk::<16>() else {
                return Decoded { end: at, stop: Stop::Short };
            };
            let [s0, s1, s2, s3, f0, f1, f2, f3, c0, c1, c2, c3, w0, w1, w2, w3] = *record;
            let order = self.order;
            let lengths = (order.u32([c0, c1, c2, c3]), order.u32([w0, w1, w2, w3]));
            let (captured_len, wire_len) = self.lengths.sort(lengths);
            if captured_len > self.captured_len_max {
                let damage =
                    Damage::CapturedLength { len: captured_len, limit: self.captured_len_max };
                return Decoded { end: at, stop: Stop::Bad(damage) };
            }
            let len = self.extra + captured_len as usize;
            if rest.len() < len {
                return Decoded { end: at, stop: Stop::Short };
            }
            let secs = u64::from(order.u32([s0, s1, s2, s3]));
            let fraction = u64::from(order.u32([f0, f1, f2, f3]));
            heads.push(FrameHead {
                at: Timestamp::from_secs_nanos(secs, fraction * self.fraction_nanos),
                start: (at + record.len() + self.extra) as u32,
                captured_len,
                wire_len,
                link: self.link,
                port: 0,
            });
            at += record.len() + len;
        }
        Decoded { end: at, stop: Stop::Full }
    }
}

impl Lengths {
    /// Captured length first, original length second.
    fn sort(self, (first, second): (u32, u32)) -> (u32, u32) {
        match self {
            Self::CapturedFirst => (first, second),
            Self::OriginalFirst => (second, first),
            Self::Unsure => (first.min(second), first.max(second)),
        }
    }
}

/// What a magic number stands for.
#[derive(Debug, Clone, Copy)]
struct Variant {
    fraction_nanos: u64,
    record_extra: usize,
    header_extra: usize,
}

impl Variant {
    fn of(magic: u32) -> Option<Self> {
        let (fraction_nanos, record_extra, header_extra) = match magic {
            0xa1b2_c3d4 => (1000, 0, 0),
            0xa1b2_3c4d => (1, 0, 0),
            // Kuznetzov's patch: interface index, protocol and packet type after the lengths.
            0xa1b2_cd34 => (1000, 8, 0),
            // Ixia's hardware and software captures: the sum of all records after the header.
            0x1c00_01ac => (1, 0, 4),
            0x1c00_01ab => (1000, 0, 4),
            _ => return None,
        };
        Some(Self { fraction_nanos, record_extra, header_extra })
    }
}

/// The link type behind the number in a file.
///
/// 12 and 14 are what Linux, FreeBSD and OpenBSD call raw IP inside; some writers forget to
/// translate it.
pub(super) fn link_type(number: u16) -> LinkType {
    match number {
        12 | 14 => LinkType::RAW,
        number => LinkType(number),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Pcap, frames_of, packets};
    use super::*;

    #[test]
    fn every_variant_reads_the_same() {
        let packets = packets(5);
        for magic in [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34, 0x1c00_01ac, 0x1c00_01ab] {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                let file = Pcap { magic, order, ..Pcap::default() }.file(&packets);
                assert_eq!(frames_of(&file), (packets.clone(), vec![]), "{magic:#x} {order:?}");
            }
        }
    }

    /// Before version 2.3 the original length came first; in 2.3 nobody knows.
    #[test]
    fn old_versions_swap_the_lengths() {
        let mut packets = packets(3);
        packets[1].wire_len = 1500;
        for (version, original_first) in
            [((2, 2), true), ((2, 3), true), ((2, 3), false), ((543, 0), true), ((2, 4), false)]
        {
            let file = Pcap { version, original_first, ..Pcap::default() }.file(&packets);
            assert_eq!(frames_of(&file), (packets.clone(), vec![]), "{version:?}");
        }
    }

    #[test]
    fn header_tells_link_type_and_version() {
        for (field, link) in [(1, 1), (12, 101), (14, 101), (101, 101), (0xf400_0001, 1), (10, 10)]
        {
            let file = Pcap { link: field, ..Pcap::default() }.file(&[]);
            let PcapHeader::Good(decoder, 24) = PcapDecoder::of(&file) else { panic!("{field}") };
            assert_eq!(decoder.link, LinkType(link));
        }
        let file = Pcap { version: (1, 0), ..Pcap::default() }.file(&[]);
        assert!(matches!(PcapDecoder::of(&file), PcapHeader::Version(1, 0)));
        assert!(matches!(PcapDecoder::of(b"PK\x03\x04 and more"), PcapHeader::Foreign));
    }

    /// Jumbo records beyond the header's snap length are ordinary; a length out of bounds ends the
    /// file with the packets before it delivered.
    #[test]
    fn absurd_length_is_damage_at_its_offset() {
        let packets = packets(2);
        let mut file = Pcap { snaplen: 8, ..Pcap::default() }.file(&packets);
        let offset = file.len() as u64;
        file.extend([0; 8]);
        file.extend(262_145_u32.to_le_bytes());
        file.extend(262_145_u32.to_le_bytes());
        let (frames, notices) = frames_of(&file);
        assert_eq!(frames, packets);
        assert_eq!(
            notices,
            [format!(
                "sample: byte {offset}: a packet claims 262145 captured bytes, 262144 is the most \
                 for its link type; the packets before were read, the rest of the file was skipped"
            )]
        );
    }
}
