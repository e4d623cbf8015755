//! The plain kinds of traffic that benches and sizing need.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use thiserror::Error;

use super::packet::{Packet, Tcp, TcpOptions, Transport};
use super::payload;
use super::random::{Random, scramble};
use super::talk::{App, Ends, HOSTS_MAX, Press, SERVERS, Server, Talk};
use crate::capture::{Polled, Source};
use crate::frame::Batch;
use crate::time::Timestamp;

/// What the traffic is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Frames of 64 bytes, spread evenly over all flows: the most work for a byte.
    Min,
    /// An office: TLS, HTTP, QUIC, DNS, SMB, ping; 15 % IPv6, 10 % in a VLAN.
    Mix,
    /// A few large uploads in full frames.
    Bulk,
    /// Every packet opens a flow of its own.
    Flows,
}

/// How much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the traffic is like.
    pub kind: Kind,
    /// Packets in all.
    pub packets: u64,
    /// Flows in all; [`Kind::Flows`] has as many as packets.
    pub flows: u64,
    /// Inside hosts that open them; in a mix each has an address of IPv6 too.
    pub hosts: u32,
    /// Other seeds, other traffic.
    pub seed: u64,
    /// Packets in a second of packet time.
    pub rate: u64,
    /// The first packet's time.
    pub start: Timestamp,
}

/// Why there is no such traffic.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SynthError {
    /// A number is out of its range.
    #[error("{name} must be {least} to {most} (got {given})")]
    Range {
        /// Of what.
        name: &'static str,
        /// The least there may be.
        least: u64,
        /// The most there may be.
        most: u64,
        /// What was asked for.
        given: u64,
    },
}

impl Kind {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Mix => "mix",
            Self::Bulk => "bulk",
            Self::Flows => "flows",
        }
    }

    /// As much of it as one asks for who only says how many packets.
    pub fn options(self, packets: u64) -> Options {
        let (packets_per_flow, hosts, rate) = match self {
            Self::Min => (50, 5000, 1_000_000),
            Self::Mix => (MIX_PACKETS_PER_FLOW, 2000, 13_000),
            Self::Bulk => (7800, 250, 65_000),
            Self::Flows => (1, 20_000, 250_000),
        };
        let flows = (packets / packets_per_flow).max(1);
        Options {
            kind: self,
            packets,
            flows,
            hosts: u32::try_from(flows).unwrap_or(hosts).min(hosts),
            seed: 1,
            rate,
            start: Timestamp::from_secs_nanos(START, 0),
        }
    }
}

/// Traffic as a source of frames.
#[derive(Debug, Clone)]
pub struct Traffic {
    options: Options,
    random: Random,
    press: Press,
    state: State,
    sent: u64,
    opened: u64,
}

/// What each kind remembers.
#[derive(Debug, Clone)]
enum State {
    /// Nothing: each packet follows from its number.
    Flows,
    /// Bytes and flags that each end of each flow has sent.
    Min(Vec<[u32; 2]>),
    /// The conversations that are open.
    Talks(Vec<Talk>),
}

impl Traffic {
    /// Traffic as asked for.
    ///
    /// # Errors
    /// When a number is out of its range.
    pub fn new(options: Options) -> Result<Self, SynthError> {
        let Options { packets, flows, .. } = options;
        let flows_max = match options.kind {
            Kind::Flows => packets,
            // What is kept of each flow has to fit into memory.
            Kind::Min => packets.min(u64::from(u32::MAX)),
            // A host asks the same resolver from each of its ports once.
            Kind::Mix | Kind::Bulk => packets.min(u64::from(options.hosts) * PORTS),
        };
        let flows_min = if options.kind == Kind::Flows { packets } else { 1 };
        range("hosts", 1, u64::from(HOSTS_MAX), u64::from(options.hosts))?;
        range("packets", 1, u64::MAX / 2, packets)?;
        range("flows", flows_min, flows_max, flows)?;
        range("rate", 1, 1_000_000_000, options.rate)?;
        let mut random = Random::new(options.seed);
        let press = Press::new(&mut random);
        let state = match options.kind {
            Kind::Flows => State::Flows,
            Kind::Min => State::Min(Vec::with_capacity(usize::try_from(flows).unwrap_or(0))),
            Kind::Mix | Kind::Bulk => State::Talks(Vec::new()),
        };
        Ok(Self { options, random, press, state, sent: 0, opened: 0 })
    }

    /// What was asked for.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Sends the next packet.
    fn step(&mut self, out: &mut Batch) {
        let at = self.time();
        match self.options.kind {
            Kind::Flows => self.step_flows(at, out),
            Kind::Min => self.step_min(at, out),
            Kind::Mix | Kind::Bulk => self.step_talks(at, out),
        }
        self.sent += 1;
    }

