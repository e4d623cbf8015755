//! From scores to alerts a day: the threshold that the operator's budget buys.

use serde::{Deserialize, Serialize};

use crate::detect::Bits;

/// Peaks of finished days, one for each incident that there was or might have been, and the threshold that
/// follows from them (DETECTION 5).
///
/// Peaks over a level follow an exponential law in bits (Davison and Smith 1990); an alarmed peak is
/// right-censored at its threshold, so that a theft cannot lift the bar above itself; a prior worth
/// twenty host-days stands in while there is nothing to learn from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Budget {
    alerts_per_day: f64,
    /// Peaks in quarter bits.
    peaks: Vec<u32>,
    /// Peaks that alarmed: the peak and its threshold, in quarter bits.
    alarmed: Vec<(u32, u32)>,
    threshold: Bits,
}

impl Budget {
    /// No peaks yet; the threshold is the prior's for ten hosts.
    pub fn new(alerts_per_day: f64) -> Self {
        let mut budget =
            Self { alerts_per_day, peaks: Vec::new(), alarmed: Vec::new(), threshold: LEVEL_MIN };
        budget.freeze(0, 0);
        budget
    }

    /// Goes on from what another process kept; more or fewer alerts a day are bought from the next day on.
    pub(super) fn resume(self, alerts_per_day: f64) -> Self {
        Self { alerts_per_day, ..self }
    }

    /// Alerts a day that the operator wants to see.
    pub fn alerts_per_day(&self) -> f64 {
        self.alerts_per_day
    }

    /// The score from which an incident pages, today.
    pub fn threshold(&self) -> Bits {
        self.threshold
    }

    /// Learns the largest score of such an incident on a finished day, and the threshold it was above, if it
    /// was.
    pub fn learn(&mut self, peak: Bits, alarmed_at: Option<Bits>) {
        let peak = quarters(peak);
        match alarmed_at {
            Some(threshold) => self.alarmed.push((peak, quarters(threshold))),
            None => {
                if self.peaks.len() <= peak as usize {
                    self.peaks.resize(peak as usize + 1, 0);
                }
                self.peaks[peak as usize] += 1;
            }
        }
    }

    /// Sets the threshold for the coming day, from `host_days` learned and `hosts` seen lately.
    pub fn freeze(&mut self, host_days: u64, hosts: usize) {
        let level = self.level();
        let base = level.to_f64();
        let quarter_of = |at: usize| at as f64 / 4.0;
        let mut excess = 0.0;
        let mut uncensored = 0.0;
        let mut above = 0.0;
        for (at, &count) in self.peaks.iter().enumerate() {
            let peak = quarter_of(at);
            if peak > base {
                excess += (peak - base) * f64::from(count);
                uncensored += f64::from(count);
                above += f64::from(count);
            }
        }
        for &(peak, threshold) in &self.alarmed {
            let censored = f64::from(peak.min(threshold)) / 4.0;
            if censored > base {
                excess += censored - base;
            }
            above += f64::from(u8::from(f64::from(peak) / 4.0 > base));
        }
        let scale = (excess + SCALE_WEIGHT * SCALE_PRIOR) / (uncensored + SCALE_WEIGHT);
        let prior_rate = RATE_PRIOR * libm::exp(-(base - LEVEL_MIN.to_f64()) / SCALE_PRIOR);
        let rate = (above + PRIOR_HOST_DAYS * prior_rate) / (host_days as f64 + PRIOR_HOST_DAYS);
        let wanted = (self.alerts_per_day / hosts.max(HOSTS_MIN) as f64).min(RATE_MAX);
        let threshold = Bits::from_f64(base + scale * libm::log(rate / wanted));
        self.threshold = threshold.max(LEVEL_MIN);
    }

    /// The level above which peaks count: `LEVEL_MIN`, or higher once many peaks lie above it. An alarmed
    /// peak lies where it is known to reach: were it put above all others, the level would rise beyond the
    /// ordinary ones, and what is said of these would be a guess from the rare ones.
    fn level(&self) -> Bits {
        let mut counts = self.peaks.clone();
        for &(peak, threshold) in &self.alarmed {
            let known = peak.min(threshold) as usize;
            if counts.len() <= known {
                counts.resize(known + 1, 0);
            }
            counts[known] += 1;
        }
        let total = counts.iter().sum::<u32>();
        let wanted = (total / 10).max(20);
        let mut above = 0;
        for (at, &count) in counts.iter().enumerate().rev() {
            above += count;
            if above >= wanted {
                return Bits::from_f64(at as f64 / 4.0).max(LEVEL_MIN);
            }
        }
        LEVEL_MIN
    }
}

