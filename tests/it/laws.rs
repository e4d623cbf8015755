//! Laws that hold for any traffic: what must not change the answer, and what must add up.

use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sekisho::alert::{ClosedBecause, Record};
use sekisho::capture::memory::MemorySource;
use sekisho::capture::{FileSource, Polled, Source};
use sekisho::config::{Keys, Settings};
use sekisho::engine::{Analyst, Run, replay};
use sekisho::frame::{Batch, LinkType};
use sekisho::sink::{JsonLines, Sink};
use sekisho::time::Timestamp;

use crate::support::root;

pub(crate) const OFFICE: &str = "pcaps/office-2026-03-13.pcap.zst";
pub(crate) const THEFT: &str = "pcaps/ftp-upload.pcap.zst";

pub(crate) fn settings() -> Settings {
    let internal = ["10.20.0.0/16", "2001:db8:20::/48"].map(|net| net.parse().unwrap());
    Settings::of(&Keys {
        timezone: Some("Asia/Tokyo".to_owned()),
        internal: Some(internal.to_vec()),
        ..Keys::default()
    })
    .unwrap()
}

/// Every record of a replay, as JSON lines.
fn told<S: Source>(source: &mut S, workers: usize) -> Vec<String>
where
    S::Error: std::fmt::Debug,
{
    let settings = settings();
    let mut analyst = Analyst::new(settings.analyst);
    let mut sink = JsonLines::new(Vec::new());
    let mut lines = Vec::new();
    let run = Run { workers, ..settings.run };
    replay(source, &run, &mut analyst, |_, records| {
        for record in records {
            sink.write(&record).unwrap();
            lines.push(match &record {
                Record::Alert(alert) | Record::Silenced(alert) => {
                    serde_json::to_string(alert).unwrap()
                }
                Record::Ranking(entry) => serde_json::to_string(entry).unwrap(),
                Record::Summary(summary) => serde_json::to_string(summary).unwrap(),
            });
        }
    })
    .unwrap();
    lines
}

pub(crate) fn shipped(paths: &[&str]) -> FileSource {
    let paths: Vec<PathBuf> = paths.iter().map(|path| root().join(path)).collect();
    FileSource::open(&paths, sekisho::capture::Options::default()).unwrap()
}

pub(crate) fn frames(paths: &[&str]) -> Batch {
    let mut source = shipped(paths);
    let (mut all, mut batch) = (Batch::default(), Batch::default());
    while source.poll(&mut batch).unwrap() == Polled::Frames {
        batch.frames().for_each(|frame| all.push(frame));
        batch.clear();
    }
    all
}

/// An alert that depends on the machine's cores could not be shown to anybody.
#[test]
fn any_number_of_workers_tells_the_same() {
    let one = told(&mut shipped(&[OFFICE, THEFT]), 1);
    assert!(one.iter().any(|line| line.contains("198.18.150.21")), "the theft is told");
    for workers in [2, 3, 4, 8] {
        assert_eq!(told(&mut shipped(&[OFFICE, THEFT]), workers), one, "{workers} workers");
    }
}

#[test]
fn any_batch_size_tells_the_same() {
    let frames = frames(&[OFFICE, THEFT]);
    let usual = told(&mut shipped(&[OFFICE, THEFT]), 1);
    for size in [1, 7, 1000, 100_000] {
        assert_eq!(
            told(&mut MemorySource::new(frames.clone(), size), 2),
            usual,
            "batches of {size}"
        );
    }
}

/// A capture program that starts a new file every hour must not change what is found.
#[test]
fn any_file_boundaries_tell_the_same() {
    let whole = frames(&[THEFT]);
    let folder = tempfile::tempdir().unwrap();
    let third = whole.heads.len() / 3;
    let cuts = [0, third, 2 * third + 17, whole.heads.len()];
    let mut parts = Vec::new();
    for (number, cut) in cuts.windows(2).enumerate() {
        let path = folder.path().join(format!("part{number}.pcap"));
        fs::write(&path, pcap(&whole, cut[0]..cut[1])).unwrap();
        parts.push(path);
    }
    // Named in any order: packet time puts them right.
    parts.rotate_left(1);
    let mut source = FileSource::open(&parts, sekisho::capture::Options::default()).unwrap();
    assert_eq!(told(&mut source, 2), told(&mut shipped(&[THEFT]), 1));
}

/// Frames as a live interface brings them: a few at a time, and silence between them.
struct Paced {
    frames: Batch,
    next: usize,
    /// How often the silence before the next frame was said.
    said: u32,
}

impl Source for Paced {
    type Error = Infallible;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, Infallible> {
        let heads = &self.frames.heads;
        let gap = |next: usize| match next {
            0 => Duration::ZERO,
            _ => heads[next].at.since(heads[next - 1].at),
        };
        if self.next == heads.len() {
            return Ok(Polled::End);
        }
        let silence = gap(self.next);
        if silence > SILENCE && self.said < 3 {
            self.said += 1;
            return Ok(Polled::Idle(heads[self.next - 1].at.plus(silence * self.said / 3)));
        }
        self.said = 0;
        loop {
            batch.push(self.frames.frame(heads[self.next]));
            self.next += 1;
            if self.next == heads.len() || gap(self.next) > SILENCE || batch.heads.len() == 200 {
                return Ok(Polled::Frames);
            }
        }
    }
}

const SILENCE: Duration = Duration::from_millis(300);