    /// Packets come at an even pace, each somewhere within its place.
    fn time(&mut self) -> Timestamp {
        let place = 1_000_000_000 / self.options.rate;
        let nanos = u128::from(self.sent) * 1_000_000_000 / u128::from(self.options.rate);
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.options.start.plus(Duration::from_nanos(nanos + self.random.below(place.max(1))))
    }

    /// A SYN, or a question to a resolver.
    fn step_flows(&mut self, at: Timestamp, out: &mut Batch) {
        let (ends, is_tcp) = self.ends(self.sent);
        self.opened += 1;
        let name = payload::name(ends.host);
        let question = payload::dns(ends.port, &name, Ipv4Addr::UNSPECIFIED.into(), false);
        let isn = scramble(self.sent) as u32;
        self.press.put(at, out, |frame, _| {
            let (transport, head) = if is_tcp {
                (tcp(&ends, true, isn, 0, Tcp::SYN), &[][..])
            } else {
                (Transport::Udp { from: ends.port, to: 53 }, &question[..])
            };
            let (from, to) = (ends.client(), ends.server());
            Packet { from, to, vlan: None, hop_limit: 64, transport, head, filler: &[] }
                .write(frame);
        });
    }

    /// First every flow is opened, then each packet goes to any of them: no cache helps.
    fn step_min(&mut self, at: Timestamp, out: &mut Batch) {
        let State::Min(flows) = &mut self.state else { return };
        let number = if self.opened < self.options.flows {
            self.opened += 1;
            flows.push([0; 2]);
            self.opened - 1
        } else {
            self.random.below(self.options.flows)
        };
        let sent = flows[number as usize];
        let by_client = match sent {
            [0, _] => true,
            [_, 0] => false,
            _ => self.random.chance(400),
        };
        let (ends, is_tcp) = self.ends(number);
        let isn = |side: usize| scramble(number << 1 | side as u64) as u32;
        let [own, other] = if by_client { [0, 1] } else { [1, 0] };
        let seq = |side: usize| isn(side).wrapping_add(sent[side]);
        let (transport, len, takes) = if !is_tcp {
            let (from, to) = if by_client { (ends.port, 4433) } else { (4433, ends.port) };
            (Transport::Udp { from, to }, 18, 18)
        } else if sent[own] == 0 {
            let flags = if by_client { Tcp::SYN } else { Tcp::SYN | Tcp::ACK };
            let ack = if by_client { 0 } else { seq(other) };
            (tcp(&ends, by_client, seq(own), ack, flags), 0, 1)
        } else {
            (tcp(&ends, by_client, seq(own), seq(other), Tcp::ACK | Tcp::PSH), 6, 6)
        };
        let State::Min(flows) = &mut self.state else { return };
        flows[number as usize][own] += takes;
        let (client, server) = (ends.client(), ends.server());
        let (from, to) = if by_client { (client, server) } else { (server, client) };
        let offset = (seq(own) as usize) % 4096;
        self.press.put(at, out, |frame, noise| {
            let filler = &noise[offset..offset + len];
            Packet { from, to, vlan: None, hop_limit: 64, transport, head: &[], filler }
                .write(frame);
        });
    }

    /// Conversations open at an even pace; in between any open one goes on.
    fn step_talks(&mut self, at: Timestamp, out: &mut Batch) {
        let Options { kind, packets, flows, hosts, .. } = self.options;
        let must_open = packets - self.sent <= flows - self.opened;
        if kind == Kind::Mix && !must_open && self.opened > 0 && self.random.chance(2) {
            let host = self.random.below(u64::from(hosts)) as u32;
            return self.press.arp(at, host, out);
        }
        // The last tenth of a mix, and nine tenths of bulk, belong to what is open.
        let tenths = if kind == Kind::Mix { 9 } else { 1 };
        let due_at =
            u128::from(self.opened) * u128::from(packets) * tenths / (u128::from(flows) * 10);
        let is_due = self.opened < flows && (must_open || due_at <= u128::from(self.sent));
        let State::Talks(open) = &self.state else { return };
        let index = if is_due || open.is_empty() {
            let talk = self.open();
            let State::Talks(open) = &mut self.state else { return };
            open.push(talk);
            open.len() - 1
        } else {
            self.random.below(open.len() as u64) as usize
        };
        let State::Talks(open) = &mut self.state else { return };
        if open[index].step(at, &mut self.random, &mut self.press, out) {
            open.swap_remove(index);
        }
    }

