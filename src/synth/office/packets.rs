//! The same office as packets: every report becomes the segments that a table would have made it of.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use super::Office;
use super::arrival::{Arrival, mac};
use super::messages::{RESOLVER, RESOLVER_V6, Says, Topic};
use super::transfer::{Increment, Queue, Transfer};
use crate::capture::{Polled, Source};
use crate::frame::Batch;
use crate::net::{Addr, Endpoint, Protocol};
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
    /// Who comes today, the next one first.
    arrivals: VecDeque<Arrival>,
    /// Conversations that there ever were.
    count: u64,
}

/// What one transfer says, packet by packet.
#[derive(Debug, Clone)]
struct Conversation {
    transfer: Transfer,
    port: u16,
    increments: VecDeque<Increment>,
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
    /// A message, and when its question came.
    Message(Topic, Timestamp),
    /// A segment without payload.
    Control(u8),
    Payload(u16),
}

impl Packets {
    /// The packets of an office from its first day on; no more than `snap` bytes of a frame are kept.
    pub fn new(office: Office, snap: usize) -> Self {
        let press = Press::new(&mut Random::new(scramble(office.seed))).with_snap(snap);
        let (next, open, arrivals) = Default::default();
        Self { office, press, next, open, arrivals, count: 0 }
    }

    /// Makes up the conversations of the next day.
    fn next_day(&mut self) -> bool {
        let Some((arrivals, transfers)) = self.office.next_transfers() else { return false };
        self.arrivals.extend(arrivals);
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
            let next = self.next.peek().map(|&Reverse((at, _))| at);
            if let Some(arrival) = self.arrivals.front()
                && arrival.at < limit
                && next.is_none_or(|next| arrival.at <= next)
            {
                arrival.send(&mut self.press, out);
                self.arrivals.pop_front();
                return true;
            }
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
            increments: transfer.increments(0, port, midnights).into(),
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
        let Transfer { start, is_inbound, .. } = self.transfer;
        self.transfer
            .lookup(day)
            .into_iter()
            .for_each(|times| self.put_message(Topic::Lookup, times));
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
        if let Some(times) = self.transfer.connect() {
            self.put_message(Topic::Connect, times);
            self.latest = times[1];
        }
    }

    /// Plans a question and its answer.
    fn put_message(&mut self, topic: Topic, [asked_at, answered_at]: [Timestamp; 2]) {
        for (at, by_host) in [(asked_at, true), (answered_at, false)] {
            self.planned.push_back(Planned { at, by_host, what: What::Message(topic, asked_at) });
        }
    }

    /// When the next packet goes; plans those of the next report when there are none.
    fn refill(&mut self) -> Option<Timestamp> {
        while self.planned.is_empty() {
            let increment = self.increments.pop_front()?;
            self.plan(&increment);
        }
        self.planned.front().map(|planned| planned.at)
    }

