//! The yardstick itself, on traffic and judges of which the score is known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::course::Course;
use super::fixed_rules::{FixedRule, Rule};
use super::ground::Ground;
use super::judge::{Judge, Said, Told};
use super::labels::Labels;
use super::report::{Outcome, Verdict};
use super::score::Score;
use crate::alert::{Kind, Severity};
use crate::detect::{Bits, Finding};
use crate::flow::{Counters, FlowDelta, FlowEnd};
use crate::net::{Addr, Endpoint, Protocol, Subnets};
use crate::time::Timestamp;

const START: u64 = 1_773_619_200; // 2026-03-16T00:00:00Z
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs_nanos(START + secs, 0)
}

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

/// A host sends bytes to a peer, from a flow that is over at once.
fn sends(host: &str, peer: &str, secs: u64, bytes: u64) -> FlowDelta {
    let end = |addr, port| Endpoint { addr, port };
    let (host, peer) = (end(addr(host), 50_000), end(addr(peer), 443));
    let out = Counters { payload: bytes, sent: bytes, packets: 1, ..Counters::default() };
    let counters = [out, Counters::default()];
    let delta = FlowDelta::new(host, peer, Protocol::TCP, at(secs), counters);
    FlowDelta { end: Some(FlowEnd::Fin), ..delta }
}

fn incident(id: &str, expected: &str, src: &str, dst: &[&str], secs: (u64, u64)) -> String {
    let dst: Vec<String> = dst.iter().map(|dst| format!("{dst:?}")).collect();
    format!(
        r#"{{"id":"{id}","expected":"{expected}","src":"{src}","dst":[{}],"start":"{}","end":"{}"}}"#,
        dst.join(","),
        at(secs.0),
        at(secs.1)
    )
}

/// Labels of these incidents; only the 16th is judged.
fn labels(incidents: &[String]) -> Labels {
    let text = format!(
        r#"{{"timeline":{{"evaluation_days":["2026-03-16"]}},"incidents":[{}]}}"#,
        incidents.join(",")
    );
    Labels::parse(Path::new("labels.json"), &text).unwrap()
}

/// The scores of a judge, alone and together.
fn score(judge: impl Judge, labels: &Labels, deltas: &[FlowDelta]) -> (Score, Score) {
    let mut ground = Ground::new(labels, &Subnets::private(), &jiff::tz::TimeZone::UTC);
    let mut course = Course::new(judge, ground.targets());
    for delta in deltas {
        let (mine, today) = ground.step(delta);
        course.fold(delta, &mine, ground.truth_mut(), today);
    }
    let told = course.finish(ground.truth_mut());
    ground.score(labels, &told)
}

fn verdicts(score: &Score) -> Vec<Verdict> {
    score.outcomes.iter().flatten().map(|outcome| outcome.verdict).collect()
}

/// Says what it is told to say, from the bytes of a host to a peer on one day.
#[derive(Clone)]
struct Fake<F> {
    says: F,
    sums: BTreeMap<(Addr, Addr, u64), u64>,
    told: Vec<Told>,
}

/// What a fake says: how grave it is, and which destinations it names.
type Says = Option<(Severity, Vec<Addr>)>;

/// What a fake has seen: host, peer, day, and bytes before and after.
type Seen = (Addr, Addr, u64, u64, u64);

impl<F: Fn(Seen) -> Says + Clone> Fake<F> {
    fn new(says: F) -> Self {
        Self { says, sums: BTreeMap::new(), told: Vec::new() }
    }
}

