//! `sekisho hosts` and `sekisho destinations`: the real binary against the replay's sums.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;

use sekisho::capture::{FileSource, Options, Polled, Source};
use sekisho::census::{Census, Order, Traffic};
use sekisho::config::{Keys, Settings};
use sekisho::egress::{Ledger, Scope};
use sekisho::engine::{Reported, Run, count};
use sekisho::frame::Batch;
use sekisho::sink::{CensusFormat, Width, write_census};
use serde_json::Value;

use crate::corpus::captures;
use crate::laws::pcap;
use crate::mmdb;
use crate::support::{corpus, root};

const CONTRACTOR: &str = "pcaps/contractor-upload.pcap.zst";
const OFFICE: &str = "pcaps/office-2026-03-13.pcap.zst";
const OURS: &str = "10.20.0.0/16,2001:db8:20::/48";

fn told(mode: &str, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .current_dir(root())
        .env_clear()
        .args([mode, "--quiet"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn records(mode: &str, arguments: &[&str]) -> Vec<Value> {
    let out = told(mode, &[&["--format", "json"], arguments].concat());
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sum(records: &[Value], key: &str) -> u64 {
    records.iter().map(|record| record[key].as_u64().unwrap()).sum()
}

/// What the table adds up to is what alerts are judged by.
fn assert_adds_up(arguments: &[&str]) {
    let replayed = told("replay", &[&["--format", "json"], arguments].concat());
    let summary: Value = serde_json::from_str(replayed.lines().last().unwrap()).unwrap();
    for mode in ["hosts", "destinations"] {
        let records = records(mode, arguments);
        for key in ["bytes_out", "bytes_in"] {
            let expected = summary[key].as_u64().unwrap();
            assert_eq!(sum(&records, key), expected, "{mode}, {key} of {arguments:?}");
        }
    }
}

#[test]
fn hosts_and_destinations_add_up_to_what_replay_says() {
    for path in [OFFICE, CONTRACTOR, "pcaps/ipv6-upload.pcap.zst", "pcaps/port-scan.pcap.zst"] {
        assert_adds_up(&["--internal", OURS, path]);
    }
}

/// Other people's traffic: tunnels, broken headers, names that no host has.
#[test]
fn the_corpus_adds_up_too() {
    let Some(corpus) = corpus() else { return };
    let settings = Settings::of(&Keys::default()).unwrap();
    let run = Run { workers: 1, ..settings.run };
    let mut seen = 0;
    for capture in captures(&corpus) {
        let path = corpus.join(&capture.path);
        if fs::metadata(&path).unwrap().len() > SMALL {
            continue;
        }
        // What is no capture is refused.
        let Ok(mut source) = FileSource::open(&[path], Options::default()) else { continue };
        let internal = settings.analyst.egress.internal.clone();
        let mut ledger = Ledger::new(internal.clone(), 1 << 20);
        let mut census = Census::new(
            settings.census,
            settings.analyst.rules.clone(),
            settings.analyst.registry.clone(),
            internal,
        );
        let (mut bytes_out, mut bytes_in) = (0, 0);
        let _ = count(&mut source, &run, |_, reports| {
            for report in reports.in_order() {
                let record = match report {
                    Reported::Event(event) => {
                        ledger.hear(event);
                        continue;
                    }
                    Reported::Claim(claim) => {
                        census.hear(claim);
                        continue;
                    }
                    Reported::Delta(delta) => ledger.fold(delta),
                };
                let Some(record) = record else { continue };
                census.count(&record);
                if record.scope == Scope::Border {
                    bytes_out += record.bytes_out();
                    bytes_in += record.bytes_in();
                }
            }
            ControlFlow::Continue(())
        });
        let (hosts, destinations) =
            (census.hosts(Order::BytesOut), census.destinations(Order::BytesOut));
        let sums = |all: Vec<&Traffic>| {
            all.iter().fold((0, 0), |(out, back), one| (out + one.bytes_out, back + one.bytes_in))
        };
        let expected = (bytes_out, bytes_in);
        let path = &capture.path;
        assert_eq!(sums(hosts.iter().map(|host| &host.traffic).collect()), expected, "{path}");
        assert_eq!(sums(destinations.iter().map(|to| &to.traffic).collect()), expected, "{path}");
        let mut text = Vec::new();
        let format = CensusFormat::Text(Width::Any);
        write_census(&mut text, &hosts, format).unwrap();
        write_census(&mut text, &destinations, format).unwrap();
        let is_inert = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\n';
        assert!(text.iter().all(is_inert), "{path}");
        seen += hosts.len();
    }
    assert!(seen > 500, "only {seen} hosts");
}

/// Bytes of a capture that a test may take its time for.
const SMALL: u64 = 1_000_000;

/// With databases, addresses that nobody names are one destination where they are of one system.
#[test]
fn systems_and_countries_are_looked_up() {
    let system = ("autonomous_system_number", mmdb::Value::Number(64_501));
    let country = ("country", mmdb::Value::Map(vec![("iso_code", mmdb::Value::Text("NL"))]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.mmdb");
    let entry = ([198, 18, 0, 0], 15, mmdb::Value::Map(vec![system, country]));
    fs::write(&path, mmdb::mmdb(&[entry])).unwrap();
    let listed = |arguments: &[&str]| -> Vec<Value> {
        let files = ["pcaps/udp-upload.pcap.zst", CONTRACTOR];
        let common = ["--format", "json", "--internal", OURS];
        let text = told("destinations", &[&common[..], arguments, &files].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let of = |rows: &[Value]| -> Vec<_> {
        let key =
            |row: &Value| (row["destination"].clone(), row["asn"].clone(), row["country"].clone());
        rows.iter().map(key).collect()
    };
    let bare = listed(&[]);
    assert_eq!(of(&bare)[1], ("198.18.181.40".into(), Value::Null, Value::Null));
    let known = listed(&["--mmdb", path.to_str().unwrap()]);
    assert_eq!(of(&known)[1], ("AS64501".into(), 64_501.into(), "NL".into()));
    // A name stays the owner.
    assert_eq!(of(&known)[0], (bare[0]["destination"].clone(), 64_501.into(), "NL".into()));
}

#[test]
fn the_contractor_is_found() {
    let hosts = records("hosts", &["--internal", OURS, CONTRACTOR]);
    assert_eq!(hosts[0]["host"], "10.20.1.51");
    assert_eq!(hosts[0]["top_destinations"][0]["destination"], "paste-up.example");
    assert_eq!(hosts[0]["top_destinations"][0]["bytes_out"], 597_055_762);
    assert_eq!(
        (&hosts[0]["role"], &hosts[0]["role_source"]),
        (&"workstation".into(), &"inferred".into())
    );
    assert!(hosts[0]["pcr"].as_f64().unwrap() > 0.99);
    let destinations = records("destinations", &["--internal", OURS, CONTRACTOR]);
    assert_eq!(destinations[0]["destination"], "paste-up.example");
    assert_eq!(destinations[0]["names"], Value::from(vec!["drop.paste-up.example"]));
    assert_eq!(destinations[0]["addresses"], Value::from(vec!["198.18.7.44"]));
    assert_eq!(destinations[0]["top_hosts"][0]["host"], "10.20.1.51");
}

/// Byte for byte, in every format, for any number of workers and any cutting into files.
#[test]
fn all_ways_to_read_tell_the_same() {
    let whole = frames(OFFICE);
    let folder = tempfile::tempdir().unwrap();
    let half = whole.heads.len() / 2 + 7;
    let parts: Vec<PathBuf> = [0..half, half..whole.heads.len()]
        .into_iter()
        .map(|part| {
            let path = folder.path().join(format!("{}.pcap", part.start));
            fs::write(&path, pcap(&whole, part)).unwrap();
            path
        })
        .collect();
    let parts: Vec<&str> = parts.iter().map(|path| path.to_str().unwrap()).collect();
    for mode in ["hosts", "destinations"] {
        for format in ["text", "json", "csv"] {
            let told = |workers, files: &[&str]| {
                let head = ["--internal", OURS, "--format", format, "--workers", workers];
                told(mode, &[&head, files].concat())
            };
            let one = told("1", &[OFFICE]);
            assert!(one.lines().count() > 5);
            for workers in ["2", "4"] {
                assert!(told(workers, &[OFFICE]) == one, "{mode} as {format}, {workers} workers");
            }
            assert!(told("2", &parts) == one, "{mode} as {format}, in two files");
        }
    }
}

fn frames(path: &str) -> Batch {
    let mut source = FileSource::open(&[root().join(path)], Options::default()).unwrap();
    let (mut all, mut batch) = (Batch::default(), Batch::default());
    while source.poll(&mut batch).unwrap() != Polled::End {
        batch.frames().for_each(|frame| all.push(frame));
        batch.clear();
    }
    all
}

#[test]
fn every_record_is_valid_against_its_schema() {
    for (mode, of) in [("hosts", "host"), ("destinations", "destination")] {
        let schema = Command::new(env!("CARGO_BIN_EXE_sekisho")).args(["schema", of]).output();
        let schema: Value = serde_json::from_slice(&schema.unwrap().stdout).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let mut records = records(mode, &["--internal", OURS, OFFICE, CONTRACTOR]);
        for record in &records {
            let mistakes: Vec<String> =
                validator.iter_errors(record).map(|error| error.to_string()).collect();
            assert!(mistakes.is_empty(), "{mistakes:?} in {record}");
            let keys: BTreeSet<&String> = record.as_object().unwrap().keys().collect();
            let known: BTreeSet<&String> =
                schema["properties"].as_object().unwrap().keys().collect();
            assert_eq!(keys, known, "what is not known is null, not left out");
        }
        let mut broken = records.swap_remove(0);
        broken["bytes_out"] = "many".into();
        assert!(!validator.is_valid(&broken), "a schema that allows anything would prove nothing");
    }
}

/// The first columns of both say the same; no cell of this capture needs quotes.
#[test]
fn csv_says_what_json_says() {
    for mode in ["hosts", "destinations"] {
        let json = records(mode, &["--internal", OURS, OFFICE]);
        let csv = told(mode, &["--format", "csv", "--internal", OURS, OFFICE]);
        let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let rows: Vec<_> = lines.collect();
        assert_eq!(rows.len(), json.len());
        for (row, record) in rows.iter().zip(&json) {
            assert_eq!(row.len(), header.len(), "{row:?}");
            for (column, cell) in header.iter().zip(row) {
                let expected = match &record[*column] {
                    Value::Null => continue,
                    Value::String(text) => text.clone(),
                    Value::Array(list) => list
                        .iter()
                        .map(|one| one.as_str().or(one["name"].as_str()).unwrap())
                        .collect::<Vec<_>>()
                        .join(" "),
                    other => other.to_string(),
                };
                let number = |text: &str| text.parse::<f64>().ok();
                let is_same = *cell == expected
                    || number(cell).is_some() && number(cell) == number(&expected);
                assert!(is_same, "{column}: {cell} and {expected}");
            }
        }
    }
}

#[test]
fn the_order_and_the_number_can_be_chosen() {
    let of = |arguments: &[&str], key: &str| -> Vec<String> {
        let arguments = [&["--internal", OURS, OFFICE], arguments].concat();
        records("hosts", &arguments).iter().map(|record| record[key].to_string()).collect()
    };
    let numbers =
        |of: Vec<String>| of.iter().map(|text| text.parse().unwrap()).collect::<Vec<f64>>();
    for (sort, key) in [
        ("bytes-out", "bytes_out"),
        ("bytes-in", "bytes_in"),
        ("flows", "flows"),
        ("peers", "destinations"),
        ("pcr", "pcr"),
    ] {
        let numbers = numbers(of(&["--sort", sort, "--top", "20"], key));
        assert_eq!(numbers.len(), 20);
        assert!(numbers.is_sorted_by(|a, b| a >= b), "{sort}: {numbers:?}");
    }
    assert!(of(&["--sort", "first"], "first").is_sorted());
    assert!(of(&["--sort", "last"], "last").is_sorted_by(|a, b| a >= b));
}
