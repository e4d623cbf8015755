//! Datagrams both ways: UDP, echo and SCTP.

use std::net::SocketAddr;

use sekisho::flow::Counters;

use super::packet::{Content, Packet};
use super::{MILLISECOND, Play, Rng};

/// Datagrams from a client, each answered.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) kind: Kind,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    /// Nanoseconds of packet time.
    pub(crate) start: u64,
    pub(crate) datagrams: u16,
    /// Bytes in each datagram of the client; an answer has the same for echo, else a tenth.
    pub(crate) len: u32,
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Udp,
    /// Both ports are the identifier.
    Echo,
    /// Its chunks count as payload.
    Sctp,
}

impl Kind {
    pub(crate) fn header_len(self) -> u64 {
        match self {
            Self::Udp | Self::Echo => 8,
            Self::Sctp => 12,
        }
    }
}

impl Exchange {
    pub(crate) fn play(&self) -> Play {
        let mut rng = Rng(self.seed);
        let mut at = self.start;
        let mut packets = Vec::new();
        for number in 0..self.datagrams {
            for is_reply in [false, true] {
                at += rng.within(2 * MILLISECOND..5 * MILLISECOND);
                let (content, len) = match self.kind {
                    Kind::Echo => (Content::Echo { is_reply, seq: number }, self.len),
                    Kind::Udp => (Content::Udp, if is_reply { self.len / 10 } else { self.len }),
                    Kind::Sctp => (Content::Sctp, if is_reply { self.len / 10 } else { self.len }),
                };
                let (source, destination) = match is_reply {
                    false => (self.client, self.server),
                    true => (self.server, self.client),
                };
                packets.push(Packet {
                    at,
                    source,
                    destination,
                    content,
                    len,
                    stamp: rng.next(),
                    id: number,
                    vlan: None,
                    hops: 0,
                    is_offloaded: false,
                    piece: None,
                });
            }
        }
        let protocol = packets.first().map(Packet::protocol).unwrap();
        let mut play = Play::new([self.client, self.server], protocol, packets);
        for (side, truth) in play.truth.iter_mut().enumerate() {
            let ends = [self.client, self.server];
            let sent = play.packets.iter().filter(|packet| packet.source == ends[side]);
            let payload = sent.map(|packet| u64::from(packet.len)).sum();
            *truth = Counters { payload, sent: payload, ..*truth };
        }
        play
    }
}
