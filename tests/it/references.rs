//! What is compared with what: which days teach what about which.

use std::sync::Arc;
use std::time::Duration;

use sekisho::config::{Keys, Settings};
use sekisho::detect::{Family, Finding, Subject};
use sekisho::engine::Analyst;
use sekisho::flow::{Counters, FlowDelta, FlowKey};
use sekisho::names::{Event, Facts, Name, NameSource, Service};
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

/// The upload of a night, and what was taken from a share inside before it.
fn staged(analyst: &mut Analyst, taken: u64, from: [u8; 4], sent: u64) -> (Finding, f64) {
    take(analyst, 14, 3, from, taken);
    let upload = Talk { host: 3, to: STRANGER, protocol: Protocol::TCP, out: sent, back: MB };
    talk(analyst, 14, upload);
    let host = Addr::from_v4([10, 20, 1, 3]);
    let finding = analyst.verdict(host, Addr::from_v4(STRANGER)).unwrap();
    let bits = finding.terms.iter().find(|term| term.evidence.name() == "staging");
    let bits = bits.map_or(0.0, |term| term.bits.to_f64());
    (finding, bits)
}

/// A host takes something from another inside, who is asked for it.
fn take(analyst: &mut Analyst, day: u64, host: u8, from: [u8; 4], bytes: u64) {
    talk(analyst, day, Talk { host, to: from, protocol: Protocol::TCP, out: 60_000, back: bytes });
}

const SHARE: [u8; 4] = [10, 20, 9, 6];

/// Two weeks in which all hosts take a little from the share, and one of them much of it each day.
fn shared() -> Analyst {
    learned(|analyst, day, host| {
        take(analyst, day, host, SHARE, if host == 5 { 200 * MB } else { 2 * MB + day * 10_000 });
    })
}

/// A workstation takes a hundred times more from a share than it ever did, then sends as much to a stranger: both
/// halves are told. The same upload after an ordinary day inside is told without, and is less striking by no more
/// than that.
#[test]
fn what_was_taken_inside_before_is_told_with_the_upload() {
    let (finding, bits) = staged(&mut shared(), 150 * MB, SHARE, 150 * MB);
    let staging = finding.staging().unwrap();
    assert_eq!((staging.source, staging.bytes), (Addr::from_v4(SHARE), 150 * MB));
    assert!(staging.history_max < 3 * MB, "{}", staging.history_max);
    assert!((1.0..=3.0).contains(&bits), "{bits}");
    let (alone, none) = staged(&mut shared(), 2 * MB, SHARE, 150 * MB);
    assert_eq!((none, alone.staging()), (0.0, None));
    assert!((finding.score.to_f64() - alone.score.to_f64() - bits).abs() < 0.02);
    // Packed to a quarter it is the same theft.
    assert!(staged(&mut shared(), 150 * MB, SHARE, 40 * MB).1 > 0.5);
    // One file of all that was copied is not.
    assert_eq!(staged(&mut shared(), 150 * MB, SHARE, 10 * MB).1, 0.0);
    // Nor is something else: ten times as much as was taken.
    assert_eq!(staged(&mut shared(), 150 * MB, SHARE, 1500 * MB).1, 0.0);
}

/// Who takes as much each day has taken nothing unusual; nor has who takes what everybody takes today.
#[test]
fn a_usual_intake_is_no_evidence() {
    let mut usual = shared();
    take(&mut usual, 14, 5, SHARE, 200 * MB);
    let upload = Talk { host: 5, to: STRANGER, protocol: Protocol::TCP, out: 200 * MB, back: MB };
    talk(&mut usual, 14, upload);
    let host = Addr::from_v4([10, 20, 1, 5]);
    let finding = usual.verdict(host, Addr::from_v4(STRANGER)).unwrap();
    let bits = |finding: &Finding| -> f64 {
        let staging = finding.terms.iter().filter(|term| term.evidence.name() == "staging");
        staging.map(|term| term.bits.to_f64()).sum()
    };
    assert!(bits(&finding) < 0.5, "{}", bits(&finding));
    let mut rollout = shared();
    let (_, before) = staged(&mut rollout.clone(), 150 * MB, SHARE, 150 * MB);
    for host in 6..=10 {
        take(&mut rollout, 14, host, SHARE, 150 * MB + u64::from(host) * MB);
    }
    let (_, after) = staged(&mut rollout, 150 * MB, SHARE, 150 * MB);
    assert!(after + 0.5 < before, "{after} {before}");
}

/// However much of it there is, what was taken inside alerts nobody by itself, and never weakens a verdict.
#[test]
fn more_taken_never_weakens_a_verdict() {
    let mut last = 0.0;
    for taken in [0, 1, 10, 40, 150, 290] {
        let (finding, _) = staged(&mut shared(), taken * MB, SHARE, 150 * MB);
        let score = finding.score.to_f64();
        assert!(score >= last, "{taken} MB: {score} after {last}");
        last = score;
    }
    let mut inside_only = shared();
    take(&mut inside_only, 14, 3, SHARE, 9000 * MB);
    assert_eq!(inside_only.open_incidents(), 0);
}

