//! Bytes to facts: what one frame says. Pure, bounded, allocates nothing.
//!
//! # What is counted
//!
//! Lengths come from IP headers, never from the captured length. An IP length is believed up to what
//! the wire carried: `min(IP length, wire bytes left)`, so that a forged one adds nothing and the
//! padding of a short Ethernet frame does not count. Length 0 (segmentation offload) means all
//! that is left. Lengths inside a tunnel are bounded in the same way by the tunnel's own.
//!
//! # What is never lost
//!
//! A frame whose outermost IP header is sound gives a segment. A broken or cut transport header
//! costs the ports; a tunnel that does not hold a sound packet counts as the flow of its ends.
//!
//! A packet inside a tunnel is somebody's claim about addresses. Who judges a segment by them must
//! look at [`Segment::tunnel`] too, and may ask [`outermost`] for the flow that the border saw.

#![forbid(unsafe_code)]

mod ip;
mod link;
mod part;
mod reject;
#[cfg(test)]
mod tests;
mod transport;
mod tunnel;

pub use self::reject::{Layer, NotIp, Reject, Rejects};

use schemars::JsonSchema;
use serde::Serialize;

use self::part::Part;
use crate::frame::{Frame, LinkType};
use crate::net::{Addr, Endpoint, Protocol};

/// What `frame` says, with up to four tunnels opened.
///
/// Deeper ones are left closed: their segment is the flow between the ends of the fifth.
///
/// # Errors
///
/// Why there is no segment: no IP in the frame, or none that could be read.
#[inline]
pub fn decode<'a>(frame: &Frame<'a>) -> Result<Segment<'a>, Reject> {
    link::open(frame.link, Part::of(frame), Around::frame(TUNNELS_MAX))
}

/// What `frame` says when no tunnel is opened: who exchanged how many bytes on this wire.
///
/// # Errors
///
/// As [`decode`], and for the same frames.
pub fn outermost<'a>(frame: &Frame<'a>) -> Result<Segment<'a>, Reject> {
    link::open(frame.link, Part::of(frame), Around::frame(0))
}

/// The addresses that [`decode`] finds in `frame`, where a glance at a plain header tells them.
///
/// `None` says nothing: the frame may be tagged, tunnelled, of another link type, or not sound.
#[inline]
pub fn plain_ends(frame: &Frame<'_>) -> Option<(Addr, Addr)> {
    match frame.link {
        LinkType::ETHERNET => link::plain_ends(frame.bytes),
        _ => None,
    }
}

/// Finds the ARP packet in a frame that [`decode`] rejected for carrying one.
///
/// `None` where it stands behind more than VLAN tags.
pub fn resolution<'a>(frame: &Frame<'a>) -> Option<Resolution<'a>> {
    link::resolution(frame.link, frame.bytes)
}

/// An ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution<'a> {
    /// The interface that sent the frame, where the link header says so.
    pub source: Option<[u8; 6]>,
    /// The packet, as far as it was captured, and what pads its frame.
    pub bytes: &'a [u8],
}

/// What one frame says about a flow; it has a source and a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The sending end.
    pub source: Endpoint,
    /// The receiving end.
    pub destination: Endpoint,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The innermost VLAN outside any tunnel, if tagged.
    pub vlan: Option<u16>,
    /// The outermost tunnel this came out of.
    pub tunnel: Option<Tunnel>,
    /// IP total length of the innermost IP packet: what the `wire` counter adds.
    pub ip_len: u32,
    /// IPv4 identification; 0 for IPv6.
    pub identification: u16,
    /// Time to live or hop limit: routers count it down.
    pub hop_limit: u8,
    /// The captured bytes from the transport header to the end of the payload.
    pub transport: &'a [u8],
    /// Transport payload by IP lengths, whatever was captured.
    pub payload_len: u32,
    /// Bytes of `transport` before the payload: 0 to 1020, the length of DCCP's longest header.
    pub header_len: u16,
    /// The TCP header, when this is TCP and the header was captured.
    pub tcp: Option<Tcp>,
    /// Whether this is a fragment of an IP packet, and which.
    pub fragment: Option<Fragment>,
}

