//! The same office as packets: every report becomes the segments that a table would have made it of.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use super::Office;
use super::transfer::{Queue, Report, Transfer};
use crate::capture::{Polled, Source};
use crate::frame::Batch;
use crate::net::{Addr, Protocol};
use crate::synth::packet::{Node, Packet, Tcp, TcpOptions, Transport};
use crate::synth::payload;
use crate::synth::random::{Random, scramble};
use crate::synth::talk::{NOISE, Press};
use crate::time::Timestamp;

/// An office as a source of frames, in order of time.
#[derive(Debug, Clone)]
pub struct Packets {
    office: Office,
    press: Press,
    /// When each conversation goes on, the next one first; those of one moment in their order.
    next: BinaryHeap<Reverse<(Timestamp, u64)>>,
    open: HashMap<u64, Conversation>,
    /// Conversations that there ever were.
    count: u64,
}

/// What one transfer says, packet by packet.
#[derive(Debug, Clone)]
struct Conversation {
    transfer: Transfer,
    port: u16,
    reports: VecDeque<Report>,
    planned: VecDeque<Planned>,
    /// Next sequence numbers; without TCP, what each end has sent so far.
    host_seq: u32,
    place_seq: u32,
    host_spoke: bool,
    place_spoke: bool,
    latest: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Planned {
    at: Timestamp,
    by_host: bool,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// What is the address of the place? And the answer.
    Question,
    Answer,
    /// A segment without payload.
    Control(u8),
    Payload(u16),
}

impl Packets {
    /// The packets of an office from its first day on; no more than `snap` bytes of a frame are kept.
    pub fn new(office: Office, snap: usize) -> Self {
        let press = Press::new(&mut Random::new(scramble(office.seed))).with_snap(snap);
        Self { office, press, next: BinaryHeap::new(), open: HashMap::new(), count: 0 }
    }

    /// Makes up the conversations of the next day.
    fn next_day(&mut self) -> bool {
        let Some(transfers) = self.office.next_transfers() else { return false };
        let day = self.office.calendar.start(self.office.day - 1);
        for transfer in transfers {
            self.count += 1;
            let port = Queue::client_port(self.count);
            let midnights = &self.office.calendar.midnights;
            let mut talk = Conversation::new(transfer, port, (self.count, midnights));
            talk.ask(day);
            if let Some(first) = talk.refill() {
                self.next.push(Reverse((first, self.count)));
                self.open.insert(self.count, talk);
            }
        }
        true
    }

    /// Sends the next packet, if there is one.
    fn step(&mut self, out: &mut Batch) -> bool {
        loop {
            let limit = self.office.limit();
            if let Some(&Reverse((at, number))) = self.next.peek()
                && at < limit
            {
                self.next.pop();
                let Some(talk) = self.open.get_mut(&number) else { continue };
                talk.send(&mut self.press, out);
                match talk.refill() {
                    Some(at) => self.next.push(Reverse((at, number))),
                    None => drop(self.open.remove(&number)),
                }
                return true;
            }
            if !self.next_day() {
                return false;
            }
        }
    }
}

impl Source for Packets {
    type Error = Infallible;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, Infallible> {
        let mut frames = 0;
        while frames < FRAMES_PER_POLL && batch.bytes.len() < BYTES_PER_POLL && self.step(batch) {
            frames += 1;
        }
        Ok(if frames == 0 { Polled::End } else { Polled::Frames })
    }
}

impl Conversation {
    fn new(transfer: Transfer, port: u16, (number, midnights): (u64, &[Timestamp])) -> Self {
        let seed = scramble(number);
        Self {
            reports: transfer.reports(0, port, midnights).into(),
            transfer,
            port,
            planned: VecDeque::new(),
            host_seq: seed as u32,
            place_seq: (seed >> 32) as u32,
            host_spoke: false,
            place_spoke: false,
            latest: Timestamp::default(),
        }
    }

    fn is_tcp(&self) -> bool {
        self.transfer.protocol == Protocol::TCP
    }

