//! The packets of an incident, kept for whoever looks into it: a pcapng file for each.
//!
//! Frames wait for a while in memory ([`delay`]) before it is asked whether anybody wants them, so that what came
//! before an alert is there too, in order. What is wanted goes by the addresses of the alert.

mod delay;
mod dossier;
mod folder;
mod tap;

pub use tap::Tap;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use thiserror::Error;

use self::delay::Delay;
use self::dossier::{Dossier, Outcome};
use self::folder::Folder;
use crate::alert::{Alert, EvidenceTally, Kind, Record, Summary, share};
use crate::capture::Ports;
use crate::decode::{decode, outermost};
use crate::frame::{Batch, Frame, FrameHead};
use crate::net::Addr;
use crate::scribe::{Scribe, Sheet};
use crate::time::Timestamp;

/// What is kept, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The folder; it is made where it is missing.
    pub dir: PathBuf,
    /// What is kept of a packet.
    pub packets: Packets,
    /// Bytes of all files at most: the oldest go.
    pub bytes_max: u64,
    /// Bytes of one file at most: what comes then is left out.
    pub incident_bytes_max: u64,
    /// How far back before an alert packets are kept, as far as `before_bytes_max` reaches.
    pub before: Duration,
    /// Memory for packets that may turn out to be wanted, in bytes.
    pub before_bytes_max: u64,
    /// Files are removed that are so old, in packet time.
    pub kept_for: Duration,
}

impl Options {
    /// The defaults, for a folder.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            packets: Packets::default(),
            bytes_max: 1_000_000_000,
            incident_bytes_max: 64_000_000,
            before: Duration::from_secs(30),
            before_bytes_max: 64 << 20,
            kept_for: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

/// What is kept of a packet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Packets {
    /// Its headers, down to that of the transport: who, when and how much, and not what.
    #[default]
    Headers,
    /// All that was captured of it.
    Whole,
}

/// Who is waiting while files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// Nobody: what is read waits.
    None,
    /// Packets come meanwhile: they wait for no disk.
    Live,
}

/// Why there can be no evidence.
#[derive(Debug, Error)]
#[error("{}: evidence cannot be kept there", dir.display())]
pub struct EvidenceError {
    dir: PathBuf,
    source: io::Error,
}

/// Something the operator must know of evidence; the run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Notice {
    /// A file cannot be written.
    #[error("{}: cannot be written ({reason}); the evidence of incident {incident} is not complete", path.display())]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
        /// Whose it is.
        incident: String,
    },
    /// More incidents are open than files may be.
    #[error("more than {OPEN_MAX} incidents at once: of incident {incident} no evidence is kept")]
    TooMany {
        /// The first one.
        incident: String,
    },
}

/// Keeps the packets of incidents.
#[derive(Debug)]
pub struct Evidence {
    delay: Delay,
    shelf: Shelf,
    next_flush: Timestamp,
}

/// The files that are being written, and who wants which packets.
#[derive(Debug)]
struct Shelf {
    options: Options,
    folder: Folder,
    scribe: Scribe,
    haste: Haste,
    /// What the source's interfaces are called.
    ports: Ports,
    dossiers: BTreeMap<u32, Dossier>,
    /// The dossier of an incident.
    numbers: BTreeMap<String, u32>,
    next: u32,
    /// Files that are told to the end, as long as some of it waits for the disk.
    closing: Vec<Closing>,
    /// By the inside address and the outside one. Never walked through, so that no order follows from it.
    wanted: HashMap<(Addr, Addr), SmallVec<[u32; 2]>, foldhash::fast::RandomState>,
    tally: EvidenceTally,
    has_said_too_many: bool,
    notices: Vec<Notice>,
}

/// A file to which nothing is added any more.
#[derive(Debug)]
struct Closing {
    sheet: Arc<Sheet>,
    name: String,
    incident: String,
}

