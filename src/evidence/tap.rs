//! A source whose frames are kept for a while on their way, where evidence is asked for.

use super::Evidence;
use crate::alert::Record;
use crate::capture::{Counters, Live, Polled, Source};
use crate::frame::Batch;
use crate::time::Timestamp;

/// Hands on what a source hands out. Without evidence it does nothing else.
#[derive(Debug)]
pub struct Tap<S> {
    /// The source.
    pub source: S,
    /// Who keeps packets.
    pub evidence: Option<Evidence>,
}

impl<S> Tap<S> {
    /// Hears what is told before it is told.
    pub fn hear(&mut self, records: &mut [Record]) {
        if let Some(evidence) = &mut self.evidence {
            evidence.hear(records);
        }
    }

    /// There is no more input, and all was heard.
    pub fn finish(&mut self) {
        if let Some(evidence) = &mut self.evidence {
            evidence.finish();
        }
    }
}

impl<S: Source> Source for Tap<S> {
    type Error = S::Error;

    fn poll(&mut self, batch: &mut Batch) -> Result<Polled, S::Error> {
        let polled = self.source.poll(batch)?;
        if let Some(evidence) = &mut self.evidence {
            match polled {
                Polled::Frames => evidence.push(batch),
                Polled::Idle(now) => evidence.pass(now),
                Polled::End => {}
            }
        }
        Ok(polled)
    }

    fn settle(&mut self, frames: u64) {
        self.source.settle(frames);
        if let Some(evidence) = &mut self.evidence {
            evidence.settle(frames);
        }
    }
}

impl<S: Live> Live for Tap<S> {
    fn now(&self) -> Timestamp {
        self.source.now()
    }

    fn clock(&self) -> Timestamp {
        self.source.clock()
    }

    fn counters(&self) -> Counters {
        self.source.counters()
    }

    fn backlog(&self) -> f64 {
        self.source.backlog()
    }
}