impl<F: Fn(Seen) -> Says + Clone> Judge for Fake<F> {
    fn fold(&mut self, delta: &FlowDelta) {
        let is_low = delta.low.sent > 0;
        let (host, peer) = (delta.key.low.addr, delta.key.high.addr);
        let (host, peer) = if is_low { (host, peer) } else { (peer, host) };
        let day = delta.last_at.as_secs() / DAY;
        let sum = self.sums.entry((host, peer, day)).or_default();
        let before = *sum;
        *sum += delta.low.sent + delta.high.sent;
        if let Some((severity, destinations)) = (self.says)((host, peer, day, before, *sum)) {
            self.told.push(Told::Alert(Box::new(Said {
                incident: format!("{host} {peer} {day}"),
                kind: if before == 0 { Kind::Open } else { Kind::Update },
                time: delta.last_at,
                severity,
                score: None,
                hosts: vec![host],
                destinations,
                names: Vec::new(),
                bytes_out: *sum,
            })));
        }
    }

    fn finish(&mut self) {}

    fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    fn verdict(&self, _: Addr, _: Addr) -> Option<(Finding, Bits)> {
        None
    }
}

/// Pages for pairs of host and peer, on each day, from a number of bytes.
fn pages_from(bytes: u64) -> impl Judge {
    Fake::new(move |(_, peer, _, before, after): Seen| {
        (before < bytes && after >= bytes).then(|| (Severity::Medium, vec![peer]))
    })
}

/// Two thefts, a look-alike, and two hosts with ordinary uploads on two days.
fn office() -> (Labels, Vec<FlowDelta>) {
    let labels = labels(&[
        incident("T1", "alert", "10.0.0.1", &["192.0.2.1"], (10 * HOUR, 11 * HOUR)),
        incident("T2", "alert", "10.0.0.2", &["192.0.2.2"], (12 * HOUR, 12 * HOUR)),
        incident("L1", "no-alert", "10.0.0.3", &["192.0.2.3"], (13 * HOUR, 13 * HOUR)),
    ]);
    let deltas = vec![
        // The day before is learned from.
        sends("10.0.0.1", "192.0.2.9", 0, 100).earlier(DAY),
        sends("10.0.0.2", "192.0.2.9", HOUR, 100),
        sends("10.0.0.1", "192.0.2.9", 2 * HOUR, 100),
        sends("10.0.0.1", "192.0.2.1", 10 * HOUR, 1000),
        sends("10.0.0.1", "192.0.2.1", 10 * HOUR + 30, 2000),
        sends("10.0.0.1", "192.0.2.1", 11 * HOUR, 7000),
        sends("10.0.0.2", "192.0.2.2", 12 * HOUR, 50),
        sends("10.0.0.3", "192.0.2.3", 13 * HOUR, 5000),
    ];
    (labels, deltas)
}

impl FlowDelta {
    fn earlier(mut self, secs: u64) -> Self {
        let by = Duration::from_secs(secs);
        (self.started_at, self.last_at) = (self.started_at.minus(by), self.last_at.minus(by));
        self
    }
}

#[test]
fn whoever_always_alerts_finds_all_and_is_wrong_about_the_rest() {
    let (labels, deltas) = office();
    let (alone, together) = score(pages_from(1), &labels, &deltas);
    for score in [alone, together] {
        assert_eq!(verdicts(&score), [Verdict::Found, Verdict::Found, Verdict::Paged]);
        assert_eq!((score.tally.found, score.tally.incidents), (2, 2));
        assert_eq!((score.tally.lookalikes, score.tally.lookalikes_paged), (1, 1));
        // Two ordinary pairs on the day that is judged, and the look-alike.
        assert_eq!(score.false_alerts.len(), 3);
        assert_eq!(score.tally.on_other_days.len(), 1);
        assert_eq!(score.tally.on_other_days[0].day.to_string(), "2026-03-15");
        assert_eq!(score.tally.on_other_days[0].alerts, 1);
    }
}

#[test]
fn whoever_never_alerts_finds_nothing_and_is_never_wrong() {
    let (labels, deltas) = office();
    let (alone, together) = score(pages_from(u64::MAX), &labels, &deltas);
    for score in [&alone, &together] {
        assert_eq!(verdicts(score), [Verdict::Missed, Verdict::Missed, Verdict::Silent]);
        assert_eq!((score.tally.recall, score.tally.false_alerts), (Some(0.0), 0));
        assert_eq!(score.tally.false_per_1000_host_days, Some(0.0));
    }
    // Hosts 1 and 2 without the incidents; the look-alike's host with them.
    assert_eq!((alone.tally.host_days, together.tally.host_days), (2, 3));
}

