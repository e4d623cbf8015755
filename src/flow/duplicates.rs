//! Frames that the mirror port delivered twice.
//!
//! A port that mirrors both sides of a switch or router, or both directions of two ports, shows the
//! same packet again within microseconds: exactly, or with another VLAN tag, MAC or TTL. Addresses,
//! IPv4 identification, IP length and the first transport bytes (with the checksum, which covers
//! the rest) stay the same; a retransmission gets a new identification.

use std::time::Duration;

use super::hash::{PacketHasher, fold};
use crate::arena::prefetch;
use crate::decode::Segment;
use crate::time::Timestamp;

/// Recognises packets seen before within [`Duplicates::WINDOW`].
///
/// A set-associative memory of fixed size; the oldest of a set makes room. Too many packets within
/// the window make it miss some duplicates, never invent one.
#[derive(Debug, Clone)]
pub struct Duplicates {
    sets: Vec<Set>,
    /// Packets that came once lately, and packets that came again as they were.
    single: u32,
    twice: u32,
    /// The mirror is taken to double what it shows until so many packets have come once, behind a
    /// router, or time and again.
    prior: u32,
}

/// What is alike in a packet and its copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

/// Packets seen, the oldest of which makes room: one cache line. Half their hashes stand side by side,
/// so that one look tells that a packet is new, as nearly all are.
#[derive(Debug, Default, Clone, Copy)]
#[repr(align(64))]
struct Set {
    fingerprints: [u32; WAYS],
    seen: [Seen; WAYS],
    next: u8,
}

/// When a packet was seen, in microseconds that wrap, and what came of it since.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    micros: u32,
    /// How often it came with the hop limit that it had first.
    copies: u8,
    hop_limit: u8,
    /// Is the latest one that counted still without its copy?
    is_odd: bool,
    was_routed: bool,
}

impl Duplicates {
    /// How long after the first a second copy may come.
    pub const WINDOW: Duration = Duration::from_millis(20);

    /// Nothing seen yet.
    pub fn new() -> Self {
        Self { sets: vec![Set::default(); SETS], single: 0, twice: 0, prior: PRIOR }
    }

    /// Asks for what [`Duplicates::is_copy`] looks at.
    pub fn prefetch(&self, fingerprint: Fingerprint) {
        prefetch(&self.sets[fingerprint.0 as usize % SETS]);
    }

    /// Is this packet, whose fingerprint this is, a copy of one just seen? Takes note of it either way.
    ///
    /// Packets without a number of their own may be alike and yet several. Behind a router these are
    /// told from their copies by the hop limit; else, while the mirror shows most packets twice, each
    /// second one is a copy; else none is.
    pub fn is_copy(
        &mut self,
        at: Timestamp,
        segment: &Segment<'_>,
        Fingerprint(hash): Fingerprint,
    ) -> bool {
        let micros = (at.as_nanos() / 1000) as u32;
        let fingerprint = ((hash >> 32) as u32).max(1);
        let set = &mut self.sets[hash as usize % SETS];
        let window = Self::WINDOW.as_micros() as u32;
        // Copies of two mirror ports may be a little out of order, too.
        let is_near = |seen: &Seen| {
            micros.wrapping_sub(seen.micros).min(seen.micros.wrapping_sub(micros)) <= window
        };
        let alike = set.alike(fingerprint);
        if alike != 0
            && let Some(known) =
                set.seen.iter_mut().enumerate().find_map(|(way, seen)| {
                    (alike >> way & 1 == 1 && is_near(seen)).then_some(seen)
                })
        {
            if known.hop_limit != segment.hop_limit {
                if !known.was_routed {
                    known.was_routed = true;
                    self.prior = self.prior.saturating_sub(1);
                    self.single = self.single.saturating_sub(u32::from(known.copies == 1));
                }
                return true;
            }
            let is_at_once = micros.wrapping_sub(known.micros) <= AT_ONCE;
            let is_doubled = !known.was_routed
                && (self.twice > self.single
                    || is_at_once && self.twice + self.prior >= self.single);
            known.copies = known.copies.saturating_add(1);
            match known.copies {
                // Late and without a number, it says nothing of a mirror.
                2 if !is_at_once && !is_unmistakable(segment) => {}
                2 => {
                    self.twice += 1;
                    self.single = self.single.saturating_sub(u32::from(!known.was_routed));
                }
                // It says nothing for a mirror, nor against one that other packets show.
                COPIES_MAX => self.twice = self.twice.saturating_sub(1),
                3..COPIES_MAX => {}
                _ => self.prior = self.prior.saturating_sub(1),
            }
            let is_copy = is_unmistakable(segment) || known.is_odd && is_doubled;
            known.is_odd = !is_copy;
            if !is_copy {
                // Its own copy may come as long after it.
                known.micros = micros;
            }
            return is_copy;
        }
        let hop_limit = segment.hop_limit;
        set.put(
            fingerprint,
            Seen { micros, copies: 1, hop_limit, is_odd: true, was_routed: false },
        );
        self.single += 1;
        if self.single + self.twice > MEMORY {
            self.single /= 2;
            self.twice /= 2;
        }
        false
    }
}

