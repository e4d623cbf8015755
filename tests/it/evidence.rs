//! The packets of an incident, kept: what Wireshark's own tools say of the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sekisho::capture::{FileSource, Options, PcapngWriter, Polled, Ports, Source};
use sekisho::frame::{Batch, FrameHead};
use serde_json::Value;

use crate::cli::sekisho;
use crate::support;

const DAYS: [&str; 2] = ["pcaps/office-2026-03-12.pcap.zst", "pcaps/office-2026-03-13.pcap.zst"];
const THEFT: &str = "pcaps/contractor-upload.pcap.zst";

/// A replay of the theft that keeps evidence in `dir`.
fn replayed(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = sekisho()
        .args(["replay", "--quiet", "--format", "json", "--evidence"])
        .arg(dir)
        .args(arguments)
        .args(DAYS)
        .arg(THEFT)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn alerts(records: &[Value]) -> impl Iterator<Item = &Value> {
    records.iter().filter(|record| record["schema"] == "sekisho.alert/1")
}

fn summary(records: &[Value]) -> &Value {
    records.last().unwrap()
}

/// What lies in a folder, by name.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().into(), fs::read(path).unwrap())).collect()
}

/// One line a packet: its fields, as tshark has them.
fn fields(tshark: &Path, file: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new(tshark);
    command.args(["-n", "-r"]).arg(file).args(["-Y", filter, "-T", "fields"]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The analyst opens the file and must find all of the upload there, what came before the alert too, each packet
/// when it was and as long as it was; and the file must not depend on how many threads counted.
#[test]
fn an_incident_leaves_its_packets() {
    let (Some(tshark), Some(capinfos)) = (support::tool("tshark"), support::tool("capinfos"))
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let one = dir.path().join("one");
    let records = replayed(&one, &["--workers", "1"]);
    let high = alerts(&records).find(|alert| alert["severity"] == "high").unwrap();
    let is_its = |alert: &&Value| alert["incident"] == high["incident"];
    let opened = alerts(&records).find(is_its).unwrap();
    let file = Path::new(opened["evidence"].as_str().unwrap());
    assert_eq!(file.parent().unwrap(), one);
    assert!(alerts(&records).all(|alert| alert["evidence"].is_string()));

    let filter = opened["pivot"]["wireshark"].as_str().unwrap();
    let shown = ["frame.time_epoch", "frame.len", "tcp.seq_raw", "tcp.ack_raw"];
    let plain = dir.path().join("theft.pcap");
    let zstd = fs::File::open(support::root().join(THEFT)).unwrap();
    zstd::stream::copy_decode(zstd, fs::File::create(&plain).unwrap()).unwrap();
    let of_file = |file, filter| {
        let mut lines = fields(&tshark, file, filter, &shown);
        // A file of microseconds has fewer digits.
        lines.iter_mut().for_each(|line| *line = line.replacen("000\t", "\t", 1));
        lines
    };
    let (kept, sent) = (of_file(file, "frame"), of_file(&plain, filter));
    assert!(kept.len() > 1000 && kept == sent, "{} of {} kept", kept.len(), sent.len());

    let about = Command::new(&capinfos).args(["-TMk"]).arg(file).output().unwrap();
    let about = String::from_utf8(about.stdout).unwrap();
    let summary_line = opened["summary"].as_str().unwrap();
    assert!(about.contains(opened["incident"].as_str().unwrap()), "{about}");
    assert!(about.contains(summary_line), "{about}");
    let order = Command::new(&capinfos).args(["-o", "-T"]).arg(file).output().unwrap();
    assert!(String::from_utf8_lossy(&order.stdout).contains("True"), "in order of time");
    let comments = fields(&tshark, file, "frame.comment", &["frame.time_epoch", "frame.comment"]);
    assert!(
        comments.len() <= alerts(&records).filter(is_its).count()
            && comments[0].contains(summary_line)
    );

    for workers in ["2", "8"] {
        let other = dir.path().join(workers);
        replayed(&other, &["--workers", workers]);
        assert!(files(&other) == files(&one), "{workers} workers");
    }
}

/// Headers say who, when and how much. What people wrote is not kept unless somebody asked for it.
#[test]
fn payload_is_kept_only_where_it_is_asked_for() {
    let Some(tshark) = support::tool("tshark") else { return };
    let dir = tempfile::tempdir().unwrap();
    let beyond_headers = |packets: &str| {
        let dir = dir.path().join(packets);
        let records = replayed(&dir, &["--evidence-packets", packets]);
        let file = alerts(&records).next().unwrap()["evidence"].as_str().unwrap();
        let shown = ["frame.cap_len", "ip.hdr_len", "tcp.hdr_len"];
        let all = fields(&tshark, Path::new(file), "tcp", &shown);
        let beyond = |line: &String| {
            let lens: Vec<usize> = line.split('\t').map(|len| len.parse().unwrap()).collect();
            lens[0] - lens[1] - lens[2] != 14
        };
        (all.iter().filter(|line| beyond(line)).count(), all.len())
    };
    let (headers, whole) = (beyond_headers("headers"), beyond_headers("whole"));
    assert_eq!((headers.0, headers.1), (0, whole.1));
    // The captures that ship hold little more than headers themselves.
    assert!(whole.0 > 0, "{whole:?}");
}

/// A theft of a terabyte must not fill the disk: the file says where it ends, the summary how much is missing.
#[test]
fn evidence_has_its_limits() {
    let Some(tshark) = support::tool("tshark") else { return };
    let dir = tempfile::tempdir().unwrap();
    let records = replayed(dir.path(), &["--evidence-incident-max", "200kB"]);
    let file = alerts(&records).next().unwrap()["evidence"].as_str().unwrap();
    let len = fs::metadata(file).unwrap().len();
    assert!((100_000..=200_000).contains(&len), "{len}");
    let comments = fields(&tshark, Path::new(file), "frame.comment", &["frame.comment"]);
    assert!(comments.last().unwrap().contains("The limit"), "{comments:?}");
    let summary = summary(&records);
    assert!(summary["evidence"]["packets_lost"].as_u64().unwrap() > 1000, "{summary}");
    assert!(summary["health"]["evidence_lost"].as_f64().unwrap() > 0.5);

    // All that was there before makes room, and what is not ours stays.
    let old = dir.path().join("20200101T000000Z-0123456789abcdef.pcapng");
    let notes = dir.path().join("notes.txt");
    fs::write(&old, vec![0; 90_000]).unwrap();
    fs::write(&notes, vec![0; 900_000]).unwrap();
    let limits = ["--evidence-max", "200kB", "--evidence-kept-for", "9000d"];
    let records = replayed(dir.path(), &limits);
    let held: usize = files(dir.path()).values().map(Vec::len).sum();
    assert!(held <= 900_000 + 200_000 && notes.exists() && !old.exists(), "{held}");
    assert!(records.last().unwrap()["evidence"]["files_removed"].as_u64().unwrap() > 0);
}

/// A disk that is full is said, in the health of alerts too, and costs nothing but the evidence.
#[test]
fn a_full_disk_is_said_and_the_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().to_str().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "sekisho-test", target])
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        support::skip::<()>("mounting a small file system needs root");
        return;
    }
    let records = std::panic::catch_unwind(|| replayed(dir.path(), &[]));
    let unmounted = Command::new("umount").arg(target).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    let records = records.unwrap();
    let closed = alerts(&records).find(|alert| alert["kind"] == "close").unwrap();
    assert!(closed["health"]["evidence_lost"].as_f64().unwrap() > 0.0, "{closed}");
    let summary = summary(&records);
    assert_eq!(summary["evidence"]["files_incomplete"], 1, "{summary}");
    let said = summary["warnings"].as_array().unwrap();
    assert!(said.iter().any(|one| one.as_str().unwrap().contains("No space left")), "{said:?}");
    let without = dir.path().join("not-mounted");
    let mut expected = replayed(&without, &[]);
    let mut told = records;
    for record in expected.iter_mut().chain(&mut told) {
        for key in ["evidence", "warnings"] {
            record[key] = Value::Null;
        }
        record["health"]["evidence_lost"] = Value::Null;
    }
    assert_eq!(told, expected);
}

