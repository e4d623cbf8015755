//! What can go wrong with a capture file: errors stop the run, notices travel with its result.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::filter::FilterError;

/// Why capture files cannot be read at all.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// Nothing was named.
    #[error("no capture file given; name files, directories, or - for standard input")]
    Nothing,
    /// A file or directory cannot be opened or its first bytes cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The process may not hold more files open.
    #[error(
        "{}: cannot be opened while {open} files with overlapping times are; raise `ulimit -n`",
        path.display()
    )]
    TooManyOpen {
        /// The file that was one too many.
        path: PathBuf,
        /// How many capture files are open.
        open: usize,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The content is not a capture.
    #[error("{}: not a capture file; pcap and pcapng are read, plain or in gzip or zstd", path.display())]
    NotACapture {
        /// The file.
        path: PathBuf,
    },
    /// The content is a pcap file of a version nobody reads.
    #[error("{}: pcap version {major}.{minor} is not supported; 2.0 to 2.4 are", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version, before the dot.
        major: u16,
        /// The version, after the dot.
        minor: u16,
    },
    /// The content starts like a capture, and its very first record is broken.
    #[error("{place}: {damage}; nothing of the file can be read")]
    Broken {
        /// Where: at its start.
        place: Place,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The content is compressed in a way that is not undone here.
    #[error("{}: {format} is an unsupported compression; decompress it, or use gzip or zstd", path.display())]
    Compression {
        /// The file.
        path: PathBuf,
        /// The compression's name.
        format: &'static str,
    },
    /// A directory has nothing to read.
    #[error("{}: the directory holds no capture file (it is not searched recursively)", path.display())]
    EmptyDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// A place in a file: how many bytes of it came before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as named.
    pub path: PathBuf,
    /// Bytes before the place, counted after decompression.
    pub offset: u64,
    /// Was the file compressed?
    pub compressed: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, compressed } = self;
        write!(f, "{}: byte {offset}", path.display())?;
        if *compressed { f.write_str(" of the uncompressed stream") } else { Ok(()) }
    }
}

/// Something the reader of a result must know; the run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Notice {
    /// A file of no bytes.
    #[error("{}: is empty", .0.display())]
    Empty(PathBuf),
    /// A file of a directory was left out.
    #[error("{reason}; skipped")]
    Skipped {
        /// The file.
        path: PathBuf,
        /// Why, with its name.
        reason: String,
    },
    /// A file ends within a record; all whole packets before it were read.
    #[error("{0}: the file is cut off here; all whole packets before were read")]
    CutOff(Place),
    /// A file is damaged; all packets before the place were read, the rest was skipped.
    #[error("{place}: {damage}; the packets before were read, the rest of the file was skipped")]
    Damaged {
        /// Where the broken record starts.
        place: Place,
        /// What is wrong with it.
        damage: Damage,
    },
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Damage {
    /// More captured bytes than any such link carries.
    #[error("a packet claims {len} captured bytes, {limit} is the most for its link type")]
    CapturedLength {
        /// What it claims.
        len: u32,
        /// The most that is believed.
        limit: u32,
    },
    /// A pcapng block too short or too long to be one.
    #[error("a block of type {kind:#x} claims an impossible length of {len} bytes")]
    BlockLength {
        /// The block's type.
        kind: u32,
        /// Its length field.
        len: u32,
    },
    /// The length at a block's end contradicts the one at its start.
    #[error("a block starts with length {head} and ends with length {tail}")]
    Trailer {
        /// The length at its start.
        head: u32,
        /// The length at its end.
        tail: u32,
    },
    /// A packet larger than the block around it.
    #[error("a packet claims {len} captured bytes in a block with room for {room}")]
    Overrun {
        /// What it claims.
        len: u32,
        /// What fits.
        room: usize,
    },
    /// A packet of an interface that was not described before it.
    #[error("a packet belongs to interface {0}, which is not described")]
    Interface(u32),
    /// More interfaces than are kept.
    #[error("a section describes more than {0} interfaces")]
    Interfaces(usize),
    /// A section in neither byte order.
    #[error("a section header has no byte order mark")]
    ByteOrder,
    /// A section of a version nobody reads.
    #[error("a section has version {0}; only version 1 is known")]
    SectionVersion(u16),
    /// Interface options that make no sense; times after them would be guesses.
    #[error("the options of an interface description are malformed")]
    Options,
    /// The system or the decompressor gave up.
    #[error("reading failed: {0}")]
    Stream(String),
}
