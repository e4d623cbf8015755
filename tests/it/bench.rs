//! `sekisho bench` and `sekisho synth`: what they count must be true; what they time is not asserted.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cli::sekisho;

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = sekisho().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn good(arguments: &[&str]) -> String {
    let (code, out, err) = run(arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
    out
}

fn bench(arguments: &[&str]) -> Value {
    let all = [&["bench", "--format", "json", "--loops", "1"], arguments].concat();
    serde_json::from_str(&good(&all)).unwrap()
}

fn summary(arguments: &[&str]) -> Value {
    let out = good(&[&["replay", "--format", "json"], arguments].concat());
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

fn assert_valid(of: &str, document: &Value) {
    let schema: Value = serde_json::from_str(&good(&["schema", of])).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mistakes: Vec<String> =
        validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    // A schema that allows anything would prove nothing.
    let mut broken = document.clone();
    broken.as_object_mut().unwrap().remove("schema");
    assert!(!validator.is_valid(&broken), "{of}");
}

/// A bench that measures something else than what runs would praise the wrong program.
#[test]
fn a_report_counts_what_replay_counts() {
    let theft = "pcaps/contractor-upload.pcap.zst";
    let inside = "10.20.0.0/16,2001:db8:20::/48";
    let expected = summary(&[theft, "--internal", inside]);
    let rejected: u64 = expected["rejected"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    for workers in ["1", "2"] {
        let report = bench(&[theft, "--internal", inside, "--workers", workers]);
        assert_valid("bench", &report);
        assert_eq!(report["input"]["packets"], expected["packets"]);
        assert_eq!(report["input"]["bytes_wire"], expected["bytes_wire"]);
        let runs = report["runs"].as_array().unwrap();
        let places: Vec<&str> = runs.iter().map(|run| run["from"].as_str().unwrap()).collect();
        assert_eq!(places, ["disk", "memory"]);
        for run in runs {
            let stages = run["stages"].as_array().unwrap();
            let names: Vec<&str> =
                stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
            assert_eq!(names, ["read", "decode", "flow", "names", "egress", "detect"]);
            assert!(stages.iter().all(|stage| stage["packets"] == expected["packets"]));
            assert_eq!(run["flows"], expected["flows"]);
            assert_eq!(run["hosts"], expected["hosts"]);
            assert_eq!(run["rejected"], rejected);
        }
        assert!(report["analyst"]["deltas"].as_u64() > Some(0));
    }
}

/// Libpcap's loop is the measure of ours where it can read the file, and left out where it cannot.
#[test]
fn references_are_those_that_can_read_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("mix.pcap");
    let plain = plain.to_str().unwrap();
    good(&["synth", "mix", "--packets", "2000", "-o", plain]);
    let report = bench(&[plain, "--stages", "decode,read", "--from", "disk"]);
    assert!(report["reference"]["libpcap"].is_object());
    let stages = report["runs"][0]["stages"].as_array().unwrap();
    assert_eq!(stages[0]["stage"], "read");
    assert_eq!(stages[1]["stage"], "decode");
    assert!(stages[1]["by_libpcap"].is_object());
    assert!(report["runs"][0]["flows"].is_null());
    assert!(report["analyst"].is_null());
    let report = bench(&["pcaps/port-scan.pcap.zst", "--stages", "read", "--from", "disk"]);
    assert!(report["reference"]["libpcap"].is_null());
}

/// Paced, only the last stage runs, and every batch is measured against the time it was due.
#[test]
fn a_paced_run_says_how_late_it_was() {
    let report = bench(&["pcaps/port-scan.pcap.zst", "--speed", "100000"]);
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0]["from"], "disk");
    assert_eq!(runs[0]["stages"].as_array().unwrap().len(), 1);
    assert_eq!(runs[0]["stages"][0]["stage"], "detect");
    assert!(runs[0]["latency"]["late_ns"]["max"].as_u64() > Some(0));
    assert!(runs[0]["latency"]["batches"].as_u64() > Some(0));
}

