//! What the operator does not want to be told: hidden as far as the rule says and no further, and on record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use sekisho::alert::{Alert, ClosedBecause, Kind, Record, Severity, Silenced, Summary};
use sekisho::capture::memory::MemorySource;
use sekisho::capture::{FileSource, Source};
use sekisho::config::{Keys, Settings};
use sekisho::engine::{Analyst, Run, replay};
use sekisho::flow::{Counters, FlowDelta, Sender};
use sekisho::names::{Answer, Event, Facts, Name, NameSource, Service};
use sekisho::net::{Addr, Endpoint, Protocol};
use sekisho::rules::{RuleFile, RuleSet};
use sekisho::time::Timestamp;

use crate::laws::{OFFICE, THEFT, frames, shipped};

/// 2026-03-09T00:00:00Z, a Monday.
const MONDAY: u64 = 1_773_014_400;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const VAULT: [u8; 4] = [203, 0, 113, 99];

fn rules(files: &[(&str, &str)]) -> RuleSet {
    let files = files.iter().map(|&(name, text)| RuleFile::new(name, text.into()));
    RuleSet::check(files.collect()).unwrap_or_else(|error| panic!("{error}"))
}

/// One that has seen nothing, and goes by these rules.
fn analyst(files: &[(&str, &str)]) -> Analyst {
    let mut options = Settings::of(&Keys::default()).unwrap().analyst;
    options.rules = Arc::new(rules(files));
    Analyst::new(options)
}

fn allowance(matchers: &str, bytes_per_day: &str, expires: &str) -> String {
    format!(
        "allowances:\n  - name: off-site copy\n    owner: it-ops\n    reason: contract 4711\n    \
         expires: {expires}\n    bytes_per_day: {bytes_per_day}\n    {matchers}\n"
    )
}

fn suppression(matchers: &str, expires: &str) -> String {
    format!(
        "suppressions:\n  - name: known\n    owner: soc\n    reason: looked into\n    \
         expires: {expires}\n    {matchers}\n"
    )
}

fn delta((host, to): ([u8; 4], [u8; 4]), secs: u64, bytes: u64) -> FlowDelta {
    let end = |addr: [u8; 4], port| Endpoint { addr: Addr::from_v4(addr), port };
    let at = Timestamp::from_secs_nanos(secs, 0);
    let sent = Counters {
        payload: bytes,
        acked: bytes,
        sent: bytes,
        wire: bytes,
        packets: 9,
        ..Counters::default()
    };
    let out = [sent, Counters::default()];
    FlowDelta::new(end(host, 50_000), end(to, 443), Protocol::TCP, at, out)
}

/// Folds an upload of so many bytes a second to an address that only this host knows.
fn upload(analyst: &mut Analyst, to: [u8; 4], from: u64, (seconds, bytes): (u64, u64)) {
    for second in 0..seconds {
        analyst.fold([&delta(([10, 0, 0, 1], to), from + second, bytes)]);
    }
}

/// What was told, and what was put on record instead.
fn drained(analyst: &mut Analyst) -> (Vec<Alert>, Vec<Alert>) {
    let (mut told, mut hidden) = (Vec::new(), Vec::new());
    for record in analyst.drain() {
        match record {
            Record::Alert(alert) => told.push(*alert),
            Record::Silenced(alert) => hidden.push(*alert),
            Record::Ranking(_) | Record::Summary(_) => {}
        }
    }
    (told, hidden)
}

fn summary(analyst: &Analyst) -> Summary {
    let mut summary = Summary::default();
    analyst.summarize(&mut summary);
    summary
}

/// The nightly copy that a contract allows must not alarm; three times as much must, and say of what it is
/// three times.
#[test]
fn an_allowance_hides_up_to_its_ceiling_and_no_further() {
    let text = allowance("to: [203.0.113.99]", "500MB", "2027-01-01");
    let mut analyst = analyst(&[("allowances.yaml", &text)]);
    upload(&mut analyst, VAULT, MONDAY, (50, 10_000_000));
    let (told, hidden) = drained(&mut analyst);
    assert_eq!(told, []);
    assert!(hidden.len() > 2, "its opening and its growth are on record");
    assert!(hidden.iter().all(|alert| alert.bytes_out <= 500_000_000));
    assert_eq!(summary(&analyst).alerts, 0);

    upload(&mut analyst, VAULT, MONDAY + 50, (1, 10_000_000));
    let (told, hidden) = drained(&mut analyst);
    let [alert] = &told[..] else { panic!("the first delta beyond is told: {told:#?}") };
    assert_eq!(hidden, []);
    assert_eq!(
        (alert.kind, alert.bytes_out, alert.silenced.as_ref()),
        (Kind::Open, 510_000_000, None)
    );
    assert_eq!(alert.left_when_raised, 510_000_000);
    let why = alert.why.last().unwrap();
    assert_eq!(
        (why.term, why.text.as_str()),
        (
            "allowance",
            "allowed: 500 MB a day by off-site copy for it-ops until 2027-01-01; has sent 510 MB today"
        )
    );
    assert_eq!(why.values["bytes_per_day"], 500_000_000);
    let bits: f64 = alert.why.iter().map(|why| why.bits.to_f64()).sum();
    assert!((bits - alert.score_bits.to_f64()).abs() < 0.001);

    analyst.close(ClosedBecause::Eof);
    let (told, hidden) = drained(&mut analyst);
    assert_eq!((told.len(), hidden.len()), (1, 0), "what was told is closed aloud");
    let summary = summary(&analyst);
    assert_eq!(summary.alerts, 1);
    let [Silenced { rule, incidents, bytes, .. }] = &summary.silenced[..] else { panic!() };
    assert_eq!((rule.as_str(), *incidents), ("off-site copy", 1));
    assert!((400_000_000..=500_000_000).contains(bytes), "{bytes}");
}

