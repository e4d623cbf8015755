//! What was learned outlives a run: as if there had been one run, and never half of it.

use std::fs;
use std::path::Path;

use sekisho::alert::{ClosedBecause, Severity};
use sekisho::config::{Keys, Settings};
use sekisho::detect::Bits;
use sekisho::engine::{self, Analyst};
use sekisho::state::{Remark, Said, State, StateError};
use sekisho::time::Timestamp;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::cli::sekisho;
use crate::incidents::told_on;
use crate::support::scenarios;

const DAYS: [&str; 3] = [
    "pcaps/office-2026-03-12.pcap.zst",
    "pcaps/office-2026-03-13.pcap.zst",
    "pcaps/office-2026-03-16.pcap.zst",
];
const UPLOAD: &str = "pcaps/contractor-upload.pcap.zst";

/// Exit code, what was told, and what was complained of.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = sekisho().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn replay(arguments: &[&str]) -> (i32, String, String) {
    let common = ["replay", "--format", "json", "--timezone", "Asia/Tokyo"];
    run(&[&common[..], &["--internal", "10.20.0.0/16,2001:db8:20::/48"], arguments].concat())
}

fn records(text: &str, schema: &str) -> Vec<Value> {
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["schema"] == schema).collect()
}

/// A folder that has learned two days.
fn two_days() -> TempDir {
    let dir = tempdir().unwrap();
    let (code, _, err) =
        replay(&["--state", dir.path().to_str().unwrap(), "--learn", DAYS[0], DAYS[1]]);
    assert_eq!((code, err.as_str()), (0, ""));
    dir
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|end| end != "db-wal" && end != "db-shm"))
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Three runs that learn one after the other say what one run says of all three days.
#[test]
fn runs_one_after_the_other_are_one_run() {
    let dir = tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let whole = replay(&[&DAYS[..], &[UPLOAD]].concat());
    let mut parts = String::new();
    for day in [&DAYS[..1], &DAYS[1..2], &[DAYS[2], UPLOAD]] {
        let (code, out, err) = replay(&[&["--state", state, "--learn"], day].concat());
        assert_eq!((code, err.as_str()), (0, ""));
        parts.push_str(&out);
    }
    for schema in ["sekisho.alert/1", "sekisho.ranking/1"] {
        let (whole, parts) = (records(&whole.1, schema), records(&parts, schema));
        assert!(!whole.is_empty());
        assert_eq!(whole, parts, "{schema}");
    }
}

/// The same over the days of a whole office, cut at every midnight.
#[test]
fn an_office_learned_day_by_day_is_judged_as_in_one_run() {
    let Some(folder) = scenarios() else { return };
    let baseline = folder.join("baseline");
    let mut days: Vec<String> = fs::read_dir(&baseline)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    days.sort();
    let days: Vec<&str> = days.iter().map(String::as_str).collect();
    let dir = tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let whole = replay(&days);
    let mut parts = String::new();
    for day in &days {
        let (code, out, err) = replay(&["--state", state, "--learn", day]);
        assert_eq!((code, err.as_str()), (0, ""), "{day}");
        parts.push_str(&out);
    }
    for schema in ["sekisho.alert/1", "sekisho.ranking/1"] {
        assert_eq!(records(&whole.1, schema), records(&parts, schema), "{schema}");
    }
}

/// Who only judges writes nothing; what he is told is what who learns is told.
#[test]
fn judging_writes_nothing() {
    let dir = two_days();
    let state = dir.path().to_str().unwrap();
    let before = files(dir.path());
    let judged = replay(&["--state", state, DAYS[2], UPLOAD]);
    assert_eq!(files(dir.path()), before);
    let learned = replay(&["--state", state, "--learn", DAYS[2], UPLOAD]);
    assert_eq!((judged.0, &judged.1), (0, &learned.1));
    assert_ne!(files(dir.path()), before);
}

