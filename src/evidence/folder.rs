//! The folder that evidence lies in: what files are called, and which go when there are too many.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::Options;
use crate::scribe::Scribe;
use crate::time::Timestamp;

/// The files of a folder, oldest first by when their incidents were raised. Others' files are left alone.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    bytes_max: u64,
    kept_for: Duration,
    /// By name, which begins with the time.
    files: BTreeMap<String, Kept>,
    bytes: u64,
    /// Files that had to go.
    pub(super) removed: u64,
    scribe: Scribe,
    /// Files that could not be removed.
    stuck: (Sender<Stuck>, Receiver<Stuck>),
}

/// A file and its name.
type Stuck = (String, Kept);

#[derive(Debug, Clone, Copy)]
struct Kept {
    bytes: u64,
    is_open: bool,
}

impl Folder {
    /// Makes the folder where it is missing, for its owner alone, and looks at what is in it.
    pub(super) fn open(options: &Options, scribe: Scribe) -> io::Result<Self> {
        let Options { dir, bytes_max, kept_for, .. } = options;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string()
                && is_ours(&name)
            {
                let bytes = entry.metadata()?.len();
                files.insert(name, Kept { bytes, is_open: false });
            }
        }
        let bytes = files.values().map(|kept| kept.bytes).sum();
        let (dir, bytes_max, kept_for) = (dir.to_owned(), *bytes_max, *kept_for);
        let stuck = channel();
        Ok(Self { dir, bytes_max, kept_for, files, bytes, removed: 0, scribe, stuck })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Takes note of a new file of this name, in place of one that there may be; answers where it is to be.
    pub(super) fn enter(&mut self, name: &str) -> PathBuf {
        let before = self.files.insert(name.to_owned(), Kept { bytes: 0, is_open: true });
        self.bytes -= before.map_or(0, |before| before.bytes);
        self.path(name)
    }

    /// Nothing more is added to a file: it may go when room is needed.
    pub(super) fn close(&mut self, name: &str) {
        if let Some(kept) = self.files.get_mut(name) {
            kept.is_open = false;
        }
    }

    /// Makes room for so many bytes more, at the cost of the oldest files; false where there is none.
    pub(super) fn make_room(&mut self, bytes: u64) -> bool {
        while self.bytes + bytes > self.bytes_max {
            let oldest = self.files.iter().find(|(_, kept)| !kept.is_open);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { return false };
            self.remove(oldest);
        }
        true
    }

    /// Notes that a file has grown.
    pub(super) fn grow(&mut self, name: &str, bytes: u64) {
        if let Some(kept) = self.files.get_mut(name) {
            kept.bytes += bytes;
            self.bytes += bytes;
        }
    }

    /// Removes what is too old. What could not be removed counts again, and is left alone until the next start.
    pub(super) fn age(&mut self, now: Timestamp) {
        for (name, kept) in self.stuck.1.try_iter() {
            self.removed -= 1;
            self.bytes += kept.bytes;
            self.files.insert(name, Kept { is_open: true, ..kept });
        }
        let last = stamp(now.minus(self.kept_for));
        let old = self.files.iter().take_while(|(name, _)| **name < last);
        let old: Vec<String> =
            old.filter(|(_, kept)| !kept.is_open).map(|(name, _)| name.clone()).collect();
        old.into_iter().for_each(|name| self.remove(name));
    }

    fn remove(&mut self, name: String) {
        let Some(kept) = self.files.remove(&name) else { return };
        self.bytes -= kept.bytes;
        self.removed += 1;
        let (path, stuck) = (self.path(&name), self.stuck.0.clone());
        self.scribe.tell(0, move || match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                stuck.send((name, kept)).unwrap_or_default();
            }
            Ok(()) | Err(_) => {}
        });
    }
}

/// What the file of an incident that was raised at a time is called. `incident` becomes part of a path: `None`
/// unless it is what we call incidents.
pub(super) fn name(raised: Timestamp, incident: &str) -> Option<String> {
    is_id(incident).then(|| format!("{}-{incident}{ENDING}", stamp(raised)))
}

/// A moment to the second, such that texts sort as times do.
fn stamp(at: Timestamp) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_ours(name: &str) -> bool {
    let parts = name.strip_suffix(ENDING).and_then(|name| name.split_once('-'));
    let is_stamp = |text: &str| text.len() == 16 && text.starts_with(|c: char| c.is_ascii_digit());
    parts.is_some_and(|(at, incident)| is_stamp(at) && is_id(incident))
}

const ENDING: &str = ".pcapng";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ID: &str = "00112233445566ff";

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs_nanos(secs, 0)
    }

    fn files(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What is on the wire, or in a state file that somebody else wrote, must not choose where we write.
    #[test]
    fn only_an_id_becomes_part_of_a_path() {
        assert_eq!(name(at(0), ID).unwrap(), format!("19700101T000000Z-{ID}.pcapng"));
        for hostile in ["", "../../etc/passwd", "0011223344556/ff", "00112233445566f\u{e9}", "..."]
        {
            assert_eq!(name(at(0), hostile), None, "{hostile}");
        }
    }

    /// The folder never holds more than it may; the oldest goes first, what is being written and what is not ours
    /// stays.
    #[test]
    fn the_oldest_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.pcapng"), [0; 5000]).unwrap();
        let options = Options {
            bytes_max: 300,
            kept_for: Duration::from_secs(1000),
            ..Options::new(dir.path())
        };
        let open = || Folder::open(&options, Scribe::at_once()).unwrap();
        let mut folder = open();
        let names: Vec<String> = (1..=4).map(|n| name(at(n * 100), ID).unwrap()).collect();
        for name in &names[..3] {
            fs::write(folder.enter(name), "").unwrap();
            assert!(folder.make_room(100));
            folder.grow(name, 100);
        }
        assert!(!folder.make_room(1), "all are being written");
        folder.close(&names[1]);
        fs::write(folder.enter(&names[3]), "").unwrap();
        assert!(folder.make_room(100));
        folder.grow(&names[3], 100);
        assert_eq!(files(dir.path()), [&names[0], &names[2], &names[3], "notes.pcapng"]);
        folder.close(&names[0]);
        folder.age(at(1100));
        assert_eq!(files(dir.path()).len(), 4);
        folder.age(at(1101));
        assert_eq!(files(dir.path()), [&names[2], &names[3], "notes.pcapng"]);
        assert_eq!(folder.removed, 2);
        assert_eq!(open().files.len(), 2);
        // A folder of that name cannot be removed as a file: it counts as before, and never makes room.
        fs::remove_file(dir.path().join(&names[2])).unwrap();
        fs::create_dir(dir.path().join(&names[2])).unwrap();
        let before = (folder.bytes, folder.removed);
        folder.close(&names[2]);
        folder.age(at(2000));
        folder.age(at(2000));
        assert_eq!((folder.bytes, folder.removed), before);
        assert!(!folder.make_room(300));
    }
}