/// What is hidden is put on record to its last byte, and its end is not told either.
#[test]
fn what_is_hidden_ends_in_silence() {
    let text = allowance("from: [10.0.0.0/24]", "1GB", "2027-01-01");
    let mut analyst = analyst(&[("allowances.yaml", &text)]);
    upload(&mut analyst, VAULT, MONDAY, (50, 10_000_000));
    analyst.close(ClosedBecause::Eof);
    let (told, hidden) = drained(&mut analyst);
    assert_eq!(told, []);
    let last = hidden.last().unwrap();
    assert_eq!((last.kind, last.bytes_out), (Kind::Close, 500_000_000));
    let silence = last.silenced.as_ref().unwrap();
    assert_eq!((silence.owner.as_str(), silence.reason.as_str()), ("it-ops", "contract 4711"));
    assert_eq!(summary(&analyst).silenced[0].bytes, 500_000_000);
}

/// On the second day the ceiling is broken: that the day before was hidden under the same incident is no
/// reason to wait until it has grown fourfold.
#[test]
fn what_was_hidden_on_other_days_does_not_keep_today_quiet() {
    let text = allowance("to: [203.0.113.99]", "500MB", "2027-01-01");
    let mut analyst = analyst(&[("allowances.yaml", &text)]);
    // In a host's first days all is learned.
    for day in 0..5 {
        upload(&mut analyst, [203, 0, 113, 1], MONDAY + day * DAY, (10, 20_000));
    }
    upload(&mut analyst, VAULT, MONDAY + 5 * DAY, (40, 10_000_000));
    analyst.advance(Timestamp::from_secs_nanos(MONDAY + 5 * DAY + HOUR, 0));
    let (told, hidden) = drained(&mut analyst);
    assert!(told.is_empty() && hidden.iter().any(|alert| alert.kind == Kind::Close));
    upload(&mut analyst, VAULT, MONDAY + 6 * DAY, (60, 10_000_000));
    let told = drained(&mut analyst).0;
    assert_eq!(told.first().map(|alert| alert.kind), Some(Kind::Open), "{told:#?}");
    assert!(told[0].why.iter().any(|why| why.text.ends_with("has sent 510 MB today")));
}

/// A rule that has run out must not go on for lack of somebody who removes it; it is packet time that says so.
#[test]
fn rules_end_in_packet_time() {
    let within = |expires: &str| {
        let text = suppression("to: [203.0.113.99]", expires);
        let mut analyst = analyst(&[("suppressions.yaml", &text)]);
        // Until half past ten.
        upload(&mut analyst, VAULT, MONDAY + 10 * HOUR, (1800, 1_000_000));
        let (told, hidden) = drained(&mut analyst);
        (told.first().map(|alert| (alert.kind, alert.time.as_secs())), hidden.len())
    };
    let (told, hidden) = within("2026-03-09");
    assert!(told.is_none() && hidden > 3, "the day counts to its end");
    let (told, _) = within("2026-03-08");
    assert!(told.is_some_and(|(kind, at)| kind == Kind::Open && at < MONDAY + 10 * HOUR + 60));
    let (told, hidden) = within("2026-03-09T10:15:00Z");
    // Told at the first look after: once a minute, or a tenth more.
    let (kind, at) = told.unwrap();
    assert!(kind == Kind::Open && hidden > 0, "{kind:?}");
    let end = MONDAY + 10 * HOUR + 900;
    assert!((end..=end + 60).contains(&at), "{at}");
}