impl<'a> Segment<'a> {
    /// The captured part of the transport payload.
    pub fn payload(&self) -> &'a [u8] {
        &self.transport[usize::from(self.header_len)..]
    }

    /// Makes it stand for `weight` like it. What TCP carries goes by sequence numbers, which miss nothing.
    pub fn weigh(&mut self, weight: u32) {
        self.ip_len = self.ip_len.saturating_mul(weight);
        if self.tcp.is_none() {
            self.payload_len = self.payload_len.saturating_mul(weight);
        }
    }

    /// The captured option bytes of the TCP header.
    pub fn tcp_options(&self) -> &'a [u8] {
        match self.tcp {
            Some(_) => self.transport[..usize::from(self.header_len)].get(TCP_MIN..),
            None => None,
        }
        .unwrap_or_default()
    }
}

/// The facts of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// Sequence number of the first payload byte (of the SYN, if it bears one).
    pub seq: u32,
    /// Acknowledgement number; meaningful when [`Tcp::ACK`] is set.
    pub ack: u32,
    /// The flag bits, FIN lowest.
    pub flags: u8,
    /// Length of the header with its options, in bytes: 20 to 60.
    pub header_len: u8,
    /// The window as sent, unscaled.
    pub window: u16,
}

impl Tcp {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Aborts a connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;

    /// Are all of these flags set?
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// A fragment's place in its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// The packet's identification, shared by its fragments.
    pub id: u32,
    /// Where this fragment's bytes begin in the packet's IP payload; 0 in the first, which has the ports.
    pub offset: u16,
    /// Do more follow?
    pub more: bool,
}

/// The tunnel a segment came out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// Its kind.
    pub kind: TunnelKind,
    /// VXLAN or GENEVE network, GTP endpoint, GRE key, ERSPAN session; 0 where there is none.
    pub id: u32,
    /// The tunnel's sending end.
    pub source: Addr,
    /// The tunnel's receiving end.
    pub destination: Addr,
}

/// The tunnels that are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelKind {
    /// IP in IP (RFC 2003, 4213, 2473): 4in4, 6in4, 4in6, 6in6.
    IpInIp,
    /// Generic routing encapsulation (RFC 2784, 2890).
    Gre,
    /// A mirror session carried in GRE.
    Erspan,
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
    /// GPRS tunnelling, user plane (3GPP TS 29.281).
    GtpU,
    /// IPv6 in UDP (RFC 4380).
    Teredo,
}

/// What is around the part being read.
#[derive(Debug, Clone, Copy)]
struct Around<'t> {
    vlan: Option<u16>,
    /// The outermost tunnel, once inside one.
    tunnel: Option<&'t Tunnel>,
    tunnels_left: u8,
    nests_left: u8,
}

impl Around<'_> {
    const fn frame(tunnels_left: u8) -> Self {
        Self { vlan: None, tunnel: None, tunnels_left, nests_left: NESTS_MAX }
    }

    /// Behind a VLAN tag. Number 0 only bears a priority; tags inside a tunnel are not ours.
    fn in_vlan(self, vlan: u16) -> Self {
        match self.tunnel {
            None if vlan != 0 => Self { vlan: Some(vlan), ..self },
            _ => self,
        }
    }

    /// Inside a frame that a frame carries without a tunnel, such as a pseudowire's.
    fn nested(self) -> Result<Self, Reject> {
        let nests_left = self.nests_left.checked_sub(1).ok_or(Reject::TooDeep)?;
        Ok(Self { nests_left, ..self })
    }

    /// Does a packet with so many bytes behind it account for what the tunnel carried? If not, a
    /// short inner packet could be the fig leaf of a long outer one.
    #[inline]
    fn check_trailer(self, trailer_len: u32, layer: Layer) -> Result<(), Reject> {
        if trailer_len > TRAILER_MAX && self.tunnel.is_some() {
            return Err(Reject::BadHeader(layer));
        }
        Ok(())
    }
}

/// A TCP header without options.
const TCP_MIN: usize = 20;

/// A SPAN in ERSPAN of VXLAN of IP in IP has three.
const TUNNELS_MAX: u8 = 4;

/// Bounds the recursion and, at two guesses a level, the work.
const NESTS_MAX: u8 = 3;

/// More than Ethernet's padding (26 bytes behind the shortest IPv4 packet) and checksum.
const TRAILER_MAX: u32 = 64;