    /// Whoever opens a connection has asked for the name before: the resolver is inside, and asks nobody.
    fn ask(&mut self, day: Timestamp) {
        let Transfer { start, is_inbound, place, .. } = self.transfer;
        let asked_at = start.minus(ASKED_BEFORE);
        let is_named = self.is_tcp() || self.transfer.port == 443;
        if is_named && !is_inbound && asked_at >= day && place.to_ip().is_ipv4() {
            let answered_at = start.minus(ASKED_BEFORE / 2);
            self.planned.push_back(Planned { at: asked_at, by_host: true, what: What::Question });
            self.planned.push_back(Planned { at: answered_at, by_host: false, what: What::Answer });
        }
        if self.is_tcp() {
            let opener = !is_inbound;
            for (nanos, by_host, flags) in [
                (0, opener, Tcp::SYN),
                (1000, !opener, Tcp::SYN | Tcp::ACK),
                (2000, opener, Tcp::ACK),
            ] {
                let at = start.plus(Duration::from_nanos(nanos));
                self.planned.push_back(Planned { at, by_host, what: What::Control(flags) });
                self.latest = at;
            }
        }
    }

    /// When the next packet goes; plans those of the next report when there are none.
    fn refill(&mut self) -> Option<Timestamp> {
        while self.planned.is_empty() {
            let report = self.reports.pop_front()?;
            self.plan(&report);
        }
        self.planned.front().map(|planned| planned.at)
    }

    /// Plans the packets of a report, at an even pace, the opener first.
    fn plan(&mut self, report: &Report) {
        let from = self.transfer.start.plus(Duration::from_millis(report.since));
        let span = report.at.since(from).as_nanos();
        let largest = if self.is_tcp() { SEGMENT } else { DATAGRAM };
        let (out, back) = (report.out.div_ceil(largest), report.back.div_ceil(largest));
        let whole = out + back;
        let share = |count: u64, at: u64| u128::from(count) * u128::from(at) / u128::from(whole);
        let mut turns: Vec<bool> =
            (0..whole).map(|at| share(out, at) != share(out, at + 1)).collect();
        let opener = !self.transfer.is_inbound;
        if !self.host_spoke
            && !self.place_spoke
            && let Some(first) = turns.iter().position(|&by_host| by_host == opener)
        {
            turns.swap(0, first);
        }
        let (mut out_left, mut back_left) = (report.out, report.back);
        let (mut unacked, mut spoke) = (0, true);
        for (at, &by_host) in turns.iter().enumerate() {
            let left = if by_host { &mut out_left } else { &mut back_left };
            let len = (*left).min(largest);
            *left -= len;
            let nanos = span * (at as u128 + 1) / u128::from(whole);
            let at = from.plus(Duration::from_nanos(nanos as u64));
            let at = self.put(at, by_host, What::Payload(len as u16));
            unacked = if by_host == spoke { unacked + 1 } else { 1 };
            spoke = by_host;
            if self.is_tcp() && unacked == 2 {
                self.put(at, !by_host, What::Control(Tcp::ACK));
                unacked = 0;
            }
        }
        if self.is_tcp() && unacked > 0 {
            self.put(self.latest, !spoke, What::Control(Tcp::ACK));
        }
        if self.is_tcp() && report.is_last {
            let closer = opener;
            for (by_host, flags) in
                [(closer, Tcp::FIN | Tcp::ACK), (!closer, Tcp::FIN | Tcp::ACK), (closer, Tcp::ACK)]
            {
                self.put(self.latest.max(report.at), by_host, What::Control(flags));
            }
        }
    }

    /// Plans a packet at a moment, or right after the one before it.
    fn put(&mut self, at: Timestamp, by_host: bool, what: What) -> Timestamp {
        self.latest = at.max(self.latest.plus(Duration::from_micros(1)));
        self.planned.push_back(Planned { at: self.latest, by_host, what });
        self.latest
    }

    fn send(&mut self, press: &mut Press, out: &mut Batch) {
        let Some(Planned { at, by_host, what }) = self.planned.pop_front() else { return };
        let (host, place) = (node(self.transfer.host), node(self.transfer.place));
        let head = self.head(by_host, what);
        let (place, transport, len) = match what {
            What::Question | What::Answer => {
                let (from, to) = if by_host { (self.port, 53) } else { (53, self.port) };
                (node(RESOLVER), Transport::Udp { from, to }, head.len())
            }
            What::Control(flags) => (place, self.transport(at, by_host, flags), 0),
            What::Payload(len) => {
                (place, self.transport(at, by_host, Tcp::PSH | Tcp::ACK), usize::from(len))
            }
        };
        let (from, to) = if by_host { (host, place) } else { (place, host) };
        let hop_limit = if by_host { 64 } else { 52 };
        let filler = len - head.len();
        let salt = u64::from(self.host_seq) << 32 | u64::from(self.place_seq);
        let offset = scramble(salt) as usize % (NOISE - SEGMENT as usize);
        press.put(at, out, |frame, noise| {
            let filler = &noise[offset..offset + filler];
            Packet { from, to, vlan: None, hop_limit, transport, head: &head, filler }.write(frame);
        });
        let takes = match what {
            What::Question | What::Answer => 0,
            What::Control(flags) => u32::from(flags & (Tcp::SYN | Tcp::FIN) != 0),
            What::Payload(len) if self.is_tcp() => u32::from(len),
            What::Payload(_) => 1,
        };
        let (seq, has_spoken) = if by_host {
            (&mut self.host_seq, &mut self.host_spoke)
        } else {
            (&mut self.place_seq, &mut self.place_spoke)
        };
        *seq = seq.wrapping_add(takes);
        *has_spoken |= matches!(what, What::Payload(_));
    }

