//! Who counts which shards: the thread that reads and judges borrows some of a worker that it would have to wait for, and
//! gives them back when that one waits for it. What is counted does not depend on it.

use std::time::{Duration, Instant};

use crate::flow::SHARDS;

/// A shard that goes from a worker to the thread that reads, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) worker: usize,
    pub(super) shard: usize,
    pub(super) is_return: bool,
}

/// For how long each has waited for others since the start.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Waited {
    pub(super) reader: Duration,
    pub(super) workers: Vec<Duration>,
}

/// Weighs who waits for whom.
#[derive(Debug)]
pub(super) struct Balance {
    workers: usize,
    /// The shards that are borrowed, the latest last, and of which worker.
    borrowed: Vec<(usize, usize)>,
    batches: u32,
    /// When it was last weighed, and how long each had waited by then.
    then: (Instant, Waited),
}

impl Balance {
    pub(super) fn new(workers: usize) -> Self {
        let waited = Waited { reader: Duration::ZERO, workers: vec![Duration::ZERO; workers] };
        Self { workers, borrowed: Vec::new(), batches: 0, then: (now(), waited) }
    }

    /// Which shard is to go where, before the next batch.
    pub(super) fn weigh(&mut self, waited: &Waited) -> Option<Shift> {
        self.batches += 1;
        if self.batches < EVERY {
            return None;
        }
        self.batches = 0;
        let now = now();
        let (then, before) = std::mem::replace(&mut self.then, (now, waited.clone()));
        let share = |waited: Duration, before: Duration| {
            (waited - before).as_secs_f64() / (now - then).as_secs_f64().max(1e-9)
        };
        let workers = waited.workers.iter().zip(&before.workers);
        let workers: Vec<f64> = workers.map(|(&waited, &before)| share(waited, before)).collect();
        self.decide(share(waited.reader, before.reader), &workers)
    }

    /// Goes by the shares of the time that each has waited.
    fn decide(&mut self, reader: f64, workers: &[f64]) -> Option<Shift> {
        let least = workers.iter().enumerate().min_by(|one, other| one.1.total_cmp(other.1));
        let (worker, least) = least.map(|(worker, &share)| (worker, share))?;
        if reader > least + UNEVEN {
            let shard = self.spare(worker)?;
            self.borrowed.push((worker, shard));
            return Some(Shift { worker, shard, is_return: false });
        }
        if least > reader + UNEVEN {
            let (worker, shard) = self.borrowed.pop()?;
            return Some(Shift { worker, shard, is_return: true });
        }
        None
    }

    /// A shard that a worker can do without: it keeps one.
    fn spare(&self, worker: usize) -> Option<usize> {
        let mut own = (0..SHARDS)
            .filter(|shard| shard % self.workers == worker)
            .filter(|&shard| !self.borrowed.contains(&(worker, shard)));
        own.next()?;
        own.next_back()
    }
}

#[expect(clippy::disallowed_methods, reason = "who waits for whom, only a clock can tell")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Does what may have to wait, and adds how long it took.
pub(super) fn waiting<T>(waited: &mut Duration, wait: impl FnOnce() -> T) -> T {
    let then = now();
    let outcome = wait();
    *waited += now() - then;
    outcome
}

/// Batches between two looks.
const EVERY: u32 = 16;

/// Shares of the time that differ by more than this are uneven: counting the first shard means to decode all frames, a
/// sixth of what a packet costs.
const UNEVEN: f64 = 0.15;

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that counts costs each shard the same: shards go over until nobody waits much longer than others, and the
    /// last stays where it is.
    #[test]
    fn shards_go_to_who_waits() {
        let mut balance = Balance::new(1);
        let shares = |balance: &Balance| {
            let counted = balance.borrowed.len() as f64 / SHARDS as f64;
            let decoded = if counted > 0.0 { 0.15 } else { 0.0 };
            let (reader, worker) = (0.2 + decoded + 0.65 * counted, 0.15 + 0.65 * (1.0 - counted));
            let wall = reader.max(worker);
            (1.0 - reader / wall, [1.0 - worker / wall])
        };
        for _ in 0..100 {
            let (reader, workers) = shares(&balance);
            balance.decide(reader, &workers);
        }
        let (reader, [worker]) = shares(&balance);
        assert!((reader - worker).abs() <= UNEVEN, "{reader} {worker}");
        assert!((5..=16).contains(&balance.borrowed.len()), "{:?}", balance.borrowed);
        let borrowed = balance.borrowed.clone();
        let back = std::iter::from_fn(|| balance.decide(0.0, &[0.9]));
        let back: Vec<(usize, usize)> = back.map(|shift| (shift.worker, shift.shard)).collect();
        assert!(back.iter().rev().eq(&borrowed));
        while balance.decide(1.0, &[0.0]).is_some() {}
        assert_eq!(balance.borrowed.len(), SHARDS - 1);
    }

    /// Of several it is the one that waits least whose shards go.
    #[test]
    fn the_busiest_is_relieved() {
        let mut balance = Balance::new(3);
        let shift = balance.decide(0.5, &[0.25, 0.1, 0.4]).unwrap();
        assert_eq!((shift.worker, shift.shard % 3, shift.is_return), (1, 1, false));
        assert_eq!(balance.decide(0.12 + UNEVEN, &[0.25, 0.12, 0.4]), None);
        let back = balance.decide(0.1, &[0.35, 0.5, 0.4]);
        assert_eq!(back, Some(Shift { is_return: true, ..shift }));
    }
}
