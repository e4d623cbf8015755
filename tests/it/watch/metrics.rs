//! What a sensor tells Prometheus: read by a parser that takes nothing the format does not allow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::lab::{Lab, Namespace, OUTSIDE, Watch};
use super::{count, is_paging};

/// A page, as the text format (0.0.4) is: each number by its name with its labels.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    assert!(text.is_empty() || text.ends_with('\n'));
    let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
    let (mut helped, mut family, mut kind) = ("", "", "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            (helped, _) = rest.split_once(' ').unwrap();
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            (family, kind) = rest.split_once(' ').unwrap();
            assert_eq!(helped, family);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
            assert!(families.insert(family), "{family} twice");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} in {family}"));
        let suffixes: &[&str] =
            if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.contains(&suffix), "{line}");
        let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(is_name(name), "{line}");
        if let Some(labels) = series[name.len()..].strip_prefix('{') {
            for label in labels.strip_suffix('}').unwrap().split("\",") {
                let (name, text) = label.split_once("=\"").unwrap();
                let text = text.strip_suffix('"').unwrap_or(text);
                assert!(is_name(name) && !text.contains(['"', '\\']), "{line}");
            }
        }
        let value: f64 = value.parse().unwrap();
        assert!(value >= 0.0, "{line}");
        assert!(samples.insert(series.to_owned(), value).is_none(), "{series} twice");
    }
    samples
}

pub(super) fn read(file: &Path) -> BTreeMap<String, f64> {
    parsed(&fs::read_to_string(file).unwrap())
}

/// What the numbers of all series of a family come to.
fn sum(page: &BTreeMap<String, f64>, family: &str) -> u64 {
    let of_family = |series: &&String| series.split('{').next() == Some(family);
    let series: Vec<&String> = page.keys().filter(of_family).collect();
    assert!(!series.is_empty(), "no {family}");
    series.into_iter().map(|series| page[series]).sum::<f64>() as u64
}

/// Whoever is on call looks at a graph, and not into a log: losses, bad rules and incidents are there while they
/// last, and at the end each number is what the summary says.
#[test]
fn metrics_say_what_the_summary_says() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (metrics, rules) = (path("sekisho.prom"), path("rules"));
    fs::create_dir(&rules).unwrap();
    let defaults = Path::new(&rules).join("defaults.yaml");
    fs::write(&defaults, "budget_per_day: 1\n").unwrap();
    let _server = lab.server();
    let filter = "udp port 9 or tcp port 8080";
    let kept = [path("state"), path("evidence")];
    let mut watch = Watch::start(
        &lab.inside,
        &[
            &["-i", "in0,in1", "--ring-buffer", "1MiB", "--filter", filter, "--workers", "2"][..],
            &["--metrics", &metrics, "--rules", &rules, "--learn"],
            &["--state", &kept[0], "--evidence", &kept[1]],
        ]
        .concat(),
    );
    watch.hears("in0: capturing");
    watch.process.signal("-STOP");
    lab.inside.python(&format!(
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         for _ in range(5000): s.sendto(bytes(1400), ('{OUTSIDE}', 9))"
    ));
    fs::write(&defaults, "budget_per_day: many\n").unwrap();
    watch.process.signal("-HUP");
    watch.process.signal("-CONT");
    let metrics = Path::new(&metrics);
    let lost = r#"sekisho_dropped_packets_total{interface="in0",where="ring"}"#;
    let good = "sekisho_last_rules_reload_successful";
    watch.sees(|| {
        let page = read(metrics);
        page.get(lost).is_some_and(|&lost| lost > 0.0) && page[good] == 0.0
    });
    let _upload = lab.upload(Path::new("/dev/zero"), 40);
    watch.tells(is_paging);
    watch.sees(|| read(metrics)["sekisho_incidents_open"] == 1.0);
    let page = read(metrics);
    assert_eq!(page[r#"sekisho_interface_up{interface="in0"}"#], 1.0);
    assert_eq!(page[r#"sekisho_interface_up{interface="in1"}"#], 0.0);
    assert!(page["process_resident_memory_bytes"] > 1e6 && page["process_cpu_seconds_total"] > 0.0);
    assert!(page[r#"sekisho_table_entries{table="flows"}"#] >= 1.0);
    watch.process.signal("-TERM");
    let (status, told, logged) = watch.ends();
    assert!(status.success(), "{logged:#?}");

    let (page, summary) = (read(metrics), told.last().unwrap());
    for (family, key) in [
        ("sekisho_packets_total", "packets"),
        ("sekisho_bytes_total", "bytes_wire"),
        ("sekisho_dropped_packets_total", "packets_dropped"),
        ("sekisho_decoded_packets_total", "packets_decoded"),
        ("sekisho_duplicate_packets_total", "duplicates"),
        ("sekisho_rejected_segments_total", "tcp_rejected"),
        ("sekisho_flows_total", "flows"),
        ("sekisho_incidents_total", "alerts"),
    ] {
        assert_eq!(sum(&page, family), count(summary, key), "{family}");
    }
    for direction in ["out", "in", "inside", "outside", "relayed"] {
        let series = format!("sekisho_traffic_bytes_total{{direction=\"{direction}\"}}");
        assert_eq!(page[&series] as u64, count(summary, &format!("bytes_{direction}")), "{series}");
    }
    let evidence = &summary["evidence"];
    for (name, key) in [("packets", "packets"), ("bytes", "bytes"), ("files", "files")] {
        assert_eq!(sum(&page, &format!("sekisho_evidence_{name}_total")), count(evidence, key));
    }
    assert_eq!(page["sekisho_incidents_open"], 0.0);
    assert_eq!(page["sekisho_last_state_save_successful"], 1.0);
    assert!(page["sekisho_last_state_save_success_timestamp_seconds"] > 1.7e9);
    histogram_adds_up(&page);
}

fn histogram_adds_up(page: &BTreeMap<String, f64>) {
    let mut buckets: Vec<(f64, f64)> = page
        .iter()
        .filter_map(|(series, &count)| {
            let limit = series.strip_prefix("sekisho_verdict_delay_seconds_bucket{le=\"")?;
            Some((limit.strip_suffix("\"}")?.replace("+Inf", "inf").parse().unwrap(), count))
        })
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert!(buckets.len() > 5 && buckets.is_sorted_by_key(|&(_, count)| count), "{buckets:?}");
    let (limit, all) = buckets.pop().unwrap();
    assert_eq!((limit, all), (f64::INFINITY, page["sekisho_verdict_delay_seconds_count"]));
    assert!(all > 0.0 && page["sekisho_verdict_delay_seconds_sum"] > 0.0);
}

/// A file is put in the place of the one that is there: a device would be gone for all programs.
#[test]
fn metrics_replace_nothing_but_files() {
    let Some(place) = Namespace::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    for (file, part) in [(dir, "take a regular file"), ("/nowhere/at/all", "cannot be written")] {
        let mut command = place.command(env!("CARGO_BIN_EXE_sekisho"));
        let output = command.args(["watch", "-i", "lo", "--metrics", file]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(file) && text.contains(part), "{text}");
    }
}
