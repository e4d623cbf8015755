//! Link headers, tags and label stacks: everything before IP.

use super::ip;
use super::part::Part;
use super::reject::{Layer, NotIp, Reject};
use super::{Around, Resolution, Segment};
use crate::frame::LinkType;
use crate::net::Addr;

/// Reads a frame of this link type.
#[inline]
pub(super) fn open<'a>(
    link: LinkType,
    part: Part<'a>,
    around: Around<'_>,
) -> Result<Segment<'a>, Reject> {
    match link {
        LinkType::ETHERNET => ethernet(part, around),
        _ => open_other(link, part, around),
    }
}

fn open_other<'a>(
    link: LinkType,
    part: Part<'a>,
    around: Around<'_>,
) -> Result<Segment<'a>, Reject> {
    match link {
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 | RAW_DLT | RAW_DLT_OPENBSD => {
            ip::either(part, around)
        }
        LinkType::NULL | LinkType::LOOP => loopback(part, around),
        LinkType::LINUX_SLL => {
            let (head, rest) = part.split::<16>(Layer::Link)?;
            cooked([head[2], head[3]], [head[14], head[15]], rest, around)
        }
        LinkType::LINUX_SLL2 => {
            let (head, rest) = part.split::<20>(Layer::Link)?;
            cooked([head[8], head[9]], [head[0], head[1]], rest, around)
        }
        LinkType::PPP | LinkType::PPP_HDLC => match part.captured {
            // Files of these types may hold Cisco's HDLC, whose address byte no PPP frame has.
            [0x0f | 0x8f] | [0x0f | 0x8f, 0x00, ..] => cisco_hdlc(part, around),
            _ => ppp(part, around),
        },
        LinkType::PPP_ETHER => pppoe(part, around),
        CISCO_HDLC => cisco_hdlc(part, around),
        NFLOG => nflog(part, around),
        other => Err(Reject::LinkType(other)),
    }
}

/// Ethernet, and what its type field says.
#[inline]
pub(super) fn ethernet<'a>(part: Part<'a>, around: Around<'_>) -> Result<Segment<'a>, Reject> {
    let (head, rest) = part.split::<14>(Layer::Link)?;
    network(u16::from_be_bytes([head[12], head[13]]), rest, around)
}

/// What an Ethernet type (or, below 0x600, an IEEE 802.3 length) announces.
#[inline]
pub(super) fn network<'a>(
    ethertype: u16,
    part: Part<'a>,
    around: Around<'_>,
) -> Result<Segment<'a>, Reject> {
    match ethertype {
        IPV4 => ip::v4(part, around),
        IPV6 => ip::v6(part, around),
        _ => tagged(ethertype, part, around),
    }
}

/// The ends of a plain packet of IP in an untagged frame.
#[inline]
pub(super) fn plain_ends(bytes: &[u8]) -> Option<(Addr, Addr)> {
    let (head, packet) = bytes.split_first_chunk::<14>()?;
    match u16::from_be_bytes([head[12], head[13]]) {
        IPV4 => ip::plain_ends_v4(packet),
        IPV6 => ip::plain_ends_v6(packet),
        _ => None,
    }
}

/// Steps over tags until IP, a label stack or PPP.
fn tagged<'a>(
    mut ethertype: u16,
    mut part: Part<'a>,
    mut around: Around<'_>,
) -> Result<Segment<'a>, Reject> {
    for _ in 0..TAGS_MAX {
        match ethertype {
            IPV4 => return ip::v4(part, around),
            IPV6 => return ip::v6(part, around),
            VLAN | VLAN_SERVICE | VLAN_9100 | VLAN_9200 => {
                let (tag, rest) = part.split::<4>(Layer::Tag)?;
                around = around.in_vlan(u16::from_be_bytes([tag[0] & 0x0f, tag[1]]));
                (ethertype, part) = (u16::from_be_bytes([tag[2], tag[3]]), rest);
            }
            VN_TAG => {
                let (tag, rest) = part.split::<6>(Layer::Tag)?;
                (ethertype, part) = (u16::from_be_bytes([tag[4], tag[5]]), rest);
            }
            // A tag (I-SID of 4 bytes, FabricPath's of 2) before a whole Ethernet header.
            PROVIDER_BACKBONE => {
                let (head, rest) = part.split::<18>(Layer::Tag)?;
                (ethertype, part) = (u16::from_be_bytes([head[16], head[17]]), rest);
            }
            FABRIC_PATH => {
                let (head, rest) = part.split::<16>(Layer::Tag)?;
                (ethertype, part) = (u16::from_be_bytes([head[14], head[15]]), rest);
            }
            MPLS | MPLS_MULTICAST => return mpls(part, around),
            PPPOE_SESSION => return pppoe(part, around),
            0..=LENGTH_MAX | LLC_JUMBO => (ethertype, part) = snap(part)?,
            other => return Err(without_ip(other)),
        }
    }
    Err(Reject::TooDeep)
}