#[test]
fn what_was_learned_is_not_learned_again() {
    let dir = two_days();
    let state = dir.path().to_str().unwrap();
    let before = files(dir.path());
    let (code, out, err) = replay(&["--state", state, "--learn", DAYS[1]]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("has learned until 2026-03-13T") && err.contains("--since"), "{err}");
    assert_eq!(files(dir.path()), before);
    // Looking at it again is allowed, and said.
    let (code, _, err) = replay(&["--state", state, DAYS[1]]);
    assert!(code == 0 && err.contains("has learned until"), "{err}");
}

#[test]
fn what_does_not_go_with_the_state_is_said() {
    let dir = two_days();
    let state = dir.path().to_str().unwrap();
    let (code, _, err) = run(&["replay", "--state", state, DAYS[2]]);
    assert!(code == 2 && err.contains("give --timezone Asia/Tokyo"), "{err}");
    let config = dir.path().join("small.toml");
    fs::write(&config, "[limits]\nhosts_max = 5\n").unwrap();
    let (code, _, err) = replay(&["--state", state, "--config", config.to_str().unwrap(), DAYS[2]]);
    assert!(code == 2 && err.contains("limits.hosts_max"), "{err}");
    let nothing = tempdir().unwrap();
    let (code, _, err) = replay(&["--state", nothing.path().to_str().unwrap(), DAYS[2]]);
    assert!(code == 2 && err.contains("nothing was learned here yet"), "{err}");
    let (code, _, err) = replay(&["--learn", DAYS[2]]);
    assert!(code == 2 && err.contains("--state"), "{err}");
    // Two that learn at once would lose what one of them learned.
    let _held = State::write(dir.path()).unwrap();
    let (code, _, err) = replay(&["--state", state, "--learn", DAYS[2]]);
    assert!(code == 2 && err.contains("another process"), "{err}");
}

/// Torn at any place or changed in any byte, a file is recognised, set aside, and the one before is taken.
#[test]
fn a_damaged_file_is_set_aside() {
    let dir = tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    for day in &DAYS[..2] {
        assert_eq!(replay(&["--state", state, "--learn", day]).0, 0);
    }
    let one = dir.path().join("one.jsonl");
    let exported = run(&["baseline", "export", "--state", state]).1;
    fs::write(&one, exported.lines().next().unwrap()).unwrap();
    let path = dir.path().join("learned.state");
    let (good, before) =
        (fs::read(&path).unwrap(), fs::read(dir.path().join("learned.state.1")).unwrap());
    let len = good.len();
    let line = good.iter().position(|&byte| byte == b'\n').unwrap();
    let torn = [0, 1, line, line + 1, line + 20, len / 2, len - 5, len - 1];
    let changed = [line / 2, line + 3, len / 3, len / 2, len - 2];
    let torn = torn.into_iter().map(|end| good[..end].to_vec());
    let changed = changed.into_iter().map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    });
    let options = settings("Asia/Tokyo");
    let until = |dir: &Path| {
        let mut state = State::write(dir).unwrap();
        let loaded = state.load(&options).unwrap().unwrap();
        (loaded.0.until, state.notices().len())
    };
    let (newest, no_notice) = until(dir.path());
    assert_eq!(no_notice, 0);
    for bad in torn.chain(changed) {
        fs::write(&path, &bad).unwrap();
        let (older, notices) = until(dir.path());
        assert!(older < newest && notices == 1, "{older} {notices}");
        let aside = dir.path().join("learned.state.damaged");
        assert!(!path.exists() && fs::read(&aside).unwrap() == bad);
    }
    // As when a run is stopped between the two names: who reads the one before, or adds to it, finds it.
    assert!(!path.exists());
    let (older, _) = until(dir.path());
    assert_eq!(run(&["baseline", "import", "--state", state, one.to_str().unwrap()]).0, 0);
    assert!(path.exists());
    assert_eq!(until(dir.path()), (older, 0));
    // With nothing good left it is an error, not a fresh start.
    fs::write(&path, &good[..len / 2]).unwrap();
    fs::write(dir.path().join("learned.state.1"), &before[..before.len() / 2]).unwrap();
    let error = State::read(dir.path()).unwrap().load(&options).unwrap_err();
    assert!(matches!(error, StateError::Damaged { .. }), "{error}");
}

