//! Live capture, of real clients and servers in network namespaces. Needs root.

mod disk;
mod kept;
mod lab;
mod metrics;
mod programs;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::cli::sekisho;
use crate::support;
use disk::Disk;
use lab::{Lab, Namespace, OUTSIDE, Watch};

fn is_paging(record: &Value) -> bool {
    record["schema"] == "sekisho.alert/1" && record["severity"] != "low"
}

fn count(record: &Value, key: &str) -> u64 {
    record[key].as_u64().unwrap_or_else(|| panic!("{key} in {record}"))
}

/// What a replay of a recording tells.
fn replayed(recording: &Path) -> Vec<Value> {
    let output = sekisho()
        .args(["replay", "--format", "json", "--internal", "10.20.0.0/16"])
        .arg(recording)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Without what a watch and a replay must differ in: why they ended, where it came from, and what only
/// one of them can know.
fn comparable(mut records: Vec<Value>) -> Vec<Value> {
    for record in &mut records {
        record["health"]["dropped"] = Value::Null;
        record["verdicts_after_ms"] = Value::Null;
        for key in ["reason", "files"] {
            record[key] = Value::Null;
        }
    }
    records
}

#[expect(clippy::disallowed_methods, reason = "how late an alert is, only a clock can tell")]
fn seconds_now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

fn seconds(time: &Value) -> f64 {
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    time.as_nanosecond() as f64 / 1e9
}

/// The reason for all of this: the analyst hears of an upload while it runs. What was captured says the same
/// when it is replayed, for one worker and for several.
#[test]
fn an_upload_is_told_while_it_runs() {
    for workers in ["1", "3"] {
        let Some(lab) = Lab::new() else { return };
        let folder = tempfile::tempdir().unwrap();
        let recording = folder.path().join("watched.pcapng");
        let _server = lab.server();
        let state = folder.path().join("state");
        let state = state.to_str().unwrap();
        let recorded = ["-i", "tap0", "--workers", workers, "--write", recording.to_str().unwrap()];
        let arguments = [&recorded[..], &["--state", state, "--learn"]].concat();
        let mut watch = Watch::start(&lab.outside, &arguments);
        watch.hears("tap0: capturing");
        let mut upload = lab.upload(Path::new("/dev/zero"), 40);

        let alert = watch.tells(is_paging);
        let late = seconds_now() - seconds(&alert["time"]);
        assert!(upload.is_running());
        assert!((0.0..2.0).contains(&late), "{late} s after the bytes that justify it");
        assert_eq!(alert["host"]["ip"], "10.20.1.37");
        assert_eq!(alert["destination"]["ips"][0], OUTSIDE);
        assert_eq!(alert["health"]["dropped"], 0.0);

        drop(upload);
        watch.process.signal("-TERM");
        let asked_at = seconds_now();
        let (status, told, _) = watch.ends();
        assert!(seconds_now() - asked_at < 5.0);
        assert!(status.success());
        let closed: Vec<&Value> = told.iter().filter(|record| record["kind"] == "close").collect();
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0]["reason"], "stopped");
        let summary = told.last().unwrap();
        assert_eq!(summary["schema"], "sekisho.summary/1");
        assert!(count(summary, "bytes_out") >= count(&alert, "bytes_out"));
        let id = alert["incident"].as_str().unwrap();
        let shown = sekisho().args(["incidents", "show", id, "--state", state]).output().unwrap();
        assert!(String::from_utf8(shown.stdout).unwrap().contains(OUTSIDE));
        assert_eq!(comparable(told), comparable(replayed(&recording)), "{workers} workers");
    }
}

