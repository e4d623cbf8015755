//! Interfaces as a source of frames, through libpcap's memory-mapped ring.
//!
//! Several interfaces become one stream in order of packet time. One that is missing, down or gone is
//! said once and waited for. The ring is the only queue: when we do not keep up, the kernel drops and
//! counts, and nothing grows.

mod backlog;
mod clock;
mod confine;
mod error;
mod link;
mod opener;
mod port;
pub mod privilege;
mod recording;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use confine::{Confinement, Reach};
pub use error::{LiveError, Notice};
pub use link::{Interface, Interfaces};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::backlog::Backlog;
use self::error::{RING_MAX, RING_MIN};
use self::opener::{Manner, Opener};
use self::port::Port;
pub use self::port::{Lost, PortStanding};
use self::recording::Recording;
use super::filter::Filter;
use super::reader::{BYTES_MAX, FRAMES_MAX};
use super::{Counters, Live, Polled, Ports, Source};
use crate::frame::Batch;
use crate::time::Timestamp;

/// What is captured, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Names of interfaces; `any` means all of the machine together.
    pub interfaces: Vec<String>,
    /// A BPF expression, as tcpdump takes it; the kernel goes by it.
    pub filter: Option<String>,
    /// Bytes captured of a frame at most. Counting needs headers alone; names need the first few kilobytes
    /// of a flow, which offloads may hand over in one frame.
    pub snap_len: u32,
    /// Bytes of each interface's ring.
    pub ring_bytes: u64,
    /// End after this long; never when `None`.
    pub run_for: Option<Duration>,
    /// Record what is captured in this file.
    pub record: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            filter: None,
            snap_len: 16 << 10,
            ring_bytes: 64 << 20,
            run_for: None,
            record: None,
        }
    }
}

/// Captures from interfaces.
pub struct LiveSource {
    ports: Vec<Port>,
    opener: Opener,
    stop: Arc<AtomicBool>,
    recording: Option<Recording>,
    counters: Counters,
    notices: Vec<Notice>,
    /// Packet time, as late as is known.
    now: Timestamp,
    latest: Timestamp,
    /// Of the machine's uptime.
    ends_at: Option<Duration>,
    next_check: Duration,
    backlog: Backlog,
    /// Once it is to end: when even a busy link is left.
    leaves_at: Option<Duration>,
}

impl LiveSource {
    /// Opens interfaces. Those that are missing or down are waited for. Ends once `stop` is set.
    ///
    /// # Errors
    /// When an interface that is there cannot be opened, when the filter is wrong, or the recording cannot
    /// be made.
    pub fn open(options: Options, stop: Arc<AtomicBool>) -> Result<Self, LiveError> {
        let Options { interfaces, filter, snap_len, ring_bytes, run_for, record } = options;
        let mut names = BTreeSet::new();
        if let Some(name) = interfaces.iter().find(|&name| !names.insert(name)) {
            return Err(LiveError::Twice { name: name.clone() });
        }
        if interfaces.is_empty() {
            return Err(LiveError::Nothing);
        }
        if !(RING_MIN..=RING_MAX).contains(&ring_bytes) {
            return Err(LiveError::Ring { got: ring_bytes });
        }
        // A slip of the finger shows at the start, even while no interface is there.
        Filter::new(filter.as_deref(), None, None)?;
        let opener = Opener::start(Manner { snap_len, ring_bytes, filter }, interfaces.len())?;
        let uptime = clock::uptime();
        let mut source = Self {
            ports: (0..).zip(interfaces).map(|(number, name)| Port::new(name, number)).collect(),
            opener,
            stop,
            recording: None,
            counters: Counters::default(),
            notices: Vec::new(),
            now: clock::now(),
            latest: Timestamp::EPOCH,
            ends_at: run_for.map(|length| uptime + length),
            next_check: uptime + CHECK_EVERY,
            backlog: Backlog::new(ring_bytes),
            leaves_at: None,
        };
        source.open_all()?;
        if let Some(path) = record {
            let recording = Recording::create(&path, snap_len, source.names());
            let recording = recording.map_err(|source| LiveError::Recording { path, source })?;
            source.recording = Some(recording);
        }
        Ok(source)
    }

    fn open_all(&mut self) -> Result<(), LiveError> {
        for (index, port) in self.ports.iter_mut().enumerate() {
            port.set_asked();
            self.opener.ask(index, &port.name);
        }
        for _ in 0..self.ports.len() {
            let Some((index, reply)) = self.opener.await_reply() else { break };
            let port = &mut self.ports[index];
            if let Err(refused) = &reply
                && let Some(error) = refused.clone().into_error(&port.name)
            {
                return Err(error);
            }
            self.notices.extend(port.take(reply));
        }
        Ok(())
    }

    /// The interfaces named.
    pub fn names(&self) -> Ports {
        Ports::of(self.ports.iter().map(|port| port.name.clone()))
    }

    /// How many of the interfaces named are captured from now, and how many there are.
    pub fn open_ports(&self) -> (usize, usize) {
        (self.ports.iter().filter(|port| port.is_open()).count(), self.ports.len())
    }

