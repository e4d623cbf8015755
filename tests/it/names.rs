//! Names from hostile and ordinary traffic, through decoding, flow tables and ledger to what is written.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use sekisho::capture::{self, FileSource};
use sekisho::egress::{FlowRecord, Ledger};
use sekisho::engine::{self, Reported, Reports, Run, Worker, WorkerCounters};
use sekisho::flow;
use sekisho::frame::{Batch, Frame, LinkType};
use sekisho::names::{Name, NameSource, Options, Service};
use sekisho::net::Subnets;
use sekisho::sink::{FlowFormat, Flows};
use sekisho::time::Timestamp;

use crate::laws::pcap;
use crate::support::tool;

pub(crate) const HOST: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [203, 0, 113, 9];
const RESOLVER: [u8; 4] = [10, 0, 0, 53];

/// Raw IPv4 packets, a millisecond apart.
#[derive(Default)]
pub(crate) struct Recording {
    batch: Batch,
    pub(crate) at: Timestamp,
}

impl Recording {
    fn packet(&mut self, protocol: u8, from: [u8; 4], to: [u8; 4], transport: &[u8]) {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
        bytes[2..4].copy_from_slice(&((20 + transport.len()) as u16).to_be_bytes());
        // Told apart from a mirror's copy.
        bytes[4..6].copy_from_slice(&(self.batch.heads.len() as u16).to_be_bytes());
        bytes.extend(from.into_iter().chain(to));
        bytes.extend(transport);
        self.at = self.at.plus(Duration::from_millis(1));
        let wire_len = bytes.len() as u32;
        self.batch.push(Frame { at: self.at, link: LinkType::RAW, wire_len, bytes: &bytes });
    }

    pub(crate) fn udp(&mut self, from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) {
        let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
        let len = ((8 + payload.len()) as u16).to_be_bytes();
        self.packet(17, from.0, to.0, &[&ports, &len[..], &[0, 0], payload].concat());
    }

    pub(crate) fn icmp(&mut self, from: [u8; 4], to: [u8; 4], message: &[u8]) {
        self.packet(1, from, to, message);
    }

