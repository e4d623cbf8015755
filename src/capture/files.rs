//! Capture files as a source of frames.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::compress::is_standard_input;
use super::error::{CaptureError, Notice};
use super::filter::{Filter, FilterError};
use super::merge::{Hold, Merge};
use super::{Polled, Ports, Source};
use crate::frame::{Batch, Frame};
use crate::time::Timestamp;

/// Which frames of the files are wanted; the default is all.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Options {
    /// A BPF expression, as tcpdump takes it.
    pub filter: Option<String>,
    /// Frames before this moment are left out.
    pub since: Option<Timestamp>,
    /// Frames from this moment on are left out.
    pub until: Option<Timestamp>,
}

/// What was read so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Files that are captures, read or yet to be read.
    pub files: u64,
    /// Frames handed out.
    pub frames: u64,
    /// Their captured bytes.
    pub captured_bytes: u64,
    /// Their bytes on the wire, by the files' own account.
    pub wire_bytes: u64,
    /// Frames left out by the filter or the time bounds.
    pub filtered: u64,
    /// Frames handed out that are earlier than one before them.
    pub late: u64,
    /// Frames without a time of their own, filtered ones included; they have that of the packet
    /// before them in the file, or the epoch.
    pub unstamped: u64,
    /// Frames that the capturing machine lost, as far as the files say.
    pub dropped: u64,
    /// Frames that were passed over live because too many waited; others stand for them.
    pub shed: u64,
    /// Frames whose first bytes were not looked at live because too many waited.
    pub unnamed: u64,
}

/// Reads capture files, merged by packet time.
pub struct FileSource {
    merge: Merge,
    filter: Filter,
    counters: Counters,
    total_bytes: u64,
    latest: Timestamp,
    /// An error that waits until the frames before it are handed out.
    failed: Option<CaptureError>,
}

impl FileSource {
    /// Opens files, directories (the captures in them by name, not those further down) and
    /// standard input (`-`).
    ///
    /// # Errors
    /// When a file named is not a readable capture, a directory holds none, or the filter is wrong.
    /// A file in a directory that is not a capture is left out with a notice.
    pub fn open(paths: &[PathBuf], options: Options) -> Result<Self, CaptureError> {
        let mut source = Self::new(options)?;
        let mut named = Vec::new();
        for path in paths {
            if !is_standard_input(path) && path.is_dir() {
                named.push((path, files_in(path)?));
            } else {
                named.push((path, vec![path.clone()]));
            }
        }
        let is_only = named.iter().map(|(_, files)| files.len()).sum::<usize>() == 1;
        for (path, files) in &named {
            let before = source.merge.files();
            for file in files {
                let is_regular = !is_standard_input(file) && file.is_file();
                let hold = if is_only || !is_regular { Hold::Open } else { Hold::Closed };
                match source.merge.add(file, hold) {
                    Ok(()) if is_regular => {
                        source.total_bytes += fs::metadata(file).map_or(0, |file| file.len());
                    }
                    Ok(()) => {}
                    Err(error) if file != *path => source.merge.note(skipped(file, &error)),
                    Err(error) => return Err(error),
                }
            }
            if source.merge.files() == before {
                return Err(CaptureError::EmptyDirectory { path: path.to_path_buf() });
            }
        }
        if source.merge.files() == 0 {
            return Err(CaptureError::Nothing);
        }
        Ok(source)
    }