impl Fingerprint {
    /// That of no packet yet.
    pub const NONE: Self = Self(0);
}

/// Takes the fingerprints of one capture.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprints {
    hasher: PacketHasher,
}

impl Fingerprints {
    /// Those of the capture whose first frame came at `began_at`: the same whenever it is read.
    pub fn of_capture(began_at: Timestamp) -> Self {
        Self { hasher: PacketHasher::keyed(began_at.as_nanos()) }
    }

    /// That of a packet.
    pub fn of(&self, segment: &Segment<'_>) -> Fingerprint {
        let mut start = [0; TRANSPORT_HASHED];
        match segment.transport.first_chunk() {
            Some(whole) => start = *whole,
            None => start[..segment.transport.len()].copy_from_slice(segment.transport),
        }
        let (words, _) = start.as_chunks::<8>();
        let word = |at: usize| u64::from_ne_bytes(words[at]);
        let header = u64::from(segment.ip_len) << 32
            | u64::from(segment.identification) << 8
            | u64::from(segment.protocol.0);
        let words = [[header, word(0)], [word(1), word(2)]];
        let mut hash = self.hasher.of(segment.source.addr, segment.destination.addr, words);
        if let Some(fragment) = segment.fragment {
            hash = fold(hash, u64::from(fragment.id) << 16 | u64::from(fragment.offset) | 1 << 63);
        }
        Fingerprint(hash)
    }
}

impl Set {
    /// The ways that hold this fingerprint, as bits.
    fn alike(&self, fingerprint: u32) -> u32 {
        let bit = |(way, &other): (usize, &u32)| u32::from(other == fingerprint) << way;
        self.fingerprints.iter().enumerate().map(bit).sum()
    }

    /// The oldest makes room, unless its copy may yet come at once.
    fn put(&mut self, fingerprint: u32, seen: Seen) {
        let oldest = usize::from(self.next);
        let mut ways = (oldest..WAYS).chain(0..oldest);
        let way = ways.find(|&way| !self.seen[way].awaits_copy(seen.micros)).unwrap_or(oldest);
        (self.fingerprints[way], self.seen[way]) = (fingerprint, seen);
        self.next = ((way + 1) % WAYS) as u8;
    }
}

impl Seen {
    fn awaits_copy(&self, micros: u32) -> bool {
        self.copies == 1 && !self.was_routed && micros.wrapping_sub(self.micros) <= AT_ONCE
    }
}

impl Default for Duplicates {
    fn default() -> Self {
        Self::new()
    }
}

/// Does the packet bear a number that a second packet of its flow would have different? IPv6 has none:
/// there a retransmission looks like a copy, unless it bears a time stamp.
fn is_unmistakable(segment: &Segment<'_>) -> bool {
    segment.identification != 0 || segment.fragment.is_some()
}

/// A shard remembers 1,280 packets of 12 bytes; all of them 20 ms at 2 million packets a second.
const SETS: usize = 256;
const WAYS: usize = 5;

/// A TCP header without options; of UDP the header and 16 bytes more, for those without checksum.
const TRANSPORT_HASHED: usize = 24;

/// While little was seen, a copy comes within this many microseconds.
const AT_ONCE: u32 = 1000;

/// More than this many packets between one and its copy, in the first moments, and it is missed.
const PRIOR: u32 = 16;

/// A packet that comes this often is of a sender that repeats itself.
const COPIES_MAX: u8 = 5;

