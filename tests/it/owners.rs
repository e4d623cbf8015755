//! Whose a destination is: what a host sends is counted by owner, whatever the addresses.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use sekisho::alert::{ClosedBecause, RankingEntry, Record, Summary};
use sekisho::config::{Keys, Settings};
use sekisho::egress::{Host, HostKey};
use sekisho::engine::Analyst;
use sekisho::flow::{Counters, FlowDelta, FlowEnd, FlowKey, Sender};
use sekisho::names::{Answer, Event, Facts, Name, NameSource, Options, Registry, Service};
use sekisho::net::{Addr, Endpoint, Protocol};
use sekisho::time::Timestamp;

use crate::mmdb::{Value, mmdb};
use crate::names::{ACK, HOST, Recording, SYN, hello, mixed};

/// Everything the analyst says of a recording, which it gets in batches of so many frames.
fn told(
    keys: &Keys,
    recording: &Recording,
    workers: usize,
    frames: usize,
) -> (Vec<Record>, Summary) {
    let mut analyst = Analyst::new(Settings::of(keys).unwrap().analyst);
    let (reports, _) = recording.reports(Options::default(), workers, frames);
    analyst.take(&reports);
    analyst.close(ClosedBecause::Eof);
    analyst.rank_day();
    let mut summary = Summary::default();
    analyst.summarize(&mut summary);
    (analyst.drain().collect(), summary)
}

/// The destination that a host sent most to, and how much.
fn most(recording: &Recording, host: [u8; 4]) -> (String, u64) {
    most_by(&Keys::default(), recording, host)
}

fn most_by(keys: &Keys, recording: &Recording, host: [u8; 4]) -> (String, u64) {
    let (records, _) = told(keys, recording, 1, usize::MAX);
    let entry = records.into_iter().find_map(|record| match record {
        Record::Ranking(entry) if entry.host == Addr::from_v4(host) => Some(*entry),
        _ => None,
    });
    let RankingEntry { destination, bytes_out, .. } = entry.unwrap();
    (destination, bytes_out)
}

/// A connection from a client to port 443 of `server`: a hello that names it, and then `more` bytes.
fn upload(
    recording: &mut Recording,
    (client, server): ([u8; 4], [u8; 4]),
    port: u16,
    name: &str,
    more: usize,
) -> u64 {
    let (from, to) = ((client, port), (server, 443));
    let payload = [hello(name.as_bytes()), vec![0x17; more]].concat();
    recording.tcp(from, to, 99, SYN, &[]);
    for (number, piece) in payload.chunks(1460).enumerate() {
        recording.tcp(from, to, 100 + (number * 1460) as u32, ACK, piece);
    }
    payload.len() as u64
}

/// A cloud answers under many addresses and names: to the analyst it is one destination.
#[test]
fn addresses_of_one_owner_are_one_destination() {
    let mut recording = Recording::default();
    let sent: u64 = (1..=5)
        .map(|n| {
            upload(
                &mut recording,
                (HOST, [203, 0, 113, n]),
                50_000,
                &format!("n{n}.files.example"),
                9000,
            )
        })
        .sum();
    upload(&mut recording, (HOST, [203, 0, 113, 9]), 50_000, "www.other.example", 20_000);
    assert_eq!(most(&recording, HOST), ("files.example".to_owned(), sent));
}

/// Two customers of a cloud share its addresses: what one gets must not pass for the other's.
#[test]
fn owners_behind_one_address_stay_apart() {
    let mut recording = Recording::default();
    let at = (HOST, [203, 0, 113, 9]);
    upload(&mut recording, at, 50_001, "one.example", 9000);
    let sent = upload(&mut recording, at, 50_002, "two.example", 10_000);
    upload(&mut recording, at, 50_003, "three.example", 9000);
    assert_eq!(most(&recording, HOST), ("two.example".to_owned(), sent));
}

/// A hello that names somebody harmless goes under the name that the host had asked for.
#[test]
fn a_lie_does_not_hide_under_the_name_it_tells() {
    let mut recording = Recording::default();
    let thief = [203, 0, 113, 9];
    recording.answer("drop.thief.example", thief);
    let sent = upload(&mut recording, (HOST, thief), 50_001, "www.bank.example", 9000);
    assert_eq!(most(&recording, HOST), ("thief.example".to_owned(), sent));
}