/// The ARP packet in an Ethernet frame, behind its VLAN tags, or in a cooked one.
pub(super) fn resolution(link: LinkType, bytes: &[u8]) -> Option<Resolution<'_>> {
    match link {
        LinkType::ETHERNET => {
            let (head, mut rest) = bytes.split_first_chunk::<14>()?;
            let mut ethertype = [head[12], head[13]];
            for _ in 0..TAGS_MAX {
                match u16::from_be_bytes(ethertype) {
                    ARP => {
                        let source = head[6..12].first_chunk().copied();
                        return Some(Resolution { source, bytes: rest });
                    }
                    VLAN | VLAN_SERVICE | VLAN_9100 | VLAN_9200 => {
                        let (tag, behind) = rest.split_first_chunk::<4>()?;
                        (ethertype, rest) = ([tag[2], tag[3]], behind);
                    }
                    _ => return None,
                }
            }
            None
        }
        LinkType::LINUX_SLL => {
            let (head, bytes) = bytes.split_first_chunk::<16>()?;
            (head[14..] == ARP.to_be_bytes()).then_some(Resolution { source: None, bytes })
        }
        LinkType::LINUX_SLL2 => {
            let (head, bytes) = bytes.split_first_chunk::<20>()?;
            (head[..2] == ARP.to_be_bytes()).then_some(Resolution { source: None, bytes })
        }
        _ => None,
    }
}

/// The Ethernet type and content of a SNAP frame (RFC 1042); other LLC carries no IP.
fn snap(part: Part<'_>) -> Result<(u16, Part<'_>), Reject> {
    let (service, _) = part.split::<3>(Layer::Snap)?;
    match *service {
        [0xaa, 0xaa, 0x03] => {
            let (head, rest) = part.split::<8>(Layer::Snap)?;
            match [head[3], head[4], head[5]] {
                [0, 0, 0] | [0, 0, 0xf8] => Ok((u16::from_be_bytes([head[6], head[7]]), rest)),
                _ => Err(Reject::NotIp(NotIp::Llc)),
            }
        }
        [0xff, 0xff, _] | [0xe0, 0xe0, _] => Err(Reject::NotIp(NotIp::Ipx)),
        _ => Err(Reject::NotIp(NotIp::Llc)),
    }
}

fn without_ip(ethertype: u16) -> Reject {
    Reject::NotIp(match ethertype {
        ARP | 0x8035 => NotIp::Arp,
        0x88cc => NotIp::Lldp,
        0x888e => NotIp::Eapol,
        0x8137 | 0x8138 => NotIp::Ipx,
        0x8809 => NotIp::Slow,
        0x88f7 => NotIp::Ptp,
        0x8863 => NotIp::PppoeDiscovery,
        0x88e5 => return Reject::Encrypted,
        _ => NotIp::Other,
    })
}

/// A label stack (RFC 3032). Nothing in it says what follows.
fn mpls<'a>(mut part: Part<'a>, around: Around<'_>) -> Result<Segment<'a>, Reject> {
    for _ in 0..LABELS_MAX {
        let (label, rest) = part.split::<4>(Layer::Mpls)?;
        part = rest;
        if label[2] & 1 == 1 {
            return labelled(part, around.nested()?);
        }
    }
    Err(Reject::TooDeep)
}

/// Guesses what follows a label stack by its first nibble, as routers do (RFC 4928): IP, or an
/// Ethernet pseudowire with or without the control word of RFC 4385.
fn labelled<'a>(part: Part<'a>, around: Around<'_>) -> Result<Segment<'a>, Reject> {
    let (first, _) = part.split::<1>(Layer::Mpls)?;
    let guess = match first[0] >> 4 {
        4 => ip::v4(part, around),
        6 => ip::v6(part, around),
        0 => part.split::<4>(Layer::Mpls).and_then(|(_, frame)| ethernet(frame, around)),
        _ => return ethernet(part, around),
    };
    // An Ethernet address may start with any nibble.
    guess.or_else(|reason| {
        ethernet(part, around).map_err(|other| match other {
            Reject::Truncated(_) => other,
            _ => reason,
        })
    })
}

/// A PPPoE session (RFC 2516). Its length bounds the packet, like a tunnel's.
fn pppoe<'a>(part: Part<'a>, around: Around<'_>) -> Result<Segment<'a>, Reject> {
    let (head, rest) = part.split::<6>(Layer::Ppp)?;
    match *head {
        [0x11, 0, _, _, high, low] => {
            ppp(rest.limit(u32::from(u16::from_be_bytes([high, low]))), around)
        }
        [0x11, ..] => Err(Reject::NotIp(NotIp::PppoeDiscovery)),
        _ => Err(Reject::BadHeader(Layer::Ppp)),
    }
}