/// What had left is counted from the flows up to the page, whatever the alert says of itself.
#[test]
fn what_had_left_is_counted_up_to_the_page() {
    let (labels, deltas) = office();
    let (alone, _) = score(pages_from(2500), &labels, &deltas);
    let Some(Outcome { verdict: Verdict::Found, detection: Some(found), .. }) = &alone.outcomes[0]
    else {
        panic!("the first theft is missed")
    };
    assert_eq!((found.secs, found.bytes_left, found.share_left), (30.0, 3000, 0.3));
    assert_eq!(alone.tally.median_bytes_left, Some(3000.0));
    assert_eq!(verdicts(&alone)[1], Verdict::Missed);
}

/// Flows report once a second: what another one had sent by the page, it says only later.
#[test]
fn what_had_left_holds_what_is_reported_later() {
    let labels = labels(&[incident("T", "alert", "10.0.0.1", &["192.0.2.1"], (HOUR, HOUR + 9))]);
    let flow = |port, millis, bytes| {
        let mut delta = sends("10.0.0.1", "192.0.2.1", HOUR, bytes);
        delta.key.low.port = port;
        delta.last_at = delta.last_at.plus(Duration::from_millis(millis));
        delta.end = None;
        delta
    };
    let deltas = [
        flow(3, 200, 0),
        flow(1, 1000, 1000),
        // From 0.5 s to 1.5 s, and so half of it by then; the one after is the same flow's next.
        flow(2, 500, 100),
        flow(2, 1500, 800),
        flow(2, 2500, 800),
        // Silent for long: all of it left in the last second.
        flow(3, 9000, 4000),
    ];
    let (alone, _) = score(pages_from(1000), &labels, &deltas);
    let found = alone.outcomes[0].as_ref().unwrap().detection.clone().unwrap();
    assert_eq!((found.secs, found.bytes_left), (1.0, 1500));
}

/// The right host is not enough: an analyst who looks into the wrong destination finds nothing.
#[test]
fn the_right_host_with_the_wrong_destination_is_a_miss_and_a_false_alert() {
    let (labels, deltas) = office();
    let wrong = Fake::new(|(host, _, _, before, _): Seen| {
        let is_theirs = before == 0 && host == addr("10.0.0.1");
        is_theirs.then(|| (Severity::High, vec![addr("192.0.2.77")]))
    });
    let (alone, together) = score(wrong, &labels, &deltas);
    assert_eq!(verdicts(&alone)[0], Verdict::Missed);
    assert_eq!(verdicts(&together)[0], Verdict::Missed);
    // One of its ordinary uploads, one of the theft.
    assert_eq!((alone.tally.false_alerts, together.tally.false_alerts), (2, 2));
}

/// An alert of low severity calls nobody.
#[test]
fn who_is_only_mentioned_is_neither_found_nor_false() {
    let (labels, deltas) = office();
    let quiet = Fake::new(|(_, peer, _, before, _): Seen| {
        (before == 0).then(|| (Severity::Low, vec![peer]))
    });
    let (alone, together) = score(quiet, &labels, &deltas);
    for score in [alone, together] {
        assert_eq!(verdicts(&score), [Verdict::Mentioned; 3]);
        assert_eq!((score.tally.found, score.tally.false_alerts), (0, 0));
    }
}

