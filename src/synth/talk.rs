//! One conversation, packet by packet: opened, answered, acknowledged, closed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{Node, Packet, Tcp, TcpOptions, Transport, write_arp};
use super::payload;
use super::random::{Random, scramble};
use crate::frame::{Batch, Frame, LinkType};
use crate::time::Timestamp;

/// What two ends say to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum App {
    Tls,
    Http,
    Quic,
    Dns,
    Smb,
    Ping,
    /// TCP payload without any meaning, in the largest segments.
    Raw,
}

/// The two ends of a conversation, by number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    /// An inside host.
    pub(super) host: u32,
    /// The host's port, or the identifier of its echo requests.
    pub(super) port: u16,
    pub(super) server: Server,
    pub(super) is_v6: bool,
    pub(super) vlan: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Server {
    Inside(u8),
    Outside(u32),
}

/// A conversation on its way.
#[derive(Debug, Clone)]
pub(super) struct Talk {
    ends: Ends,
    app: App,
    phase: Phase,
    client: Side,
    server: Side,
    /// Data segments since the other end acknowledged any.
    unacked: u8,
    /// Did the client send the last data?
    client_spoke: bool,
}

#[derive(Debug, Clone, Copy)]
struct Side {
    seq: u32,
    /// Payload bytes that it has yet to send.
    left: u64,
    has_spoken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Syn,
    SynAck,
    Ack,
    Data,
    FinAck,
    LastAck,
}

/// Makes frames of packets.
#[derive(Debug, Clone)]
pub(super) struct Press {
    frame: Vec<u8>,
    noise: Vec<u8>,
    /// Bytes of a frame that are kept.
    snap: usize,
}

impl Press {
    pub(super) fn new(random: &mut Random) -> Self {
        let noise = (0..NOISE / 8).flat_map(|_| random.bits().to_le_bytes()).collect();
        Self { frame: Vec::new(), noise, snap: usize::MAX }
    }

    /// The same that keeps no more than so many bytes of a frame.
    pub(super) fn with_snap(self, snap: usize) -> Self {
        Self { snap, ..self }
    }

    /// Appends the frame that `write` writes, given noise to cut payload from.
    pub(super) fn put(
        &mut self,
        at: Timestamp,
        out: &mut Batch,
        write: impl FnOnce(&mut Vec<u8>, &[u8]),
    ) {
        self.frame.clear();
        write(&mut self.frame, &self.noise);
        let wire_len = self.frame.len() as u32;
        let bytes = &self.frame[..self.frame.len().min(self.snap)];
        out.push(Frame { at, link: LinkType::ETHERNET, wire_len, bytes });
    }

    /// Appends a host's ARP question for its gateway.
    pub(super) fn arp(&mut self, at: Timestamp, host: u32, out: &mut Batch) {
        let [_, b, c, _] = host_v4(host).octets();
        self.put(at, out, |frame, _| write_arp(host_node(host, false), [10, b, c, 254], frame));
    }
}

impl Ends {
    pub(super) fn client(&self) -> Node {
        host_node(self.host, self.is_v6)
    }

    pub(super) fn server(&self) -> Node {
        Node { mac: GATEWAY, ip: self.server.ip(self.is_v6) }
    }
}

impl Server {
    fn ip(self, is_v6: bool) -> IpAddr {
        match (self, is_v6) {
            (Self::Inside(number), false) => IpAddr::from([10, 200, 0, number]),
            (Self::Outside(number), false) => {
                // 198.18.0.0/15 is set aside for benchmarks (RFC 2544).
                Ipv4Addr::from_bits(0xc612_0000 | (number % SERVERS)).into()
            }
            (Self::Inside(number), true) => v6(0xfd00_00c8, u32::from(number)),
            (Self::Outside(number), true) => v6(0x2001_0db8, number % SERVERS),
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Inside(number) => SERVERS + u32::from(number),
            Self::Outside(number) => number % SERVERS,
        }
    }
}

impl Talk {
    /// A conversation in which the client sends `up` bytes and the server `down`.
    pub(super) fn new(ends: Ends, app: App, up: u64, down: u64) -> Self {
        let seed = scramble(u64::from(ends.host) << 16 | u64::from(ends.port));
        let side = |seq, left| Side { seq, left, has_spoken: false };
        Self {
            ends,
            app,
            phase: Phase::Syn,
            client: side(seed as u32, up),
            server: side((seed >> 32) as u32, down),
            unacked: 0,
            client_spoke: false,
        }
    }

