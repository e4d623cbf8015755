//! What outlives a run: what was learned, and every alert with what people said of it.
//!
//! A folder holds `learned.state`, the one before it (`learned.state.1`), and the alerts
//! (`incidents.db`, SQLite). One process at a time writes to it; any number read.

mod error;
mod snapshot;
mod store;

pub use error::StateError;
pub use snapshot::{Header, SCHEMA};
pub use store::{IncidentRow, Remark, Said, Store};

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use crate::engine::{self, Analyst};
use crate::scribe::Scribe;
use crate::time::Timestamp;

/// A state folder.
#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    /// Held while this process may write.
    lock: Option<File>,
    notices: Vec<String>,
}

impl State {
    /// Opens a folder to read from.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(dir: &Path) -> Result<Self, StateError> {
        fs::read_dir(dir).map_err(|source| StateError::unusable(dir, source))?;
        Ok(Self { dir: dir.to_owned(), lock: None, notices: Vec::new() })
    }

    /// Opens a folder to write to, and makes it where it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or another process writes to it.
    pub fn write(dir: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(dir).map_err(|source| StateError::unusable(dir, source))?;
        let path = dir.join(LOCK);
        let lock = File::create(&path).map_err(|source| StateError::unusable(&path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(StateError::unusable(&path, source)),
        }
        Ok(Self { dir: dir.to_owned(), lock: Some(lock), notices: Vec::new() })
    }

    /// What there is to tell the operator: files that were set aside.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// What the latest file that can be read says of itself; `None` where nothing was learned yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn header(&self) -> Result<Option<Header>, StateError> {
        let mut damage = None;
        for name in [LEARNED, BEFORE] {
            match snapshot::header(&self.dir.join(name)) {
                Ok(None) => {}
                Ok(Some((header, _))) => return Ok(Some(header)),
                Err(error @ StateError::Damaged { .. }) => {
                    damage.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        damage.map_or(Ok(None), Err)
    }

    /// The analyst as it was when the run before ended, with what people have said of its incidents since;
    /// `None` where nothing was learned yet.
    ///
    /// A damaged file is set aside, when this process may write, and the one before it is taken.
    ///
    /// # Errors
    /// When there are files but none that can be read, or what they hold does not go with `options`.
    pub fn load(
        &mut self,
        options: &engine::Options,
    ) -> Result<Option<(Header, Analyst)>, StateError> {
        let mut damage = None;
        for name in [LEARNED, BEFORE] {
            let path = self.dir.join(name);
            match snapshot::read(&path) {
                Ok(None) => {}
                Ok(Some((header, analyst))) => {
                    return self.resume(&path, (header, analyst), options).map(Some);
                }
                Err(error @ StateError::Damaged { .. }) => {
                    self.set_aside(&path, &error)?;
                    damage.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        damage.map_or(Ok(None), Err)
    }

    fn resume(
        &self,
        path: &Path,
        (header, analyst): (Header, Analyst),
        options: &engine::Options,
    ) -> Result<(Header, Analyst), StateError> {
        let timezone = options.egress.timezone.iana_name().unwrap_or("UTC");
        if header.timezone != timezone {
            return Err(StateError::Timezone {
                path: path.to_owned(),
                kept: header.timezone,
                given: timezone.to_owned(),
            });
        }
        let resumed = analyst.resume(options.clone());
        let mut analyst =
            resumed.map_err(|source| StateError::Outgrown { path: path.to_owned(), source })?;
        for (incident, verdict) in self.store()?.verdicts()? {
            analyst.settle(&incident, verdict);
        }
        Ok((header, analyst))
    }

    /// Writes what was learned, so that it is all there or not at all whenever the machine stops. The file
    /// of the time before stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, analyst: &Analyst) -> Result<(), StateError> {
        let (done, outcome) = channel();
        self.save_by(&Scribe::at_once(), analyst, move |told| done.send(told).unwrap_or_default());
        outcome.recv().expect("who is told to do it at once has done it")
    }

    /// As [`State::save`], but it is a scribe who writes, and hands the outcome on.
    pub fn save_by(
        &self,
        scribe: &Scribe,
        analyst: &Analyst,
        done: impl FnOnce(Result<(), StateError>) + Send + 'static,
    ) {
        let [path, before, new] = [LEARNED, BEFORE, NEW].map(|name| self.dir.join(name));
        let mut pen = scribe.create(new.clone(), MODE);
        let written = snapshot::write(&mut pen, analyst);
        let (sheet, dir) = (pen.sheet(), self.dir.clone());
        scribe.tell(0, move || {
            let put = || {
                sheet.sync()?;
                if path.exists() {
                    fs::rename(&path, before)?;
                }
                fs::rename(new, &path)?;
                File::open(dir)?.sync_all()
            };
            done(
                written.and_then(|()| put()).map_err(|source| StateError::unusable(&path, source)),
            );
        });
    }

    /// The alerts.
    ///
    /// # Errors
    /// When they cannot be opened.
    pub fn store(&self) -> Result<Store, StateError> {
        Store::open(&self.dir.join(INCIDENTS), self.lock.is_some())
    }

    fn set_aside(&mut self, path: &Path, error: &StateError) -> Result<(), StateError> {
        let mut notice = error.to_string();
        if self.lock.is_some() {
            let aside = path.with_added_extension("damaged");
            fs::rename(path, &aside).map_err(|source| StateError::unusable(path, source))?;
            notice = format!("{notice}; it was set aside as {}", aside.display());
        }
        self.notices.push(notice);
        Ok(())
    }
}

impl Header {
    /// May traffic that begins at `first` be learned on top of this?
    ///
    /// # Errors
    /// When it was learned already.
    pub fn check(&self, dir: &Path, first: Timestamp) -> Result<(), StateError> {
        if first < self.until {
            let (dir, until) = (dir.to_owned(), self.until);
            return Err(StateError::LearnedAlready { dir, first, until });
        }
        Ok(())
    }
}

/// Who may read what was learned is for the folder, or the umask, to say.
const MODE: u32 = 0o666;

const LOCK: &str = "lock";
const LEARNED: &str = "learned.state";
const BEFORE: &str = "learned.state.1";
const NEW: &str = "learned.state.new";
const INCIDENTS: &str = "incidents.db";
