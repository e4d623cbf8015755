//! What a run as a whole has to say, gathered from every stage.

use super::analyst::Analyst;
use super::watch::Delays;
use super::worker::WorkerCounters;
use crate::alert::{Health, Summary, VerdictDelays, share};
use crate::capture::{Counters, FileSource, Live};

/// Gathers the summary of a finished replay.
pub fn summarize(source: &FileSource, counted: &WorkerCounters, analyst: &Analyst) -> Summary {
    let warnings = source.notices().iter().map(ToString::to_string).collect();
    let top_senders = analyst.top_senders();
    Summary { warnings, top_senders, ..tally(source.counters(), counted, analyst) }
}

/// Gathers the summary of a watch that has ended.
pub fn summarize_watch(
    source: &impl Live,
    (counted, delays): &(WorkerCounters, Delays),
    analyst: &Analyst,
) -> Summary {
    let millis = |share: f64| delays.quantile(share).as_secs_f64() * 1000.0;
    let verdicts_after_ms = Some(VerdictDelays { half: millis(0.5), most: millis(0.99) });
    let top_senders = analyst.top_senders();
    Summary { verdicts_after_ms, top_senders, ..tally(source.counters(), counted, analyst) }
}

/// What was counted until now: a summary without those who sent most.
pub fn tally(read: Counters, counted: &WorkerCounters, analyst: &Analyst) -> Summary {
    let mut summary = Summary {
        schema: "sekisho.summary/1",
        files: read.files,
        packets: read.frames,
        bytes_captured: read.captured_bytes,
        bytes_wire: read.wire_bytes,
        packets_filtered: read.filtered,
        packets_dropped: read.dropped,
        packets_shed: read.shed,
        packets_unnamed: read.unnamed,
        first: counted.span.map(|(first, _)| first),
        last: counted.span.map(|(_, last)| last),
        clock_turned_back: counted.turned_back,
        packets_decoded: counted.decoded,
        rejected: counted
            .rejects
            .iter()
            .map(|(reason, count)| (reason.to_owned(), count))
            .collect(),
        flows: counted.flows.started,
        flows_evicted: counted.flows.evicted,
        duplicates: counted.duplicates,
        tcp_rejected: counted.flows.rejected,
        ..Summary::default()
    };
    analyst.tally(&mut summary);
    summary.health = Health {
        dropped: (read.dropped > 0).then(|| share(read.dropped, read.dropped + read.frames)),
        shed: (read.shed > 0).then(|| share(read.shed, read.dropped + read.frames)),
        duplicates: Some(share(counted.duplicates, counted.decoded)),
        one_sided: Some(share(counted.flows.one_sided, counted.flows.carried)),
        ..summary.health
    };
    summary
}
