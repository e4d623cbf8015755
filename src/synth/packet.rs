//! One packet, from its facts to its bytes, with valid lengths and checksums.

use std::net::IpAddr;

/// The facts of one packet in an Ethernet frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) from: Node,
    pub(super) to: Node,
    pub(super) vlan: Option<u16>,
    pub(super) hop_limit: u8,
    pub(super) transport: Transport,
    /// The payload's first bytes.
    pub(super) head: &'a [u8],
    /// The rest of it.
    pub(super) filler: &'a [u8],
}

/// An end of a packet: on the wire and on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) mac: [u8; 6],
    pub(super) ip: IpAddr,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Transport {
    Tcp(Tcp),
    Udp {
        from: u16,
        to: u16,
    },
    Echo {
        is_reply: bool,
        ident: u16,
        seq: u16,
    },
    /// Of a neighbour that nobody asked for (RFC 4861, section 4.4); its target and options are the payload.
    Advertisement,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Tcp {
    pub(super) from: u16,
    pub(super) to: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) options: TcpOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TcpOptions {
    None,
    /// What a SYN says: largest segment, selective acknowledgements, a window scale of 7.
    Opening,
    /// Time stamps, as on every later segment.
    Stamps(u32),
}

impl Tcp {
    pub(super) const FIN: u8 = 0x01;
    pub(super) const SYN: u8 = 0x02;
    pub(super) const PSH: u8 = 0x08;
    pub(super) const ACK: u8 = 0x10;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.from.to_be_bytes());
        out.extend(self.to.to_be_bytes());
        out.extend(self.seq.to_be_bytes());
        out.extend(self.ack.to_be_bytes());
        out.extend([(self.header_len() as u8) << 2, self.flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        match self.options {
            TcpOptions::None => {}
            TcpOptions::Opening => out.extend([2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 7, 1, 0]),
            TcpOptions::Stamps(at) => {
                out.extend([1, 1, 8, 10]);
                out.extend(at.to_be_bytes());
                out.extend(at.wrapping_sub(1).to_be_bytes());
            }
        }
    }

    fn header_len(&self) -> usize {
        if self.options == TcpOptions::None { 20 } else { 32 }
    }
}

impl Packet<'_> {
    /// Appends the frame to `out`, padded to what Ethernet carries at least.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(self.to.mac);
        out.extend(self.from.mac);
        if let Some(vlan) = self.vlan {
            out.extend([0x81, 0]);
            out.extend(vlan.to_be_bytes());
        }
        let pseudo = self.write_ip(out);
        let transport = out.len();
        self.write_transport(out);
        out.extend_from_slice(self.head);
        out.extend_from_slice(self.filler);
        self.check(out, transport, pseudo);
        if out.len() - start < FRAME_MIN {
            out.resize(start + FRAME_MIN, 0);
        }
    }

    /// Writes the IP header; answers the sum of the pseudo-header.
    fn write_ip(&self, out: &mut Vec<u8>) -> u64 {
        let len = (self.transport.header_len() + self.head.len() + self.filler.len()) as u16;
        let protocol = self.transport.protocol(self.from.ip.is_ipv6());
        let addresses = match (self.from.ip, self.to.ip) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                out.extend([8, 0]);
                let header = out.len();
                out.extend([0x45, 0]);
                out.extend((20 + len).to_be_bytes());
                out.extend(self.identification().to_be_bytes());
                out.extend([0x40, 0, self.hop_limit, protocol, 0, 0]);
                out.extend(from.octets());
                out.extend(to.octets());
                let sum = checksum(sum(&out[header..]));
                out[header + 10..header + 12].copy_from_slice(&sum);
                sum_of(&[&from.octets(), &to.octets()])
            }
            (from, to) => {
                let bits = |ip| match ip {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                    IpAddr::V6(v6) => v6.octets(),
                };
                out.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                out.extend(len.to_be_bytes());
                out.extend([protocol, self.hop_limit]);
                out.extend(bits(from));
                out.extend(bits(to));
                sum_of(&[&bits(from), &bits(to)])
            }
        };
        addresses + u64::from(protocol) + u64::from(len)
    }

    fn write_transport(&self, out: &mut Vec<u8>) {
        match self.transport {
            Transport::Tcp(tcp) => tcp.write(out),
            Transport::Udp { from, to } => {
                out.extend(from.to_be_bytes());
                out.extend(to.to_be_bytes());
                out.extend(((8 + self.head.len() + self.filler.len()) as u16).to_be_bytes());
                out.extend([0, 0]);
            }
            Transport::Echo { is_reply, ident, seq } => {
                let kind = match (self.from.ip, is_reply) {
                    (IpAddr::V4(_), false) => 8,
                    (IpAddr::V4(_), true) => 0,
                    (IpAddr::V6(_), false) => 128,
                    (IpAddr::V6(_), true) => 129,
                };
                out.extend([kind, 0, 0, 0]);
                out.extend(ident.to_be_bytes());
                out.extend(seq.to_be_bytes());
            }
            Transport::Advertisement => out.extend([136, 0, 0, 0, OVERRIDES, 0, 0, 0]),
        }
    }

    /// Fills in the transport's checksum.
    fn check(&self, out: &mut [u8], transport: usize, pseudo: u64) {
        let (at, pseudo) = match self.transport {
            Transport::Tcp(_) => (16, pseudo),
            Transport::Udp { .. } => (6, pseudo),
            Transport::Echo { .. } if self.from.ip.is_ipv4() => (2, 0),
            Transport::Echo { .. } | Transport::Advertisement => (2, pseudo),
        };
        let mut found = checksum(pseudo + sum(&out[transport..]));
        // In UDP zero means that there is none (RFC 768).
        if found == [0, 0] && matches!(self.transport, Transport::Udp { .. }) {
            found = [0xff, 0xff];
        }
        out[transport + at..transport + at + 2].copy_from_slice(&found);
    }

    /// Differs from segment to segment, so that none looks like another's copy.
    fn identification(&self) -> u16 {
        match self.transport {
            Transport::Tcp(tcp) => (tcp.seq ^ tcp.ack.rotate_left(7) ^ (tcp.seq >> 16)) as u16,
            Transport::Udp { from, .. } => {
                let tail = self.head.iter().chain(self.filler).take(24);
                tail.fold(from, |hash, &byte| hash.wrapping_mul(31).wrapping_add(u16::from(byte)))
            }
            Transport::Echo { ident, seq, .. } => ident ^ seq.rotate_left(8),
            Transport::Advertisement => 0,
        }
    }
}

