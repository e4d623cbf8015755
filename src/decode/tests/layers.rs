//! Layer by layer: what each header must and must not lead to.

use super::frames::*;
use super::*;

/// Every kind of frame leads to the same innermost flow.
#[test]
fn every_kind_reaches_the_flow() {
    for (name, link, bytes) in zoo() {
        let segment = whole(link, &bytes).unwrap_or_else(|reject| panic!("{name}: {reject:?}"));
        let ports = (segment.source.port, segment.destination.port);
        let ends = (segment.source.addr, segment.destination.addr);
        assert_eq!(ports, (0x1234, 443), "{name}");
        if segment.source.addr == addr(SOURCE) {
            assert_eq!(ends, (addr(SOURCE), addr(DESTINATION)), "{name}");
        } else {
            assert_eq!(ends, (addr(SOURCE6), addr(DESTINATION6)), "{name}");
        }
        assert_eq!(segment.payload(), PAYLOAD, "{name}");
        assert_eq!(segment.payload_len as usize, PAYLOAD.len(), "{name}");
        assert_eq!(segment.tcp.is_some(), segment.protocol == Protocol::TCP, "{name}");
    }
}

/// What the outermost tunnel was, and its number.
#[test]
fn tunnels_are_remembered() {
    let zoo = zoo();
    let tunnel = |name: &str| {
        let (_, link, bytes) = zoo.iter().find(|(kind, ..)| *kind == name).unwrap();
        whole(*link, bytes).unwrap().tunnel.map(|tunnel| (tunnel.kind, tunnel.id))
    };
    for (name, kind, id) in [
        ("6in4", TunnelKind::IpInIp, 0),
        ("authenticated tunnel", TunnelKind::IpInIp, 0),
        ("gre, all options", TunnelKind::Gre, 0),
        ("pptp", TunnelKind::Gre, 7),
        ("erspan i", TunnelKind::Erspan, 0),
        ("erspan ii", TunnelKind::Erspan, 5),
        ("erspan iii", TunnelKind::Erspan, 5),
        ("vxlan", TunnelKind::Vxlan, 0x1234),
        ("vxlan-gpe", TunnelKind::Vxlan, 1),
        ("geneve", TunnelKind::Geneve, 1),
        ("gtp-u, extended", TunnelKind::GtpU, 9),
        ("teredo, authenticated", TunnelKind::Teredo, 0),
        ("vxlan in gre in 4in4", TunnelKind::IpInIp, 0),
    ] {
        assert_eq!(tunnel(name), Some((kind, id)), "{name}");
    }
    assert_eq!(tunnel("pseudowire"), None);
}

/// Tags inside a tunnel belong to somebody else's network; a priority tag to none.
#[test]
fn the_innermost_vlan_outside_tunnels_counts() {
    let tagged = ethernet(0x8100, &tag(7, 0x0800, &tcp4()));
    assert_eq!(eth(&tagged).vlan, Some(7));
    assert_eq!(eth(&ethernet(0x88a8, &tag(9, 0x8100, &tag(7, 0x0800, &tcp4())))).vlan, Some(7));
    assert_eq!(eth(&ethernet(0x8100, &tag(0, 0x0800, &tcp4()))).vlan, None);
    assert_eq!(eth(&ethernet(0x0800, &vxlan(&tagged))).vlan, None);
    assert_eq!(eth(&ethernet(0x8100, &tag(3, 0x0800, &vxlan(&tagged)))).vlan, Some(3));
}

