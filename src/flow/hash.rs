//! Hashes of what makes a flow: a few multiplications each, and the same for both directions.

use std::hash::BuildHasher;

use crate::net::{Addr, Endpoint, Protocol};

/// The two halves of a product, folded: every bit of the result depends on every bit of both factors
/// (Wang Yi, wyhash; foldhash does the same).
#[inline(always)]
pub(super) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn fold_addr(addr: Addr, seeds: [u64; 2]) -> u64 {
    let [high, low] = addr.halves();
    fold(high ^ seeds[0], low ^ seeds[1])
}

/// A hash of two addresses, the same whichever comes first, and in every run.
#[inline(always)]
pub(super) fn of_pair(a: Addr, b: Addr) -> u64 {
    let (a, b) = (fold_addr(a, [FIXED[0], FIXED[1]]), fold_addr(b, [FIXED[0], FIXED[1]]));
    fold(a.wrapping_add(b) ^ FIXED[2], a ^ b ^ FIXED[3])
}

/// Hashes of packets that nobody can foresee who does not know when the capture began, and yet the same
/// whenever it is read. With numbers that everybody knows, whoever sends could choose bytes that cancel a
/// factor, and all his packets would pass for copies of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct PacketHasher {
    seeds: [u64; 6],
}

impl PacketHasher {
    pub(super) fn keyed(key: u64) -> Self {
        Self { seeds: std::array::from_fn(|at| fold(key ^ FIXED[at], FIXED[(at + 1) % 6])) }
    }

    /// A hash of two addresses, in this order, and of words.
    #[inline(always)]
    pub(super) fn of(&self, from: Addr, to: Addr, words: [[u64; 2]; 2]) -> u64 {
        let [a, b, c, d, e, f] = self.seeds;
        let ends = fold(fold_addr(from, [a, b]) ^ e, fold_addr(to, [c, d]) ^ f);
        words.into_iter().fold(ends, |hash, [first, second]| fold(hash ^ first, second ^ f))
    }
}

/// Hashes of flows, other ones in every run: nobody can choose flows that lie in one place of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlowHasher {
    seeds: [u64; 5],
}

impl FlowHasher {
    pub(super) fn random() -> Self {
        let random = foldhash::fast::RandomState::default();
        Self { seeds: std::array::from_fn(|at| random.hash_one(at)) }
    }

    /// The hash of a flow between two ends, the same whichever comes first.
    #[inline(always)]
    pub(super) fn of(&self, a: Endpoint, b: Endpoint, protocol: Protocol, tag: u32) -> u32 {
        let [high, low, port, sum, xor] = self.seeds;
        let end = |end: Endpoint| {
            // An odd factor, so that no two ports are one.
            fold_addr(end.addr, [high, low])
                .wrapping_add(u64::from(end.port).wrapping_mul(port | 1))
        };
        let (a, b) = (end(a), end(b));
        let rest = u64::from(tag) << 8 | u64::from(protocol.0);
        (fold(a.wrapping_add(b) ^ sum, a ^ b ^ xor ^ rest) >> 32) as u32
    }
}

/// Digits of pi.
pub(super) const FIXED: [u64; 6] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
    0xbe54_66cf_34e9_0c6c,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Office flows differ in few bits. Each bit of a hash must still be set in half of them, and no
    /// value may come oftener than chance allows.
    #[test]
    fn like_flows_spread() {
        let hasher = FlowHasher::random();
        let mut hashes = Vec::new();
        for host in 0..100u8 {
            for server in 0..10u8 {
                for port in 0..100u16 {
                    let a = Endpoint { addr: Addr::from_v4([10, 0, 0, host]), port: 50_000 + port };
                    let b = Endpoint { addr: Addr::from_v4([203, 0, 113, server]), port: 443 };
                    let hash = hasher.of(a, b, Protocol::TCP, 0);
                    assert_eq!(hash, hasher.of(b, a, Protocol::TCP, 0));
                    hashes.push(hash);
                }
            }
        }
        for bit in 0..32 {
            let set = hashes.iter().filter(|&hash| hash >> bit & 1 == 1).count();
            assert!((48_500..51_500).contains(&set), "bit {bit}: {set}");
        }
        hashes.sort_unstable();
        hashes.dedup();
        // Of 100,000 random numbers of 32 bits one or two pairs are equal.
        assert!(hashes.len() > 99_980, "{}", hashes.len());
    }

    #[test]
    fn pairs_of_addresses_spread_over_the_shards() {
        let mut shards = [0u32; 32];
        for host in 0..100u8 {
            for server in 0..100u8 {
                let (a, b) =
                    (Addr::from_v4([10, 0, 1, host]), Addr::from_v4([203, 0, 113, server]));
                assert_eq!(of_pair(a, b), of_pair(b, a));
                shards[(of_pair(a, b) >> 32) as usize % 32] += 1;
            }
        }
        assert!(shards.iter().all(|count| (230..400).contains(count)), "{shards:?}");
    }
}
