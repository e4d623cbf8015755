//! Against other people's parsers, on frames that other people's builders made.

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use pnet::packet::Packet as _;
use pnet::packet::ethernet::EthernetPacket;
use pnet::packet::ipv4::Ipv4Packet;
use pnet::packet::tcp::TcpPacket;
use pnet::packet::udp::UdpPacket;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
struct Made {
    vlans: u8,
    source: [u8; 16],
    destination: [u8; 16],
    ports: (u16, u16),
    v6: bool,
    tcp: bool,
    options: bool,
    payload: Vec<u8>,
}

fn made() -> impl Strategy<Value = Made> {
    let ends = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<(u16, u16)>());
    let shape = (0u8..3, any::<(bool, bool, bool)>());
    (ends, shape, proptest::collection::vec(any::<u8>(), 0..300)).prop_map(
        |((source, destination, ports), (vlans, (v6, tcp, options)), payload)| Made {
            vlans,
            source,
            destination,
            ports,
            v6,
            tcp,
            options,
            payload,
        },
    )
}

fn build(made: &Made) -> Vec<u8> {
    use etherparse::{TcpOptionElement, VlanId};
    let link = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let v4 = |bytes: [u8; 16]| *bytes.first_chunk::<4>().unwrap();
    let vlan = |id: u16| VlanId::try_new(id).unwrap();
    let ip = match (made.vlans, made.v6) {
        (0, false) => link.ipv4(v4(made.source), v4(made.destination), 64),
        (0, true) => link.ipv6(made.source, made.destination, 64),
        (1, false) => link.single_vlan(vlan(7)).ipv4(v4(made.source), v4(made.destination), 64),
        (1, true) => link.single_vlan(vlan(7)).ipv6(made.source, made.destination, 64),
        (_, false) => {
            link.double_vlan(vlan(9), vlan(7)).ipv4(v4(made.source), v4(made.destination), 64)
        }
        (_, true) => link.double_vlan(vlan(9), vlan(7)).ipv6(made.source, made.destination, 64),
    };
    let mut bytes = Vec::new();
    if made.tcp {
        let mut tcp = ip.tcp(made.ports.0, made.ports.1, 77, 1024).ack(99);
        if made.options {
            tcp = tcp.options(&[TcpOptionElement::Timestamp(1, 2)]).unwrap();
        }
        tcp.write(&mut bytes, &made.payload).unwrap();
    } else {
        ip.udp(made.ports.0, made.ports.1).write(&mut bytes, &made.payload).unwrap();
    }
    bytes
}

/// Ports of tunnels would open what is no tunnel.
fn is_plain(made: &Made) -> bool {
    let tunnels = [2152, 3544, 4754, 4789, 4790, 6081, 8472];
    made.tcp || !tunnels.contains(&made.ports.1) && made.ports.0 != 3544
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn etherparse_agrees(made in made().prop_filter("a tunnel's port", is_plain)) {
        let bytes = build(&made);
        let segment = eth(&bytes);
        let theirs = SlicedPacket::from_ethernet(&bytes).unwrap();
        let (source, destination) = match theirs.net.as_ref().unwrap() {
            NetSlice::Ipv4(v4) => {
                prop_assert_eq!(segment.ip_len, u32::from(v4.header().total_len()));
                (v4.header().source_addr().into(), v4.header().destination_addr().into())
            }
            NetSlice::Ipv6(v6) => {
                prop_assert_eq!(segment.ip_len, 40 + u32::from(v6.header().payload_length()));
                (v6.header().source_addr().into(), v6.header().destination_addr().into())
            }
            NetSlice::Arp(_) => unreachable!("none is built"),
        };
        prop_assert_eq!((segment.source.addr, segment.destination.addr), (source, destination));
        let (ports, payload) = match theirs.transport.as_ref().unwrap() {
            TransportSlice::Tcp(tcp) => {
                let ours = segment.tcp.unwrap();
                prop_assert_eq!(ours.seq, tcp.sequence_number());
                prop_assert_eq!(ours.ack, tcp.acknowledgment_number());
                prop_assert_eq!(ours.window, tcp.window_size());
                prop_assert_eq!(segment.tcp_options(), tcp.options());
                ((tcp.source_port(), tcp.destination_port()), tcp.payload())
            }
            TransportSlice::Udp(udp) => {
                ((udp.source_port(), udp.destination_port()), udp.payload())
            }
            other => panic!("none is built: {other:?}"),
        };
        prop_assert_eq!((segment.source.port, segment.destination.port), ports);
        prop_assert_eq!(segment.payload(), payload);
        prop_assert_eq!(segment.payload_len as usize, made.payload.len());
        prop_assert_eq!(segment.vlan, (made.vlans > 0).then_some(7));
    }

    #[test]
    fn pnet_agrees(
        made in made()
            .prop_map(|made| Made { vlans: 0, v6: false, ..made })
            .prop_filter("a tunnel's port", is_plain)
    ) {
        let bytes = build(&made);
        let segment = eth(&bytes);
        let ethernet = EthernetPacket::new(&bytes).unwrap();
        let ip = Ipv4Packet::new(ethernet.payload()).unwrap();
        prop_assert_eq!(segment.source.addr, ip.get_source().into());
        prop_assert_eq!(segment.destination.addr, ip.get_destination().into());
        prop_assert_eq!(segment.ip_len, u32::from(ip.get_total_length()));
        if made.tcp {
            let tcp = TcpPacket::new(ip.payload()).unwrap();
            let ours = segment.tcp.unwrap();
            prop_assert_eq!(segment.source.port, tcp.get_source());
            prop_assert_eq!(segment.destination.port, tcp.get_destination());
            prop_assert_eq!((ours.seq, ours.ack), (tcp.get_sequence(), tcp.get_acknowledgement()));
            prop_assert_eq!(segment.payload(), tcp.payload());
        } else {
            let udp = UdpPacket::new(ip.payload()).unwrap();
            prop_assert_eq!(segment.source.port, udp.get_source());
            prop_assert_eq!(segment.destination.port, udp.get_destination());
            prop_assert_eq!(segment.payload(), udp.payload());
        }
    }
}
