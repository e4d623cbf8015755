//! Any bytes as rule files are taken or refused, in words that a terminal may show.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sekisho::rules::{RuleFile, RuleSet, Style};
use sekisho_fuzz::{seed, texts_in};

fuzz_target!(
    init: seed(|files| {
        let texts = texts_in(files, "yaml\n");
        texts.iter().flat_map(|text| (0..KINDS).map(|kind| [&[kind], text.as_bytes()].concat())).collect()
    }),
    |input: &[u8]| {
        // A byte that UTF-8 never has begins the next file; what follows it says its name.
        let files: Vec<RuleFile> = input.splitn(FILES_MAX, |byte| *byte == 0xff).map(file).collect();
        let count = files.len();
        match RuleSet::check(files) {
            Ok(rules) => assert_eq!(rules.summary().files.len(), count),
            Err(error) => {
                assert!(!error.problems().is_empty(), "refused without a reason");
                for shown in [error.to_string(), error.render(Style::Plain)] {
                    let is_shown = |c: char| c == '\n' || !c.is_control();
                    assert!(shown.chars().all(is_shown), "control character in {shown:?}");
                }
            }
        }
    }
);

fn file(bytes: &[u8]) -> RuleFile {
    // The name says what the file holds; the last one leaves that to the text.
    let names: [&str; KINDS as usize] = [
        "networks.yaml",
        "destinations.yaml",
        "defaults.yaml",
        "other.yaml",
        "allowances.yaml",
        "suppressions.yaml",
        "maintenance.yaml",
        "thresholds.yaml",
    ];
    let (kind, text) = bytes.split_first().unwrap_or((&0, &[]));
    RuleFile::new(names[usize::from(*kind) % names.len()], text.to_vec())
}

/// Names that a file may have.
const KINDS: u8 = 8;

const FILES_MAX: usize = 4;
