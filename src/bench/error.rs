//! Why nothing was measured.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::capture::error::CaptureError;
use crate::synth::SynthError;

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The input cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// There is no such traffic.
    #[error(transparent)]
    Synth(#[from] SynthError),
    /// The input has nothing in it.
    #[error("no packet in the input (after --filter, --since and --until): nothing to measure")]
    Empty,
    /// The input is not the same on every pass.
    #[error("the input changed while it was measured: {then} packets before, {now} now")]
    Changed {
        /// Packets of the first look.
        then: u64,
        /// Packets of a later pass.
        now: u64,
    },
    /// Standard input can be read once only.
    #[error("standard input cannot be read again and again; give a file")]
    StandardInput,
    /// The input does not fit into the memory it may have.
    #[error(
        "the input takes more than {max} bytes of memory; raise --memory-max or use --from disk"
    )]
    TooLarge {
        /// What is allowed.
        max: u64,
    },
    /// A report cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A report is none.
    #[error("{}: is no report of sekisho bench: {message}", path.display())]
    NoReport {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl From<Infallible> for BenchError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