    /// Sends the next packet. Was it the last?
    pub(super) fn step(
        &mut self,
        at: Timestamp,
        random: &mut Random,
        press: &mut Press,
        out: &mut Batch,
    ) -> bool {
        if !self.app.is_tcp() {
            let by_client = self.is_clients_turn(random);
            self.send(at, by_client, Tcp::ACK, self.datagram_len(by_client, random), press, out);
            return self.left() == 0;
        }
        let (by_client, flags, len, next) = match self.phase {
            Phase::Syn => (true, Tcp::SYN, 0, Phase::SynAck),
            Phase::SynAck => (false, Tcp::SYN | Tcp::ACK, 0, Phase::Ack),
            Phase::Ack => (true, Tcp::ACK, 0, Phase::Data),
            Phase::Data if self.unacked >= 2 => {
                self.unacked = 0;
                (!self.client_spoke, Tcp::ACK, 0, Phase::Data)
            }
            Phase::Data if self.left() > 0 => {
                let by_client = self.is_clients_turn(random);
                let len = self.segment_len(by_client, random);
                self.unacked = if by_client == self.client_spoke { self.unacked + 1 } else { 1 };
                self.client_spoke = by_client;
                (by_client, Tcp::PSH | Tcp::ACK, len, Phase::Data)
            }
            Phase::Data => (true, Tcp::FIN | Tcp::ACK, 0, Phase::FinAck),
            Phase::FinAck => (false, Tcp::FIN | Tcp::ACK, 0, Phase::LastAck),
            Phase::LastAck => (true, Tcp::ACK, 0, Phase::LastAck),
        };
        let is_last = self.phase == Phase::LastAck;
        self.phase = next;
        self.send(at, by_client, flags, len, press, out);
        is_last
    }

    fn left(&self) -> u64 {
        self.client.left + self.server.left
    }

    /// The client speaks first, the server answers; then in proportion to what each has left.
    fn is_clients_turn(&self, random: &mut Random) -> bool {
        match (self.client.left, self.server.left) {
            (_, 0) => true,
            (0, _) => false,
            _ if !self.client.has_spoken => true,
            _ if !self.server.has_spoken => false,
            (up, _) => random.below(self.left()) < up,
        }
    }

    fn segment_len(&self, by_client: bool, random: &mut Random) -> usize {
        let largest = 1448 - if self.ends.is_v6 { 20 } else { 0 };
        let side = if by_client { &self.client } else { &self.server };
        let len = match (self.app, random.below(100)) {
            (App::Raw, _) | (_, 0..55) => largest,
            (_, 55..80) => 500 + random.below(100),
            _ => 40 + random.below(260),
        };
        // A first segment holds the whole of its hello or request.
        let least = if side.has_spoken { 1 } else { self.head(by_client, usize::MAX).len() as u64 };
        len.min(side.left).max(least) as usize
    }

    fn datagram_len(&self, by_client: bool, random: &mut Random) -> usize {
        let left = if by_client { self.client.left } else { self.server.left };
        match self.app {
            App::Dns => self.head(by_client, usize::MAX).len(),
            App::Ping => 56,
            _ if random.chance(650) => left.min(1200) as usize,
            _ => left.min(40 + random.below(600)) as usize,
        }
    }

    /// What a payload of `len` bytes begins with.
    fn head(&self, by_client: bool, len: usize) -> Vec<u8> {
        let side = if by_client { &self.client } else { &self.server };
        let name = || payload::name(self.ends.server.number());
        let random = u64::from(self.client.seq);
        match (self.app, by_client) {
            _ if len == 0 => Vec::new(),
            (App::Dns, _) => {
                let port = self.ends.port;
                let address = Ipv4Addr::new(198, 18, 0, port as u8).into();
                payload::dns(port, &payload::name(u32::from(port)), address, !by_client)
            }
            (App::Quic, _) => vec![0x43],
            (App::Tls, true) if !side.has_spoken => payload::client_hello(&name(), random),
            (App::Tls, false) if !side.has_spoken => payload::server_hello(random),
            (App::Tls, _) => payload::tls_record(len),
            (App::Http, true) if !side.has_spoken => payload::http_request(&name(), random),
            (App::Http, false) if !side.has_spoken => payload::http_answer(self.server.left),
            (App::Smb, _) if !side.has_spoken => payload::smb(len, random),
            (App::Http | App::Smb | App::Ping | App::Raw, _) => Vec::new(),
        }
    }

