//! `sekisho eval`: what it says must follow from the captures and the labels, and from nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use sekisho::capture::{FileSource, Options, Polled, Source};
use sekisho::eval::Labels;
use sekisho::frame::Batch;
use serde_json::{Value, json};

use crate::cli::sekisho;
use crate::support::{root, scenarios};

const DAYS: [&str; 3] = [
    "pcaps/office-2026-03-12.pcap.zst",
    "pcaps/office-2026-03-13.pcap.zst",
    "pcaps/office-2026-03-16.pcap.zst",
];
const THEFTS: [&str; 2] = ["pcaps/ftp-upload.pcap.zst", "pcaps/udp-upload.pcap.zst"];

/// The captures that ship, as somebody would label them by hand.
fn labels() -> Value {
    let incident = |id: &str, src: &str, dst: &str, (start, end): (&str, &str)| {
        json!({
            "id": id, "expected": "alert", "src": src, "dst": [dst],
            "start": format!("2026-03-16T{start}+09:00"), "end": format!("2026-03-16T{end}+09:00")
        })
    };
    json!({
        "set": "shipped",
        "timezone": "Asia/Tokyo",
        "internal_networks": ["10.20.1.0/24", "10.20.9.0/24", "2001:db8:20:1::/64"],
        "timeline": { "evaluation_days": ["2026-03-16"] },
        "incidents": [
            incident("ftp", "10.20.1.44", "198.18.150.21", ("18:25:00", "18:25:14")),
            incident("udp", "10.20.1.55", "198.18.181.40", ("12:45:00", "12:45:17")),
            incident("not there", "10.20.1.51", "198.18.7.44", ("11:00:00", "11:01:07")),
        ]
    })
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(labels: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("labels.json"), labels.to_string()).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

fn run(labels: &str, arguments: &[&str]) -> (i32, String, String) {
    run_plain(&[&["--labels", labels], arguments].concat())
}

fn run_plain(arguments: &[&str]) -> (i32, String, String) {
    let output = sekisho().arg("eval").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn good(labels: &str, arguments: &[&str]) -> String {
    let (code, out, err) = run(labels, arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
    out
}

fn schema(of: &str) -> jsonschema::Validator {
    let output = sekisho().args(["schema", of]).output().unwrap();
    jsonschema::validator_for(&serde_json::from_slice(&output.stdout).unwrap()).unwrap()
}

/// The shipped thefts after two days of learning: found, with what had left counted from the capture.
#[test]
fn the_shipped_thefts_are_scored() {
    let folder = Folder::with(&labels());
    let page = folder.path("report.html");
    let arguments =
        [&DAYS[..], &THEFTS, &["--budgets", "1,10", "--format", "json", "--html", &page]];
    let out = good(&folder.path("labels.json"), &arguments.concat());
    let report: Value = serde_json::from_str(&out).unwrap();
    let validator = schema("eval");
    let mistakes: Vec<String> =
        validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");

    assert_eq!(report["not_in_captures"], json!(["not there"]));
    let ftp = &report["incidents"][0];
    assert_eq!(
        (&ftp["alone"]["verdict"], &ftp["together"]["verdict"]),
        (&json!("found"), &json!("found"))
    );
    // 90,000,062 bytes of FTP and its commands, as tshark counts unique payload (pcaps/README.md: 90 MB).
    let sent = ftp["bytes_sent"].as_u64().unwrap();
    assert!(sent.abs_diff(90_000_062) < 90_000, "{sent}");
    let page_at = &ftp["alone"]["detection"];
    let left = page_at["bytes_left"].as_u64().unwrap();
    assert!(0 < left && left < sent, "{left}");
    let share = page_at["share_left"].as_f64().unwrap();
    assert!((share - left as f64 / sent as f64).abs() < 1e-4, "{share}");
    assert_eq!(page_at["bytes_out"].as_u64(), Some(sent));
    assert_eq!(report["alone"]["found"], 2);
    assert_eq!(report["false_alerts"], json!([]));
    let budgets: Vec<&Value> =
        report["curve"].as_array().unwrap().iter().map(|point| &point["budget"]).collect();
    assert_eq!(budgets, [&json!(1.0), &json!(10.0)]);
    assert_eq!(report["rules"].as_array().unwrap().len(), 5);

    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("udp"), "{page}");
    assert!(!page.contains("NaN") && !page.contains("inf<"), "{page}");
    for outside in ["src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

/// What the README of the captures promises, and the labels beside it, told as one.
#[test]
fn the_labels_that_ship_are_those_of_the_captures_that_ship() {
    let text = fs::read_to_string(root().join("pcaps/labels.json")).unwrap();
    assert!(schema("labels").is_valid(&serde_json::from_str(&text).unwrap()));
    let out = good("pcaps/labels.json", &["--budgets", "1", "--format", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["not_in_captures"], json!([]));
    for incident in report["incidents"].as_array().unwrap() {
        let wanted = if incident["expected"] == "alert" { "found" } else { "silent" };
        assert_eq!(incident["alone"]["verdict"], wanted, "{incident}");
        let (sent, label) = (&incident["bytes_sent"], &incident["bytes_label"]);
        let (sent, label) = (sent.as_u64().unwrap(), label.as_u64().unwrap());
        assert!(sent.abs_diff(label) * 1000 <= label, "{incident}");
    }
    // The one-off upload of Monday afternoon went to an address never seen, and to a service known here.
    assert_eq!(report["false_alerts"], json!([]));
}

/// Whoever starts from the example in the docs must not be told that it is wrong.
#[test]
fn the_example_in_the_docs_is_read() {
    let page = fs::read_to_string(root().join("docs/labels.md")).unwrap();
    let example = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(schema("labels").is_valid(&serde_json::from_str(example).unwrap()));
    Labels::parse(Path::new("docs/labels.md"), example).unwrap();
}

/// A figure that depends on the machine, or on how a day is cut into files, measures these.
#[test]
fn the_report_is_the_same_for_any_workers_and_any_files() {
    let folder = Folder::with(&labels());
    let labels = folder.path("labels.json");
    let all = [&DAYS[1..], &THEFTS].concat();
    let told = |files: &[&str], workers: &str| {
        good(
            &labels,
            &[files, &["--budgets", "1", "--format", "json", "--workers", workers]].concat(),
        )
    };
    let one = told(&all, "1");
    assert!(one.contains("\"found\""), "{one}");
    assert_eq!(told(&all, "1"), one);
    for workers in ["2", "3", "8"] {
        assert_eq!(told(&all, workers), one, "{workers} workers");
    }
    let paths: Vec<PathBuf> = all.iter().map(|path| root().join(path)).collect();
    let (first, second) = (folder.path("a.pcap"), folder.path("b.pcap"));
    split(&paths, [&first, &second]);
    assert_eq!(told(&[&first, &second], "2"), one, "split");
    let whole = folder.path("whole.pcap");
    split(&paths, [&whole, &first]);
    // Every frame in one file, and none in another.
    let bytes = [fs::read(&whole).unwrap(), fs::read(&first).unwrap()[24..].to_vec()].concat();
    fs::write(&whole, bytes).unwrap();
    assert_eq!(told(&[&whole], "1"), one, "joined");
}

/// Writes the frames of captures to two files, cut in the middle.
fn split(from: &[PathBuf], to: [&str; 2]) {
    let mut source = FileSource::open(from, Options::default()).unwrap();
    let (mut frames, mut batch) = (Vec::new(), Batch::default());
    while source.poll(&mut batch).unwrap() == Polled::Frames {
        for frame in batch.frames() {
            let nanos = frame.at.as_nanos();
            let mut record = Vec::new();
            for word in [
                (nanos / 1_000_000_000) as u32,
                (nanos % 1_000_000_000 / 1000) as u32,
                frame.bytes.len() as u32,
                frame.wire_len,
            ] {
                record.extend(word.to_le_bytes());
            }
            record.extend(frame.bytes);
            frames.push(record);
        }
        batch.clear();
    }
    let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    let (first, second) = frames.split_at(frames.len() / 2);
    for (frames, path) in [first, second].into_iter().zip(to) {
        fs::write(path, [&header[..], &frames.concat()].concat()).unwrap();
    }
}

/// A label comes from a file that somebody sent: on the terminal and in the page it is text.
#[test]
fn nothing_in_a_label_becomes_markup_or_steers_the_terminal() {
    let mut labels = labels();
    labels["set"] = json!("<b>set</b>");
    labels["incidents"][0]["id"] = json!("<script>alert(1)</script>\u{1b}[2J");
    labels["incidents"][0]["title"] = json!("\"><img src=x onerror=alert(1)>");
    labels["incidents"][2]["id"] = json!("<i>\u{202e}");
    let folder = Folder::with(&labels);
    let page = folder.path("report.html");
    let out = good(&folder.path("labels.json"), &[THEFTS[0], "--budgets", "1", "--html", &page]);
    assert!(!out.contains('\u{1b}') && !out.contains('\u{202e}'), "{out}");
    let page = fs::read_to_string(page).unwrap();
    for markup in ["<script", "<img", "<b>", "<i>", "\u{1b}", "\u{202e}"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(page.contains("&lt;script&gt;"), "{page}");
}

/// An office that is made up comes with its own labels; the same seed, the same report.
#[test]
fn an_office_is_judged_by_its_own_labels() {
    let folder = tempfile::tempdir().unwrap();
    let like = folder.path().join("office.toml");
    let small = "days = 17\n[hosts]\nworkstations = 12\nservers = 1\n[browsing]\nvisits_median = 40\n\
                 [thefts]\nbulk = 2\ncloud = 0\nnight = 1\nsplit = 1\nslow = 1";
    fs::write(&like, small).unwrap();
    let arguments =
        ["eval", "--office", like.to_str().unwrap(), "--budgets", "1", "--format", "json"];
    let told = |more: &[&str]| {
        let output = sekisho().args(arguments).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let one = told(&[]);
    assert_eq!(told(&[]), one);
    assert_ne!(told(&["--seed", "2"]), one);
    let report: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(report["incidents"].as_array().unwrap().len(), 5);
    for incident in report["incidents"].as_array().unwrap() {
        assert_eq!(incident["bytes_sent"], incident["bytes_label"], "{incident}");
    }
    let (code, _, err) = run_plain(&["--office", "--labels", "pcaps/labels.json"]);
    assert!(code == 2 && err.contains("cannot be used with"), "{err}");
    fs::write(&like, "[hosts]\npresent = 7.0").unwrap();
    let (code, _, err) = run_plain(&["--office", like.to_str().unwrap()]);
    assert!(code == 2 && err.ends_with("hosts.present: must be 0 to 1 (got 7)\n"), "{err}");
}

/// Each upload is judged in a fork: what one teaches must not reach another, nor who works at it.
#[test]
fn a_grid_is_the_same_for_any_workers_and_fewer_uploads() {
    let folder = tempfile::tempdir().unwrap();
    let like = folder.path().join("office.toml");
    let small = "days = 18\nlearn_days = 8\n[hosts]\nworkstations = 12\nservers = 1\n\
                 [browsing]\nvisits_median = 40";
    fs::write(&like, small).unwrap();
    let told = |more: &[&str]| {
        let arguments = ["eval", "--grid", "--office", like.to_str().unwrap(), "--format", "json"];
        let output = sekisho().args(arguments).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let page = folder.path().join("grid.html");
    let one = told(&["--uploads", "90", "--workers", "1", "--html", page.to_str().unwrap()]);
    assert_eq!(told(&["--uploads", "90", "--workers", "3"]), one);
    let report: Value = serde_json::from_str(&one).unwrap();
    let validator = schema("grid");
    let mistakes: Vec<String> =
        validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");

    let judges = report["judges"].as_array().unwrap();
    assert_eq!(judges.len(), 3 + 5);
    for judged in judges {
        let outcomes = judged["outcomes"].as_array().unwrap();
        assert_eq!(outcomes.len(), report["uploads"].as_array().unwrap().len());
        for (outcome, upload) in outcomes.iter().zip(report["uploads"].as_array().unwrap()) {
            let bytes = upload["bytes"].as_u64().unwrap();
            for left in ["bytes_left", "oracle_bytes_left"] {
                // A second's slack on either end of a label may hold ordinary bytes of a usual pair.
                let left = outcome[left].as_u64().unwrap_or(0);
                assert!(left <= bytes + bytes / 10 + 1_000_000, "{outcome} of {upload}");
            }
        }
    }
    // Ten gigabytes to a place never seen, from an office of twelve: whoever misses that sees nothing.
    let found = |judged: &Value, at: usize| judged["outcomes"][at]["verdict"] == "found";
    let uploads = report["uploads"].as_array().unwrap();
    let huge: Vec<usize> = (0..uploads.len())
        .filter(|&at| {
            let upload = &uploads[at];
            upload["bytes"] == 10_000_000_000_u64
                && upload["destination"] == "never-seen"
                && upload["judged_by"] == "bytes"
        })
        .collect();
    assert!(!huge.is_empty() && huge.iter().all(|&at| found(&judges[0], at)), "{huge:?}");
    // A megabyte in names or echoes, where nobody has any: so is that, and long before it is over.
    let hidden: Vec<usize> =
        (0..uploads.len()).filter(|&at| uploads[at]["judged_by"] != "bytes").collect();
    assert!(!hidden.is_empty());
    for at in hidden {
        let (upload, outcome) = (&uploads[at], &judges[0]["outcomes"][at]);
        let left = outcome["bytes_left"].as_u64().unwrap_or(u64::MAX);
        assert!(
            found(&judges[0], at) && left * 4 < upload["bytes"].as_u64().unwrap(),
            "{outcome} of {upload}"
        );
        assert!(outcome["oracle_bytes_left"].is_null(), "{outcome}");
    }
    let page = fs::read_to_string(page).unwrap();
    assert!(page.matches("<svg").count() == 3 && !page.contains("NaN"), "{page}");

    let fewer: Value = serde_json::from_str(&told(&["--uploads", "81"])).unwrap();
    for (few, many) in uploads_of(&fewer).iter().zip(uploads_of(&report)) {
        assert_eq!(few, &many);
    }
}

/// An upload to a place never seen that doubles each day is found sooner or later, and whoever works at it makes
/// no difference.
#[test]
fn ramps_are_found_or_told() {
    let folder = tempfile::tempdir().unwrap();
    let like = folder.path().join("office.toml");
    let small = "days = 24\nlearn_days = 8\n[hosts]\nworkstations = 10\nservers = 1\n\
                 [browsing]\nvisits_median = 30";
    fs::write(&like, small).unwrap();
    let page = folder.path().join("ramps.html");
    let told = |more: &[&str]| {
        let arguments = ["eval", "--ramps", "--office", like.to_str().unwrap(), "--format", "json"];
        let output = sekisho().args(arguments).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let some = ["--uploads", "18", "--budgets", "1"];
    let one = told(&[&some[..], &["--workers", "1", "--html", page.to_str().unwrap()]].concat());
    assert_eq!(told(&[&some[..], &["--workers", "3"]].concat()), one);
    let report: Value = serde_json::from_str(&one).unwrap();
    let validator = schema("ramps");
    let mistakes: Vec<String> =
        validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let (ramps, judged) = (report["ramps"].as_array().unwrap(), &report["judges"][0]);
    assert_eq!(ramps.len(), 18);
    for (ramp, outcome) in ramps.iter().zip(judged["outcomes"].as_array().unwrap()) {
        let found = &outcome["found"];
        if ramp["growth"] == 2.0 && ramp["destination"] == "never-seen" {
            assert!(found["day"].as_u64().is_some(), "{outcome} of {ramp}");
        }
        if let Some(day) = found["day"].as_u64() {
            assert_eq!(found["bytes_of_day"], ramp["bytes"][day as usize - 1]);
        }
        for left in ["theft_left", "theft_left_unprepared"] {
            assert!(outcome[left].as_u64() <= report["theft_bytes"].as_u64(), "{outcome}");
        }
    }
    let ramps: u64 = judged["curves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|curve| curve["ramps"].as_u64().unwrap())
        .sum();
    assert_eq!(ramps, 18);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.matches("<svg").count() == 1 && !page.contains("NaN"), "{page}");
    let (code, _, err) = run_plain(&["--ramps", "--days", "20"]);
    assert!(code == 2 && err.contains("ramps need 15 days after 28 days of learning"), "{err}");
}

/// The grid judges reports, and eval packets: both must say the same of the same uploads, or one of them measures
/// something else.
#[test]
fn uploads_of_the_grid_are_judged_alike_as_packets() {
    judged_alike("");
}

/// The same where half ask a proxy, and half have IPv6.
#[test]
fn uploads_of_the_grid_by_other_ways_are_judged_alike_as_packets() {
    judged_alike("proxy = { share = 0.5 }\nipv6 = { share = 0.5, places = 0.5 }\n");
}

fn judged_alike(ways: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let event = |name: &str, rate: u32, mb: &str, to: &str, more: &str| {
        format!(
            "[[event]]\nname = \"{name}\"\nrate = {rate}\nmb_median = {mb}\nmb_spread = 1.0\nmb_max = 3.0\n\
             to = \"{to}\"\n{more}\n"
        )
    };
    let small = "days = 12\nlearn_days = 8\nmove = []\n[hosts]\nworkstations = 8\nservers = 1\n\
                 [browsing]\nmb_median = 0.4\nmb_idle = 0.1\nvisits_median = 40\nin_per_out = 2.0\n";
    let events = [
        event("sync", 200, "0.1", "cloud", ""),
        event("one-off", 20, "0.3", "new", ""),
        event("digests", 200, "0.001", "reputation", "over = \"dns\"\nport = 53"),
        event("pings", 100, "0.001", "cloud", "over = \"icmp\"\nport = 0"),
    ];
    fs::write(path("office.toml"), [ways, small, &events.concat()].concat()).unwrap();
    let told = |arguments: &[&str]| {
        let output = sekisho().args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let office = path("office.toml");
    let grid = told(&[
        "eval",
        "--grid",
        "--office",
        &office,
        "--uploads",
        "162",
        "--budgets",
        "1",
        "--format",
        "json",
    ]);
    let mut grid: Value = serde_json::from_str(&grid).unwrap();
    let all = uploads_of(&grid);
    let is_meant = |upload: &Value| {
        let (bytes, pace) = (upload["bytes"].as_u64(), upload["bytes_per_sec"].as_u64());
        // Of other services only packets tell which they are, and that is evidence.
        let is_told = ["tls", "dns", "icmp"].contains(&upload["service"].as_str().unwrap());
        bytes <= Some(10_000_000) && pace <= Some(1_000_000) && is_told
    };
    let some: Vec<_> = all.into_iter().filter(|(upload, _)| is_meant(upload)).collect();
    grid["uploads"] = some.iter().map(|(upload, _)| upload.clone()).collect();
    fs::write(path("grid.json"), grid.to_string()).unwrap();
    told(&[
        "synth",
        "office",
        "--like",
        &office,
        "--inject",
        &path("grid.json"),
        "--snap",
        "1200",
        "--labels",
        &path("labels.json"),
        "--output",
        &path("office.pcap"),
    ]);
    let eval = told(&[
        "eval",
        "--labels",
        &path("labels.json"),
        &path("office.pcap"),
        "--budgets",
        "1",
        "--format",
        "json",
    ]);
    let eval: Value = serde_json::from_str(&eval).unwrap();
    let (mut found, mut hidden) = (0, 0);
    assert_eq!(eval["incidents"].as_array().unwrap().len(), some.len());
    for (incident, (upload, outcome)) in eval["incidents"].as_array().unwrap().iter().zip(&some) {
        assert_eq!(
            incident["alone"]["verdict"], outcome["verdict"],
            "{incident} {upload} {outcome}"
        );
        found += u32::from(outcome["verdict"] == "found");
        hidden += u32::from(upload["judged_by"] != "bytes");
    }
    assert!(
        found > 5 && hidden > 2 && (found as usize) < some.len(),
        "{found} {hidden} of {}",
        some.len()
    );
}

/// Each upload with what the first budget says of it.
fn uploads_of(report: &Value) -> Vec<(Value, Value)> {
    let outcome = &report["judges"][0]["outcomes"];
    let uploads = report["uploads"].as_array().unwrap().iter().enumerate();
    uploads.map(|(at, upload)| (upload.clone(), outcome[at].clone())).collect()
}

#[test]
fn mistakes_are_answered_in_one_line() {
    let mut wrong = labels();
    wrong["incidents"][1]["end"] = json!("2026-03-16T12:44:00+09:00");
    let folder = Folder::with(&wrong);
    let path = folder.path("labels.json");
    let (code, out, err) = run(&path, &[THEFTS[0]]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        err,
        format!(
            "sekisho: {path}: incidents[1].end: 2026-03-16T12:44:00+09:00 is before the start, \
             2026-03-16T12:45:00+09:00; give the last packet's time\n"
        )
    );
    let folder = Folder::with(&labels());
    let path = folder.path("labels.json");
    let (code, _, err) = run(&path, &[]);
    assert_eq!(code, 2);
    assert_eq!(err, format!("sekisho: {path}: names no captures; name them on the command line\n"));
    let (code, _, err) = run(&folder.path("none.json"), &[]);
    assert!(code == 2 && err.contains("none.json: cannot be read: "), "{err}");
    let (code, _, err) = run(&path, &[THEFTS[0], "--budgets", "0"]);
    assert!(code == 2 && err.contains("must be above 0 and at most 10000"), "{err}");
}

/// Part of the recorded office: two days of learning, one day with an incident, a look-alike and a
/// one-off upload that may be mentioned.
#[test]
fn a_part_of_the_scenarios_is_scored() {
    let Some(folder) = scenarios() else { return };
    let labels = folder.join("labels.json");
    let text = fs::read_to_string(&labels).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert!(schema("labels").is_valid(&document));

    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let files = [
        "baseline/2026-03-12.pcap.zst",
        "baseline/2026-03-13.pcap.zst",
        "baseline/2026-03-16.pcap.zst",
        "incidents/S5-ftp-pasv.pcap.zst",
        "incidents/S8a-dns-tunnel-fast.pcap.zst",
        "incidents/B7-port-scan.pcap.zst",
        "incidents/B2-video-call.pcap.zst",
    ]
    .map(file);
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let out = good(
        labels.to_str().unwrap(),
        &[&files[..], &["--budgets", "1", "--format", "json"]].concat(),
    );
    let report: Value = serde_json::from_str(&out).unwrap();
    let of = |id: &str| {
        let mut incidents = report["incidents"].as_array().unwrap().iter();
        incidents.find(|one| one["id"].as_str().unwrap().starts_with(id)).unwrap().clone()
    };
    assert_eq!(report["incidents"].as_array().unwrap().len(), 4);
    let (ftp, tunnel) = (of("S5-"), of("S8a-"));
    assert_eq!(ftp["alone"]["verdict"], "found");
    for incident in [&ftp, &tunnel, &of("B2-")] {
        let (sent, label) =
            (incident["bytes_sent"].as_u64().unwrap(), incident["bytes_label"].as_u64().unwrap());
        assert!(sent.abs_diff(label) * 1000 <= label, "{incident}");
    }
    assert_eq!(of("B7-")["alone"]["verdict"], "silent");
    // 0.7 MB would be below what alerts at all, were it not in names.
    assert_eq!(tunnel["alone"]["verdict"], "found");
    assert!(tunnel["alone"]["detection"]["share_left"].as_f64().unwrap() < 0.05, "{tunnel}");
    assert_eq!(report["false_alerts"], json!([]));

    // Of what is missed the reader sees how its score came about.
    let strict = ["--budget", "0.001", "--budgets", "0.001", "--format", "json"];
    let out = good(labels.to_str().unwrap(), &[&files[2..4], &strict[..]].concat());
    let report: Value = serde_json::from_str(&out).unwrap();
    let ftp = &report["incidents"][0];
    assert_ne!(ftp["alone"]["verdict"], "found");
    assert!(!ftp["timeline"].as_array().unwrap().is_empty());
}
