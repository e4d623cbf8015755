//! IPv4 and IPv6: addresses, lengths, fragments, extension headers.

use super::part::Part;
use super::reject::{Layer, Reject};
use super::{Around, Fragment, Segment, Tcp, transport, tunnel};
use crate::net::{Addr, Endpoint, Protocol};

/// What an IP header said, for the transport to add to.
///
/// Passed by value, and the way from here to TCP and UDP is inlined by force: so its fields stay in
/// registers. Through memory they are written narrow and read wide, which stalls the processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'t> {
    pub(super) source: Addr,
    pub(super) destination: Addr,
    pub(super) ip_len: u32,
    /// IPv4 identification; IPv6 has none in whole packets.
    pub(super) identification: u16,
    pub(super) hop_limit: u8,
    pub(super) fragment: Option<Fragment>,
    pub(super) around: Around<'t>,
    layer: Layer,
}

impl Packet<'_> {
    /// A segment without TCP facts.
    #[inline(always)]
    pub(super) fn segment<'a>(
        self,
        protocol: Protocol,
        ports: Ports,
        transport: Part<'a>,
        payload: Part<'a>,
    ) -> Segment<'a> {
        self.segment_with(None, protocol, ports, transport, payload)
    }

    /// A segment with its TCP facts, if it has any.
    #[inline(always)]
    pub(super) fn segment_with<'a>(
        self,
        tcp: Option<Tcp>,
        protocol: Protocol,
        ports: Ports,
        transport: Part<'a>,
        payload: Part<'a>,
    ) -> Segment<'a> {
        Segment {
            source: Endpoint { addr: self.source, port: ports.source },
            destination: Endpoint { addr: self.destination, port: ports.destination },
            protocol,
            vlan: self.around.vlan,
            tunnel: self.around.tunnel.copied(),
            ip_len: self.ip_len,
            identification: self.identification,
            hop_limit: self.hop_limit,
            transport: transport.captured,
            payload_len: payload.len,
            header_len: (transport.captured.len() - payload.captured.len()) as u16,
            tcp,
            fragment: self.fragment,
        }
    }

    /// Only a packet's first fragment begins with its transport header.
    fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset > 0)
    }

    /// A packet whose ports the capture cut off, or whose transport has none.
    pub(super) fn portless<'a>(self, protocol: Protocol, payload: Part<'a>) -> Segment<'a> {
        self.segment(protocol, Ports::default(), payload, payload)
    }

    /// A packet whose transport header is broken. Two ends that agree on it can still use it to
    /// carry bytes, so they count between the addresses; without ports, so that no real flow is
    /// touched. Inside a tunnel it is more likely no packet at all: the outer flow counts instead.
    #[cold]
    pub(super) fn broken<'a>(
        self,
        protocol: Protocol,
        payload: Part<'a>,
    ) -> Result<Segment<'a>, Reject> {
        match self.around.tunnel {
            None => Ok(self.portless(protocol, payload)),
            Some(_) => Err(Reject::BadHeader(self.layer)),
        }
    }
}

/// The ports of both ends; 0 where there is none.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Ports {
    pub(super) source: u16,
    pub(super) destination: u16,
}

/// IP of the version its first nibble says.
pub(super) fn either<'a>(part: Part<'a>, around: Around<'_>) -> Result<Segment<'a>, Reject> {
    match part.split::<1>(Layer::Ipv4)?.0[0] >> 4 {
        6 => v6(part, around),
        _ => v4(part, around),
    }
}

