//! What is compared with what: which days teach what about which.

use std::time::Duration;

use sekisho::config::{Keys, Settings};
use sekisho::detect::{Family, Subject};
use sekisho::engine::Analyst;
use sekisho::flow::{Counters, FlowDelta};
use sekisho::net::{Addr, Endpoint, Protocol};
use sekisho::time::Timestamp;

/// What a host sends to a place and gets back, in a minute of a day.
#[derive(Clone, Copy)]
struct Talk {
    host: u8,
    to: [u8; 4],
    protocol: Protocol,
    out: u64,
    back: u64,
}

fn analyst() -> Analyst {
    Analyst::new(Settings::of(&Keys::default()).unwrap().analyst)
}

fn counters(sent: u64) -> Counters {
    Counters { sent, payload: sent, acked: sent, wire: sent, packets: 1, ..Counters::default() }
}

/// The initiator first.
fn fold(analyst: &mut Analyst, day: u64, ends: [Endpoint; 2], talk: &Talk, bytes: [u64; 2]) {
    let at = Timestamp::from_secs_nanos(1_772_000_000 - 1_772_000_000 % 86_400 + day * 86_400, 0);
    let each = bytes.map(|bytes| counters(bytes / SECONDS));
    for second in 0..SECONDS {
        let at = at.plus(Duration::from_secs(36_000 + second));
        analyst.fold([&FlowDelta::new(ends[0], ends[1], talk.protocol, at, each)]);
    }
    analyst.drain();
}

fn ends(talk: &Talk) -> [Endpoint; 2] {
    [([10, 20, 1, talk.host], 40_000), (talk.to, 443)]
        .map(|(addr, port)| Endpoint { addr: Addr::from_v4(addr), port })
}

fn talk(analyst: &mut Analyst, day: u64, talk: Talk) {
    fold(analyst, day, ends(&talk), &talk, [talk.out, talk.back]);
}

/// The same, opened from outside.
fn answer(analyst: &mut Analyst, day: u64, talk: Talk) {
    let [host, peer] = ends(&talk);
    fold(analyst, day, [peer, host], &talk, [talk.back, talk.out]);
}

fn score(analyst: &Analyst, host: u8, to: [u8; 4]) -> f64 {
    let host = Addr::from_v4([10, 20, 1, host]);
    analyst.verdict(host, Addr::from_v4(to)).unwrap().score.to_f64()
}

const SECONDS: u64 = 60;
const MB: u64 = 1_000_000;
const USUAL: [u8; 4] = [203, 0, 113, 1];
const RELAY: [u8; 4] = [203, 0, 113, 2];
const STRANGER: [u8; 4] = [198, 51, 100, 1];

/// Two weeks of ten hosts, each of which sends a little each day, and whatever else it does.
fn learned(mut also: impl FnMut(&mut Analyst, u64, u8)) -> Analyst {
    let mut analyst = analyst();
    for day in 0..14 {
        for host in 1..=10 {
            let out = MB / 2 + u64::from(host) * 100_000 + day * 10_000;
            let usual = Talk { host, to: USUAL, protocol: Protocol::TCP, out, back: 20 * MB };
            talk(&mut analyst, day, usual);
            also(&mut analyst, day, host);
        }
    }
    analyst
}

/// Where everybody calls for hundreds of megabytes a day, an upload of as much is as striking as where nobody does.
#[test]
fn calls_teach_nothing_about_uploads() {
    let upload = |mut analyst: Analyst| {
        let upload =
            Talk { host: 3, to: STRANGER, protocol: Protocol::TCP, out: 60 * MB, back: MB };
        talk(&mut analyst, 14, upload);
        score(&analyst, 3, STRANGER)
    };
    let call = |analyst: &mut Analyst, day, host| {
        let out = 300 * MB + u64::from(host) * MB;
        let call = Talk { host, to: RELAY, protocol: Protocol::UDP, out, back: out };
        talk(analyst, day, call);
    };
    let (quiet, calling) = (upload(learned(|_, _, _| {})), upload(learned(call)));
    assert!((quiet - calling).abs() < 0.5, "{quiet} without calls, {calling} with them");
    // And a call like the others is nothing, at a host that made none.
    let mut analyst = learned(|analyst, day, host| {
        if host != 3 {
            call(analyst, day, host);
        }
    });
    call(&mut analyst, 14, 3);
    assert!(score(&analyst, 3, RELAY) < 3.0, "{}", score(&analyst, 3, RELAY));
}