    /// Reads one capture from elsewhere; `name` stands for it in messages.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn read(
        name: &Path,
        bytes: impl Read + Send + 'static,
        options: Options,
    ) -> Result<Self, CaptureError> {
        let mut source = Self::new(options)?;
        source.merge.add_pipe(name, bytes)?;
        Ok(source)
    }

    fn new(options: Options) -> Result<Self, FilterError> {
        let Options { filter, since, until } = options;
        Ok(Self {
            merge: Merge::default(),
            filter: Filter::new(filter.as_deref(), since, until)?,
            counters: Counters::default(),
            total_bytes: 0,
            latest: Timestamp::EPOCH,
            failed: None,
        })
    }

    /// The earliest time of any file's first packet, before anything is read; `None` where there is none.
    pub fn first_at(&self) -> Option<Timestamp> {
        self.merge.next_at()
    }

    /// The interfaces that were met so far, and those that will be.
    pub fn ports(&self) -> &Ports {
        self.merge.ports()
    }

    /// What was read so far.
    pub fn counters(&self) -> Counters {
        let tally = self.merge.tally();
        Counters {
            files: self.merge.files() as u64,
            unstamped: tally.unstamped,
            dropped: tally.dropped,
            ..self.counters
        }
    }

    /// What the reader of the result must know about the files: one a file at most. Complete at
    /// the end.
    pub fn notices(&self) -> &[Notice] {
        self.merge.notices()
    }

    /// The size of all files on disk; pipes count nothing.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// How much of that was read, before decompression. A damaged file leaves its rest unread.
    pub fn consumed_bytes(&self) -> u64 {
        self.merge.consumed_bytes()
    }

    /// Removes the frames that are not wanted; at an error, all from there on.
    fn screen(&mut self, batch: &mut Batch) {
        if self.filter.is_open() {
            return;
        }
        let Self { filter, failed, counters, .. } = self;
        let Batch { bytes, heads, .. } = batch;
        heads.retain(|head| {
            let start = head.start as usize;
            let frame = Frame {
                at: head.at,
                link: head.link,
                wire_len: head.wire_len,
                bytes: &bytes[start..start + head.captured_len as usize],
            };
            if failed.is_some() {
                return false;
            }
            filter
                .keep(&frame)
                .inspect(|kept| counters.filtered += u64::from(!kept))
                .unwrap_or_else(|error| {
                    *failed = Some(error.into());
                    false
                })
        });
    }

    fn count(&mut self, batch: &Batch) {
        let Self { counters, latest, .. } = self;
        counters.frames += batch.heads.len() as u64;
        for head in &batch.heads {
            counters.captured_bytes += u64::from(head.captured_len);
            counters.wire_bytes += u64::from(head.wire_len);
            counters.late += u64::from(head.at < *latest);
            *latest = head.at.max(*latest);
        }
    }
}

impl Source for FileSource {
    type Error = CaptureError;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, CaptureError> {
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let polled = self.merge.poll(batch)?;
            if polled != Polled::Frames {
                return Ok(polled);
            }
            self.screen(batch);
            if !batch.heads.is_empty() {
                self.count(batch);
                return Ok(Polled::Frames);
            }
            batch.clear();
        }
    }
}