impl Transport {
    fn header_len(self) -> usize {
        match self {
            Self::Tcp(tcp) => tcp.header_len(),
            Self::Udp { .. } | Self::Echo { .. } | Self::Advertisement => 8,
        }
    }

    fn protocol(self, is_v6: bool) -> u8 {
        match self {
            Self::Tcp(_) => 6,
            Self::Udp { .. } => 17,
            Self::Advertisement => 58,
            Self::Echo { .. } if is_v6 => 58,
            Self::Echo { .. } => 1,
        }
    }
}

/// Appends an ARP question: who has `to`?
pub(super) fn write_arp(from: Node, to: [u8; 4], out: &mut Vec<u8>) {
    let IpAddr::V4(ip) = from.ip else { return };
    let start = out.len();
    out.extend([0xff; 6]);
    out.extend(from.mac);
    out.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    out.extend(from.mac);
    out.extend(ip.octets());
    out.extend([0; 6]);
    out.extend(to);
    out.resize(start + FRAME_MIN, 0);
}

fn sum_of(parts: &[&[u8]]) -> u64 {
    parts.iter().map(|part| sum(part)).sum()
}

/// Sum of big-endian words (RFC 1071); carries pile up above.
fn sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(4);
    let mut sum = 0;
    for word in &mut words {
        sum += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut last = [0; 4];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    sum + u64::from(u32::from_be_bytes(last))
}