/// Hours are those of the clocks on the wall, and go beyond midnight.
#[test]
fn hours_are_those_of_the_time_zone() {
    let told = |begin: u64| {
        let defaults = "timezone: Asia/Tokyo\n";
        let text = suppression("to: [203.0.113.99]\n    hours: 22:00-06:00", "2027-01-01");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("defaults.yaml"), defaults).unwrap();
        std::fs::write(dir.path().join("suppressions.yaml"), text).unwrap();
        let keys = Keys { rules: Some(dir.path().to_owned()), ..Keys::default() };
        let mut analyst = Analyst::new(Settings::of(&keys).unwrap().analyst);
        upload(&mut analyst, VAULT, begin, (20, 10_000_000));
        !drained(&mut analyst).0.is_empty()
    };
    // 01:00 in Tokyo is 16:00 the day before in Greenwich.
    assert!(!told(MONDAY + 16 * HOUR));
    assert!(told(MONDAY + HOUR));
    assert!(told(MONDAY + 12 * HOUR) && !told(MONDAY + 13 * HOUR));
}

/// What is said of small fry must not cover the theft that comes by the same way.
#[test]
fn a_suppression_can_be_for_what_matters_less() {
    let text =
        suppression("to: [203.0.113.99]\n    family: [volume]\n    below: high", "2027-01-01");
    let mut analyst = analyst(&[("suppressions.yaml", &text)]);
    upload(&mut analyst, VAULT, MONDAY, (60, 1_500_000));
    let (told, hidden) = drained(&mut analyst);
    assert!(told.is_empty() && hidden.iter().any(|alert| alert.severity == Severity::Medium));
    upload(&mut analyst, VAULT, MONDAY + 60, (60, 5_000_000));
    let (told, _) = drained(&mut analyst);
    assert_eq!(
        told.first().map(|alert| (alert.kind, alert.severity)),
        Some((Kind::Open, Severity::High))
    );

    let text = suppression("to: [203.0.113.99]\n    family: [dns, icmp]", "2027-01-01");
    let mut analyst = self::analyst(&[("suppressions.yaml", &text)]);
    upload(&mut analyst, VAULT, MONDAY, (60, 1_500_000));
    assert!(!drained(&mut analyst).0.is_empty());
}

/// While the switches are swapped alerts are written down and wake nobody; what still runs afterwards does.
#[test]
fn maintenance_pages_nobody_while_it_lasts() {
    let text = "maintenance:\n  - name: switches\n    owner: net\n    reason: new switches\n    \
                from: 2026-03-09T10:00\n    to: 2026-03-09T10:15\n    hosts: [10.0.0.0/24]\n";
    let mut analyst = analyst(&[("maintenance.yaml", text)]);
    upload(&mut analyst, VAULT, MONDAY + 10 * HOUR, (600, 1_000_000));
    let (told, hidden) = drained(&mut analyst);
    assert_eq!(hidden, []);
    assert!(!told.is_empty() && told.iter().all(|alert| !alert.pages()));
    assert_eq!(told.last().unwrap().severity, Severity::High, "its severity is kept");
    assert_eq!(summary(&analyst).alerts, 0);
    upload(&mut analyst, VAULT, MONDAY + 10 * HOUR + 600, (600, 1_000_000));
    let (told, _) = drained(&mut analyst);
    let first = told.iter().find(|alert| alert.pages()).unwrap();
    assert_eq!((first.kind, first.silenced.as_ref()), (Kind::Update, None));
    assert_eq!(first.left_when_raised, first.bytes_out);
    assert_eq!(summary(&analyst).alerts, 1);

    let mut before = self::analyst(&[("maintenance.yaml", text)]);
    upload(&mut before, VAULT, MONDAY + 9 * HOUR, (60, 10_000_000));
    assert!(drained(&mut before).0.iter().any(Alert::pages));
}

/// Rules are read again while an upload runs: one that is taken away hides it no longer, one that is added does, and
/// what was told by then is closed aloud.
#[test]
fn a_reload_counts_for_what_is_open() {
    let text = suppression("to: [203.0.113.99]", "2027-01-01");
    let (with, without) =
        (rules(&[("suppressions.yaml", &text)]), rules(&[("x.yaml", "kind: defaults")]));
    let mut analyst = analyst(&[("suppressions.yaml", &text)]);
    upload(&mut analyst, VAULT, MONDAY, (50, 10_000_000));
    assert!(drained(&mut analyst).0.is_empty());
    assert!(
        !analyst.reload(Arc::new(without), String::new()),
        "nothing that waits for the next start"
    );
    upload(&mut analyst, VAULT, MONDAY + 50, (60, 10_000_000));
    let (told, hidden) = drained(&mut analyst);
    assert_eq!((told.first().map(|alert| alert.kind), hidden.len()), (Some(Kind::Open), 0));
    analyst.reload(Arc::new(with), String::new());
    upload(&mut analyst, VAULT, MONDAY + 110, (300, 10_000_000));
    analyst.close(ClosedBecause::Stopped);
    let (told, hidden) = drained(&mut analyst);
    assert!(!hidden.is_empty());
    assert_eq!(told.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [Kind::Close]);
}