/// The first call is no upload, even in an office that never called anybody.
#[test]
fn a_first_call_is_judged_among_calls() {
    let mut analyst = learned(|_, _, _| {});
    let call = Talk { host: 3, to: RELAY, protocol: Protocol::UDP, out: 60 * MB, back: 60 * MB };
    talk(&mut analyst, 14, call);
    let upload = Talk { host: 4, to: RELAY, protocol: Protocol::UDP, out: 60 * MB, back: MB };
    talk(&mut analyst, 14, upload);
    let (call, upload) = (score(&analyst, 3, RELAY), score(&analyst, 4, RELAY));
    assert!(call + 6.0 < upload, "call {call}, upload {upload}");
    assert!(call < analyst.threshold().to_f64());
}

/// To send a little more than ever to a usual place is ordinary; to send a hundred times as much is not, even
/// where others send as much to theirs every day.
#[test]
fn a_usual_place_is_judged_by_how_it_grows() {
    let after = |times: u64| {
        let mut analyst = learned(|analyst, day, host| {
            if host > 5 {
                let out = 80 * MB + day * MB;
                let to = [203, 0, 113, 10 + host];
                talk(analyst, day, Talk { host, to, protocol: Protocol::TCP, out, back: MB });
            }
        });
        score_of_day(&mut analyst, 14, times)
    };
    let [same, twice, hundredfold] = [1, 2, 100].map(after);
    assert!(same < 3.0 && twice < 6.0, "{same} {twice}");
    assert!(hundredfold > 8.0, "{hundredfold}");
}

/// Who sends twice as much each day is not measured by yesterday.
#[test]
fn a_ramp_is_compared_with_where_it_began() {
    let mut analyst = learned(|_, _, _| {});
    let first = score_of_day(&mut analyst, 14, 1);
    let last = (15..21).map(|day| score_of_day(&mut analyst, day, 1 << (day - 14))).last();
    assert!(first < 3.0 && last > Some(9.0), "{first} on the first day, {last:?} on the last");
}

/// The score of a day on which host 3 sends so many times what it usually does to its usual place.
fn score_of_day(analyst: &mut Analyst, day: u64, times: u64) -> f64 {
    let out = (MB / 2 + 3 * 100_000 + 13 * 10_000) * times;
    let usual = Talk { host: 3, to: USUAL, protocol: Protocol::TCP, out, back: MB };
    talk(analyst, day, usual);
    score(analyst, 3, USUAL)
}

/// However many clients a server has, the one that gets as much as the one that got most on other days is nothing.
#[test]
fn a_server_is_judged_by_the_client_that_got_most() {
    let serve = |analyst: &mut Analyst, day: u64, clients: u8| {
        for client in 0..clients {
            // Most get little, and one each day some megabytes.
            let out = if client == 0 { 5 * MB } else { MB / 10 };
            let to = [198, 51, (day % 100) as u8, client];
            answer(analyst, day, Talk { host: 200, to, protocol: Protocol::TCP, out, back: 1000 });
        }
    };
    for clients in [2, 200] {
        let mut analyst = analyst();
        (0..15).for_each(|day| serve(&mut analyst, day, clients));
        let score = score(&analyst, 200, [198, 51, 14, 0]);
        assert!(score < 3.0, "{score} with {clients} clients a day");
    }
}

/// A store that nobody outside ever read, read by many strangers a little each, is one find that says so.
#[test]
fn what_many_clients_take_is_one_find() {
    let mut analyst = learned(|_, _, _| {});
    for client in 1..=12 {
        let to = [198, 51, 100, client];
        let out = 8 * MB + u64::from(client) * 1000;
        let read = Talk { host: 200, to, protocol: Protocol::TCP, out, back: 1000 };
        answer(&mut analyst, 14, read);
    }
    let [host, last] = [[10, 20, 1, 200], [198, 51, 100, 12]].map(Addr::from_v4);
    let finding = analyst.verdict(host, last).unwrap();
    assert_eq!((finding.subject, finding.family), (Subject::Many, Family::Server));
    assert_eq!(finding.bytes() / MB, 96);
    assert!(finding.score >= analyst.threshold(), "{}", finding.score);
}
