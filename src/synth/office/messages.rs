//! What transfers say in so many words: questions for names, pings, what a proxy is asked; each with its answer.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::places::number;
use super::transfer::{Increment, Transfer};
use crate::decode::Segment;
use crate::flow::FlowKey;
use crate::names::{self, Echo, Event, Gaze, Names, Piece};
use crate::net::{Addr, Endpoint, Protocol};
use crate::synth::payload;
use crate::synth::random::{Random, scramble};
use crate::time::Timestamp;

/// What a transfer consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// Bytes.
    Bytes,
    /// Bytes to a proxy inside, which is asked to reach this place.
    Proxied(Addr),
    /// Questions of a resolver for the names of places.
    Names,
    /// Questions to the resolver inside for names below the place's, each with the digest of something in it.
    Digests,
    /// Questions to the place for names below its own, with data in them.
    HiddenNames,
    /// Pings, as programs fill them.
    Pings,
    /// Pings with data in them.
    HiddenPings,
}

/// Which message of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// What is the address of the place? It is asked before a connection.
    Lookup,
    /// One of those that the transfer consists of.
    Own,
    /// What a proxy is asked, and its consent.
    Connect,
}

/// A message, and when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) at: Timestamp,
    /// When the question came; the message's own time if it is one.
    pub(super) asked_at: Timestamp,
    pub(super) topic: Topic,
    /// Did nothing come before it in its flow?
    pub(super) is_first: bool,
}

impl Word {
    pub(super) fn is_answer(&self) -> bool {
        self.at != self.asked_at
    }
}

impl Says {
    /// Bytes of a question and of its answer; of bytes one, because they have no such bounds.
    pub(super) fn unit(self) -> [u64; 2] {
        let name = |labels: u64| [labels + 1 + OWNER_LEN + 18, labels + 1 + OWNER_LEN + 18 + 16];
        match self {
            Self::Bytes | Self::Proxied(_) => [1, 1],
            Self::Names => name(3),
            Self::Digests => name(DIGITS),
            Self::HiddenNames => name(LETTERS + LETTERS.div_ceil(LABEL_MAX) - 1),
            Self::Pings => [PING, PING],
            Self::HiddenPings => [HEADER + ECHO_CARRIES, HEADER + ECHO_CARRIES],
        }
    }

    /// Bytes of data in a question.
    pub(super) fn carries(self) -> u64 {
        match self {
            Self::HiddenNames => NAME_CARRIES,
            Self::HiddenPings => ECHO_CARRIES,
            Self::Bytes | Self::Proxied(_) => 1,
            Self::Names | Self::Digests | Self::Pings => 0,
        }
    }

    pub(super) fn is_messages(self) -> bool {
        !matches!(self, Self::Bytes | Self::Proxied(_))
    }
}

impl Transfer {
    /// What the place is called: each is somebody else's. Some give every visit a label.
    pub(super) fn name(&self) -> String {
        let place = number(self.target());
        let visit = scramble(self.out ^ self.back.rotate_left(20) ^ self.millis.rotate_left(40));
        match scramble(u64::from(place) ^ LABELS).is_multiple_of(LABELLED) {
            true => name(&format!("{visit:016x}"), place),
            false => name("www", place),
        }
    }

    /// The domain that the place is registered under.
    pub(super) fn owner(&self) -> String {
        owner(number(self.target()))
    }

    /// Who is meant in the end.
    pub(super) fn target(&self) -> Addr {
        match self.says {
            Says::Proxied(place) => place,
            _ => self.place,
        }
    }

    /// When the host asks for the place's name, and is answered: not what came before the day.
    pub(super) fn lookup(&self, day: Timestamp) -> Option<[Timestamp; 2]> {
        let asked_at = self.start.minus(ASKED_BEFORE);
        let is_named = match self.says {
            Says::Bytes => self.protocol == Protocol::TCP || self.port == 443,
            _ => false,
        };
        let is_asked = is_named && !self.is_inbound && asked_at >= day;
        is_asked.then(|| [asked_at, self.start.minus(ASKED_BEFORE / 2)])
    }

    /// When a proxy is asked, and says yes.
    pub(super) fn connect(&self) -> Option<[Timestamp; 2]> {
        let after = |micros| self.start.plus(Duration::from_micros(micros));
        matches!(self.says, Says::Proxied(_)).then(|| [after(10), after(20)])
    }

