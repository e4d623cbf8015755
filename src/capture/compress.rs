//! Opens a file and undoes its compression, which shows in its first bytes, not in its name.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::buffer::spare_capacity;
use rustix::io::{read, retry_on_intr};

use super::error::CaptureError;

/// The bytes of one file, uncompressed.
pub(super) enum Input {
    /// An uncompressed file.
    Plain(Metered<File>),
    /// A compressed file: as many bytes as asked for are worth waiting for.
    Compressed(Box<dyn Read + Send>),
    /// Perhaps a live pipe: what is there is handed on.
    Pipe { bytes: Box<dyn Read + Send>, compressed: bool },
}

/// Is there more to read?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    More,
    End,
}

/// How many bytes were taken from disk or pipe; shared by all inputs of a source.
#[derive(Debug, Default, Clone)]
pub(super) struct Meter(Arc<AtomicU64>);

impl Meter {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Input {
    /// Opens a file, or standard input when it is called `-`.
    pub(super) fn open(path: &Path, meter: &Meter) -> Result<Self, CaptureError> {
        if is_standard_input(path) {
            return Self::of_pipe(path, io::stdin(), meter);
        }
        let unreadable = |source| CaptureError::Unreadable { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        if !file.metadata().map_err(unreadable)?.is_file() {
            return Self::of_pipe(path, file, meter);
        }
        let first = first_bytes(&mut file).map_err(unreadable)?;
        file.rewind().map_err(unreadable)?;
        let file = Metered { inner: file, meter: meter.clone() };
        match Compression::of(&first, path)? {
            Compression::None => Ok(Self::Plain(file)),
            compression => Ok(Self::Compressed(compression.undo(file).map_err(unreadable)?)),
        }
    }

    /// Takes bytes as they come.
    pub(super) fn of_pipe(
        path: &Path,
        mut pipe: impl Read + Send + 'static,
        meter: &Meter,
    ) -> Result<Self, CaptureError> {
        let unreadable = |source| CaptureError::Unreadable { path: path.to_owned(), source };
        let first = first_bytes(&mut pipe).map_err(unreadable)?;
        let compression = Compression::of(&first, path)?;
        let whole = Metered { inner: Cursor::new(first).chain(pipe), meter: meter.clone() };
        let compressed = compression != Compression::None;
        Ok(Self::Pipe { bytes: compression.undo(whole).map_err(unreadable)?, compressed })
    }

    /// Appends up to `want` bytes; of a plain file up to a quarter of all more, where there is room. What came before an
    /// error is in `into`.
    pub(super) fn read(&mut self, into: &mut Vec<u8>, want: usize) -> io::Result<Flow> {
        let reserved = want.min(READ_MAX);
        match self {
            Self::Plain(file) => {
                let full = into.len() + reserved;
                into.reserve_exact(reserved);
                // A batch with one huge frame had left room that the kernel would fill each time.
                if into.capacity() > full + full / 4 {
                    into.shrink_to(full);
                }
                // Not by `read_to_end`, which begins with a few kilobytes each time.
                while into.len() < full {
                    match retry_on_intr(|| read(&file.inner, spare_capacity(into)))? {
                        0 => return Ok(Flow::End),
                        some => file.meter.add(some as u64),
                    }
                }
                Ok(Flow::More)
            }
            Self::Compressed(bytes) => {
                into.reserve(reserved);
                // Fills spare room without zeroing it first.
                let read = bytes.take(want as u64).read_to_end(into)?;
                Ok(if read < want { Flow::End } else { Flow::More })
            }
            Self::Pipe { bytes, .. } => {
                let start = into.len();
                into.resize(start + want.min(PIPE_READ), 0);
                let read = read_some(bytes, &mut into[start..]);
                into.truncate(start + read.as_ref().map_or(0, |read| *read));
                read.map(|read| if read == 0 { Flow::End } else { Flow::More })
            }
        }
    }

    pub(super) fn is_compressed(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Compressed(_) => true,
            Self::Pipe { compressed, .. } => *compressed,
        }
    }
}

/// Does this name stand for standard input?
pub(super) fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    fn of(first: &[u8], path: &Path) -> Result<Self, CaptureError> {
        let unsupported = |format| Err(CaptureError::Compression { path: path.to_owned(), format });
        match first {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A frame, or a skippable one such as parallel compressors and seekable files begin with.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => unsupported("LZ4"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => unsupported("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => unsupported("bzip2"),
            [b'7', b'z', 0xbc, 0xaf, ..] => unsupported("7-Zip"),
            [b'P', b'K', 3, 4, ..] => unsupported("ZIP"),
            _ => Ok(Self::None),
        }
    }

    fn undo(self, bytes: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::None => Box::new(bytes),
            Self::Gzip => {
                let bytes = BufReader::with_capacity(COMPRESSED_READ, bytes);
                Box::new(flate2::bufread::MultiGzDecoder::new(bytes))
            }
            Self::Zstd => {
                let bytes = BufReader::with_capacity(COMPRESSED_READ, bytes);
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        })
    }
}

/// Counts what passes.
pub(super) struct Metered<R> {
    inner: R,
    meter: Meter,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.meter.add(read as u64);
        Ok(read)
    }
}

