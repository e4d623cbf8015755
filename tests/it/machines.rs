//! Machines in recorded traffic: what is heard, against tshark, and what `sekisho hosts` makes of it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use sekisho::alert::Record;
use sekisho::capture::memory::MemorySource;
use sekisho::capture::{FileSource, Options, Source};
use sekisho::census::{Census, HostRecord, Order};
use sekisho::config::{Keys, Settings};
use sekisho::egress::Ledger;
use sekisho::engine::{Analyst, Reported, Run, count, replay};
use sekisho::frame::{Batch, Frame, LinkType};
use sekisho::machines::{Claim, ClaimSource, Says};
use sekisho::net::Addr;
use sekisho::time::Timestamp;

use crate::laws::pcap;
use crate::support::{corpus, tool};

/// Captures of access networks: no tunnels, nothing broken.
const RECORDED: [&str; 12] = [
    "benign/ntop__iphone.pcap",
    "benign/ntop__android.pcap",
    "benign/cisco__firefox58.pcap",
    "benign/ntop__signal.pcap",
    "benign/ntop__zoom.pcap",
    "benign/ntop__1kxun.pcap",
    "benign/ntop__alexa-app.pcapng",
    "benign/ntop__telegram.pcap",
    "benign/ntop__teams.pcap",
    "benign/ntop__nest_log_sink.pcap",
    "benign/brimdata__sample.pcap",
    "encap/zeek__q-in-q.pcap",
];

fn claims(path: &Path, workers: usize) -> Vec<Claim> {
    let settings = Settings::of(&Keys::default()).unwrap();
    let run = Run { workers, ..settings.run };
    let mut source = FileSource::open(&[path.to_owned()], Options::default()).unwrap();
    let mut claims = Vec::new();
    count(&mut source, &run, |_, reports| {
        claims.extend(reports.claims.iter().map(|(_, claim)| claim.clone()));
        ControlFlow::Continue(())
    })
    .unwrap();
    claims
}

/// The cells of some fields of the packets that a filter lets through.
fn tshark(program: &Path, path: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let output = Command::new(program)
        .args(["-n", "-T", "fields", "-E", "occurrence=f", "-Y", filter, "-r"])
        .arg(path)
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Two programs that share no code hear the same addresses, leases and names.
#[test]
fn what_is_heard_is_what_tshark_reads() {
    let (Some(corpus), Some(program)) = (corpus(), tool("tshark")) else { return };
    let mut kinds = BTreeSet::new();
    for path in RECORDED {
        let path = corpus.join(path);
        let ours: BTreeSet<String> = claims(&path, 1)
            .into_iter()
            .filter_map(|claim| match (claim.source, claim.says) {
                (ClaimSource::Arp, Says::Bears { mac, addr, .. }) => {
                    Some(format!("arp {mac} {addr}"))
                }
                (ClaimSource::Dhcp, Says::Bears { mac, addr, lease }) => {
                    Some(format!("lease {mac} {addr} {}", lease.unwrap().as_secs()))
                }
                (ClaimSource::Dhcp, Says::Named(mac, name)) => Some(format!("name {mac} {name}")),
                (ClaimSource::Ndp, Says::Bears { mac, addr, .. }) => {
                    Some(format!("ndp {mac} {addr}"))
                }
                _ => None,
            })
            .collect();
        let mut theirs = BTreeSet::new();
        let arp =
            "arp.opcode in {1,2} && eth.src == arp.src.hw_mac && arp.src.proto_ipv4 != 0.0.0.0";
        for cells in tshark(&program, &path, arp, &["arp.src.hw_mac", "arp.src.proto_ipv4"]) {
            theirs.insert(format!("arp {} {}", cells[0], cells[1]));
        }
        let ack =
            "dhcp.option.dhcp == 5 && dhcp.option.ip_address_lease_time && dhcp.ip.your != 0.0.0.0";
        let fields = ["dhcp.hw.mac_addr", "dhcp.ip.your", "dhcp.option.ip_address_lease_time"];
        for cells in tshark(&program, &path, ack, &fields) {
            theirs.insert(format!("lease {} {} {}", cells[0], cells[1], cells[2]));
        }
        let named = "dhcp.type == 1 && dhcp.option.dhcp in {1,3,8} && dhcp.option.hostname";
        for cells in tshark(&program, &path, named, &["dhcp.hw.mac_addr", "dhcp.option.hostname"]) {
            theirs.insert(format!("name {} {}", cells[0], cells[1].to_lowercase()));
        }
        let ndp = "icmpv6.type in {133,135,136} && icmpv6.opt.linkaddr && ipv6.hlim == 255 && \
                   !(icmpv6.nd.na.flag.r == 1)";
        let fields =
            ["icmpv6.type", "icmpv6.opt.linkaddr", "ipv6.src", "icmpv6.nd.na.target_address"];
        for cells in tshark(&program, &path, ndp, &fields) {
            let addr = if cells[0] == "136" { &cells[3] } else { &cells[2] };
            theirs.insert(format!("ndp {} {addr}", cells[1]));
        }
        assert_eq!(ours, theirs, "{}", path.display());
        kinds.extend(ours.iter().map(|line| line.split(' ').next().unwrap().to_owned()));
    }
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    assert_eq!(kinds, ["arp", "lease", "name", "ndp"], "every kind is met");
}

/// ARP is of no flow, and DHCP of two: all are told once, in the order of the input.
#[test]
fn any_number_of_workers_hears_the_same() {
    let Some(corpus) = corpus() else { return };
    for path in RECORDED {
        let path = corpus.join(path);
        let one = claims(&path, 1);
        assert!(!one.is_empty());
        for workers in [2, 4] {
            assert_eq!(claims(&path, workers), one, "{}, {workers} workers", path.display());
        }
    }
}

const HOST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 254];
const SERVER: [u8; 4] = [203, 0, 113, 9];