/// Whoever is woken up opens the file and must see the upload from its first packet on, and by which port it came.
#[test]
fn what_came_before_the_alert_is_kept() {
    let Some(tshark) = support::tool("tshark") else { return };
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("evidence");
    let _server = lab.server();
    let arguments = ["-i", "lo,tap0", "--evidence", dir.to_str().unwrap()];
    let mut watch = Watch::start(&lab.outside, &arguments);
    watch.hears("tap0: capturing");
    let upload = lab.upload(Path::new("/dev/zero"), 20);
    let alert = watch.tells(is_paging);
    drop(upload);
    watch.process.signal("-TERM");
    let (status, told, logged) = watch.ends();
    assert!(status.success(), "{logged:#?}");
    let output = Command::new(tshark)
        .args(["-n", "-T", "fields", "-e", "frame.interface_name", "-e", "tcp.flags.syn", "-r"])
        .arg(alert["evidence"].as_str().unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let is_of_tap = |line: &&str| line.starts_with("tap0\t");
    assert!(lines.len() > 20 && lines.iter().all(is_of_tap), "{:#?}", &lines[..2]);
    assert!(lines[0].ends_with('1') || lines[0].ends_with("True"), "{}", lines[0]);
    let evidence = &told.last().unwrap()["evidence"];
    assert_eq!(count(evidence, "packets"), lines.len() as u64);
}

/// The disk for evidence may stand still, as a network drive does whose server is away: no verdict waits for it, no
/// packet is lost, and what was to be kept is there when it goes on.
#[test]
fn no_packet_waits_for_a_disk() {
    let Some(lab) = Lab::new() else { return };
    let Some(disk) = Disk::mount() else { return };
    let dir = disk.path().join("evidence");
    let _server = lab.server();
    let arguments = ["-i", "tap0", "--evidence", dir.to_str().unwrap()];
    let mut watch = Watch::start(&lab.outside, &arguments);
    watch.hears("tap0: capturing");
    let frozen = disk.freeze();
    let upload = lab.upload(Path::new("/dev/zero"), 20);
    let alert = watch.tells(is_paging);
    let late = seconds_now() - seconds(&alert["time"]);
    assert!((0.0..2.0).contains(&late), "{late} s after the bytes that justify it");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    let more = watch.tells(|record| record["kind"] == "update");
    assert_eq!((&more["incident"], &more["health"]["dropped"]), (&alert["incident"], &0.0.into()));
    drop(frozen);
    drop(upload);
    watch.process.signal("-TERM");
    let (status, told, logged) = watch.ends();
    assert!(status.success(), "{logged:#?}");
    let evidence = &told.last().unwrap()["evidence"];
    assert!(count(evidence, "packets") > 20);
    assert_eq!((count(evidence, "packets_lost"), count(evidence, "files_incomplete")), (0, 0));
    let kept = replayed(Path::new(alert["evidence"].as_str().unwrap()));
    assert_eq!(count(kept.last().unwrap(), "packets"), count(evidence, "packets"));
}

/// As little do packets wait for the disk of the recording, or verdicts for that of what is told and learned. What is
/// told waits, and can be seen to; when the disk goes on all of it is there, in the recording too.
#[test]
fn what_is_written_beside_waits_alone() {
    let Some(lab) = Lab::new() else { return };
    let Some(disk) = Disk::mount() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("sekisho.prom");
    let path = |name: &str| disk.path().join(name).to_str().unwrap().to_owned();
    let (told, recording, state) = (path("told"), path("recording.pcapng"), path("state"));
    let _server = lab.server();
    let options = ["-o", &told, "--write", &recording, "--state", &state, "--learn"];
    let arguments = [&["-i", "tap0", "--metrics", page.to_str().unwrap()][..], &options].concat();
    let mut watch = Watch::start(&lab.outside, &arguments);
    watch.hears("tap0: capturing");
    let frozen = disk.freeze();
    let upload = lab.upload(Path::new("/dev/zero"), 20);
    let shown = |name: &str| metrics::read(&page).get(name).copied().unwrap_or_default();
    watch.sees(|| shown("sekisho_untold_bytes") > 0.0);
    assert_eq!(fs::metadata(&told).unwrap().len(), 0);
    let sent = shown("sekisho_packets_total");
    watch.sees(|| shown("sekisho_packets_total") > sent + 1000.0);
    drop(upload);
    drop(frozen);
    watch.sees(|| shown("sekisho_untold_bytes") == 0.0);
    watch.process.signal("-TERM");
    let (status, _, logged) = watch.ends();
    assert!(status.success(), "{logged:#?}");
    let told: Vec<Value> = fs::read_to_string(&told)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = told.last().unwrap();
    assert!(told.iter().any(is_paging) && count(summary, "packets_dropped") == 0);
    let again = replayed(Path::new(&recording));
    assert_eq!(count(again.last().unwrap(), "packets"), count(summary, "packets"));
    assert_eq!(kept::on_record(Path::new(&state)), 1);
}

/// A sensor runs for months: cables are pulled, drivers reloaded, interfaces renamed at boot. Each is said
/// once, and none of it needs a hand.
#[test]
fn an_interface_that_goes_away_is_waited_for() {
    let Some(lab) = Lab::new() else { return };
    let datagrams = format!(
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         for _ in range(10): s.sendto(bytes(100), ('{OUTSIDE}', 9))"
    );
    lab.outside.ip("link set tap0 down");
    let mut watch = Watch::start(&lab.outside, &["-i", "tap0,tap1", "--filter", "udp"]);
    watch.hears("tap0: is down");
    watch.hears("tap1: there is no such interface");
    lab.outside.ip("link set tap0 up");
    watch.hears("tap0: capturing");

    lab.outside.ip("link set tap0 down");
    watch.hears("tap0: is down");
    lab.outside.ip("link set tap0 up");
    watch.hears("tap0: is up again");
    lab.outside.ip("route replace 10.20.1.37/32 dev tap0");
    lab.inside.python(&datagrams);

    lab.outside.ip("link set tap0 down");
    lab.outside.ip("link set tap0 name tap1");
    // libpcap or we ourselves notice first.
    watch.hears("; waiting for it");
    lab.outside.ip("link set tap1 up");
    watch.hears("tap1: capturing");
    lab.inside.python(&datagrams);

    lab.outside.ip("link del tap1");
    watch.hears("; waiting for it");
    lab.inside.connect("in1", &lab.outside, "tap0");
    watch.hears("tap0: capturing");
    lab.inside.ip("addr add 10.20.1.37/32 dev in1");
    lab.inside.ip(&format!("route add {OUTSIDE}/32 dev in1"));
    lab.outside.ip(&format!("addr add {OUTSIDE}/32 dev tap0"));
    lab.inside.python(&datagrams);

    watch.process.signal("-INT");
    let (status, told, logged) = watch.ends();
    assert!(status.success());
    let summary = told.last().unwrap();
    assert_eq!(count(summary, "packets"), 30, "{logged:#?}");
    assert_eq!(count(summary, "bytes_out"), 3000);
    assert!(logged.len() < 20, "{logged:#?}");
}

/// A slip in a rule file at noon must not blind the sensor, nor forget what it knew.
#[test]
fn bad_rules_change_nothing() {
    let Some(lab) = Lab::new() else { return };
    let rules = tempfile::tempdir().unwrap();
    let file = rules.path().join("destinations.yaml");
    let category =
        |category: &str| format!("categories:\n  {category}:\n    networks:\n      - {OUTSIDE}\n");
    fs::write(&file, category("file-sharing")).unwrap();
    let _server = lab.server();
    let folder = rules.path().to_str().unwrap();
    let mut watch = Watch::start(&lab.outside, &["-i", "tap0", "--rules", folder]);
    watch.hears("tap0: capturing");

    fs::write(&file, category("file-shraing")).unwrap();
    watch.process.signal("-HUP");
    watch.hears("file-shraing");
    watch.hears("the old rules stay in force");
    let _upload = lab.upload(Path::new("/dev/zero"), 40);
    let before = watch.tells(is_paging);
    assert_eq!(before["destination"]["category"], "file-sharing");

    fs::write(&file, category("paste")).unwrap();
    watch.process.signal("-HUP");
    watch.hears("rules reloaded");
    let after = watch.tells(|record| {
        record["kind"] == "update" && record["sensor"]["config"] != before["sensor"]["config"]
    });
    assert_eq!(after["destination"]["category"], "paste");
}

/// A limit that somebody sets while an upload runs, which would pass without it, is in force at once.
#[test]
fn a_limit_counts_from_when_it_is_read() {
    let Some(lab) = Lab::new() else { return };
    let rules = tempfile::tempdir().unwrap();
    fs::write(rules.path().join("defaults.yaml"), "budget_per_day: 1\n").unwrap();
    let _server = lab.server();
    let folder = rules.path().to_str().unwrap();
    let mut watch = Watch::start(&lab.outside, &["-i", "tap0", "--rules", folder]);
    watch.hears("tap0: capturing");
    let _upload = lab.upload(Path::new("/dev/zero"), 1);
    let limit = format!(
        "thresholds:\n  - name: hardly anything\n    owner: soc\n    reason: a test\n    \
         to: [{OUTSIDE}]\n    bytes_per_day: 2MB\n"
    );
    fs::write(rules.path().join("thresholds.yaml"), limit).unwrap();
    watch.process.signal("-HUP");
    watch.hears("rules reloaded");
    let alert = watch.tells(is_paging);
    let limit = alert["why"].as_array().unwrap().iter().find(|why| why["term"] == "limit");
    assert_eq!(limit.unwrap()["values"]["rule"], "hardly anything", "{alert}");
    assert!(count(&alert, "bytes_out") < 10_000_000, "{alert}");
}

/// A tunnel of the real tool: told under its domain, by what its names say, and not as bytes to a server.
#[test]
fn a_tunnel_in_names_is_told_while_it_runs() {
    let (Some(server), Some(client)) = (support::tool("iodined"), support::tool("iodine")) else {
        return;
    };
    if !Path::new("/dev/net/tun").exists() {
        return support::say_skipped("this kernel gives programs no interfaces (/dev/net/tun)");
    }
    let Some(lab) = Lab::new() else { return };
    let mut watch = Watch::start(&lab.outside, &["-i", "tap0"]);
    watch.hears("tap0: capturing");
    let _server = lab.tunnel_server(&server, "t.tunnel.example");
    let _client = lab.tunnel_client(&client, "t.tunnel.example");
    let _upload = lab.upload_within("192.168.99.1", 100_000);
    let is_much = |record: &Value| is_paging(record) && count(record, "bytes_out") > 20_000;
    let alert = watch.tells(is_much);
    assert_eq!((&alert["family"], &alert["host"]["ip"]), (&"dns".into(), &"10.20.1.37".into()));
    assert_eq!(alert["destination"]["key"], "tunnel.example");
    assert!(watch.told.iter().all(|record| record["family"] == "dns"), "{:#?}", watch.told);
}

/// Whoever rotates the file of alerts moves it away and says so; what comes then is in a new one.
#[test]
fn the_output_is_opened_anew() {
    let Some(place) = Namespace::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (output, rotated) = (folder.path().join("alerts"), folder.path().join("alerts.1"));
    let mut watch = Watch::start(&place, &["-i", "lo", "-o", output.to_str().unwrap()]);
    watch.hears("lo: capturing");
    fs::rename(&output, &rotated).unwrap();
    watch.process.signal("-HUP");
    watch.hears("rules reloaded");
    assert!(output.exists());
    watch.process.signal("-TERM");
    watch.ends();
    let text = fs::read_to_string(&output).unwrap();
    assert!(text.contains("sekisho.summary/1"), "{text}");
    assert_eq!(fs::read_to_string(&rotated).unwrap(), "");
}

/// Who cannot keep up must say so: every packet is counted, or counted as lost, and alerts tell.
#[test]
fn what_is_lost_is_said() {
    let Some(lab) = Lab::new() else { return };
    let _server = lab.server();
    let filter = "udp port 9 or tcp port 8080";
    let arguments = ["-i", "in0", "--ring-buffer", "1MiB", "--filter", filter];
    let mut watch = Watch::start(&lab.inside, &arguments);
    watch.hears("in0: capturing");
    watch.process.signal("-STOP");
    lab.inside.python(&format!(
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         for _ in range(5000): s.sendto(bytes(1400), ('{OUTSIDE}', 9))"
    ));
    watch.process.signal("-CONT");
    let line = watch.hears("in0: lost ");
    assert!(line.contains("found the ring full"), "{line}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records");
    fs::write(&file, vec![7; 100_000_000]).unwrap();
    let _upload = lab.upload(&file, 60);
    let alert = watch.tells(is_paging);
    assert!(alert["health"]["dropped"].as_f64().unwrap() > 0.0, "{alert}");
    watch.process.signal("-TERM");
    let (_, told, _) = watch.ends();
    let summary = told.last().unwrap();
    assert!(summary["health"]["dropped"].as_f64().unwrap() > 0.0);
    assert!(count(summary, "packets_dropped") > 0);
}

/// Every packet sent is either handed on or counted as lost, however full the ring was.
#[test]
fn every_packet_is_accounted_for() {
    let Some(lab) = Lab::new() else { return };
    let arguments = ["-i", "in0", "--ring-buffer", "1MiB", "--filter", "udp port 9"];
    let mut watch = Watch::start(&lab.inside, &arguments);
    watch.hears("in0: capturing");
    let datagrams = format!(
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         for _ in range(5000): s.sendto(bytes(1400), ('{OUTSIDE}', 9))"
    );
    lab.inside.python(&datagrams);
    watch.process.signal("-STOP");
    lab.inside.python(&datagrams);
    watch.process.signal("-CONT");
    watch.hears("in0: lost ");
    watch.process.signal("-TERM");
    let (_, told, _) = watch.ends();
    let summary = told.last().unwrap();
    let (seen, lost) = (count(summary, "packets"), count(summary, "packets_dropped"));
    assert!(lost > 0 && seen > 0);
    assert_eq!(seen + lost, 10_000);
}

/// The two legs of a TAP see one direction each. Put together, no byte is missing and none comes before
/// what it answers.
#[test]
fn two_legs_make_one_stream() {
    let Some(lab) = Lab::new() else { return };
    lab.outside.connect("tap1", &lab.inside, "in1");
    // Answers go the other way round.
    lab.outside.ip("route replace 10.20.1.37/32 dev tap1");
    for (place, name) in
        [(&lab.inside, "in0"), (&lab.inside, "in1"), (&lab.outside, "tap0"), (&lab.outside, "tap1")]
    {
        let setting = format!("net.ipv4.conf.{name}.rp_filter=0");
        place.command("sysctl").args(["-qw", &setting]).status().unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, recording) = (folder.path().join("records"), folder.path().join("watched.pcapng"));
    fs::write(&file, vec![7; 30_000_000]).unwrap();
    let _server = lab.server();
    let recording_name = recording.to_str().unwrap();
    let arguments = ["-i", "tap0,tap1", "--filter", "tcp", "--write", recording_name];
    let mut watch = Watch::start(&lab.outside, &arguments);
    watch.hears(": capturing");
    watch.hears(": capturing");
    let mut upload = lab.upload(&file, 100);
    assert!(upload.0.wait().unwrap().success());
    watch.process.signal("-TERM");
    let (_, told, logged) = watch.ends();
    let summary = told.last().unwrap();
    assert_eq!(summary["health"]["one_sided"], 0.0, "{logged:?}");
    assert_eq!(summary["health"]["lost"], 0.0);
    assert_eq!(count(summary, "tcp_rejected"), 0);
    // The request's head, and how its body is cut into chunks, come on top.
    let sent = count(summary, "bytes_out");
    assert!((30_000_000..30_200_000).contains(&sent), "{sent}");
    assert_eq!(comparable(told), comparable(replayed(&recording)));
}

/// The interface takes VLAN tags off before the frame is seen; whoever keys flows by VLAN needs them back.
#[test]
fn vlan_tags_are_there() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("watched.pcapng");
    let arguments = ["-i", "tap0", "--duration", "2s", "--write", recording.to_str().unwrap()];
    let mut watch = Watch::start(&lab.outside, &arguments);
    watch.hears("tap0: capturing");
    let frame = ipv4_in_vlan_100();
    lab.inside.python(&format!(
        "import socket\ns = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n\
         s.bind(('in0', 0))\ns.send(bytes({frame:?}))"
    ));
    let (status, _, _) = watch.ends();
    assert!(status.success());
    let output = sekisho().args(["flows", "--quiet"]).arg(&recording).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let flows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let udp = flows.iter().find(|flow| flow["proto"] == "udp" && flow["peer_port"] == 9).unwrap();
    assert_eq!(udp["vlan"], 100, "{udp}");
}

