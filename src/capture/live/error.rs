//! What can go wrong with an interface: at the start it ends the run, later it is said and mended.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::super::filter::FilterError;

/// Why nothing can be captured.
#[derive(Debug, Error)]
pub enum LiveError {
    /// Nothing was named.
    #[error("no interface given; name one with -i, `sekisho interfaces` lists them")]
    Nothing,
    /// An interface is named twice: each frame would count twice.
    #[error("{name}: named twice; each frame would be counted twice")]
    Twice {
        /// The interface.
        name: String,
    },
    /// The process may not.
    #[error("{name}: this takes CAP_NET_RAW; as root, or once and for all: {remedy}")]
    Privilege {
        /// The interface.
        name: String,
        /// What to type.
        remedy: String,
    },
    /// libpcap refuses the interface, which is there.
    #[error("{name}: {reason}")]
    Refused {
        /// The interface.
        name: String,
        /// What libpcap says.
        reason: String,
    },
    /// The ring is too small or too large to be one.
    #[error("the ring buffer must be between {} and {} MiB (got {got} bytes)", RING_MIN >> 20, RING_MAX >> 20)]
    Ring {
        /// Its size, in bytes.
        got: u64,
    },
    /// The filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The recording cannot be made.
    #[error("{}: cannot be written", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The thread that opens interfaces cannot be started.
    #[error("no thread to open interfaces with")]
    Thread(#[source] io::Error),
}

/// Something the operator must know of a capture that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Notice {
    /// Frames come from here now.
    #[error("{name}: capturing")]
    Open {
        /// The interface.
        name: String,
    },
    /// There is none of that name.
    #[error("{name}: there is no such interface (there are {}); waiting for it", present.join(", "))]
    Missing {
        /// The interface.
        name: String,
        /// Those that there are.
        present: Vec<String>,
    },
    /// It is switched off.
    #[error("{name}: is down; capture goes on once it is up")]
    Down {
        /// The interface.
        name: String,
    },
    /// It is switched on again.
    #[error("{name}: is up again")]
    Up {
        /// The interface.
        name: String,
    },
    /// It went away, or another took its name.
    #[error("{name}: {reason}; waiting for it")]
    Lost {
        /// The interface.
        name: String,
        /// What happened.
        reason: String,
    },
    /// Frames were lost before they reached us.
    #[error(
        "{name}: lost {} of {received} packets in {} s: {ring} found the ring full, {interface} were dropped by the \
         interface", ring + interface, over.as_secs().max(1)
    )]
    Dropped {
        /// The interface.
        name: String,
        /// For want of room in the kernel's ring.
        ring: u64,
        /// By the interface or its driver.
        interface: u64,
        /// All that arrived meanwhile, these included.
        received: u64,
        /// How long this took.
        over: Duration,
    },
    /// The driver joins segments before we see them.
    #[error(
        "{name}: a frame of {len} bytes where {mtu} fit: segments are joined before they are captured; bytes \
         are counted right, packets are not; `ethtool -K {name} gro off lro off` mends it"
    )]
    Joined {
        /// The interface.
        name: String,
        /// Bytes of the frame.
        len: u32,
        /// Bytes of the largest packet there may be.
        mtu: u32,
    },
    /// The disk that a recording goes to is slower than what is captured.
    #[error("{}: the disk is too slow: packets are missing from the recording from here on", path.display())]
    Gap {
        /// The file.
        path: PathBuf,
    },
    /// What was captured can no longer be written.
    #[error("{}: cannot be written ({reason}); capture goes on without recording", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

/// The least a ring may hold: some of the largest frames.
pub(super) const RING_MIN: u64 = 1 << 20;
/// The most: libpcap counts in a signed number.
pub(super) const RING_MAX: u64 = 2047 << 20;
