//! Machines with two addresses: what they tell their neighbours of them, each day anew.

use std::net::{IpAddr, Ipv6Addr};

use crate::frame::Batch;
use crate::machines::{Claim, ClaimSource, Mac, Says};
use crate::net::Addr;
use crate::synth::packet::{Node, Packet, Transport, write_arp};
use crate::synth::talk::Press;
use crate::time::Timestamp;

/// A machine tells its neighbours which addresses it has today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: Timestamp,
    /// Its IPv4 address, which it keeps.
    pub(super) machine: Addr,
    /// Its temporary address (RFC 8981), of this day.
    pub(super) temporary: Addr,
}

impl Arrival {
    /// What a sensor hears of it.
    pub(super) fn claims(&self) -> impl Iterator<Item = Claim> + use<> {
        let Self { at, machine, temporary } = *self;
        let both = [(ClaimSource::Arp, machine), (ClaimSource::Ndp, temporary)];
        Mac::of(mac(machine)).into_iter().flat_map(move |mac| {
            both.map(|(source, addr)| Claim {
                at,
                source,
                says: Says::Bears { mac, addr, lease: None },
            })
        })
    }

    /// The frames: a question for its own address (RFC 5227, section 2.3), and an advertisement that nobody asked for
    /// (RFC 4861, section 7.2.6).
    pub(super) fn send(&self, press: &mut Press, out: &mut Batch) {
        let mac = mac(self.machine);
        let node = |addr: Addr| Node { mac, ip: addr.to_ip() };
        if let IpAddr::V4(own) = self.machine.to_ip() {
            press.put(self.at, out, |frame, _| write_arp(node(self.machine), own.octets(), frame));
        }
        let advertisement = Packet {
            from: node(self.temporary),
            to: ALL_NODES,
            vlan: None,
            hop_limit: 255,
            transport: Transport::Advertisement,
            head: &[&node_octets(self.temporary)[..], &[2, 1], &mac].concat(),
            filler: &[],
        };
        press.put(self.at, out, |frame, _| advertisement.write(frame));
    }
}

/// The interface of the machine that has this IPv4 address.
pub(super) fn mac(machine: Addr) -> [u8; 6] {
    let [a, b, c, d] = (machine.to_bits() as u32).to_be_bytes();
    [2, 0x0a, a, b, c, d]
}

fn node_octets(addr: Addr) -> [u8; 16] {
    addr.to_bits().to_be_bytes()
}

const ALL_NODES: Node = Node {
    mac: [0x33, 0x33, 0, 0, 0, 1],
    ip: IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)),
};
