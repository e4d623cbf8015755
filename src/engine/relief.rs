//! What is left undone when more arrives than can be looked at: in a stated order, counted, and said.
//!
//! Without this the kernel's ring fills and whole stretches of packets are lost, whatever they were. First nobody looks at
//! first bytes any more, then at one packet of two, four ... thirty-two, which counts for all of them.

use std::time::Duration;

use thiserror::Error;

use crate::capture::{Counters, Live, Polled, Source};
use crate::frame::{Batch, Effort};
use crate::time::Timestamp;

/// A source whose frames get less attention while too many wait.
#[derive(Debug)]
pub struct Relief<S> {
    /// The source.
    pub source: S,
    step: Step,
    /// Since when more waits than should, and since when next to nothing.
    crowded_since: Option<Timestamp>,
    calm_since: Option<Timestamp>,
    /// Frames that might have been passed over.
    sampled: u64,
    shed: u64,
    unnamed: u64,
    notices: Vec<ReliefNotice>,
}

/// How much is left undone: 0 nothing, 1 names; from 2 on one frame of two to this power less one is looked at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step(u8);

impl Step {
    const MAX: Self = Self(6);

    fn effort(self) -> Effort {
        Effort { looks: self.0 == 0, weight: 1 << self.0.saturating_sub(1) }
    }
}

/// What an operator must know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReliefNotice {
    /// More arrives than can be looked at.
    #[error(
        "more arrives than can be counted: first bytes are not looked at, new flows have no names"
    )]
    Unnamed,
    /// Still more.
    #[error("more arrives than can be counted: one packet of {weight} is, for all of them")]
    Sampled {
        /// How many it stands for.
        weight: u32,
    },
    /// No more than that.
    #[error("all packets are counted again, and flows named")]
    Over,
}

impl<S> Relief<S> {
    /// Nothing is left undone so far.
    pub fn new(source: S) -> Self {
        Self {
            source,
            step: Step::default(),
            crowded_since: None,
            calm_since: None,
            sampled: 0,
            shed: 0,
            unnamed: 0,
            notices: Vec::new(),
        }
    }

    /// What there is to say since the last call.
    pub fn take_notices(&mut self) -> Vec<ReliefNotice> {
        std::mem::take(&mut self.notices)
    }

    /// Goes a step further, or one back, once things have been so for long enough.
    fn adapt(&mut self, backlog: f64, now: Timestamp) {
        let since = |is_so: bool, since: Option<Timestamp>| {
            is_so.then(|| since.filter(|&since| since <= now).unwrap_or(now))
        };
        self.crowded_since = since(backlog >= CROWDED, self.crowded_since);
        self.calm_since = since(backlog <= CALM, self.calm_since);
        let lasted = |since: Option<Timestamp>, long: Duration| {
            since.is_some_and(|since| now.since(since) >= long)
        };
        let before = self.step;
        if lasted(self.crowded_since, CROWDED_FOR) && self.step < Step::MAX {
            self.step.0 += 1;
            self.crowded_since = Some(now);
        } else if lasted(self.calm_since, CALM_FOR) && self.step.0 > 0 {
            self.step.0 -= 1;
            self.calm_since = Some(now);
        }
        if self.step > before {
            self.notices.push(match self.step.effort().weight {
                1 => ReliefNotice::Unnamed,
                weight => ReliefNotice::Sampled { weight },
            });
        } else if self.step < before && self.step.0 == 0 {
            self.notices.push(ReliefNotice::Over);
        }
    }

    /// Leaves in the batch what is to be looked at.
    fn thin(&mut self, batch: &mut Batch) {
        batch.effort = self.step.effort();
        let before = batch.heads.len() as u64;
        let weight = batch.effort.weight;
        if weight > 1 {
            let first = self.sampled;
            self.sampled += before;
            // Multiples of the golden ratio spread evenly, and keep no step with traffic that comes in turns.
            let is_taken = |number: u64| {
                (first + number).wrapping_mul(GOLDEN) >> (64 - weight.trailing_zeros()) == 0
            };
            let mut number = 0;
            batch.heads.retain(|_| {
                number += 1;
                is_taken(number)
            });
        }
        self.shed += before - batch.heads.len() as u64;
        self.unnamed += if batch.effort.looks { 0 } else { batch.heads.len() as u64 };
    }
}

