//! What went to and fro, for a host or a destination.

use schemars::JsonSchema;
use serde::Serialize;

use crate::time::Timestamp;

/// Flows across the border, and the bytes of both directions; out is what the inside sent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Traffic {
    /// Flows.
    pub flows: u64,
    /// Bytes that the inside sent, as far as can be known: of TCP, unique or acknowledged payload.
    pub bytes_out: u64,
    /// The same from the outside.
    pub bytes_in: u64,
    /// Producer–consumer ratio, (out − in) / (out + in), in ten thousandths; null without bytes.
    ///
    /// Bullard and Gerth, "PCR: a new flow metric" (FloCon 2014): 1 only sends, −1 only receives.
    pub pcr: Option<f64>,
    /// Packet time of the first packet of its flows.
    pub first: Timestamp,
    /// Packet time of the latest one.
    pub last: Timestamp,
}

/// The same while it is being summed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    pub(super) flows: u64,
    pub(super) bytes_out: u64,
    pub(super) bytes_in: u64,
    pub(super) first: Timestamp,
    last: Timestamp,
}

impl Sums {
    /// No flow yet, from the first packet of one on.
    pub(super) fn from(first: Timestamp) -> Self {
        Self { flows: 0, bytes_out: 0, bytes_in: 0, first, last: first }
    }

    /// Adds a flow's bytes.
    pub(super) fn count(&mut self, bytes_out: u64, bytes_in: u64) {
        self.flows += 1;
        self.bytes_out += bytes_out;
        self.bytes_in += bytes_in;
    }

    pub(super) fn seen(&mut self, first: Timestamp, last: Timestamp) {
        (self.first, self.last) = (self.first.min(first), self.last.max(last));
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.flows += other.flows;
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        self.seen(other.first, other.last);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes_out + self.bytes_in
    }

    pub(super) fn traffic(&self) -> Traffic {
        let Self { flows, bytes_out, bytes_in, first, last } = *self;
        Traffic { flows, bytes_out, bytes_in, pcr: pcr(bytes_out, bytes_in), first, last }
    }
}

fn pcr(bytes_out: u64, bytes_in: u64) -> Option<f64> {
    let (out, back) = (i128::from(bytes_out), i128::from(bytes_in));
    let all = out + back;
    // Rounded as an integer, so that no machine's floating point shows in it.
    (all > 0).then(|| ((out - back) * PCR_STEPS / all) as f64 / PCR_STEPS as f64)
}

const PCR_STEPS: i128 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcr_is_one_for_a_source_and_minus_one_for_a_sink() {
        assert_eq!(pcr(0, 0), None);
        assert_eq!(pcr(5, 0), Some(1.0));
        assert_eq!(pcr(0, 5), Some(-1.0));
        assert_eq!(pcr(3, 1), Some(0.5));
        assert_eq!(pcr(u64::MAX, u64::MAX), Some(0.0));
    }
}
