//! One capture file, from opened input to batches of frames.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::compress::{Flow, Input};
use super::error::{CaptureError, Damage, Notice, Place};
use super::pcap_file::{PcapDecoder, PcapHeader};
use super::pcapng_file::PcapngDecoder;
use crate::frame::{Batch, FrameHead, LinkType};

/// About how many bytes a batch holds; a larger packet still gets a batch of its own.
pub(super) const BYTES_MAX: usize = 1 << 20;
/// How many frames a batch holds at most.
pub(super) const FRAMES_MAX: usize = 8192;

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
    pub(super) fn new(path: &Path, input: Input) -> Result<Self, CaptureError> {
        let mut reader = Self {
            path: path.to_owned(),
            input,
            stream: Stream::Open,
            decoder: Decoder::Pcapng(PcapngDecoder::default()),
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
        if first.len() < SNIFF
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

    /// Is all of the file read?
    pub(super) fn is_done(&self) -> bool {
        self.done
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
            Stream::CutOff => self.cut_off(parsed),
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

/// The first read of a file; longer than any file header.
const SNIFF: usize = 4096;

const USBPCAP: u16 = 249;
const DBUS: u16 = 231;
const EBHSCR: u16 = 279;