/// Packets after which the count of what came once and twice is halved.
const MEMORY: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Addr, Endpoint, Protocol};

    fn datagram(identification: u16, transport: &[u8]) -> Segment<'_> {
        let end = |last, port| Endpoint { addr: Addr::from_v4([10, 0, 0, last]), port };
        Segment {
            source: end(1, 5000),
            destination: end(2, 53),
            protocol: Protocol::UDP,
            vlan: None,
            tunnel: None,
            ip_len: 28,
            identification,
            hop_limit: 64,
            transport,
            payload_len: 0,
            header_len: 0,
            tcp: None,
            fragment: None,
        }
    }

    fn see(duplicates: &mut Duplicates, at: Timestamp, segment: &Segment<'_>) -> bool {
        duplicates.is_copy(at, segment, Fingerprints::of_capture(Timestamp::EPOCH).of(segment))
    }

    fn micros(micros: u64) -> Timestamp {
        Timestamp::from_nanos(micros * 1000)
    }

    #[test]
    fn a_copy_is_recognised_within_its_time() {
        let mut duplicates = Duplicates::new();
        assert!(!see(&mut duplicates, micros(0), &datagram(7, &[1])));
        assert!(see(&mut duplicates, micros(50), &datagram(7, &[1])));
        assert!(!see(&mut duplicates, micros(60), &datagram(8, &[1])));
        assert!(!see(&mut duplicates, micros(30_000), &datagram(7, &[1])));
    }

    /// Payload chosen to cancel a factor of a hash whose numbers everybody can read in its source: an upload
    /// in such datagrams must not pass for copies of the first.
    #[test]
    fn chosen_bytes_make_no_copies() {
        for chosen in super::super::hash::FIXED {
            let mut duplicates = Duplicates::new();
            let copies = (0..100u16)
                .filter(|&n| {
                    let mut body = [0; 24];
                    body[8..10].copy_from_slice(&n.to_be_bytes());
                    body[16..].copy_from_slice(&chosen.to_ne_bytes());
                    let at = micros(u64::from(n) * 10);
                    see(&mut duplicates, at, &datagram(n + 1, &body))
                })
                .count();
            assert_eq!(copies, 0);
        }
    }

    /// Datagrams that are alike and bear no number, as a file of zeros sent by an unconnected socket.
    #[test]
    fn repetition_is_no_mirror() {
        let mut duplicates = Duplicates::new();
        for n in 0..1000u16 {
            let other = n.to_be_bytes();
            see(&mut duplicates, micros(u64::from(n) * 10), &datagram(0, &other));
        }
        let copies = (0..1000)
            .filter(|n| see(&mut duplicates, micros(10_000 + n), &datagram(0, &[0])))
            .count();
        assert_eq!(copies, 0);
    }

    /// Two packets alike are all there is, and they are milliseconds apart.
    #[test]
    fn without_more_to_go_by_a_copy_comes_at_once() {
        for (late, is_copy) in [(3, true), (5000, false)] {
            let mut duplicates = Duplicates::new();
            assert!(!see(&mut duplicates, micros(0), &datagram(0, &[1])));
            assert_eq!(see(&mut duplicates, micros(late), &datagram(0, &[1])), is_copy);
        }
    }

    /// Empty datagrams every five milliseconds, and nothing else, are no mirror's work.
    #[test]
    fn a_slow_sender_that_repeats_itself_is_no_mirror() {
        let mut duplicates = Duplicates::new();
        assert!((0..50).all(|n| !see(&mut duplicates, micros(n * 5000), &datagram(0, &[1]))));
    }

    /// The same without numbers, but everything comes twice.
    #[test]
    fn a_mirror_that_doubles_everything_is_seen_through() {
        let mut duplicates = Duplicates::new();
        let copies = (0..1000u16)
            .filter(|n| {
                let body = n.to_be_bytes();
                let at = u64::from(*n) * 10;
                assert!(!see(&mut duplicates, micros(at), &datagram(0, &body)));
                see(&mut duplicates, micros(at + 3), &datagram(0, &body))
            })
            .count();
        assert_eq!(copies, 1000);
    }

    /// A receiver repeats an acknowledgement, and the mirror doubles it: one in two was sent.
    #[test]
    fn of_packets_alike_that_all_come_twice_half_are_copies() {
        for hops in [0, 1] {
            let mut duplicates = Duplicates::new();
            for n in 0..100u16 {
                let body = n.to_be_bytes();
                see(&mut duplicates, micros(u64::from(n)), &datagram(0, &body));
                let copy = Segment { hop_limit: 64 - hops, ..datagram(0, &body) };
                assert!(see(&mut duplicates, micros(u64::from(n) + 3), &copy));
            }
            let mut copies = 0;
            for n in 0..50 {
                // Two are sent before the first copy comes, and the run is longer than the window.
                for (late, hops) in [(0, 0), (5, 0), (9, hops), (12, hops)] {
                    let alike = Segment { hop_limit: 64 - hops, ..datagram(0, &[0]) };
                    copies += u32::from(see(&mut duplicates, micros(200 + n * 900 + late), &alike));
                }
            }
            assert_eq!(copies, 100, "{hops}");
        }
    }
}
