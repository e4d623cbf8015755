//! The machine's clock: a silent interface has no other. Nothing else in the pipeline reads one.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::time::Timestamp;

/// The present moment, on the clock that the kernel stamps frames with.
pub(super) fn now() -> Timestamp {
    let since_epoch = length(clock_gettime(ClockId::Realtime));
    Timestamp::from_secs_nanos(since_epoch.as_secs(), since_epoch.subsec_nanos().into())
}

/// How long the machine has been up: nobody sets this clock.
pub(super) fn uptime() -> Duration {
    length(clock_gettime(ClockId::Monotonic))
}

fn length(time: Timespec) -> Duration {
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}
