//! The file that metrics are written to, for node_exporter's textfile collector and its like to read.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, ensure};

use sekisho::baseline;
use sekisho::config::Settings;
use sekisho::egress;
use sekisho::engine::Analyst;
use sekisho::metrics::{Process, Table};
use sekisho::scribe::Scribe;
use sekisho::time::Timestamp;

/// A file that is made anew again and again, so that a reader finds a whole page or none.
pub(super) struct Board {
    path: PathBuf,
    /// Where the next page is written until it is whole.
    new: PathBuf,
    next: Timestamp,
    has_failed: bool,
    scribe: Scribe,
    outcomes: (Sender<io::Result<()>>, Receiver<io::Result<()>>),
    /// What the kernel says of this process: opened before the process is confined.
    proc: Option<(File, File)>,
    flows_max: usize,
    today: egress::Options,
    past: baseline::Options,
}

impl Board {
    /// Makes the file, empty.
    pub(super) fn create(path: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let is_other = path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file());
        ensure!(!is_other, "{}: metrics take a regular file, which is made anew", path.display());
        let mut name = path.file_name().map(OsString::from).unwrap_or_default();
        name.push(".new");
        let proc = File::open("/proc/self/status").ok().zip(File::open("/proc/self/stat").ok());
        let (path, new) = (path.to_owned(), path.with_file_name(name));
        let board = Self {
            path,
            new,
            next: Timestamp::EPOCH,
            has_failed: false,
            scribe: Scribe::on_thread("metrics"),
            outcomes: channel(),
            proc,
            flows_max: settings.run.flow.flows_max,
            today: settings.analyst.egress.clone(),
            past: settings.analyst.baseline.clone(),
        };
        let place = || format!("{}: cannot be written", board.path.display());
        replace(&board.new, &board.path, "").with_context(place)?;
        Ok(board)
    }

    /// Is it time for another page? Not while the one before is being written. The machine's clock may be set back.
    pub(super) fn is_due(&mut self, now: Timestamp) -> bool {
        let is_time = now >= self.next || self.next > now.plus(EVERY);
        let is_due = is_time && self.scribe.waiting() == 0;
        if is_due {
            self.next = now.plus(EVERY);
        }
        is_due
    }

    /// Puts a page in place of the one before, by and by.
    pub(super) fn write(&self, page: String) {
        let (new, path, told) = (self.new.clone(), self.path.clone(), self.outcomes.0.clone());
        let bytes = page.len() as u64;
        let write = move || told.send(replace(&new, &path, &page)).unwrap_or_default();
        self.scribe.tell(bytes, write);
    }

    /// Says once when pages can no longer be written.
    pub(super) fn trouble(&mut self) -> Option<String> {
        let outcome = self.outcomes.1.try_recv().ok()?;
        let had_failed = std::mem::replace(&mut self.has_failed, outcome.is_err());
        let error = outcome.err().filter(|_| !had_failed)?;
        Some(format!("{}: cannot be written ({error}); tried again", self.path.display()))
    }

    /// Waits until the last page is there, but not for long.
    pub(super) fn finish(&self) {
        self.scribe.finish(LAST_WAIT);
    }

    /// How full tables are.
    pub(super) fn tables(&self, flows: usize, analyst: &Analyst) -> [Table; 6] {
        let table = |name, entries, max| Table { name, entries, max };
        let (egress, Self { today, past, .. }) = (analyst.egress(), self);
        let (hosts, pairs, destinations) = analyst.baseline().sizes();
        [
            table("flows", flows, self.flows_max),
            table("hosts", egress.hosts().len(), today.hosts_max),
            table("pairs", egress.pairs().len(), today.pairs_max),
            table("remembered_hosts", hosts, past.hosts_max),
            table("remembered_pairs", pairs, past.pairs_max),
            table("remembered_destinations", destinations, past.destinations_max),
        ]
    }

    /// What this process takes of the machine.
    pub(super) fn process(&self) -> Option<Process> {
        let (status, stat) = self.proc.as_ref()?;
        let (status, stat) = (read(status)?, read(stat)?);
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
        // What comes before is the program's name in parentheses, which may hold any.
        let (_, rest) = stat.rsplit_once(')')?;
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.collect::<Result<Vec<u64>, _>>().ok()?.iter().sum::<u64>();
        Some(Process { resident_bytes: kib << 10, cpu_seconds: ticks as f64 / TICKS })
    }
}

fn replace(new: &Path, path: &Path, page: &str) -> io::Result<()> {
    fs::write(new, page)?;
    fs::rename(new, path)
}

/// What the kernel says now.
fn read(file: &File) -> Option<String> {
    let mut text = vec![0; 4096];
    let len = file.read_at(&mut text, 0).ok()?;
    text.truncate(len);
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// How long the disk is waited for in the end.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How often a page is written.
const EVERY: Duration = Duration::from_secs(5);

/// Of CPU time, in a second, as the kernel tells it to programs (`USER_HZ`).
const TICKS: f64 = 100.0;