/// A host that calls its server by an allowed name, while it was told another by its resolver.
fn named(said: &str, answered: &str) -> [Event; 2] {
    let at = Timestamp::from_secs_nanos(MONDAY, 0);
    let name = |text: &str| Name::of(text.as_bytes()).unwrap();
    let answer = Answer {
        at,
        host: Addr::from_v4([10, 0, 0, 1]),
        name: name(answered),
        aliases: Vec::new(),
        addresses: vec![(Addr::from_v4(VAULT), Duration::from_secs(3600))],
    };
    let flow = delta(([10, 0, 0, 1], VAULT), MONDAY, 1).key;
    let client = if flow.low.port == 443 { Sender::High } else { Sender::Low };
    let facts = Facts {
        seen_at: at,
        service: Service::Tls,
        name: Some((name(said), NameSource::TlsSni)),
        named_by: Some(client),
        ..Facts::default()
    };
    [Event::Answer(Box::new(answer)), Event::Facts(flow, Arc::new(facts))]
}

/// Whoever says an allowed name to another's server must not be let through by it, nor by the other's.
#[test]
fn a_name_in_dispute_is_allowed_nothing() {
    let allowed = |said, answered| {
        let text = allowance(
            "to: [vault.example]\n    services: [tls]\n    ports: [443]",
            "1GB",
            "2027-01-01",
        );
        let mut analyst = analyst(&[("allowances.yaml", &text)]);
        named(said, answered).iter().for_each(|event| {
            analyst.hear(event);
        });
        upload(&mut analyst, VAULT, MONDAY, (50, 10_000_000));
        drained(&mut analyst).0.is_empty()
    };
    assert!(allowed("s3.vault.example", "s3.vault.example"));
    assert!(!allowed("s3.vault.example", "drop.thief.example"));
    assert!(!allowed("www.bank.example", "s3.vault.example"));
    assert!(!allowed("vault.example.thief.example", "vault.example.thief.example"));
}

/// What is in order is no reason to raise the bar for others. What is normal is learned as without the rule: if all
/// that is allowed were, its ceiling and its end would soon mean nothing, and a group would be deaf to as much.
#[test]
fn what_is_allowed_spends_no_budget_and_teaches_no_more() {
    let days = |files: &[(&str, &str)]| {
        let mut analyst = analyst(files);
        for day in 0..30 {
            let morning = MONDAY + day * DAY;
            for host in 1..15 {
                analyst.fold([&delta(([10, 0, 0, host], [203, 0, 113, 1]), morning, 300_000)]);
            }
            // From the second week on each day somewhere else, so that it is never usual.
            if day > 7 {
                let to = [203, 0, 113, 100 + u8::try_from(day).unwrap()];
                upload(&mut analyst, to, morning + 60, (40, 10_000_000));
            }
        }
        analyst.fold([&delta(([10, 0, 0, 2], [203, 0, 113, 1]), MONDAY + 30 * DAY, 1000)]);
        analyst
    };
    let text = allowance("from: [10.0.0.1]", "1GB", "2027-01-01");
    let (allowed, watched) =
        (days(&[("allowances.yaml", &text)]), days(&[("x.yaml", "kind: defaults")]));
    let at_first = analyst(&[("x.yaml", "kind: defaults")]).threshold();
    assert!(allowed.threshold() <= at_first, "{} {at_first}", allowed.threshold());
    let thresholds = (allowed.threshold(), watched.threshold());
    assert!(thresholds.0 < thresholds.1, "{thresholds:?}");
    let profile = |analyst: &Analyst| {
        let host = sekisho::egress::HostKey::Address(Addr::from_v4([10, 0, 0, 1]));
        serde_json::to_value(analyst.profile(host).unwrap()).unwrap()
    };
    assert_eq!(profile(&allowed), profile(&watched));
}

/// An allowed copy to a new place must not make an upload to many places of the two crumbs beside it.
#[test]
fn what_is_allowed_is_no_part_of_what_goes_to_many() {
    let told = |files: &[(&str, &str)]| {
        let mut analyst = analyst(files);
        for day in 0..5 {
            upload(&mut analyst, [203, 0, 113, 1], MONDAY + day * DAY, (10, 20_000));
        }
        let friday = MONDAY + 5 * DAY;
        upload(&mut analyst, VAULT, friday, (50, 10_000_000));
        analyst.drain();
        for to in [7, 8] {
            upload(&mut analyst, [198, 51, 100, to], friday + 60, (10, 200_000));
        }
        let told = drained(&mut analyst).0;
        told.into_iter().map(|alert| alert.destination.key).collect::<Vec<_>>()
    };
    let text = allowance("to: [203.0.113.99]", "1GB", "2027-01-01");
    assert!(told(&[("defaults.yaml", "")]).contains(&"*".to_owned()));
    assert_eq!(told(&[("allowances.yaml", &text)]), [""; 0]);
}