#[test]
fn a_folder_and_people_are_served_too() {
    let folder = tempfile::tempdir().unwrap();
    for (name, seed) in [("a.pcap", "1"), ("b.pcap", "2")] {
        let path = folder.path().join(name);
        good(&["synth", "flows", "--packets", "500", "--seed", seed, "-o", path.to_str().unwrap()]);
    }
    let path = folder.path().to_str().unwrap();
    assert_eq!(bench(&[path, "--stages", "flow"])["runs"][0]["flows"], 1000);
    let text = good(&["bench", "--loops", "1", path]);
    for part in ["1,000 packets", "from disk", "from memory", "detect", "deltas/s", "bare read"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// Figures of two machines can only be compared when both measured the same bytes.
#[test]
fn a_seed_means_the_same_bytes_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("synth.pcap");
    let digest = |kind: &str, seed: &str| {
        good(&["synth", kind, "--packets", "4000", "--seed", seed, "-o", path.to_str().unwrap()]);
        let digest = Sha256::digest(fs::read(&path).unwrap());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let digests: Vec<String> =
        ["min", "mix", "bulk", "flows"].iter().map(|kind| digest(kind, "7")).collect();
    assert_eq!(digests, PINNED);
    assert_ne!(digest("mix", "8"), PINNED[1]);
}

/// Traffic that the pipeline refuses, or takes for something else, would measure other paths.
#[test]
fn synthetic_traffic_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("synth.pcap");
    for (kind, packets, flows, hosts) in [
        ("min", 20_000, 300, 7),
        ("mix", 20_000, 500, 40),
        ("mix", 500, 500, 40),
        ("bulk", 20_000, 9, 3),
        ("flows", 20_000, 20_000, 90),
    ] {
        let [packets_text, flows_text, hosts_text] =
            [packets, flows, hosts].map(|number| number.to_string());
        let file = path.to_str().unwrap();
        let size = ["--packets", &packets_text, "--flows", &flows_text, "--hosts", &hosts_text];
        good(&[&["synth", kind, "-o", file], &size[..]].concat());
        let summary = summary(&[file]);
        let rejected = summary["rejected"].as_object().unwrap();
        assert!(rejected.keys().all(|reason| reason == "arp"), "{kind}: {rejected:?}");
        assert_eq!(summary["packets"], packets, "{kind}");
        assert_eq!(summary["flows"], flows, "{kind}");
        assert_eq!(summary["duplicates"], 0, "{kind}");
        assert_eq!(summary["tcp_rejected"], 0, "{kind}");
        assert_eq!(summary["health"]["lost"], 0.0, "{kind}");
        // In a mix each host has two addresses.
        let addresses = if kind == "mix" { 2 * hosts } else { hosts };
        assert!(summary["hosts"].as_u64() <= Some(addresses), "{kind}");
        assert_eq!(summary["warnings"], json!([]), "{kind}");
    }
}

/// Whatever tables need is asked for when flows, hosts and names are new: four times the packets of the same
/// flows ask for no more. Some tens are the threads' and the clock's.
#[test]
fn a_packet_of_a_known_flow_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let allocations = |kind: &str, packets: u32, stage: &str| {
        let path = folder.path().join(format!("{kind}-{packets}.pcap"));
        let file = path.to_str().unwrap();
        let size = ["--packets", &packets.to_string(), "--flows", "100", "--hosts", "20"];
        good(&[&["synth", kind, "--rate", "20000", "-o", file], &size[..]].concat());
        let report = bench(&["--from", "disk", "--stages", stage, file]);
        let a_packet = &report["runs"][0]["stages"][0]["allocations_per_packet"];
        (a_packet.as_f64().unwrap() * f64::from(packets)).round() as i64
    };
    for kind in ["min", "bulk"] {
        for stage in ["flow", "names", "egress", "detect"] {
            let [few, many] = [50_000, 200_000].map(|packets| allocations(kind, packets, stage));
            assert!(few > 0 && many - few < 64, "{kind}, {stage}: {few} grew to {many}");
        }
    }
}