impl<S: Live> Source for Relief<S> {
    type Error = S::Error;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, S::Error> {
        let polled = self.source.poll(batch)?;
        let backlog = if polled == Polled::Frames { self.source.backlog() } else { 0.0 };
        self.adapt(backlog, self.source.now());
        if polled == Polled::Frames {
            self.thin(batch);
        }
        Ok(polled)
    }

    fn settle(&mut self, frames: u64) {
        self.source.settle(frames);
    }
}

impl<S: Live> Live for Relief<S> {
    fn now(&self) -> Timestamp {
        self.source.now()
    }

    fn clock(&self) -> Timestamp {
        self.source.clock()
    }

    fn counters(&self) -> Counters {
        Counters { shed: self.shed, unnamed: self.unnamed, ..self.source.counters() }
    }

    fn backlog(&self) -> f64 {
        self.source.backlog()
    }
}

/// 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Share of the ring from which too much waits, and how long that must last: whoever was not given the processor for a moment
/// catches up in less.
const CROWDED: f64 = 0.5;
const CROWDED_FOR: Duration = Duration::from_millis(250);

/// Share of the ring up to which there is room to do more, and how long that must last.
const CALM: f64 = 0.1;
const CALM_FOR: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::path::Path;

    use super::super::worker::Run;
    use super::super::{Analyst, replay, watch};
    use super::*;
    use crate::capture::FileSource;
    use crate::capture::error::CaptureError;
    use crate::config::{Keys, Settings};
    use crate::frame::{Frame, LinkType};
    use crate::net::Subnets;

    /// A link on which a datagram arrives each microsecond, a ring, and a machine that takes a time for each frame
    /// that is judged. Time passes by its work alone.
    struct Link {
        /// Microseconds by now.
        now: u64,
        cost: u64,
        /// Frames that arrive in all, that arrived, and that were handed out.
        last: u64,
        arrived: u64,
        waiting: std::collections::VecDeque<u64>,
        room: usize,
        settled: u64,
        counters: Counters,
        most_waiting: usize,
    }

    impl Link {
        fn new(cost: u64, last: u64) -> Self {
            Self {
                now: START,
                cost,
                last,
                arrived: 0,
                waiting: std::collections::VecDeque::new(),
                room: 100_000,
                settled: 0,
                counters: Counters::default(),
                most_waiting: 0,
            }
        }

        fn arrive(&mut self) {
            while self.arrived < self.last && START + self.arrived <= self.now {
                if self.waiting.len() < self.room {
                    self.waiting.push_back(self.arrived);
                } else {
                    self.counters.dropped += 1;
                }
                self.arrived += 1;
            }
            self.most_waiting = self.most_waiting.max(self.waiting.len());
        }
    }

    const START: u64 = 1_000_000_000_000;
    const LEN: usize = 1000;

    impl Source for Link {
        type Error = Infallible;

        fn poll(&mut self, batch: &mut Batch) -> Result<Polled, Infallible> {
            self.arrive();
            if self.waiting.is_empty() {
                if self.arrived == self.last {
                    return Ok(Polled::End);
                }
                self.now += 100;
                return Ok(Polled::Idle(self.now()));
            }
            for number in self.waiting.drain(..self.waiting.len().min(2000)) {
                let at = Timestamp::from_nanos((START + number) * 1000);
                let bytes = datagram(number);
                batch.push(Frame { at, link: LinkType::IPV4, wire_len: LEN as u32, bytes: &bytes });
            }
            self.counters.frames += batch.heads.len() as u64;
            Ok(Polled::Frames)
        }

        fn settle(&mut self, frames: u64) {
            self.now += (frames - self.settled) * self.cost;
            self.settled = frames;
        }
    }

    impl Live for Link {
        fn now(&self) -> Timestamp {
            Timestamp::from_nanos(self.now * 1000)
        }

        fn clock(&self) -> Timestamp {
            self.now()
        }

        fn counters(&self) -> Counters {
            self.counters
        }

        fn backlog(&self) -> f64 {
            self.waiting.len() as f64 / self.room as f64
        }
    }

    /// From inside to outside, `LEN` bytes by its IP header, of which little was captured; no two are alike.
    fn datagram(number: u64) -> Vec<u8> {
        let port = (number % 50) as u16 + 1000;
        let [high, low] = (LEN as u16).to_be_bytes();
        let mut bytes = vec![0x45, 0, high, low, 0, 1, 0, 0, 64, 17, 0, 0];
        bytes.extend([10, 0, 0, 1, 203, 0, 113, 5]);
        bytes.extend(port.to_be_bytes());
        let [high, low] = (LEN as u16 - 20).to_be_bytes();
        bytes.extend([0, 99, high, low, 0, 0]);
        bytes.extend(number.to_be_bytes());
        bytes
    }

    /// What was counted of a link of four seconds on which so much is sent, and what is left to say.
    fn watched(
        cost: u64,
        sent: u64,
        has_relief: bool,
    ) -> (u64, Counters, Vec<ReliefNotice>, usize) {
        let settings = Settings::of(&Keys::default()).unwrap();
        let run = Run { workers: 1, internal: Subnets::private(), ..settings.run };
        let mut analyst = Analyst::new(settings.analyst);
        let mut notices = Vec::new();
        if has_relief {
            let mut source = Relief::new(Link::new(cost, sent));
            watch(&mut source, &run, &mut analyst, |moment| {
                notices.extend(moment.source.take_notices());
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
            let most = source.source.most_waiting;
            (analyst.egress().totals().bytes_out, source.counters(), notices, most)
        } else {
            let mut source = Link::new(cost, sent);
            let go_on = |_: super::super::Moment<'_, Link>| std::ops::ControlFlow::Continue(());
            watch(&mut source, &run, &mut analyst, go_on).unwrap();
            (analyst.egress().totals().bytes_out, source.counters(), notices, source.most_waiting)
        }
    }

    /// Five times as much as can be counted: without relief most of it is lost, with it the sum is right, what was
    /// given up is said in its order, and no more waits than there is room for.
    #[test]
    fn more_than_can_be_counted_is_counted_by_samples() {
        let sent = 8_000_000;
        let payload = sent * (LEN as u64 - 28);
        let (without, lost, ..) = watched(5, sent, false);
        assert!(without < payload / 2 && lost.dropped > sent / 2);

        let (counted, counters, notices, most) = watched(5, sent, true);
        let known = payload - counters.dropped * (LEN as u64 - 28);
        let error = (counted as f64 / known as f64 - 1.0).abs();
        assert!(error < 0.02, "{counted} of {known}");
        assert!(counters.dropped < lost.dropped / 5, "{counters:?}");
        assert!(counters.shed > sent / 2 && counters.unnamed > 0);
        assert_eq!(notices[0], ReliefNotice::Unnamed);
        assert_eq!(notices[1], ReliefNotice::Sampled { weight: 2 });
        assert!(most <= 100_000);
    }

    /// A recording of which samples are looked at, with no clock in it.
    struct Thinned(Relief<FileSource>);

    impl Source for Thinned {
        type Error = CaptureError;

        fn poll(&mut self, batch: &mut Batch) -> Result<Polled, CaptureError> {
            let polled = self.0.source.poll(batch)?;
            self.0.thin(batch);
            Ok(polled)
        }
    }

    /// TCP tells by its numbers what the packets carried that nobody looked at.
    #[test]
    fn an_upload_is_counted_by_its_samples() {
        let counted = |step: u8| {
            let path =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps/contractor-upload.pcap.zst");
            let settings = Settings::of(&Keys::default()).unwrap();
            let mut relief = Relief::new(FileSource::open(&[path], settings.capture).unwrap());
            relief.step = Step(step);
            let run = Run { workers: 1, ..settings.run };
            let mut analyst = Analyst::new(settings.analyst);
            let mut source = Thinned(relief);
            replay(&mut source, &run, &mut analyst, |_, _| {}).unwrap();
            let totals = analyst.egress().totals();
            (totals.bytes_out as f64, source.0.shed)
        };
        let (whole, shed) = counted(0);
        assert_eq!((counted(1).0, shed), (whole, 0));
        for step in 2..=Step::MAX.0 {
            let (sampled, shed) = counted(step);
            assert!(shed > 100_000);
            assert!((sampled / whole - 1.0).abs() < 0.02, "step {step}: {sampled} of {whole}");
        }
    }

    /// Whoever keeps up gives up nothing.
    #[test]
    fn what_can_be_counted_is() {
        let sent = 500_000;
        let (counted, counters, notices, _) = watched(1, sent, true);
        assert_eq!(counted, sent * (LEN as u64 - 28));
        assert_eq!((counters.shed, counters.unnamed, counters.dropped), (0, 0, 0));
        assert_eq!(notices, []);
    }
}
