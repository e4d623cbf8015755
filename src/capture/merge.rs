//! Orders the frames of several files by packet time.
//!
//! The order is that of a frame by frame merge: always the frame at the head of some file with the
//! earliest time, the file named first when times are equal; within a file, the file's own order.
//! Where files do not interleave, which is nearly everywhere in a rotated capture, whole batches
//! are handed through untouched.
//!
//! A regular file is looked into at the start for the time of its first packet, closed, and opened
//! again when the merge has come to that time. So ten thousand files of a rotated capture hold one
//! or two descriptors, not ten thousand. What cannot be read twice (a pipe) stays open.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};

use super::compress::{Input, Meter};
use super::error::{CaptureError, Notice};
use super::reader::{BYTES_MAX, FRAMES_MAX, Reader, Tally};
use super::{Polled, Ports};
use crate::frame::Batch;
use crate::time::Timestamp;

/// Several files on their way to being one stream.
#[derive(Default)]
pub(super) struct Merge {
    members: Vec<Member>,
    ports: Ports,
    /// The head of every file that has one, apart from `refill`.
    order: BinaryHeap<Reverse<Head>>,
    /// The file whose batch was handed out whole: what comes next in it is not known yet, and not
    /// asked before the next poll, so that a slow pipe does not hold back what it gave.
    refill: Option<usize>,
    open: usize,
    meter: Meter,
    tally: Tally,
    notices: Vec<Notice>,
}

struct Member {
    path: PathBuf,
    state: State,
}

enum State {
    /// Has packets; closed until its time comes.
    Waiting,
    Open(Box<Opened>),
    Done,
}

struct Opened {
    reader: Reader,
    batch: Batch,
    /// The first frame of the batch that is not handed out.
    next: usize,
}

/// The next frame of a file: its time, then the file's place in the order named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    at: Timestamp,
    index: usize,
}

/// Does a file stay open from the start?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Yes: it cannot be read twice, or it is the only one.
    Open,
    /// No: only its first packet is looked at.
    Closed,
}

impl Merge {
    /// Adds a file, which ranks behind those added before.
    pub(super) fn add(&mut self, path: &Path, hold: Hold) -> Result<(), CaptureError> {
        let meter = match hold {
            Hold::Open => self.meter.clone(),
            Hold::Closed => Meter::default(),
        };
        let input = Input::open(path, &meter).map_err(|error| self.explain(path, error))?;
        let reader = Reader::new(path, input, &self.ports)?;
        let was_done = self.members.len();
        self.add_reader(path, reader, hold)?;
        if hold == Hold::Closed && matches!(self.members[was_done].state, State::Done) {
            self.meter.add(meter.bytes());
        }
        Ok(())
    }

    /// Adds bytes that come from elsewhere.
    pub(super) fn add_pipe(
        &mut self,
        name: &Path,
        pipe: impl io::Read + Send + 'static,
    ) -> Result<(), CaptureError> {
        let input = Input::of_pipe(name, pipe, &self.meter)?;
        let reader = Reader::new(name, input, &self.ports)?;
        self.add_reader(name, reader, Hold::Open)
    }

    fn add_reader(
        &mut self,
        path: &Path,
        mut reader: Reader,
        hold: Hold,
    ) -> Result<(), CaptureError> {
        let index = self.members.len();
        let mut batch = Batch::default();
        reader.fill(&mut batch, FIRST_LOOK);
        let state = match (batch.heads.first(), hold) {
            (None, _) => {
                self.count(&mut reader);
                match reader.take_notice() {
                    Some(Notice::Damaged { place, damage }) if place.offset == 0 => {
                        return Err(CaptureError::Broken { place, damage });
                    }
                    notice => self.notices.extend(notice),
                }
                State::Done
            }
            (Some(head), hold) => {
                self.order.push(Reverse(Head { at: head.at, index }));
                match hold {
                    Hold::Open => {
                        self.count(&mut reader);
                        self.open += 1;
                        State::Open(Box::new(Opened { reader, batch, next: 0 }))
                    }
                    Hold::Closed => State::Waiting,
                }
            }
        };
        self.members.push(Member { path: path.to_owned(), state });
        Ok(())
    }