    /// How each of the interfaces named stands.
    pub fn ports(&self) -> impl Iterator<Item = PortStanding<'_>> {
        self.ports.iter().map(Port::standing)
    }

    /// What happened to the interfaces since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Takes what is there, in order of packet time; nothing is waited for.
    fn fetch(&mut self, batch: &mut Batch) {
        let Self { ports, notices, now, .. } = self;
        let mut tell = |notice| notices.push(notice);
        if let [port] = &mut ports[..] {
            port.fill(batch, &mut tell);
            return;
        }
        let quiet_until = now.minus(LAG);
        for port in ports.iter_mut() {
            port.fill_pending(quiet_until, &mut tell);
        }
        let Some(horizon) = ports.iter().filter_map(Port::horizon).min() else { return };
        // What is much later than now was stamped before the clock was set back, and waits for nothing.
        let far = now.plus(LAG);
        let is_due = |at: Timestamp| at <= horizon || at > far;
        loop {
            let heads =
                ports.iter().enumerate().filter_map(|(index, port)| Some((port.head()?.at, index)));
            match heads.min() {
                Some((at, index)) if is_due(at) => ports[index].pop(batch),
                Some(_) | None => return,
            }
        }
    }

    /// Waits until a frame is there, but not for long.
    fn wait(&self) {
        let awaited = self.ports.iter().filter_map(Port::awaited);
        let mut descriptors: Vec<PollFd<'_>> =
            awaited.map(|capture| PollFd::new(capture, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: WAIT.as_nanos() as i64 };
        // A signal wakes us, and that is meant.
        let _ = poll(&mut descriptors, Some(&timeout));
    }

    /// Looks after the interfaces, once a second.
    fn look_after(&mut self, uptime: Duration) {
        let Self { ports, notices, opener, .. } = self;
        while let Some((index, reply)) = opener.hear() {
            notices.extend(ports[index].take(reply));
        }
        if uptime < self.next_check {
            return;
        }
        self.next_check = uptime + CHECK_EVERY;
        for (index, port) in ports.iter_mut().enumerate() {
            port.check(uptime, &mut |notice| notices.push(notice));
            if port.is_closed() {
                port.set_asked();
                opener.ask(index, &port.name);
            }
        }
        self.backlog.lose(self.dropped());
        self.record(Recording::flush);
    }

    /// Is it over? What is in the ring by then is still taken, unless there is no end of it.
    fn is_over(&mut self, uptime: Duration) -> bool {
        let is_ending =
            self.ends_at.is_some_and(|at| at <= uptime) || self.stop.load(Ordering::Relaxed);
        if is_ending && self.leaves_at.is_none() {
            self.leaves_at = Some(uptime + LAST_LOOK_MAX);
        }
        self.leaves_at.is_some_and(|at| at <= uptime)
    }

    fn end(&mut self) -> Polled {
        let Self { ports, notices, .. } = self;
        for port in ports {
            port.count_lost();
            port.tell_lost(clock::uptime(), Duration::ZERO, &mut |notice| notices.push(notice));
        }
        let (now, dropped) = (self.now, self.dropped());
        self.record(|recording| recording.finish(now, dropped));
        Polled::End
    }

    fn record(&mut self, write: impl FnOnce(&mut Recording) -> Option<Notice>) {
        self.notices.extend(self.recording.as_mut().and_then(write));
    }

    fn dropped(&self) -> u64 {
        self.ports.iter().map(|port| port.lost.total()).sum()
    }

    fn count(&mut self, batch: &Batch) {
        let counters = &mut self.counters;
        counters.frames += batch.heads.len() as u64;
        for head in &batch.heads {
            counters.captured_bytes += u64::from(head.captured_len);
            counters.wire_bytes += u64::from(head.wire_len);
            counters.late += u64::from(head.at < self.latest);
            self.latest = self.latest.max(head.at);
        }
    }
}

impl Source for LiveSource {
    type Error = LiveError;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, LiveError> {
        let uptime = clock::uptime();
        if self.is_over(uptime) {
            return Ok(self.end());
        }
        self.look_after(uptime);
        self.now = clock::now();
        self.fetch(batch);
        if batch.heads.is_empty() {
            self.wait();
            self.now = clock::now();
            self.fetch(batch);
        }
        if batch.heads.is_empty() {
            // The next poll finds that it is over, once nothing waits.
            if self.leaves_at.is_some() && self.ports.iter().all(Port::is_spent) {
                self.leaves_at = Some(Duration::ZERO);
            }
            return Ok(Polled::Idle(self.now.minus(LAG)));
        }
        self.count(batch);
        self.backlog.note(batch, self.now);
        batch.is_all = batch.heads.len() * 2 < FRAMES_MAX && batch.bytes.len() * 2 < BYTES_MAX;
        self.record(|recording| recording.write(batch));
        Ok(Polled::Frames)
    }
}

impl Live for LiveSource {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn clock(&self) -> Timestamp {
        clock::now()
    }

    fn backlog(&self) -> f64 {
        self.backlog.share()
    }

    /// `files` is 0, and what the kernel's filter left out is not known.
    fn counters(&self) -> Counters {
        Counters { dropped: self.dropped(), ..self.counters }
    }
}

/// Bytes of a frame that may be asked for: from what headers need to the most that there is.
pub const SNAP_LENGTHS: RangeInclusive<u32> = 96..=1 << 18;

/// How long a silent link is waited on; longer than the kernel holds back a block of frames.
const WAIT: Duration = Duration::from_millis(50);

/// Frames come no later than this after they were stamped.
const LAG: Duration = Duration::from_millis(100);

/// How often interfaces are looked at, and asked for again.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Once it is to end, how long what is in the rings may take.
const LAST_LOOK_MAX: Duration = Duration::from_secs(1);