/// All records of a replay in the time zone of the recordings.
fn replayed<S: Source>(
    files: &[(&str, &str)],
    source: &mut S,
    workers: usize,
) -> (Vec<Record>, Summary)
where
    S::Error: std::fmt::Debug,
{
    let mut settings = crate::laws::settings();
    settings.analyst.rules = Arc::new(rules(files));
    let mut analyst = Analyst::new(settings.analyst);
    let run = Run { workers, ..settings.run };
    let mut records = Vec::new();
    replay(source, &run, &mut analyst, |_, told| records.extend(told)).unwrap();
    (records, summary(&analyst))
}

const CONTRACTOR: &str = "pcaps/contractor-upload.pcap.zst";
const ALL: [&str; 3] = [OFFICE, THEFT, CONTRACTOR];

/// An alert without what rules say of it.
fn bare(record: &Record) -> Option<Alert> {
    match record {
        Record::Alert(alert) | Record::Silenced(alert) => {
            // What is hidden was never raised.
            Some(Alert { silenced: None, left_when_raised: 0, ..(**alert).clone() })
        }
        Record::Ranking(_) | Record::Summary(_) => None,
    }
}

/// Hidden and told together are what is told without rules, and nothing that is counted changes.
#[test]
fn a_suppression_changes_nothing_but_who_is_told() {
    let (without, counted) = replayed(&[("x.yaml", "kind: defaults")], &mut shipped(&ALL), 1);
    let without: Vec<Alert> = without.iter().filter_map(bare).collect();
    assert!(without.len() > 4);
    for matchers in [
        "from: [10.20.0.0/16]",
        "to: [198.18.0.0/16]",
        "from: [10.20.0.0/16]\n    below: high",
        "to: [paste-up.example]\n    family: [volume]",
    ] {
        let text = suppression(matchers, "2027-01-01");
        let (with, recounted) = replayed(&[("suppressions.yaml", &text)], &mut shipped(&ALL), 1);
        assert!(with.iter().any(|record| matches!(record, Record::Silenced(_))), "{matchers}");
        let with: Vec<Alert> = with.iter().filter_map(bare).collect();
        if !matchers.contains("below") {
            assert_eq!(with, without, "{matchers}");
        }
        assert_eq!(last_bytes(&with), last_bytes(&without), "{matchers}");
        let counted = Summary {
            alerts: recounted.alerts,
            silenced: recounted.silenced.clone(),
            ..counted.clone()
        };
        assert_eq!(recounted, counted, "{matchers}");
    }
}

/// Bytes of each incident when it was last told, or put on record.
fn last_bytes(alerts: &[Alert]) -> BTreeMap<&str, u64> {
    alerts.iter().map(|alert| (alert.incident.as_str(), alert.bytes_out)).collect()
}

const MANY: &str = "allowances:\n  - {name: a, owner: o, reason: r, expires: 2027-01-01, bytes_per_day: 100MB, to: [paste-up.example]}\n  \
                    - {name: b, owner: o, reason: r, expires: 2026-03-16T02:00:10+09:00, bytes_per_day: 3GB, from: [10.20.0.0/16]}\n";