impl Evidence {
    /// Opens the folder, for frames of these interfaces.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open(options: Options, ports: Ports, haste: Haste) -> Result<Self, EvidenceError> {
        let scribe = match haste {
            Haste::None => Scribe::at_once(),
            Haste::Live => Scribe::on_thread("evidence"),
        };
        let folder = Folder::open(&options, scribe.clone());
        let folder = folder.map_err(|source| EvidenceError { dir: options.dir.clone(), source })?;
        let frame_max = match options.packets {
            Packets::Headers => HEADERS_MAX,
            Packets::Whole => usize::MAX,
        };
        Ok(Self {
            delay: Delay::new(options.before, options.before_bytes_max, frame_max),
            shelf: Shelf {
                options,
                folder,
                scribe,
                haste,
                ports,
                dossiers: BTreeMap::new(),
                numbers: BTreeMap::new(),
                next: 0,
                closing: Vec::new(),
                wanted: HashMap::default(),
                tally: EvidenceTally::default(),
                has_said_too_many: false,
                notices: Vec::new(),
            },
            next_flush: Timestamp::EPOCH,
        })
    }

    /// Takes copies of frames that nobody may want.
    pub fn push(&mut self, batch: &Batch) {
        self.delay.push(batch);
    }

    /// It is so late, though nothing came.
    pub fn pass(&mut self, now: Timestamp) {
        self.delay.pass(now);
    }

    /// Hears what is told before it is told: alerts get to say where their evidence lies.
    pub fn hear(&mut self, records: &mut [Record]) {
        for record in records {
            if let Record::Alert(alert) = record {
                alert.evidence = self.shelf.note(alert);
                let is_missing = alert.evidence.is_none() && alert.kind != Kind::Close;
                alert.health.evidence_lost = if is_missing { Some(1.0) } else { self.shelf.lost() };
            }
        }
    }

    /// The first `frames` frames of the input are judged, and what was to be told of them was heard.
    pub fn settle(&mut self, frames: u64) {
        self.delay.settle(frames);
        self.shelf.end_after(self.delay.judged());
        self.let_go(false);
        let now = self.delay.now();
        self.shelf.end(self.delay.gone(), now);
        if now >= self.next_flush || now.plus(FLUSH_EVERY) < self.next_flush {
            self.next_flush = now.plus(FLUSH_EVERY);
            self.shelf.flush();
            self.shelf.folder.age(now);
        }
    }

    /// There is no more input: all that is wanted is written, all files are whole.
    pub fn finish(&mut self) {
        self.let_go(true);
        self.shelf.end_after(self.delay.judged());
        self.shelf.end(u64::MAX, self.delay.now());
        self.shelf.finish();
    }

    /// Fills in what was kept and what could not be. What is still to be said becomes a warning.
    pub fn sum_up(&mut self, summary: &mut Summary) {
        summary.evidence = Some(self.tally());
        summary.health.evidence_lost = self.shelf.lost();
        summary.warnings.extend(self.take_notices().iter().map(ToString::to_string));
    }

    /// What was kept so far.
    pub fn tally(&self) -> EvidenceTally {
        EvidenceTally { files_removed: self.shelf.folder.removed, ..self.shelf.tally }
    }

    /// What there is to say since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.shelf.notices)
    }

    fn let_go(&mut self, all: bool) {
        let Self { delay, shelf, .. } = self;
        while delay.release(all, |head, frame| shelf.keep(head, &frame)) {}
    }
}

impl Shelf {
    /// Takes note of an alert; answers where its evidence lies.
    fn note(&mut self, alert: &Alert) -> Option<String> {
        let number = match self.numbers.get(&alert.incident) {
            Some(&number) => number,
            None if alert.kind == Kind::Close => return None,
            None => self.begin(alert)?,
        };
        let dossier = self.dossiers.get_mut(&number)?;
        dossier.hear(alert);
        let ends = alert.host.ips.iter();
        let pairs = ends.flat_map(|&host| alert.destination.ips.iter().map(move |&to| (host, to)));
        for pair in pairs.take(PAIRS_MAX) {
            let wanting = self.wanted.entry(pair).or_default();
            if !wanting.contains(&number) {
                wanting.push(number);
                dossier.pairs.push(pair);
            }
        }
        Some(self.folder.path(&dossier.name).display().to_string())
    }

    fn begin(&mut self, alert: &Alert) -> Option<u32> {
        let incident = alert.incident.clone();
        let name = folder::name(alert.time, &incident)?;
        if self.dossiers.len() >= OPEN_MAX {
            self.tally.incidents_lost += 1;
            if !std::mem::replace(&mut self.has_said_too_many, true) {
                self.notices.push(Notice::TooMany { incident });
            }
            return None;
        }
        let pen = self.scribe.create(self.folder.enter(&name), 0o600);
        match Dossier::begin(pen, name.clone(), alert, (&self.options, &self.ports)) {
            Ok(dossier) => {
                self.next += 1;
                self.folder.grow(&name, dossier.written());
                self.tally.files += 1;
                self.dossiers.insert(self.next, dossier);
                self.numbers.insert(incident, self.next);
                Some(self.next)
            }
            Err(error) => {
                self.folder.close(&name);
                self.tally.incidents_lost += 1;
                let (path, reason) = (self.folder.path(&name), error.to_string());
                self.notices.push(Notice::Unwritten { path, reason, incident });
                None
            }
        }
    }