    /// Plans the packets of a report, at an even pace, the opener first.
    fn plan(&mut self, increment: &Increment) {
        if self.transfer.says.is_messages() {
            let messages = self.transfer.messages(increment);
            return messages.for_each(|times| self.put_message(Topic::Own, times));
        }
        let [asked, consented] = if increment.is_first { self.transfer.heads() } else { [0, 0] };
        let from = self.transfer.start.plus(Duration::from_millis(increment.since));
        let span = increment.at.since(from).as_nanos();
        let largest = match self.is_tcp() {
            true if self.transfer.host.to_ip().is_ipv6() => SEGMENT_V6,
            true => SEGMENT,
            false => DATAGRAM,
        };
        let (mut out_left, mut back_left) = (increment.out - asked, increment.back - consented);
        let (out, back) = (out_left.div_ceil(largest), back_left.div_ceil(largest));
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
        if self.is_tcp() && increment.is_last {
            let closer = opener;
            for (by_host, flags) in
                [(closer, Tcp::FIN | Tcp::ACK), (!closer, Tcp::FIN | Tcp::ACK), (closer, Tcp::ACK)]
            {
                self.put(self.latest.max(increment.at), by_host, What::Control(flags));
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
        let head = self.head(by_host, what);
        let topic = if let What::Message(topic, _) = what { topic } else { Topic::Own };
        let ends = self.transfer.ends(topic, self.port);
        let [host, place] = ends.map(|end| self.node(end.addr));
        let (transport, len) = match what {
            What::Message(Topic::Lookup, _) => (udp(ends, by_host), head.len()),
            What::Message(Topic::Own | Topic::Connect, _) => {
                (self.transport(at, by_host, Tcp::PSH | Tcp::ACK), head.len())
            }
            What::Control(flags) => (self.transport(at, by_host, flags), 0),
            What::Payload(len) => {
                (self.transport(at, by_host, Tcp::PSH | Tcp::ACK), usize::from(len))
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
            What::Message(Topic::Lookup, _) => 0,
            What::Message(Topic::Connect, _) => len as u32,
            What::Message(Topic::Own, _) => 1,
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
        let ends = self.transfer.ends(Topic::Own, self.port);
        let [from, to] = directed(ends, by_host).map(|end| end.port);
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
            _ => udp(ends, by_host),
        }
    }

    fn node(&self, addr: Addr) -> Node {
        let ip = addr.to_ip();
        let mac = match ip {
            _ if addr == self.transfer.host && ip.is_ipv6() => mac(self.transfer.machine),
            _ if addr == RESOLVER_V6 => mac(RESOLVER),
            IpAddr::V4(v4) if v4.is_private() => mac(addr),
            _ => GATEWAY,
        };
        Node { mac, ip }
    }

    fn is_tls(&self) -> bool {
        let is_proxied = matches!(self.transfer.says, Says::Proxied(_));
        self.is_tcp() && (self.transfer.port == 443 || is_proxied)
    }

    /// What a payload begins with.
    fn head(&self, by_host: bool, what: What) -> Vec<u8> {
        let name = || self.transfer.name();
        let mut head = match what {
            What::Control(_) => return Vec::new(),
            What::Message(topic, asked_at) => {
                return self.transfer.text(topic, self.port, (asked_at, !by_host));
            }
            What::Payload(len) if self.is_tls() => {
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

/// The end that sends first.
fn directed([host, place]: [Endpoint; 2], by_host: bool) -> [Endpoint; 2] {
    if by_host { [host, place] } else { [place, host] }
}

fn udp(ends: [Endpoint; 2], by_host: bool) -> Transport {
    let [from, to] = directed(ends, by_host).map(|end| end.port);
    Transport::Udp { from, to }
}

const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The largest payload of a segment with time stamps, and of a datagram.
const SEGMENT: u64 = 1448;
const SEGMENT_V6: u64 = 1428;
const DATAGRAM: u64 = 1200;

/// As the readers of files do it.
const FRAMES_PER_POLL: usize = 8192;
const BYTES_PER_POLL: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;

    use super::super::{
        Cell, Chunking, Destination, Host, Hour, Injection, Pace, Parameters, Service, Tells,
        labels,
    };
    use super::*;
    use crate::egress::{Crossing, Place};
    use crate::engine::{Reported, Run, count};
    use crate::flow::{self, FlowDelta};
    use crate::names::{self, Event};
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

    /// The same with messages of every kind, half of the hosts behind a gateway, half asking a proxy, half of the
    /// others with IPv6, and an upload by one that asks the proxy.
    const STANDING_BETWEEN: &str = "nat = { share = 0.5, hosts = 3 }\nproxy = { share = 0.5 }\n\
                                    ipv6 = { share = 0.5, places = 0.5, is_heard = true }";
    const BUSY: &str = r#"
        [[event]]
        name = "names"
        who = "servers"
        rate = 2400
        mb_median = 0.005
        mb_spread = 0.5
        mb_max = 1.0
        mbit = 0.0001
        to = "names"
        port = 53
        over = "dns"
        [[event]]
        name = "digests"
        rate = 400
        mb_median = 0.001
        mb_spread = 0.5
        mb_max = 1.0
        mbit = 0.001
        to = "reputation"
        port = 53
        over = "dns"
    "#;

    fn small(seed: u64, busy: bool) -> Office {
        let text = match busy {
            true => [STANDING_BETWEEN, SMALL, BUSY].concat(),
            false => SMALL.to_owned(),
        };
        let office = Office::new(Parameters::parse(&text).unwrap(), seed).unwrap();
        match office.staying().into_iter().find(|&(_, asks_proxy)| asks_proxy && busy) {
            Some((host, asks_proxy)) => {
                let cell = Cell {
                    bytes: 1_000_000,
                    bytes_per_sec: 1000,
                    chunking: Chunking::Parallel,
                    destination: Destination::NeverSeen,
                    hour: Hour::Work,
                    service: Service::Tls,
                    pace: Pace::Ramp,
                };
                let place = Addr::from_v4([203, 0, 113, 7]);
                let start = office.calendar.start(1).plus(Duration::from_secs(40_000));
                office.with(vec![Injection { cell, host, place, start, asks_proxy }])
            }
            None => office,
        }
    }

    fn internal() -> Subnets {
        labels::INTERNAL.iter().map(|net| net.parse().unwrap()).collect::<Subnets>().with_local()
    }

    /// Bytes of each host to each destination, of clients to their proxy too: out on each day, and in on all days,
    /// for these are reported when the host sends the next.
    type Sums = BTreeMap<(Addr, Addr, Option<usize>), u64>;

    fn add(sums: &mut Sums, office: &Office, delta: &FlowDelta) {
        let (host, peer, side) = match Place::of(&internal(), &delta.key) {
            Place::Border(Crossing { host, peer, side, .. }) => (host, peer, side),
            Place::Inside if delta.key.protocol == Protocol::TCP => {
                let side = delta.initiator;
                (delta.key.end(side).addr, delta.key.end(side.other()).addr, side)
            }
            _ => return,
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

    /// All that is learned of messages, in some order; of a request to a proxy when, of whom and for what.
    fn note(events: &mut Vec<String>, event: &Event) {
        match event {
            Event::Query(_) | Event::Echo(_) | Event::Answer(_) => {
                events.push(format!("{event:?}"));
            }
            Event::Facts(flow, facts)
                if facts.service == names::Service::Dns || facts.asks_proxy =>
            {
                events.push(format!("{flow:?} {} {:?}", facts.seen_at, facts.name));
            }
            Event::Facts(..) => {}
        }
    }

    fn replayed(seed: u64, busy: bool, snap: usize) -> (Sums, Vec<String>) {
        let office = small(seed, busy);
        let (mut sums, mut events) = (Sums::new(), Vec::new());
        let run = Run {
            flow: flow::Options::default(),
            names: Some(names::Options::default()),
            internal: internal(),
            workers: 1,
        };
        let mut packets = Packets::new(office.clone(), snap);
        let take = |_: &mut Packets, reports: &crate::engine::Reports| {
            for reported in reports.in_order() {
                match reported {
                    Reported::Delta(delta) => add(&mut sums, &office, delta),
                    Reported::Event(event) => note(&mut events, event),
                    Reported::Claim(claim) => events.push(format!("{claim:?}")),
                }
            }
            ControlFlow::Continue(())
        };
        let Ok(counted) = count(&mut packets, &run, take);
        // Of no IP is what says whose an address is.
        let rejected = counted.rejects.iter().map(|(_, count)| count).sum::<u64>();
        let events = ordered(events);
        let arps = events.iter().filter(|event| event.contains("source: Arp")).count();
        assert_eq!(rejected, arps as u64);
        (sums, events)
    }

    /// A request to a proxy is told again as more is learned of what it carries.
    fn ordered(mut events: Vec<String>) -> Vec<String> {
        events.sort();
        events.dedup();
        events
    }

    /// Whoever judges the reports judges the packets: both outputs must tell of the same bytes, names and echoes.
    #[test]
    fn packets_carry_what_the_reports_say() {
        for (seed, busy, snap) in [(1, false, usize::MAX), (2, false, 96), (3, true, usize::MAX)] {
            let (mut sums, mut events) = (Sums::new(), Vec::new());
            let office = small(seed, busy);
            for report in office.clone() {
                match report.tells {
                    Tells::Delta(delta, _) => add(&mut sums, &office, &delta),
                    Tells::Event(event) => note(&mut events, &event),
                    Tells::Claim(claim) => events.push(format!("{claim:?}")),
                }
            }
            assert!(sums.len() > 100 && sums.keys().any(|&(.., day)| day == Some(2)));
            let replayed = replayed(seed, busy, snap);
            let differ = |(ends, bytes): &(&_, &u64)| sums.get(ends) != Some(bytes);
            let differing: Vec<_> = replayed.0.iter().filter(differ).take(9).collect();
            assert_eq!((differing, replayed.0.len()), (Vec::new(), sums.len()));
            if snap == usize::MAX {
                let events = ordered(events);
                assert!(events.len() > 1000 && events.iter().any(|event| event.contains("Echo")));
                assert_eq!(busy, events.iter().any(|event| event.contains("source: Ndp")));
                assert_eq!(busy, events.iter().any(|event| event.contains("place3405803783")));
                // Below a suffix that is not listed all names would tell the server that is asked as well.
                assert!(!events.iter().any(|event| event.contains("is_listed: false")));
                let both = replayed.1.iter().zip(&events);
                let differ = both.clone().find(|(one, other)| one != other);
                assert_eq!((differ, replayed.1.len()), (None, events.len()));
            }
        }
    }

    /// Who is behind a gateway shares its address, and who asks a proxy sends nothing over port 443 himself.
    #[test]
    fn gateways_and_proxies_stand_between() {
        let office = small(3, true);
        let hosts: Vec<Addr> = office.staff.workstations().map(Host::addr).collect();
        let gateway = |addr: &Addr| addr.to_string().starts_with("10.20.254.");
        assert!(hosts.iter().any(gateway) && !hosts.iter().all(gateway), "{hosts:?}");
        let mut clients = BTreeMap::new();
        for report in office {
            let Some(delta) = report.delta() else { continue };
            let [client, server] =
                [delta.initiator, delta.initiator.other()].map(|side| delta.key.end(side));
            if delta.key.protocol == Protocol::TCP && [443, 3128].contains(&server.port) {
                let ports: &mut Vec<u16> = clients.entry(client.addr.to_string()).or_default();
                ports.push(server.port);
            }
        }
        assert!(clients.remove("10.20.255.80").is_some_and(|ports| !ports.contains(&3128)));
        let asks = |ports: &&Vec<u16>| ports.contains(&3128);
        assert!(clients.values().filter(asks).count() > 0);
        assert!(clients.values().any(|ports| !ports.contains(&3128)));
    }

    #[test]
    fn packets_are_in_order_and_the_same_for_the_same_seed() {
        let all = |seed| {
            let (mut packets, mut batch) = (Packets::new(small(seed, false), 96), Batch::default());
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