fn checksum(mut sum: u64) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// What it says is to be believed rather than what was known.
const OVERRIDES: u8 = 0x20;

/// Ethernet's 64 bytes, without the checksum that captures do not hold.
const FRAME_MIN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use pnet::packet::icmp::IcmpPacket;
    use pnet::packet::icmpv6::Icmpv6Packet;
    use pnet::packet::ipv4::Ipv4Packet;
    use pnet::packet::tcp::TcpPacket;
    use pnet::packet::udp::UdpPacket;
    use pnet::packet::{icmp, icmpv6, ipv4, tcp, udp};

    fn node(text: &str) -> Node {
        Node { mac: [2, 0, 0, 0, 0, 1], ip: text.parse().unwrap() }
    }

    /// Another implementation has to agree with every checksum, for odd lengths too.
    #[test]
    fn checksums_are_those_of_pnet() {
        let tcp_facts = Tcp {
            from: 50_000,
            to: 443,
            seq: 0xffff_fff0,
            ack: 77,
            flags: Tcp::ACK | Tcp::PSH,
            options: TcpOptions::Stamps(12_345),
        };
        let transports = [
            Transport::Tcp(tcp_facts),
            Transport::Udp { from: 50_000, to: 53 },
            Transport::Echo { is_reply: true, ident: 7, seq: 9 },
        ];
        for (from, to) in [("10.0.0.1", "198.18.0.9"), ("fd00::1", "2001:db8::9")] {
            for (transport, filler) in
                transports.iter().flat_map(|transport| [(transport, 3), (transport, 300)])
            {
                let (from, to) = (node(from), node(to));
                let filler = vec![0xa5; filler];
                let packet = Packet {
                    from,
                    to,
                    vlan: None,
                    hop_limit: 64,
                    transport: *transport,
                    head: b"odd",
                    filler: &filler,
                };
                let mut bytes = Vec::new();
                packet.write(&mut bytes);
                let (ip_len, total) = match from.ip {
                    IpAddr::V4(_) => {
                        let header = Ipv4Packet::new(&bytes[14..]).unwrap();
                        assert_eq!(header.get_checksum(), ipv4::checksum(&header));
                        (20, 14 + usize::from(header.get_total_length()))
                    }
                    IpAddr::V6(_) => (40, bytes.len()),
                };
                let body = &bytes[14 + ip_len..total];
                let (found, expected) = match (transport, from.ip, to.ip) {
                    (Transport::Tcp(_), IpAddr::V4(a), IpAddr::V4(b)) => {
                        let body = TcpPacket::new(body).unwrap();
                        (body.get_checksum(), tcp::ipv4_checksum(&body, &a, &b))
                    }
                    (Transport::Udp { .. }, IpAddr::V4(a), IpAddr::V4(b)) => {
                        let body = UdpPacket::new(body).unwrap();
                        (body.get_checksum(), udp::ipv4_checksum(&body, &a, &b))
                    }
                    (Transport::Echo { .. }, IpAddr::V4(_), _) => {
                        let body = IcmpPacket::new(body).unwrap();
                        (body.get_checksum(), icmp::checksum(&body))
                    }
                    (Transport::Tcp(_), IpAddr::V6(a), IpAddr::V6(b)) => {
                        let body = TcpPacket::new(body).unwrap();
                        (body.get_checksum(), tcp::ipv6_checksum(&body, &a, &b))
                    }
                    (Transport::Udp { .. }, IpAddr::V6(a), IpAddr::V6(b)) => {
                        let body = UdpPacket::new(body).unwrap();
                        (body.get_checksum(), udp::ipv6_checksum(&body, &a, &b))
                    }
                    (Transport::Echo { .. }, IpAddr::V6(a), IpAddr::V6(b)) => {
                        let body = Icmpv6Packet::new(body).unwrap();
                        (body.get_checksum(), icmpv6::checksum(&body, &a, &b))
                    }
                    other => panic!("{other:?}"),
                };
                assert_eq!(found, expected, "{packet:?}");
            }
        }
    }
}
