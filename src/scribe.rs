//! Who writes files, and tells what is to be told: a thread of its own where packets must not wait for a disk, or for
//! whoever reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// Does what it is told to, in that order.
#[derive(Debug, Clone)]
pub struct Scribe(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What its thread is called; without one all is done at once, and whoever tells it to waits.
    thread: Option<&'static str>,
    /// To the thread. Not begun before there is something to do: a thread has the privileges that there were when it
    /// began. `None` when it could not be begun.
    deeds: OnceLock<Option<Sender<Deed>>>,
    /// Bytes that wait.
    waiting: AtomicU64,
}

type Deed = Box<dyn FnOnce() + Send>;

/// A file that a [`Scribe`] writes.
#[derive(Debug, Default)]
pub struct Sheet {
    file: OnceLock<File>,
    trouble: OnceLock<String>,
}

/// Writes to a [`Sheet`], some kilobytes at a time.
#[derive(Debug)]
pub struct Pen {
    scribe: Scribe,
    sheet: Arc<Sheet>,
    buffer: Vec<u8>,
}

impl Scribe {
    /// Who tells it to waits.
    pub fn at_once() -> Self {
        Self::new(None)
    }

    /// Nobody waits.
    pub fn on_thread(name: &'static str) -> Self {
        Self::new(Some(name))
    }

    fn new(thread: Option<&'static str>) -> Self {
        Self(Arc::new(Inner { thread, deeds: OnceLock::new(), waiting: AtomicU64::new(0) }))
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> u64 {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Is there room for more that waits? What is told without asking finds as much again; beyond that, who tells it
    /// waits.
    pub fn has_room(&self) -> bool {
        self.waiting() < WAITING_MAX
    }

    /// Makes a file, in place of one of that name.
    pub fn create(&self, path: PathBuf, mode: u32) -> Pen {
        let sheet = Arc::new(Sheet::default());
        let made = Arc::clone(&sheet);
        self.tell(0, move || made.make(&path, mode));
        Pen { scribe: self.clone(), sheet, buffer: Vec::new() }
    }

    /// Writes to a file that is open.
    pub fn pen(&self, file: File) -> Pen {
        let sheet = Arc::new(Sheet { file: file.into(), trouble: OnceLock::new() });
        Pen { scribe: self.clone(), sheet, buffer: Vec::new() }
    }

    /// Waits until all is done, but no longer than that; answers whether it is.
    pub fn finish(&self, limit: Duration) -> bool {
        let (done, is_done) = channel();
        // Nobody listens any more when it took too long.
        self.hand_over(Box::new(move || done.send(()).unwrap_or_default()));
        is_done.recv_timeout(limit).is_ok()
    }

    /// Tells it what to do, which holds about so many bytes until it is done.
    pub fn tell(&self, bytes: u64, deed: impl FnOnce() + Send + 'static) {
        if self.waiting() > 2 * WAITING_MAX {
            self.finish(Duration::MAX);
        }
        let Inner { waiting, .. } = &*self.0;
        waiting.fetch_add(bytes, Ordering::Relaxed);
        let inner = Arc::downgrade(&self.0);
        self.hand_over(Box::new(move || {
            deed();
            if let Some(inner) = inner.upgrade() {
                inner.waiting.fetch_sub(bytes, Ordering::Relaxed);
            }
        }));
    }

    fn hand_over(&self, deed: Deed) {
        let Inner { thread, deeds, .. } = &*self.0;
        match deeds.get_or_init(|| thread.and_then(begin)) {
            // It lives as long as somebody can tell it anything.
            Some(deeds) => deeds.send(deed).unwrap_or_default(),
            None => deed(),
        }
    }
}

fn begin(name: &str) -> Option<Sender<Deed>> {
    let (deeds, to_do) = channel::<Deed>();
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(move || to_do.into_iter().for_each(|deed| deed())).ok().map(|_| deeds)
}

impl Sheet {
    /// Why it is not whole.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }

    /// Is nothing to be written any more, by anybody but who asks?
    pub fn is_done(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }

    /// Waits until what was written is on the disk. For a deed of the scribe: it is in order with what is written.
    ///
    /// # Errors
    /// When it is not, or not whole.
    pub fn sync(&self) -> io::Result<()> {
        match (self.trouble(), self.file.get()) {
            (Some(trouble), _) => Err(io::Error::other(trouble)),
            (None, file) => file.map_or(Ok(()), File::sync_all),
        }
    }

    fn make(&self, path: &Path, mode: u32) {
        let make = || {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
        };
        let _ = match make() {
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
    /// What it writes to.
    pub fn sheet(&self) -> Arc<Sheet> {
        Arc::clone(&self.sheet)
    }

    /// Who writes.
    pub fn scribe(&self) -> &Scribe {
        &self.scribe
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
            let sheet = self.sheet();
            self.scribe.tell(bytes.len() as u64, move || sheet.write(&bytes));
        }
        self.sheet.trouble().map_or(Ok(()), |reason| Err(io::Error::other(reason)))
    }
}

/// Bytes that wait at most.
const WAITING_MAX: u64 = 64 << 20;

const BUFFER: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Nobody waits for a disk that stands still; whoever asks for room keeps what waits in bounds, and all of it is
    /// there in the end, in order.
    #[test]
    fn a_disk_that_stands_still_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let scribe = Scribe::on_thread("test");
        let (go_on, stands_still) = channel::<()>();
        scribe.tell(0, move || stands_still.recv().unwrap());
        let path = dir.path().join("kept");
        let mut pen = scribe.create(path.clone(), 0o600);
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
        assert!(Scribe::at_once().create(nowhere.to_owned(), 0o600).flush().is_err());
        let scribe = Scribe::on_thread("test");
        let mut pen = scribe.create(nowhere.to_owned(), 0o600);
        assert!(scribe.finish(Duration::MAX));
        assert!(pen.flush().unwrap_err().to_string().contains("No such file"));
        let sheet = pen.sheet();
        drop(pen);
        assert!(sheet.trouble().is_some() && Arc::strong_count(&sheet) == 1);
    }
}