    /// How many files there are.
    pub(super) fn files(&self) -> usize {
        self.members.len()
    }

    /// The interfaces that were met so far, and those that will be.
    pub(super) fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The time of the first frame not handed out, as far as it is known.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.order.peek().map(|Reverse(head)| head.at)
    }

    /// How many bytes were taken from disk and pipes.
    pub(super) fn consumed_bytes(&self) -> u64 {
        self.meter.bytes()
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    pub(super) fn notices(&self) -> &[Notice] {
        &self.notices
    }

    pub(super) fn note(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// Fills `out`, which is empty, with the next frames.
    ///
    /// # Errors
    /// When a file can no longer be opened. All frames before its first are out by then.
    pub(super) fn poll(&mut self, out: &mut Batch) -> Result<Polled, CaptureError> {
        if let Some(index) = self.refill.take()
            && self.hand_through(index, out)
        {
            return Ok(Polled::Frames);
        }
        while let Some(Reverse(head)) = self.order.pop() {
            if let Err(error) = self.open(head.index) {
                if out.heads.is_empty() {
                    return Err(error);
                }
                self.order.push(Reverse(head));
                return Ok(Polled::Frames);
            }
            if self.emit(head, out) {
                return Ok(Polled::Frames);
            }
        }
        Ok(if out.heads.is_empty() { Polled::End } else { Polled::Frames })
    }

    /// Reads the next batch of a file straight into `out`. Is it all earlier than what other files
    /// have? Else it waits with its file, and `out` is empty again.
    fn hand_through(&mut self, index: usize, out: &mut Batch) -> bool {
        let bytes_max = self.bytes_max();
        let State::Open(opened) = &mut self.members[index].state else { return false };
        opened.reader.fill(out, bytes_max);
        self.tally.add(opened.reader.take_tally());
        let Some(first) = out.heads.first() else {
            self.close(index);
            return false;
        };
        let limit = self.order.peek().map(|Reverse(head)| *head);
        if run_len(out, 0, index, limit) == out.heads.len() {
            self.refill = Some(index);
            return true;
        }
        self.order.push(Reverse(Head { at: first.at, index }));
        opened.batch.clear();
        opened.next = 0;
        std::mem::swap(&mut opened.batch, out);
        false
    }

    /// Moves frames of the file at the head into `out`, while no other file has an earlier one.
    /// Is the batch to be handed out?
    fn emit(&mut self, head: Head, out: &mut Batch) -> bool {
        let index = head.index;
        let limit = self.order.peek().map(|Reverse(head)| *head);
        let State::Open(opened) = &mut self.members[index].state else { return false };
        let Opened { batch, next, .. } = &mut **opened;
        let run = run_len(batch, *next, index, limit).max(1);
        let is_rest = *next + run == batch.heads.len();
        if is_rest && out.heads.is_empty() {
            batch.heads.drain(..*next);
            std::mem::swap(batch, out);
            self.refill = Some(index);
            return true;
        }
        if is_rest && run >= WORTH_HANDING_OVER {
            self.order.push(Reverse(head));
            return true;
        }
        let mut is_full = false;
        for head in &batch.heads[*next..*next + run] {
            is_full = out.heads.len() == FRAMES_MAX
                || !out.heads.is_empty()
                    && out.bytes.len() + head.captured_len as usize > BYTES_MAX;
            if is_full {
                break;
            }
            out.push_from(batch.frame(*head), head.port);
            *next += 1;
        }
        match batch.heads.get(*next) {
            Some(head) => {
                self.order.push(Reverse(Head { at: head.at, index }));
                is_full
            }
            None => {
                self.refill = Some(index);
                true
            }
        }
    }

    /// Opens a file whose time has come.
    fn open(&mut self, index: usize) -> Result<(), CaptureError> {
        let path = match &self.members[index] {
            Member { path, state: State::Waiting } => path.clone(),
            _ => return Ok(()),
        };
        let input = Input::open(&path, &self.meter).map_err(|error| self.explain(&path, error))?;
        let mut reader = Reader::new(&path, input, &self.ports)?;
        let mut batch = Batch::default();
        reader.fill(&mut batch, self.bytes_max());
        self.members[index].state = if batch.heads.is_empty() {
            // It had packets at the start; somebody has emptied it since.
            self.conclude(&mut reader);
            State::Done
        } else {
            self.count(&mut reader);
            self.open += 1;
            State::Open(Box::new(Opened { reader, batch, next: 0 }))
        };
        Ok(())
    }

    fn close(&mut self, index: usize) {
        let state = std::mem::replace(&mut self.members[index].state, State::Done);
        if let State::Open(mut opened) = state {
            self.open -= 1;
            self.conclude(&mut opened.reader);
        }
    }

    fn conclude(&mut self, reader: &mut Reader) {
        self.count(reader);
        self.notices.extend(reader.take_notice());
    }

    fn count(&mut self, reader: &mut Reader) {
        self.tally.add(reader.take_tally());
    }

    /// How much to read at once: less when many files really are open together.
    fn bytes_max(&self) -> usize {
        (OPEN_BYTES_MAX / self.open.max(1)).clamp(OPEN_BYTES_MIN, BYTES_MAX)
    }

    fn explain(&self, path: &Path, error: CaptureError) -> CaptureError {
        match error {
            CaptureError::Unreadable { source, .. } if is_too_many_open(&source) => {
                CaptureError::TooManyOpen { path: path.to_owned(), open: self.open, source }
            }
            other => other,
        }
    }
}

/// How many frames from `next` on come before `limit`, the earliest head of the other files.
fn run_len(batch: &Batch, next: usize, index: usize, limit: Option<Head>) -> usize {
    let heads = &batch.heads[next..];
    let Some(limit) = limit else { return heads.len() };
    heads.iter().position(|head| Head { at: head.at, index } > limit).unwrap_or(heads.len())
}

fn is_too_many_open(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// Enough bytes to hold the first packet of most files.
const FIRST_LOOK: usize = 4096;
/// What all open files together may hold before they read in smaller pieces.
const OPEN_BYTES_MAX: usize = 64 << 20;
const OPEN_BYTES_MIN: usize = 64 << 10;
/// A rest of so many frames is handed over as it is rather than copied behind others.
const WORTH_HANDING_OVER: usize = 64;

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::super::Source;
    use super::super::files::{FileSource, Options};
    use super::super::sample::{Packet, Pcap, Pcapng, drain, packet};
    use super::*;

    /// The law: what a merge of single frames gives.
    fn merged(files: &[Vec<Packet>]) -> Vec<Packet> {
        let mut rest: Vec<&[Packet]> = files.iter().map(Vec::as_slice).collect();
        let mut merged = Vec::new();
        while let Some(index) =
            (0..rest.len()).filter(|i| !rest[*i].is_empty()).min_by_key(|i| rest[*i][0].at)
        {
            merged.push(rest[index][0].clone());
            rest[index] = &rest[index][1..];
        }
        merged
    }

    fn replayed(files: &[Vec<Packet>]) -> Vec<Packet> {
        let directory = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files
            .iter()
            .enumerate()
            .map(|(number, packets)| {
                let path = directory.path().join(format!("{number:05}.pcap"));
                fs::write(&path, Pcap::default().file(packets)).unwrap();
                path
            })
            .collect();
        let mut source = FileSource::open(&paths, Options::default()).unwrap();
        assert!(open_files(directory.path()) <= 1);
        let (packets, notices) = drain(&mut source).unwrap();
        assert_eq!(notices, Vec::<String>::new());
        assert_eq!(source.counters().files, files.len() as u64);
        assert_eq!(source.consumed_bytes(), source.total_bytes());
        packets
    }

    /// An interface is one by its name, whatever its number in this file or that, and however frames get through.
    #[test]
    fn frames_keep_their_interface() {
        let directory = tempfile::tempdir().unwrap();
        let packet = packet(0, 1, 60);
        let mut paths = Vec::new();
        for (number, names) in [["in", "out"], ["out", "in"], ["in", "out"]].iter().enumerate() {
            let mut pcapng = Pcapng::default();
            for name in names {
                let named = pcapng.option(2, name.as_bytes());
                pcapng.interface(1, 0, &named);
            }
            let starts = if number == 2 { 1000 } else { 0 };
            for (micros, name) in (starts..starts + 400).zip(["in", "out", "in"].iter().cycle()) {
                let interface = u32::from(names[1] == *name);
                pcapng.enhanced(interface, micros * 10 + number as u64, &packet);
            }
            paths.push(directory.path().join(format!("{number}.pcapng")));
            fs::write(&paths[number], pcapng.file).unwrap();
        }
        let mut source = FileSource::open(&paths, Options::default()).unwrap();
        let (mut batch, mut seen) = (Batch::default(), Vec::new());
        while source.poll(&mut batch).unwrap() == Polled::Frames {
            let ports = batch.heads.iter().map(|head| source.ports().name(head.port).unwrap());
            seen.extend(ports);
            batch.clear();
        }
        let turns = ["in", "out", "in"].iter().cycle().take(400);
        let twice = turns.clone().flat_map(|&name| [name, name]);
        let expected: Vec<&str> = twice.chain(turns.copied()).collect();
        assert!(seen == expected);
    }

    /// How many descriptors of this process lead into `directory`.
    fn open_files(directory: &Path) -> usize {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap();
        descriptors
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.starts_with(directory))
            .count()
    }

    #[test]
    fn equal_times_go_by_the_order_of_the_files() {
        let files: Vec<_> =
            (0..3).map(|file| vec![packet(7, file, 4), packet(7, file, 5)]).collect();
        assert_eq!(replayed(&files), files.concat());
    }

    /// A rotated capture of many files: a few descriptors, whole batches.
    #[test]
    fn rotated_files_are_opened_in_turn() {
        let directory = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        for file in 0..300_u64 {
            let packets: Vec<_> =
                (0..20).map(|n| packet(file * 100 + n * 6, n as u8, 60)).collect();
            let path = directory.path().join(format!("{file:05}.pcap"));
            fs::write(path, Pcap::default().file(&packets)).unwrap();
            all.push(packets);
        }
        let paths = [directory.path().to_owned()];
        let mut source = FileSource::open(&paths, Options::default()).unwrap();
        let (mut batch, mut seen) = (Batch::default(), 0);
        while source.poll(&mut batch).unwrap() != Polled::End {
            assert!(open_files(directory.path()) <= 2);
            seen += batch.heads.len();
            batch.clear();
        }
        assert_eq!(seen, 6000);
        assert_eq!(replayed(&all), merged(&all));
    }

    /// Batches longer than a chunk, interleaved, disjoint, one within a gap of the other.
    #[test]
    fn large_files_merge_as_their_frames_do() {
        let file = |from: u64, step: u64, count: u64, len: usize| -> Vec<Packet> {
            (0..count).map(|n| packet(from + n * step, from as u8, len)).collect()
        };
        for files in [
            vec![file(0, 1, 20_000, 40), file(20_000, 1, 20_000, 40)],
            vec![file(0, 2, 20_000, 90), file(1, 2, 20_000, 90)],
            vec![file(0, 1, 9_000, 1400), file(4_000, 1, 10, 60), file(8_999, 1, 2, 60)],
            vec![file(0, 1000, 30, 200_000), file(0, 1, 40_000, 60)],
        ] {
            assert!(replayed(&files) == merged(&files));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Frames out of order within a file stay there, whatever the other files hold.
        #[test]
        fn merge_is_frame_by_frame(
            times in proptest::collection::vec(proptest::collection::vec(0..60_u64, 0..40), 1..6)
        ) {
            let files: Vec<Vec<Packet>> = times
                .iter()
                .enumerate()
                .map(|(file, times)| {
                    times.iter().enumerate().map(|(n, at)| packet(*at, file as u8, n)).collect()
                })
                .collect();
            prop_assert_eq!(replayed(&files), merged(&files));
        }
    }
}
