//! Bytes to facts: what one frame says. Pure, bounded, allocates nothing.

use crate::net::{Addr, Endpoint, Protocol};

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
    /// Transport payload by IP lengths, whatever was captured.
    pub payload_len: u32,
    /// The captured part of the transport payload.
    pub payload: &'a [u8],
    /// The TCP header, when this is TCP and the header was captured.
    pub tcp: Option<Tcp<'a>>,
    /// Whether this is a fragment of an IP packet, and which.
    pub fragment: Option<Fragment>,
}

/// The facts of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp<'a> {
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
    /// The captured option bytes.
    pub options: &'a [u8],
}

impl Tcp<'_> {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}