    pub(crate) fn tcp(
        &mut self,
        from: ([u8; 4], u16),
        to: ([u8; 4], u16),
        seq: u32,
        flags: u8,
        payload: &[u8],
    ) {
        let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
        let numbers = [seq.to_be_bytes(), 0u32.to_be_bytes()].concat();
        let rest = [0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
        self.packet(6, from.0, to.0, &[&ports, &numbers, &rest[..], payload].concat());
    }

    /// A connection to port 443 whose client sends this, in pieces of so many bytes.
    fn client(&mut self, port: u16, payload: &[u8], piece_len: usize) {
        let (from, to) = ((HOST, port), (SERVER, 443));
        self.tcp(from, to, 99, SYN, &[]);
        for (number, piece) in payload.chunks(piece_len).enumerate() {
            self.tcp(from, to, 100 + (number * piece_len) as u32, ACK, piece);
        }
    }

    pub(crate) fn answer(&mut self, name: &str, addr: [u8; 4]) {
        let labels = name.split('.');
        let name: Vec<u8> =
            labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
        let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        message.extend(name);
        message.extend([0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(addr);
        self.udp((RESOLVER, 53), (HOST, 5353), &message);
    }

    /// What workers report of it, which get so many frames at a time.
    pub(crate) fn reports(
        &self,
        names: Options,
        workers: usize,
        frames: usize,
    ) -> (Reports, WorkerCounters) {
        let run = run(names, workers);
        let mut all = Reports::default();
        let mut counters: Option<WorkerCounters> = None;
        for number in 0..workers {
            let mut worker = Worker::new(&run, number);
            let mut first = 0;
            let frames_all: Vec<Frame<'_>> = self.batch.frames().collect();
            for part in frames_all.chunks(frames) {
                let mut batch = Batch::default();
                part.iter().for_each(|frame| batch.push(*frame));
                worker.run(&batch, first, &mut all);
                first += part.len() as u64;
            }
            worker.finish(&mut all);
            match &mut counters {
                Some(counters) => counters.join(&worker.counters()),
                None => counters = Some(worker.counters()),
            }
        }
        all.deltas.sort_by_key(|(position, _)| *position);
        all.events.sort_by_key(|(position, _)| *position);
        all.claims.sort_by_key(|(position, _)| *position);
        (all, counters.unwrap())
    }

    fn records(&self) -> (Vec<FlowRecord>, Ledger) {
        let (reports, _) = self.reports(Options::default(), 1, usize::MAX);
        let mut records = Records::default();
        records.take(&reports);
        assert!(records.ledger.is_empty());
        (records.written, records.ledger)
    }
}

fn run(names: Options, workers: usize) -> Run {
    Run {
        flow: flow::Options::default(),
        names: Some(names),
        internal: Subnets::private(),
        workers,
    }
}

/// The records that come of reports.
struct Records {
    ledger: Ledger,
    written: Vec<FlowRecord>,
}

impl Default for Records {
    fn default() -> Self {
        let ledger = Ledger::new(Subnets::private(), Options::default().book_bytes_max);
        Self { ledger, written: Vec::new() }
    }
}

impl Records {
    fn take(&mut self, reports: &Reports) {
        for report in reports.in_order() {
            match report {
                Reported::Event(event) => self.ledger.hear(event),
                Reported::Claim(_) => {}
                Reported::Delta(delta) => self.written.extend(self.ledger.fold(delta)),
            }
        }
    }
}

/// A hello that asks for `name`.
pub(crate) fn hello(name: &[u8]) -> Vec<u8> {
    let behind_len = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let list = behind_len(&[&[0][..], &behind_len(name)].concat());
    let extensions = behind_len(&[&[0, 0][..], &behind_len(&list)].concat());
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &extensions].concat();
    let [_, len @ ..] = (body.len() as u32).to_be_bytes();
    let message = [&[1][..], &len, &body].concat();
    let record = |part: &[u8]| [&[22, 3, 1][..], &behind_len(part)].concat();
    message.chunks(16_000).flat_map(record).collect()
}

fn one(record: &[FlowRecord], port: u16) -> &FlowRecord {
    record.iter().find(|record| record.host_port == port).unwrap()
}

pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;

/// A thief's server is reached under a harmless name, or has no name of its own but an answer of DNS.
#[test]
fn names_are_joined_and_lies_are_marked() {
    let mut recording = Recording::default();
    recording.answer("drop.thief.example", SERVER);
    recording.client(50_001, &hello(b"www.harmless.example"), 1460);
    recording.client(50_002, &hello(b"UP.Thief.Example."), 60);
    recording.client(50_003, b"\x00\x01\x02 something of its own", 1460);
    let (records, _) = recording.records();
    let lie = one(&records, 50_001);
    assert_eq!(lie.name.as_ref().unwrap().as_str(), "www.harmless.example");
    assert!(lie.name_mismatch);
    let honest = one(&records, 50_002);
    assert_eq!((honest.owner.as_deref(), honest.name_mismatch), (Some("thief.example"), false));
    assert_eq!(honest.name_source, Some(NameSource::TlsSni));
    assert_eq!(honest.service, Some(Service::Tls));
    let nameless = one(&records, 50_003);
    assert_eq!(nameless.name.as_ref().unwrap().as_str(), "drop.thief.example");
    assert_eq!(
        (nameless.name_source, nameless.service),
        (Some(NameSource::Dns), Some(Service::Unknown))
    );
}

/// What a client calls its server is shown to an analyst, in a terminal, a spreadsheet, a log.
#[test]
fn hostile_names_are_written_inert() {
    let mut recording = Recording::default();
    let long = vec![b'a'; 60_000];
    let evil: [&[u8]; 6] = [
        b"\x1b[2J\x07\r\n\t\0.example",
        b"=cmd|' /C calc'!A0",
        "\u{202e}elpmaxe.live".as_bytes(),
        b"a\",\"b,c",
        &long[..15_000],
        &long,
    ];
    for (name, port) in evil.iter().zip(50_000..) {
        recording.client(port, &hello(name), 1460);
    }
    let head =
        [b"GET / HTTP/1.1\r\nHost: ", &long[..9000], b"\r\nUser-Agent: \x1b[31m\r\n\r\n"].concat();
    recording.client(50_100, &head, 1460);
    // The same over HTTP/2: a literal field, name of the static table.
    for (name, port) in evil[..4].iter().chain([&&long[..9000]]).zip(50_200..) {
        let len = match name.len() {
            len @ 0..127 => vec![len as u8],
            len => vec![127, 0x80 | (len - 127) as u8 & 0x7f, ((len - 127) >> 7) as u8],
        };
        let block = [&[0x41][..], &len, name].concat();
        let [_, frame_len @ ..] = (block.len() as u32).to_be_bytes();
        let frame = [&frame_len[..], &[1, 4, 0, 0, 0, 1], &block].concat();
        let said = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame].concat();
        recording.client(port, &said, 1460);
    }
    let (records, _) = recording.records();
    assert_eq!(records.len(), 12);
    let shown = one(&records, 50_200).name.as_ref().unwrap();
    assert!(shown.as_str().starts_with("\\x1b[2J"), "{shown}");
    for format in [FlowFormat::Json, FlowFormat::Csv, FlowFormat::Zeek] {
        let mut shown = Vec::new();
        let mut flows = Flows::new(&mut shown, format).unwrap();
        records.iter().for_each(|record| flows.write(record).unwrap());
        flows.finish().unwrap();
        let is_inert = |&byte: &u8| (b' '..=b'~').contains(&byte) || byte == b'\n' || byte == b'\t';
        assert!(shown.iter().all(is_inert), "{format:?}");
        assert!(shown.len() < 10_000, "{} bytes", shown.len());
    }
    for record in &records {
        assert_eq!(record.owner, None, "not trusted: {:?}", record.name);
        assert!(record.name.as_ref().is_none_or(|name| name.as_str().len() <= Name::LEN_MAX));
    }
    assert_eq!(one(&records, 50_005).service, Some(Service::Tls), "too long to be read at all");
}

/// Who uploads without TLS to a server that is known to speak HTTP/2. What a real client says is read as tshark
/// reads it.
#[test]
fn a_real_client_of_http2_says_whom_it_asks() {
    let (Some(curl), Some(tshark)) = (tool("curl"), tool("tshark")) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = Command::new(curl)
        .env_clear()
        .args(["--silent", "--http2-prior-knowledge", "--data", "x", "--resolve"])
        .args([format!("up.files.example:{port}:127.0.0.1")])
        .args([format!("http://up.files.example:{port}/")])
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let (mut said, mut more) = (Vec::new(), [0; 4096]);
    while !has_request(&said) {
        let len = stream.read(&mut more).unwrap();
        assert!(len > 0, "no request in {said:02x?}");
        said.extend(&more[..len]);
    }
    drop(stream);
    client.wait().unwrap();

    let mut recording = Recording::default();
    recording.client(50_001, &said, 40);
    let (records, _) = recording.records();
    let record = one(&records, 50_001);
    assert_eq!(record.name.as_ref().unwrap().as_str(), "up.files.example");
    assert_eq!(
        (record.service, record.owner.as_deref()),
        (Some(Service::Http2), Some("files.example"))
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("http2.pcap");
    fs::write(&file, pcap(&recording.batch, 0..recording.batch.heads.len())).unwrap();
    let told = Command::new(tshark)
        .args(["-n", "-d", "tcp.port==443,http2", "-T", "fields"])
        .args([
            "-e",
            "http2.headers.authority",
            "-e",
            "http2.header.value",
            "-E",
            "occurrence=a",
            "-r",
        ])
        .arg(&file)
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains(&format!("up.files.example:{port}")), "{told}");
    assert!(told.contains(record.client.as_deref().unwrap()), "{told}");
}

/// Is there a whole frame with the fields of a request behind the preface (RFC 9113)?
fn has_request(said: &[u8]) -> bool {
    let mut frames = said.get(24..).unwrap_or_default();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = frames {
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if *kind == 1 && rest.len() >= len {
            return true;
        }
        frames = rest.get(len..).unwrap_or_default();
    }
    false
}

/// A million names must not take more memory than was allowed for them, nor go uncounted.
#[test]
fn a_million_names_stay_within_their_bounds() {
    let (mut total, mut ledger) = (0, Ledger::new(Subnets::private(), 2_000_000));
    let mut worker = Worker::new(&run(Options::default(), 1), 0);
    for round in 0..100u32 {
        let mut recording = Recording {
            at: Timestamp::from_secs_nanos(1000 + u64::from(round), 0),
            ..Recording::default()
        };
        for n in 0..10_000u32 {
            let number = round * 10_000 + n;
            let [_, b, c, d] = number.to_be_bytes();
            recording.answer(&format!("n{number}.example"), [203, b, c, d]);
        }
        let mut reports = Reports::default();
        worker.run(&recording.batch, u64::from(round) * 10_000, &mut reports);
        total += reports.events.len();
        for (_, event) in &reports.events {
            ledger.hear(event);
        }
        assert!(ledger.book().bytes() <= 2_000_000);
    }
    // Every answer with its question, and once what the flow is.
    assert_eq!(total, 2_000_001);
    let book = ledger.book();
    assert!(book.len() > 5000, "{}", book.len());
    assert_eq!(book.evicted() + book.len() as u64, 1_000_000);
}

/// Answers, and hellos in pieces: half of them come the wrong way round, a third never end.
pub(crate) fn mixed() -> Recording {
    let mut recording = Recording::default();
    for n in 0..600u16 {
        recording.answer(&format!("n{n}.example"), [203, 0, 113, (n % 200) as u8]);
        let hello = hello(format!("n{n}.files.example").as_bytes());
        let server = [203, 0, 113, (n % 7) as u8];
        let (from, to) = (([10, 0, (n % 5) as u8, 1], 40_000 + n), (server, 443));
        recording.tcp(from, to, 99, SYN, &[]);
        let (begin, end) = hello.split_at(30 + usize::from(n % 40));
        if n % 2 == 0 {
            recording.tcp(from, to, 100 + begin.len() as u32, ACK, end);
        }
        recording.tcp(from, to, 100, ACK, begin);
        if n % 3 != 0 {
            recording.tcp(from, to, 100 + begin.len() as u32, ACK, end);
        }
    }
    recording
}

/// The same packets tell the same, for any number of workers and however they are cut into batches, even
/// where room is so short that looks have to end early.
#[test]
fn the_same_is_told_for_any_workers_and_batches() {
    let recording = mixed();
    for bytes_max in [Options::default().bytes_max, 60_000] {
        let options = Options { bytes_max, ..Options::default() };
        let (one, counted) = recording.reports(options, 1, usize::MAX);
        assert_eq!(counted.names.evicted > 0, bytes_max == 60_000);
        assert!(one.events.len() > 1200, "{}", one.events.len());
        for (workers, frames) in [(1, 1), (2, usize::MAX), (3, 7), (8, 100)] {
            let (other, also) = recording.reports(options, workers, frames);
            assert!(other == one, "{workers} workers, {frames} frames at a time");
            assert_eq!(also.names, counted.names);
        }
    }
}

/// A capture program that starts a new file in the middle of a hello must not cost the flow its name.
#[test]
fn the_same_is_told_for_any_file_boundaries() {
    let recording = mixed();
    let (whole, _) = recording.records();
    let named = whole.iter().filter(|record| record.name_source == Some(NameSource::TlsSni));
    assert!(named.count() > 300);
    let folder = tempfile::tempdir().unwrap();
    let frames = recording.batch.heads.len();
    // Of both lengths some cuts fall between the pieces of a hello, and between an answer and its flow.
    for len in [97, frames / 3] {
        let mut parts: Vec<PathBuf> = Vec::new();
        for from in (0..frames).step_by(len) {
            let path = folder.path().join(format!("{len}-{from}.pcap"));
            fs::write(&path, pcap(&recording.batch, from..frames.min(from + len))).unwrap();
            parts.push(path);
        }
        // Named in any order: packet time puts them right.
        parts.rotate_left(1);
        for workers in [1, 3] {
            let mut source = FileSource::open(&parts, capture::Options::default()).unwrap();
            let mut records = Records::default();
            let counted =
                engine::count(&mut source, &run(Options::default(), workers), |_, reports| {
                    records.take(reports);
                    ControlFlow::Continue(())
                });
            assert_eq!(counted.unwrap().decoded as usize, frames);
            assert_eq!(records.written, whole, "files of {len} frames, {workers} workers");
        }
    }
}
