//! The recorded corpus: which networks are inside in each capture, and what is found there.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use ipnet::IpNet;
use sekisho::alert::{RankingEntry, Record, Summary};
use sekisho::capture::FileSource;
use sekisho::capture::error::CaptureError;
use sekisho::config::{Keys, Settings};
use sekisho::engine::{Analyst, Run, count, replay, summarize};

use crate::support::{corpus, root, tool};

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
}

/// The captures of the corpus, in the manifest's order: what `replay` reads, so no flow logs.
pub(crate) fn captures(corpus: &Path) -> Vec<Recorded> {
    let manifest = fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let mut lines = manifest.lines();
    let header: Vec<&str> = lines.next().unwrap().split('\t').collect();
    lines
        .map(|line| {
            let row: BTreeMap<&str, &str> = header.iter().copied().zip(line.split('\t')).collect();
            Recorded { path: row["path"].to_owned(), label: row["label"].to_owned() }
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

/// What a replay of one capture says, alone and without history.
struct Outcome {
    summary: Summary,
    /// Best score and, where there is one, the host that has it.
    worst: Option<RankingEntry>,
    cut: bool,
}

fn replayed(corpus: &Path, networks: &[Networks], path: &str) -> Result<Outcome, CaptureError> {
    let row = Networks::of(networks, path).unwrap();
    let internal = (!row.internal.is_empty()).then(|| row.internal.clone());
    let settings = Settings::of(&Keys { internal, ..Keys::default() }).unwrap();
    let mut source = FileSource::open(&[corpus.join(path)], settings.capture)?;
    let mut analyst = Analyst::new(settings.analyst);
    let mut worst: Option<RankingEntry> = None;
    let mut hear = |record| {
        if let Record::Ranking(entry) = record
            && worst.as_ref().is_none_or(|worst| entry.score_bits > worst.score_bits)
        {
            worst = Some(*entry);
        }
    };
    let run = Run { workers: 1, ..settings.run };
    let counted =
        replay(&mut source, &run, &mut analyst, |_, records| records.for_each(&mut hear))?;
    analyst.rank_day();
    analyst.drain().for_each(&mut hear);
    let summary = summarize(&source, &counted, &analyst);
    let cut = !source.notices().is_empty();
    Ok(Outcome { summary, worst, cut })
}

/// Packets and bytes of each capture by Wireshark's own count; none for those it refuses.
fn capinfos(corpus: &Path, captures: &[Recorded]) -> Option<BTreeMap<String, (u64, u64)>> {
    let tool = tool("capinfos")?;
    let mut counts = BTreeMap::new();
    for some in captures.chunks(200) {
        let files = some.iter().map(|capture| corpus.join(&capture.path));
        let output =
            Command::new(&tool).args(["-T", "-r", "-c", "-d", "-M"]).args(files).output().unwrap();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let [file, packets, bytes] = line.split('\t').collect::<Vec<_>>()[..]
                && let (Ok(packets), Ok(bytes)) = (packets.parse(), bytes.parse())
            {
                let path = Path::new(file).strip_prefix(corpus).unwrap();
                counts.insert(path.to_str().unwrap().to_owned(), (packets, bytes));
            }
        }
    }
    Some(counts)
}

/// Wireshark takes four bytes of SunATM's pseudo header for no part of the packet; libpcap and we
/// count what the record says.
const SUNATM: [&str; 2] =
    ["malformed/ntop__atm-heapoverflow.pcap", "malformed/ntop__atm-oam-heapoverflow.pcap"];

/// Every capture is read to its end (or to where it is cut, which is said), and each packet and
/// byte of it is accounted for: as many as Wireshark counts, each decoded or rejected by a reason.
#[test]
fn every_capture_is_read_whole() {
    let Some(corpus) = corpus() else { return };
    let networks = Networks::all();
    let captures = captures(&corpus);
    let Some(counts) = capinfos(&corpus, &captures) else { return };
    let mut compared = 0;
    let mut wrong = Vec::new();
    for capture in &captures {
        let path = &capture.path;
        let Some(&(packets, bytes)) = counts.get(path) else {
            // Refused by Wireshark: read without panic or refused with an error, both are fine.
            let _ = replayed(&corpus, &networks, path);
            continue;
        };
        let outcome = replayed(&corpus, &networks, path).unwrap_or_else(|error| panic!("{error}"));
        let summary = outcome.summary;
        compared += 1;
        if (summary.packets, summary.bytes_wire) != (packets, bytes)
            && !SUNATM.contains(&path.as_str())
        {
            wrong.push(format!(
                "{path}: {} packets and {} bytes, capinfos {packets} and {bytes}",
                summary.packets, summary.bytes_wire
            ));
        }
        let rejected: u64 = summary.rejected.values().sum();
        assert_eq!(summary.packets_decoded + rejected, summary.packets, "{path}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 900, "only {compared} captures compared");
}

/// Disks fill up and transfers break anywhere: every prefix of a capture is read to its end or refused
/// with an error, every frame of it accounted for, and never more of them than in a longer one.
#[test]
fn every_prefix_is_read_to_its_end() {
    let Some(corpus) = corpus() else { return };
    let is_small = |capture: &&Recorded| {
        fs::metadata(corpus.join(&capture.path)).is_ok_and(|file| file.len() <= 4000)
    };
    let captures = captures(&corpus);
    let small: Vec<&Recorded> = captures.iter().filter(is_small).step_by(4).collect();
    assert!(small.len() > 100, "only {} small captures", small.len());
    let settings = Settings::of(&Keys::default()).unwrap();
    let run = Run { workers: 1, ..settings.run };
    for capture in small {
        let bytes = fs::read(corpus.join(&capture.path)).unwrap();
        let mut most = 0;
        for len in 0..=bytes.len() {
            let prefix = std::io::Cursor::new(bytes[..len].to_vec());
            let options = sekisho::capture::Options::default();
            let Ok(mut source) = FileSource::read(Path::new("prefix"), prefix, options) else {
                continue;
            };
            let counted = count(&mut source, &run, |_, _| ControlFlow::Continue(())).unwrap();
            let frames = source.counters().frames;
            assert_eq!(counted.decoded + counted.rejects.total(), frames, "{} {len}", capture.path);
            assert!(frames >= most, "{} {len}", capture.path);
            most = frames;
        }
    }
}

/// `docs/corpus.md` says what replay makes of each capture; `make corpus-table` writes it anew.
#[test]
fn the_table_in_the_docs_is_true() {
    let Some(corpus) = corpus() else { return };
    let page = root().join("docs/corpus.md");
    let text = fs::read_to_string(&page).unwrap();
    let (before, _) = text.split_once(TABLE_STARTS).unwrap();
    let expected = format!("{before}{TABLE_STARTS}\n\n{}", table(&corpus));
    if std::env::var_os("SEKISHO_BLESS").is_some() {
        fs::write(&page, expected).unwrap();
        return;
    }
    if text != expected {
        let difference = text.lines().zip(expected.lines()).find(|(old, new)| old != new);
        panic!("docs/corpus.md is out of date (`make corpus-table`): {difference:#?}");
    }
}

fn table(corpus: &Path) -> String {
    let networks = Networks::all();
    let mut text = String::from(
        "| capture | packets | decoded | bytes out | worst host | to | sent | bits | incidents | label |\n\
         |---|--:|--:|--:|---|---|--:|--:|--:|---|\n",
    );
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for capture in captures(corpus) {
        let outcome = replayed(corpus, &networks, &capture.path);
        if let Some(name) = capture.path.strip_prefix("malformed/") {
            let group = name.split_once("__").map_or("other", |(project, _)| project);
            groups.entry(group.to_owned()).or_default().add(outcome.as_ref().ok());
            continue;
        }
        text += &row(&capture, &outcome.unwrap_or_else(|error| panic!("{error}")));
    }
    text += "\nMalformed captures, by where they come from:\n\n\
             | source | files | refused | cut | packets | decoded |\n|---|--:|--:|--:|--:|--:|\n";
    for (name, group) in groups {
        text += &format!(
            "| {name} | {} | {} | {} | {} | {} |\n",
            group.files,
            group.refused,
            group.cut,
            group.packets,
            share(group.decoded, group.packets)
        );
    }
    text
}

fn row(capture: &Recorded, Outcome { summary, worst, .. }: &Outcome) -> String {
    let worst = worst.as_ref().map_or_else(
        || "| | | ".to_owned(),
        |worst| {
            format!(
                "{} | {} | {} | {}",
                worst.host, worst.destination, worst.bytes_out, worst.score_bits
            )
        },
    );
    format!(
        "| {} | {} | {} | {} | {worst} | {} | {} |\n",
        capture.path,
        summary.packets,
        share(summary.packets_decoded, summary.packets),
        summary.bytes_out,
        summary.alerts,
        capture.label,
    )
}

/// Malformed captures of one project.
#[derive(Default)]
struct Group {
    files: u64,
    refused: u64,
    cut: u64,
    packets: u64,
    decoded: u64,
}

impl Group {
    fn add(&mut self, outcome: Option<&Outcome>) {
        self.files += 1;
        match outcome {
            Some(Outcome { summary, cut, .. }) => {
                self.cut += u64::from(*cut);
                self.packets += summary.packets;
                self.decoded += summary.packets_decoded;
            }
            None => self.refused += 1,
        }
    }
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.1} %", part as f64 / whole as f64 * 100.0) }
}

const TABLE_STARTS: &str = "<!-- generated below this line -->";