    /// When the questions of an increment are put, and answered: evenly.
    pub(super) fn messages(
        &self,
        increment: &Increment,
    ) -> impl Iterator<Item = [Timestamp; 2]> + use<> {
        let [unit, _] = self.says.unit();
        let count = if self.says.is_messages() { increment.out / unit } else { 0 };
        let from = self.start.plus(Duration::from_millis(increment.since));
        let span = increment.at.since(from).as_nanos();
        let at = move |half: u64| {
            let nanos = span * u128::from(half) / u128::from(2 * count);
            from.plus(Duration::from_nanos(nanos as u64))
        };
        (0..count).map(move |message| [at(2 * message + 1), at(2 * message + 2)])
    }

    /// All messages, with these increments; a host asks for nothing before its `day`.
    pub(super) fn words(&self, increments: &[Increment], day: Timestamp) -> Vec<Word> {
        let mut words = Vec::new();
        let mut put = |topic, [asked_at, answered_at]: [Timestamp; 2], is_first| {
            words.push(Word { at: asked_at, asked_at, topic, is_first });
            words.push(Word { at: answered_at, asked_at, topic, is_first: false });
        };
        self.lookup(day).into_iter().for_each(|times| put(Topic::Lookup, times, true));
        self.connect().into_iter().for_each(|times| put(Topic::Connect, times, true));
        let own = increments.iter().flat_map(|increment| self.messages(increment));
        own.enumerate().for_each(|(at, times)| put(Topic::Own, times, at == 0));
        words
    }

    /// The host's end of the flow that has such messages, and the other.
    pub(super) fn ends(&self, topic: Topic, port: u16) -> [Endpoint; 2] {
        let (server, server_port, own_port) = match (topic, self.says, self.is_inbound) {
            (Topic::Lookup, ..) if self.host.to_ip().is_ipv6() => (RESOLVER_V6, 53, port),
            (Topic::Lookup, ..) | (_, Says::Digests, _) => (RESOLVER, 53, port),
            // Both ends of an echo bear its identifier.
            _ if self.protocol == Protocol::ICMP => (self.place, port, port),
            (.., true) => (self.place, port, self.port),
            (.., false) => (self.place, self.port, port),
        };
        [Endpoint { addr: self.host, port: own_port }, Endpoint { addr: server, port: server_port }]
    }

    /// The payload of a message: of an echo its data.
    pub(super) fn text(
        &self,
        topic: Topic,
        port: u16,
        (asked_at, is_answer): (Timestamp, bool),
    ) -> Vec<u8> {
        let flow = (self.host.to_bits() as u64) << 16 | u64::from(port);
        let mut chance = Random::new(scramble(asked_at.as_nanos() ^ scramble(flow)));
        let place = number(self.place);
        let asked = match (topic, self.says) {
            (Topic::Connect, _) if is_answer => return CONSENT.to_vec(),
            (Topic::Connect, _) => return payload::connect(&self.name()),
            (Topic::Lookup, _) => self.name(),
            (Topic::Own, Says::Names) => name("www", asked_of_a_resolver(&mut chance)),
            (Topic::Own, Says::Digests) => {
                name(&format!("{:016x}{:016x}", chance.bits(), chance.bits()), place)
            }
            (Topic::Own, Says::HiddenNames) => name(&letters(&mut chance), place),
            (Topic::Own, Says::Pings) => return payload::ping(asked_at),
            (Topic::Own, Says::HiddenPings) => {
                let words = (HEADER + ECHO_CARRIES) / 8;
                return (0..words).flat_map(|_| chance.bits().to_le_bytes()).collect();
            }
            (Topic::Own, Says::Bytes | Says::Proxied(_)) => return Vec::new(),
        };
        let id = if topic == Topic::Lookup { port } else { scramble(asked_at.as_nanos()) as u16 };
        let address = match self.place.to_ip() {
            ip @ IpAddr::V6(_) if topic == Topic::Lookup => ip,
            _ => Ipv4Addr::from_bits(place).into(),
        };
        payload::dns(id, &asked, address, is_answer)
    }

    /// Bytes of what a proxy is asked, and answers, beside what it is to carry.
    pub(super) fn heads(&self) -> [u64; 2] {
        match self.says {
            Says::Proxied(_) => [payload::connect(&self.name()).len() as u64, CONSENT.len() as u64],
            _ => [0, 0],
        }
    }
}

/// Hears messages as a sensor does that sees their packets whole.
#[derive(Debug, Clone)]
pub(super) struct Ear(Names);

impl Default for Ear {
    fn default() -> Self {
        Self(Names::new(names::Options::default()))
    }
}

