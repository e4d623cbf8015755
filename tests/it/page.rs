//! The pages that `sekisho eval` writes, opened in a real browser.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cli::sekisho;
use crate::support::tool;

/// What a browser made of a page.
struct Opened {
    /// What the page said on the console.
    console: Vec<String>,
    /// What it asked for.
    requests: Vec<String>,
    /// The document when it was loaded.
    dom: String,
}

fn open(browser: &Path, page: &Path) -> Opened {
    let profile = tempfile::tempdir().unwrap();
    let log = profile.path().join("net.json");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args(["--disable-sync", "--disable-extensions", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg("--window-size=1200,2000")
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stderr);
    Opened {
        console: said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect(),
        requests: requests(&fs::read_to_string(log).unwrap()),
        dom: String::from_utf8(output.stdout).unwrap(),
    }
}

/// What pages asked the network for; what the browser asks for by itself has no origin.
fn requests(log: &str) -> Vec<String> {
    // A browser that ends writes the log to its last event, or not quite.
    let closed = format!("{}]}}", log.trim_end().trim_end_matches([',', '}', ']']));
    let log: Value = serde_json::from_str(log)
        .or_else(|_| serde_json::from_str(&format!("{closed}}}")))
        .or_else(|_| serde_json::from_str(&closed))
        .unwrap();
    let events = log["events"].as_array().unwrap().iter().map(|event| &event["params"]);
    let by_pages = events.filter(|asked| {
        asked["url"].is_string()
            && asked["initiator"].as_str().is_some_and(|by| by != "not an origin")
    });
    by_pages.map(|asked| asked["url"].as_str().unwrap().to_owned()).collect()
}

/// The same page, which says where its pictures and their words are drawn.
fn measured(browser: &Path, page: &Path) -> Value {
    let text = fs::read_to_string(page).unwrap();
    let policy = text.find("<meta http-equiv").unwrap();
    let end = policy + text[policy..].find('>').unwrap() + 1;
    let script = r#"<pre id="measured"></pre><script>
        const box = one => { const r = one.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
        const all = [...document.querySelectorAll("svg")].map(svg => ({
            box: box(svg),
            lines: [...svg.querySelectorAll("polyline, circle")].map(box),
            words: [...svg.querySelectorAll("text")].map(one => [one.textContent, box(one)]),
        }));
        document.getElementById("measured").textContent = "measured " + btoa(JSON.stringify(all)) + " measured";
        </script></html>"#;
    let probe = page.with_extension("probe.html");
    let body = text[end..].replace("</html>", script);
    fs::write(&probe, format!("{}{body}", &text[..policy])).unwrap();
    let opened = open(browser, &probe);
    let encoded = opened.dom.split("measured ").nth(1).unwrap();
    let json = base64::Engine::decode(
        &base64::prelude::BASE64_STANDARD,
        encoded.split_whitespace().next().unwrap(),
    );
    serde_json::from_slice(&json.unwrap()).unwrap()
}

fn sides(of: &Value) -> [f64; 4] {
    [0, 1, 2, 3].map(|at| of[at].as_f64().unwrap())
}

/// A page that nobody opened could be empty, cut off at its edges, or call home.
#[test]
fn pages_are_drawn_whole_and_ask_for_nothing() {
    let Some(browser) = tool("chromium") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // What the log must be able to show, else its silence would mean nothing.
    fs::write(
        path("control.html"),
        "<!DOCTYPE html><img src=\"http://127.0.0.1:9/x.png\"><script>console.error('spoken')</script>",
    )
    .unwrap();
    let control = open(&browser, &path("control.html"));
    assert_eq!(control.requests.first().map(String::as_str), Some("http://127.0.0.1:9/x.png"));
    assert!(control.console.iter().any(|line| line.contains("spoken")), "{:?}", control.console);

    let small = "[hosts]\nworkstations = 10\nservers = 1\n[browsing]\nvisits_median = 30";
    let thefts = "[thefts]\nbulk = 2\ncloud = 0\nnight = 1\nsplit = 0\nslow = 1";
    fs::write(path("office.toml"), format!("days = 17\n{small}\n{thefts}")).unwrap();
    fs::write(path("grid.toml"), format!("days = 14\nlearn_days = 8\n{small}")).unwrap();
    let file = |name: &str| path(name).to_str().unwrap().to_owned();
    for arguments in [
        ["--office", &file("office.toml"), "--html", &file("office.html"), "--budgets", "1,5"],
        ["--office", &file("grid.toml"), "--html", &file("grid.html"), "--grid", "--uploads=81"],
    ] {
        let output = sekisho().arg("eval").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    for (name, pictures) in [("office.html", 2), ("grid.html", 3)] {
        let opened = open(&browser, &path(name));
        assert!(
            opened.console.is_empty() && opened.requests.is_empty(),
            "{name}: {:?} {:?}",
            opened.console,
            opened.requests
        );
        let measured = measured(&browser, &path(name));
        let measured = measured.as_array().unwrap();
        assert!(measured.len() >= pictures, "{name}: {}", measured.len());
        for picture in measured {
            let [left, top, right, bottom] = sides(&picture["box"]);
            assert!(right - left > 300.0 && bottom - top > 100.0, "{name}: {:?}", picture["box"]);
            let lines = picture["lines"].as_array().unwrap();
            assert!(!lines.is_empty(), "{name}");
            let words = picture["words"].as_array().unwrap();
            for drawn in lines.iter().chain(words.iter().map(|word| &word[1])) {
                let [l, t, r, b] = sides(drawn);
                assert!(
                    left - 1.0 <= l && top - 1.0 <= t && r <= right + 1.0 && b <= bottom + 1.0,
                    "{name}: {drawn} outside {}",
                    picture["box"]
                );
                assert!(r > l || b > t, "{name}: {drawn} is nothing");
            }
            for (at, one) in words.iter().enumerate() {
                for other in &words[at + 1..] {
                    assert!(
                        !overlap(sides(&one[1]), sides(&other[1])),
                        "{name}: {one} over {other}"
                    );
                }
            }
        }
    }
}

/// Do two words cover each other by more than the air around letters?
fn overlap(one: [f64; 4], other: [f64; 4]) -> bool {
    let across = one[2].min(other[2]) - one[0].max(other[0]);
    let down = one[3].min(other[3]) - one[1].max(other[1]);
    across > 2.0 && down > 4.0
}