/// A file in which one stage takes half as long again, three loops long, on an unchanged machine.
#[test]
fn a_slower_stage_is_told_from_noise() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut report = bench(&["pcaps/port-scan.pcap.zst", "--from", "disk"]);
    let measured = |by: f64| {
        let samples = [99.0, 100.0, 101.0, 100.0, 100.0].map(|sample| sample * by);
        json!({ "median": 100.0 * by, "least": samples[0], "most": samples[2], "samples": samples })
    };
    report["loops"] = json!(5);
    report["reference"]["bare_read"]["cpu_ns"] = measured(1.0);
    for stage in report["runs"][0]["stages"].as_array_mut().unwrap() {
        stage["own"]["cpu_ns"] = measured(1.0);
        stage["total"]["cpu_ns"] = measured(5.0);
    }
    let verdicts = |old: &Value, new: &Value| {
        fs::write(path("old.json"), old.to_string()).unwrap();
        fs::write(path("new.json"), new.to_string()).unwrap();
        let (old, new) = (path("old.json"), path("new.json"));
        let text = good(&["bench", "--compare", &old, &new]);
        let json = good(&["bench", "--format", "json", "--compare", &old, &new]);
        let comparison: Value = serde_json::from_str(&json).unwrap();
        assert_valid("comparison", &comparison);
        let changes = comparison["changes"].as_array().unwrap();
        let verdict = |change: &Value| change["verdict"].as_str().unwrap().to_owned();
        (text, changes.iter().map(verdict).collect::<Vec<_>>())
    };
    let noise = ["noise"; 7];
    assert_eq!(verdicts(&report, &report).1, noise);

    let mut slower = report.clone();
    slower["runs"][0]["stages"][2]["own"]["cpu_ns"] = measured(1.5);
    slower["runs"][0]["stages"][5]["total"]["cpu_ns"] = measured(6.5);
    let (text, found) = verdicts(&report, &slower);
    assert_eq!(found, ["noise", "noise", "slower", "noise", "noise", "noise", "slower"]);
    assert!(text.contains("1.500") && text.contains("SLOWER"), "{text}");
    assert_eq!(verdicts(&slower, &report).1[2], "faster");

    // Everything takes half as long again, a bare read of the file too: that was not us.
    let mut busy = slower.clone();
    busy["reference"]["bare_read"]["cpu_ns"] = measured(1.5);
    assert_eq!(verdicts(&report, &busy).1[2], "machine");
}

#[test]
fn growth_is_told_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("growth.svg");
    let arguments = ["bench", "--scaling", "history", "--scaling-max", "1", "--format", "json"];
    let out = good(&[&arguments[..], &["--plot", plot.to_str().unwrap()]].concat());
    let scaling: Value = serde_json::from_str(&out).unwrap();
    assert_valid("scaling", &scaling);
    let sizes = |series: &Value| {
        series["points"].as_array().unwrap().iter().map(|point| point["x"].clone()).collect()
    };
    let series: Vec<Value> = sizes(&scaling["series"][0]);
    assert_eq!(series, [0, 1]);
    let svg = fs::read_to_string(&plot).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("Cost against hours of history"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

/// Each message names the thing, the place and the remedy.
#[test]
fn mistakes_are_answered_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let empty = path("empty.pcap", &[]);
    let header =
        [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    let no_packet = path("no-packet.pcap", &header);
    let notes = path("notes.json", b"{}");
    let theft = "pcaps/port-scan.pcap.zst";
    let output = folder.path().join("out.pcap");
    let output = output.to_str().unwrap();
    for (arguments, part) in [
        (vec!["bench"], "FILE"),
        (vec!["bench", "no-such-file.pcap"], "no-such-file.pcap: cannot be read"),
        (vec!["bench", "-"], "standard input cannot be read again and again; give a file"),
        (vec!["bench", &empty], "nothing to measure"),
        (vec!["bench", &no_packet], "nothing to measure"),
        (vec!["bench", theft, "--workers", "0"], "workers: must be auto or 1 to 32"),
        (vec!["bench", theft, "--loops", "0"], "--loops"),
        (vec!["bench", theft, "--speed", "-1"], "--speed"),
        (vec!["bench", theft, "--stages", "listen"], "listen"),
        (vec!["bench", theft, "--from", "memory", "--memory-max", "9"], "raise --memory-max"),
        (vec!["bench", "--compare", &notes, &notes], "notes.json: is no report of sekisho bench"),
        (vec!["bench", "--compare", "no.json", &notes], "no.json: cannot be read"),
        (vec!["synth", "mix", "--hosts", "0", "-o", output], "hosts must be 1 to"),
        (
            vec!["synth", "mix", "--packets", "5", "--flows", "6", "-o", output],
            "flows must be 1 to 5",
        ),
        (vec!["synth", "min", "-o", "no-such-folder/out.pcap"], "no-such-folder/out.pcap"),
    ] {
        let (code, out, err) = run(&arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(part), "{arguments:?}: {err}");
    }
    assert!(!Path::new(output).exists());
}

const PINNED: [&str; 4] =
    ["482e541bd04d742c", "23eebb5fef43053d", "5371ff3fa5ba5314", "1a73fbff738a0da2"];