/// 100 bytes over UDP to port 9, tagged.
fn ipv4_in_vlan_100() -> Vec<u8> {
    let mut frame = vec![0xff; 12];
    frame.extend([0x81, 0x00, 0, 100, 0x08, 0x00]);
    frame.extend([0x45, 0, 0, 128, 0, 1, 0, 0, 64, 17, 0, 0, 10, 20, 1, 37, 198, 51, 100, 7]);
    frame.extend([0x9c, 0x40, 0, 9, 0, 108, 0, 0]);
    frame.extend([0; 100]);
    frame
}

/// Whoever fools a parser must find nothing to read but what the process was told of: a file in the rules folder that leads
/// elsewhere is refused, and so is an output that does, by the kernel.
#[test]
fn other_files_are_out_of_reach() {
    let Some(place) = Namespace::new() else { return };
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (rules, logs) = (own.path().join("rules"), own.path().join("logs"));
    fs::create_dir(&rules).unwrap();
    fs::create_dir(&logs).unwrap();
    fs::write(rules.join("defaults.yaml"), "budget_per_day: 1\n").unwrap();
    let output = logs.join("alerts");
    let (folder, to) = (rules.to_str().unwrap(), output.to_str().unwrap());
    let mut watch = Watch::start(&place, &["-i", "lo", "--rules", folder, "-o", to]);
    if watch.hears("confined").contains("no landlock") {
        return support::say_skipped("this kernel has no landlock");
    }
    watch.hears("lo: capturing");
    let elsewhere = other.path().join("networks.yaml");
    fs::write(&elsewhere, "roles: {}\n").unwrap();
    let inside = rules.join("networks.yaml");
    std::os::unix::fs::symlink(&elsewhere, &inside).unwrap();
    watch.process.signal("-HUP");
    watch.hears("ermission denied");
    fs::remove_file(&inside).unwrap();
    fs::remove_file(&output).unwrap();
    std::os::unix::fs::symlink(other.path().join("alerts"), &output).unwrap();
    watch.process.signal("-HUP");
    watch.hears("the old one stays open");
    watch.hears("rules reloaded");
    assert!(!other.path().join("alerts").exists());
    fs::remove_file(&output).unwrap();
    watch.process.signal("-HUP");
    watch.hears("rules reloaded");
    assert!(output.exists());
}