/// Ethernet frames, a second apart.
#[derive(Default)]
struct Recording {
    batch: Batch,
    secs: u64,
}

impl Recording {
    fn frame(&mut self, source: [u8; 6], ethertype: u16, packet: &[u8]) {
        let bytes = [&ROUTER[..], &source, &ethertype.to_be_bytes(), packet].concat();
        self.secs += 1;
        self.batch.push(Frame {
            at: Timestamp::from_secs_nanos(1_700_000_000 + self.secs, 0),
            link: LinkType::ETHERNET,
            wire_len: bytes.len() as u32,
            bytes: &bytes,
        });
    }

    fn arp(&mut self, source: [u8; 6], addr: [u8; 4]) {
        let packet = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &source, &addr, &[0; 10]].concat();
        self.frame(source, 0x0806, &packet);
    }

    /// A neighbour's solicitation from this address, with its hardware address.
    fn neighbour(&mut self, source: [u8; 6], addr: [u8; 16]) {
        let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &addr, &[1, 1], &source].concat();
        let head = [&[0x60, 0, 0, 0, 0, message.len() as u8, 58, 255][..], &addr, &addr].concat();
        self.frame(source, 0x86dd, &[head, message].concat());
    }

    fn upload(&mut self, from: [u8; 4], bytes: usize) {
        let udp =
            [&[0xc3, 0x50, 0x13, 0x88][..], &((8 + bytes) as u16).to_be_bytes(), &[0, 0]].concat();
        let mut packet = vec![0x45, 0, 0, 0, 0, self.secs as u8, 0, 0, 64, 17, 0, 0];
        packet[2..4].copy_from_slice(&((28 + bytes) as u16).to_be_bytes());
        packet.extend(from.into_iter().chain(SERVER));
        packet.extend(udp);
        packet.resize(28 + bytes, 7);
        self.frame(HOST, 0x0800, &packet);
    }

    fn upload_v6(&mut self, from: [u8; 16], bytes: usize) {
        let to = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        let len = ((8 + bytes) as u16).to_be_bytes();
        let mut packet = [&[0x60, 0, 0, 0][..], &len, &[17, 64], &from, &to].concat();
        packet.extend([&[0xc3, 0x50, 0x13, 0x88][..], &len, &[0, 0]].concat());
        packet.resize(48 + bytes, self.secs as u8);
        self.frame(HOST, 0x86dd, &packet);
    }

    /// A datagram of 60,000 bytes, of which the capture kept the headers.
    fn upload_cut(&mut self, from: [u8; 4]) {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
        packet[2..4].copy_from_slice(&60_028u16.to_be_bytes());
        packet[4..6].copy_from_slice(&(self.secs as u16).to_be_bytes());
        packet.extend(from.into_iter().chain(SERVER));
        packet.extend([&[0xc3, 0x50, 0x13, 0x88][..], &60_008u16.to_be_bytes(), &[0, 0]].concat());
        self.frame(HOST, 0x0800, &packet);
        self.batch.heads.last_mut().unwrap().wire_len = 14 + 60_028;
    }

    /// The machine asks for an address and says its name.
    fn dhcp_request(&mut self, name: &str) {
        let mut message = vec![0; 236];
        message[..3].copy_from_slice(&[1, 1, 6]);
        message[28..34].copy_from_slice(&HOST);
        message.extend([99, 130, 83, 99, 53, 1, 3, 12, name.len() as u8]);
        message.extend(name.bytes().chain([255]));
        let len = ((8 + message.len()) as u16).to_be_bytes();
        let udp = [&[0, 68, 0, 67][..], &len, &[0, 0], &message].concat();
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0];
        packet[2..4].copy_from_slice(&((20 + udp.len()) as u16).to_be_bytes());
        packet.extend([255; 4]);
        self.frame(HOST, 0x0800, &[packet, udp].concat());
    }

    fn hosts(self, workers: usize) -> Vec<HostRecord> {
        let settings = Settings::of(&Keys::default()).unwrap();
        let run = Run { workers, ..settings.run };
        let internal = settings.analyst.egress.internal;
        let mut ledger = Ledger::new(internal.clone(), 1 << 20);
        let mut census = Census::new(
            settings.census,
            settings.analyst.rules,
            settings.analyst.registry,
            internal,
        );
        count(&mut MemorySource::new(self.batch, 3), &run, |_, reports| {
            for report in reports.in_order() {
                match report {
                    Reported::Event(event) => ledger.hear(event),
                    Reported::Claim(claim) => census.hear(claim),
                    Reported::Delta(delta) => {
                        ledger.fold(delta).iter().for_each(|record| census.count(record));
                    }
                }
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        census.hosts(Order::BytesOut)
    }
}

fn privacy(number: u8) -> [u8; 16] {
    let mut addr = [0; 16];
    (addr[0], addr[15]) = (0xfd, number);
    addr
}

fn sent(hosts: &[HostRecord]) -> Vec<(usize, bool, u64)> {
    let of = |host: &HostRecord| (host.addresses.len(), host.mac.is_some(), host.traffic.bytes_out);
    hosts.iter().map(of).collect()
}

/// An upload spread over an IPv4 address and ten privacy addresses is one machine's, also of those whose
/// bearer says who it is only later.
#[test]
fn an_upload_over_many_addresses_is_one_machines() {
    for workers in [1, 3] {
        let mut recording = Recording::default();
        recording.upload([10, 0, 0, 1], 100);
        recording.arp(HOST, [10, 0, 0, 1]);
        for number in 1..=10 {
            recording.neighbour(HOST, privacy(number));
            recording.upload_v6(privacy(number), 100);
        }
        let hosts = recording.hosts(workers);
        assert_eq!(sent(&hosts), [(11, true, 1100)]);
        assert_eq!(hosts[0].destinations, 2, "each counted once");
    }
}

/// Who answers for a colleague's address gets none of his bytes, and gives him none.
#[test]
fn a_disputed_address_stands_alone() {
    let mut recording = Recording::default();
    let thief = [2, 0, 0, 0, 0, 66];
    recording.arp(HOST, [10, 0, 0, 1]);
    recording.arp(thief, [10, 0, 0, 66]);
    recording.arp(thief, [10, 0, 0, 1]);
    recording.upload([10, 0, 0, 1], 100);
    recording.upload([10, 0, 0, 66], 50);
    let hosts = recording.hosts(2);
    assert_eq!(hosts.iter().map(|host| host.traffic.bytes_out).collect::<Vec<_>>(), [100, 50]);
    assert_eq!(hosts[0].mac, None);
}

/// Who is told of an upload should not have to ask the DHCP server whose address that was.
#[test]
fn an_alert_says_which_machine_it_was() {
    let told = |workers| {
        let mut recording = Recording::default();
        recording.dhcp_request("PC-37");
        recording.arp(HOST, [10, 0, 0, 1]);
        recording.neighbour(HOST, privacy(1));
        (0..10_000).for_each(|_| recording.upload_cut([10, 0, 0, 1]));
        let settings = Settings::of(&Keys::default()).unwrap();
        let mut analyst = Analyst::new(settings.analyst);
        let run = Run { workers, ..settings.run };
        let mut alerts = Vec::new();
        replay(&mut MemorySource::new(recording.batch, 100), &run, &mut analyst, |_, records| {
            alerts.extend(records.filter_map(|record| match record {
                Record::Alert(alert) => Some(alert),
                Record::Silenced(_) | Record::Ranking(_) | Record::Summary(_) => None,
            }));
        })
        .unwrap();
        alerts
    };
    let alerts = told(1);
    let host = &alerts.first().expect("600 MB are an incident").host;
    assert_eq!(host.mac.as_deref(), Some("02:00:00:00:00:01"));
    assert_eq!(host.name.as_deref(), Some("pc-37"));
    assert_eq!(host.ips, [Addr::from_v4([10, 0, 0, 1]), Addr::from_v6(privacy(1))]);
    assert_eq!(alerts, told(3));
}

/// A flood of forged claims costs the machines, not the counting.
#[test]
fn a_flood_of_claims_changes_no_count() {
    let mut recording = Recording::default();
    for number in 0..5000u16 {
        let [high, low] = number.to_be_bytes();
        recording.arp([2, 9, 9, 9, high, low], [10, 0, 0, 1]);
        recording.arp([2, 9, 9, 9, 0, 0], [10, 7, high, low]);
    }
    recording.upload([10, 0, 0, 1], 100);
    let hosts = recording.hosts(2);
    assert_eq!(sent(&hosts), [(1, false, 100)]);
}

/// What the real binary says of a telephone that was recorded as it joined a network.
#[test]
fn a_recorded_machine_has_its_names_and_addresses() {
    let Some(corpus) = corpus() else { return };
    let path = corpus.join("benign/ntop__iphone.pcap");
    let told = Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .env_clear()
        .args(["hosts", "--quiet", "--format", "json"])
        .arg(&path)
        .output()
        .unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    let named = text.lines().filter(|line| line.contains(r#""source":"dhcp""#)).count();
    assert!(named > 0, "{text}");
}

/// What happens on a link, with the seconds that pass before it.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Claims(u8, u8),
    Neighbour(u8, u8),
    Uploads(u8, u16),
    UploadsV6(u8, u16),
    Waits(u16),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        3 => (1..4u8, 1..5u8).prop_map(|(mac, addr)| Happening::Claims(mac, addr)),
        3 => (1..4u8, 1..5u8).prop_map(|(mac, addr)| Happening::Neighbour(mac, addr)),
        4 => (1..5u8, 1..1400u16).prop_map(|(addr, bytes)| Happening::Uploads(addr, bytes)),
        4 => (1..5u8, 1..1400u16).prop_map(|(addr, bytes)| Happening::UploadsV6(addr, bytes)),
        1 => (1..50_000u16).prop_map(Happening::Waits),
    ];
    prop::collection::vec(one, 1..100)
}

/// Every alert and every ranking.
fn judged<S: Source<Error: std::fmt::Debug>>(source: &mut S, workers: usize) -> Vec<Record> {
    let settings = Settings::of(&Keys::default()).unwrap();
    let mut analyst = Analyst::new(settings.analyst);
    let run = Run { workers, ..settings.run };
    let mut told = Vec::new();
    replay(source, &run, &mut analyst, |_, records| told.extend(records)).unwrap();
    told.retain(|record| !matches!(record, Record::Summary(_)));
    told
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    /// Whose an address is when a report comes depends on packets alone: not on who counted them, nor on how
    /// many were read at once, nor on where files end.
    #[test]
    fn any_workers_and_batches_know_the_same_machines(happenings in happenings()) {
        let mut recording = Recording::default();
        for happening in happenings {
            let interface = |number| [2, 0, 0, 0, 0, number];
            match happening {
                Happening::Claims(mac, addr) => recording.arp(interface(mac), [10, 0, 0, addr]),
                Happening::Neighbour(mac, addr) => recording.neighbour(interface(mac), privacy(addr)),
                Happening::Uploads(addr, bytes) => recording.upload([10, 0, 0, addr], bytes.into()),
                Happening::UploadsV6(addr, bytes) => recording.upload_v6(privacy(addr), bytes.into()),
                Happening::Waits(secs) => recording.secs += u64::from(secs),
            }
        }
        let frames = recording.batch;
        let one = judged(&mut MemorySource::new(frames.clone(), usize::MAX), 1);
        for (workers, batch) in [(1, 1), (2, 3), (8, 40)] {
            let mut source = MemorySource::new(frames.clone(), batch);
            prop_assert_eq!(&judged(&mut source, workers), &one);
        }
        let folder = tempfile::tempdir().unwrap();
        let (half, all) = (frames.heads.len() / 2, frames.heads.len());
        let parts = [("first", 0..half), ("second", half..all)].map(|(name, which)| {
            let path = folder.path().join(name).with_extension("pcap");
            std::fs::write(&path, pcap(&frames, which)).unwrap();
            path
        });
        prop_assert_eq!(&judged(&mut FileSource::open(&parts, Options::default()).unwrap(), 2), &one);
    }
}
