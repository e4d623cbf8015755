//! Addresses, endpoints and networks: who is inside, who is outside.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An IP address in one shape for both versions: IPv4 is held as `::ffff:a.b.c.d` (RFC 4291).
///
/// Ordered by value, so that an ordered pair of endpoints names a flow in either direction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr {
    // Two halves and not a u128, whose alignment would make an endpoint 32 bytes instead of 24.
    high: u64,
    low: u64,
}

impl Addr {
    /// An IPv4 address from its four bytes on the wire.
    pub const fn from_v4(bytes: [u8; 4]) -> Self {
        Self { high: 0, low: V4_PREFIX | u32::from_be_bytes(bytes) as u64 }
    }

    /// An IPv6 address from its sixteen bytes on the wire.
    pub const fn from_v6(bytes: [u8; 16]) -> Self {
        Self::from_bits(u128::from_be_bytes(bytes))
    }

    const fn from_bits(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// The address as the standard library's type; an IPv4-mapped one comes out as IPv4.
    pub fn to_ip(self) -> IpAddr {
        Ipv6Addr::from_bits(self.to_bits()).to_canonical()
    }

    /// The address as one number, IPv4 in its mapped form.
    pub const fn to_bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// The same in two halves, the upper one first.
    pub const fn halves(self) -> [u64; 2] {
        [self.high, self.low]
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::from_v4(v4.octets()),
            IpAddr::V6(v6) => Self::from_v6(v6.octets()),
        }
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(ip: Ipv4Addr) -> Self {
        Self::from_v4(ip.octets())
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(ip: Ipv6Addr) -> Self {
        Self::from_v6(ip.octets())
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Addr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        self.halves().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Addr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return IpAddr::deserialize(deserializer).map(Self::from);
        }
        let [high, low] = Deserialize::deserialize(deserializer)?;
        Ok(Self { high, low })
    }
}

impl schemars::JsonSchema for Addr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Addr".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }],
            "description": "IPv4 or IPv6 address"
        })
    }
}

/// One end of a conversation. The port is 0 where the protocol has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The address.
    pub addr: Addr,
    /// The port of TCP, UDP or SCTP; the identifier of an ICMP echo; else 0.
    pub port: u16,
}

/// An IP protocol number (IANA, "Assigned Internet Protocol Numbers").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Internet control messages for IPv4.
    pub const ICMP: Self = Self(1);
    /// Transmission control protocol.
    pub const TCP: Self = Self(6);
    /// User datagram protocol.
    pub const UDP: Self = Self(17);
    /// Generic routing encapsulation.
    pub const GRE: Self = Self(47);
    /// Encapsulating security payload.
    pub const ESP: Self = Self(50);
    /// Authentication header.
    pub const AH: Self = Self(51);
    /// Internet control messages for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// Stream control transmission protocol.
    pub const SCTP: Self = Self(132);

    /// Is it ICMP of either version?
    pub fn is_icmp(self) -> bool {
        matches!(self, Self::ICMP | Self::ICMPV6)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::ICMP => "icmp",
            Self::TCP => "tcp",
            Self::UDP => "udp",
            Self::GRE => "gre",
            Self::ESP => "esp",
            Self::AH => "ah",
            Self::ICMPV6 => "ipv6-icmp",
            Self::SCTP => "sctp",
            Self(number) => return write!(f, "ip-{number}"),
        };
        f.write_str(name)
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        serializer.serialize_u8(self.0)
    }
}

/// Only from its number: names are for readers.
impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(Self)
    }
}

impl schemars::JsonSchema for Protocol {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Protocol".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "transport protocol: tcp, udp, icmp ..., ip-N where it has no name here"
        })
    }
}

/// A set of networks, for one question: does it hold this address?
///
/// Flat, sorted, disjoint ranges: a lookup is one binary search over a few entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subnets {
    ranges: Vec<(u128, u128)>,
    nets: Vec<IpNet>,
}

impl Subnets {
    /// What is inside when nobody says otherwise (DESIGN 3.2): RFC 1918, RFC 6598 and RFC 4193.
    pub fn private() -> Self {
        PRIVATE
            .iter()
            .map(|text| text.parse::<IpNet>().expect("PRIVATE holds valid networks"))
            .collect()
    }

    /// These networks, with what can never be outside: link-local, loopback, multicast, broadcast.
    #[must_use]
    pub fn with_local(&self) -> Self {
        let nets = self.nets.clone();
        let local = LOCAL.iter().map(|text| text.parse().expect("LOCAL holds valid networks"));
        Self { nets, ..self.nets.iter().copied().chain(local).collect() }
    }

    /// Does one of the networks hold this address?
    pub fn contains(&self, addr: Addr) -> bool {
        let addr = addr.to_bits();
        let after = self.ranges.partition_point(|&(first, _)| first <= addr);
        after > 0 && addr <= self.ranges[after - 1].1
    }