fn quarters(bits: Bits) -> u32 {
    (bits.to_f64() * 4.0).clamp(0.0, 4096.0) as u32
}

/// Lowest level and lowest threshold, in bits.
const LEVEL_MIN: Bits = Bits::whole(6);

/// Peaks per host-day above `LEVEL_MIN` that the volume prior implies (DETECTION 5: λ0 = 2^−4).
const RATE_PRIOR: f64 = 1.0 / 16.0;

/// Bits by which peaks above the level exceed it on average, by the same prior: the score grows by
/// 1.5 bits where the probability halves, and 1.5 / ln 2 = 2.2.
const SCALE_PRIOR: f64 = 2.2;

/// Weight of the two priors, in peaks and in host-days.
const SCALE_WEIGHT: f64 = 10.0;
const PRIOR_HOST_DAYS: f64 = 20.0;

/// "One alert a day" on a single host must not come to mean its median day.
const HOSTS_MIN: usize = 10;
const RATE_MAX: f64 = 0.05;

#[cfg(test)]
mod tests {
    use rand_pcg::Pcg32;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn the_prior_gives_the_threshold_of_a_lone_capture() {
        // 6 + 2.2 · ln(2^−4 / 0.05) = 6.49
        assert_eq!(Budget::new(1.0).threshold(), Bits::from_f64(6.49));
    }

    /// A smaller budget never lowers the bar, more ordinary peaks never lower it either.
    #[test]
    fn threshold_follows_budget_and_noise() {
        let threshold = |alerts, peaks: u32| {
            let mut budget = Budget::new(alerts);
            for n in 0..peaks {
                budget.learn(Bits::from_f64(6.0 + f64::from(n % 40) / 10.0), None);
            }
            budget.freeze(1000, 100);
            budget.threshold()
        };
        assert!(threshold(0.1, 100) > threshold(1.0, 100));
        assert!(threshold(1.0, 400) > threshold(1.0, 100));
    }

    /// Alarms a day of 200 hosts, from the second week on. Of host-days the share `rate` has a peak, above the
    /// lowest level by `scale` bits on average, and the share `loud` one that is as much higher again as `more`.
    fn alarms(alerts_per_day: f64, (rate, scale): (f64, f64), (loud, more): (f64, f64)) -> f64 {
        let mut rng = Pcg32::seed_from_u64(7);
        let mut draw = || (f64::from(rng.next_u32()) + 0.5) / 2f64.powi(32);
        let mut budget = Budget::new(alerts_per_day);
        let mut seen = 0;
        for day in 0..60 {
            budget.freeze(day * 200, if day == 0 { 0 } else { 200 });
            for _ in 0..200 {
                let kind = draw();
                let scale = match kind {
                    kind if kind < rate => scale,
                    kind if kind < rate + loud => more,
                    // Most days pass no gate.
                    _ => continue,
                };
                let peak = Bits::from_f64(6.0 - scale * libm::log(draw()));
                let threshold = budget.threshold();
                budget.learn(peak, (peak >= threshold).then_some(threshold));
                seen += u32::from(day >= 7 && peak >= threshold);
            }
        }
        f64::from(seen) / 53.0
    }

    /// Louder offices than the prior's are learned within a week: alarms come hardly oftener than asked for,
    /// however often that is, even where rare peaks follow another law than ordinary ones.
    #[test]
    fn alarms_come_no_oftener_than_asked_for() {
        let offices = [
            ((0.1, 2.2), (0.0, 1.0)),
            ((0.5, 2.2), (0.0, 1.0)),
            ((0.5, 5.0), (0.0, 1.0)),
            ((0.9, 8.0), (0.0, 1.0)),
            ((0.3, 0.4), (0.02, 8.0)),
            ((0.1, 0.5), (0.01, 4.0)),
            ((0.6, 1.0), (0.1, 8.0)),
        ];
        for (ordinary, rare) in offices {
            for alerts in [1.0, 2.0, 5.0, 10.0, 20.0] {
                let seen = alarms(alerts, ordinary, rare);
                assert!(seen <= 2.0 * alerts, "{ordinary:?} {rare:?}: {seen} for {alerts}");
            }
        }
    }

    /// A theft enters as "at least its threshold": it must not hide the next one.
    #[test]
    fn a_theft_does_not_lift_the_bar_above_itself() {
        let mut budget = Budget::new(1.0);
        let before = budget.threshold();
        budget.learn(Bits::whole(40), Some(before));
        budget.freeze(30, 36);
        assert!(budget.threshold() < Bits::whole(12), "{}", budget.threshold());
    }
}