/// IPv4 (RFC 791). Total length 0 is segmentation offload: the packet ends with the frame.
pub(super) fn v4<'a>(part: Part<'a>, around: Around<'_>) -> Result<Segment<'a>, Reject> {
    let (fixed, _) = part.split::<20>(Layer::Ipv4)?;
    let header_len = u32::from(fixed[0] & 0x0f) * 4;
    let packet = match u16::from_be_bytes([fixed[2], fixed[3]]) {
        0 => part,
        total => part.limit(u32::from(total)),
    };
    let payload = match packet.skip(header_len) {
        Some(payload) if fixed[0] >> 4 == 4 && header_len >= 20 => payload,
        _ => return Err(Reject::BadHeader(Layer::Ipv4)),
    };
    around.check_trailer(part.len - packet.len, Layer::Ipv4)?;
    let of = |fragment| Packet {
        source: Addr::from_v4([fixed[12], fixed[13], fixed[14], fixed[15]]),
        destination: Addr::from_v4([fixed[16], fixed[17], fixed[18], fixed[19]]),
        ip_len: packet.len,
        identification: u16::from_be_bytes([fixed[4], fixed[5]]),
        hop_limit: fixed[8],
        fragment,
        around,
        layer: Layer::Ipv4,
    };
    let protocol = Protocol(fixed[9]);
    let place = u16::from_be_bytes([fixed[6], fixed[7]]);
    if place & 0x3fff == 0 {
        return match protocol {
            Protocol::AH => extended(of(None), protocol, payload),
            _ => upper(of(None), protocol, payload),
        };
    }
    let fragment = Fragment {
        id: u32::from(u16::from_be_bytes([fixed[4], fixed[5]])),
        offset: place << 3,
        more: place & 0x2000 != 0,
    };
    match protocol {
        Protocol::AH => extended(of(Some(fragment)), protocol, payload),
        _ => fragmented(of(Some(fragment)), protocol, payload),
    }
}

/// Apart from whole packets, whose way is the shorter for knowing that they are.
#[inline(never)]
fn fragmented<'a>(
    packet: Packet<'_>,
    protocol: Protocol,
    payload: Part<'a>,
) -> Result<Segment<'a>, Reject> {
    upper(packet, protocol, payload)
}

/// IPv6 (RFC 8200). The destination is where this frame is bound, also under a routing header.
pub(super) fn v6<'a>(part: Part<'a>, around: Around<'_>) -> Result<Segment<'a>, Reject> {
    let (fixed, rest) = part.split::<8>(Layer::Ipv6)?;
    let (source, rest) = rest.split::<16>(Layer::Ipv6)?;
    let (destination, rest) = rest.split::<16>(Layer::Ipv6)?;
    if fixed[0] >> 4 != 6 {
        return Err(Reject::BadHeader(Layer::Ipv6));
    }
    let next = Protocol(fixed[6]);
    let payload = match (u16::from_be_bytes([fixed[4], fixed[5]]), next) {
        // Truly empty: nothing follows, or nothing but the padding of a short Ethernet frame.
        (0, NO_NEXT_HEADER) => rest.limit(0),
        (0, _) if rest.len <= PADDING_MAX => rest.limit(0),
        (0, HOP_BY_HOP) => rest.limit(jumbo_len(rest).unwrap_or(u32::MAX)),
        // As in IPv4: left to segmentation offload.
        (0, _) => rest,
        (len, _) => rest.limit(u32::from(len)),
    };
    around.check_trailer(rest.len - payload.len, Layer::Ipv6)?;
    let packet = Packet {
        source: Addr::from_v6(*source),
        destination: Addr::from_v6(*destination),
        ip_len: (part.len - rest.len) + payload.len,
        identification: 0,
        hop_limit: fixed[7],
        fragment: None,
        around,
        layer: Layer::Ipv6,
    };
    match next {
        Protocol::TCP | Protocol::UDP => upper(packet, next, payload),
        _ => extended(packet, next, payload),
    }
}

