//! Any bytes, read as a capture file: frames lie within their batch, memory follows what arrives, and
//! it does not matter in which pieces it arrives.
#![no_main]

use std::fs;
use std::io::{self, Cursor, Read};
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sekisho::capture::files::{FileSource, Options};
use sekisho::capture::{Polled, Source};
use sekisho::frame::{Batch, FrameHead};
use sekisho_fuzz::seed;

/// Hands its bytes out a few at a time, as a slow pipe does.
struct Pieces(Cursor<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = into.len().min(PIECE);
        self.0.read(&mut into[..len])
    }
}

fuzz_target!(
    init: seed(|files| {
        let mut seeds: Vec<_> = files.iter().filter_map(|file| fs::read(file).ok()).collect();
        // Recordings are seldom kept compressed: some of the small ones, so that it is fuzzed too.
        let small = seeds.iter().filter(|seed| seed.len() <= PIECES_MAX).step_by(8);
        seeds.extend(small.flat_map(|seed| [gzip(seed), zstd(seed)]).collect::<Vec<_>>());
        seeds
    }),
    |file: &[u8]| {
        let Some(whole) = read(Cursor::new(file.to_vec()), file) else { return };
        if whole.is_over && file.len() <= PIECES_MAX {
            let pieces = read(Pieces(Cursor::new(file.to_vec())), file);
            let pieces = pieces.expect("it was no less of a capture in one piece");
            if whole.is_broken() || pieces.is_broken() {
                // What gzip had undone within the call that meets the flaw, flate2 drops.
                let shared = whole.frames.len().min(pieces.frames.len());
                assert_eq!(whole.frames[..shared], pieces.frames[..shared], "up to the flaw");
            } else {
                assert_eq!(whole, pieces, "in one piece, and in small ones");
            }
        }
    }
);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
    encoder.read_to_end(&mut compressed).expect("memory takes all");
    compressed
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes all")
}

/// What a file gave; none if it was refused.
#[derive(Debug, PartialEq)]
struct Gave {
    frames: Vec<(FrameHead, Vec<u8>)>,
    notices: Vec<String>,
    /// A compressed file of a few bytes can go on for gigabytes: these are read in part.
    is_over: bool,
}

impl Gave {
    /// Could its compression not be undone to the end?
    fn is_broken(&self) -> bool {
        self.notices.iter().any(|notice| notice.contains("reading failed"))
    }
}

fn read(bytes: impl Read + Send + 'static, file: &[u8]) -> Option<Gave> {
    let mut source = FileSource::read(Path::new("fuzz"), bytes, Options::default()).ok()?;
    let mut gave = Gave { frames: Vec::new(), notices: Vec::new(), is_over: false };
    let mut batch = Batch::default();
    let mut taken = 0;
    while taken < TAKEN_MAX {
        match source.poll(&mut batch) {
            Ok(Polled::Frames) => {}
            Ok(Polled::Idle(_)) => panic!("a file is never idle"),
            Ok(Polled::End) | Err(_) => {
                gave.is_over = true;
                break;
            }
        }
        assert!(!batch.heads.is_empty());
        let captured: usize = batch.frames().map(|frame| frame.bytes.len()).sum();
        assert!(captured <= batch.bytes.len());
        let is_compressed = !matches!(file, [0x0a | 0xa1 | 0xd4 | 0xc3 | 0xb2 | 0x4d | 0x34, ..]);
        assert!(
            batch.bytes.len() <= if is_compressed { BATCH_MAX } else { file.len() },
            "{} bytes held",
            batch.bytes.len()
        );
        for frame in batch.frames().take(FRAMES_KEPT - gave.frames.len().min(FRAMES_KEPT)) {
            let head = FrameHead {
                at: frame.at,
                start: 0,
                captured_len: frame.bytes.len() as u32,
                wire_len: frame.wire_len,
                link: frame.link,
                port: 0,
            };
            gave.frames.push((head, frame.bytes.to_vec()));
        }
        taken += batch.bytes.len();
        batch.clear();
    }
    assert!(source.notices().len() <= 1);
    gave.notices = source.notices().iter().map(ToString::to_string).collect();
    Some(gave)
}

const PIECE: usize = 7;
const PIECES_MAX: usize = 4096;
const TAKEN_MAX: usize = 16 << 20;
const FRAMES_KEPT: usize = 1000;

/// A batch, and the largest packet that is believed (that of D-Bus).
const BATCH_MAX: usize = (1 << 20) + (129 << 20);
