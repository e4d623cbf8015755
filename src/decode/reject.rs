//! Why a frame gave no segment, and how often.

use std::iter;

use crate::frame::LinkType;

/// Why a frame gave no segment.
///
/// Two families that an analyst reads apart: frames that are sound but carry no IP
/// ([`Reject::is_not_ip`]), and frames that might hide traffic from us (all others).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reject {
    /// A sound frame that carries no IP.
    NotIp(NotIp),
    /// The snap length cut this header off.
    Truncated(Layer),
    /// This header contradicts itself, or ended before it was complete on the wire.
    BadHeader(Layer),
    /// More tags, labels or nested frames than are followed.
    TooDeep,
    /// Encrypted or compressed at the link: MACsec, PPP encryption and compression.
    Encrypted,
    /// A link type that is not read.
    LinkType(LinkType),
}

/// What a frame without IP carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotIp {
    /// Address resolution, also reverse.
    Arp,
    /// Link layer discovery (IEEE 802.1AB).
    Lldp,
    /// Spanning tree, CDP and everything else over LLC.
    Llc,
    /// Port authentication (IEEE 802.1X).
    Eapol,
    /// Novell IPX.
    Ipx,
    /// Link aggregation and other slow protocols (IEEE 802.3 clause 57).
    Slow,
    /// Precision time (IEEE 1588).
    Ptp,
    /// PPPoE discovery.
    PppoeDiscovery,
    /// PPP negotiation and keep-alives.
    PppControl,
    /// Any other.
    Other,
}

/// The header that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The link header.
    Link,
    /// A VLAN tag or the like.
    Tag,
    /// A SNAP header.
    Snap,
    /// An MPLS label stack.
    Mpls,
    /// PPP or PPPoE.
    Ppp,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Reject {
    /// Is the frame sound and merely without IP?
    pub const fn is_not_ip(self) -> bool {
        matches!(self, Self::NotIp(_))
    }

    /// What a summary calls it; lower case.
    pub const fn name(self) -> &'static str {
        NAMES[self.index()]
    }

    const fn index(self) -> usize {
        match self {
            Self::NotIp(kind) => kind as usize,
            Self::Truncated(layer) => KINDS + layer as usize,
            Self::BadHeader(layer) => KINDS + LAYERS + layer as usize,
            Self::TooDeep => KINDS + 2 * LAYERS,
            Self::Encrypted => KINDS + 2 * LAYERS + 1,
            Self::LinkType(_) => KINDS + 2 * LAYERS + 2,
        }
    }
}

/// How many frames were rejected, by reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejects {
    counts: [u64; REASONS],
    unread_link: Option<LinkType>,
}

impl Rejects {
    /// Counts one frame.
    #[inline]
    pub fn count(&mut self, reject: Reject) {
        self.counts[reject.index()] += 1;
        if let Reject::LinkType(link) = reject {
            self.note_link(link);
        }
    }

    /// Adds the counts of another worker or file.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        if let Some(link) = other.unread_link {
            self.note_link(link);
        }
    }

    /// The reasons that occurred, those without IP first, each with its number of frames.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        iter::zip(NAMES, self.counts).filter(|&(_, frames)| frames > 0)
    }

    /// All frames that gave no segment.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sound frames that carry no IP.
    pub fn not_ip(&self) -> u64 {
        self.counts[..KINDS].iter().sum()
    }

    /// The frames that could not be decoded: what they carried, nobody counted.
    pub fn undecoded(&self) -> u64 {
        self.counts[KINDS..].iter().sum()
    }

    /// The lowest of the link types that were met and are not read.
    pub fn unread_link(&self) -> Option<LinkType> {
        self.unread_link
    }

    /// The lowest one, so that a merge gives the same in any order.
    fn note_link(&mut self, link: LinkType) {
        self.unread_link = Some(self.unread_link.map_or(link, |known| known.min(link)));
    }
}

impl Default for Rejects {
    fn default() -> Self {
        Self { counts: [0; REASONS], unread_link: None }
    }
}

const KINDS: usize = NotIp::Other as usize + 1;
const LAYERS: usize = Layer::Ipv6 as usize + 1;
const REASONS: usize = KINDS + 2 * LAYERS + 3;

/// In the order of [`Reject::index`].
const NAMES: [&str; REASONS] = [
    "arp",
    "lldp",
    "stp or other llc",
    "eapol",
    "ipx",
    "lacp or other slow protocol",
    "ptp",
    "pppoe discovery",
    "ppp control",
    "other without ip",
    "truncated link header",
    "truncated vlan tag",
    "truncated snap",
    "truncated mpls",
    "truncated ppp",
    "truncated ipv4",
    "truncated ipv6",
    "bad link header",
    "bad vlan tag",
    "bad snap",
    "bad mpls",
    "bad ppp",
    "bad ipv4",
    "bad ipv6",
    "nested too deep",
    "encrypted link",
    "link type not read",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A name out of step with its index would blame ARP for truncated IPv6.
    #[test]
    fn names_follow_the_index() {
        for (reject, name) in [
            (Reject::NotIp(NotIp::Arp), "arp"),
            (Reject::NotIp(NotIp::Slow), "lacp or other slow protocol"),
            (Reject::NotIp(NotIp::Other), "other without ip"),
            (Reject::Truncated(Layer::Link), "truncated link header"),
            (Reject::Truncated(Layer::Ipv6), "truncated ipv6"),
            (Reject::BadHeader(Layer::Link), "bad link header"),
            (Reject::BadHeader(Layer::Mpls), "bad mpls"),
            (Reject::BadHeader(Layer::Ipv6), "bad ipv6"),
            (Reject::TooDeep, "nested too deep"),
            (Reject::Encrypted, "encrypted link"),
            (Reject::LinkType(LinkType(127)), "link type not read"),
        ] {
            assert_eq!(reject.name(), name);
        }
    }

    #[test]
    fn counts_merge_in_any_order() {
        let (mut one, mut two) = (Rejects::default(), Rejects::default());
        one.count(Reject::NotIp(NotIp::Arp));
        one.count(Reject::LinkType(LinkType(127)));
        two.count(Reject::LinkType(LinkType(105)));
        two.count(Reject::NotIp(NotIp::Arp));
        let mut both = one.clone();
        both.merge(&two);
        two.merge(&one);
        assert_eq!(both, two);
        assert_eq!((both.total(), both.not_ip(), both.undecoded()), (4, 2, 2));
        assert_eq!(both.iter().collect::<Vec<_>>(), [("arp", 2), ("link type not read", 2)]);
        assert_eq!(both.unread_link(), Some(LinkType(105)));
    }
}
