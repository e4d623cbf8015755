//! Data in DNS names and in pings: found where it is, under the name of who gets it, and nothing said of those
//! who ask and ping as everybody does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sekisho::alert::{Alert, ClosedBecause, Kind, Record, Severity};
use sekisho::capture::FileSource;
use sekisho::config::{Keys, Settings};
use sekisho::engine::{Analyst, replay};
use sekisho::names::Options;

use crate::corpus::Networks;
use crate::names::{ACK, HOST, Recording, SYN};
use crate::support::{corpus, scenarios};

const RESOLVER: [u8; 4] = [10, 0, 0, 53];
const OUTSIDE: [u8; 4] = [198, 51, 100, 53];

/// Every alert about names or pings.
fn covert(records: impl IntoIterator<Item = Record>) -> Vec<Alert> {
    let alerts = records.into_iter().filter_map(|record| match record {
        Record::Alert(alert) => Some(*alert),
        Record::Silenced(_) | Record::Ranking(_) | Record::Summary(_) => None,
    });
    alerts.filter(|alert| ["dns", "icmp"].contains(&alert.family)).collect()
}

fn of_files(files: &[PathBuf], keys: &Keys) -> Vec<Alert> {
    let settings = Settings::of(keys).unwrap();
    let mut source = FileSource::open(files, settings.capture).unwrap();
    let mut analyst = Analyst::new(settings.analyst);
    let mut told = Vec::new();
    replay(&mut source, &settings.run, &mut analyst, |_, records| told.extend(records)).unwrap();
    covert(told)
}

fn of_recording(recording: &Recording, workers: usize, frames: usize) -> Vec<Alert> {
    let mut analyst = Analyst::new(Settings::of(&Keys::default()).unwrap().analyst);
    let (reports, _) = recording.reports(Options::default(), workers, frames);
    analyst.take(&reports);
    analyst.close(ClosedBecause::Eof);
    covert(analyst.drain())
}

/// What was said at last: family, host, who was told.
fn last(alerts: &[Alert]) -> Vec<(&str, String, String)> {
    let mut said: Vec<_> = alerts
        .iter()
        .filter(|alert| alert.severity >= Severity::Medium)
        .map(|alert| (alert.family, alert.host.ip.to_string(), alert.destination.key.clone()))
        .collect();
    said.sort();
    said.dedup();
    said
}