/// What a client outside calls our server is our own name, and not the client's.
#[test]
fn a_client_outside_is_not_what_it_calls_us() {
    let mut recording = Recording::default();
    let client = [203, 0, 113, 9];
    upload(&mut recording, (client, HOST), 50_001, "www.ours.example", 100);
    recording.tcp((HOST, 443), (client, 50_001), 700, ACK, &[1; 1000]);
    assert_eq!(most(&recording, HOST), ("203.0.113.9".to_owned(), 1000));
}

/// Mail names its server seconds after the first words, when these have been counted already.
#[test]
fn a_late_name_takes_along_what_was_sent() {
    let mut recording = Recording::default();
    let (from, to) = ((HOST, 50_000), ([203, 0, 113, 25], 587));
    let mut seq = 100;
    let mut sent = 0;
    recording.tcp(from, to, 99, SYN, &[]);
    recording.tcp(to, from, 700, ACK, b"220 mail ESMTP\r\n");
    let hello = hello(b"smtp.mail.example");
    for words in [&b"EHLO pc-7\r\n"[..], b"STARTTLS\r\n", &hello, &[0x17; 500]] {
        recording.at = recording.at.plus(Duration::from_secs(3));
        recording.tcp(from, to, seq, ACK, words);
        seq += words.len() as u32;
        sent += words.len() as u64;
    }
    assert_eq!(most(&recording, HOST), ("mail.example".to_owned(), sent));
}

