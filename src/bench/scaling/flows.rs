//! Cost per packet against the flows in the table.

use std::time::Duration;

use super::{Plan, Scaling};
use crate::bench::clock::{Spent, timed};
use crate::bench::error::BenchError;
use crate::capture::{Polled, Source};
use crate::engine::{Position, Worker};
use crate::flow::FlowDelta;
use crate::frame::{Batch, FrameHead};
use crate::synth::{self, Kind, Traffic};

pub(super) const SIZES: [u64; 7] =
    [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];

/// What a flow may take at most, for the decision whether to go on.
pub(super) const BYTES_EACH: u64 = 1200;

/// `flows` flows are opened, then packets go to any of them.
pub(super) fn measure(plan: &Plan, flows: u64, to: &mut Scaling) -> Result<(), BenchError> {
    let mut run = plan.run.clone();
    run.workers = 1;
    run.flow.flows_max = usize::try_from(flows * 2).unwrap_or(usize::MAX);
    let options = synth::Options {
        flows,
        hosts: u32::try_from(flows / 4).unwrap_or(HOSTS).min(HOSTS),
        seed: plan.seed,
        ..Kind::Min.options(flows + STEADY)
    };
    let mut traffic = Traffic::new(options)?;
    let mut worker = Worker::new(&run, 0);
    let before = (plan.heap)();
    let (mut batch, mut outbox, mut first) =
        (Batch::default(), Vec::<(Position, FlowDelta)>::new(), 0);
    let (mut opening, mut opened, mut steady, mut went_on) =
        (Spent::default(), 0, Spent::default(), 0);
    let (mut grown, mut longest) = (0, Duration::ZERO);
    loop {
        batch.clear();
        let Ok(polled) = traffic.poll(&mut batch);
        if polled == Polled::End {
            break;
        }
        let frames = batch.heads.len() as u64;
        let ((), spent) = timed(|| worker.run(&batch, first, &mut outbox));
        first += frames;
        outbox.clear();
        if first <= flows {
            opening += spent;
            opened += frames;
        } else if first - frames >= flows {
            if went_on == 0 {
                // What is on its way in and out is not the flows'.
                let around = outbox.capacity() * size_of::<(Position, FlowDelta)>()
                    + batch.bytes.capacity()
                    + batch.heads.capacity() * size_of::<FrameHead>();
                grown = (plan.heap)().grown_since(before).saturating_sub(around as u64);
            }
            longest = longest.max(spent.cpu);
            steady += spent;
            went_on += frames;
        }
    }
    let each = |spent: Spent, packets: u64| spent.cpu.as_nanos() as f64 / packets.max(1) as f64;
    to.add(("a packet that opens a flow", "ns"), flows, each(opening, opened));
    to.add(("a packet to any open flow", "ns"), flows, each(steady, went_on));
    let bytes = grown as f64 / flows as f64;
    // Once in a second of packet time a batch has a tick in it, in which all flows report.
    to.add(("the longest batch", "ms"), flows, longest.as_secs_f64() * 1000.0);
    to.add(("memory of a flow", "bytes"), flows, bytes);
    Ok(())
}

const HOSTS: u32 = 5000;

/// Packets after all flows are open.
const STEADY: u64 = 2_000_000;
