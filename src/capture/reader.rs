//! One capture file, from opened input to batches of frames.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Ports;
use super::compress::{Flow, Input};
use super::error::{CaptureError, Damage, Notice, Place};
use super::pcap_file::{PcapDecoder, PcapHeader};
use super::pcapng_file::PcapngDecoder;
use crate::frame::{Batch, FrameHead, LinkType};

/// About how many bytes a batch holds; a larger packet still gets a batch of its own.
pub(super) const BYTES_MAX: usize = 512 << 10;
/// How many frames a batch holds at most.
pub(super) const FRAMES_MAX: usize = 4096;

/// Where a decoder stopped in the bytes it was given, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) end: usize,
    pub(super) stop: Stop,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The record at the end is not all there yet.
    Short,
    /// There are [`FRAMES_MAX`] frames.
    Full,
    /// The record at the end is broken, and where the next one starts is anybody's guess.
    Bad(Damage),
}

/// The byte order of a file, or of a section of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(super) fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }
}

/// The most captured bytes that are believed of one packet; the limits of libpcap 1.10.
pub(super) fn captured_len_max(link: LinkType) -> u32 {
    match link.0 {
        DBUS => 128 << 20,
        EBHSCR => 8 << 20,
        USBPCAP => 1 << 20,
        _ => 256 << 10,
    }
}

/// What a file says about itself besides its packets.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Packets without a time of their own.
    pub(super) unstamped: u64,
    /// Packets that the capturing machine lost, as far as it wrote that down.
    pub(super) dropped: u64,
}

impl Tally {
    pub(super) fn add(&mut self, more: Self) {
        self.unstamped += more.unstamped;
        self.dropped = self.dropped.saturating_add(more.dropped);
    }
}

/// Reads one file. Holds no more than a batch and a partial record, whatever the file claims.
pub(super) struct Reader {
    path: PathBuf,
    input: Input,
    stream: Stream,
    decoder: Decoder,
    /// Bytes read but not handed out: the partial record at a batch's end.
    carry: Vec<u8>,
    /// How many bytes of the stream came before `carry`.
    offset: u64,
    /// How much input [`FRAMES_MAX`] frames lately took; reading more would only be carried over.
    fit: usize,
    done: bool,
    notice: Option<Notice>,
}

#[derive(Debug)]
enum Decoder {
    Pcap(PcapDecoder),
    Pcapng(PcapngDecoder),
}

/// How far the bytes of the file have come.
#[derive(Debug, PartialEq, Eq)]
enum Stream {
    Open,
    Ended,
    /// The compressed file ended before its content did.
    CutOff,
    Failed(String),
}

impl Reader {
    /// Reads enough of `input` to know what it is. A file that is empty, or ends within its header,
    /// is one without packets and with a notice.
    ///
    /// # Errors
    /// When it is not a capture.
    pub(super) fn new(path: &Path, input: Input, ports: &Ports) -> Result<Self, CaptureError> {
        let mut reader = Self {
            path: path.to_owned(),
            input,
            stream: Stream::Open,
            decoder: Decoder::Pcapng(PcapngDecoder::new(ports.clone())),
            carry: Vec::new(),
            offset: 0,
            fit: BYTES_MAX,
            done: false,
            notice: None,
        };
        let mut first = Vec::new();
        while first.len() < SNIFF && reader.stream == Stream::Open {
            reader.read(&mut first, SNIFF);
        }
        if first.len() < TELLING
            && let Stream::Failed(reason) = &reader.stream
        {
            let source = std::io::Error::other(reason.clone());
            return Err(CaptureError::Unreadable { path: reader.path, source });
        }
        reader.recognise(first)?;
        Ok(reader)
    }

