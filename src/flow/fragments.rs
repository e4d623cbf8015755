//! The ports of fragments that have none.

use crate::decode::{Fragment, Segment};
use crate::net::{Endpoint, Protocol};
use crate::time::Timestamp;
use std::hash::BuildHasher;
use std::time::Duration;

/// What a packet's first fragment said, for the fragments that follow it.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstFragment {
    packet: Packet,
    seen_at: Timestamp,
    /// Ports of source and destination.
    ports: (u16, u16),
    /// TCP sequence number that byte 0 of the IP payload would have.
    tcp_origin: Option<u32>,
}

/// A fragmented packet's identity (RFC 791, RFC 8200).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Packet {
    source: u128,
    destination: u128,
    id: u32,
    protocol: Protocol,
}

/// Remembers first fragments: a fixed number of places, the newest wins.
///
/// An attacker who floods it with first fragments makes others lose their ports, not their bytes:
/// what follows is then counted between the same two hosts, without ports.
#[derive(Debug, Clone)]
pub(super) struct Fragments {
    places: Vec<Option<FirstFragment>>,
    hasher: foldhash::fast::FixedState,
}

impl Fragments {
    pub(super) fn new() -> Self {
        Self { places: vec![None; PLACES], hasher: foldhash::fast::FixedState::with_seed(1) }
    }

    /// Learns from a first fragment, finds the ports of a later one.
    ///
    /// Answers both ends and, for TCP, the sequence number of the fragment's first byte.
    pub(super) fn place(
        &mut self,
        at: Timestamp,
        segment: &Segment<'_>,
        fragment: Fragment,
    ) -> (Endpoint, Endpoint, Option<u32>) {
        let packet = Packet {
            source: segment.source.addr.to_bits(),
            destination: segment.destination.addr.to_bits(),
            id: fragment.id,
            protocol: segment.protocol,
        };
        let place = &mut self.places[self.hasher.hash_one(packet) as usize % PLACES];
        if fragment.offset == 0 {
            *place = Some(FirstFragment {
                packet,
                seen_at: at,
                ports: (segment.source.port, segment.destination.port),
                tcp_origin: segment.tcp.map(|tcp| tcp.seq.wrapping_sub(u32::from(tcp.header_len))),
            });
            return (segment.source, segment.destination, segment.tcp.map(|tcp| tcp.seq));
        }
        let (mut source, mut destination, mut tcp_seq) =
            (segment.source, segment.destination, None);
        if let Some(first) = place
            && first.packet == packet
            && at.since(first.seen_at) <= LIFETIME
        {
            (source.port, destination.port) = first.ports;
            tcp_seq =
                first.tcp_origin.map(|origin| origin.wrapping_add(u32::from(fragment.offset)));
        }
        (source, destination, tcp_seq)
    }
}

const PLACES: usize = 256;

/// Reassembly lifetime, as Linux has it (`ipfrag_time`); RFC 8200 says 60 s at most.
const LIFETIME: Duration = Duration::from_secs(30);
