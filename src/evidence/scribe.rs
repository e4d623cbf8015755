//! Who writes: a thread of its own where packets must not wait for a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// Does what is to be done to files, in the order in which it is told to.
#[derive(Debug, Clone, Default)]
pub(super) struct Scribe {
    /// To its thread; without one it is done at once, and whoever tells it to waits.
    deeds: Option<Sender<Deed>>,
    /// Bytes that wait to be written.
    waiting: Arc<AtomicU64>,
}

type Deed = Box<dyn FnOnce() + Send>;

/// A file, made and written by a [`Scribe`].
#[derive(Debug, Default)]
pub(super) struct Sheet {
    file: OnceLock<File>,
    trouble: OnceLock<String>,
}

/// Writes to a [`Sheet`], some kilobytes at a time.
#[derive(Debug)]
pub(super) struct Pen {
    scribe: Scribe,
    sheet: Arc<Sheet>,
    buffer: Vec<u8>,
}

impl Scribe {
    /// From now on on a thread of its own.
    pub(super) fn start(&mut self) -> io::Result<()> {
        let (deeds, to_do) = channel::<Deed>();
        thread::Builder::new()
            .name("evidence".to_owned())
            .spawn(move || to_do.into_iter().for_each(|deed| deed()))?;
        self.deeds = Some(deeds);
        Ok(())
    }

    pub(super) fn is_started(&self) -> bool {
        self.deeds.is_some()
    }

    /// Is there room for more that waits?
    pub(super) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < WAITING_MAX
    }

    /// Makes a file that only its owner may read.
    pub(super) fn begin(&self, path: PathBuf) -> Pen {
        let sheet = Arc::new(Sheet::default());
        let made = Arc::clone(&sheet);
        self.tell(move || made.make(path));
        Pen { scribe: self.clone(), sheet, buffer: Vec::new() }
    }

    /// Waits until all is done, but no longer than that; answers whether it is.
    pub(super) fn finish(&self, limit: Duration) -> bool {
        let (done, is_done) = channel();
        // Nobody listens any more when it took too long.
        self.tell(move || done.send(()).unwrap_or_default());
        is_done.recv_timeout(limit).is_ok()
    }

    fn tell(&self, deed: impl FnOnce() + Send + 'static) {
        match &self.deeds {
            // It lives as long as somebody can tell it anything.
            Some(deeds) => deeds.send(Box::new(deed)).unwrap_or_default(),
            None => deed(),
        }
    }
}

impl Sheet {
    /// Why it is not whole.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }

    /// Is nothing to be written any more, by anybody but who asks?
    pub(super) fn is_done(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }

    fn make(&self, path: PathBuf) {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let _ = match file {
            Ok(file) => self.file.set(file).map_err(drop),
            Err(error) => self.trouble.set(error.to_string()).map_err(drop),
        };
    }

    fn write(&self, bytes: &[u8]) {
        let (None, Some(mut file)) = (self.trouble.get(), self.file.get()) else { return };
        if let Err(error) = file.write_all(bytes) {
            // Only this thread sets it.
            let _ = self.trouble.set(error.to_string());
        }
    }
}

impl Pen {
    pub(super) fn sheet(&self) -> Arc<Sheet> {
        Arc::clone(&self.sheet)
    }
}

impl Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    /// Hands over what there is; answers what has become of what was handed over before.
    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let bytes = mem::take(&mut self.buffer);
            let (sheet, waiting) = (self.sheet(), Arc::clone(&self.scribe.waiting));
            let len = bytes.len() as u64;
            waiting.fetch_add(len, Ordering::Relaxed);
            self.scribe.tell(move || {
                sheet.write(&bytes);
                waiting.fetch_sub(len, Ordering::Relaxed);
            });
        }
        self.sheet.trouble().map_or(Ok(()), |reason| Err(io::Error::other(reason)))
    }
}

/// Bytes that wait for the disk at most; what comes then is not kept, but for last words.
const WAITING_MAX: u64 = 64 << 20;

const BUFFER: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Nobody waits for a disk that stands still; whoever asks for room keeps what waits in bounds, and all of it is
    /// there in the end, in order.
    #[test]
    fn a_disk_that_stands_still_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut scribe = Scribe::default();
        scribe.start().unwrap();
        let (go_on, stands_still) = channel::<()>();
        scribe.tell(move || stands_still.recv().unwrap());
        let path = dir.path().join("kept");
        let mut pen = scribe.begin(path.clone());
        let mut written = Vec::new();
        for number in 0u32.. {
            if !scribe.has_room() {
                break;
            }
            let piece = number.to_le_bytes().repeat(1000);
            pen.write_all(&piece).unwrap();
            written.extend(piece);
        }
        assert!(written.len() as u64 >= WAITING_MAX && !path.exists());
        assert!(written.len() as u64 <= WAITING_MAX + 2 * BUFFER as u64, "{}", written.len());
        pen.flush().unwrap();
        assert!(!scribe.finish(Duration::ZERO));
        go_on.send(()).unwrap();
        assert!(scribe.finish(Duration::MAX) && scribe.has_room());
        assert!(fs::read(path).unwrap() == written);
    }

    /// What cannot be made or written is said when there is next something to write; alone, it is said at once.
    #[test]
    fn trouble_is_said() {
        let nowhere = Path::new("/nonexistent/kept");
        assert!(Scribe::default().begin(nowhere.to_owned()).flush().is_err());
        let mut scribe = Scribe::default();
        scribe.start().unwrap();
        let mut pen = scribe.begin(nowhere.to_owned());
        assert!(scribe.finish(Duration::MAX));
        assert!(pen.flush().unwrap_err().to_string().contains("No such file"));
        let sheet = pen.sheet();
        drop(pen);
        assert!(sheet.trouble().is_some() && Arc::strong_count(&sheet) == 1);
    }
}
