//! The office beside recorded traffic, as docs/synth.md shows it: `make office-plot` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{Office, Parameters};
use crate::capture::{self, FileSource};
use crate::egress::{Crossing, Place};
use crate::engine::{self, Reported, Run, count};
use crate::flow::{self, FlowDelta};
use crate::net::{Addr, Subnets};
use crate::plot::{Chart, Panel, Scale, Series};

/// What each host sent to each destination on each day, and in each hour.
#[derive(Default)]
struct Traffic {
    days: BTreeMap<(Addr, u64), BTreeMap<Addr, (u64, u64)>>,
    hours: BTreeMap<(Addr, u64), u64>,
}

/// What is compared: bytes out of a host-hour (MB), destinations of a host-day, those new to the host,
/// producer–consumer ratio of a host-day; each as 21 quantiles.
const MEASURES: [(&str, &str); 4] = [
    ("mb-out-of-a-host-hour", "MB out of a host-hour"),
    ("destinations-of-a-host-day", "destinations of a host-day"),
    ("new-destinations-of-a-host-day", "new destinations of a host-day, from the sixth day on"),
    ("ratio-of-a-host-day", "producer–consumer ratio of a host-day"),
];

/// Of one source and measure.
type Quantiles = BTreeMap<(String, String), Vec<f64>>;

impl Traffic {
    fn add(&mut self, (host, peer): (Addr, Addr), secs: u64, (out, back): (u64, u64)) {
        if out + back == 0 {
            return;
        }
        let pair = self.days.entry((host, secs / 86_400)).or_default().entry(peer).or_default();
        *pair = (pair.0 + out, pair.1 + back);
        *self.hours.entry((host, secs / 3600)).or_default() += out;
    }

    fn fold(&mut self, internal: &Subnets, delta: &FlowDelta, is_meant: impl Fn(Addr) -> bool) {
        let Place::Border(Crossing { host, peer, side, .. }) = Place::of(internal, &delta.key)
        else {
            return;
        };
        if is_meant(host) {
            let (out, back) = (delta.sent_by(side).sent, delta.sent_by(side.other()).sent);
            self.add((host, peer), delta.last_at.as_secs() + TOKYO_SECS, (out, back));
        }
    }

    fn quantiles(&self, source: &str) -> Quantiles {
        let mb = self.hours.values().filter(|&&out| out > 0).map(|&out| out as f64 / 1e6);
        let active = || self.days.iter().filter(|(_, pairs)| pairs.len() > 5);
        let first = self.days.keys().map(|&(_, day)| day).min().unwrap_or(0);
        let mut seen: BTreeMap<Addr, BTreeSet<Addr>> = BTreeMap::new();
        let mut new = Vec::new();
        let mut by_day: Vec<_> = active().collect();
        by_day.sort_by_key(|((_, day), _)| *day);
        for ((host, day), pairs) in by_day {
            let seen = seen.entry(*host).or_default();
            let fresh = pairs.keys().filter(|&&peer| seen.insert(peer)).count();
            if *day >= first + 5 {
                new.push(fresh as f64);
            }
        }
        let ratio = |pairs: &BTreeMap<Addr, (u64, u64)>| {
            let sum = pairs.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            (sum.0 as f64 - sum.1 as f64) / (sum.0 + sum.1).max(1) as f64
        };
        let values = [
            mb.collect(),
            active().map(|(_, pairs)| pairs.len() as f64).collect(),
            new,
            active().map(|(_, pairs)| ratio(pairs)).collect::<Vec<f64>>(),
        ];
        let rows = MEASURES.iter().zip(values).filter(|(_, values)| !values.is_empty());
        rows.map(|((measure, _), values)| {
            ((source.to_owned(), (*measure).to_owned()), quantiles(values))
        })
        .collect()
    }
}

fn quantiles(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    (0..=20).map(|at| rounded(values[(values.len() - 1) * at / 20])).collect()
}

/// Twelve working days and four others of 36 workstations.
fn generated() -> Quantiles {
    let like = "days = 16\n[hosts]\nworkstations = 36\nservers = 0\n\
                [thefts]\nbulk = 0\ncloud = 0\nnight = 0\nsplit = 0\nslow = 0";
    let mut traffic = Traffic::default();
    let internal = Subnets::private();
    let office = Office::new(Parameters::parse(like).unwrap(), 1).unwrap();
    for delta in office.filter_map(|report| report.delta().cloned()) {
        traffic.fold(&internal, &delta, |_| true);
    }
    traffic.quantiles(GENERATED)
}

/// A day of one workstation from Zeek's log of connections; those that others opened are scans.
fn workstation_day(log: &Path, source: &str, host: &str) -> Quantiles {
    let text = std::fs::read_to_string(log).unwrap();
    let mut traffic = Traffic::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let field: Vec<&str> = line.split('\t').collect();
        let addr = |text: &str| Addr::from(text.parse::<std::net::IpAddr>().unwrap());
        if field[2] == host && !field[4].starts_with("147.32.") {
            let number = |at: usize| field[at].parse::<f64>().unwrap_or(0.0) as u64;
            let local = number(0) + PRAGUE_SECS;
            traffic.add((addr(field[2]), addr(field[4])), local, (number(9), number(10)));
        }
    }
    traffic.quantiles(source)
}

