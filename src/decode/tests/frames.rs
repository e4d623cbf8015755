//! Builders of headers, each around its content, and one frame of every kind.

use crate::frame::LinkType;

/// The ends of every packet built here; tunnels run between the others.
pub(super) const SOURCE: &str = "10.0.0.1";
pub(super) const DESTINATION: &str = "203.0.113.2";
pub(super) const SOURCE6: &str = "2001:db8::1";
pub(super) const DESTINATION6: &str = "2001:db8::2";
pub(super) const TUNNEL_SOURCE: &str = "192.168.0.1";
pub(super) const TUNNEL_DESTINATION: &str = "192.168.0.2";
pub(super) const PORTS: [u8; 4] = [0x12, 0x34, 0x01, 0xbb];
pub(super) const PAYLOAD: &[u8] = b"nineteen bytes here";

pub(super) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(super) fn u16be(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap().to_be_bytes()
}

pub(super) fn ethernet(ethertype: u16, content: &[u8]) -> Vec<u8> {
    join(&[&[0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2], &ethertype.to_be_bytes(), content])
}

pub(super) fn tag(vlan: u16, ethertype: u16, content: &[u8]) -> Vec<u8> {
    join(&[&(vlan | 0x2000).to_be_bytes(), &ethertype.to_be_bytes(), content])
}

fn ipv4_between(ends: [[u8; 4]; 2], protocol: u8, content: &[u8]) -> Vec<u8> {
    let fixed = [0, 7, 0, 0, 64, protocol, 0, 0];
    join(&[&[0x45, 0], &u16be(20 + content.len()), &fixed, &ends[0], &ends[1], content])
}

pub(super) fn ipv4(protocol: u8, content: &[u8]) -> Vec<u8> {
    ipv4_between([[10, 0, 0, 1], [203, 0, 113, 2]], protocol, content)
}

pub(super) fn outer(protocol: u8, content: &[u8]) -> Vec<u8> {
    ipv4_between([[192, 168, 0, 1], [192, 168, 0, 2]], protocol, content)
}

/// IPv4 with fragment flags and offset (in units of eight bytes).
pub(super) fn ipv4_fragment(place: u16, protocol: u8, content: &[u8]) -> Vec<u8> {
    let mut packet = ipv4(protocol, content);
    packet[6..8].copy_from_slice(&place.to_be_bytes());
    packet
}

pub(super) fn ipv4_options(content: &[u8]) -> Vec<u8> {
    let mut packet = ipv4(6, &join(&[&[7, 7, 4, 0, 0, 0, 0, 0], content]));
    packet[0] = 0x47;
    packet
}

pub(super) fn ipv6(next: u8, content: &[u8]) -> Vec<u8> {
    let prefix = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let fixed = [0x60, 0, 0, 0];
    join(&[&fixed, &u16be(content.len()), &[next, 64], &prefix, &[1], &prefix, &[2], content])
}

pub(super) fn tcp(payload: &[u8]) -> Vec<u8> {
    let fixed = [0, 0, 0, 9, 0, 0, 0, 8, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0];
    join(&[&PORTS, &fixed, payload])
}

pub(super) fn tcp_options(payload: &[u8]) -> Vec<u8> {
    let mut segment = tcp(&join(&[&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], payload]));
    segment[12] = 0x80;
    segment
}

pub(super) fn udp_to(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16be(8 + payload.len());
    join(&[&PORTS[..2], &port.to_be_bytes(), &length, &[0, 0], payload])
}

pub(super) fn udp(payload: &[u8]) -> Vec<u8> {
    udp_to(443, payload)
}

pub(super) fn gre(flags: u16, ethertype: u16, content: &[u8]) -> Vec<u8> {
    outer(47, &join(&[&flags.to_be_bytes(), &ethertype.to_be_bytes(), content]))
}

pub(super) fn over_udp(port: u16, header: &[u8], content: &[u8]) -> Vec<u8> {
    outer(17, &udp_to(port, &join(&[header, content])))
}

pub(super) fn vxlan(content: &[u8]) -> Vec<u8> {
    over_udp(4789, &[8, 0, 0, 0, 0, 0x12, 0x34, 0], content)
}

/// A packet of the standard ends: every frame of [`zoo`] has one of these innermost.
pub(super) fn tcp4() -> Vec<u8> {
    ipv4(6, &tcp(PAYLOAD))
}

pub(super) fn udp6() -> Vec<u8> {
    ipv6(17, &udp(PAYLOAD))
}

fn sll(ethertype: u16, content: &[u8]) -> Vec<u8> {
    join(&[&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], &ethertype.to_be_bytes(), content])
}

