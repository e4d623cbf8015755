//! What the targets share: frames as bytes that a fuzzer may change anywhere, and the making of seeds.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use sekisho::capture::files::{FileSource, Options};
use sekisho::capture::{Polled, Source};
use sekisho::frame::{Batch, Frame, LinkType};
use sekisho::time::Timestamp;

/// Frames of any bytes, until these are used up: link type, gap in time, cut, length (two bytes, the lesser
/// first), the captured bytes.
pub fn frames_of(mut bytes: &[u8]) -> Batch {
    let mut batch = Batch::default();
    let mut at = Timestamp::from_secs_nanos(START_SECS, 0);
    while let [link, gap, cut, low, high, rest @ ..] = bytes {
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let (captured, rest) = rest.split_at(len.min(rest.len()));
        at = moved(at, *gap);
        batch.push(Frame {
            at,
            link: LINKS[usize::from(*link) % LINKS.len()],
            wire_len: captured.len() as u32 + 16 * u32::from(*cut),
            bytes: captured,
        });
        bytes = rest;
    }
    batch
}

/// The bytes of which [`frames_of`] makes about these frames; those of other link types are left out.
pub fn bytes_of<'a>(frames: impl IntoIterator<Item = Frame<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut before = None;
    for frame in frames {
        let Some(link) = LINKS.iter().position(|link| *link == frame.link) else { continue };
        let captured = &frame.bytes[..frame.bytes.len().min(usize::from(u16::MAX))];
        let cut = (frame.wire_len.saturating_sub(captured.len() as u32)).div_ceil(16).min(255);
        let gap = frame.at.since(before.unwrap_or(frame.at)).as_nanos() as u64;
        before = Some(frame.at);
        bytes.extend([link as u8, gap_of(gap), cut as u8]);
        bytes.extend((captured.len() as u16).to_le_bytes());
        bytes.extend(captured);
    }
    bytes
}

/// Moved by a power of two in nanoseconds: in most cases by up to half a minute, which is where the
/// limits lie that flows know; in one of eight by hours to centuries, half of them backwards. Such a
/// jump takes every timer of every shard round.
fn moved(at: Timestamp, gap: u8) -> Timestamp {
    let by = |exponent: u8| Duration::from_nanos(1 << exponent);
    match gap {
        0 => at,
        ..LONG => at.plus(by(gap % SHORT)),
        LONG..BACK => at.plus(by(SHORT + (gap - LONG) * 7 / 4)),
        BACK.. => at.minus(by((gap - BACK) * 4)),
    }
}

/// The code of the power of two below a gap, or of one near it.
fn gap_of(nanos: u64) -> u8 {
    match nanos.checked_ilog2().unwrap_or(0) as u8 {
        exponent @ ..SHORT => exponent,
        exponent => LONG + (exponent - SHORT) * 4 / 7,
    }
}

/// With `SEKISHO_SEEDS` set, writes into that folder what `make` makes of all files in the folder
/// `SEKISHO_SEEDS_OF`, below it too, and ends the process.
///
/// A target's own binary makes its seeds, because only it knows how its input is read.
pub fn seed(make: impl FnOnce(&[PathBuf]) -> Vec<Vec<u8>>) {
    let Some(to) = env::var_os("SEKISHO_SEEDS").map(PathBuf::from) else { return };
    let mut files = Vec::new();
    if let Some(of) = env::var_os("SEKISHO_SEEDS_OF") {
        files_below(Path::new(&of), &mut files);
    }
    files.sort();
    let seeds = make(&files).into_iter().filter(|seed| seed.len() <= SEED_MAX);
    for (number, seed) in seeds.enumerate() {
        fs::write(to.join(format!("{number:05}")), seed).expect("seeds can be written");
    }
    process::exit(0);
}

/// The first frames of a capture; none when it is not one.
pub fn first_frames(file: &Path, count: usize) -> Batch {
    let mut frames = Batch::default();
    let Ok(mut source) = FileSource::open(&[file.to_owned()], Options::default()) else {
        return frames;
    };
    let mut batch = Batch::default();
    while let Ok(Polled::Frames) = source.poll(&mut batch) {
        for frame in batch.frames() {
            if frames.heads.len() == count {
                return frames;
            }
            frames.push(frame);
        }
        batch.clear();
    }
    frames
}

/// The texts between fences marked with this language in pages of documentation, and the whole of
/// any other files.
pub fn texts_in(files: &[PathBuf], fence: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(file) else { continue };
        if file.extension().is_some_and(|end| end == "md") {
            let blocks = text.split("```").skip(1).step_by(2);
            texts.extend(blocks.filter_map(|block| block.strip_prefix(fence)).map(str::to_owned));
        } else {
            texts.push(text);
        }
    }
    texts
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// Powers of two from here on are long: 69 s and more.
const SHORT: u8 = 36;
/// The first code of a long gap.
const LONG: u8 = 0xe0;
/// The first code of a step backwards.
const BACK: u8 = 0xf0;

/// Somewhere in 2026: far enough from both ends of time to be moved either way.
const START_SECS: u64 = 1_773_619_200;

/// Larger seeds make every step slow and say little that smaller ones do not.
const SEED_MAX: usize = 16 << 10;

/// Every link type that is read, and one that is not.
const LINKS: [LinkType; 12] = [
    LinkType::ETHERNET,
    LinkType::NULL,
    LinkType::PPP,
    LinkType::PPP_HDLC,
    LinkType::PPP_ETHER,
    LinkType::RAW,
    LinkType::LOOP,
    LinkType::LINUX_SLL,
    LinkType::IPV4,
    LinkType::IPV6,
    LinkType::LINUX_SLL2,
    LinkType(147),
];
