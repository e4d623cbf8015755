//! Any text as a rule file is taken or refused, in words that a terminal may show.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs, process};

use libfuzzer_sys::fuzz_target;
use sekisho::rules::{RuleSet, Style};

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = env::temp_dir().join(format!("sekisho-fuzz-rules-{}", process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    folder
});

fuzz_target!(|input: (u8, &str)| {
    let (kind, text) = input;
    // The name says what the file holds; the last one leaves that to the text.
    let names = ["networks.yaml", "destinations.yaml", "defaults.yaml", "other.yaml"];
    let file = FOLDER.join(names[usize::from(kind) % names.len()]);
    fs::write(&file, text).expect("the temporary folder can be written");
    let loaded = RuleSet::load(&FOLDER);
    fs::remove_file(&file).expect("the file was just written");
    match loaded {
        Ok(rules) => assert_eq!(rules.summary().files.len(), 1),
        Err(error) => {
            assert!(!error.problems().is_empty(), "refused without a reason");
            for shown in [error.to_string(), error.render(Style::Plain)] {
                let is_shown = |c: char| c == '\n' || !c.is_control();
                assert!(shown.chars().all(is_shown), "control character in {shown:?}");
            }
        }
    }
});
