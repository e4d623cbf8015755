//! TCP, UDP and the other transports: ports and where the payload begins.
//!
//! Ports need their four bytes captured. Lengths need none: a header that was cut before it told
//! its length is taken to be as short as it can be.

use super::ip::{Packet, Ports};
use super::part::Part;
use super::reject::Reject;
use super::{Segment, Tcp, tunnel};
use crate::net::Protocol;

/// TCP (RFC 9293).
#[inline(always)]
pub(super) fn tcp<'a>(packet: Packet<'_>, part: Part<'a>) -> Result<Segment<'a>, Reject> {
    // A first fragment may end inside the header; a whole packet may not.
    let whole = packet.fragment.is_none();
    if part.len < TCP_MIN && whole {
        return packet.broken(Protocol::TCP, part);
    }
    let Some((head, _)) = part.take::<16>() else { return Ok(cut_tcp(packet, part)) };
    let header_len = u32::from(head[12] >> 4) * 4;
    let payload = match part.skip(header_len) {
        _ if header_len < TCP_MIN => return packet.broken(Protocol::TCP, part),
        Some(payload) => payload,
        None if whole => return packet.broken(Protocol::TCP, part),
        None => part.skip_up_to(header_len),
    };
    let tcp = Tcp {
        seq: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ack: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        flags: head[13],
        header_len: header_len as u8,
        window: u16::from_be_bytes([head[14], head[15]]),
    };
    let ports = ports([head[0], head[1], head[2], head[3]]);
    Ok(packet.segment_with(Some(tcp), Protocol::TCP, ports, part, payload))
}

/// TCP of which fewer than 16 bytes were captured.
#[cold]
fn cut_tcp<'a>(packet: Packet<'_>, part: Part<'a>) -> Segment<'a> {
    let header_len = match part.captured.get(12) {
        Some(offset) => (u32::from(offset >> 4) * 4).max(TCP_MIN),
        None => TCP_MIN,
    };
    with_ports(packet, Protocol::TCP, part, header_len)
}

/// UDP (RFC 768), and the tunnels over it.
///
/// The payload goes by the IP length. UDP's own length may be shorter: routers carry what is behind
/// it all the same (RFC 9868 calls it the surplus area), so it counts, but it is not shown as payload.
#[inline(always)]
pub(super) fn udp<'a>(packet: Packet<'_>, part: Part<'a>) -> Result<Segment<'a>, Reject> {
    if part.len < UDP_LEN && packet.fragment.is_none() {
        return packet.broken(Protocol::UDP, part);
    }
    let Some((head, payload)) = part.take::<8>() else {
        return Ok(with_ports(packet, Protocol::UDP, part, UDP_LEN));
    };
    let ports = ports([head[0], head[1], head[2], head[3]]);
    if tunnel::may_be_over_udp(ports)
        && let Some(inner) = tunnel::over_udp(packet, ports, payload)
    {
        return Ok(inner);
    }
    let stated = usize::from(u16::from_be_bytes([head[4], head[5]]));
    let shown = match part.captured.get(..stated) {
        Some(stated_part) if stated >= head.len() => stated_part,
        Some(_) | None => part.captured,
    };
    let segment = packet.segment(Protocol::UDP, ports, part, payload);
    Ok(Segment { transport: shown, ..segment })
}

/// Every transport but TCP and UDP.
pub(super) fn other<'a>(
    packet: Packet<'_>,
    protocol: Protocol,
    part: Part<'a>,
) -> Result<Segment<'a>, Reject> {
    let header_len = match protocol {
        Protocol::ICMP | Protocol::ICMPV6 => return Ok(icmp(packet, protocol, part)),
        UDP_LITE => UDP_LEN,
        Protocol::SCTP => SCTP_LEN,
        DCCP => match part.captured.get(4) {
            Some(&offset) => (u32::from(offset) * 4).max(DCCP_MIN),
            None => DCCP_MIN,
        },
        _ => return Ok(packet.portless(protocol, part)),
    };
    if part.len < header_len && packet.fragment.is_none() {
        return packet.broken(protocol, part);
    }
    Ok(with_ports(packet, protocol, part, header_len))
}

/// ICMP of both versions; an echo and its reply have the identifier for a port on both ends.
fn icmp<'a>(packet: Packet<'_>, protocol: Protocol, part: Part<'a>) -> Segment<'a> {
    let echo = match protocol {
        Protocol::ICMP => [8, 0],
        _ => [128, 129],
    };
    let id = match *part.captured {
        [kind, 0, _, _, high, low, ..] if echo.contains(&kind) => u16::from_be_bytes([high, low]),
        _ => 0,
    };
    packet.segment(protocol, Ports { source: id, destination: id }, part, part.skip_up_to(ICMP_LEN))
}

/// A segment with the ports, if they were captured, that nearly every transport starts with.
fn with_ports<'a>(
    packet: Packet<'_>,
    protocol: Protocol,
    part: Part<'a>,
    header_len: u32,
) -> Segment<'a> {
    let ports = part.take::<4>().map_or_else(Ports::default, |(head, _)| ports(*head));
    packet.segment(protocol, ports, part, part.skip_up_to(header_len))
}

#[inline]
pub(super) fn ports([a, b, c, d]: [u8; 4]) -> Ports {
    Ports { source: u16::from_be_bytes([a, b]), destination: u16::from_be_bytes([c, d]) }
}

const UDP_LITE: Protocol = Protocol(136);
const DCCP: Protocol = Protocol(33);

const TCP_MIN: u32 = 20;
const UDP_LEN: u32 = 8;
const SCTP_LEN: u32 = 12;
const DCCP_MIN: u32 = 12;
const ICMP_LEN: u32 = 8;
