//! How an incident lives over days.

use sekisho::alert::{Alert, ClosedBecause, Kind, Record};
use sekisho::config::{Keys, Settings};
use sekisho::engine::{Analyst, Reports, WorkerCounters};
use sekisho::flow::{Counters, FlowDelta};
use sekisho::net::{Addr, Endpoint, Protocol};
use sekisho::time::Timestamp;

/// Folds what a host sends on a day, so many seconds after noon.
fn send(analyst: &mut Analyst, day: u64, (host, to): (u8, [u8; 4]), (second, bytes): (u64, u64)) {
    let end = |addr: [u8; 4], port| Endpoint { addr: Addr::from_v4(addr), port };
    let at = Timestamp::from_secs_nanos(1_773_000_000 + day * 86_400 + second, 0);
    let (from, to) = (end([10, 0, 0, host], 50_000), end(to, 443));
    let out = [counters(bytes), Counters::default()];
    analyst.fold([&FlowDelta::new(from, to, Protocol::TCP, at, out)]);
}

fn counters(sent: u64) -> Counters {
    Counters { payload: sent, acked: sent, sent, wire: sent, packets: 9, ..Counters::default() }
}

/// Folds a day on which one host sends so many bytes, within twenty seconds, to a destination that only it
/// knows, and twenty hosts send a little to one that all know; answers what is told.
pub(crate) fn told_on(analyst: &mut Analyst, day: u64, bytes: u64) -> Vec<Alert> {
    let mut send = |host, to, second, bytes| send(analyst, day, (host, to), (second, bytes));
    for host in 1..20 {
        send(host, [203, 0, 113, 1], u64::from(host), 200_000 + u64::from(host) * 1000);
    }
    for second in 0..20 {
        send(1, [203, 0, 113, 99], 100 + second, bytes / 20);
    }
    let alert = |record| match record {
        Record::Alert(alert) => Some(*alert),
        Record::Silenced(_) | Record::Ranking(_) | Record::Summary(_) => None,
    };
    analyst.drain().filter_map(alert).collect()
}

/// Tens of megabytes a day: told on the first day, and again once it is four times what was told, with all of
/// it, and not every day.
#[test]
fn what_goes_on_day_after_day_is_told_when_it_is_fourfold() {
    const FIRST: u64 = 30_000_000;
    const DAILY: u64 = 35_000_000;
    let mut analyst = Analyst::new(Settings::of(&Keys::default()).unwrap().analyst);
    for day in 0..10 {
        assert_eq!(told_on(&mut analyst, day, 20_000), []);
    }
    let mut told = Vec::new();
    for day in 10..24 {
        let of_day = told_on(&mut analyst, day, if day == 10 { FIRST } else { DAILY });
        told.extend(of_day.into_iter().map(|alert| (day, alert)));
    }
    let opened = told.iter().find(|(_, alert)| alert.kind == Kind::Open).unwrap();
    let again: Vec<_> = told.iter().filter(|(_, alert)| alert.kind == Kind::Reopen).collect();
    assert_eq!((opened.0, again.len()), (10, 1), "{again:?}");
    let (day, alert) = again[0];
    assert!(told.iter().all(|(_, other)| other.incident == alert.incident));
    assert_eq!((*day, alert.started), (13, opened.1.started));
    // At the first look beyond, with every byte of the days between.
    let bytes = 4 * FIRST..4 * FIRST + DAILY / 10;
    assert!(bytes.contains(&alert.bytes_out), "{}", alert.bytes_out);
}

/// What a host sends to ever more destinations is one find, seen again with each of them: it must not lift the
/// threshold for all as so many finds would.
#[test]
fn one_find_over_many_destinations_lifts_the_threshold_once() {
    let threshold_after = |destinations: u8| {
        let mut analyst = Analyst::new(Settings::of(&Keys::default()).unwrap().analyst);
        for day in 0..14 {
            told_on(&mut analyst, day, 20_000);
        }
        for n in 0..200 {
            let to = [198, 51, 100, 1 + n % destinations];
            send(&mut analyst, 13, (7, to), (1000 + u64::from(n), 200_000));
        }
        told_on(&mut analyst, 14, 20_000);
        analyst.threshold().to_f64()
    };
    let [few, many] = [4, 100].map(threshold_after);
    assert!((few - many).abs() < 1.0, "{few} after four destinations, {many} after a hundred");
}

