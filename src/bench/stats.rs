//! A number that was measured several times.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What several loops gave.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// All, loop by loop.
    pub samples: Vec<f64>,
}

impl Measured {
    /// Of these samples; of none, all is zero.
    pub fn of(samples: Vec<f64>) -> Self {
        let fold = |pick: fn(f64, f64) -> f64| samples.iter().copied().reduce(pick).unwrap_or(0.0);
        Self { median: median(&samples), least: fold(f64::min), most: fold(f64::max), samples }
    }

    /// Sample by sample against those of `other`, which were taken in turn with these.
    pub fn pairwise(&self, other: &Self, join: impl Fn(f64, f64) -> f64) -> Self {
        let pairs = self.samples.iter().zip(&other.samples);
        Self::of(pairs.map(|(own, other)| join(*own, *other)).collect())
    }

    /// Standard error of the median, as a share of it.
    ///
    /// Deviation from the median absolute deviation (Rousseeuw and Croux 1993), and the median's
    /// efficiency against the mean, √(π/2), as for normal noise.
    pub fn noise(&self) -> f64 {
        let deviations: Vec<f64> =
            self.samples.iter().map(|sample| (sample - self.median).abs()).collect();
        let deviation = 1.4826 * median(&deviations);
        let error =
            deviation * (std::f64::consts::PI / 2.0 / self.samples.len().max(1) as f64).sqrt();
        if self.median == 0.0 { 0.0 } else { error / self.median.abs() }
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[len / 2],
        len => (sorted[len / 2 - 1] + sorted[len / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_even_and_odd_and_none() {
        let median = |samples: &[f64]| Measured::of(samples.to_vec()).median;
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    /// The machine slows down between two loops: both stages do, and their difference stays.
    #[test]
    fn differences_are_taken_loop_by_loop() {
        let (before, after) =
            (Measured::of(vec![10.0, 20.0, 10.0]), Measured::of(vec![15.0, 25.0, 15.0]));
        let own = after.pairwise(&before, |after, before| after - before);
        assert_eq!((own.least, own.median, own.most), (5.0, 5.0, 5.0));
        assert_eq!(own.noise(), 0.0);
    }
}