#[test]
fn tcp_facts() {
    let bytes = ethernet(0x0800, &ipv4(6, &tcp_options(PAYLOAD)));
    let segment = eth(&bytes);
    let tcp = segment.tcp.unwrap();
    assert_eq!((tcp.seq, tcp.ack, tcp.flags, tcp.window), (9, 8, 0x18, 0x2000));
    assert_eq!(segment.tcp_options(), [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert!(tcp.has(Tcp::ACK) && !tcp.has(Tcp::ACK | Tcp::SYN));
    assert_eq!((segment.ip_len, segment.payload()), (20 + 32 + 19, PAYLOAD));
}

/// 65,535 in a frame of 60 bytes must not count 64 KiB.
#[test]
fn a_forged_length_counts_what_came() {
    let mut packet = tcp4();
    packet[2..4].copy_from_slice(&[0xff, 0xff]);
    let bytes = ethernet(0x0800, &packet);
    let segment = eth(&bytes);
    assert_eq!((segment.ip_len, segment.payload_len), (59, 19));

    let mut packet = udp6();
    packet[4..6].copy_from_slice(&[0xff, 0xff]);
    let bytes = ethernet(0x86dd, &packet);
    assert_eq!(eth(&bytes).payload_len, 19);
}

/// Segmentation offload leaves the length 0: the wire length stands in, snapped or not.
#[test]
fn offloaded_packets_end_with_the_frame() {
    let mut packet = ipv4(6, &tcp(&[0; 9000]));
    packet[2..4].fill(0);
    let bytes = ethernet(0x0800, &packet);
    assert_eq!(cut(LinkType::ETHERNET, &bytes, 96).unwrap().payload_len, 9000);
    let mut packet = ipv6(6, &tcp(&[0; 9000]));
    packet[4..6].fill(0);
    let bytes = ethernet(0x86dd, &packet);
    assert_eq!(cut(LinkType::ETHERNET, &bytes, 96).unwrap().payload_len, 9000);
    let nothing = ethernet(0x86dd, &[&ipv6(59, &[])[..], &[0; 6]].concat());
    assert_eq!(eth(&nothing).payload_len, 0);
    let empty = ethernet(0x86dd, &[&ipv6(6, &[])[..], &[0; 6]].concat());
    assert_eq!(eth(&empty).payload_len, 0);
}

/// The fragments of a datagram add up to its payload, and only the first has its ports.
#[test]
fn fragments_add_up() {
    let datagram = udp(&[7; 100]);
    let first = ethernet(0x0800, &ipv4_fragment(0x2000, 17, &datagram[..64]));
    let last = ethernet(0x0800, &ipv4_fragment(8, 17, &datagram[64..]));
    let (first, last) = (eth(&first), eth(&last));
    assert_eq!(first.fragment, Some(Fragment { id: 7, offset: 0, more: true }));
    assert_eq!(last.fragment, Some(Fragment { id: 7, offset: 64, more: false }));
    assert_eq!((first.destination.port, last.destination.port), (443, 0));
    assert_eq!(first.payload_len + last.payload_len, 100);

    let header = |place: u8, more: u8| [17, 0, 0, place | more, 0, 0, 0, 5];
    let first = ethernet(0x86dd, &ipv6(44, &[&header(0, 1)[..], &datagram[..64]].concat()));
    let last = ethernet(0x86dd, &ipv6(44, &[&header(64, 0)[..], &datagram[64..]].concat()));
    let (first, last) = (eth(&first), eth(&last));
    assert_eq!(first.fragment, Some(Fragment { id: 5, offset: 0, more: true }));
    assert_eq!(last.fragment, Some(Fragment { id: 5, offset: 64, more: false }));
    assert_eq!((last.protocol, last.source.port), (Protocol::UDP, 0));
    assert_eq!(first.payload_len + last.payload_len, 100);
}

/// A later fragment's bytes are no header, whatever the protocol: here they pose as one that
/// authenticates TCP.
#[test]
fn later_fragments_are_not_walked() {
    let content = [&[6, 4][..], &[0; 22], &tcp(PAYLOAD)].concat();
    let bytes = ethernet(0x0800, &ipv4_fragment(8, 51, &content));
    let segment = eth(&bytes);
    assert_eq!((segment.protocol, segment.source.port), (Protocol::AH, 0));
    assert_eq!(segment.payload_len as usize, content.len());
}

/// A first fragment may end inside the TCP header: its ports are there, its payload is not.
#[test]
fn a_tiny_first_fragment_has_its_ports() {
    for len in [8, 16] {
        let bytes = ethernet(0x0800, &ipv4_fragment(0x2000, 6, &tcp_options(PAYLOAD)[..len]));
        let segment = eth(&bytes);
        assert_eq!((segment.destination.port, segment.payload_len), (443, 0));
    }
}

/// Two ends that agree on a broken header can still carry bytes with it: they count, without ports.
#[test]
fn broken_transports_count_without_ports() {
    let mut short_offset = tcp(PAYLOAD);
    short_offset[12] = 0x40;
    let mut long_offset = tcp(PAYLOAD);
    long_offset[12] = 0xf0;
    for (protocol, content) in [
        (6, short_offset),
        (6, long_offset),
        (6, tcp(&[])[..19].to_vec()),
        (17, udp(&[])[..7].to_vec()),
        (132, vec![0; 11]),
        (51, vec![6, 200, 0, 0, 0, 0, 0, 0]),
        (51, vec![6; 3]),
    ] {
        let bytes = ethernet(0x0800, &ipv4(protocol, &content));
        let segment = eth(&bytes);
        assert_eq!((segment.source.port, segment.destination.port), (0, 0), "{content:?}");
        assert_eq!(segment.payload_len as usize, content.len(), "{content:?}");
        assert_eq!(segment.tcp, None);

        let bytes = ethernet(0x0800, &outer(4, &ipv4(protocol, &content)));
        let segment = eth(&bytes);
        assert_eq!((segment.source.addr, segment.protocol), (addr(TUNNEL_SOURCE), Protocol(4)));
    }
}

/// An IPv6 header chain without end is bounded, and still counts.
#[test]
fn endless_extensions_are_bounded() {
    let chain = [60, 0, 1, 4, 0, 0, 0, 0].repeat(100);
    let bytes = ethernet(0x86dd, &ipv6(60, &chain));
    assert_eq!(eth(&bytes).ip_len, 840);
}

#[test]
fn other_transports() {
    let echo = |kind: u8, protocol: u8| {
        ipv4(protocol, &[&[kind, 0, 0, 0, 0xab, 0xcd, 0, 1], PAYLOAD].concat())
    };
    let parse = |packet: Vec<u8>| {
        let bytes = ethernet(0x0800, &packet);
        let segment = eth(&bytes);
        (segment.source.port, segment.destination.port, segment.payload_len)
    };
    assert_eq!(parse(echo(8, 1)), (0xabcd, 0xabcd, 19));
    assert_eq!(parse(echo(0, 1)), (0xabcd, 0xabcd, 19));
    assert_eq!(parse(echo(129, 58)), (0xabcd, 0xabcd, 19));
    assert_eq!(parse(echo(3, 1)), (0, 0, 19));
    let ported = |header_len: usize| [&PORTS[..], &vec![4; header_len - 4], PAYLOAD].concat();
    assert_eq!(parse(ipv4(132, &ported(12))), (0x1234, 443, 19));
    assert_eq!(parse(ipv4(136, &ported(8))), (0x1234, 443, 19));
    assert_eq!(parse(ipv4(33, &ported(16))), (0x1234, 443, 19));
    assert_eq!(parse(ipv4(50, &ported(8))), (0, 0, 27));
    assert_eq!(parse(ipv4(89, &ported(8))), (0, 0, 27));
}

/// A short UDP length hides nothing: routers carry the rest of the IP packet all the same.
#[test]
fn udp_counts_by_the_ip_length() {
    for (stated, shown) in [(8, 0), (12, 4), (0, 19), (3, 19), (27, 19), (60_000, 19)] {
        let mut datagram = udp(PAYLOAD);
        datagram[4..6].copy_from_slice(&u16be(stated));
        let bytes = ethernet(0x0800, &ipv4(17, &datagram));
        let segment = eth(&bytes);
        assert_eq!((segment.payload_len, segment.payload().len()), (19, shown), "{stated}");
    }
}

/// Whatever a tunnel claims to hold, its own bytes do not vanish.
#[test]
fn lying_tunnels_count_as_their_outer_flow() {
    let arp = ethernet(0x0806, &[0; 46]);
    let mut bad_inner = ethernet(0x0800, &tcp4());
    bad_inner[14] = 0x41;
    // A short packet in front of a long secret.
    let fig_leaf = [&ethernet(0x0800, &tcp4())[..], &[0x55; 500]].concat();
    for inner in [arp, bad_inner, fig_leaf, vec![], vec![0xff; 40]] {
        let bytes = ethernet(0x0800, &vxlan(&inner));
        let segment = eth(&bytes);
        assert_eq!(segment.tunnel, None);
        assert_eq!(segment.source.addr, addr(TUNNEL_SOURCE));
        assert_eq!(segment.destination, Endpoint { addr: addr(TUNNEL_DESTINATION), port: 4789 });
        assert_eq!(segment.payload_len as usize, inner.len() + 8);
    }
    let forged = ethernet(
        0x0800,
        &outer(4, &{
            let mut packet = tcp4();
            packet[2..4].copy_from_slice(&[0xff, 0xff]);
            packet
        }),
    );
    assert_eq!(eth(&forged).payload_len, 19);
}

/// The fifth tunnel stays closed: its ends are the flow.
#[test]
fn tunnels_are_opened_to_a_bound() {
    let mut packet = tcp4();
    for _ in 0..4 {
        packet = outer(4, &packet);
    }
    let four = ethernet(0x0800, &packet);
    assert_eq!(eth(&four).source.addr, addr(SOURCE));
    let five = ethernet(0x0800, &outer(4, &packet));
    let segment = eth(&five);
    assert_eq!((segment.source.addr, segment.protocol), (addr(TUNNEL_SOURCE), Protocol(4)));
    assert_eq!(segment.payload_len, 59);
    assert!(segment.tunnel.is_some());
}

#[test]
fn tunnels_can_be_left_closed() {
    let bytes = ethernet(0x8100, &tag(3, 0x0800, &vxlan(&ethernet(0x0800, &tcp4()))));
    let frame = Frame {
        at: Timestamp::EPOCH,
        link: LinkType::ETHERNET,
        wire_len: bytes.len() as u32,
        bytes: &bytes,
    };
    let segment = outermost(&frame).unwrap();
    assert_eq!((segment.destination.port, segment.vlan), (4789, Some(3)));
    assert_eq!(segment.payload_len as usize, 8 + 14 + 59);
}

/// A broken record says that the wire had fewer bytes than were captured: they were there.
#[test]
fn a_wire_length_below_the_captured_one_is_raised() {
    let bytes = ethernet(0x0800, &tcp4());
    let frame =
        Frame { at: Timestamp::EPOCH, link: LinkType::ETHERNET, wire_len: 0, bytes: &bytes };
    assert_eq!(decode(&frame).unwrap().payload_len, 19);
}

#[test]
fn rejects_say_why() {
    let of = |link, bytes: &[u8]| whole(link, bytes).unwrap_err();
    let eth = |ethertype, content: &[u8]| of(LinkType::ETHERNET, &ethernet(ethertype, content));
    for (ethertype, kind) in [
        (0x0806, NotIp::Arp),
        (0x88cc, NotIp::Lldp),
        (0x888e, NotIp::Eapol),
        (0x8137, NotIp::Ipx),
        (0x8809, NotIp::Slow),
        (0x88f7, NotIp::Ptp),
        (0x8863, NotIp::PppoeDiscovery),
        (0x1234, NotIp::Other),
    ] {
        assert_eq!(eth(ethertype, &[0; 46]), Reject::NotIp(kind));
        assert!(eth(ethertype, &[]).is_not_ip());
    }
    assert_eq!(eth(38, &[0x42; 46]), Reject::NotIp(NotIp::Llc));
    assert_eq!(eth(46, &[0xff; 46]), Reject::NotIp(NotIp::Ipx));
    assert_eq!(eth(0x88e5, &[0; 46]), Reject::Encrypted);
    assert_eq!(eth(0x8100, &[0x81, 0].repeat(40)), Reject::TooDeep);
    assert_eq!(eth(0x8847, &[0; 80]), Reject::TooDeep);
    assert_eq!(eth(0x0800, &[0x65; 46]), Reject::BadHeader(Layer::Ipv4));
    assert_eq!(eth(0x0800, &[0x44; 46]), Reject::BadHeader(Layer::Ipv4));
    assert_eq!(eth(0x0800, &[0x45; 19]), Reject::BadHeader(Layer::Ipv4));
    assert_eq!(eth(0x86dd, &[0x45; 46]), Reject::BadHeader(Layer::Ipv6));
    assert_eq!(of(LinkType(127), &[0; 46]), Reject::LinkType(LinkType(127)));
    assert_eq!(of(LinkType::NULL, &[7, 0, 0, 0, 0]), Reject::NotIp(NotIp::Other));
    assert_eq!(of(LinkType::PPP, &[0xc0, 0x21, 1, 1]), Reject::NotIp(NotIp::PppControl));
    assert_eq!(of(LinkType::PPP, &[0xfd, 1, 1]), Reject::Encrypted);
    let bytes = ethernet(0x0800, &tcp4());
    assert_eq!(cut(LinkType::ETHERNET, &bytes, 33), Err(Reject::Truncated(Layer::Ipv4)));
}

/// Frames in frames cost a bounded number of guesses.
#[test]
fn nested_pseudowires_are_bounded() {
    let mut level = [&[0, 2, 1, 64][..], &ethernet(0x8847, &[])].concat();
    level[4] = 0x12;
    let bytes = level.repeat(500);
    assert_eq!(whole(LinkType::ETHERNET, &ethernet(0x8847, &bytes)), Err(Reject::TooDeep));
}

/// ARP stands behind tags too, and in cooked captures; cut anywhere, it is no more than it is.
#[test]
fn arp_is_found_behind_tags() {
    let macs = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1]].concat();
    let tags: [&[u8]; 3] = [&[], &[0x81, 0, 0, 7], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9]];
    for tags in tags {
        let bytes = [&macs, tags, &[8, 6, 1, 2, 3]].concat();
        let frame = |len| Frame {
            at: Timestamp::EPOCH,
            link: LinkType::ETHERNET,
            wire_len: bytes.len() as u32,
            bytes: &bytes[..len],
        };
        let found = resolution(&frame(bytes.len())).unwrap();
        assert_eq!((found.source, found.bytes), (Some([2, 0, 0, 0, 0, 1]), &[1, 2, 3][..]));
        assert_eq!(decode(&frame(bytes.len())), Err(Reject::NotIp(NotIp::Arp)));
        for len in 0..bytes.len() - 3 {
            assert_eq!(resolution(&frame(len)), None, "{len}");
        }
    }
    let mut cooked = [0; 17];
    cooked[14..16].copy_from_slice(&[8, 6]);
    let frame =
        Frame { at: Timestamp::EPOCH, link: LinkType::LINUX_SLL, wire_len: 17, bytes: &cooked };
    assert_eq!(resolution(&frame), Some(Resolution { source: None, bytes: &[0] }));
}