/// A silent link lets time pass; a recording of it does not. Both must come to the same, byte for byte.
#[test]
fn silence_tells_the_same() {
    let usual = told(&mut shipped(&[OFFICE, THEFT]), 1);
    for workers in [1, 3] {
        let mut paced = Paced { frames: frames(&[OFFICE, THEFT]), next: 0, said: 0 };
        assert_eq!(told(&mut paced, workers), usual, "{workers} workers");
    }
}

/// An alert that waits for the next frame comes too late: what silence is told of is told in silence.
#[test]
fn silence_holds_nothing_back() {
    let settings = settings();
    let frames = frames(&[THEFT]);
    let last = frames.heads.last().unwrap().at;
    for workers in [1, 3] {
        let (mut analyst, mut before_end) = (Analyst::new(settings.analyst.clone()), 0);
        let run = Run { workers, ..settings.run.clone() };
        let silence =
            [Duration::from_secs(2), Duration::from_secs(7200)].map(|late| last.plus(late));
        let mut source = Silent { frames: frames.clone(), silence: silence.to_vec(), polls: 0 };
        replay(&mut source, &run, &mut analyst, |source, records| {
            let closed = |record: &Record| matches!(record, Record::Alert(alert) if alert.reason == Some(ClosedBecause::Quiet));
            if source.polls <= 3 {
                before_end += records.filter(closed).count();
            }
        })
        .unwrap();
        assert!(before_end > 0, "{workers} workers");
    }
}

/// All frames at once, then nothing until some moments, then the end.
struct Silent {
    frames: Batch,
    silence: Vec<Timestamp>,
    polls: usize,
}

impl Source for Silent {
    type Error = Infallible;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, Infallible> {
        self.polls += 1;
        if self.polls == 1 {
            batch.copy_from(&self.frames);
            return Ok(Polled::Frames);
        }
        let moment = self.silence.get(self.polls - 2);
        Ok(moment.map_or(Polled::End, |&moment| Polled::Idle(moment)))
    }
}

/// A nanosecond pcap of some of the frames, which are all of one link type; of none, that of Ethernet.
pub(crate) fn pcap(batch: &Batch, which: std::ops::Range<usize>) -> Vec<u8> {
    let mut file = Vec::new();
    let link: u32 = batch.heads.first().map_or(LinkType::ETHERNET, |head| head.link).0.into();
    for word in [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, link] {
        file.extend(word.to_le_bytes());
    }
    for &head in &batch.heads[which] {
        let frame = batch.frame(head);
        let nanos = frame.at.as_nanos();
        let words = [
            (nanos / 1_000_000_000) as u32,
            (nanos % 1_000_000_000) as u32,
            head.captured_len,
            head.wire_len,
        ];
        words.iter().for_each(|word| file.extend(word.to_le_bytes()));
        file.extend(frame.bytes);
    }
    file
}

/// The state can be forked: both branches go on as the one would have.
#[test]
fn a_forked_analyst_goes_on_alike() {
    let settings = settings();
    let mut analyst = Analyst::new(settings.analyst.clone());
    let run = Run { workers: 1, ..settings.run };
    replay(&mut shipped(&[OFFICE]), &run, &mut analyst, |_, _| {}).unwrap();
    let mut fork = analyst.clone();
    let alerts = |analyst: &mut Analyst| {
        let mut ids = Vec::new();
        replay(&mut shipped(&[THEFT]), &run, analyst, |_, records| {
            ids.extend(records.filter_map(|record| match record {
                Record::Alert(alert) => Some(serde_json::to_string(&alert).unwrap()),
                Record::Silenced(_) | Record::Ranking(_) | Record::Summary(_) => None,
            }));
        })
        .unwrap();
        ids
    };
    let original = alerts(&mut analyst);
    assert!(!original.is_empty());
    assert_eq!(alerts(&mut fork), original);
}

/// A raw IPv4 packet with a UDP datagram of `len` bytes.
fn datagram(source: [u8; 4], destination: [u8; 4], number: u16, len: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet[2..4].copy_from_slice(&(28 + len).to_be_bytes());
    packet[4..6].copy_from_slice(&number.to_be_bytes());
    packet.extend(source.into_iter().chain(destination));
    packet.extend([0x30, 0x39, 0x30, 0x3a]);
    packet.extend((8 + len).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(std::iter::repeat_n(7, usize::from(len)));
    packet
}

/// Broken recordings set their clock to and fro by years, and hostile ones do it with every packet
/// after a hundred thousand flows: no byte may be lost, and each jump may cost only what is live.
#[test]
fn a_clock_that_jumps_loses_no_byte() {
    let mut batch = Batch::default();
    let mut sent = 0;
    for n in 0u32..60_000 {
        let secs = match n {
            0..50_000 => 1_773_000_000,
            _ if n % 2 == 0 => 4_000_000_000,
            _ => 1_000_000,
        };
        let [_, _, high, low] = n.to_be_bytes();
        let bytes = datagram([10, 0, high, low], [203, 0, 113, 9], n as u16, 100);
        sent += 100;
        batch.push(sekisho::frame::Frame {
            at: Timestamp::from_secs_nanos(secs, 0),
            link: LinkType::RAW,
            wire_len: bytes.len() as u32,
            bytes: &bytes,
        });
    }
    let settings = Settings::of(&Keys::default()).unwrap();
    let mut analyst = Analyst::new(settings.analyst);
    let mut source = MemorySource::new(batch, 1000);
    let counted = replay(&mut source, &settings.run, &mut analyst, |_, _| {}).unwrap();
    let mut summary = sekisho::alert::Summary::default();
    analyst.summarize(&mut summary);
    assert_eq!(summary.bytes_out, sent);
    assert!(counted.turned_back > 4000, "{}", counted.turned_back);
}
