//! The real binary, as a user types it.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::support::root;

/// The binary, in the repository, deaf to the environment of whoever runs the tests.
pub(crate) fn sekisho() -> Command {
    let mut command = Command::cargo_bin("sekisho").unwrap();
    command.current_dir(root());
    for variable in [
        "CONFIG", "TIMEZONE", "FILTER", "INTERNAL", "RULES", "BUDGET", "WORKERS", "FORMAT", "STATE",
    ] {
        command.env_remove(format!("SEKISHO_{variable}"));
    }
    command
}

fn replay(arguments: &[&str]) -> (i32, String, String) {
    let output = sekisho()
        .arg("replay")
        .args(["--internal", "10.20.0.0/16,2001:db8:20::/48", "--timezone", "Asia/Tokyo"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `make run` shows: the upload with its why, and nothing else above the threshold.
#[test]
fn the_contractors_upload_is_the_one_incident() {
    let (code, out, err) = replay(&[
        "--until",
        "2026-03-16T12:00",
        "pcaps/office-2026-03-12.pcap.zst",
        "pcaps/office-2026-03-13.pcap.zst",
        "pcaps/office-2026-03-16.pcap.zst",
        "pcaps/contractor-upload.pcap.zst",
    ]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("\n1 incident:\n"), "{out}");
    let sent =
        "10.20.1.51 has sent 597 MB to drop.paste-up.example at 198.18.7.44 (never seen here)";
    assert!(out.contains(sent), "{out}");
    assert!(out.contains("tcp 443 tls · "), "{out}");
    assert!(out.contains("nothing on 2 days before"), "{out}");
}

/// A rules engine on the other side reads these lines: every one must be what the schema says.
#[test]
fn every_line_is_valid_against_its_schema() {
    let (_, out, _) = replay(&[
        "--format",
        "json",
        "pcaps/office-2026-03-13.pcap.zst",
        "pcaps/contractor-upload.pcap.zst",
    ]);
    let mut kinds = Vec::new();
    for line in lines(&out) {
        let kind = line["schema"].as_str().unwrap().strip_prefix("sekisho.").unwrap().to_owned();
        let kind = kind.strip_suffix("/1").unwrap().to_owned();
        let schema = sekisho().args(["schema", &kind]).output().unwrap().stdout;
        let schema: Value = serde_json::from_slice(&schema).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let mistakes: Vec<String> =
            validator.iter_errors(&line).map(|error| error.to_string()).collect();
        assert!(mistakes.is_empty(), "{mistakes:?} in {line}");
        // A schema that allows anything would prove nothing.
        let mut broken = line.clone();
        broken.as_object_mut().unwrap().remove("schema");
        assert!(!validator.is_valid(&broken), "{kind}");
        kinds.push(kind);
        kinds.dedup();
    }
    assert_eq!(kinds.last().map(String::as_str), Some("summary"));
    for kind in ["alert", "ranking"] {
        assert!(kinds.iter().any(|seen| seen == kind), "{kind} in {kinds:?}");
    }
}

#[test]
fn terms_add_up_to_the_score() {
    let (_, out, _) = replay(&["--format", "json", "pcaps/contractor-upload.pcap.zst"]);
    let alerts: Vec<Value> =
        lines(&out).into_iter().filter(|line| line["schema"] == "sekisho.alert/1").collect();
    assert!(!alerts.is_empty());
    for alert in alerts {
        let cents = |value: &Value| (value.as_f64().unwrap() * 100.0).round() as i64;
        let terms: i64 =
            alert["why"].as_array().unwrap().iter().map(|why| cents(&why["bits"])).sum();
        assert_eq!(terms, cents(&alert["score_bits"]));
        assert!(alert["bytes_out"].as_u64() >= alert["left_when_raised"].as_u64());
    }
}

#[test]
fn exit_codes_say_what_happened() {
    let theft = "pcaps/contractor-upload.pcap.zst";
    assert_eq!(replay(&[theft]).0, 0);
    assert_eq!(replay(&["--fail-on-alert", theft]).0, 1);
    assert_eq!(replay(&["--fail-on-alert", "pcaps/port-scan.pcap.zst"]).0, 0);
    assert_eq!(replay(&["no-such-file.pcap"]).0, 2);
}

/// Each message names the thing, the place and the remedy.
#[test]
fn mistakes_are_answered_in_one_line() {
    let theft = "pcaps/contractor-upload.pcap.zst";
    for (arguments, part) in [
        (vec!["no-such-file.pcap"], "no-such-file.pcap"),
        (vec!["Cargo.toml"], "Cargo.toml"),
        (vec!["--filter", "tcp prot 443", theft], "tcp prot 443"),
        (vec!["--since", "yesterday", theft], "2026-03-16T09:30"),
        (vec!["--budget", "0", theft], "budget: must be above 0"),
        (vec!["--workers", "0", theft], "workers: must be auto or 1 to 32"),
        (vec!["--rules", "no-such-folder", theft], "no-such-folder"),
        (vec!["--config", "no-such.toml", theft], "no-such.toml: cannot be read"),
    ] {
        let (code, out, err) = replay(&arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(part), "{arguments:?}: {err}");
    }
}

#[test]
fn standard_input_is_a_capture_too() {
    let path = root().join("pcaps/port-scan.pcap.zst");
    let from_file = replay(&["--format", "json", path.to_str().unwrap()]).1;
    let output = sekisho()
        .args(["replay", "-", "--format", "json", "--timezone", "Asia/Tokyo"])
        .args(["--internal", "10.20.0.0/16,2001:db8:20::/48"])
        .write_stdin(fs::read(path).unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), from_file);
}

/// `--filter` and the time bounds leave frames out and say how many.
#[test]
fn filters_count_what_they_leave_out() {
    let summary = |arguments: &[&str]| lines(&replay(arguments).1).pop().unwrap();
    let theft = "pcaps/contractor-upload.pcap.zst";
    let all = summary(&["--format", "json", theft]);
    for narrow in [
        ["--filter", "tcp port 443"],
        ["--since", "2026-03-16T11:00:30"],
        ["--until", "2026-03-16T11:00:30"],
    ] {
        let some = summary(&["--format", "json", narrow[0], narrow[1], theft]);
        let count = |key: &str| some[key].as_u64().unwrap();
        assert!(count("packets_filtered") > 0, "{narrow:?}");
        assert_eq!(count("packets") + count("packets_filtered"), all["packets"].as_u64().unwrap());
    }
}

/// Public addresses on both sides: silence would look like a clean network.
#[test]
fn a_capture_without_an_inside_host_says_so() {
    let output = sekisho()
        .args(["replay", "pcaps/contractor-upload.pcap.zst", "--internal", "192.0.2.0/24"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("No inside host found"), "{text}");
    assert!(text.contains("--internal CIDR"), "{text}");
}

#[test]
fn rules_are_checked_with_their_place() {
    let good = sekisho().args(["rules", "check", "rules"]).output().unwrap();
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("networks.yaml"), "internal:\n  - 10.0.0.0/33\nrols: {}\n")
        .unwrap();
    let bad = sekisho().args(["rules", "check"]).arg(folder.path()).output().unwrap();
    assert_eq!(bad.status.code(), Some(2));
    let text = String::from_utf8(bad.stderr).unwrap();
    for part in ["networks.yaml", "10.0.0.0/33", "rols", "roles"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// The file is the place for what stays; a flag has the last word.
#[test]
fn a_flag_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sekisho.toml");
    fs::write(&config, "budget = 3.0\ntimezone = \"Europe/Berlin\"\n").unwrap();
    let printed = |more: &[&str]| {
        let output = sekisho()
            .args(["replay", "-", "--print-config", "--config", config.to_str().unwrap()])
            .args(more)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(printed(&[]).contains("budget = 3.0"));
    assert!(printed(&["--budget", "5"]).contains("budget = 5.0"));
    fs::write(&config, "budgte = 3.0\n").unwrap();
    let wrong =
        sekisho().args(["replay", "-", "--config", config.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8(wrong.stderr).unwrap();
    assert!(text.contains("budgte") && text.contains("line 1"), "{text}");
}

/// Byte for byte, summary and all.
#[test]
fn output_is_the_same_for_any_number_of_workers() {
    let files = ["pcaps/office-2026-03-13.pcap.zst", "pcaps/udp-upload.pcap.zst"];
    for format in ["text", "json"] {
        let outputs: Vec<String> = ["1", "2", "4"]
            .iter()
            .map(|workers| {
                replay(&[&["--workers", workers, "--format", format], &files[..]].concat()).1
            })
            .collect();
        assert!(outputs[0].len() > 1000);
        assert_eq!(outputs[0], outputs[1]);
        assert_eq!(outputs[0], outputs[2]);
    }
}

#[test]
fn output_may_go_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let (code, out, _) = replay(&[
        "--format",
        "json",
        "-o",
        path.to_str().unwrap(),
        "pcaps/contractor-upload.pcap.zst",
    ]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(lines(&fs::read_to_string(Path::new(&path)).unwrap()).len() > 2);
}