/// The files in a directory, by name.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let unreadable = |source| CaptureError::Unreadable { path: directory.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn skipped(file: &Path, error: &CaptureError) -> Notice {
    Notice::Skipped { path: file.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Pcap, Pcapng, drain, packet, packets};
    use super::*;

    fn options(filter: &str) -> Options {
        Options { filter: Some(filter.to_owned()), ..Options::default() }
    }

    #[test]
    fn what_is_named_must_be_a_capture() {
        let directory = tempfile::tempdir().unwrap();
        let open = |path: &Path| FileSource::open(&[path.to_owned()], Options::default());
        let error =
            |path: &Path| open(path).err().map(|error| error.to_string()).unwrap_or_default();
        let missing = directory.path().join("missing.pcap");
        assert!(error(&missing).ends_with("missing.pcap: cannot be read"));
        assert!(error(directory.path()).contains("holds no capture file"));
        let text = directory.path().join("notes.txt");
        fs::write(&text, "10.0.0.1 is odd").unwrap();
        assert!(error(&text).contains("notes.txt: not a capture file"));
        assert!(error(directory.path()).contains("holds no capture file"));
        let broken = directory.path().join("broken.pcapng");
        let mut file = Pcapng::default().file;
        file[12] = 9;
        fs::write(&broken, file).unwrap();
        assert!(error(&broken).contains("broken.pcapng: byte 0: a section has version 9"));
        assert!(matches!(FileSource::open(&[], Options::default()), Err(CaptureError::Nothing)));
    }

    /// A directory is read by name and by content; what else lies there is said, not fatal.
    #[test]
    fn directory_gives_its_captures() {
        let directory = tempfile::tempdir().unwrap();
        let packets = packets(9);
        let path = |name: &str| directory.path().join(name);
        fs::write(path("b.dat"), Pcap::default().file(&packets[5..])).unwrap();
        fs::write(path("a"), Pcap::default().file(&packets[..5])).unwrap();
        fs::write(path("c.pcap"), "no").unwrap();
        fs::write(path("d.pcap"), "").unwrap();
        fs::create_dir(path("deeper")).unwrap();
        fs::write(path("deeper/e.pcap"), Pcap::default().file(&packets)).unwrap();
        let mut source =
            FileSource::open(&[directory.path().to_owned()], Options::default()).unwrap();
        let (frames, notices) = drain(&mut source).unwrap();
        assert_eq!(frames, packets);
        let [skipped, empty] = &notices[..] else { panic!("{notices:?}") };
        assert!(skipped.contains("c.pcap: not a capture file"), "{skipped}");
        assert!(empty.ends_with("d.pcap: is empty"), "{empty}");
    }

    /// The law that lets a rotated capture be replayed: where it was cut changes nothing.
    #[test]
    fn split_anywhere_gives_the_same_frames() {
        let directory = tempfile::tempdir().unwrap();
        let packets = packets(25);
        let paths = [directory.path().join("0"), directory.path().join("1")];
        for cut in 0..=packets.len() {
            fs::write(&paths[0], Pcap::default().file(&packets[..cut])).unwrap();
            fs::write(&paths[1], Pcap::default().file(&packets[cut..])).unwrap();
            let mut source = FileSource::open(&paths, Options::default()).unwrap();
            assert_eq!(drain(&mut source).unwrap(), (packets.clone(), vec![]), "cut at {cut}");
        }
    }

    #[test]
    fn counters_tell_kept_from_filtered() {
        let packets: Vec<_> = [5, 3, 9, 8].map(|at| packet(at, 1, 60)).to_vec();
        let file = Pcap::default().file(&packets);
        let bounds = Options { since: Some(packets[0].at), ..Options::default() };
        let mut source =
            FileSource::read(Path::new("x"), std::io::Cursor::new(file), bounds).unwrap();
        let (frames, _) = drain(&mut source).unwrap();
        assert_eq!(frames.len(), 3);
        let counters = Counters {
            files: 1,
            frames: 3,
            captured_bytes: 180,
            wire_bytes: 180,
            filtered: 1,
            late: 1,
            ..Counters::default()
        };
        assert_eq!(source.counters(), counters);
    }

    /// Frames before the one that cannot be filtered are handed out before the error.
    #[test]
    fn filter_error_comes_after_the_frames_before_it() {
        let mut pcapng = Pcapng::default();
        pcapng.interface(1, 0, &[]).interface(101, 0, &[]);
        pcapng.enhanced(0, 1, &packet(1, 1, 60)).enhanced(1, 2, &packet(2, 1, 60));
        let name = Path::new("x");
        let file = std::io::Cursor::new(pcapng.file);
        let mut source =
            FileSource::read(name, file, options("not ether host 1:2:3:4:5:6")).unwrap();
        let mut batch = Batch::default();
        assert_eq!(source.poll(&mut batch).unwrap(), Polled::Frames);
        assert_eq!(batch.heads.len(), 1);
        batch.clear();
        let error = source.poll(&mut batch).unwrap_err().to_string();
        assert!(error.contains("link type 101"), "{error}");
    }
}