    /// Decides by the first bytes how the file is decoded.
    fn recognise(&mut self, first: Vec<u8>) -> Result<(), CaptureError> {
        let path = || self.path.clone();
        let header_len = match PcapDecoder::of(&first) {
            PcapHeader::Good(decoder, header_len) => {
                self.decoder = Decoder::Pcap(decoder);
                header_len
            }
            PcapHeader::Version(major, minor) => {
                return Err(CaptureError::Version { path: path(), major, minor });
            }
            // Compressed and cut off so early that nothing can be told: give it the benefit.
            PcapHeader::Foreign if first.len() < 4 && self.stream == Stream::CutOff => 0,
            PcapHeader::Foreign if first.is_empty() => {
                self.notice = Some(Notice::Empty(path()));
                self.done = true;
                return Ok(());
            }
            PcapHeader::Foreign if PcapngDecoder::recognises(&first) => 0,
            PcapHeader::Foreign => return Err(CaptureError::NotACapture { path: path() }),
            PcapHeader::Short => {
                self.cut_off(first.len());
                return Ok(());
            }
        };
        self.carry = first;
        self.carry.drain(..header_len);
        self.offset = header_len as u64;
        Ok(())
    }

    /// Fills `batch`, which is empty, with the next frames: about `bytes_max` bytes of them, at
    /// least one, none at the end of the file. Their bytes are not copied, only read.
    pub(super) fn fill(&mut self, batch: &mut Batch, bytes_max: usize) {
        if self.done {
            return;
        }
        batch.bytes.append(&mut self.carry);
        let mut want = bytes_max.min(self.fit).saturating_sub(batch.bytes.len());
        let mut parsed = 0;
        loop {
            if want > 0 && self.stream == Stream::Open {
                self.read(&mut batch.bytes, want);
            }
            let decoded = self.decoder.decode(&batch.bytes, parsed, &mut batch.heads);
            parsed = decoded.end;
            match decoded.stop {
                Stop::Full => {
                    self.fit = parsed.max(SNIFF);
                    break;
                }
                Stop::Bad(damage) => {
                    self.damaged(parsed, damage);
                    break;
                }
                Stop::Short if self.stream != Stream::Open => {
                    self.conclude(batch.bytes.len(), parsed);
                    break;
                }
                Stop::Short if !batch.heads.is_empty() => {
                    self.fit = (self.fit + self.fit / 8).min(BYTES_MAX);
                    break;
                }
                // Only blocks that are skipped, or part of a packet larger than a batch. Memory
                // grows with what really arrives, never with what a length field claims.
                Stop::Short => {
                    batch.bytes.drain(..parsed);
                    self.offset += parsed as u64;
                    parsed = 0;
                    want = bytes_max;
                }
            }
        }
        self.offset += parsed as u64;
        if !self.done {
            self.carry.extend_from_slice(&batch.bytes[parsed..]);
        }
        batch.bytes.truncate(parsed);
    }

    /// What there is to say about the file, once it is done.
    pub(super) fn take_notice(&mut self) -> Option<Notice> {
        self.notice.take()
    }

    /// What was counted since the last call.
    pub(super) fn take_tally(&mut self) -> Tally {
        match &mut self.decoder {
            Decoder::Pcap(_) => Tally::default(),
            Decoder::Pcapng(decoder) => decoder.take_tally(),
        }
    }

    fn read(&mut self, into: &mut Vec<u8>, want: usize) {
        self.stream = match self.input.read(into, want) {
            Ok(Flow::More) => Stream::Open,
            Ok(Flow::End) => Stream::Ended,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Stream::CutOff,
            Err(error) => Stream::Failed(error.to_string()),
        };
    }

    /// The bytes have ended at `len`, the last whole record at `parsed`.
    fn conclude(&mut self, len: usize, parsed: usize) {
        match std::mem::replace(&mut self.stream, Stream::Ended) {
            Stream::Failed(reason) => self.damaged(parsed, Damage::Stream(reason)),
            Stream::CutOff => self.cut_off(len),
            Stream::Open | Stream::Ended if len > parsed || self.decoder.is_within_block() => {
                self.cut_off(len);
            }
            Stream::Open | Stream::Ended => self.done = true,
        }
    }

    fn cut_off(&mut self, after: usize) {
        self.notice = Some(Notice::CutOff(self.place(after)));
        self.done = true;
    }

    fn damaged(&mut self, after: usize, damage: Damage) {
        self.notice = Some(Notice::Damaged { place: self.place(after), damage });
        self.done = true;
    }

    fn place(&self, after: usize) -> Place {
        let offset = self.offset + after as u64;
        Place { path: self.path.clone(), offset, compressed: self.input.is_compressed() }
    }
}