/// Whoever fools a parser must find no privilege to take: only the thread that opens interfaces keeps
/// what that takes.
#[test]
fn privileges_are_given_up() {
    let Some(place) = Namespace::new() else { return };
    let mut watch = Watch::start(&place, &["-i", "lo", "--workers", "3"]);
    watch.hears("lo: capturing");
    // Frames are looked at by now, and all threads are there.
    place.python("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))");
    watch.process.signal("-HUP");
    watch.hears("rules reloaded");
    let tasks = format!("/proc/{}/task", watch.process.0.id());
    let mut threads = 0;
    for task in fs::read_dir(tasks).unwrap() {
        let task = task.unwrap().path();
        let name = fs::read_to_string(task.join("comm")).unwrap();
        let status = fs::read_to_string(task.join("status")).unwrap();
        let line = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim().to_owned()
        };
        let allowed = if name == "opener\n" { NET_RAW } else { 0 };
        for key in ["CapPrm:", "CapEff:", "CapInh:", "CapAmb:"] {
            let held = u64::from_str_radix(&line(key), 16).unwrap();
            assert_eq!(held & !allowed, 0, "{name} {key}");
        }
        assert_eq!(line("NoNewPrivs:"), "1", "{name}");
        assert_eq!(line("Seccomp:"), "2", "{name} may call all of the kernel");
        threads += 1;
    }
    // One reads and judges, one opens, two count.
    assert!(threads >= 4, "{threads}");
}

