//! `sekisho flows`: the records of the real binary, against the replay's sums and against tshark.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use sekisho::capture::{FileSource, Options};
use sekisho::config::{Keys, Settings};
use sekisho::egress::Ledger;
use sekisho::engine::{Reported, Run, count as count_flows};
use sekisho::flow::Reporting;
use serde_json::Value;

use crate::support::{corpus, root, tool};

const CONTRACTOR: &str = "pcaps/contractor-upload.pcap.zst";
const OFFICE: &str = "pcaps/office-2026-03-13.pcap.zst";
const SHIPPED: [&str; 7] = [
    CONTRACTOR,
    OFFICE,
    "pcaps/ipv6-upload.pcap.zst",
    "pcaps/udp-upload.pcap.zst",
    "pcaps/ftp-upload.pcap.zst",
    "pcaps/lossy-upload.pcap.zst",
    "pcaps/port-scan.pcap.zst",
];

/// Exit code, standard output, standard error.
fn run(mode: &str, internal: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.current_dir(root()).arg(mode).args(arguments);
    for variable in
        ["CONFIG", "TIMEZONE", "FILTER", "INTERNAL", "RULES", "BUDGET", "WORKERS", "FORMAT"]
    {
        command.env_remove(format!("SEKISHO_{variable}"));
    }
    if !internal.is_empty() {
        command.args(["--internal", internal]);
    }
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const OURS: &str = "10.20.0.0/16,2001:db8:20::/48";

fn flows(arguments: &[&str]) -> String {
    let (code, out, err) = run("flows", OURS, &[&["--quiet"], arguments].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
    out
}

fn records(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn count(record: &Value, key: &str) -> u64 {
    record[key].as_u64().unwrap_or_else(|| panic!("{key} in {record}"))
}

fn sent(record: &Value, way: &str) -> u64 {
    let acked = record[format!("acked_{way}")].as_u64().unwrap_or(0);
    count(record, &format!("payload_{way}")).max(acked)
}

/// Who sums the records himself must find what the alerts were judged by.
#[track_caller]
fn assert_adds_up(internal: &str, path: &str) {
    let (code, out, err) = run("flows", internal, &["--quiet", path]);
    assert_eq!(code, 0, "{path}: {err}");
    let records = records(&out);
    // What a proxy inside is asked for counts as egress, and a record says between whom it was seen.
    let is_asked = |record: &Value| record["name_source"] == "socks" && record["scope"] == "inside";
    let of = |scope: &str| -> (u64, u64) {
        let scope_of = |record: &Value| match is_asked(record) {
            true => "border".to_owned(),
            false => record["scope"].as_str().unwrap().to_owned(),
        };
        let within = records.iter().filter(|record| scope_of(record) == scope);
        within.fold((0, 0), |(out, back), record| {
            (out + sent(record, "out"), back + sent(record, "in"))
        })
    };
    let both = |(out, back): (u64, u64)| out + back;
    let replayed = run("replay", internal, &["--format", "json", path]).1;
    let summary: Value = serde_json::from_str(replayed.lines().last().unwrap()).unwrap();
    assert_eq!(
        (of("border"), both(of("inside")), both(of("outside")), records.len() as u64),
        (
            (count(&summary, "bytes_out"), count(&summary, "bytes_in")),
            count(&summary, "bytes_inside"),
            count(&summary, "bytes_outside"),
            count(&summary, "flows")
        ),
        "{path}"
    );
}

#[test]
fn records_add_up_to_what_replay_says() {
    for path in SHIPPED {
        assert_adds_up(OURS, path);
    }
}

/// Tunnels that cross the border between ends that do not, and the other way round.
#[test]
fn what_comes_out_of_tunnels_adds_up_too() {
    let Some(corpus) = corpus() else { return };
    let mut tunnelled = 0;
    for capture in crate::corpus::captures(&corpus) {
        let path = corpus.join(&capture.path);
        if !capture.path.starts_with("encap/") || fs::metadata(&path).unwrap().len() > SMALL {
            continue;
        }
        let path = path.to_str().unwrap();
        assert_adds_up("", path);
        let records = records(&run("flows", "", &[path]).1);
        tunnelled += records.iter().filter(|record| !record["tunnel"].is_null()).count();
    }
    assert!(tunnelled > 10, "only {tunnelled} flows out of tunnels");
}

/// Bytes of a capture that a test may take its time for.
const SMALL: u64 = 1_000_000;

#[test]
fn the_contractors_upload_is_one_record() {
    let records = records(&flows(&[CONTRACTOR]));
    let upload = records.iter().max_by_key(|record| count(record, "payload_out")).unwrap();
    assert_eq!(count(upload, "payload_out"), 597_055_762);
    assert_eq!(count(upload, "acked_out"), 597_055_762);
    assert_eq!(count(upload, "lost_out"), 0);
    let words = ["host", "peer", "initiator", "proto", "scope"].map(|key| &upload[key]);
    assert_eq!(words, ["10.20.1.51", "198.18.7.44", "host", "tcp", "border"]);
    let names = ["service", "name", "name_source", "owner"].map(|key| &upload[key]);
    assert_eq!(names, ["tls", "drop.paste-up.example", "tls-sni", "paste-up.example"]);
    assert_eq!(upload["name_mismatch"], false);
    // The hello is longer than what the capture kept of a packet.
    for unknown in ["client", "vlan", "tunnel"] {
        assert!(upload.as_object().unwrap()[unknown].is_null(), "{unknown}");
    }
}

/// Byte for byte, in every format.
#[test]
fn records_are_the_same_for_any_number_of_workers() {
    for format in ["json", "csv", "zeek"] {
        let told = |workers| flows(&["--format", format, "--workers", workers, OFFICE]);
        let one = told("1");
        assert!(one.lines().count() > 1000);
        for workers in ["2", "4"] {
            assert!(told(workers) == one, "{format}, {workers} workers");
        }
    }
}

#[test]
fn every_record_is_valid_against_its_schema() {
    let schema: Value = serde_json::from_str(&run("schema", "", &["flow"]).1).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut ends = BTreeSet::new();
    for path in SHIPPED {
        for record in records(&flows(&[path])) {
            let mistakes: Vec<String> =
                validator.iter_errors(&record).map(|error| error.to_string()).collect();
            assert!(mistakes.is_empty(), "{mistakes:?} in {record}");
            let keys: BTreeSet<&String> = record.as_object().unwrap().keys().collect();
            let known: BTreeSet<&String> =
                schema["properties"].as_object().unwrap().keys().collect();
            assert_eq!(keys, known, "what is not known is null, not left out");
            ends.insert(record["end"].as_str().unwrap().to_owned());
        }
    }
    let mut broken = records(&flows(&[CONTRACTOR])).swap_remove(0);
    broken["end"] = "tired".into();
    assert!(!validator.is_valid(&broken), "a schema that allows anything would prove nothing");
    assert!(ends.len() >= 4, "{ends:?}");
}

/// One flow, three ways to write it.
#[test]
fn csv_says_what_json_says() {
    for path in [OFFICE, "pcaps/udp-upload.pcap.zst"] {
        let json = records(&flows(&[path]));
        let csv = flows(&["--format", "csv", path]);
        let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let rows: Vec<_> = lines.collect();
        assert_eq!(rows.len(), json.len());
        for (row, record) in rows.iter().zip(&json) {
            assert_eq!(row.len(), header.len(), "{row:?}");
            for (column, cell) in header.iter().zip(row) {
                let expected = match column.strip_prefix("tunnel_") {
                    Some(part) => &record["tunnel"][part],
                    None => &record[*column],
                };
                let expected = match expected {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(*cell, expected, "{column}");
            }
            let flat = record.as_object().unwrap().keys().filter(|key| *key != "tunnel").count();
            assert_eq!(header.len(), flat + 4, "a field is in one of them only");
        }
    }
}

/// Read as a program that knows Zeek's format reads it: separators and columns from the header.
#[test]
fn zeeks_columns_say_what_json_says() {
    let json = records(&flows(&[OFFICE]));
    let log = flows(&["--format", "zeek", OFFICE]);
    let mut header = BTreeMap::new();
    let mut rows = Vec::new();
    for line in log.lines() {
        match line.strip_prefix('#') {
            Some(directive) => {
                let (name, value) = directive.split_once([' ', '\t']).unwrap();
                header.insert(name, value);
            }
            None => rows.push(line.split('\t').collect::<Vec<_>>()),
        }
    }
    assert!(log.starts_with("#separator \\x09\n"));
    assert_eq!((header["set_separator"], header["unset_field"]), (",", "-"));
    assert_eq!((header["empty_field"], header["path"]), ("(empty)", "conn"));
    let fields: Vec<&str> = header["fields"].split('\t').collect();
    assert_eq!(header["types"].split('\t').count(), fields.len());
    assert_eq!(rows.len(), json.len());
    let mut uids = BTreeSet::new();
    for (row, record) in rows.iter().zip(&json) {
        assert_eq!(row.len(), fields.len());
        let cell: BTreeMap<&str, &str> = fields.iter().copied().zip(row.iter().copied()).collect();
        let (orig, resp, out, back) = match record["initiator"].as_str().unwrap() {
            "host" => ("host", "peer", "out", "in"),
            _ => ("peer", "host", "in", "out"),
        };
        assert_eq!(cell["id.orig_h"], record[orig].as_str().unwrap());
        assert_eq!(cell["id.resp_h"], record[resp].as_str().unwrap());
        assert_eq!(cell["id.resp_p"], record[format!("{resp}_port")].to_string());
        for (column, number) in [
            ("orig_bytes", sent(record, out)),
            ("resp_bytes", sent(record, back)),
            ("orig_pkts", count(record, &format!("packets_{out}"))),
            ("resp_pkts", count(record, &format!("packets_{back}"))),
            ("orig_ip_bytes", count(record, &format!("wire_{out}"))),
            ("resp_ip_bytes", count(record, &format!("wire_{back}"))),
        ] {
            assert_eq!(cell[column], number.to_string(), "{column} of {record}");
        }
        assert_eq!(cell["local_orig"] == "T", cell["id.orig_h"].starts_with("10.20."));
        assert_eq!(cell["community_id"], record["community_id"].as_str().unwrap());
        assert!(cell["ts"].parse::<f64>().unwrap() > 1.7e9);
        uids.insert(cell["uid"].to_owned());
    }
    assert_eq!(uids.len(), rows.len(), "two flows with one uid");
}

/// Packets and IP bytes of every direction between two endpoints.
type Sums = BTreeMap<(String, String), (u64, u64)>;

fn summed(capture: &str) -> Sums {
    let mut sums = Sums::new();
    for record in records(&flows(&[capture])) {
        let end = |end: &str| {
            let addr = record[end].as_str().unwrap();
            format!(
                "{} {addr} {}",
                record["proto"].as_str().unwrap(),
                record[format!("{end}_port")]
            )
        };
        for (from, to, way) in [("host", "peer", "out"), ("peer", "host", "in")] {
            let sum = sums.entry((end(from), end(to))).or_default();
            sum.0 += count(&record, &format!("packets_{way}"));
            sum.1 += count(&record, &format!("wire_{way}"));
        }
    }
    sums.retain(|(from, _), sum| sum.0 > 0 && !from.contains("icmp"));
    sums
}

fn summed_by_tshark(tshark: &Path, capture: &str) -> Sums {
    let packed = fs::File::open(root().join(capture)).unwrap();
    let mut plain = tempfile::NamedTempFile::new().unwrap();
    plain.write_all(&zstd::decode_all(packed).unwrap()).unwrap();
    let fields = "ip.src ip.dst ip.len ipv6.src ipv6.dst ipv6.plen tcp.srcport tcp.dstport udp.srcport udp.dstport";
    let output = Command::new(tshark)
        .args(["-n", "-T", "fields", "-Y", "(tcp || udp) && !icmp && !icmpv6"])
        // IP lengths of fragments, and each by itself.
        .args(["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"])
        .args(fields.split(' ').flat_map(|field| ["-e", field]))
        .arg("-r")
        .arg(plain.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut sums = Sums::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [source4, to4, len4, source6, to6, len6, tcp_from, tcp_to, udp_from, udp_to] =
            cells[..]
        else {
            panic!("{line}")
        };
        let (source, to, len) = match len4 {
            "" => (source6, to6, len6.parse::<u64>().unwrap() + 40),
            _ => (source4, to4, len4.parse().unwrap()),
        };
        let (proto, from_port, to_port) = match tcp_from {
            "" => ("udp", udp_from, udp_to),
            _ => ("tcp", tcp_from, tcp_to),
        };
        let ends = (format!("{proto} {source} {from_port}"), format!("{proto} {to} {to_port}"));
        let sum = sums.entry(ends).or_default();
        sum.0 += 1;
        sum.1 += len;
    }
    sums
}

/// Two programs that share no code, the same packets and the same bytes in every direction.
#[test]
fn packets_and_wire_bytes_are_those_of_tshark() {
    let Some(tshark) = tool("tshark") else { return };
    for capture in [OFFICE, "pcaps/lossy-upload.pcap.zst", "pcaps/ipv6-upload.pcap.zst"] {
        let (ours, theirs) = (summed(capture), summed_by_tshark(&tshark, capture));
        assert!(!theirs.is_empty(), "{capture}");
        for (ends, sum) in &theirs {
            assert_eq!(ours.get(ends), Some(sum), "{capture}: {ends:?}");
        }
        assert_eq!(ours.len(), theirs.len(), "{capture}");
    }
}

#[test]
fn the_run_ends_with_a_line_unless_quiet() {
    let path = "pcaps/port-scan.pcap.zst";
    let (code, out, err) = run("flows", OURS, &[path]);
    assert_eq!(code, 0);
    let flows = format!(" packets, {} flows, 0 rejected, 0 warnings\n", out.lines().count());
    assert!(err.starts_with("sekisho: ") && err.ends_with(&flows), "{err}");
    assert_eq!(err.lines().count(), 1);
    let (_, quiet_out, quiet_err) = run("flows", OURS, &["-q", path]);
    assert_eq!((quiet_out, quiet_err.as_str()), (out, ""));
}

/// Without an inside end, host and peer mean little: that must not be found out from the records.
#[test]
fn a_capture_without_an_inside_host_says_so() {
    let (code, out, err) = run("flows", "192.0.2.0/24", &[CONTRACTOR]);
    assert_eq!(code, 0);
    assert!(records(&out).iter().all(|record| record["scope"] == "outside"));
    assert!(err.contains("--internal CIDR") && err.contains(" 1 warnings\n"), "{err}");
}

/// The ledger is bounded by the flow tables only if each flow that it holds is closed by a last delta.
#[test]
fn every_flow_is_closed() {
    for workers in [1, 3] {
        let settings = Settings::of(&Keys::default()).unwrap();
        let mut ledger = Ledger::new(settings.analyst.egress.internal, 1 << 20);
        let run = Run { workers, ..settings.run };
        let mut source = FileSource::open(&[root().join(OFFICE)], Options::default()).unwrap();
        let (mut closed, mut open_max) = (0, 0);
        let counted = count_flows(&mut source, &run, |_, reports| {
            for report in reports.in_order() {
                match report {
                    Reported::Event(event) => ledger.hear(event),
                    Reported::Claim(_) => {}
                    Reported::Delta(delta) => closed += u64::from(ledger.fold(delta).is_some()),
                }
                open_max = open_max.max(ledger.len());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((ledger.len(), closed), (0, counted.flows.started));
        assert!(open_max > 0);
    }
}

/// What flows report while they run adds up to what they report at their end.
#[test]
fn records_are_the_same_whenever_flows_report() {
    let mut saved = 0;
    for path in SHIPPED {
        let records = |reporting| {
            let settings = Settings::of(&Keys::default()).unwrap();
            let mut run = settings.run;
            run.flow.reporting = reporting;
            let mut ledger = Ledger::new(settings.analyst.egress.internal, 1 << 20);
            let mut source = FileSource::open(&[root().join(path)], Options::default()).unwrap();
            let (mut records, mut deltas_all) = (Vec::new(), 0);
            count_flows(&mut source, &run, |_, reports| {
                deltas_all += reports.deltas.len();
                for report in reports.in_order() {
                    match report {
                        Reported::Event(event) => ledger.hear(event),
                        Reported::Claim(_) => {}
                        Reported::Delta(delta) => records.extend(ledger.fold(delta)),
                    }
                }
                ControlFlow::Continue(())
            })
            .unwrap();
            (records, deltas_all)
        };
        let (in_flight, deltas) = records(Reporting::InFlight);
        let (at_end, fewer_deltas) = records(Reporting::AtEnd);
        assert_eq!(in_flight, at_end, "{path}");
        assert!(fewer_deltas <= deltas, "{path}: {fewer_deltas} of {deltas}");
        saved += deltas - fewer_deltas;
    }
    assert!(saved > 0);
}

/// `sekisho flows month.pcap | head` must not read the month.
#[test]
fn who_has_enough_ends_the_reading() {
    for workers in [1, 3] {
        let run = Run { workers, ..Settings::of(&Keys::default()).unwrap().run };
        let mut source = FileSource::open(&[root().join(CONTRACTOR)], Options::default()).unwrap();
        let mut calls = 0;
        count_flows(&mut source, &run, |_, _| {
            calls += 1;
            ControlFlow::Break(())
        })
        .unwrap();
        assert!((2..10).contains(&calls), "{calls} batches");
        assert!(source.counters().frames < 469_171 / 2, "{workers} workers");
    }
}

/// What only a verdict needs is refused, not ignored.
#[test]
fn options_of_verdicts_are_not_offered() {
    for arguments in [
        &["--budget", "2", CONTRACTOR][..],
        &["--fail-on-alert", CONTRACTOR],
        &["--format", "text", CONTRACTOR],
        &[],
    ] {
        let (code, out, err) = run("flows", OURS, arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
    }
    let (code, _, err) = run("flows", OURS, &["no-such-file.pcap"]);
    assert_eq!(code, 2);
    assert!(err.contains("no-such-file.pcap"), "{err}");
}

/// A configuration for alerts serves here too, whatever format it asks alerts in.
#[test]
fn a_configuration_for_replay_does_not_stand_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sekisho.toml");
    fs::write(&config, "format = \"text\"\nbudget = 3.0\n").unwrap();
    let path = "pcaps/port-scan.pcap.zst";
    let to = folder.path().join("flows.csv");
    let (config, to) = (config.to_str().unwrap(), to.to_str().unwrap());
    let out = flows(&["--config", config, "--format", "csv", "-o", to, path]);
    assert_eq!(out, "");
    assert_eq!(fs::read_to_string(to).unwrap(), flows(&["--format", "csv", path]));
    let filtered = flows(&["--filter", "host 192.0.2.1", "--format", "csv", path]);
    assert_eq!(filtered.lines().count(), 1, "a header even above nothing");
}
