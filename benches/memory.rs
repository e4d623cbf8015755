//! What many hosts and destinations cost: 100,000 hosts that send to 10 million destinations in three
//! days. Prints the peak of resident memory after each day, and how long all that was learned takes to be
//! written and read.
//!
//! `cargo bench --bench memory`

#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::time::Instant;

use sekisho::config::{Keys, Settings};
use sekisho::engine::Analyst;
use sekisho::flow::{Counters, FlowDelta};
use sekisho::net::{Addr, Endpoint, Protocol};
use sekisho::state::State;
use sekisho::time::Timestamp;

const HOSTS: u32 = 100_000;
const DESTINATIONS: u32 = 10_000_000;
const DAYS: u64 = 3;

fn main() {
    // `cargo bench` passes its own arguments; `cargo test` only wants to know that it runs.
    let scale = if std::env::args().any(|argument| argument == "--bench") { 1 } else { 1000 };
    let settings = Settings::of(&Keys::default()).expect("the shipped rules are valid");
    let options = settings.analyst;
    let mut analyst = Analyst::new(options.clone());
    println!("start: {} MiB", peak_mib());
    for day in 0..DAYS {
        for n in 0..DESTINATIONS / scale {
            analyst.fold([&delta(day, n, scale)]);
            analyst.drain();
        }
        println!("day {}: {} MiB", day + 1, peak_mib());
    }
    let (hosts, pairs, destinations) = analyst.baseline().sizes();
    println!("learned: {hosts} hosts, {pairs} pairs, {destinations} destinations");
    let dir = tempfile::tempdir().expect("a folder for the state");
    let mut state = State::write(dir.path()).expect("nobody else has it");
    let started = Instant::now();
    state.save(&analyst).expect("there is room on the disk");
    let bytes = std::fs::metadata(dir.path().join("learned.state")).map_or(0, |file| file.len());
    println!("written in {:.2?}: {} MB, {} MiB", started.elapsed(), bytes / 1_000_000, peak_mib());
    drop(analyst);
    let started = Instant::now();
    let read = state.load(&options).expect("it was just written");
    println!("read in {:.2?}: {} MiB", started.elapsed(), peak_mib());
    drop(read);
}

/// The n-th destination of the day, from one host after the other.
fn delta(day: u64, n: u32, scale: u32) -> FlowDelta {
    let host = 0x0a00_0000 + n % (HOSTS / scale);
    let peer = 0x2000_0000 + n;
    let end = |addr: u32, port| Endpoint { addr: Addr::from_v4(addr.to_be_bytes()), port };
    let bytes = 1000 + u64::from(n % 7919);
    let sent = Counters {
        payload: bytes,
        acked: bytes,
        sent: bytes,
        wire: bytes + 40,
        packets: 2,
        ..Counters::default()
    };
    let at = Timestamp::from_secs_nanos(1_773_000_000 + day * 86_400 + u64::from(n / 1000), 0);
    let (from, to) = (end(host, 50_000), end(peer, 443));
    FlowDelta::new(from, to, Protocol::TCP, at, [sent, Counters::default()])
}

/// Peak of resident memory, as Linux counts it; 0 elsewhere.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0)
        / 1024
}