const NET_RAW: u64 = 1 << 13;

/// The message is all that a user without rights sees: it must say what to type.
#[test]
fn a_missing_privilege_is_named() {
    let Some(place) = Namespace::new() else { return };
    let Some(setpriv) = support::tool("setpriv") else { return };
    let program = env!("CARGO_BIN_EXE_sekisho");
    let run = |arguments: &[&str]| {
        let mut command = place.command(&setpriv);
        command.args(["--bounding-set", "-net_raw", program]).args(arguments);
        command.output().unwrap()
    };
    let refused = run(&["watch", "-i", "lo"]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(text.contains("lo: this takes CAP_NET_RAW"), "{text}");
    assert!(text.contains("sudo setcap cap_net_raw+ep /"), "{text}");
    let listed = String::from_utf8(run(&["interfaces"]).stdout).unwrap();
    assert!(listed.contains("lo ") && listed.contains("setcap"), "{listed}");
    let may = place.command(program).args(["interfaces", "--format", "json"]).output().unwrap();
    let may: Value = serde_json::from_slice(&may.stdout).unwrap();
    assert_eq!((&may["may_capture"], &may["interfaces"][0]["name"]), (&true.into(), &"lo".into()));
}

#[test]
fn the_service_manager_is_told() {
    let Some(place) = Namespace::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let mut command = place.command(env!("CARGO_BIN_EXE_sekisho"));
    command.args(["watch", "-i", "lo"]).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let watch = Watch::spawn(command);
    let hear = |part: &str| {
        let mut message = [0; 1000];
        loop {
            let len = loop {
                match socket.recv(&mut message) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    len => break len.unwrap(),
                }
            };
            if String::from_utf8_lossy(&message[..len]).contains(part) {
                return;
            }
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    watch.process.signal("-TERM");
    hear("STOPPING=1");
}

/// Whoever asks twice does not want to wait any longer, whatever it hangs on.
#[test]
fn the_second_signal_ends_it_at_once() {
    let Some(place) = Namespace::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("nobody-reads-this");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut watch = Watch::start(&place, &["-i", "lo", "-o", pipe.to_str().unwrap()]);
    let has_term = |status: &str, key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap() & SIGTERM != 0
    };
    let path = format!("/proc/{}/status", watch.process.0.id());
    let wait_until = |holds: &dyn Fn(&str) -> bool| {
        while !holds(&fs::read_to_string(&path).unwrap()) {
            std::thread::yield_now();
        }
    };
    wait_until(&|status| has_term(status, "SigCgt:"));
    watch.process.signal("-TERM");
    wait_until(&|status| !has_term(status, "ShdPnd:"));
    assert!(watch.process.is_running());
    watch.process.signal("-TERM");
    assert_eq!(watch.process.0.wait().unwrap().code(), Some(143));
}

/// Of signal 15, in the masks of `/proc/PID/status`.
const SIGTERM: u64 = 1 << 14;

/// Mistakes are answered before anything is opened.
#[test]
fn mistakes_end_the_start() {
    for (arguments, part) in [
        (vec!["watch"], "no interface given"),
        (vec!["watch", "-i", "lo,lo"], "lo: named twice"),
        (vec!["watch", "-i", "lo", "--filter", "tcp prot 443"], "tcp prot 443"),
        (vec!["watch", "-i", "lo", "--ring-buffer", "10B"], "between 1 and 2047 MiB"),
        (vec!["watch", "-i", "lo", "--snap-length", "20"], "snap_length: must be 96"),
        (vec!["watch", "-i", "lo", "--since", "2026-01-01"], "--duration"),
        (vec!["watch", "-i", "lo", "--duration", "soon"], "soon"),
    ] {
        let output = sekisho().args(&arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
}