    /// Opens the next conversation. The last of all talks until the packets are used up.
    fn open(&mut self) -> Talk {
        let (mut ends, _) = self.ends(self.opened);
        self.opened += 1;
        if self.options.kind == Kind::Bulk {
            return Talk::new(ends, App::Raw, ENDLESS, 0);
        }
        ends.is_v6 = self.random.chance(150);
        ends.vlan = self.random.chance(100).then_some(10 + (ends.host % 40) as u16);
        if self.opened >= self.options.flows {
            return Talk::new(ends, App::Tls, ENDLESS / 20, ENDLESS);
        }
        let random = &mut self.random;
        let per_flow = self.options.packets as f64 / self.options.flows as f64;
        let scale = per_flow / MIX_PACKETS_PER_FLOW as f64;
        let mut bytes =
            |median: f64, spread| (random.lognormal(median, spread).min(3e7) * scale) as u64 + 1;
        let (app, up, down) = match class(self.opened, self.options.seed) {
            0..400 => {
                let down = bytes(36_000.0, 1.7);
                (App::Tls, down / 16 + bytes(900.0, 0.7), down)
            }
            400..440 => {
                let up = bytes(100_000.0, 1.6);
                (App::Tls, up, up / 25 + 1500)
            }
            440..500 => (App::Http, 300, bytes(24_000.0, 1.5)),
            500..620 => {
                let down = bytes(30_000.0, 1.6);
                (App::Quic, down / 12 + 1200, down)
            }
            620..900 => (App::Dns, 1, 1),
            900..960 => (App::Smb, bytes(40_000.0, 1.7), bytes(75_000.0, 1.7)),
            _ => {
                let echoes = 56 * (1 + self.opened % 5);
                (App::Ping, echoes, echoes)
            }
        };
        ends.server = match app {
            App::Dns => Server::Inside(53),
            App::Smb => Server::Inside(1 + (self.opened % 32) as u8),
            _ => ends.server,
        };
        Talk::new(ends, app, up, down)
    }

    /// The ends of flow `number`, and whether it is TCP: no two flows of one run are the same.
    fn ends(&self, number: u64) -> (Ends, bool) {
        let hosts = u64::from(self.options.hosts);
        let (host, turn) = (number % hosts, number / hosts);
        let (port, lap) = (turn % PORTS, turn / PORTS);
        let seed = self.options.seed.rotate_left(32);
        let chance = scramble(number ^ seed);
        let server = match self.options.kind {
            // A server is another on every lap of the ports, so that the tuple is new.
            Kind::Min | Kind::Flows => scramble((host << 16 | port) ^ seed).wrapping_add(lap),
            // Half of the visits go to an eighth of the places.
            Kind::Mix | Kind::Bulk => {
                let places = 4096 >> (3 * (chance >> 60 & 1));
                (chance & 0xfff) % places + lap * 4096
            }
        };
        let ends = Ends {
            host: host as u32,
            port: FIRST_PORT + port as u16,
            server: Server::Outside((server % u64::from(SERVERS)) as u32),
            is_v6: false,
            vlan: None,
        };
        (ends, chance >> 32 & 3 != 0)
    }
}

impl Source for Traffic {
    type Error = Infallible;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, Infallible> {
        let mut frames = 0;
        while self.sent < self.options.packets
            && frames < FRAMES_PER_POLL
            && batch.bytes.len() < BYTES_PER_POLL
        {
            self.step(batch);
            frames += 1;
        }
        Ok(if frames == 0 { Polled::End } else { Polled::Frames })
    }
}

/// From 0 to 999: what the conversation is about.
fn class(number: u64, seed: u64) -> u64 {
    scramble(number.wrapping_mul(3) ^ seed) % 1000
}

fn tcp(ends: &Ends, by_client: bool, seq: u32, ack: u32, flags: u8) -> Transport {
    let (from, to) = if by_client { (ends.port, 443) } else { (443, ends.port) };
    Transport::Tcp(Tcp { from, to, seq, ack, flags, options: TcpOptions::None })
}

pub(super) fn range(
    name: &'static str,
    least: u64,
    most: u64,
    given: u64,
) -> Result<(), SynthError> {
    if (least..=most).contains(&given) {
        return Ok(());
    }
    Err(SynthError::Range { name, least, most, given })
}

/// What the sizes of a mix come to; other numbers scale them.
const MIX_PACKETS_PER_FLOW: u64 = 39;

/// 2026-03-16 00:00 UTC, a Monday.
pub(super) const START: u64 = 1_773_619_200;

const FIRST_PORT: u16 = 1024;
const PORTS: u64 = 64_000;

/// Bytes of a conversation that has no end of its own.
const ENDLESS: u64 = 1 << 50;

/// As the readers of files do it.
const FRAMES_PER_POLL: usize = 8192;
const BYTES_PER_POLL: usize = 1 << 20;