/// The bytes that show the compression; fewer when the file is shorter.
fn first_bytes(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    file.take(6).read_to_end(&mut first)?;
    Ok(first)
}

fn read_some(bytes: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match bytes.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// The most that is reserved before the bytes have arrived.
const READ_MAX: usize = 1 << 20;
/// A pipe's own capacity on Linux.
const PIPE_READ: usize = 64 << 10;
const COMPRESSED_READ: usize = 128 << 10;
/// The largest window zstd writes (`--long=31`): two gigabytes of address space, of which only what
/// the stream really fills is ever touched.
const WINDOW_LOG_MAX: u32 = 31;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::sample::{Pcap, frames_in, frames_of, packets};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8], window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Log rotation concatenates members and frames: all of them belong to the stream.
    #[test]
    fn members_and_frames_are_joined() {
        let packets = packets(40);
        let file = Pcap::default().file(&packets);
        let (front, back) = file.split_at(file.len() / 3);
        let skippable = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..]].concat();
        for whole in [
            [gzip(front), gzip(back)].concat(),
            [zstd(front, 27), zstd(back, 20)].concat(),
            [skippable.clone(), zstd(front, 31), skippable, zstd(back, 10)].concat(),
        ] {
            assert_eq!(frames_of(&whole), (packets.clone(), vec![]));
        }
    }

    #[test]
    fn other_compressions_are_named() {
        for (first, name) in [
            (&b"\x04\x22\x4d\x18abcd"[..], "LZ4"),
            (b"\xfd7zXZ\0rest", "xz"),
            (b"BZh9rest", "bzip2"),
        ] {
            let error = frames_in(first).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("unsupported compression"), "{error}");
        }
    }

    /// A download that stopped: what came is used, the offset counts uncompressed bytes.
    #[test]
    fn cut_streams_give_their_whole_packets() {
        let packets = packets(30);
        let file = Pcap::default().file(&packets);
        for whole in [gzip(&file), zstd(&file, 20)] {
            for len in 1..whole.len() {
                let Ok((frames, notices)) = frames_in(&whole[..len]) else {
                    assert!(len < 4, "unreadable at {len}");
                    continue;
                };
                assert!(packets.starts_with(&frames), "at {len}");
                let [notice] = &notices[..] else { panic!("at {len}: {notices:?}") };
                assert!(notice.contains("cut off"), "at {len}: {notice}");
                assert!(notice.contains("of the uncompressed stream"), "at {len}: {notice}");
            }
        }
    }

    /// A flipped bit in the middle ends the file with a warning, not the run.
    #[test]
    fn broken_streams_end_with_a_notice() {
        let packets = packets(30);
        let mut whole = gzip(&Pcap::default().file(&packets));
        let end = whole.len() - 5;
        whole[end] ^= 1;
        let (frames, notices) = frames_of(&whole);
        assert_eq!(frames, packets);
        assert!(notices[0].contains("reading failed"), "{notices:?}");
    }
}
