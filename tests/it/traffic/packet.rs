//! One packet as facts, and the frame it makes.

use std::net::{IpAddr, SocketAddr};

use sekisho::frame::{Batch, Frame, LinkType};
use sekisho::net::Protocol;
use sekisho::time::Timestamp;

/// A packet on the way past the capture point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packet {
    /// Nanoseconds of packet time.
    pub(crate) at: u64,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) content: Content,
    /// Bytes of payload: zeros after the first eight, which are `stamp`.
    pub(crate) len: u32,
    pub(crate) stamp: u64,
    /// IP identification.
    pub(crate) id: u16,
    pub(crate) vlan: Option<u16>,
    /// Routers passed.
    pub(crate) hops: u8,
    /// Left to segmentation offload: the IP length is 0.
    pub(crate) is_offloaded: bool,
    pub(crate) piece: Option<Piece>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Content {
    Tcp(TcpHead),
    Udp,
    Sctp,
    /// ICMP echo; both ports are its identifier.
    Echo {
        is_reply: bool,
        seq: u16,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TcpHead {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    /// As sent, unscaled.
    pub(crate) window: u16,
    pub(crate) options: Options,
}

/// TCP options, in the order that Linux writes them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Options {
    None,
    Timestamps {
        now: u32,
    },
    /// What came last, when it is not what was expected next (RFC 2018, RFC 2883).
    Sack {
        from: u32,
        to: u32,
    },
    Syn {
        mss: u16,
        scale: u8,
    },
}

/// A fragment: bytes `start..end` of the IP payload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Piece {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) is_last: bool,
}

impl Packet {
    pub(crate) fn protocol(&self) -> Protocol {
        match (self.content, self.source.is_ipv6()) {
            (Content::Tcp(_), _) => Protocol::TCP,
            (Content::Udp, _) => Protocol::UDP,
            (Content::Sctp, _) => Protocol::SCTP,
            (Content::Echo { .. }, false) => Protocol::ICMP,
            (Content::Echo { .. }, true) => Protocol::ICMPV6,
        }
    }

    pub(crate) fn tcp(&self) -> Option<&TcpHead> {
        match &self.content {
            Content::Tcp(tcp) => Some(tcp),
            Content::Udp | Content::Sctp | Content::Echo { .. } => None,
        }
    }

    pub(crate) fn tcp_mut(&mut self) -> Option<&mut TcpHead> {
        match &mut self.content {
            Content::Tcp(tcp) => Some(tcp),
            Content::Udp | Content::Sctp | Content::Echo { .. } => None,
        }
    }

    /// IP total length.
    pub(crate) fn ip_len(&self) -> u32 {
        let header_len = match (self.source, self.piece) {
            (SocketAddr::V4(_), _) => 20,
            (SocketAddr::V6(_), None) => 40,
            (SocketAddr::V6(_), Some(_)) => 48,
        };
        header_len + self.piece.map_or(self.upper_len(), |piece| piece.end - piece.start)
    }

    /// Length of the whole IP payload, of which a fragment has a piece.
    pub(crate) fn upper_len(&self) -> u32 {
        self.len
            + match self.content {
                Content::Tcp(tcp) => tcp.options.header_len(),
                Content::Udp | Content::Echo { .. } => 8,
                Content::Sctp => 12,
            }
    }