/// Rules are asked by the one who judges, in packet time: never by how fast anything was read.
#[test]
fn the_same_for_any_workers_and_batches() {
    let usual = replayed(&[("allowances.yaml", MANY)], &mut shipped(&ALL), 1);
    assert!(usual.0.iter().any(|record| matches!(record, Record::Silenced(_))));
    assert!(usual.0.iter().any(|record| matches!(record, Record::Alert(_))));
    for workers in [2, 8] {
        assert_eq!(replayed(&[("allowances.yaml", MANY)], &mut shipped(&ALL), workers), usual);
    }
    let frames = frames(&ALL);
    for size in [1, 997] {
        let mut source = MemorySource::new(frames.clone(), size);
        assert_eq!(replayed(&[("allowances.yaml", MANY)], &mut source, 2), usual, "{size}");
    }
    let folder = tempfile::tempdir().unwrap();
    let half = frames.heads.len() / 2;
    let parts = [0..half, half..frames.heads.len()].map(|which| {
        let path = folder.path().join(format!("{}.pcap", which.start));
        std::fs::write(&path, crate::laws::pcap(&frames, which)).unwrap();
        path
    });
    let mut source = FileSource::open(&parts, sekisho::capture::Options::default()).unwrap();
    assert_eq!(replayed(&[("allowances.yaml", MANY)], &mut source, 1), usual);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Whatever is sent in a day: no allowance hides an incident beyond its ceiling, no incident is lost, and
    /// what is told and hidden together is of the size that it would be told of without.
    #[test]
    fn nothing_is_hidden_beyond_a_ceiling_and_nothing_is_lost(
        ceiling_mb in 1u64..400,
        sends in prop::collection::vec((1u8..4, 0u8..4, 1u64..30, 1u64..60_000_000), 1..60),
        // All within half an hour, in which nothing closes; or with silence in between.
        pace in prop::sample::select(vec![1u64, 60]),
    ) {
        let text = allowance("from: [10.0.0.1, 10.0.0.2]", &format!("{ceiling_mb}MB"), "2027-01-01");
        let files = [("allowances.yaml", text.as_str())];
        let run = |files: &[(&str, &str)]| {
            let mut analyst = analyst(files);
            let mut at = MONDAY;
            for &(host, to, wait, bytes) in &sends {
                at = (at + wait * pace).min(MONDAY + DAY - 1);
                analyst.fold([&delta(([10, 0, 0, host], [203, 0, 113, to]), at, bytes)]);
            }
            analyst.close(ClosedBecause::Eof);
            let (told, hidden) = drained(&mut analyst);
            (told, hidden, summary(&analyst))
        };
        let (without, none, _) = run(&[("defaults.yaml", "")]);
        prop_assert_eq!(none, vec![]);
        let (told, hidden, summary) = run(&files);
        for alert in &hidden {
            prop_assert!(alert.bytes_out <= ceiling_mb * 1_000_000, "{}", alert.bytes_out);
            prop_assert!(alert.host.ip != Addr::from_v4([10, 0, 0, 3]));
        }
        let all: Vec<Alert> = [told.clone(), hidden].concat();
        // Of many destinations at once, what is allowed is no part.
        let single = |alerts: &[Alert]| -> BTreeMap<String, u64> {
            let single = alerts.iter().filter(|alert| alert.destination.key != "*");
            let mut bytes = BTreeMap::new();
            for alert in single {
                let most = bytes.entry(alert.incident.clone()).or_insert(0);
                *most = alert.bytes_out.max(*most);
            }
            bytes
        };
        let (with, without) = (single(&all), single(&without));
        for (incident, bytes) in &without {
            let with = with.get(incident);
            prop_assert!(with.is_some() && (pace > 1 || with == Some(bytes)), "{} {:?}", incident, with);
        }
        // What is told begins with its opening, and is closed.
        let ids: BTreeSet<&str> = told.iter().map(|alert| alert.incident.as_str()).collect();
        for id in ids {
            let of: Vec<&Alert> = told.iter().filter(|alert| alert.incident == id).collect();
            prop_assert!(of.len() == 1 || of[0].kind == Kind::Open, "{:?}", of[0].kind);
            prop_assert_eq!(of[of.len() - 1].kind, Kind::Close);
        }
        let hidden_bytes: u64 = summary.silenced.iter().map(|rule| rule.bytes).sum();
        let most: u64 = sends.iter().filter(|send| send.0 < 3).map(|send| send.3).sum();
        prop_assert!(hidden_bytes <= most);
    }
}

/// Rules that match nothing, and folders without such rules, tell what no folder tells.
#[test]
fn rules_that_match_nothing_change_nothing() {
    let text = allowance("from: [10.99.0.0/16]", "1GB", "2027-01-01");
    let told = |files: &[(&str, &str)]| replayed(files, &mut shipped(&ALL), 1);
    assert_eq!(told(&[("allowances.yaml", &text)]), told(&[("x.yaml", "kind: defaults")]));
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = crate::cli::sekisho().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const INSIDE: [&str; 4] =
    ["--internal", "10.20.0.0/16,2001:db8:20::/48", "--timezone", "Asia/Tokyo"];

fn valid(of: &str, line: &str) -> serde_json::Value {
    let schema: serde_json::Value = serde_json::from_str(&run(&["schema", of]).1).unwrap();
    let value = serde_json::from_str(line).unwrap();
    let errors: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&value)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(errors, Vec::<String>::new());
    value
}