fn query(name: &str, number: u16) -> Vec<u8> {
    let labels = name.split('.');
    let name = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    let head = [&number.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    [head, name.collect(), vec![0, 0, 16, 0, 1]].concat()
}

/// A name that carries thirty bytes of an archive.
fn carrier(number: u32, domain: &str) -> String {
    let word = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{word:016x}{:016x}x{:014x}.{domain}", word.rotate_left(17), word >> 8)
}

/// Recorded tunnels, each alone and without history: who sent, and whose the domain or address was.
#[test]
fn recorded_tunnels_are_found() {
    let Some(corpus) = corpus() else { return };
    for (capture, family, host, key) in [
        ("ggyggy666__dnscat2-txt_00001_20230903183304", "dns", "192.168.68.62", "ggy666.tk"),
        ("ggyggy666__iodine-cname", "dns", "192.168.117.128", "ggy666.tk"),
        ("ntop__bad-dns-traffic", "dns", "192.168.43.91", "skullseclabs.org"),
        ("ntop__dns-tunnel-iodine", "dns", "10.0.2.30", "pirate.sea"),
        // No domain at all: dnscat2 asks its server for names under none.
        ("ntop__dns_exfiltration", "dns", "192.168.220.56", "192.168.203.167"),
        ("s73p1n__double_exfil", "dns", "10.13.13.104", "hacksecureims.eu"),
        ("ntop__icmp-tunnel", "icmp", "192.168.154.131", "192.168.154.132"),
        ("thiagosmith__exfiltration", "icmp", "172.17.0.2", "*"),
    ] {
        let alerts = of_capture(&corpus, &format!("exfil/{capture}.pcap"));
        let told = (family, host.to_owned(), key.to_owned());
        assert_eq!(last(&alerts), [told], "{capture}");
    }
}

/// Captures of people and programs at work: walks over a list of the million most visited sites, DNS over
/// HTTPS, and all the others.
#[test]
fn recorded_work_is_quiet() {
    let Some(corpus) = corpus() else { return };
    let captures = crate::corpus::captures(&corpus);
    let benign = captures.iter().filter(|capture| capture.path.starts_with("benign/"));
    let mut read = 0;
    for capture in benign {
        let alerts = of_capture(&corpus, &capture.path);
        let said: Vec<&str> = alerts.iter().map(|alert| alert.summary.as_str()).collect();
        assert_eq!(said, [""; 0], "{}", capture.path);
        read += 1;
    }
    assert!(read >= 40, "only {read} captures");
}

fn of_capture(corpus: &Path, path: &str) -> Vec<Alert> {
    let row = Networks::of(&Networks::all(), path).map(|row| row.internal.clone()).unwrap();
    let internal = (!row.is_empty()).then_some(row);
    of_files(&[corpus.join(path)], &Keys { internal, ..Keys::default() })
}

/// The labelled office: its tunnels are found while they run, the one behind the resolver under the name of the
/// workstation; the resolver, and sixteen days of everybody's names and pings, are quiet.
#[test]
fn tunnels_of_the_office_are_found_and_nothing_else() {
    let Some(folder) = scenarios() else { return };
    let internal = ["10.20.1.0/24", "10.20.9.0/24", "2001:db8:20:1::/64"];
    let keys = Keys {
        timezone: Some("Asia/Tokyo".to_owned()),
        internal: Some(internal.map(|net| net.parse().unwrap()).to_vec()),
        ..Keys::default()
    };
    let incident = |name: &str| folder.join("incidents").join(name);
    let files = [
        folder.join("baseline"),
        incident("S8a-dns-tunnel-fast.pcap.zst"),
        incident("S8b-dns-tunnel-slow.pcap.zst"),
        incident("S9-icmp-tunnel.pcap.zst"),
    ];
    let alerts = of_files(&files, &keys);
    let told = |family, host: &str, key: &str| (family, host.to_owned(), key.to_owned());
    assert_eq!(
        last(&alerts),
        [
            told("dns", "10.20.1.47", "far-zone.example"),
            told("dns", "10.20.1.48", "far-zone.example"),
            told("icmp", "10.20.1.49", "198.18.160.5"),
        ]
    );
    assert!(alerts.iter().all(|alert| alert.severity >= Severity::Medium));
    for alert in alerts.iter().filter(|alert| alert.kind == Kind::Close) {
        // In flight, not at the end.
        assert!(alert.left_when_raised * 10 < alert.bytes_out, "{}", alert.summary);
    }
    // Who was asked in the end is told with whom the workstation asked.
    let behind = alerts.iter().rfind(|alert| alert.host.ip.to_string() == "10.20.1.48").unwrap();
    let ips: Vec<String> = behind.destination.ips.iter().map(ToString::to_string).collect();
    assert_eq!(ips, ["10.20.1.5", "198.18.200.54"]);
}

/// A hundred names by way of a resolver: the client's doing and counted once, where it is seen; else the
/// resolver's.
#[test]
fn what_a_resolver_passes_on_is_its_clients() {
    let tunnel = |is_client_seen: bool| {
        let mut recording = Recording::default();
        for number in 0..200 {
            let query = query(&carrier(number, "t.far.example"), number as u16);
            if is_client_seen {
                recording.udp((HOST, 40_000), (RESOLVER, 53), &query);
            }
            recording.udp((RESOLVER, 50_000), (OUTSIDE, 53), &query);
        }
        of_recording(&recording, 1, usize::MAX)
    };
    let told = |host: &str| ("dns", host.to_owned(), "far.example".to_owned());
    let (seen, unseen) = (tunnel(true), tunnel(false));
    assert_eq!(last(&seen), [told("10.0.0.1")]);
    assert_eq!(last(&unseen), [told("10.0.0.53")]);
    let bytes = |alerts: &[Alert]| alerts.last().unwrap().bytes_out;
    assert!(bytes(&seen).abs_diff(bytes(&unseen)) * 5 < bytes(&seen));
}

/// A theft that is spread over many hosts, so that none tells much, is one find, about all of them. What others do alike
/// on that day speaks for none of them then.
#[test]
fn a_tunnel_spread_over_many_hosts_is_found_once() {
    for hosts in [2, 5, 20, 60] {
        let mut recording = Recording::default();
        let names = 500 * hosts.max(6) / 6;
        for number in 0..names {
            let query = query(&carrier(number, "t.far.example"), number as u16);
            recording.udp((host(number % hosts), 40_000), (OUTSIDE, 53), &query);
            recording.at = recording.at.plus(Duration::from_secs(5));
        }
        let alerts = of_recording(&recording, 1, usize::MAX);
        let mut paged: Vec<_> = last(&alerts).into_iter().map(|(.., key)| key).collect();
        if hosts > 2 {
            assert_eq!(paged, ["far.example"], "{hosts}: {alerts:?}");
            let told = alerts.last().unwrap();
            assert_eq!(told.why[0].term, "dns-together");
            assert_eq!(told.why[0].values["hosts"], hosts);
            assert_eq!(told.together.len(), 8.min(hosts as usize));
            let carried = u64::from(names) * 33;
            assert!(told.bytes_out.abs_diff(carried) * 8 < carried, "{}", told.summary);
            assert!(told.left_when_raised < told.bytes_out, "{}", told.summary);
        } else {
            paged.dedup();
            assert_eq!(paged, ["far.example"], "{hosts}: {alerts:?}");
        }
    }
}

/// Where clients are seen to ask a resolver inside, what they tell by way of it is counted once, also together.
#[test]
fn spread_behind_a_resolver_counts_once() {
    let mut recording = Recording::default();
    for number in 0..600 {
        let query = query(&carrier(number, "t.far.example"), number as u16);
        recording.udp((host(number % 10), 40_000), (RESOLVER, 53), &query);
        recording.udp((RESOLVER, 50_000), (OUTSIDE, 53), &query);
        recording.at = recording.at.plus(Duration::from_secs(5));
    }
    let alerts = of_recording(&recording, 1, usize::MAX);
    let told = alerts.last().unwrap();
    assert_eq!(told.why[0].values["hosts"], 10);
    assert!(told.bytes_out.abs_diff(600 * 33) < 3000, "{}", told.summary);
    assert!(told.together.iter().all(|one| one.ip.to_string() != "10.0.0.53"));
}

/// A protection that all machines get on one day tells its vendor a little of each: no theft, also on its first day.
#[test]
fn a_little_by_everybody_is_quiet() {
    let mut recording = Recording::default();
    for number in 0..200 * 20 {
        let name = carrier(number, "lookup.scanner.com");
        recording.udp((host(number % 200), 40_000), (OUTSIDE, 53), &query(&name, 1));
        recording.at = recording.at.plus(Duration::from_secs(2));
    }
    let alerts = of_recording(&recording, 1, usize::MAX);
    assert_eq!(last(&alerts), [], "{alerts:?}");
}

fn host(number: u32) -> [u8; 4] {
    [10, 0, 1, number as u8]
}

/// Over TCP, also behind what is kept of a flow's start, in messages cut at their lengths, and on any port.
#[test]
fn streams_and_odd_ports_hide_nothing() {
    let names = |first: u32, count: u32| {
        (first..first + count).map(|number| query(&carrier(number, "t.far.example"), 7))
    };
    let framed = |query: Vec<u8>| [&(query.len() as u16).to_be_bytes()[..], &query].concat();
    let mut recording = Recording::default();
    // 20 kB of the same names, and only then the others.
    let same = query("www.example.com", 7);
    let dull = (0..700).map(|_| same.clone());
    let mut seq = 100;
    recording.tcp((HOST, 40_000), (OUTSIDE, 5300), 99, SYN, &[]);
    for query in dull.chain(names(0, 200)) {
        let message = framed(query);
        let pieces =
            if seq % 2 == 0 { vec![&message[..]] } else { vec![&message[..2], &message[2..]] };
        for piece in pieces {
            recording.tcp((HOST, 40_000), (OUTSIDE, 5300), seq, ACK, piece);
            seq += piece.len() as u32;
        }
    }
    for query in names(1000, 200) {
        recording.udp((HOST, 40_001), ([198, 51, 100, 54], 5300), &query);
    }
    let alerts = of_recording(&recording, 1, usize::MAX);
    let told = ("dns", "10.0.0.1".to_owned(), "far.example".to_owned());
    assert_eq!(last(&alerts), [told]);
    let evidence = alerts.last().unwrap();
    assert!(evidence.bytes_out > 400 * 25, "{}", evidence.summary);
    assert_eq!(evidence.destination.ips.len(), 2);
}

fn echo(recording: &mut Recording, to: [u8; 4], number: u16, data: &[u8]) {
    let head = [&[8, 0, 0, 0, 0, 9][..], &number.to_be_bytes()].concat();
    recording.icmp(HOST, to, &[&head, data].concat());
}

/// A monitor that pings all day, a mail server that looks every client up, a browser's many sites, a machine
/// that asks its neighbours.
#[test]
fn what_everybody_does_is_quiet() {
    let mut recording = Recording::default();
    let counting: Vec<u8> = (16..56).collect();
    for number in 0..20_000u32 {
        let stamp = [&u64::from(number).to_le_bytes()[..], &[0; 8]].concat();
        echo(&mut recording, OUTSIDE, number as u16, &[&stamp, &counting[..]].concat());
        let [_, a, b, c] = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
        let reverse = query(&format!("{c}.{b}.{a}.198.in-addr.arpa"), 1);
        recording.udp((HOST, 40_000), (OUTSIDE, 53), &reverse);
        let own = query(&format!("{c}.{b}.20.10.in-addr.arpa"), 1);
        recording.udp((HOST, 40_000), (OUTSIDE, 53), &own);
        let site = query(&format!("www.site-{number}.com"), 1);
        recording.udp((HOST, 40_001), (OUTSIDE, 53), &site);
        let neighbour = query(&carrier(number, "printer.local"), 1);
        recording.udp((HOST, 5353), ([224, 0, 0, 251], 5353), &neighbour);
        recording.at = recording.at.plus(Duration::from_secs(1));
    }
    let said: Vec<String> =
        of_recording(&recording, 1, usize::MAX).into_iter().map(|alert| alert.summary).collect();
    assert_eq!(said, [""; 0]);
}

/// A virus scanner asks for the digest of every file that it meets: after a few days that is how it is here.
#[test]
fn telemetry_in_names_becomes_usual() {
    let mut recording = Recording::default();
    let mut by_day = Vec::new();
    for day in 0..10u64 {
        recording.at = sekisho::time::Timestamp::from_secs_nanos(1_770_000_000 + day * 86_400, 0);
        for number in 0..300 {
            let name = carrier((day * 1000) as u32 + number, "lookup.scanner.com");
            recording.udp((HOST, 40_000), (OUTSIDE, 53), &query(&name, 1));
        }
        let said = of_recording(&recording, 1, usize::MAX);
        let of_day = |alert: &&Alert| alert.time >= recording.at.minus(Duration::from_secs(3600));
        by_day.push(
            said.iter()
                .filter(of_day)
                .filter(|alert| alert.score_bits >= alert.threshold_bits)
                .count(),
        );
    }
    assert!(by_day[0] > 0, "{by_day:?}");
    assert_eq!(by_day[5..], [0; 5], "{by_day:?}");
}

/// However slowly data drip into names, what counts is how much has gone. Without history that is some 2 kB: found
/// within half an hour down to 2 B/s, and within the day down to a few bytes a minute.
#[test]
fn a_slow_tunnel_is_found_once_enough_has_gone() {
    let carried = 33;
    for bytes_per_hour in [50 * 3600, 10 * 3600, 2 * 3600, 600, 150] {
        let mut recording = Recording::default();
        let step = Duration::from_secs(3600) * carried / bytes_per_hour;
        for number in 0..100 {
            let name = carrier(number, "t.far.example");
            recording.udp((HOST, 40_000), (OUTSIDE, 53), &query(&name, number as u16));
            recording.at = recording.at.plus(step);
        }
        let alerts = of_recording(&recording, 1, usize::MAX);
        let first = alerts.iter().find(|alert| alert.severity >= Severity::Medium).unwrap();
        let after = first.time.since(first.started).as_secs();
        let expected = 2100 * 3600 / u64::from(bytes_per_hour);
        assert!(after.abs_diff(expected) < expected / 5, "{bytes_per_hour}: {after} s");
    }
}

/// An alert that depends on the machine's cores could not be shown to anybody.
#[test]
fn the_same_tunnels_for_any_workers_and_batches() {
    let mut recording = Recording::default();
    let data: Vec<u8> = (0..1000u32).map(|at| ((at * at) >> 3) as u8).collect();
    for number in 0..300 {
        let name = carrier(number, "t.far.example");
        recording.udp((HOST, 40_000), (RESOLVER, 53), &query(&name, number as u16));
        recording.udp((RESOLVER, 50_000), (OUTSIDE, 53), &query(&name, number as u16));
        let carried = [&number.to_be_bytes()[..], &data, &number.to_le_bytes()].concat();
        echo(&mut recording, OUTSIDE, number as u16, &carried);
        echo(&mut recording, [198, 51, 100, (number % 100) as u8], number as u16, &[0; 56]);
        recording.at = recording.at.plus(Duration::from_secs(1));
    }
    let told = of_recording(&recording, 1, usize::MAX);
    assert_eq!(last(&told).len(), 3, "{:?}", last(&told));
    for (workers, frames) in [(1, 7), (2, usize::MAX), (8, 100)] {
        assert_eq!(of_recording(&recording, workers, frames), told, "{workers} {frames}");
    }
}
