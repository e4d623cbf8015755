//! The recorded corpus: which networks are inside in each capture, and what is found there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use ipnet::IpNet;

use crate::support::{corpus, root};

/// Who is inside in the captures that a pattern names.
pub(crate) struct Networks {
    pattern: String,
    /// Empty means the private networks that sekisho takes by itself.
    pub(crate) internal: Vec<IpNet>,
}

impl Networks {
    /// The rows of `tests/corpus/networks.tsv`.
    pub(crate) fn all() -> Vec<Self> {
        let table = fs::read_to_string(root().join("tests/corpus/networks.tsv")).unwrap();
        let mut rows = table.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(rows.next(), Some("path\tinternal\targument"));
        rows.map(Self::parse).collect()
    }

    /// The row for a capture: of those that fit, the one that says most.
    pub(crate) fn of<'a>(all: &'a [Self], capture: &str) -> Option<&'a Self> {
        all.iter().filter(|row| row.fits(capture)).max_by_key(|row| row.pattern.len())
    }

    fn parse(line: &str) -> Self {
        let cells: Vec<&str> = line.split('\t').collect();
        let [pattern, internal, argument] = cells[..] else { panic!("three columns: {line}") };
        assert!(!argument.is_empty(), "{pattern}: an argument");
        let internal = match internal {
            "default" => Vec::new(),
            nets => nets.split(',').map(|net| network(pattern, net)).collect(),
        };
        Self { pattern: pattern.to_owned(), internal }
    }

    fn fits(&self, capture: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(start) => capture.starts_with(start),
            None => capture == self.pattern,
        }
    }
}

fn network(pattern: &str, text: &str) -> IpNet {
    let net: IpNet = text.parse().unwrap_or_else(|error| panic!("{pattern}: {text}: {error}"));
    assert_eq!(net, net.trunc(), "{pattern}: {text} has bits set beyond its length");
    net
}

/// One line of the corpus manifest.
pub(crate) struct Recorded {
    pub(crate) path: String,
    pub(crate) label: String,
    pub(crate) expected: String,
}

/// The captures of the corpus, in the manifest's order: what `replay` reads, so no flow logs.
pub(crate) fn captures(corpus: &Path) -> Vec<Recorded> {
    let manifest = fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let mut lines = manifest.lines();
    let header: Vec<&str> = lines.next().unwrap().split('\t').collect();
    lines
        .map(|line| {
            let row: BTreeMap<&str, &str> = header.iter().copied().zip(line.split('\t')).collect();
            Recorded {
                path: row["path"].to_owned(),
                label: row["label"].to_owned(),
                expected: row["expected_finding"].to_owned(),
            }
        })
        .filter(|recorded| is_capture(&recorded.path))
        .collect()
}

fn is_capture(path: &str) -> bool {
    let bare = path.trim_end_matches(".gz").trim_end_matches(".zst");
    let extension = bare.rsplit_once('.').map_or("", |(_, extension)| extension);
    !path.starts_with("flowlogs/") && matches!(extension, "pcap" | "pcapng" | "cap" | "bin")
}

/// A capture without a row would be replayed with a guess for its border, and a row that decides
/// nothing hides a misspelt path.
#[test]
fn every_capture_has_its_row_and_every_row_its_capture() {
    let Some(corpus) = corpus() else { return };
    let networks = Networks::all();
    let mut decided: BTreeMap<&str, usize> =
        networks.iter().map(|row| (row.pattern.as_str(), 0)).collect();
    assert_eq!(decided.len(), networks.len(), "a pattern stands there twice");

    let captures = captures(&corpus);
    let unmatched: Vec<&str> = captures
        .iter()
        .filter(|capture| match Networks::of(&networks, &capture.path) {
            Some(row) => {
                *decided.get_mut(row.pattern.as_str()).unwrap() += 1;
                false
            }
            None => true,
        })
        .map(|capture| capture.path.as_str())
        .collect();
    assert_eq!(unmatched, [""; 0], "captures without a row");

    let idle: Vec<&str> =
        decided.iter().filter(|(_, captures)| **captures == 0).map(|(row, _)| *row).collect();
    assert_eq!(idle, [""; 0], "rows that decide no capture");
    assert!(captures.len() > 900, "only {} captures: is this the whole corpus?", captures.len());
}

/// A single address would answer the question the replay is there to ask: who did it?
#[test]
fn no_network_is_one_host_alone() {
    for row in Networks::all() {
        let hosts = |net: &IpNet| net.max_prefix_len() == net.prefix_len();
        assert!(
            row.internal.is_empty() || !row.internal.iter().all(hosts),
            "{}: only single hosts are inside",
            row.pattern
        );
    }
}

/// The longest pattern decides, so that a group's row can have exceptions.
#[test]
fn the_longest_pattern_decides() {
    let networks = ["a/*\tdefault\twhy", "a/b*\t10.0.0.0/8\twhy", "a/bc\t10.0.0.0/9\twhy"];
    let networks: Vec<Networks> = networks.into_iter().map(Networks::parse).collect();
    let pattern = |capture| Networks::of(&networks, capture).map(|row| row.pattern.as_str());
    assert_eq!(pattern("a/x"), Some("a/*"));
    assert_eq!(pattern("a/bd"), Some("a/b*"));
    assert_eq!(pattern("a/bc"), Some("a/bc"));
    assert_eq!(pattern("b/bc"), None);
}

/// Not a test: the table `make corpus-table` prints. A capture is replayed alone, without a history.
#[test]
#[ignore = "prints a table; run it with `make corpus-table`"]
fn table() {
    let Some(corpus) = corpus() else { return };
    let networks = Networks::all();
    println!("alerts\texit\tlabel\tcapture\texpected");
    for capture in
        captures(&corpus).iter().filter(|capture| !capture.path.starts_with("malformed/"))
    {
        let mut replay = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        replay.args(["replay", "--format", "json"]);
        let row = Networks::of(&networks, &capture.path).unwrap();
        if !row.internal.is_empty() {
            let nets: Vec<String> = row.internal.iter().map(ToString::to_string).collect();
            replay.args(["--internal", &nets.join(",")]);
        }
        let output = replay.arg(corpus.join(&capture.path)).output().unwrap();
        let alerts = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|line| line["schema"] == "sekisho.alert/1" && line["kind"] == "open")
            .count();
        let exit = output.status.code().map_or("killed".to_owned(), |code| code.to_string());
        println!("{alerts}\t{exit}\t{}\t{}\t{}", capture.label, capture.path, capture.expected);
    }
}