/// A host speaks with a place over something, on a port, and sends and receives so much.
fn speak(
    analyst: &mut Analyst,
    day: u64,
    talk: &Talk,
    (service, port): (Service, u16),
    name: &str,
) {
    let [host, peer] = ends(talk);
    let peer = Endpoint { port, ..peer };
    let (key, client) = FlowKey::of(host, peer, talk.protocol);
    let name = Name::of(name.as_bytes()).filter(|_| !name.is_empty());
    let facts = Facts {
        seen_at: Timestamp::from_secs_nanos(1_772_000_000 + day * 86_400, 0),
        service,
        named_by: Some(client),
        name: name.map(|name| (name, NameSource::TlsSni)),
        has_hello: true,
        ..Facts::default()
    };
    analyst.hear(&Event::Facts(key, Arc::new(facts)));
    fold(analyst, day, [host, peer], talk, [talk.out, talk.back]);
}

const CLOUD: [u8; 4] = [203, 0, 113, 3];
const SHELL: [u8; 4] = [203, 0, 113, 4];
const MAIL: [u8; 4] = [203, 0, 113, 25];

/// Two weeks in which all browse and send mail, and host 1 works on a machine outside every day.
fn speaking() -> Analyst {
    learned(|analyst, day, host| {
        let talk = |to, out, back| Talk { host, to, protocol: Protocol::TCP, out, back };
        let web = talk(CLOUD, 2 * MB, MB);
        speak(analyst, day, &web, (Service::Tls, 443), "up.cloud.example");
        let replies = 6000 + 600 * (u64::from(host) + day);
        speak(analyst, day, &talk(MAIL, MB, replies), (Service::Smtp, 587), "");
        if host == 1 {
            speak(analyst, day, &talk(SHELL, 2 * MB, MB), (Service::Ssh, 22), "");
        }
    })
}

fn bits_of(finding: &Finding, name: &str) -> f64 {
    let term = finding.terms.iter().find(|term| term.evidence.name() == name);
    term.map_or(0.0, |term| term.bits.to_f64())
}

/// What a stranger gets is judged by how it is spoken, too: what all speak is nothing, what one speaks daily is nothing at
/// that one and something at others, and what nobody does is more, be it only the port or the missing name.
#[test]
fn how_it_is_spoken_counts_by_who_speaks_so() {
    let protocol = |host: u8, spoken: (Service, u16), name: &str| {
        let mut analyst = speaking();
        let upload = Talk { host, to: STRANGER, protocol: Protocol::TCP, out: 20 * MB, back: MB };
        speak(&mut analyst, 14, &upload, spoken, name);
        let ends = [[10, 20, 1, host], STRANGER].map(Addr::from_v4);
        bits_of(&analyst.verdict(ends[0], ends[1]).unwrap(), "protocol")
    };
    let web = protocol(3, (Service::Tls, 443), "drop.example");
    let [own, others] = [1, 3].map(|host| protocol(host, (Service::Ssh, 22), ""));
    assert_eq!((web, own), (0.0, 0.0));
    assert!((1.0..=3.0).contains(&others), "{others}");
    for (host, spoken, what) in [
        (1, (Service::Ssh, 443), "ssh on the port of another"),
        (3, (Service::Tls, 443), "tls to a server without a name"),
        (3, (Service::Unknown, 31_337), "nothing known on nobody's port"),
        (3, (Service::Wireguard, 51_820), "a tunnel"),
        (3, (Service::Tls, 853), "DNS within TLS"),
        (3, (Service::Smtp, 25), "mail to a stranger, by one who submits to a service"),
    ] {
        let bits = protocol(host, spoken, "");
        let least = if spoken == (Service::Smtp, 25) { 0.0 } else { 1.5 };
        assert!(bits >= least, "{what}: {bits}");
    }
}

/// Speaking oddly is no upload: without bytes nobody is told, whatever is spoken.
#[test]
fn odd_speech_alone_alerts_nobody() {
    let mut analyst = speaking();
    for (number, service) in Service::ALL.into_iter().enumerate() {
        let to = [198, 51, 100, number as u8];
        let talk = Talk { host: 3, to, protocol: Protocol::TCP, out: 40_000, back: 1000 };
        speak(&mut analyst, 14, &talk, (service, 31_337), "");
    }
    assert_eq!(analyst.open_incidents(), 0);
}