/// PPP with or without address and control bytes, its protocol field compressed or not (RFC 1661).
pub(super) fn ppp<'a>(part: Part<'a>, around: Around<'_>) -> Result<Segment<'a>, Reject> {
    let part = match part.captured {
        // The address byte; no protocol has this number.
        [0xff, ..] => part.split::<2>(Layer::Ppp)?.1,
        _ => part,
    };
    let (first, rest) = part.split::<1>(Layer::Ppp)?;
    let (protocol, rest) = if first[0] & 1 == 1 {
        (u16::from(first[0]), rest)
    } else {
        let (both, rest) = part.split::<2>(Layer::Ppp)?;
        (u16::from_be_bytes(*both), rest)
    };
    match protocol {
        0x0021 => ip::v4(rest, around),
        0x0057 => ip::v6(rest, around),
        0x0281 | 0x0283 => mpls(rest, around),
        // Van Jacobson and robust header compression, encryption, compressed datagrams.
        0x002d | 0x002f | 0x0003 | 0x0005 | 0x0053 | 0x0055 | 0x00fb | 0x00fd => {
            Err(Reject::Encrypted)
        }
        _ => Err(Reject::NotIp(NotIp::PppControl)),
    }
}

fn cisco_hdlc<'a>(part: Part<'a>, around: Around<'_>) -> Result<Segment<'a>, Reject> {
    let (head, rest) = part.split::<4>(Layer::Link)?;
    match u16::from_be_bytes([head[2], head[3]]) {
        // SLARP keep-alives and CDP, not RARP and a length.
        0x8035 | 0x2000 => Err(Reject::NotIp(NotIp::PppControl)),
        ethertype => network(ethertype, rest, around),
    }
}

/// BSD loopback. Which end is low depends on the machine, and each BSD numbered IPv6 differently.
fn loopback<'a>(part: Part<'a>, around: Around<'_>) -> Result<Segment<'a>, Reject> {
    let (head, rest) = part.split::<4>(Layer::Link)?;
    match *head {
        [2, 0, 0, 0] | [0, 0, 0, 2] => ip::v4(rest, around),
        [10 | 24 | 28 | 30, 0, 0, 0] | [0, 0, 0, 10 | 24 | 28 | 30] => ip::v6(rest, around),
        // Point-to-point interfaces of BSD put an Ethernet type there.
        [_, _, 0x08, 0x00] => ip::v4(rest, around),
        [_, _, 0x86, 0xdd] => ip::v6(rest, around),
        _ => Err(Reject::NotIp(NotIp::Other)),
    }
}

/// Linux cooked capture of either version, by its device type and its protocol field.
fn cooked<'a>(
    device: [u8; 2],
    protocol: [u8; 2],
    part: Part<'a>,
    around: Around<'_>,
) -> Result<Segment<'a>, Reject> {
    match u16::from_be_bytes(device) {
        NETLINK => Err(Reject::NotIp(NotIp::Other)),
        _ => network(u16::from_be_bytes(protocol), part, around),
    }
}

/// Linux netfilter log: attributes in the byte order of the recording machine, taken as little
/// endian; the packet is one of them.
fn nflog<'a>(part: Part<'a>, around: Around<'_>) -> Result<Segment<'a>, Reject> {
    let (_, mut rest) = part.split::<4>(Layer::Link)?;
    for _ in 0..ATTRIBUTES_MAX {
        let (head, value) = rest.split::<4>(Layer::Link)?;
        let len = u32::from(u16::from_le_bytes([head[0], head[1]]));
        let Some(value_len) = len.checked_sub(4) else { break };
        if u16::from_le_bytes([head[2], head[3]]) & 0x7fff == NFLOG_PAYLOAD {
            return ip::either(value.limit(value_len), around);
        }
        rest = rest.skip(len.next_multiple_of(4)).ok_or(Reject::BadHeader(Layer::Link))?;
    }
    Err(Reject::BadHeader(Layer::Link))
}

/// What some systems wrote into files for raw IP before it had its own number.
const RAW_DLT: LinkType = LinkType(12);
const RAW_DLT_OPENBSD: LinkType = LinkType(14);
const CISCO_HDLC: LinkType = LinkType(104);
const NFLOG: LinkType = LinkType(239);
const NFLOG_PAYLOAD: u16 = 9;
/// `ARPHRD_NETLINK`: messages to the kernel, no packets.
const NETLINK: u16 = 824;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const VLAN_SERVICE: u16 = 0x88a8;
const VLAN_9100: u16 = 0x9100;
const VLAN_9200: u16 = 0x9200;
const VN_TAG: u16 = 0x8926;
const PROVIDER_BACKBONE: u16 = 0x88e7;
const FABRIC_PATH: u16 = 0x8903;
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
const PPPOE_SESSION: u16 = 0x8864;
const LLC_JUMBO: u16 = 0x8870;
/// Below 1536 the field is a length (IEEE 802.3).
const LENGTH_MAX: u16 = 0x05ff;

/// Twice what any network we know of stacks; a bound on the work per frame.
const TAGS_MAX: usize = 8;
const LABELS_MAX: usize = 16;
const ATTRIBUTES_MAX: usize = 32;
