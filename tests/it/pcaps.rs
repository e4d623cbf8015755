//! The captures that are shipped are those their README describes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::support::{root, scenarios};

/// A capture that changed, came or went without its row would make the page claim what was never there;
/// and every clone pays for each of them.
#[test]
fn readme_describes_every_capture() {
    let folder = root().join("pcaps");
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let described: BTreeMap<String, String> = readme
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [file, _origin, _shows, _expected, sha256] = cells[..] else { return None };
            file.ends_with(".zst").then(|| (file.to_owned(), sha256.trim_matches('`').to_owned()))
        })
        .collect();

    let mut present = BTreeMap::new();
    let mut bytes_total = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !["README.md", "labels.json"].contains(&name.as_str()) {
            let bytes = fs::read(folder.join(&name)).unwrap();
            bytes_total += bytes.len();
            let digest = Sha256::digest(&bytes);
            present.insert(name, digest.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }

    assert_eq!(described, present, "left: pcaps/README.md; right: the folder");
    assert!(bytes_total < 25_000_000, "{bytes_total} bytes of captures; 25 MB is the limit");
}

/// The labels speak of the scenario files; a shipped capture that differs would be judged by the labels
/// of another.
#[test]
fn shipped_captures_are_the_labelled_scenarios() {
    let Some(scenarios) = scenarios() else { return };
    for (shipped, labelled) in LABELLED {
        let read =
            |folder: &Path, name: &str| fs::read(folder.join(format!("{name}.pcap.zst"))).unwrap();
        let same = read(&root().join("pcaps"), shipped) == read(&scenarios, labelled);
        assert!(same, "pcaps/{shipped} is not {labelled}");
    }
}

const LABELLED: [(&str, &str); 9] = [
    ("office-2026-03-12", "baseline/2026-03-12"),
    ("office-2026-03-13", "baseline/2026-03-13"),
    ("office-2026-03-16", "baseline/2026-03-16"),
    ("contractor-upload", "incidents/S1-bulk-put"),
    ("ipv6-upload", "incidents/S16-ipv6"),
    ("udp-upload", "incidents/S15b-udp"),
    ("ftp-upload", "incidents/S5-ftp-pasv"),
    ("lossy-upload", "incidents/B9-lossy-upload"),
    ("port-scan", "incidents/B7-port-scan"),
];