    fn transport(&self, at: Timestamp, by_host: bool, flags: u8) -> Transport {
        let (host_port, place_port) = match self.transfer.is_inbound {
            true => (self.transfer.port, self.port),
            false => (self.port, self.transfer.port),
        };
        let (from, to) = if by_host { (host_port, place_port) } else { (place_port, host_port) };
        let (seq, other) =
            if by_host { (self.host_seq, self.place_seq) } else { (self.place_seq, self.host_seq) };
        match self.transfer.protocol {
            Protocol::TCP => Transport::Tcp(Tcp {
                from,
                to,
                seq,
                ack: if flags & Tcp::ACK != 0 { other } else { 0 },
                flags,
                options: if flags & Tcp::SYN != 0 {
                    TcpOptions::Opening
                } else {
                    TcpOptions::Stamps((at.as_nanos() / 1_000_000) as u32)
                },
            }),
            Protocol::ICMP => {
                Transport::Echo { is_reply: !by_host, ident: self.port, seq: seq as u16 }
            }
            _ => Transport::Udp { from, to },
        }
    }

    /// What a payload begins with.
    fn head(&self, by_host: bool, what: What) -> Vec<u8> {
        // Each place is somebody else's (RFC 6761).
        let name = || format!("www.place{}.example", self.transfer.place.to_bits() as u32);
        let mut head = match what {
            What::Control(_) => return Vec::new(),
            What::Question => return payload::dns(self.port, &name(), None),
            What::Answer => {
                let place = self.transfer.place.to_bits() as u32;
                return payload::dns(self.port, &name(), Some(place.to_be_bytes()));
            }
            What::Payload(len) if self.is_tcp() && self.transfer.port == 443 => {
                let has_spoken = if by_host { self.host_spoke } else { self.place_spoke };
                match (has_spoken, by_host != self.transfer.is_inbound) {
                    (true, _) => payload::tls_record(usize::from(len)),
                    (false, true) => payload::client_hello(&name(), u64::from(self.host_seq)),
                    (false, false) => payload::server_hello(u64::from(self.place_seq)),
                }
            }
            What::Payload(_) if self.transfer.protocol == Protocol::UDP => {
                // A short header of QUIC, or nothing that anybody knows; numbered, so that none looks like another's copy.
                let seq = if by_host { self.host_seq } else { self.place_seq };
                let first = if self.transfer.port == 443 { 0x43 } else { 0xff };
                [&[first][..], &seq.to_be_bytes()].concat()
            }
            What::Payload(_) => return Vec::new(),
        };
        if let What::Payload(len) = what {
            head.truncate(usize::from(len));
        }
        head
    }
}

fn node(addr: Addr) -> Node {
    let ip = addr.to_ip();
    let [a, b, c, d] = (addr.to_bits() as u32).to_be_bytes();
    let is_inside = matches!(ip, IpAddr::V4(v4) if v4.is_private());
    Node { mac: if is_inside { [2, 0x0a, a, b, c, d] } else { GATEWAY }, ip }
}

/// Of the office, inside it.
const RESOLVER: Addr = Addr::from_v4([10, 20, 255, 53]);
const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 1];

const ASKED_BEFORE: Duration = Duration::from_millis(30);

/// The largest payload of a segment with time stamps, and of a datagram.
const SEGMENT: u64 = 1448;
const DATAGRAM: u64 = 1200;