/// A mirror that comes in a tunnel, by two legs: the packets wanted are those within, and by which leg each came is kept.
#[test]
fn packets_within_tunnels_are_kept() {
    let Some(tshark) = support::tool("tshark") else { return };
    let dir = tempfile::tempdir().unwrap();
    let tunnelled = dir.path().join("tunnelled.pcapng");
    tunnel(&support::root().join(THEFT), &tunnelled);
    let output = sekisho()
        .args(["replay", "--quiet", "--format", "json", "--evidence"])
        .arg(dir.path().join("evidence"))
        .args(DAYS)
        .arg(&tunnelled)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let records: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let alert = alerts(&records).last().unwrap();
    let wanted = alert["pivot"]["wireshark"].as_str().unwrap();
    let shown = ["frame.time_epoch", "frame.len", "frame.interface_name"];
    let kept = fields(&tshark, Path::new(alert["evidence"].as_str().unwrap()), "gre", &shown);
    assert!(kept.iter().any(|line| line.ends_with("\tleg 1")), "{}", kept[0]);
    assert!(kept.len() > 1000 && kept == fields(&tshark, &tunnelled, wanted, &shown));
}

/// Puts the first packets of an Ethernet capture between two routers inside, in GRE (RFC 2784), by two interfaces in turn.
fn tunnel(from: &Path, to: &Path) {
    let mut source = FileSource::open(&[from.to_owned()], Options::default()).unwrap();
    let out = fs::File::create(to).unwrap();
    let ports = Ports::of(["leg 0".to_owned(), "leg 1".to_owned()]);
    let mut out = PcapngWriter::new(out, 1 << 18, ports, "").unwrap();
    let (mut batch, mut written) = (Batch::default(), 0);
    while written < 30_000 && source.poll(&mut batch).unwrap() == Polled::Frames {
        for &head in &batch.heads {
            let bytes = batch.frame(head).bytes;
            let len = u16::try_from(head.wire_len + 10).unwrap().to_be_bytes();
            let mut outer =
                [&bytes[..14], &[0x45, 0, len[0], len[1], 0, 1, 0, 0, 64, 47, 0, 0]].concat();
            outer.extend([10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 8, 0]);
            outer.extend(&bytes[14..]);
            let port = written % 2;
            let head = FrameHead { wire_len: head.wire_len + 24, port, ..head };
            out.packet(head, &outer, "").unwrap();
            written += 1;
        }
        batch.clear();
    }
    out.flush().unwrap();
}