/// What is hidden is out of sight, and must not be out of reach: the run says so at its end, the state folder has
/// it, and the list says by whose rule. A rule that does nothing any more is called dead.
#[test]
fn what_is_hidden_is_on_record() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, state) = (dir.path().join("rules"), dir.path().join("state"));
    std::fs::create_dir(&rules).unwrap();
    let [rules, state] = [&rules, &state].map(|path| path.to_str().unwrap());
    let files = "suppressions:\n  - {name: known, owner: soc, reason: looked into, expires: 2027-01-01, to: [paste-up.example]}\n  \
                 - {name: over, owner: soc, reason: old, expires: 2026-03-15, to: [paste-up.example]}\n  \
                 - {name: idle, owner: soc, reason: other, expires: 2027-01-01, to: [nobody.example]}\n";
    std::fs::write(format!("{rules}/suppressions.yaml"), files).unwrap();
    let days = ["pcaps/office-2026-03-12.pcap.zst", "pcaps/office-2026-03-13.pcap.zst", CONTRACTOR];
    let learn =
        [&["replay", "--rules", rules, "--state", state, "--learn"], &INSIDE[..], &days].concat();
    let (code, out, err) = run(&learn);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("No incidents") && out.contains("(suppression: known)"), "{out}");
    assert!(
        out.ends_with("Silenced by rules:\n  suppression  known  1 incident, 597 MB\n"),
        "{out}"
    );

    let json = [&["replay", "--rules", rules, "--format", "json"], &INSIDE[..], &days].concat();
    let (_, out, _) = run(&json);
    let told = out.lines().filter(|line| line.contains("sekisho.alert/1"));
    assert!(
        told.clone().count() > 0 && !told.clone().any(|line| line.contains("paste-up")),
        "{out}"
    );
    let summary = valid("summary", out.lines().last().unwrap());
    assert_eq!(summary["silenced"][0]["rule"], "known");
    let ranked = out.lines().find(|line| line.contains("\"silenced\"")).unwrap();
    assert_eq!(valid("ranking", ranked)["silenced"]["owner"], "soc");

    assert!(!run(&["incidents", "list", "--state", state]).1.contains("paste-up"));
    let (_, listed, _) = run(&["incidents", "list", "--all", "--state", state, "--format", "json"]);
    let hidden = listed.lines().find(|line| line.contains("paste-up")).unwrap();
    assert_eq!(valid("incident", hidden)["silenced"]["rule"], "known");

    let (code, out, err) = run(&["rules", "list", "--rules", rules, "--state", state]);
    assert_eq!((code, err.as_str()), (0, ""));
    for line in [
        "suppression  known\n",
        "suppression  over, EXPIRED\n",
        "suppression  idle, DEAD: never used\n",
        "silenced 1 incident, 597 MB, last 2026-03-16T02:01:06Z",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let (_, out, _) = run(&["rules", "list", "--rules", rules, "--format", "json"]);
    let rows: Vec<_> = out.lines().map(|line| valid("rule", line)).collect();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["silenced"].is_null() && row["status"] != "dead"));
}

