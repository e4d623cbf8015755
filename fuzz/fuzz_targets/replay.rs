//! Any frames, from their bytes to a verdict: what the flows report adds up to what the frames said,
//! for any number of workers, and nothing that is told steers a terminal.
//!
//! The model is one sum over the decoded frames. What TCP makes of sequence numbers has a model of its
//! own, in `flow`.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sekisho::alert::{ClosedBecause, Record, Summary};
use sekisho::config::{Keys, Settings};
use sekisho::decode::{Segment, Tunnel, decode, outermost};
use sekisho::egress::Ledger;
use sekisho::engine::{Analyst, Position, Reported, Reports, Run, Worker, WorkerCounters};
use sekisho::flow::{Counters, Duplicates, FlowDelta};
use sekisho::frame::Batch;
use sekisho::sink::{FlowFormat, Flows, JsonLines, Sink, Text};
use sekisho::time::Timestamp;
use sekisho_fuzz::{bytes_of, first_frames, frames_of, seed};

static SETTINGS: LazyLock<Settings> =
    LazyLock::new(|| Settings::of(&Keys::default()).expect("what is shipped is valid"));

fuzz_target!(init: seed(|files| {
    files.iter().map(|file| bytes_of(first_frames(file, 30).frames())).collect()
}), |bytes: &[u8]| {
    let batch = frames_of(bytes);
    let (reports, counted) = reports(&batch, 1);
    add_up(&batch, &reports.deltas, &counted);
    if bytes.len().is_multiple_of(8) {
        let (again, all) = self::reports(&batch, 2);
        assert_eq!(reports, again, "two workers count and learn as one does");
        assert_eq!((all.duplicates, all.names), (counted.duplicates, counted.names));
    }
    tell(&reports, &counted);
});

/// What the workers report, in the order of the input.
fn reports(batch: &Batch, workers: usize) -> (Reports, WorkerCounters) {
    let run = Run { workers, ..SETTINGS.run.clone() };
    let mut reports = Reports::default();
    let mut counters: Option<WorkerCounters> = None;
    for number in 0..workers {
        let mut worker = Worker::new(&run, number);
        worker.run(batch, 0, &mut reports);
        worker.finish(&mut reports);
        match &mut counters {
            Some(counters) => counters.join(&worker.counters()),
            None => counters = Some(worker.counters()),
        }
    }
    reports.deltas.sort_by_key(|&(position, _)| position);
    reports.events.sort_by_key(|&(position, _)| position);
    reports.claims.sort_by_key(|&(position, _)| position);
    (reports, counters.expect("there is a worker"))
}

/// Every frame that is decoded is counted once, with all its bytes; one that can be a mirror's copy
/// perhaps not.
fn add_up(batch: &Batch, deltas: &[(Position, FlowDelta)], counted: &WorkerCounters) {
    let segments = segments(batch);
    let all = |count: fn(&Segment<'_>) -> u32| {
        segments.iter().map(|(_, segment)| u64::from(count(segment))).sum::<u64>()
    };
    let (wire, payload) = (all(|segment| segment.ip_len), all(|segment| segment.payload_len));
    let (mut maybe_copies, mut maybe_copied) = (0, 0);
    for (number, (at, segment)) in segments.iter().enumerate() {
        let is_like = |(before, other): &(Timestamp, Segment<'_>)| {
            at.since(*before).max(before.since(*at)) <= Duplicates::WINDOW + ROUNDING
                && alike(segment) == alike(other)
        };
        if segments[..number].iter().any(is_like) {
            maybe_copies += 1;
            maybe_copied += u64::from(segment.ip_len);
        }
    }
    let mut sum = Counters::default();
    let mut ended = 0;
    for (_, delta) in deltas {
        sum.add(&delta.low);
        sum.add(&delta.high);
        ended += u64::from(delta.end.is_some());
        assert!(delta.started_at <= delta.last_at, "a flow cannot end before it started");
    }
    let decoded = segments.len() as u64;
    let rejected = counted.rejects.iter().map(|(_, count)| count).sum::<u64>();
    assert_eq!((counted.decoded, rejected), (decoded, batch.heads.len() as u64 - decoded));
    assert_eq!(sum.packets, decoded - counted.duplicates);
    assert!(counted.duplicates <= maybe_copies, "a packet taken for a copy that is none");
    assert!((wire - maybe_copied..=wire).contains(&sum.wire), "{} of {wire} bytes", sum.wire);
    assert!(sum.payload <= payload, "{} bytes counted of {payload}", sum.payload);
    // A copy whose flow was ended in between counts nowhere.
    assert!(sum.duplicates <= counted.duplicates);
    assert_eq!(ended, counted.flows.started, "every flow ends once");
}

/// What is counted of each frame: of a tunnel that itself crosses the border its own ends.
fn segments(batch: &Batch) -> Vec<(Timestamp, Segment<'_>)> {
    let internal = &SETTINGS.run.internal;
    let crosses =
        |tunnel: Tunnel| internal.contains(tunnel.source) != internal.contains(tunnel.destination);
    let read = |frame| match decode(&frame) {
        Ok(Segment { tunnel: Some(tunnel), .. }) if crosses(tunnel) => outermost(&frame),
        read => read,
    };
    batch.frames().filter_map(|frame| Some((frame.at, read(frame).ok()?))).collect()
}

/// What a packet and its copy have in common.
fn alike<'a>(segment: &Segment<'a>) -> impl PartialEq + use<'a> {
    let start = &segment.transport[..segment.transport.len().min(24)];
    let numbers = (segment.ip_len, segment.identification, segment.protocol);
    let ends = (segment.source.addr, segment.destination.addr);
    (ends, numbers, segment.fragment.map(|fragment| (fragment.id, fragment.offset)), start)
}

/// Judges and writes in every form.
fn tell(reports: &Reports, counted: &WorkerCounters) {
    let mut ledger = Ledger::new(SETTINGS.run.internal.clone(), 4096);
    let mut analyst = Analyst::new(SETTINGS.analyst.clone());
    let mut shown = Vec::new();
    for format in [FlowFormat::Json, FlowFormat::Csv, FlowFormat::Zeek] {
        let mut flows = Flows::new(&mut shown, format).expect("memory takes all");
        for report in reports.in_order() {
            let record = match report {
                Reported::Delta(delta) => ledger.fold(delta),
                Reported::Event(event) => {
                    ledger.hear(event);
                    None
                }
                Reported::Claim(_) => None,
            };
            if let Some(record) = record {
                flows.write(&record).expect("memory takes all");
            }
        }
        flows.finish().expect("memory takes all");
        assert!(ledger.is_empty(), "a flow without its end");
    }
    analyst.fold(reports.deltas.iter().map(|(_, delta)| delta));
    analyst.close(ClosedBecause::Eof);
    analyst.rank_day();
    let mut records: Vec<Record> = analyst.drain().collect();
    let mut summary = Summary::default();
    analyst.summarize(&mut summary);
    summary.packets_decoded = counted.decoded;
    records.push(Record::Summary(Box::new(summary)));
    let (mut lines, mut text) = (JsonLines::new(Vec::new()), Text::new(&mut shown));
    for record in &records {
        lines.write(record).expect("memory takes all");
        text.write(record).expect("memory takes all");
    }
    let shown = String::from_utf8(shown).expect("what is told is UTF-8");
    let is_shown = |c: char| matches!(c, '\n' | '\t' | '\r') || !c.is_control();
    assert!(shown.chars().all(is_shown), "control character in {shown:?}");
}

/// Copies are known by whole microseconds.
const ROUNDING: Duration = Duration::from_micros(1);