/// As the readers of files do it.
const FRAMES_PER_POLL: usize = 8192;
const BYTES_PER_POLL: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;

    use super::super::Parameters;
    use super::*;
    use crate::egress::{Crossing, Place};
    use crate::engine::{Reported, Run, count};
    use crate::flow::{self, FlowDelta};
    use crate::net::Subnets;

    /// Three days of a small office with something of every kind, an upload past midnight too.
    const SMALL: &str = r#"
        days = 3
        first_day = "2026-03-05"
        move = []
        [hosts]
        workstations = 5
        servers = 1
        always_on = 0.5
        [browsing]
        mb_median = 0.1
        mb_idle = 0.5
        visits_median = 60.0
        [thefts]
        bulk = 0
        cloud = 0
        night = 0
        split = 0
        slow = 0
        [[event]]
        name = "call"
        rate = 200
        mb_median = 2.0
        mb_spread = 0.5
        mb_max = 4.0
        back = 1.2
        mbit = 0.1
        to = "relay"
        port = 3478
        over = "udp"
        [[event]]
        name = "all day and night"
        rate = 300
        mb_median = 8.0
        mb_spread = 0.5
        mb_max = 15.0
        back = 0.3
        mbit = 0.001
        to = "vendor"
        [[event]]
        name = "answers"
        who = "servers"
        rate = 3000
        mb_median = 0.05
        mb_spread = 1.5
        mb_max = 30.0
        back = 0.05
        to = "client"
        [[event]]
        name = "echoes"
        who = "servers"
        rate = 2400
        mb_median = 0.02
        mb_spread = 0.1
        mb_max = 1.0
        back = 1.0
        mbit = 0.001
        to = "cloud"
        port = 0
        over = "icmp"
    "#;

    fn small(seed: u64) -> Office {
        Office::new(Parameters::parse(SMALL).unwrap(), seed).unwrap()
    }

    /// Bytes of each host to each destination: out on each day, and in on all days, for these are reported
    /// when the host sends the next.
    type Sums = BTreeMap<(Addr, Addr, Option<usize>), u64>;

    fn add(sums: &mut Sums, office: &Office, delta: &FlowDelta) {
        let Place::Border(Crossing { host, peer, side, .. }) =
            Place::of(&Subnets::private(), &delta.key)
        else {
            return;
        };
        let (out, back) = (delta.sent_by(side).sent, delta.sent_by(side.other()).sent);
        let midnights = &office.calendar.midnights;
        let day = midnights.partition_point(|&midnight| midnight <= delta.last_at);
        for (day, bytes) in [(Some(day), out), (None, back)] {
            if bytes > 0 {
                *sums.entry((host, peer, day)).or_default() += bytes;
            }
        }
    }

    fn replayed(seed: u64, snap: usize) -> Sums {
        let office = small(seed);
        let mut sums = Sums::new();
        let run = Run {
            flow: flow::Options::default(),
            names: None,
            internal: Subnets::private(),
            workers: 1,
        };
        let mut packets = Packets::new(office.clone(), snap);
        let take = |_: &mut Packets, reports: &crate::engine::Reports| {
            for reported in reports.in_order() {
                if let Reported::Delta(delta) = reported {
                    add(&mut sums, &office, delta);
                }
            }
            ControlFlow::Continue(())
        };
        let Ok(counted) = count(&mut packets, &run, take);
        assert_eq!(counted.rejects.iter().map(|(_, count)| count).sum::<u64>(), 0);
        sums
    }

    /// Whoever judges the deltas judges the packets: both outputs must tell of the same bytes.
    #[test]
    fn packets_carry_what_the_reports_say() {
        for (seed, snap) in [(1, usize::MAX), (2, 96)] {
            let mut sums = Sums::new();
            let office = small(seed);
            office.clone().for_each(|delta| add(&mut sums, &office, &delta));
            assert!(sums.len() > 100 && sums.keys().any(|&(.., day)| day == Some(2)));
            assert_eq!(replayed(seed, snap), sums);
        }
    }

    #[test]
    fn packets_are_in_order_and_the_same_for_the_same_seed() {
        let all = |seed| {
            let (mut packets, mut batch) = (Packets::new(small(seed), 96), Batch::default());
            let mut all = Vec::new();
            while packets.poll(&mut batch) == Ok(Polled::Frames) {
                all.extend(batch.frames().map(|frame| (frame.at, frame.bytes.to_vec())));
                batch.clear();
            }
            all
        };
        let one = all(3);
        assert!(one.iter().map(|(at, _)| at).is_sorted());
        assert_eq!(one, all(3));
        assert_ne!(one, all(4));
    }
}