/// Before a rule is put in force, last month says what it would have done.
#[test]
fn a_change_of_rules_can_be_tried() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("suppressions.yaml"), text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let none = folder("none", "suppressions: []\n");
    let some = folder("some", &suppression("to: [paste-up.example]", "2027-01-01"));
    let days = ["pcaps/office-2026-03-12.pcap.zst", "pcaps/office-2026-03-13.pcap.zst", CONTRACTOR];
    let what_if = |here: &str, there: &str, more: &[&str]| {
        let rules = ["replay", "--rules", here, "--what-if", there];
        run(&[&rules[..], &INSIDE, more, &days].concat())
    };
    let (code, out, err) = what_if(&none, &some, &["--format", "json", "--fail-on-alert"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let changes = valid("what-if", out.trim());
    assert_eq!((&changes["alerts_before"], &changes["alerts_after"]), (&1.into(), &0.into()));
    assert_eq!(changes["removed"][0]["silenced"]["rule"], "known");
    assert_eq!(changes["removed"][0]["destination"], "paste-up.example");
    let (code, out, _) = what_if(&some, &none, &["--fail-on-alert"]);
    assert_eq!(code, 1, "by the new rules there is an alert");
    assert!(
        out.contains("\nAdded:\n")
            && !out.contains("Removed")
            && out.contains("silenced: suppression known of soc until 2027-01-01"),
        "{out}"
    );
    let (code, out, _) = what_if(&some, &some, &[]);
    assert_eq!((code, out.as_str()), (0, "Alerts by the rules at hand: 0; by the others: 0\n"));
    let (code, _, err) = what_if(&none, "nowhere", &[]);
    assert!(code == 2 && err.contains("nowhere"), "{err}");
}

fn threshold(what: &str) -> String {
    format!(
        "thresholds:\n  - name: nobody pastes\n    owner: soc\n    reason: policy 7\n    {what}\n"
    )
}

/// Hosts that send a hundred megabytes a day, every day: far more to the same place is no wonder to anybody but to who
/// set a limit. It pages at the limit, says whose it is, and does so as little as before for whom it is not about.
#[test]
fn a_limit_pages_whatever_is_usual() {
    let usual = |analyst: &mut Analyst, days: u64| {
        for day in 0..days {
            upload(analyst, VAULT, MONDAY + day * DAY, (20, 5_000_000));
            analyst.drain();
        }
    };
    let say = |text: &str| {
        let mut analyst = analyst(&[("thresholds.yaml", text)]);
        usual(&mut analyst, 10);
        upload(&mut analyst, VAULT, MONDAY + 10 * DAY, (20, 5_000_000));
        let (mut told, _) = drained(&mut analyst);
        // The day before is over.
        told.retain(|alert| alert.kind != Kind::Close);
        told
    };
    assert_eq!(say("thresholds: []"), []);
    // Once a day, however often the same was told on other days.
    let told = say(&threshold("to: [203.0.113.0/24]\n    bytes_per_day: 50MB"));
    let [alert, more @ ..] = &told[..] else { panic!("nothing is told") };
    assert_eq!((alert.kind, alert.severity), (Kind::Reopen, Severity::Medium));
    assert!(more.iter().all(|alert| alert.kind == Kind::Update), "{more:#?}");
    assert_eq!(alert.why.last().unwrap().values["bytes"], 50_000_000);
    assert!(alert.score_bits < alert.threshold_bits);
    let why = alert.why.last().unwrap();
    assert_eq!((why.term, why.bits.to_f64()), ("limit", 0.0));
    assert!(why.text.starts_with("limit: 50 MB a day by nobody pastes of soc (policy 7)"));
    assert!(alert.counterfactual.no_alert_below_bytes <= 50_000_000);
    for others in [
        "to: [198.51.100.0/24]\n    bytes_per_day: 50MB",
        "to: [203.0.113.0/24]\n    bytes_per_day: 500MB",
        "bytes_per_day: 50MB\n    when: hour > 3",
        "bytes_per_day: 50MB\n    services: [ssh]",
    ] {
        assert_eq!(say(&threshold(others)), [], "{others}");
    }
    let condition = "bytes_per_day: 50MB\n    when: hour < 3 && host == \"10.0.0.1\"";
    assert_eq!(say(&threshold(condition))[0].kind, Kind::Reopen);
}

/// A score of its own for those who may do more, or less, than the budget's: who is told follows it, what is learned
/// does not.
#[test]
fn a_threshold_in_bits_goes_before_that_of_the_budget() {
    let say = |bits: &str| {
        let text = threshold(&format!("from: [10.0.0.0/24]\n    bits: {bits}"));
        let mut analyst = analyst(&[("thresholds.yaml", &text)]);
        upload(&mut analyst, VAULT, MONDAY, (60, 2_000_000));
        let score =
            analyst.verdict(Addr::from_v4([10, 0, 0, 1]), Addr::from_v4(VAULT)).unwrap().score;
        (drained(&mut analyst).0, score)
    };
    let (usual, score) = say("6.49");
    let (strict, _) = say("3");
    let page = |told: &[Alert]| {
        told.iter().find(|alert| alert.severity >= Severity::Medium).unwrap().bytes_out
    };
    assert!(page(&strict) < page(&usual), "{} {}", page(&strict), page(&usual));
    assert_eq!(strict[0].threshold_bits.to_f64(), 3.0);
    let (lax, same_score) = say("30");
    assert_eq!((lax, same_score), (vec![], score));
}

/// Rules are read, refused and listed like all others.
#[test]
fn thresholds_are_checked_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thresholds.yaml");
    let folder = dir.path().to_str().unwrap();
    std::fs::write(&path, threshold("bytes_per_day: 5MB\n    when: rloe == \"server\"")).unwrap();
    let (code, _, err) = run(&["rules", "check", folder]);
    assert_eq!(code, 2);
    for part in ["thresholds.yaml:6:11", "unknown variable `rloe`", "did you mean `role`?"] {
        assert!(err.contains(part), "{err}");
    }
    std::fs::write(&path, threshold("bytes_per_day: 5MB\n    when: role == \"server\"")).unwrap();
    let (code, out, _) = run(&["rules", "check", folder]);
    assert!(code == 0 && out.contains("thresholds    1"), "{out}");
    let (code, out, _) = run(&["rules", "list", "--rules", folder]);
    assert!(code == 0 && out.contains("when role == \"server\""), "{out}");
    let (_, out, _) = run(&["rules", "list", "--rules", folder, "--format", "json"]);
    let row = valid("rule", out.trim());
    assert_eq!(
        (row["by"].as_str(), row["bytes_per_day"].as_u64()),
        (Some("threshold"), Some(5_000_000))
    );
}
