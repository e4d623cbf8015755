//! Laptops that travel: gone for some days, or at work at another of our sites, then back with what has gathered.

use super::parameters::Travel;
use crate::synth::random::{Random, scramble};

/// Where a laptop is on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts {
    Here,
    /// Outside of all that a sensor sees.
    Away,
    /// At another of our sites, with an address of there.
    Elsewhere,
}

/// A trip: the day on which it begins, the days that it takes, and where it goes.
#[derive(Debug, Clone, Copy)]
struct Trip {
    begins: u32,
    days: u32,
    to: Whereabouts,
}

impl Whereabouts {
    /// Where the laptop with this number of its own is on a day.
    pub(super) fn on(day: u32, seed: u64, travel: &Travel) -> Self {
        let trip = Trip::of_week(day / WEEK, seed, travel);
        trip.filter(|trip| trip.spans(day)).map_or(Self::Here, |trip| trip.to)
    }
}

impl Trip {
    /// At most one a week, within it.
    fn of_week(week: u32, seed: u64, travel: &Travel) -> Option<Self> {
        let mut random = Random::new(scramble(seed ^ scramble(u64::from(week) ^ TRAVEL)));
        if random.unit() >= travel.per_week {
            return None;
        }
        let days = 1 + random.below(u64::from(travel.days_max)) as u32;
        let begins = week * WEEK + random.below(u64::from(WEEK - days + 1)) as u32;
        let is_ours = random.unit() < travel.elsewhere;
        let to = if is_ours { Whereabouts::Elsewhere } else { Whereabouts::Away };
        Some(Self { begins, days, to })
    }

    fn spans(self, day: u32) -> bool {
        (self.begins..self.begins + self.days).contains(&day)
    }
}

const WEEK: u32 = 7;

/// Keeps the chance of travelling apart from that of working.
const TRAVEL: u64 = 0x7472_6970;