/// A cloud's nameless addresses are one destination with a database, whichever vendor's; a name says more.
#[test]
fn nameless_addresses_go_by_their_system() {
    let maxmind = [
        (
            [203, 0, 113, 0],
            25,
            Value::Map(vec![("autonomous_system_number", Value::Number(64_500))]),
        ),
        (
            [203, 0, 113, 128],
            25,
            Value::Map(vec![("autonomous_system_number", Value::Number(64_501))]),
        ),
    ];
    let country = |code| Value::Map(vec![("iso_code", Value::Text(code))]);
    let city = [([203, 0, 113, 0], 24, Value::Map(vec![("country", country("NL"))]))];
    let ipinfo = [
        (
            [203, 0, 113, 0],
            25,
            Value::Map(vec![("asn", Value::Text("AS64500")), ("country", Value::Text("NL"))]),
        ),
        ([203, 0, 113, 128], 25, Value::Map(vec![("asn", Value::Text("AS64501"))])),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let two = vec![path("asn.mmdb", mmdb(&maxmind)), path("city.mmdb", mmdb(&city))];
    let one = vec![path("ipinfo.mmdb", mmdb(&ipinfo))];
    for files in [two, one] {
        let registry = Registry::open(&files).unwrap();
        let addr = |last| Addr::from_v4([203, 0, 113, last]);
        assert_eq!(
            (registry.system(addr(9)), registry.system(addr(200))),
            (Some(64_500), Some(64_501))
        );
        assert_eq!(registry.country(addr(9)), Some("NL"));
        assert_eq!(registry.system(Addr::from_v4([198, 51, 100, 1])), None);

        let mut recording = Recording::default();
        for last in [1, 2, 3] {
            recording.udp((HOST, 5000), ([203, 0, 113, last], 9), &[last; 1000]);
        }
        recording.udp((HOST, 5000), ([203, 0, 113, 200], 9), &[7; 1400]);
        recording.answer("www.files.example", [203, 0, 113, 4]);
        recording.udp((HOST, 5000), ([203, 0, 113, 4], 9), &[8; 1400]);
        let keys = Keys { mmdb: Some(files), ..Keys::default() };
        assert_eq!(most_by(&keys, &recording, HOST), ("AS64500".to_owned(), 3000));
        assert_eq!(most(&recording, HOST), ("files.example".to_owned(), 1400));
    }
    let damaged = vec![path("damaged.mmdb", vec![0; 5000])];
    let error = Settings::of(&Keys { mmdb: Some(damaged), ..Keys::default() }).unwrap_err();
    assert!(
        error.to_string().contains("damaged.mmdb: no database in the MaxMind DB format"),
        "{error}"
    );
}

const PROXY: [u8; 4] = [10, 0, 0, 8];

/// Through a proxy everybody would send to the proxy, and the proxy to everybody.
#[test]
fn what_a_proxy_is_asked_for_counts_for_its_client() {
    let connect = b"CONNECT up.files.example:443 HTTP/1.1\r\nHost: up.files.example\r\n\r\n";
    counts_for_its_client(connect);
    counts_for_its_client(b"\x05\x01\x00\x05\x01\x00\x03\x10up.files.example\x01\xbb");
    counts_for_its_client(b"\x04\x01\x01\xbb\0\0\0\x01me\0up.files.example\0");
}

fn counts_for_its_client(tunnel: &[u8]) {
    let mut recording = Recording::default();
    let (client, proxy, server) = ((HOST, 50_000), (PROXY, 3128), ([203, 0, 113, 9], 443));
    recording.tcp(client, proxy, 99, SYN, &[]);
    recording.tcp(client, proxy, 100, ACK, tunnel);
    let payload = [hello(b"up.files.example"), vec![0x17; 9000]].concat();
    recording.tcp((PROXY, 60_000), server, 99, SYN, &[]);
    for (number, piece) in payload.chunks(1460).enumerate() {
        let sent = (number * 1460) as u32;
        recording.tcp(client, proxy, 100 + tunnel.len() as u32 + sent, ACK, piece);
        recording.tcp((PROXY, 60_000), server, 100 + sent, ACK, piece);
    }
    let asked = (tunnel.len() + payload.len()) as u64;
    assert_eq!(most(&recording, HOST), ("files.example".to_owned(), asked));
    let (records, summary) = told(&Keys::default(), &recording, 1, usize::MAX);
    let is_proxys = |record: &Record| matches!(record, Record::Ranking(entry) if entry.host == Addr::from_v4(PROXY));
    assert!(!records.iter().any(is_proxys));
    assert_eq!((summary.bytes_out, summary.bytes_relayed), (asked, payload.len() as u64));
    // However it is cut, for what is a relay's own changes with every report.
    let keys = Keys::default();
    assert!(told(&keys, &recording, 2, 3) == (records, summary));
}

/// A thief on the proxy must not hide behind what others ask of it.
#[test]
fn what_a_relay_sends_beyond_what_it_was_asked_is_its_own() {
    let mut analyst = Analyst::new(Settings::of(&Keys::default()).unwrap().analyst);
    let end = |addr, port| Endpoint { addr: Addr::from_v4(addr), port };
    let (inner, client) = FlowKey::of(end(HOST, 50_000), end(PROXY, 3128), Protocol::TCP);
    let outer = FlowKey::of(end(PROXY, 60_000), end([203, 0, 113, 9], 443), Protocol::TCP);
    let ask = Facts {
        service: Service::Http,
        name: Some((Name::of(b"203.0.113.9").unwrap(), NameSource::HttpConnect)),
        named_by: Some(client),
        asks_proxy: true,
        ..Facts::default()
    };
    analyst.hear(&Event::Facts(inner, Arc::new(ask)));
    let at = Timestamp::EPOCH;
    analyst.fold([&delta_of((inner, client), at, 1_000_000, false)]);
    for _ in 0..100 {
        analyst.fold([&delta_of(outer, at, 1_000_000, false)]);
    }
    let sent = |host| {
        analyst.egress().host(HostKey::Address(Addr::from_v4(host))).map_or(0, Host::total_out)
    };
    assert_eq!(sent(HOST), 1_000_000);
    assert!((80_000_000..90_000_000).contains(&sent(PROXY)), "{}", sent(PROXY));
    assert_eq!(analyst.egress().totals().bytes_relayed + sent(PROXY), 100_000_000);
}

const MAIL_SERVER: [u8; 4] = [10, 0, 0, 25];

/// Facts of a flow of mail whose first bytes were looked at.
fn mail(client: Sender, to: Option<&[u8]>) -> Arc<Facts> {
    let mail_for = to.map(|to| Box::new(Name::of(to).unwrap()));
    let facts = Facts { service: Service::Smtp, mail_by: Some(client), ..Facts::default() };
    Arc::new(Facts { mail_for, ..facts })
}

/// Through a mail server everybody would send to the mail server, and the mail server to everybody. What it sends
/// beyond what it was asked to is its own.
#[test]
fn what_a_mail_relay_is_asked_for_counts_for_its_client() {
    let mut analyst = Analyst::new(Settings::of(&Keys::default()).unwrap().analyst);
    let end = |addr, port| Endpoint { addr: Addr::from_v4(addr), port };
    let submits = |port| FlowKey::of(end(HOST, port), end(MAIL_SERVER, 25), Protocol::TCP);
    let passes_on = |port| {
        FlowKey::of(end(MAIL_SERVER, port), end([203, 0, 113, port as u8], 25), Protocol::TCP)
    };
    let sent = |analyst: &Analyst, host| {
        let host = analyst.egress().host(HostKey::Address(Addr::from_v4(host)));
        host.map_or(0, Host::total_out)
    };
    let at = Timestamp::EPOCH;
    // Nobody has seen it send mail out: what it takes in may be for its own users.
    let (inner, client) = submits(50_000);
    analyst.hear(&Event::Facts(inner, mail(client, Some(b"files.example"))));
    analyst.fold([&delta_of((inner, client), at, 1_000_000, true)]);
    assert_eq!((sent(&analyst, HOST), analyst.egress().totals().bytes_inside), (0, 1_000_000));
    let (outer, relay) = passes_on(1);
    analyst.hear(&Event::Facts(outer, mail(relay, None)));
    analyst.fold([
        &delta_of((outer, relay.other()), at, 55, false),
        &delta_of((outer, relay), at, 3_000_000, true),
    ]);
    assert_eq!(sent(&analyst, MAIL_SERVER), 3_000_000, "nobody asked for it");
    let totals = analyst.egress().totals();
    assert_eq!((totals.bytes_in, totals.bytes_relayed), (55, 0), "nor for the greeting");
    // Now it is known as one. Mail among colleagues stays inside.
    for (port, to, bytes) in
        [(50_001, Some(&b"files.example"[..]), 5_000_000), (50_002, None, 7_000_000)]
    {
        let (inner, client) = submits(port);
        analyst.hear(&Event::Facts(inner, mail(client, to)));
        analyst.fold([&delta_of((inner, client), at, bytes, true)]);
    }
    assert_eq!(sent(&analyst, HOST), 5_000_000);
    let text = {
        let host = analyst.egress().host(HostKey::Address(Addr::from_v4(HOST))).unwrap();
        let mut summary = Summary::default();
        analyst.summarize(&mut summary);
        assert_eq!(host.total_out(), 5_000_000);
        let of = |top: &sekisho::alert::TopSender| top.host == Addr::from_v4(HOST);
        summary.top_senders.iter().find(|top| of(top)).unwrap().destination.clone()
    };
    assert_eq!(text.as_deref(), Some("files.example"));
    for port in 2..=5 {
        let (outer, relay) = passes_on(port);
        analyst.hear(&Event::Facts(outer, mail(relay, None)));
        analyst.fold([&delta_of((outer, relay), at, 2_000_000, true)]);
    }
    // Of 8 MB what it was asked to carry, as far as whole reports go; the rest is its own, as what went before.
    let relayed = analyst.egress().totals().bytes_relayed;
    assert_eq!((relayed, sent(&analyst, MAIL_SERVER)), (4_000_000, 7_000_000));
    let upload = FlowKey::of(end(MAIL_SERVER, 6), end([203, 0, 113, 6], 443), Protocol::TCP);
    analyst.fold([&delta_of(upload, at, 1_000_000, true)]);
    assert_eq!(sent(&analyst, MAIL_SERVER), 8_000_000, "no mail, and so its own");
}

/// When an owner becomes known depends on packets alone.
#[test]
fn the_same_owners_for_any_workers_and_batches() {
    let recording = mixed();
    let keys = Keys::default();
    let whole = told(&keys, &recording, 1, usize::MAX);
    let named = whole
        .1
        .top_senders
        .iter()
        .filter(|top| top.destination.as_ref().unwrap().ends_with(".example"));
    assert_eq!(named.count(), 5);
    for (workers, frames) in [(1, 1), (2, 7), (8, 100)] {
        assert!(
            told(&keys, &recording, workers, frames) == whole,
            "{workers} workers, {frames} frames at a time"
        );
    }
}

/// Something that happens to one of a few flows between one host and few addresses.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Sent { flow: u8, bytes: u32, is_last: bool },
    Named { flow: u8, name: u8 },
    Answered { peer: u8, name: u8 },
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        4 => (0..12u8, 1..200_000u32, prop::bool::weighted(0.2))
            .prop_map(|(flow, bytes, is_last)| Happening::Sent { flow, bytes, is_last }),
        2 => (0..12u8, 0..4u8).prop_map(|(flow, name)| Happening::Named { flow, name }),
        1 => (0..4u8, 0..4u8).prop_map(|(peer, name)| Happening::Answered { peer, name }),
    ];
    prop::collection::vec(one, 1..80)
}