fn sll2(ethertype: u16, content: &[u8]) -> Vec<u8> {
    let rest = [0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    join(&[&ethertype.to_be_bytes(), &rest, content])
}

fn pppoe(content: &[u8]) -> Vec<u8> {
    ethernet(0x8864, &join(&[&[0x11, 0, 0, 1], &u16be(content.len()), content]))
}

fn v4_frame(packet: &[u8]) -> Vec<u8> {
    ethernet(0x0800, packet)
}

/// One valid frame of every kind that is opened, each with TCP or UDP between the standard ends and
/// [`PAYLOAD`] behind it.
pub(super) fn zoo() -> Vec<(&'static str, LinkType, Vec<u8>)> {
    let tcp4 = &tcp4();
    let udp6 = &udp6();
    let frame = &v4_frame(tcp4);
    let snap = &join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], tcp4]);
    let destination_options = join(&[&[17, 0, 1, 4, 0, 0, 0, 0], &udp(PAYLOAD)]);
    let hop_by_hop =
        join(&[&[60, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &destination_options]);
    let ah = |next| join(&[&[next, 4], &[0; 22]]);
    let mut jumbo = ipv6(0, &join(&[&[17, 0, 0xc2, 4, 0, 0, 0, 35], &udp(PAYLOAD)]));
    jumbo[4..6].fill(0);
    let mut offloaded = tcp4.clone();
    offloaded[2..4].fill(0);
    let gtp_extended = [0x34, 255, 0, 90, 0, 0, 0, 9, 0, 1, 0, 0x85, 1, 0x10, 0, 0];
    let nflog = join(&[
        &[2, 0, 0, 0, 8, 0, 1, 0, 8, 0, 3, 0, 5, 0, 10, 0, b'x', 0, 0, 0],
        &u16::try_from(4 + tcp4.len()).unwrap().to_le_bytes(),
        &[9, 0],
        tcp4,
    ]);
    let ethernet_frames = [
        ("ipv4 tcp", v4_frame(tcp4)),
        ("ipv4 options", v4_frame(&ipv4_options(&tcp(PAYLOAD)))),
        ("ipv4 udp", v4_frame(&ipv4(17, &udp(PAYLOAD)))),
        ("ipv4 offloaded", v4_frame(&offloaded)),
        ("ipv4 authenticated", v4_frame(&ipv4(51, &join(&[&ah(6), &tcp(PAYLOAD)])))),
        ("ipv4 first fragment", v4_frame(&ipv4_fragment(0x2000, 17, &udp(PAYLOAD)))),
        ("ipv6 udp", ethernet(0x86dd, udp6)),
        ("ipv6 extensions", ethernet(0x86dd, &ipv6(0, &hop_by_hop))),
        ("ipv6 jumbogram", ethernet(0x86dd, &jumbo)),
        ("ipv6 authenticated", ethernet(0x86dd, &ipv6(51, &join(&[&ah(17), &udp(PAYLOAD)])))),
        (
            "ipv6 atomic fragment",
            ethernet(0x86dd, &ipv6(44, &join(&[&[17, 0, 0, 0, 0, 0, 0, 5], &udp(PAYLOAD)]))),
        ),
        ("802.1q", ethernet(0x8100, &tag(7, 0x0800, tcp4))),
        ("802.1ad", ethernet(0x88a8, &tag(9, 0x8100, &tag(7, 0x86dd, udp6)))),
        ("three tags", ethernet(0x9100, &tag(5, 0x9200, &tag(9, 0x8100, &tag(7, 0x0800, tcp4))))),
        ("802.1ah", ethernet(0x88e7, &join(&[&[0, 0, 0, 1], frame]))),
        ("vn-tag", ethernet(0x8926, &join(&[&[0, 0, 0, 1, 8, 0], tcp4]))),
        ("fabric path", ethernet(0x8903, &join(&[&[0, 1], frame]))),
        ("snap", ethernet(u16::try_from(snap.len()).unwrap(), snap)),
        ("mpls", ethernet(0x8847, &join(&[&[0, 1, 0, 64, 0, 2, 1, 64], tcp4]))),
        ("mpls ipv6", ethernet(0x8847, &join(&[&[0, 2, 1, 64], udp6]))),
        ("pseudowire", ethernet(0x8847, &join(&[&[0, 2, 1, 64, 0, 0, 0, 0], frame]))),
        ("pseudowire, no control word", ethernet(0x8847, &join(&[&[0, 2, 1, 64], frame]))),
        ("pppoe", pppoe(&join(&[&[0, 0x21], tcp4]))),
        ("pppoe, compressed protocol", pppoe(&join(&[&[0x57], udp6]))),
        ("4in4", v4_frame(&outer(4, tcp4))),
        ("6in4", v4_frame(&outer(41, udp6))),
        ("4in6", ethernet(0x86dd, &ipv6(4, tcp4))),
        ("6in6", ethernet(0x86dd, &ipv6(41, udp6))),
        ("authenticated tunnel", v4_frame(&outer(51, &join(&[&ah(4), tcp4])))),
        ("gre", v4_frame(&gre(0, 0x0800, tcp4))),
        ("gre, all options", v4_frame(&gre(0xb000, 0x86dd, &join(&[&[0; 12], udp6])))),
        (
            "gre, routed",
            v4_frame(&gre(
                0x4000,
                0x0800,
                &join(&[&[0; 4], &[0, 2, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0], tcp4]),
            )),
        ),
        ("gre ethernet", v4_frame(&gre(0, 0x6558, frame))),
        ("gre wccp", v4_frame(&gre(0, 0x883e, &join(&[&[0, 1, 0, 1], tcp4])))),
        (
            "pptp",
            v4_frame(&gre(
                0x3081,
                0x880b,
                &join(&[&[0, 40, 0, 7], &[0; 8], &[0xff, 3, 0, 0x21], tcp4]),
            )),
        ),
        ("erspan i", v4_frame(&gre(0, 0x88be, frame))),
        (
            "erspan ii",
            v4_frame(&gre(
                0x1000,
                0x88be,
                &join(&[&[0, 0, 0, 1, 0x10, 0, 0, 5, 0, 0, 0, 0], frame]),
            )),
        ),
        (
            "erspan iii",
            v4_frame(&gre(
                0x1000,
                0x22eb,
                &join(&[&[0, 0, 0, 1, 0x20, 0, 0, 5], &[0; 7], &[1], &[0; 8], frame]),
            )),
        ),
        ("vxlan", v4_frame(&vxlan(frame))),
        ("vxlan-gpe", v4_frame(&over_udp(4790, &[0x0c, 0, 0, 1, 0, 0, 1, 0], tcp4))),
        (
            "geneve",
            v4_frame(&over_udp(
                6081,
                &[2, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                frame,
            )),
        ),
        ("geneve ipv6", v4_frame(&over_udp(6081, &[0, 0, 0x86, 0xdd, 0, 0, 1, 0], udp6))),
        ("gtp-u", v4_frame(&over_udp(2152, &[0x30, 255, 0, 60, 0, 0, 0, 9], tcp4))),
        ("gtp-u, extended", v4_frame(&over_udp(2152, &gtp_extended, udp6))),
        ("gre in udp", v4_frame(&over_udp(4754, &[0, 0, 8, 0], tcp4))),
        ("teredo", v4_frame(&over_udp(3544, &[], udp6))),
        (
            "teredo, authenticated",
            v4_frame(&over_udp(
                3544,
                &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6],
                udp6,
            )),
        ),
        ("vxlan in gre in 4in4", v4_frame(&outer(4, &gre(0, 0x0800, &vxlan(frame))))),
    ];
    let others = [
        ("sll", LinkType::LINUX_SLL, sll(0x0800, tcp4)),
        ("sll, tagged", LinkType::LINUX_SLL, sll(0x8100, &tag(7, 0x86dd, udp6))),
        ("sll2", LinkType::LINUX_SLL2, sll2(0x86dd, udp6)),
        ("null, little endian", LinkType::NULL, join(&[&[2, 0, 0, 0], tcp4])),
        ("null, big endian", LinkType::NULL, join(&[&[0, 0, 0, 30], udp6])),
        ("loop", LinkType::LOOP, join(&[&[0, 0, 0, 24], udp6])),
        ("raw", LinkType::RAW, tcp4.clone()),
        ("raw ipv6", LinkType::IPV6, udp6.clone()),
        ("ppp", LinkType::PPP, join(&[&[0, 0x21], tcp4])),
        ("ppp, framed", LinkType::PPP_HDLC, join(&[&[0xff, 3, 0, 0x57], udp6])),
        ("ppp, cisco", LinkType::PPP, join(&[&[0x0f, 0, 8, 0], tcp4])),
        ("ppp, labelled", LinkType::PPP, join(&[&[2, 0x81, 0, 1, 1, 64], tcp4])),
        (
            "ppp over ethernet",
            LinkType::PPP_ETHER,
            pppoe(&join(&[&[0, 0x21], tcp4]))[14..].to_vec(),
        ),
        ("cisco hdlc", LinkType(104), join(&[&[0x8f, 0, 0x86, 0xdd], udp6])),
        ("nflog", LinkType(239), nflog),
    ];
    let ethernet_frames = ethernet_frames.map(|(name, bytes)| (name, LinkType::ETHERNET, bytes));
    ethernet_frames.into_iter().chain(others).collect()
}