    /// Keeps a frame for those who want it.
    fn keep(&mut self, head: FrameHead, frame: &Frame<'_>) {
        if self.wanted.is_empty() {
            return;
        }
        let Ok(inner) = decode(frame) else { return };
        let outer = inner.tunnel.and_then(|_| outermost(frame).ok());
        let mut numbers = SmallVec::<[u32; 4]>::new();
        for segment in [Some(&inner), outer.as_ref()].into_iter().flatten() {
            let (one, other) = (segment.source.addr, segment.destination.addr);
            for pair in [(one, other), (other, one)] {
                numbers.extend(self.wanted.get(&pair).into_iter().flatten().copied());
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        let bytes = match self.options.packets {
            Packets::Headers => headers(frame.bytes, inner.payload()),
            Packets::Whole => frame.bytes,
        };
        for number in numbers {
            let Some(dossier) = self.dossiers.get_mut(&number) else { continue };
            let outcome = match self.scribe.has_room() {
                true => dossier.keep(head, bytes, &mut self.folder),
                false => dossier.leave_out(),
            };
            match outcome {
                Outcome::Kept(written) => {
                    self.tally.packets += 1;
                    self.tally.bytes += written;
                }
                Outcome::Full => self.tally.packets_lost += 1,
                Outcome::Failed(reason) => {
                    self.tally.packets_lost += 1;
                    if let Some(reason) = reason {
                        let (name, incident) = (dossier.name.clone(), dossier.incident.clone());
                        self.say_unwritten(&name, incident, reason);
                    }
                }
            }
        }
    }

    fn say_unwritten(&mut self, name: &str, incident: String, reason: String) {
        let path = self.folder.path(name);
        self.tally.files_incomplete += 1;
        self.notices.push(Notice::Unwritten { path, reason, incident });
    }

    /// What is over gets no more than the first `frames` frames.
    fn end_after(&mut self, frames: u64) {
        for dossier in self.dossiers.values_mut() {
            dossier.end_after(frames);
        }
    }

    /// Closes the files that have all of the first `frames` frames that they are to have.
    fn end(&mut self, frames: u64, now: Timestamp) {
        let is_done = |dossier: &Dossier| dossier.ends_after.is_some_and(|last| last <= frames);
        let done =
            self.dossiers.iter().filter(|(_, dossier)| is_done(dossier) || frames == u64::MAX);
        let done: Vec<u32> = done.map(|(&number, _)| number).collect();
        for number in done {
            let Some(mut dossier) = self.dossiers.remove(&number) else { continue };
            let (name, incident) = (dossier.name.clone(), dossier.incident.clone());
            match dossier.finish(now) {
                Some(reason) => self.say_unwritten(&name, incident, reason),
                None if dossier.is_whole() => {
                    let sheet = Arc::clone(&dossier.sheet);
                    self.closing.push(Closing { sheet, name, incident });
                }
                None => {}
            }
            self.numbers.remove(&dossier.incident);
            self.folder.grow(&dossier.name, dossier.uncounted());
            self.folder.close(&dossier.name);
            for pair in dossier.pairs {
                if let Some(wanting) = self.wanted.get_mut(&pair) {
                    wanting.retain(|other| *other != number);
                    if wanting.is_empty() {
                        self.wanted.remove(&pair);
                    }
                }
            }
        }
    }

    fn flush(&mut self) {
        let mut failed = Vec::new();
        for dossier in self.dossiers.values_mut() {
            if let Some(reason) = dossier.flush() {
                failed.push((dossier.name.clone(), dossier.incident.clone(), reason));
            }
        }
        let is_done = |one: &mut Closing| one.sheet.is_done();
        for Closing { sheet, name, incident } in self.closing.extract_if(.., is_done) {
            failed.extend(sheet.trouble().map(|reason| (name, incident, reason.to_owned())));
        }
        for (name, incident, reason) in failed {
            self.say_unwritten(&name, incident, reason);
        }
    }

    /// Waits for the disk, but not for ever where somebody wants to end.
    fn finish(&mut self) {
        self.scribe.finish(match self.haste {
            Haste::None => Duration::MAX,
            Haste::Live => LAST_WAIT,
        });
        self.flush();
        for Closing { name, incident, .. } in std::mem::take(&mut self.closing) {
            self.say_unwritten(&name, incident, "the disk does not answer".to_owned());
        }
    }

    fn lost(&self) -> Option<f64> {
        let EvidenceTally { packets, packets_lost, .. } = self.tally;
        (packets_lost > 0).then(|| share(packets_lost, packets + packets_lost))
    }
}

/// The part of a frame before its payload, which is a part of it.
fn headers<'a>(bytes: &'a [u8], payload: &[u8]) -> &'a [u8] {
    let before = payload.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
    // An empty payload may lie anywhere.
    bytes.get(..before).unwrap_or(bytes)
}

/// Bytes held of a frame when headers are all that is kept: four tunnels, and TCP with all options.
const HEADERS_MAX: usize = 256;

/// Files written at once at most.
const OPEN_MAX: usize = 256;

/// Pairs of addresses of an incident at most.
const PAIRS_MAX: usize = 4096;

/// How long the disk is waited for in the end.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How long what is kept waits until it is handed to the system.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