fn key(flow: u8) -> (FlowKey, Sender) {
    let end = |addr, port| Endpoint { addr: Addr::from_v4(addr), port };
    let client = end(HOST, 50_000 + u16::from(flow));
    FlowKey::of(client, end([203, 0, 113, flow % 4], 443), Protocol::TCP)
}

fn name(number: u8) -> Name {
    Name::of(format!("www.owner{number}.example").as_bytes()).unwrap()
}

fn delta(flow: u8, at: Timestamp, bytes: u32, is_last: bool) -> FlowDelta {
    delta_of(key(flow), at, bytes, is_last)
}

/// A report of what one end of a flow sent, which opened it.
fn delta_of((key, side): (FlowKey, Sender), at: Timestamp, bytes: u32, is_last: bool) -> FlowDelta {
    let bytes = u64::from(bytes);
    let out =
        Counters { payload: bytes, sent: bytes, wire: bytes, packets: 1, ..Counters::default() };
    let (from, to) = (key.end(side), key.end(side.other()));
    let counters = [out, Counters::default()];
    let delta = FlowDelta::new(from, to, key.protocol, Timestamp::EPOCH, counters);
    FlowDelta { last_at: at, end: is_last.then_some(FlowEnd::Fin), ..delta }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Whatever is learned, and however late: the bytes of a host's destinations add up to what it sent.
    #[test]
    fn no_byte_is_lost_or_counted_twice(happenings in happenings()) {
        let mut analyst = Analyst::new(Settings::of(&Keys::default()).unwrap().analyst);
        let (mut at, mut sent) = (Timestamp::EPOCH, 0);
        for happening in happenings {
            at = at.plus(Duration::from_secs(1));
            match happening {
                Happening::Sent { flow, bytes, is_last } => {
                    sent += u64::from(bytes);
                    analyst.fold([&delta(flow, at, bytes, is_last)]);
                }
                Happening::Named { flow, name: number } => {
                    let (key, side) = key(flow);
                    let facts = Facts {
                        seen_at: at,
                        service: Service::Tls,
                        name: Some((name(number), NameSource::TlsSni)),
                        named_by: Some(side),
                        has_hello: true,
                        ..Facts::default()
                    };
                    analyst.hear(&Event::Facts(key, Arc::new(facts)));
                }
                Happening::Answered { peer, name: number } => {
                    let answer = Answer {
                        at,
                        host: Addr::from_v4(HOST),
                        name: name(number),
                        aliases: Vec::new(),
                        addresses: vec![(Addr::from_v4([203, 0, 113, peer]), Duration::from_secs(60))],
                    };
                    analyst.hear(&Event::Answer(Box::new(answer)));
                }
            }
            let host = analyst.egress().host(HostKey::Address(Addr::from_v4(HOST)));
            let pairs = host.map(|host| analyst.egress().pairs().of(host));
            let by_pair: u64 = pairs.into_iter().flatten().map(|pair| pair.out.sent).sum();
            prop_assert_eq!(by_pair, sent);
            prop_assert_eq!(host.map_or(0, Host::total_out), sent);
        }
    }

    /// Whoever holds a relay of mail hides an eighth more than was submitted to it, and nothing else gets lost.
    #[test]
    fn mail_is_counted_once(
        mails in prop::collection::vec((0..3u8, 1..1_000_000u32, any::<bool>()), 1..60),
    ) {
        let mut analyst = Analyst::new(Settings::of(&Keys::default()).unwrap().analyst);
        let end = |addr, port| Endpoint { addr: Addr::from_v4(addr), port };
        let (mut handed, mut all) = (0, 0);
        for (number, (kind, bytes, is_named)) in (0..).zip(mails) {
            let to = match kind {
                0 => end(MAIL_SERVER, 25),
                _ => end([203, 0, 113, 25], 25),
            };
            let from = if kind == 0 { HOST } else { MAIL_SERVER };
            let (key, client) = FlowKey::of(end(from, 40_000 + number), to, Protocol::TCP);
            let mail_for = (kind == 0 && is_named).then_some(&b"files.example"[..]);
            if kind < 2 {
                analyst.hear(&Event::Facts(key, mail(client, mail_for)));
            }
            analyst.fold([&delta_of((key, client), Timestamp::EPOCH, bytes, true)]);
            all += u64::from(bytes);
            handed += mail_for.map_or(0, |_| u64::from(bytes));
            let totals = analyst.egress().totals();
            prop_assert_eq!(totals.bytes_out + totals.bytes_inside + totals.bytes_relayed, all);
            prop_assert!(totals.bytes_relayed <= handed + handed / 8);
        }
    }
}