impl Decoder {
    fn decode(&mut self, bytes: &[u8], at: usize, heads: &mut Vec<FrameHead>) -> Decoded {
        match self {
            Self::Pcap(decoder) => decoder.decode(bytes, at, heads),
            Self::Pcapng(decoder) => decoder.decode(bytes, at, heads),
        }
    }

    fn is_within_block(&self) -> bool {
        match self {
            Self::Pcap(_) => false,
            Self::Pcapng(decoder) => decoder.is_within_block(),
        }
    }
}

/// So many bytes tell what a file is.
const TELLING: usize = 12;
/// The first read of a file; longer than any file header.
const SNIFF: usize = 4096;

const USBPCAP: u16 = 249;
const DBUS: u16 = 231;
const EBHSCR: u16 = 279;

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use proptest::prelude::*;

    use super::super::compress::Meter;
    use super::super::sample::{Packet, Pcap, Pcapng, frames_in, frames_of, packet, packets};
    use super::*;

    fn reader(bytes: impl Read + Send + 'static) -> Reader {
        let path = Path::new("sample");
        let input = Input::of_pipe(path, bytes, &Meter::default()).unwrap();
        Reader::new(path, input, &Ports::default()).unwrap()
    }

    fn pcapng(packets: &[Packet]) -> Vec<u8> {
        let mut pcapng = Pcapng::default();
        let nanos = pcapng.option(9, &[9]);
        pcapng.interface(1, 0, &nanos).block(4, &[7; 30]);
        for packet in packets {
            pcapng.enhanced(0, packet.at.as_nanos(), packet);
        }
        pcapng.block(4, &[0; 50]);
        pcapng.file
    }

    /// A disk that ran full: whatever the cut, all whole packets, then one notice with the place.
    #[test]
    fn every_truncation_gives_the_whole_packets() {
        let packets = packets(6);
        for file in [Pcap::default().file(&packets), pcapng(&packets)] {
            let whole = frames_of(&file).0;
            assert_eq!(whole, packets);
            let mut complete = 0;
            for len in 0..file.len() {
                let Ok((frames, notices)) = frames_in(&file[..len]) else {
                    assert!((1..4).contains(&len), "refused at {len}");
                    continue;
                };
                assert!(whole.starts_with(&frames) && frames.len() >= complete, "at {len}");
                complete = frames.len();
                match &notices[..] {
                    [] => assert!(frames_in(&file[..len + 1]).is_ok_and(|(_, n)| n.len() == 1)),
                    [notice] if len == 0 => assert_eq!(notice, "sample: is empty"),
                    [notice] => assert_eq!(
                        *notice,
                        format!(
                            "sample: byte {len}: the file is cut off here; all whole packets \
                             before were read"
                        )
                    ),
                    more => panic!("at {len}: {more:?}"),
                }
            }
        }
    }

    /// A header and nothing else is a capture of a quiet minute.
    #[test]
    fn no_packets_is_fine() {
        assert_eq!(frames_of(&Pcap::default().file(&[])), (vec![], vec![]));
        assert_eq!(frames_of(&Pcapng::default().file), (vec![], vec![]));
    }

    /// The batch size is a matter of memory, not of content: records lie across every boundary.
    #[test]
    fn any_batch_size_gives_the_same_frames() {
        let mut packets = packets(400);
        packets.insert(200, packet(0, 9, 100_000));
        for file in [Pcap::default().file(&packets), pcapng(&packets)] {
            for bytes_max in [1, 7, 100, 5000, BYTES_MAX] {
                let mut reader = reader(Cursor::new(file.clone()));
                let (mut batch, mut seen) = (Batch::default(), 0);
                loop {
                    reader.fill(&mut batch, bytes_max);
                    if batch.heads.is_empty() {
                        break;
                    }
                    for frame in batch.frames() {
                        assert_eq!(frame.bytes, packets[seen].bytes, "{bytes_max} {seen}");
                        assert_eq!(frame.at, packets[seen].at);
                        seen += 1;
                    }
                    batch.clear();
                }
                assert_eq!((seen, reader.take_notice()), (packets.len(), None), "{bytes_max}");
            }
        }
    }

    #[test]
    fn batches_are_bounded_in_frames_and_bytes() {
        let small: Vec<_> = (0..20_000).map(|n| packet(n, 1, 0)).collect();
        let large: Vec<_> = (0..3000).map(|n| packet(n, 1, 1500)).collect();
        for packets in [small, large] {
            let mut reader = reader(Cursor::new(Pcap::default().file(&packets)));
            let (mut batch, mut seen) = (Batch::default(), 0);
            loop {
                reader.fill(&mut batch, BYTES_MAX);
                assert!(batch.heads.len() <= FRAMES_MAX && batch.bytes.len() <= BYTES_MAX);
                if batch.heads.is_empty() {
                    break;
                }
                seen += batch.heads.len();
                batch.clear();
            }
            assert_eq!(seen, packets.len());
        }
    }

    /// A block that claims four gigabytes, with a gigabyte of zeros behind it, costs no memory
    /// whether it is one we skip or one we read.
    #[test]
    fn claimed_lengths_cost_nothing() {
        for kind in [99_u32, 6] {
            let mut file = pcapng(&packets(3));
            file.extend(kind.to_le_bytes());
            file.extend(0xffff_fff0_u32.to_le_bytes());
            let mut reader = reader(Cursor::new(file).chain(std::io::repeat(0).take(1 << 30)));
            let (mut batch, mut seen) = (Batch::default(), 0);
            loop {
                reader.fill(&mut batch, BYTES_MAX);
                assert!(batch.bytes.capacity() <= 4 * BYTES_MAX, "{}", batch.bytes.capacity());
                assert!(reader.carry.capacity() <= 4 * BYTES_MAX);
                if batch.heads.is_empty() {
                    break;
                }
                seen += batch.heads.len();
                batch.clear();
            }
            assert_eq!(seen, 3);
            assert!(reader.take_notice().is_some());
        }
    }

    /// A live pipe hands out what it has instead of waiting for a full batch.
    #[test]
    fn pipe_gives_what_it_has() {
        struct OneByOne(Vec<Vec<u8>>);
        impl Read for OneByOne {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                let Some(piece) = self.0.first_mut() else { panic!("read beyond what was needed") };
                let len = piece.len().min(into.len());
                into[..len].copy_from_slice(&piece[..len]);
                piece.drain(..len);
                if piece.is_empty() {
                    self.0.remove(0);
                }
                Ok(len)
            }
        }
        let packets: Vec<_> = (0..3).map(|n| packet(n, 1, 6000)).collect();
        let file = Pcap::default().file(&packets);
        let pieces = file[..24 + 6016 * 3 - 1].chunks(24 + 6016).map(<[u8]>::to_vec).collect();
        let mut reader = reader(OneByOne(pieces));
        let mut batch = Batch::default();
        reader.fill(&mut batch, BYTES_MAX);
        assert_eq!(batch.heads.len(), 1);
    }

    proptest! {
        /// Whatever bytes follow a good beginning, reading ends without panic and gives frames that
        /// lie within their batch.
        #[test]
        fn any_bytes_end(
            start in 0..8_usize,
            middle in proptest::collection::vec(any::<u8>(), 0..400),
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let packets = packets(4);
            let mut file = match start {
                0 => Vec::new(),
                1 => Pcap { version: (2, 2), ..Pcap::default() }.file(&packets),
                2 => Pcap { magic: 0xa1b2_cd34, order: ByteOrder::Big, ..Pcap::default() }.file(&packets),
                3 => Pcap { link: 249, ..Pcap::default() }.file(&packets),
                4 => vec![0x1f, 0x8b, 8, 0],
                5 => vec![0x28, 0xb5, 0x2f, 0xfd],
                _ => pcapng(&packets),
            };
            file.extend(middle);
            for (index, byte) in flips {
                if !file.is_empty() {
                    let index = index.index(file.len());
                    file[index] = byte;
                }
            }
            if let Ok((frames, notices)) = frames_in(&file) {
                prop_assert!(frames.iter().map(|frame| frame.bytes.len()).sum::<usize>() <= file.len());
                prop_assert!(notices.len() <= 1);
            }
        }
    }
}