/// An hour after the last byte an alert is still of use; later it is neither that nor a false one.
#[test]
fn an_alert_counts_for_an_hour_after_the_end() {
    for (secs_after, verdict) in [(HOUR, Verdict::Found), (HOUR + 1, Verdict::Late)] {
        let labels =
            labels(&[incident("T", "alert", "10.0.0.1", &["192.0.2.1"], (HOUR, HOUR + 10))]);
        let deltas = [
            sends("10.0.0.1", "192.0.2.1", HOUR, 1000),
            // A byte long after: by its time, not the incident's.
            sends("10.0.0.1", "192.0.2.1", HOUR + 10 + secs_after, 1),
        ];
        let (_, together) = score(pages_from(1001), &labels, &deltas);
        assert_eq!(verdicts(&together), [verdict]);
        assert_eq!(together.tally.false_alerts, 0);
        let left = together.outcomes[0].as_ref().unwrap().detection.as_ref().unwrap().bytes_left;
        assert_eq!(left, 1000);
    }
}

/// A theft split over four places is found when two of them are named, in one alert or in several.
#[test]
fn of_many_destinations_half_must_be_named() {
    let peers = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
    let labels = labels(&[incident("T", "alert", "10.0.0.1", &peers, (0, HOUR))]);
    let deltas: Vec<FlowDelta> =
        peers.iter().zip(1..).map(|(peer, n)| sends("10.0.0.1", peer, n * 60, 1000)).collect();
    for (named, verdict, secs) in
        [(1, Verdict::Partial, 0.0), (2, Verdict::Found, 60.0), (4, Verdict::Found, 60.0)]
    {
        let judge = Fake::new(move |(_, peer, ..): Seen| {
            let is_known = peers[..named].iter().any(|known| addr(known) == peer);
            is_known.then(|| (Severity::Medium, vec![peer]))
        });
        let (alone, _) = score(judge, &labels, &deltas);
        let outcome = alone.outcomes[0].as_ref().unwrap();
        assert_eq!((outcome.verdict, outcome.destinations_named), (verdict, named));
        assert_eq!(outcome.detection.as_ref().unwrap().secs, secs);
        assert_eq!(alone.tally.false_alerts, 0);
    }
    let at_once = Fake::new(move |(_, peer, _, before, _): Seen| {
        let all = peers.iter().map(|peer| addr(peer)).collect();
        (before == 0 && peer == addr(peers[0])).then_some((Severity::Medium, all))
    });
    let (alone, _) = score(at_once, &labels, &deltas);
    let outcome = alone.outcomes[0].as_ref().unwrap();
    assert_eq!((outcome.verdict, outcome.destinations_named), (Verdict::Found, 4));
    assert_eq!(outcome.detection.as_ref().unwrap().bytes_left, 1000);
}

/// Thefts laid over one another teach: who learns from the first misses the second, unless each is alone.
#[test]
fn a_fork_knows_the_past_and_nothing_of_other_incidents() {
    #[derive(Clone)]
    struct Once {
        has_paged: bool,
        inner: Fake<fn(Seen) -> Says>,
    }
    impl Judge for Once {
        fn fold(&mut self, delta: &FlowDelta) {
            self.inner.fold(delta);
        }
        fn finish(&mut self) {}
        fn told(&mut self) -> Vec<Told> {
            let told = self.inner.told();
            let is_first = !self.has_paged;
            self.has_paged |= !told.is_empty();
            if is_first { told } else { Vec::new() }
        }
        fn verdict(&self, _: Addr, _: Addr) -> Option<(Finding, Bits)> {
            None
        }
    }
    fn says((_, peer, _, before, _): Seen) -> Says {
        (before == 0 && peer != addr("192.0.2.9")).then(|| (Severity::Medium, vec![peer]))
    }
    let (labels, deltas) = office();
    let judge = Once { has_paged: false, inner: Fake::new(says) };
    let (alone, together) = score(judge, &labels, &deltas);
    assert_eq!(verdicts(&alone), [Verdict::Found, Verdict::Found, Verdict::Paged]);
    assert_eq!(verdicts(&together), [Verdict::Found, Verdict::Missed, Verdict::Silent]);
}