    fn send(
        &mut self,
        at: Timestamp,
        by_client: bool,
        flags: u8,
        len: usize,
        press: &mut Press,
        out: &mut Batch,
    ) {
        let mut head = self.head(by_client, len);
        head.truncate(len);
        let (client, server) = (self.ends.client(), self.ends.server());
        let (from, to) = if by_client { (client, server) } else { (server, client) };
        let salt = self.client.seq ^ self.server.seq.rotate_left(16);
        let transport = self.transport(at, by_client, flags);
        let (vlan, filler) = (self.ends.vlan, len - head.len());
        let hop_limit = if by_client { 64 } else { 52 };
        let offset = scramble(u64::from(salt)) as usize % (NOISE - filler);
        press.put(at, out, |frame, noise| {
            let filler = &noise[offset..offset + filler];
            Packet { from, to, vlan, hop_limit, transport, head: &head, filler }.write(frame);
        });
        let side = if by_client { &mut self.client } else { &mut self.server };
        let takes = u32::from(flags & (Tcp::SYN | Tcp::FIN) != 0);
        side.seq = side.seq.wrapping_add(len as u32 + takes);
        // A name may be longer than the bytes it stands for.
        side.left = side.left.saturating_sub(len as u64);
        side.has_spoken |= len > 0;
    }

    fn transport(&self, at: Timestamp, by_client: bool, flags: u8) -> Transport {
        let (own, peer) = (self.app.port(), self.ends.port);
        let (from, to) = if by_client { (peer, own) } else { (own, peer) };
        let (side, other) =
            if by_client { (&self.client, &self.server) } else { (&self.server, &self.client) };
        match self.app {
            App::Ping => Transport::Echo {
                is_reply: !by_client,
                ident: self.ends.port,
                // Question and answer bear one number: each side counts its own.
                seq: (side.seq.wrapping_sub(side.first_seq(&self.ends, by_client)) / 56) as u16,
            },
            app if !app.is_tcp() => Transport::Udp { from, to },
            _ => Transport::Tcp(Tcp {
                from,
                to,
                seq: side.seq,
                ack: if flags & Tcp::ACK != 0 { other.seq } else { 0 },
                flags,
                options: if flags & Tcp::SYN != 0 {
                    TcpOptions::Opening
                } else {
                    TcpOptions::Stamps((at.as_nanos() / 1_000_000) as u32)
                },
            }),
        }
    }
}

impl Side {
    /// Where its numbers began.
    fn first_seq(&self, ends: &Ends, is_client: bool) -> u32 {
        let seed = scramble(u64::from(ends.host) << 16 | u64::from(ends.port));
        if is_client { seed as u32 } else { (seed >> 32) as u32 }
    }
}

impl App {
    fn is_tcp(self) -> bool {
        matches!(self, Self::Tls | Self::Http | Self::Smb | Self::Raw)
    }

    fn port(self) -> u16 {
        match self {
            Self::Tls | Self::Quic | Self::Raw => 443,
            Self::Http => 80,
            Self::Dns => 53,
            Self::Smb => 445,
            Self::Ping => 0,
        }
    }
}

fn host_node(host: u32, is_v6: bool) -> Node {
    let [a, b, c, d] = host.to_be_bytes();
    let ip = if is_v6 { v6(0xfd00_0014, host) } else { host_v4(host).into() };
    Node { mac: [2, 0x0a, a, b, c, d], ip }
}

/// Hosts fill 10.0.1.0 to 10.127.255.255.
fn host_v4(host: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0100 + host)
}

fn v6(net: u32, number: u32) -> IpAddr {
    Ipv6Addr::from_bits(u128::from(net) << 96 | u128::from(number)).into()
}

/// Outside servers there are.
pub(super) const SERVERS: u32 = 1 << 17;
/// Hosts that have an address of their own.
pub(super) const HOSTS_MAX: u32 = 0x007f_ff00;

const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Bytes of noise to cut payload from.
pub(super) const NOISE: usize = 1 << 16;
