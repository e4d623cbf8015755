//! Chance, from a seed.

use std::f64::consts::TAU;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// A seeded generator. Its draws are our own, since those of `rand` may change between its versions.
#[derive(Debug, Clone)]
pub(crate) struct Random(Pcg64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Pcg64::new(u128::from(seed), STREAM))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 to `limit` − 1; 0 when `limit` is 0. Its bias is below 2⁻³² for our limits.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// True `permille` times in a thousand.
    pub(super) fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// A lognormal draw with this median; `spread` is the standard deviation of its logarithm.
    pub(super) fn lognormal(&mut self, median: f64, spread: f64) -> f64 {
        // Box and Muller (1958); `libm`, because the platform's own logarithm differs in the last bit.
        let (u, v) = (1.0 - self.unit(), self.unit());
        let normal = (-2.0 * libm::log(u)).sqrt() * libm::cos(TAU * v);
        median * libm::exp(normal * spread)
    }

    /// A draw of Poisson's with this mean, which may be some thousands (Knuth 1969).
    pub(super) fn poisson(&mut self, mean: f64) -> u32 {
        let (mut count, mut rest) = (0, mean);
        while rest > 0.0 {
            // In parts, because e^-mean must not vanish.
            let (limit, mut product) = (libm::exp(-rest.min(POISSON_PART)), self.unit());
            while product > limit {
                count += 1;
                product *= self.unit();
            }
            rest -= POISSON_PART;
        }
        count
    }

    /// From 0 up to but not including 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Spreads a number over all 64 bits, the same way always (the finaliser of splitmix64).
pub(crate) fn scramble(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

const POISSON_PART: f64 = 100.0;

/// Any odd number would do; this one is part of what a seed means.
const STREAM: u128 = 0x0a02_bdbf_7bb3_c0a7_ac28_fa16_a64a_bf97;