/// What the pair did before is not the incident, and what is said of that does not find it.
#[test]
fn an_alert_before_the_incident_does_not_find_it() {
    let labels = labels(&[incident("T", "alert", "10.0.0.1", &["192.0.2.1"], (HOUR, 2 * HOUR))]);
    let deltas =
        [sends("10.0.0.1", "192.0.2.1", 60, 5000), sends("10.0.0.1", "192.0.2.1", HOUR, 10)];
    let (alone, together) = score(pages_from(1000), &labels, &deltas);
    for score in [alone, together] {
        assert_eq!((verdicts(&score), score.tally.false_alerts), (vec![Verdict::Missed], 1));
    }
}

/// A label whose capture was not given is not a miss.
#[test]
fn what_is_not_in_the_captures_counts_in_nothing() {
    let (labels, mut deltas) = office();
    deltas.truncate(3);
    let (alone, together) = score(pages_from(1), &labels, &deltas);
    for score in [alone, together] {
        assert!(score.outcomes.iter().all(Option::is_none));
        assert_eq!((score.tally.incidents, score.tally.recall), (0, None));
    }
}

/// A resolver carries it out, a scan comes from outside: the label says which inside end is seen.
#[test]
fn the_host_that_is_seen_stands_for_the_one_that_is_meant() {
    let resolver = r#"{"id":"D","expected":"alert","src":"10.0.0.1","egress_host_seen":"10.0.0.53",
        "dst":["192.0.2.1"],"start":"2026-03-16T01:00:00Z","end":"2026-03-16T01:00:00Z"}"#;
    let scan = incident("S", "no-alert", "198.51.100.1", &["10.0.0.7"], (2 * HOUR, 2 * HOUR));
    let labels = labels(&[resolver.to_owned(), scan]);
    let deltas = [
        sends("10.0.0.53", "192.0.2.1", HOUR, 1000),
        sends("10.0.0.7", "198.51.100.1", 2 * HOUR, 1000),
    ];
    let (alone, together) = score(pages_from(1), &labels, &deltas);
    for score in [alone, together] {
        assert_eq!(verdicts(&score), [Verdict::Found, Verdict::Paged]);
    }
}

proptest! {
    /// Whoever pages for any set of pairs is credited with exactly the thefts in it, and blamed for exactly
    /// the rest of it, alone or together.
    #[test]
    fn chance_scores_as_arithmetic_says(
        thefts in prop::collection::btree_set((1u8..20, 1u8..20), 0..15),
        ordinary in prop::collection::btree_set((1u8..20, 30u8..50), 0..40),
        seed: u64,
    ) {
        let names = |&(host, peer): &(u8, u8)| (format!("10.0.0.{host}"), format!("192.0.2.{peer}"));
        let pages = move |host: Addr, peer: Addr| {
            let mixed = (host.to_bits() ^ (peer.to_bits() << 8)) as u64 ^ seed;
            mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1
        };
        let judge = Fake::new(move |(host, peer, _, before, _): Seen| {
            (before == 0 && pages(host, peer)).then(|| (Severity::Medium, vec![peer]))
        });
        let paged = |pairs: &BTreeSet<(u8, u8)>| {
            let is_paged = |pair: &&(u8, u8)| {
                let (host, peer) = names(pair);
                pages(addr(&host), addr(&peer))
            };
            pairs.iter().filter(is_paged).count()
        };
        let incidents: Vec<String> = thefts
            .iter()
            .map(|pair| {
                let (host, peer) = names(pair);
                incident(&format!("{pair:?}"), "alert", &host, &[&peer], (HOUR, 2 * HOUR))
            })
            .collect();
        let deltas: Vec<FlowDelta> = ordinary
            .iter()
            .chain(&thefts)
            .map(|pair| {
                let (host, peer) = names(pair);
                sends(&host, &peer, HOUR + 60, 1000)
            })
            .collect();
        let (alone, together) = score(judge, &labels(&incidents), &deltas);
        for score in [alone, together] {
            prop_assert_eq!(score.tally.found, paged(&thefts));
            prop_assert_eq!(score.tally.false_alerts, paged(&ordinary));
        }
    }
}

