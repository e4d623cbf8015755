//! What tests need from outside the repository, and what happens when it is not there.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of traffic that other people recorded, or `None` when the test is to be skipped.
pub(crate) fn corpus() -> Option<PathBuf> {
    folder("SEKISHO_CORPUS", "MANIFEST.tsv")
}

/// The folder of labelled office scenarios, or `None` when the test is to be skipped.
pub(crate) fn scenarios() -> Option<PathBuf> {
    folder("SEKISHO_SCENARIOS", "labels.json")
}

/// Where a program is that only tests use, or `None` when the test is to be skipped.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.or_else(|| skip(&format!("{name} is not on the PATH")))
}

fn folder(variable: &str, landmark: &str) -> Option<PathBuf> {
    let Some(folder) = env::var_os(variable) else {
        return skip(&format!("{variable} is not set"));
    };
    let folder = PathBuf::from(folder);
    // A wrong path is a mistake, not a machine that lacks something.
    let landmark = folder.join(landmark);
    assert!(landmark.is_file(), "{variable}: {} is missing", landmark.display());
    Some(folder)
}

/// Says that a test does not run, and why; fails it where every test must run.
pub(crate) fn skip<T>(why: &str) -> Option<T> {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(env::var_os("SEKISHO_CI").is_none(), "{test} cannot be skipped here: {why}");
    say_skipped(why);
    None
}

/// Says that a test does not run, wherever it is: for want of what no installation brings.
///
/// Straight to standard error: what goes through `eprintln!` is kept from the reader when a test passes.
pub(crate) fn say_skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {why}");
}