/// A host sends to a place by a client program, which says hello from a port of its own.
fn send_by(analyst: &mut Analyst, day: u64, talk: &Talk, (client, port): (&str, u16)) {
    let [host, peer] = ends(talk);
    let ends = [Endpoint { port, ..host }, peer];
    let name = if talk.to == CLOUD { "up.cloud.example" } else { "vault.example" };
    let (key, named_by) = FlowKey::of(ends[0], ends[1], talk.protocol);
    let facts = Facts {
        seen_at: Timestamp::from_secs_nanos(1_772_000_000 + day * 86_400, 0),
        service: Service::Tls,
        named_by: Some(named_by),
        name: Name::of(name.as_bytes()).map(|name| (name, NameSource::TlsSni)),
        has_hello: true,
        client: Some(client.into()),
        ..Facts::default()
    };
    analyst.hear(&Event::Facts(key, Arc::new(facts)));
    fold(analyst, day, ends, talk, [talk.out, talk.back]);
}

const BROWSER: &str = "t13d1516h2_8daaf6152771_02713d6af862";
const BROWSER_UPDATED: &str = "t13d1517h2_8daaf6152771_b0da82dd1658";
const COPIER: &str = "t13d1312h1_f57a46bbacb6_14788d8d241b";

/// What a program sends is charged with that program: what it says of itself counts by who else uses it, whatever its
/// version, and not with another's that says hello to the same server before, meanwhile or after.
#[test]
fn which_program_sends_counts_by_who_uses_it() {
    let learned = learned(|analyst, day, host| {
        let talk = Talk { host, to: CLOUD, protocol: Protocol::TCP, out: 2 * MB, back: MB };
        send_by(analyst, day, &talk, (BROWSER, 50_001));
        if host == 1 {
            let backup = Talk { to: SHELL, ..talk };
            send_by(analyst, day, &backup, (COPIER, 50_002));
        }
    });
    let protocol = |host: u8, hellos: &[(&str, u64)]| {
        let mut analyst = learned.clone();
        for (port, &(client, out)) in (51_000..).zip(hellos) {
            let talk = Talk { host, to: CLOUD, protocol: Protocol::TCP, out, back: MB };
            send_by(&mut analyst, 14, &talk, (client, port));
        }
        let ends = [[10, 20, 1, host], CLOUD].map(Addr::from_v4);
        bits_of(&analyst.verdict(ends[0], ends[1]).unwrap(), "protocol")
    };
    for usual in [BROWSER, BROWSER_UPDATED] {
        assert_eq!(protocol(3, &[(usual, 20 * MB)]), 0.0, "{usual}");
    }
    let (own, others) = (protocol(1, &[(COPIER, 20 * MB)]), protocol(3, &[(COPIER, 20 * MB)]));
    let nobodys = protocol(3, &[("nobody's/1.0", 20 * MB)]);
    assert!(own == 0.0 && others >= 0.5 && nobodys > others, "{own} {others} {nobodys}");
    let (few, much) = (10_000, 20 * MB);
    assert_eq!(protocol(3, &[(COPIER, much), (BROWSER, few), (BROWSER, few)]), others);
    assert_eq!(protocol(3, &[(COPIER, few), (BROWSER, much), (COPIER, few)]), 0.0);
}

/// Mass mail through the usual service: its replies count the messages, within STARTTLS too. One large attachment has
/// as many bytes and hardly any replies.
#[test]
fn replies_count_messages() {
    let after = |mut analyst: Analyst, back: u64| {
        let talk = Talk { host: 3, to: MAIL, protocol: Protocol::TCP, out: 15 * MB, back };
        speak(&mut analyst, 14, &talk, (Service::Smtp, 587), "");
        let ends = [[10, 20, 1, 3], MAIL].map(Addr::from_v4);
        bits_of(&analyst.verdict(ends[0], ends[1]).unwrap(), "mail")
    };
    let (one, hundreds) = (after(speaking(), 6000), after(speaking(), 200_000));
    assert!(one < 0.6 && hundreds > 2.5, "{one} for one message, {hundreds} for hundreds");
    // Who mails to hundreds every day does nothing unusual.
    let newsletter = learned(|analyst, day, host| {
        let back = if host == 3 { 200_000 + day * 1000 } else { 6000 };
        let talk = Talk { host, to: MAIL, protocol: Protocol::TCP, out: MB, back };
        speak(analyst, day, &talk, (Service::Smtp, 587), "");
    });
    let usual = after(newsletter, 200_000);
    assert!(usual < 0.8, "{usual}");
    // And what comes back in other protocols is no mail.
    let mut analyst = speaking();
    let web = Talk { host: 3, to: CLOUD, protocol: Protocol::TCP, out: 15 * MB, back: MB };
    speak(&mut analyst, 14, &web, (Service::Tls, 443), "up.cloud.example");
    let ends = [Addr::from_v4([10, 20, 1, 3]), Addr::from_v4(CLOUD)];
    assert_eq!(bits_of(&analyst.verdict(ends[0], ends[1]).unwrap(), "mail"), 0.0);
}