/// The ends of a packet that [`v4`] counts between them, whatever follows.
#[inline]
pub(super) fn plain_ends_v4(bytes: &[u8]) -> Option<(Addr, Addr)> {
    let (fixed, transport) = bytes.split_first_chunk::<20>()?;
    let total = u16::from_be_bytes([fixed[2], fixed[3]]);
    let is_whole = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff == 0;
    let is_sound = fixed[0] == 0x45 && (total == 0 || total >= 20) && is_whole;
    (is_sound && is_plain(Protocol(fixed[9]), transport)).then(|| {
        let addr = |at| Addr::from_v4([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        (addr(12), addr(16))
    })
}

/// The ends of a packet that [`v6`] counts between them, whatever follows.
#[inline]
pub(super) fn plain_ends_v6(bytes: &[u8]) -> Option<(Addr, Addr)> {
    let (fixed, rest) = bytes.split_first_chunk::<8>()?;
    let (source, rest) = rest.split_first_chunk::<16>()?;
    let (destination, transport) = rest.split_first_chunk::<16>()?;
    (fixed[0] >> 4 == 6 && is_plain(Protocol(fixed[6]), transport))
        .then(|| (Addr::from_v6(*source), Addr::from_v6(*destination)))
}

/// Can nothing stand in a whole packet of this protocol that goes between others?
#[inline]
fn is_plain(protocol: Protocol, transport: &[u8]) -> bool {
    match protocol {
        Protocol::TCP => true,
        Protocol::UDP => transport
            .first_chunk()
            .is_some_and(|&ports| !tunnel::may_be_over_udp(transport::ports(ports))),
        _ => false,
    }
}

/// The length a jumbo payload option gives (RFC 2675), in a hop-by-hop header at the start.
fn jumbo_len(part: Part<'_>) -> Option<u32> {
    let (head, _) = part.take::<2>()?;
    let header = part.limit((u32::from(head[1]) + 1) * 8);
    let mut options = header.captured.get(2..)?;
    loop {
        options = match *options {
            [0xc2, 4, a, b, c, d, ..] => return Some(u32::from_be_bytes([a, b, c, d])),
            [0, ref rest @ ..] => rest,
            [_, len, ref rest @ ..] => rest.get(usize::from(len)..)?,
            _ => return None,
        };
    }
}

/// Walks extension headers, the authentication header among them, to the transport.
///
/// A chain that does not end, or whose headers do not fit, is a broken packet; where the capture
/// was cut the packet counts without ports.
fn extended<'a>(
    mut packet: Packet<'_>,
    mut next: Protocol,
    mut part: Part<'a>,
) -> Result<Segment<'a>, Reject> {
    for _ in 0..EXTENSIONS_MAX {
        if packet.is_later_fragment() {
            return Ok(packet.portless(next, part));
        }
        let unit = match next {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HIP | SHIM6 => Unit::Eight,
            Protocol::AH => Unit::Four,
            FRAGMENT => Unit::Fixed,
            _ => return upper(packet, next, part),
        };
        if part.len < 8 {
            return packet.broken(next, part);
        }
        let Some((head, _)) = part.take::<8>() else { return Ok(packet.portless(next, part)) };
        let len = match unit {
            Unit::Eight => (u32::from(head[1]) + 1) * 8,
            Unit::Four => (u32::from(head[1]) + 2) * 4,
            Unit::Fixed => 8,
        };
        let Some(rest) = part.skip(len) else { return packet.broken(next, part) };
        if next == FRAGMENT {
            packet.fragment = fragment(*head);
        }
        (next, part) = (Protocol(head[0]), rest);
    }
    packet.broken(next, part)
}

/// How an extension header gives its length.
enum Unit {
    /// In units of eight bytes, the first not counted.
    Eight,
    /// In units of four bytes, the first two not counted (RFC 4302).
    Four,
    /// It has none.
    Fixed,
}

/// An IPv6 fragment header. An atomic one (RFC 6946) is a whole packet.
fn fragment(head: [u8; 8]) -> Option<Fragment> {
    let [_, _, place @ .., a, b, c, d] = head;
    let place = u16::from_be_bytes(place);
    (place & 0xfff9 != 0).then_some(Fragment {
        id: u32::from_be_bytes([a, b, c, d]),
        offset: place & 0xfff8,
        more: place & 1 != 0,
    })
}

/// The transport, or the tunnel, of a packet.
#[inline(always)]
fn upper<'a>(
    packet: Packet<'_>,
    protocol: Protocol,
    payload: Part<'a>,
) -> Result<Segment<'a>, Reject> {
    if packet.is_later_fragment() {
        return Ok(packet.portless(protocol, payload));
    }
    match protocol {
        Protocol::TCP => transport::tcp(packet, payload),
        Protocol::UDP => transport::udp(packet, payload),
        IPV4 | IPV6 | Protocol::GRE => tunnel::in_ip(packet, protocol, payload),
        _ => transport::other(packet, protocol, payload),
    }
}

pub(super) const IPV4: Protocol = Protocol(4);
pub(super) const IPV6: Protocol = Protocol(41);
const HOP_BY_HOP: Protocol = Protocol(0);
const ROUTING: Protocol = Protocol(43);
const FRAGMENT: Protocol = Protocol(44);
const NO_NEXT_HEADER: Protocol = Protocol(59);
const DESTINATION: Protocol = Protocol(60);
const MOBILITY: Protocol = Protocol(135);
const HIP: Protocol = Protocol(139);
const SHIM6: Protocol = Protocol(140);

/// From the 40 bytes of an IPv6 header to the 46 that Ethernet carries at least.
const PADDING_MAX: u32 = 6;

/// RFC 8200 recommends each at most once: seven, and the destination options twice.
const EXTENSIONS_MAX: usize = 8;