    /// Appends the frame to `batch`, with at most `snap_len` bytes of it captured.
    pub(crate) fn write(&self, snap_len: u32, scratch: &mut Vec<u8>, batch: &mut Batch) {
        scratch.clear();
        // A router puts its own addresses there.
        let mac = |end: SocketAddr| [2, 0, 0, self.hops, 0, u8::from(end.port() >= 1024)];
        scratch.extend(mac(self.destination));
        scratch.extend(mac(self.source));
        if let Some(vlan) = self.vlan {
            scratch.extend([0x81, 0x00]);
            scratch.extend(vlan.to_be_bytes());
        }
        let ethernet_len = scratch.len() as u32 + 2;
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                scratch.extend([0x08, 0x00]);
                self.write_v4(source.octets(), destination.octets(), scratch);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                scratch.extend([0x86, 0xdd]);
                self.write_v6(source.octets(), destination.octets(), scratch);
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                panic!("both ends of a packet are of one family")
            }
        }
        let upper = self.upper();
        match self.piece {
            None => scratch.extend(upper),
            Some(Piece { start: 0, end, .. }) => {
                scratch.extend(&upper[..upper.len().min(end as usize)]);
            }
            Some(_) => {}
        }
        let wire_len = (ethernet_len + self.ip_len()).max(60);
        scratch.resize(wire_len.min(snap_len) as usize, 0);
        let at = Timestamp::from_nanos(self.at);
        batch.push(Frame { at, link: LinkType::ETHERNET, wire_len, bytes: scratch });
    }

    fn write_v4(&self, source: [u8; 4], destination: [u8; 4], bytes: &mut Vec<u8>) {
        let mut header = [0; 20];
        let place = self.piece.map_or(0x4000, |piece| {
            (piece.start / 8) as u16 | if piece.is_last { 0 } else { 0x2000 }
        });
        header[0] = 0x45;
        header[2..4].copy_from_slice(&self.stated_len(self.ip_len()));
        header[4..6].copy_from_slice(&self.id.to_be_bytes());
        header[6..8].copy_from_slice(&place.to_be_bytes());
        header[8] = 64 - self.hops;
        header[9] = self.protocol().0;
        header[12..16].copy_from_slice(&source);
        header[16..20].copy_from_slice(&destination);
        let checksum = checksum(&[&header]);
        header[10..12].copy_from_slice(&checksum);
        bytes.extend(header);
    }

    fn write_v6(&self, source: [u8; 16], destination: [u8; 16], bytes: &mut Vec<u8>) {
        let next = if self.piece.is_some() { 44 } else { self.protocol().0 };
        bytes.extend([0x60, 0, 0, 0]);
        bytes.extend(self.stated_len(self.ip_len() - 40));
        bytes.extend([next, 64 - self.hops]);
        bytes.extend(source);
        bytes.extend(destination);
        if let Some(piece) = self.piece {
            bytes.extend([self.protocol().0, 0]);
            bytes.extend((piece.start as u16 | u16::from(!piece.is_last)).to_be_bytes());
            bytes.extend(u32::from(self.id).to_be_bytes());
        }
    }

    fn stated_len(&self, len: u32) -> [u8; 2] {
        if self.is_offloaded { [0; 2] } else { u16::try_from(len).unwrap().to_be_bytes() }
    }

    /// The transport header and the stamp; what follows are zeros, also for the checksum.
    fn upper(&self) -> Vec<u8> {
        let ports = [self.source.port().to_be_bytes(), self.destination.port().to_be_bytes()];
        let mut bytes = Vec::with_capacity(68);
        let (len, checksum_at) = (
            self.upper_len(),
            match self.content {
                Content::Tcp(_) => 16,
                Content::Udp => 6,
                Content::Sctp => 8,
                Content::Echo { .. } => 2,
            },
        );
        match self.content {
            Content::Tcp(tcp) => {
                bytes.extend(ports.as_flattened());
                bytes.extend(tcp.seq.to_be_bytes());
                bytes.extend(tcp.ack.to_be_bytes());
                bytes.extend([(tcp.options.header_len() * 4) as u8, tcp.flags]);
                bytes.extend(tcp.window.to_be_bytes());
                bytes.extend([0; 4]);
                tcp.options.write(&mut bytes);
            }
            Content::Udp => {
                bytes.extend(ports.as_flattened());
                bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
                bytes.extend([0; 2]);
            }
            Content::Sctp => {
                bytes.extend(ports.as_flattened());
                bytes.extend([0; 8]);
            }
            Content::Echo { is_reply, seq } => {
                let kind = match (self.source, is_reply) {
                    (SocketAddr::V4(_), false) => 8,
                    (SocketAddr::V4(_), true) => 0,
                    (SocketAddr::V6(_), false) => 128,
                    (SocketAddr::V6(_), true) => 129,
                };
                bytes.extend([kind, 0, 0, 0]);
                bytes.extend(ports[0]);
                bytes.extend(seq.to_be_bytes());
            }
        }
        let stamp = self.stamp.to_be_bytes();
        bytes.extend(&stamp[..stamp.len().min(self.len as usize)]);
        let pseudo = match (self.source.ip(), self.destination.ip(), self.protocol()) {
            (IpAddr::V4(source), IpAddr::V4(destination), Protocol::TCP | Protocol::UDP) => {
                [source.octets(), destination.octets()].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination), _) => {
                [source.octets(), destination.octets()].concat()
            }
            _ => Vec::new(),
        };
        let tail = match pseudo.len() {
            0 => [0; 8],
            _ => (u64::from(len) << 16 | u64::from(self.protocol().0)).to_be_bytes(),
        };
        let checksum = checksum(&[&pseudo, &tail, &bytes]);
        bytes[checksum_at..][..2].copy_from_slice(&checksum);
        bytes
    }
}

impl Options {
    fn header_len(self) -> u32 {
        match self {
            Self::None => 20,
            Self::Timestamps { .. } | Self::Sack { .. } => 32,
            Self::Syn { .. } => 40,
        }
    }

    fn write(self, bytes: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Timestamps { now } => {
                bytes.extend([1, 1, 8, 10]);
                bytes.extend(now.to_be_bytes());
                bytes.extend([0; 4]);
            }
            Self::Sack { from, to } => {
                bytes.extend([1, 1, 5, 10]);
                bytes.extend(from.to_be_bytes());
                bytes.extend(to.to_be_bytes());
            }
            Self::Syn { mss, scale } => {
                bytes.extend([2, 4]);
                bytes.extend(mss.to_be_bytes());
                bytes.extend([4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0]);
                bytes.extend([1, 3, 3, scale]);
            }
        }
    }
}

/// The internet checksum (RFC 1071) of parts that, but for the last, have even lengths.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