/// Sixteen days of 36 workstations, put together from recorded sessions.
fn recorded_office(folder: &Path) -> Quantiles {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let internal = Subnets::private();
    let run = Run { flow: flow::Options::default(), names: None, internal, workers: 1 };
    let mut source = FileSource::open(&files, capture::Options::default()).unwrap();
    let mut traffic = Traffic::default();
    let is_workstation = |host: Addr| {
        let [a, b, c, d] = (host.to_bits() as u32).to_be_bytes();
        host.to_ip().is_ipv4() && [a, b, c] == [10, 20, 1] && (20..=55).contains(&d)
    };
    let take = |_: &mut FileSource, reports: &engine::Reports| {
        for reported in reports.in_order() {
            if let Reported::Delta(delta) = reported {
                traffic.fold(&run.internal, delta, is_workstation);
            }
        }
        ControlFlow::Continue(())
    };
    count(&mut source, &run, take).unwrap();
    traffic.quantiles("recorded sessions, 36 workstations")
}

const TOKYO_SECS: u64 = 9 * 3600;
const PRAGUE_SECS: u64 = 2 * 3600;
const GENERATED: &str = "this office, 36 workstations";
const MEASURED: &str = "docs/office-measured.tsv";
const PICTURE: &str = "docs/office.svg";

fn read_measured() -> Quantiles {
    let text = std::fs::read_to_string(root().join(MEASURED)).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let mut fields = row.split('\t');
        let mut word = || fields.next().unwrap().to_owned();
        let of = (word(), word());
        (of, fields.map(|number| number.parse().unwrap()).collect())
    })
    .collect()
}

fn picture(all: &Quantiles) -> String {
    let sources: BTreeSet<&String> = all.keys().map(|(source, _)| source).collect();
    let line = |source: &String, measure: &str| {
        let quantiles = all.get(&(source.clone(), measure.to_owned()));
        let points = quantiles.into_iter().flatten().enumerate();
        Series {
            // Without any it keeps its colour for the next panel.
            name: if quantiles.is_some() { source.clone() } else { format!("({source}: none)") },
            points: points.map(|(at, &value)| (value, at as f64 * 5.0)).collect(),
            ..Series::default()
        }
    };
    let panel = |(at, (measure, words)): (usize, &(&str, &str))| Panel {
        unit: format!("% below; {words}"),
        across: if at < 2 { Scale::Powers { shift: 0.0 } } else { Scale::Even },
        up: Some(Scale::Even),
        series: sources.iter().map(|source| line(source, measure)).collect(),
    };
    let panels = MEASURES.iter().enumerate().map(panel).collect();
    Chart { head: vec!["The office that never was beside recorded traffic".to_owned()], panels }
        .svg()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_blessed() -> bool {
    std::env::var_os("SEKISHO_BLESS").is_some()
}

/// The picture must be of this office: who changes a habit sees it beside what was recorded.
#[test]
fn the_picture_in_the_docs_is_of_this_office() {
    if is_blessed() {
        let folder = |name| PathBuf::from(std::env::var_os(name).unwrap());
        let (corpus, scenarios) = (folder("SEKISHO_CORPUS"), folder("SEKISHO_SCENARIOS"));
        let mut measured = recorded_office(&scenarios.join("baseline"));
        let log = |name: &str| corpus.join("benign").join(name).join("conn.log.labeled");
        measured.extend(workstation_day(
            &log("ctu-008"),
            "idle workstation, one day",
            "147.32.81.167",
        ));
        measured.extend(workstation_day(
            &log("ctu-010"),
            "workstation in use, one day",
            "147.32.83.234",
        ));
        let mut text = HEAD.to_owned();
        for ((source, measure), quantiles) in &measured {
            let numbers: Vec<String> = quantiles.iter().map(ToString::to_string).collect();
            text += &format!("{source}\t{measure}\t{}\n", numbers.join("\t"));
        }
        std::fs::write(root().join(MEASURED), text).unwrap();
    }
    let mut all = read_measured();
    all.extend(generated());
    let drawn = picture(&all);
    if is_blessed() {
        std::fs::write(root().join(PICTURE), &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(root().join(PICTURE)).unwrap();
    assert!(drawn == kept, "{PICTURE} is of another office; make office-plot draws it anew");
}

const HEAD: &str = "\
# Source, measure, and quantiles at 0, 5, ... 100 %. Derived from: CTU-Normal-40 and CTU-Normal-42 (Stratosphere IPS,\n\
# security-datasets-for-testing, 008 and 010), connections that the workstation opened; sixteen days of a laboratory's\n\
# 36 workstations, recorded sessions placed by a schedule. Written by make office-plot.\n";