    /// These networks without the part that `other` holds too.
    ///
    /// [`Subnets::nets`] of the result are the fewest networks that cover what is left.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.ranges.len());
        for &(first, last) in &self.ranges {
            // `None` once a hole has reached the end of the range, which may be the last address.
            let mut next = Some(first);
            for &(hole_first, hole_last) in &other.ranges {
                let Some(from) = next else { break };
                if hole_last < from || last < hole_first {
                    continue;
                }
                if from < hole_first {
                    left.push((from, hole_first - 1));
                }
                next = hole_last.checked_add(1).filter(|&after| after <= last);
            }
            left.extend(next.map(|from| (from, last)));
        }
        let nets = left.iter().flat_map(|&(first, last)| covering(first, last)).collect();
        Self { ranges: left, nets }
    }

    /// The networks as given, for showing.
    pub fn nets(&self) -> &[IpNet] {
        &self.nets
    }

    /// Is there no network at all?
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl FromIterator<IpNet> for Subnets {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        let nets: Vec<IpNet> = nets.into_iter().collect();
        let mut ranges: Vec<(u128, u128)> = nets
            .iter()
            .map(|net| (Addr::from(net.network()).to_bits(), Addr::from(net.broadcast()).to_bits()))
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1 => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self { ranges: merged, nets }
    }
}

/// The fewest networks that hold exactly these addresses.
fn covering(first: u128, last: u128) -> IpSubnets {
    match (Addr::from_bits(first).to_ip(), Addr::from_bits(last).to_ip()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Ipv4Subnets::new(first, last, 0).into(),
        _ => Ipv6Subnets::new(Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last), 0).into(),
    }
}

const V4_PREFIX: u64 = 0xffff_0000_0000;

const PRIVATE: [&str; 5] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

/// Of this link or this host alone (RFC 6890, RFC 5771, RFC 4291): never on the other side of a border.
const LOCAL: [&str; 9] = [
    "0.0.0.0/32",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "fe80::/10",
    "ff00::/8",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn private_networks_hold_both_versions() {
        let private = Subnets::private().with_local();
        for inside in
            ["10.20.1.37", "172.31.255.255", "100.64.0.1", "fe80::1", "fd00::1", "224.0.0.251"]
        {
            assert!(private.contains(addr(inside)), "{inside}");
        }
        for outside in ["172.32.0.0", "100.128.0.0", "203.0.113.9", "2001:db8::1", "9.255.255.255"]
        {
            assert!(!private.contains(addr(outside)), "{outside}");
        }
    }

    /// Overlapping and nested networks merge: an address between two nested ends is still inside.
    #[test]
    fn nested_networks_merge() {
        let nets = ["10.0.0.0/8", "10.1.0.0/16", "10.255.0.0/16", "2001:db8::/32"];
        let subnets: Subnets = nets.iter().map(|net| net.parse::<IpNet>().unwrap()).collect();
        assert!(subnets.contains(addr("10.200.0.1")));
        assert!(!subnets.contains(addr("11.0.0.0")));
        assert!(subnets.contains(addr("2001:db8:ffff::")));
        assert!(!Subnets::default().contains(addr("10.0.0.1")));
    }

    fn subnets(nets: &[&str]) -> Subnets {
        nets.iter().map(|net| net.parse::<IpNet>().unwrap()).collect()
    }

    /// A partner sits in the middle of our own range: what lies beside it must stay ours.
    #[test]
    fn minus_cuts_holes() {
        let ours = subnets(&["10.0.0.0/8", "fd00::/8"]).minus(&subnets(&["10.99.0.0/16"]));
        for inside in ["10.0.0.0", "10.98.255.255", "10.100.0.0", "10.255.255.255", "fd00::1"] {
            assert!(ours.contains(addr(inside)), "{inside}");
        }
        for outside in ["10.99.0.0", "10.99.255.255", "11.0.0.0"] {
            assert!(!ours.contains(addr(outside)), "{outside}");
        }
        let shown: Vec<String> = ours.nets().iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 9, "{shown:?}");
        assert!(shown.contains(&"10.100.0.0/14".to_owned()), "{shown:?}");
    }

    /// Holes at either end, over the whole, beside it, over two networks, and at the last address.
    #[test]
    fn minus_at_the_edges() {
        let ten = subnets(&["10.0.0.0/24"]);
        assert_eq!(ten.minus(&subnets(&["10.0.0.0/25"])), subnets(&["10.0.0.128/25"]));
        assert_eq!(ten.minus(&subnets(&["10.0.0.128/25"])), subnets(&["10.0.0.0/25"]));
        assert!(ten.minus(&ten).is_empty());
        assert!(ten.minus(&subnets(&["10.0.0.0/8"])).is_empty());
        assert_eq!(ten.minus(&subnets(&["10.0.1.0/24"])), ten);
        let two = subnets(&["10.0.0.0/24", "10.0.2.0/24"]);
        assert!(two.minus(&subnets(&["10.0.0.0/22"])).is_empty());
        let all = subnets(&["::/0"]);
        assert_eq!(all.minus(&subnets(&["8000::/1"])), subnets(&["::/1"]));
        assert!(all.minus(&all).is_empty());
    }

    #[test]
    fn addresses_print_as_they_came() {
        for text in ["10.0.0.1", "2001:db8::1", "::1", "255.255.255.255"] {
            assert_eq!(addr(text).to_string(), text);
        }
    }
}
