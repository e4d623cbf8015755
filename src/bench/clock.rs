//! The machine's own clocks. Nothing that is judged depends on them.

#![expect(clippy::disallowed_methods, reason = "a bench measures this machine, not the traffic")]

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What something took.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Spent {
    pub(super) wall: Duration,
    /// User and system time of all threads of this process.
    pub(super) cpu: Duration,
}

pub(super) fn now() -> Instant {
    Instant::now()
}

pub(super) fn sleep_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

/// Does `work`, and says what it took.
pub(super) fn timed<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let (wall, cpu) = (Instant::now(), processors());
    let done = work();
    (done, Spent { wall: wall.elapsed(), cpu: processors().saturating_sub(cpu) })
}

/// User and system time of this process so far.
fn processors() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, more: Self) {
        self.wall += more.wall;
        self.cpu += more.cpu;
    }
}