/// Each rule at the moment at which its tool decides, at its limit and a byte below.
#[test]
fn fixed_rules_decide_at_their_limit_and_in_their_time() {
    const MB: u64 = 1_000_000;
    let theft = |secs| {
        labels(&[incident("T", "alert", "10.0.0.1", &["192.0.2.1"], (10 * HOUR, 10 * HOUR + secs))])
    };
    let found = |rule, secs, mut deltas: Vec<FlowDelta>| {
        deltas.push(sends("10.0.0.9", "192.0.2.9", 12 * HOUR, 1));
        let judge = FixedRule::new(rule, Subnets::private(), jiff::tz::TimeZone::UTC);
        let (alone, together) = score(judge, &theft(secs), &deltas);
        let secs = |score: &Score| {
            let detection = score.outcomes[0].as_ref().unwrap().detection.clone();
            detection.map(|detection| (detection.secs, detection.bytes_left))
        };
        assert_eq!((alone.tally.false_alerts, together.tally.false_alerts), (0, 0));
        assert_eq!(secs(&alone), secs(&together));
        secs(&alone)
    };
    // One flow that reports each half minute and ends with the last report.
    let flow = |reports: &[u64]| -> Vec<FlowDelta> {
        let last = reports.len() - 1;
        let delta = |(n, &bytes): (usize, &u64)| {
            let mut delta = sends("10.0.0.1", "192.0.2.1", 10 * HOUR + 30 * n as u64, bytes);
            delta.started_at = at(10 * HOUR);
            delta.end = (n == last).then_some(FlowEnd::Fin);
            delta
        };
        reports.iter().enumerate().map(delta).collect()
    };
    let all = 100 * MB;
    assert_eq!(found(Rule::Flow, 60, flow(&[all - 2, 1, 1])), Some((60.0, all)));
    assert_eq!(found(Rule::Flow, 60, flow(&[all - 2, 1, 0])), None);
    assert_eq!(found(Rule::Ratio, 60, flow(&[MB, 1, 1])), Some((60.0, MB + 2)));
    assert_eq!(found(Rule::Ratio, 60, flow(&[MB - 1, 0, 0])), None);
    assert_eq!(found(Rule::Hour, 60, flow(&[500 * MB, 0, 0])), Some((3600.0, 500 * MB)));
    assert_eq!(found(Rule::Hour, 60, flow(&[500 * MB - 1, 0, 0])), None);
    // What leaves after the hour, before the rule speaks, had not left by then.
    let mut longer = flow(&[500 * MB, 0]);
    longer.push(sends("10.0.0.1", "192.0.2.1", 11 * HOUR + 10, 7 * MB));
    assert_eq!(found(Rule::Hour, 2 * HOUR, longer), Some((3600.0, 500 * MB)));
    let half = 500 * MB;
    assert_eq!(found(Rule::Burst, 60, flow(&[half, half, half])), Some((30.0, 2 * half)));
    let slow = flow(&[half, 0, 0, 0, half - 1]);
    assert_eq!(found(Rule::Burst, 120, slow), None);

    // What comes back counts against it.
    let mut exchange = flow(&[3 * MB]);
    exchange[0].high = exchange[0].low;
    assert_eq!(found(Rule::Ratio, 60, exchange), None);

    // 30 hours of a megabyte each, more or less, teach a limit of 1.2 MB; the day before there is none.
    let habit = |bytes| {
        let hour = |n: u64| {
            let ordinary = MB + if n.is_multiple_of(2) { 100_000 } else { 0 };
            sends("10.0.0.1", "192.0.2.9", n * HOUR, ordinary).earlier(DAY)
        };
        let mut deltas: Vec<FlowDelta> = (0..30).map(hour).collect();
        deltas.extend(flow(&[bytes]));
        deltas
    };
    assert_eq!(found(Rule::Sigma, 60, habit(1_250_000)), Some((3600.0, 1_250_000)));
    assert_eq!(found(Rule::Sigma, 60, habit(1_150_000)), None);
    assert_eq!(found(Rule::Sigma, 60, flow(&[all])), None, "without history");
}
