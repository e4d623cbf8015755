//! Where somebody goes: mostly where they were before, sometimes where others were, rarely elsewhere.

use crate::synth::random::Random;

/// A choice that grows richer with use: the two-parameter process of Pitman and Yor (1997), seen as guests
/// in a restaurant.
///
/// A guest sits down by another one, any of them as likely, or else at a table of their own with
/// probability (θ + d·t) / (θ + n), with t tables and n guests. The process takes the discount d off every table too;
/// left out, it makes old habits a little stronger, and no guest needs to know the table's size.
#[derive(Debug, Clone)]
pub(super) struct Habits {
    discount: f64,
    strength: f64,
    tables: f64,
    guests: f64,
    /// What earlier guests had; of many, some by chance.
    remembered: Vec<u32>,
    remembered_max: usize,
}

impl Habits {
    pub(super) fn new(discount: f64, strength: f64, remembered_max: usize) -> Self {
        Self {
            discount,
            strength,
            tables: 0.0,
            guests: 0.0,
            remembered: Vec::new(),
            remembered_max,
        }
    }

    /// The next choice; `elsewhere` says what is had at a new table.
    pub(super) fn choose(
        &mut self,
        random: &mut Random,
        elsewhere: impl FnOnce(&mut Random) -> u32,
    ) -> u32 {
        let is_new = random.unit() * (self.strength + self.guests)
            < self.strength + self.discount * self.tables;
        let choice = match self.remembered.len() {
            0 => elsewhere(random),
            _ if is_new => elsewhere(random),
            guests => self.remembered[random.below(guests as u64) as usize],
        };
        self.tables += f64::from(u8::from(is_new));
        self.guests += 1.0;
        if self.remembered.len() < self.remembered_max {
            self.remembered.push(choice);
        } else {
            let at = random.below(self.remembered_max as u64) as usize;
            self.remembered[at] = choice;
        }
        choice
    }
}