/// Alerts can be looked up once they are told, and what people say of them is kept.
#[test]
fn incidents_are_kept_and_talked_of() {
    let dir = two_days();
    let state = dir.path().to_str().unwrap();
    let learn = ["--state", state, "--learn", DAYS[2], UPLOAD];
    let (_, out, _) = replay(&learn);
    let told = records(&out, "sekisho.alert/1");
    let id = told[0]["incident"].as_str().unwrap();
    let listed = |all: &[&str]| {
        let (code, out, err) =
            run(&[&["incidents", "list", "--state", state, "--format", "json"], all].concat());
        assert_eq!((code, err.as_str()), (0, ""));
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let incidents = listed(&[]);
    let ids = |rows: &[Value]| -> Vec<String> {
        let mut ids: Vec<String> =
            rows.iter().map(|row| row["incident"].as_str().unwrap().to_owned()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    // The days before had theirs.
    assert!(ids(&told).iter().all(|id| ids(&incidents).contains(id)), "{incidents:?}");
    assert_eq!(ids(&incidents).len(), incidents.len());

    let (code, shown, _) =
        run(&["incidents", "show", "--state", state, "--format", "json", &id[..6]]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let own: Vec<&Value> = told.iter().filter(|alert| alert["incident"] == id).collect();
    assert_eq!((code, shown["alerts"].as_array().unwrap().iter().collect::<Vec<_>>()), (0, own));

    for said in [
        &["note", "--state", state, id, "asked the \u{1b}[2J owner"][..],
        &["benign", "--state", state, id, "--note", "year-end archive"],
    ] {
        let (code, _, err) = run(&[&["incidents"], said].concat());
        assert_eq!((code, err.as_str()), (0, ""));
    }
    assert_eq!(listed(&[]).len(), incidents.len() - 1);
    assert_eq!(listed(&["--all"]).len(), incidents.len());
    let (_, shown, _) = run(&["incidents", "show", "--state", state, id]);
    assert!(shown.contains("year-end archive") && shown.contains("benign"), "{shown}");
    assert!(shown.contains("asked the \\u{1b}[2J owner"), "{shown}");
    let (code, _, err) = run(&["incidents", "ack", "--state", state, "zz"]);
    assert!(code == 2 && err.contains("0 incidents"), "{err}");
}

/// A run that was cut short before it wrote what it learned tells the same again; it is there once.
#[test]
fn the_same_alert_is_kept_once() {
    let dir = two_days();
    let state = dir.path().to_str().unwrap();
    let before = fs::read(dir.path().join("learned.state")).unwrap();
    let learn = ["--state", state, "--learn", DAYS[2], UPLOAD];
    let first = replay(&learn);
    let list = || run(&["incidents", "list", "--state", state, "--format", "json"]).1;
    let listed = list();
    fs::write(dir.path().join("learned.state"), before).unwrap();
    assert_eq!(first, replay(&learn));
    assert_eq!(listed, list());
}

/// What one sensor exports is what another has after it has taken it in.
#[test]
fn baselines_travel() {
    let (dir, other) = (two_days(), tempdir().unwrap());
    let state = dir.path().to_str().unwrap();
    let there = other.path().to_str().unwrap();
    let export = |state: &str| run(&["baseline", "export", "--state", state]);
    let (code, exported, err) = export(state);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(exported.lines().count() > 20);
    let file = dir.path().join("exported.jsonl");
    fs::write(&file, &exported).unwrap();
    let file = file.to_str().unwrap();

    let config = other.path().join("tokyo.toml");
    fs::write(&config, "timezone = \"Asia/Tokyo\"\n").unwrap();
    let (code, _, err) =
        run(&["baseline", "import", "--state", there, "--config", config.to_str().unwrap(), file]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(export(there).1, exported);
    let (code, same, _) = run(&["baseline", "diff", "--state", state, file]);
    assert_eq!((code, same.as_str()), (0, ""));

    assert_eq!(replay(&["--state", state, "--learn", DAYS[2], UPLOAD]).0, 0);
    let (_, grown, _) = run(&["baseline", "diff", "--state", state, file]);
    assert!(grown.lines().any(|line| line.trim_start().starts_with("+ ")), "{grown}");

    let bad = dir.path().join("bad.jsonl");
    fs::write(&bad, exported.replace("sekisho.baseline/1", "sekisho.baseline/9")).unwrap();
    let (code, _, err) = run(&["baseline", "import", "--state", there, bad.to_str().unwrap()]);
    assert!(code == 2 && err.contains("bad.jsonl:1"), "{err}");
}

/// A person can read what is normal for a host, and how early its uploads would be told of.
#[test]
fn a_baseline_is_shown_in_words() {
    let dir = two_days();
    let state = dir.path().to_str().unwrap();
    let (_, exported, _) = run(&["baseline", "export", "--state", state]);
    let busiest: Value = exported
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .max_by_key(|profile| profile["destinations"][0]["largest"].as_u64())
        .unwrap();
    let host = busiest["host"].as_str().unwrap();
    let (code, shown, err) = run(&["baseline", "show", "--state", state, host]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(shown.contains("in the busiest hour of a day"), "{shown}");
    assert!(shown.contains(busiest["destinations"][0]["key"].as_str().unwrap()), "{shown}");
    assert!(shown.contains("An upload of 1.0 GB to a stranger would be reported after"), "{shown}");
    let (code, _, err) = run(&["baseline", "show", "--state", state, "10.20.250.250"]);
    assert!(code == 2 && err.contains("no finished day of it was learned"), "{err}");
}

fn settings(timezone: &str) -> engine::Options {
    let keys = Keys { timezone: Some(timezone.to_owned()), ..Keys::default() };
    Settings::of(&keys).unwrap().analyst
}

/// The incident that paged on a day, if one did, its latest score and its severity.
fn day(analyst: &mut Analyst, day: u64, bytes: u64) -> Option<(String, Bits, Severity)> {
    let mut alerts = told_on(analyst, day, bytes);
    alerts.retain(|alert| alert.severity >= Severity::Medium);
    let severity = alerts.iter().map(|alert| alert.severity).max()?;
    alerts.pop().map(|last| (last.incident, last.score_bits, severity))
}

/// What an analyst says of an upload decides whether the like of it is told of again.
#[test]
fn a_verdict_teaches() {
    let told_after = |said: Option<Said>| {
        let dir = tempdir().unwrap();
        let options = settings("UTC");
        let mut analyst = Analyst::new(options.clone());
        for n in 0..10 {
            assert_eq!(day(&mut analyst, n, 20_000), None);
        }
        let (incident, ..) = day(&mut analyst, 10, 400_000_000).unwrap();
        // The upload's day is over.
        day(&mut analyst, 11, 20_000);
        analyst.close(ClosedBecause::Eof);
        let state = State::write(dir.path()).unwrap();
        state.save(&analyst).unwrap();
        if let Some(said) = said {
            let at = Timestamp::EPOCH;
            state.store().unwrap().say(&incident, &Remark { at, said, text: None }).unwrap();
        }
        drop(state);
        let mut state = State::read(dir.path()).unwrap();
        let (_, mut analyst) = state.load(&options).unwrap().unwrap();
        // After the fortnight in which the same pair is not told of again.
        for n in 12..30 {
            assert_eq!(day(&mut analyst, n, 20_000), None);
        }
        day(&mut analyst, 30, 400_000_000).map(|(_, score, severity)| (score, severity)).unwrap()
    };
    let untold = told_after(None);
    assert_eq!(told_after(Some(Said::Ack)), untold);
    assert_eq!(told_after(Some(Said::Theft)), untold);
    assert_eq!(untold.1, Severity::High);
    // Once in a month is still rare, but no longer beyond all that is normal.
    assert_eq!(told_after(Some(Said::Benign)).1, Severity::Medium);
}
