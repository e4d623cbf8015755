//! Tunnels: packets inside packets.
//!
//! Opening never loses bytes. Where the content is no sound packet, or accounts for too little of
//! what the tunnel carried, the answer is `None` and the outer flow counts.

use super::ip::{self, Packet, Ports};
use super::part::Part;
use super::reject::Reject;
use super::{Around, Segment, Tunnel, TunnelKind, link};
use crate::net::Protocol;

/// A packet whose protocol is IPv4, IPv6 or GRE.
pub(super) fn in_ip<'a>(
    packet: Packet<'_>,
    protocol: Protocol,
    payload: Part<'a>,
) -> Result<Segment<'a>, Reject> {
    let inner = match protocol {
        Protocol::GRE => gre(packet, payload),
        ip::IPV4 => packet.inside(TunnelKind::IpInIp, 0, |around| ip::v4(payload, around)),
        _ => packet.inside(TunnelKind::IpInIp, 0, |around| ip::v6(payload, around)),
    };
    Ok(inner.unwrap_or_else(|| packet.portless(protocol, payload)))
}

/// Can a datagram between these ports be a tunnel's?
#[inline]
pub(super) fn may_be_over_udp(ports: Ports) -> bool {
    ports.source == TEREDO
        || matches!(
            ports.destination,
            VXLAN | VXLAN_LINUX | VXLAN_GPE | GENEVE | GTP_U | GRE_IN_UDP | TEREDO
        )
}

/// The packet inside a datagram between these ports, if they are a tunnel's.
pub(super) fn over_udp<'a>(
    packet: Packet<'_>,
    ports: Ports,
    payload: Part<'a>,
) -> Option<Segment<'a>> {
    match ports.destination {
        VXLAN | VXLAN_LINUX => vxlan(packet, payload),
        VXLAN_GPE => vxlan_gpe(packet, payload),
        GENEVE => geneve(packet, payload),
        GTP_U => gtp_u(packet, payload),
        GRE_IN_UDP => gre(packet, payload),
        _ => teredo(packet, payload),
    }
}

impl Packet<'_> {
    /// Opens what is inside a tunnel between the ends of this packet, unless it is one too many.
    fn inside<'a>(
        self,
        kind: TunnelKind,
        id: u32,
        open: impl FnOnce(Around<'_>) -> Result<Segment<'a>, Reject>,
    ) -> Option<Segment<'a>> {
        let tunnels_left = self.around.tunnels_left.checked_sub(1)?;
        let here = Tunnel { kind, id, source: self.source, destination: self.destination };
        let tunnel = Some(self.around.tunnel.unwrap_or(&here));
        open(Around { tunnel, tunnels_left, ..self.around }).ok()
    }
}

/// GRE (RFC 2784, 2890; routing of RFC 1701; version 1 of RFC 2637).
fn gre<'a>(packet: Packet<'_>, part: Part<'a>) -> Option<Segment<'a>> {
    let (head, mut rest) = part.take::<4>()?;
    let flags = u16::from_be_bytes([head[0], head[1]]);
    let ethertype = u16::from_be_bytes([head[2], head[3]]);
    match flags & 0x07 {
        0 => {}
        1 => return pptp(packet, flags, rest),
        _ => return None,
    }
    let mut key = 0;
    if flags & (GRE_CHECKSUM | GRE_ROUTING) != 0 {
        rest = rest.skip(4)?;
    }
    if flags & GRE_KEY != 0 {
        let (bytes, after) = rest.take::<4>()?;
        (key, rest) = (u32::from_be_bytes(*bytes), after);
    }
    if flags & GRE_SEQUENCE != 0 {
        rest = rest.skip(4)?;
    }
    if flags & GRE_ROUTING != 0 {
        rest = past_routes(rest)?;
    }
    match ethertype {
        0x6558 => packet.inside(TunnelKind::Gre, key, |around| link::ethernet(rest, around)),
        // Type I has neither sequence number nor header of its own.
        0x88be if flags & GRE_SEQUENCE == 0 => {
            packet.inside(TunnelKind::Erspan, 0, |around| link::ethernet(rest, around))
        }
        0x88be => erspan(packet, rest),
        0x22eb => erspan_iii(packet, rest),
        0x880b => packet.inside(TunnelKind::Gre, key, |around| link::ppp(rest, around)),
        0x883e => {
            // WCCP version 2 puts four bytes before the packet, version 1 none; theirs start with 0.
            let redirected = match rest.captured {
                [first, ..] if first >> 4 == 4 => rest,
                _ => rest.skip(4)?,
            };
            packet.inside(TunnelKind::Gre, key, |around| ip::v4(redirected, around))
        }
        0x0600.. => {
            packet.inside(TunnelKind::Gre, key, |around| link::network(ethertype, rest, around))
        }
        _ => None,
    }
}