/// A link may fall silent at night, and for days: the day is ranked all the same, once its flows are over, and
/// whoever sends next finds all as if it were ranked by his packet.
#[test]
fn a_day_ends_in_silence_as_it_does_with_a_packet() {
    let story = |gap: u64, is_silence_told: bool| {
        let mut analyst = Analyst::new(Settings::of(&Keys::default()).unwrap().analyst);
        let (mut told, mut at_night) = (Vec::new(), 0);
        for day in (0..12).map(|n| n * gap) {
            for host in 1..20 {
                send(&mut analyst, day, (host, [203, 0, 113, 1]), (u64::from(host), 300_000));
            }
            let bytes = if day == 10 * gap { 300_000_000 } else { 1_000_000 };
            send(&mut analyst, day, (1, [203, 0, 113, 99]), (100, bytes));
            told.extend(analyst.drain());
            if is_silence_told {
                let idle_at = Some(Timestamp::from_secs_nanos(NIGHT + day * 86_400, 0));
                let held = Reports { idle_at, ..Reports::default() };
                let counted = WorkerCounters { held: 1, ..WorkerCounters::default() };
                analyst.take(&Reports { counted, ..held.clone() });
                assert!(!analyst.drain().any(|record| {
                    let is_ranking = matches!(record, Record::Ranking(_));
                    told.push(record);
                    is_ranking
                }));
                analyst.take(&held);
                analyst.take(&held);
                let rest: Vec<Record> = analyst.drain().collect();
                at_night += rest.len();
                told.extend(rest);
            }
        }
        analyst.close(ClosedBecause::Eof);
        analyst.rank_day();
        told.extend(analyst.drain());
        (format!("{told:#?}"), at_night, told.len())
    };
    for gap in [1, 2, 5] {
        let (with, at_night, all) = story(gap, true);
        let (without, none, _) = story(gap, false);
        assert_eq!((at_night > 12, none), (true, 0), "{at_night} of {all}");
        assert_eq!(with, without, "gap {gap}");
    }
}

/// A quarter past the midnight after the first day of [`send`].
const NIGHT: u64 = 1_773_014_400 + 900;

/// Hosts that come by the thousand, each with an upload that is told, must take no more memory than there may be, and
/// hide nobody who sends more.
#[test]
fn a_crowd_of_incidents_is_bounded_and_hides_nobody() {
    const MOST: usize = 100;
    let mut options = Settings::of(&Keys::default()).unwrap().analyst;
    options.alert.hosts_max = MOST;
    let mut analyst = Analyst::new(options);
    let mut told = 0;
    for number in 0..2000u64 {
        let host = [10, 1, (number >> 8) as u8, number as u8];
        let bytes = if number == 1000 { 900_000_000 } else { 100_000_000 + number };
        // Far enough apart that the ones before have closed.
        upload(&mut analyst, host, (number * 40, bytes));
        let alerts = analyst.drain().filter(|record| matches!(record, Record::Alert(_)));
        told += alerts.count();
    }
    analyst.rank_day();
    let days = analyst.drain().filter_map(|record| match record {
        Record::Ranking(entry) => Some(*entry),
        Record::Alert(_) | Record::Silenced(_) | Record::Summary(_) => None,
    });
    let ranked: Vec<_> = days.collect();
    assert!(told > 1000, "{told}");
    assert_eq!(ranked.len(), MOST);
    assert_eq!(ranked[0].host, Addr::from_v4([10, 1, 3, 232]));
    let mut summary = sekisho::alert::Summary::default();
    analyst.summarize(&mut summary);
    assert!(summary.incidents_evicted > 2000, "{}", summary.incidents_evicted);
}

/// Folds one flow to a place of the host's own, so many seconds after midnight.
fn upload(analyst: &mut Analyst, host: [u8; 4], (second, bytes): (u64, u64)) {
    let end = |addr: [u8; 4], port| Endpoint { addr: Addr::from_v4(addr), port };
    let at = Timestamp::from_secs_nanos(1_773_014_400 + second, 0);
    let [.., high, low] = host;
    let (from, to) = (end(host, 50_000), end([198, 18, high, low], 443));
    let out = [counters(bytes), Counters::default()];
    analyst.fold([&FlowDelta::new(from, to, Protocol::TCP, at, out)]);
}