impl Ear {
    /// What a message tells.
    pub(super) fn hear(
        &mut self,
        (transfer, port): (&Transfer, u16),
        word: &Word,
        mut tell: impl FnMut(Event),
    ) {
        let [host, server] = transfer.ends(word.topic, port);
        let protocol = match word.topic {
            Topic::Lookup => Protocol::UDP,
            Topic::Own | Topic::Connect => transfer.protocol,
        };
        let (key, own) = FlowKey::of(host, server, protocol);
        let is_answer = word.is_answer();
        let sender = if is_answer { own.other() } else { own };
        let text = transfer.text(word.topic, port, (word.asked_at, is_answer));
        if protocol == Protocol::ICMP {
            let transport =
                [&[if is_answer { 0 } else { 8 }, 0, 0, 0, 0, 0, 0, 0][..], &text].concat();
            let segment = Segment {
                source: key.end(sender),
                destination: key.end(sender.other()),
                protocol,
                vlan: None,
                tunnel: None,
                ip_len: 0,
                identification: 0,
                hop_limit: 0,
                transport: &transport,
                payload_len: text.len() as u32,
                header_len: 8,
                tcp: None,
                fragment: None,
            };
            let echo = Echo::of(word.at, &segment, key, sender);
            return echo.into_iter().for_each(|echo| tell(Event::Echo(Box::new(echo))));
        }
        // What a proxy answers tells nothing; what it carries then is not made up here.
        if word.topic == Topic::Connect && is_answer {
            return;
        }
        let piece = Piece {
            at: word.at,
            sender,
            initiator: own,
            offset: (protocol == Protocol::TCP).then_some(0),
            bytes: &text,
            is_cut: false,
            before: if word.is_first { 0 } else { Gaze::KEPT },
        };
        // A message is all there is of its flow: one number does for all.
        self.0.look((0, &key), &piece, tell);
        if protocol == Protocol::TCP {
            self.0.close(0, |_| ());
        }
    }
}

/// A name below a place's own. Unlike others that nobody can register (RFC 8375), these stand below a listed
/// public suffix, as nearly all names do that an office asks for.
fn name(labels: &str, place: u32) -> String {
    format!("{labels}.{}", owner(place))
}

/// The domain that a place is registered under.
fn owner(place: u32) -> String {
    format!("place{place:010}.home.arpa")
}

/// A place that somebody wants to know of: the n-th about as often as 1/n (Zipf).
fn asked_of_a_resolver(chance: &mut Random) -> u32 {
    FIRST_ASKED + libm::exp(chance.unit() * libm::log(f64::from(ASKED))) as u32
}

/// Chance in letters and digits (RFC 4648, base 32), in labels as long as they may be.
fn letters(chance: &mut Random) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = String::new();
    for at in 0..LETTERS {
        if at > 0 && at.is_multiple_of(LABEL_MAX) {
            text.push('.');
        }
        text.push(char::from(ALPHABET[chance.below(32) as usize]));
    }
    text
}

/// Of the office, inside it.
pub(super) const RESOLVER: Addr = Addr::from_v4([10, 20, 255, 53]);
/// The same over IPv6: 2001:db8:20:255::53.
pub(super) const RESOLVER_V6: Addr =
    Addr::from_v6([0x20, 1, 0x0d, 0xb8, 0, 0x20, 2, 0x55, 0, 0, 0, 0, 0, 0, 0, 0x53]);

const ASKED_BEFORE: Duration = Duration::from_millis(30);

const CONSENT: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Letters of `place0123456789.home.arpa`.
const OWNER_LEN: u64 = 25;

/// One place in so many gives each visit a label, as content networks and telemetry do.
const LABELLED: u64 = 12;
/// Keeps the chance of that apart from others.
const LABELS: u64 = 0x6c61_6265_6c73;

/// Hexadecimal digits of a digest.
const DIGITS: u64 = 32;

/// Bytes of data in a name with three labels, and the letters that they take.
const NAME_CARRIES: u64 = 100;
const LETTERS: u64 = NAME_CARRIES * 8 / 5;
const LABEL_MAX: u64 = 63;

/// The data of a ping, and those of an echo that carries some behind a header of its own.
const PING: u64 = 56;
const HEADER: u64 = 24;
const ECHO_CARRIES: u64 = 1000;

/// Places that resolvers are asked for.
const FIRST_ASKED: u32 = 0xc612_2000;
const ASKED: u32 = 20_000;