/// What follows the source routes of RFC 1701: each four bytes and its own length, the last empty.
fn past_routes(mut part: Part<'_>) -> Option<Part<'_>> {
    for _ in 0..ROUTES_MAX {
        let (head, rest) = part.take::<4>()?;
        part = rest.skip(u32::from(head[3]))?;
        if *head == [0, 0, 0, 0] {
            return Some(part);
        }
    }
    None
}

/// PPP in GRE version 1 (RFC 2637); without a sequence number it carries no more than an
/// acknowledgement.
fn pptp<'a>(packet: Packet<'_>, flags: u16, part: Part<'a>) -> Option<Segment<'a>> {
    let (key, rest) = part.take::<4>()?;
    let call = u32::from(u16::from_be_bytes([key[2], key[3]]));
    if flags & GRE_SEQUENCE == 0 {
        return None;
    }
    let content = rest.skip(if flags & GRE_ACKNOWLEDGEMENT == 0 { 4 } else { 8 })?;
    packet.inside(TunnelKind::Gre, call, |around| link::ppp(content, around))
}

/// ERSPAN type II (draft-foschiano-erspan).
fn erspan<'a>(packet: Packet<'_>, part: Part<'a>) -> Option<Segment<'a>> {
    let (head, mirrored) = part.take::<8>()?;
    let session = u32::from(u16::from_be_bytes([head[2] & 0x03, head[3]]));
    if head[0] >> 4 != 1 {
        return None;
    }
    packet.inside(TunnelKind::Erspan, session, |around| link::ethernet(mirrored, around))
}

/// ERSPAN type III, which may mirror bare IP and may have a platform's own eight bytes.
fn erspan_iii<'a>(packet: Packet<'_>, part: Part<'a>) -> Option<Segment<'a>> {
    let (head, mut mirrored) = part.take::<12>()?;
    let session = u32::from(u16::from_be_bytes([head[2] & 0x03, head[3]]));
    if head[0] >> 4 != 2 {
        return None;
    }
    if head[11] & 1 != 0 {
        mirrored = mirrored.skip(8)?;
    }
    packet.inside(TunnelKind::Erspan, session, |around| match head[10] >> 2 & 0x1f {
        2 => ip::either(mirrored, around),
        _ => link::ethernet(mirrored, around),
    })
}

/// VXLAN (RFC 7348): the flag that makes the network number valid must be set.
fn vxlan<'a>(packet: Packet<'_>, part: Part<'a>) -> Option<Segment<'a>> {
    let (head, frame) = part.take::<8>()?;
    let network = u32::from_be_bytes([0, head[4], head[5], head[6]]);
    if head[0] & 0x08 == 0 {
        return None;
    }
    packet.inside(TunnelKind::Vxlan, network, |around| link::ethernet(frame, around))
}

/// VXLAN's generic protocol extension (draft-ietf-nvo3-vxlan-gpe), which names its content.
fn vxlan_gpe<'a>(packet: Packet<'_>, part: Part<'a>) -> Option<Segment<'a>> {
    let (head, rest) = part.take::<8>()?;
    if head[0] & 0x04 == 0 {
        return vxlan(packet, part);
    }
    let network = u32::from_be_bytes([0, head[4], head[5], head[6]]);
    packet.inside(TunnelKind::Vxlan, network, |around| match head[3] {
        1 => ip::v4(rest, around),
        2 => ip::v6(rest, around),
        _ => link::ethernet(rest, around),
    })
}

/// GENEVE (RFC 8926).
fn geneve<'a>(packet: Packet<'_>, part: Part<'a>) -> Option<Segment<'a>> {
    let (head, rest) = part.take::<8>()?;
    let network = u32::from_be_bytes([0, head[4], head[5], head[6]]);
    if head[0] >> 6 != 0 {
        return None;
    }
    let content = rest.skip(u32::from(head[0] & 0x3f) * 4)?;
    packet.inside(TunnelKind::Geneve, network, |around| {
        match u16::from_be_bytes([head[2], head[3]]) {
            0x6558 => link::ethernet(content, around),
            ethertype => link::network(ethertype, content, around),
        }
    })
}

/// User data of GTP version 1 (3GPP TS 29.281, section 5): message type 255, which carries IP.
fn gtp_u<'a>(packet: Packet<'_>, part: Part<'a>) -> Option<Segment<'a>> {
    let (head, mut rest) = part.take::<8>()?;
    let endpoint = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    if head[0] & 0xf0 != 0x30 || head[1] != 255 {
        return None;
    }
    if head[0] & 0x07 != 0 {
        let (optional, after) = rest.take::<4>()?;
        rest = after;
        if head[0] & 0x04 != 0 {
            rest = past_extensions(optional[3], rest)?;
        }
    }
    packet.inside(TunnelKind::GtpU, endpoint, |around| ip::either(rest, around))
}

/// What follows GTP's extension headers: each says its length first and its successor last.
fn past_extensions(mut kind: u8, mut part: Part<'_>) -> Option<Part<'_>> {
    for _ in 0..EXTENSIONS_MAX {
        if kind == 0 {
            return Some(part);
        }
        let len = u32::from(*part.captured.first()?) * 4;
        kind = *part.captured.get((len as usize).checked_sub(1)?)?;
        part = part.skip(len)?;
    }
    None
}

/// Teredo (RFC 4380, section 5.1.1): IPv6 behind an authentication and an origin, both optional.
fn teredo<'a>(packet: Packet<'_>, mut part: Part<'a>) -> Option<Segment<'a>> {
    if let [0, 1, id_len, auth_len, ..] = *part.captured {
        part = part.skip(13 + u32::from(id_len) + u32::from(auth_len))?;
    }
    if let [0, 0, ..] = *part.captured {
        part = part.skip(8)?;
    }
    packet.inside(TunnelKind::Teredo, 0, |around| ip::v6(part, around))
}

const GRE_CHECKSUM: u16 = 0x8000;
const GRE_ROUTING: u16 = 0x4000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQUENCE: u16 = 0x1000;
const GRE_ACKNOWLEDGEMENT: u16 = 0x0080;

const VXLAN: u16 = 4789;
/// What Linux used before the port was assigned, and flannel still does.
const VXLAN_LINUX: u16 = 8472;
const VXLAN_GPE: u16 = 4790;
const GENEVE: u16 = 6081;
const GTP_U: u16 = 2152;
/// RFC 8086.
const GRE_IN_UDP: u16 = 4754;
const TEREDO: u16 = 3544;

const ROUTES_MAX: usize = 8;
const EXTENSIONS_MAX: usize = 8;
