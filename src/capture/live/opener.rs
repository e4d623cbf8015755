//! The one thread that may open interfaces. It looks at no frame.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use pcap::{Active, Capture, Precision};

use super::super::filter::{FilterError, link_type};
use super::error::LiveError;
use super::link::Link;
use super::privilege;
use crate::frame::LinkType;

/// How interfaces are opened.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    pub(super) snap_len: u32,
    pub(super) ring_bytes: u64,
    pub(super) filter: Option<String>,
}

/// An interface that frames can be had from.
pub(super) struct Opened {
    pub(super) capture: Capture<Active>,
    pub(super) link_type: LinkType,
    pub(super) link: Option<Link>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    Missing,
    Down,
    Privilege,
    Filter(FilterError),
    Other(String),
}

impl Refused {
    /// What is the end of it at the start; `None`: wait.
    pub(super) fn into_error(self, name: &str) -> Option<LiveError> {
        let name = name.to_owned();
        match self {
            Self::Missing | Self::Down => None,
            Self::Privilege => Some(LiveError::Privilege { name, remedy: privilege::remedy() }),
            Self::Filter(error) => Some(error.into()),
            Self::Other(reason) => Some(LiveError::Refused { name, reason }),
        }
    }
}

/// Asks the thread, and hears from it. The thread ends with this.
pub(super) struct Opener {
    requests: SyncSender<(usize, String)>,
    replies: Receiver<(usize, Result<Opened, Refused>)>,
}

impl Opener {
    /// Starts the thread, which serves up to `ports` interfaces.
    pub(super) fn start(manner: Manner, ports: usize) -> Result<Self, LiveError> {
        let (requests, asked) = sync_channel::<(usize, String)>(ports);
        let (reply, replies) = sync_channel(ports);
        let serve = move || {
            // What cannot be given up was not there to begin with, or is kept by the kernel's own rules.
            let _ = privilege::keep_capture();
            for (port, name) in asked {
                if reply.send((port, open(&name, &manner))).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("opener".to_owned());
        thread.spawn(serve).map_err(LiveError::Thread)?;
        Ok(Self { requests, replies })
    }

    /// Asks for an interface; one request a port at a time.
    pub(super) fn ask(&self, port: usize, name: &str) {
        // The thread hangs up only by panicking; the interface then stays closed.
        let _ = self.requests.send((port, name.to_owned()));
    }

    /// An answer, if one is there.
    pub(super) fn hear(&self) -> Option<(usize, Result<Opened, Refused>)> {
        self.replies.try_recv().ok()
    }

    /// An answer, waited for.
    pub(super) fn await_reply(&self) -> Option<(usize, Result<Opened, Refused>)> {
        self.replies.recv().ok()
    }
}

fn open(name: &str, manner: &Manner) -> Result<Opened, Refused> {
    // Looked at first: if another takes the name meanwhile, its number differs, and that is seen.
    let link = Link::of(name);
    let open = || {
        Capture::from_device(name)?
            .promisc(name != ANY)
            .snaplen(i32::try_from(manner.snap_len).unwrap_or(i32::MAX))
            .buffer_size(i32::try_from(manner.ring_bytes).unwrap_or(i32::MAX))
            .timeout(BLOCK_MILLIS)
            .precision(Precision::Nano)
            .open()?
            .setnonblock()
    };
    let mut capture = open().map_err(|error| match link {
        _ if !privilege::may_capture() => Refused::Privilege,
        None => Refused::Missing,
        Some(Link { is_up: false, .. }) => Refused::Down,
        Some(_) => Refused::Other(message(error)),
    })?;
    let link_type = link_type(capture.get_datalink());
    if let Some(expression) = &manner.filter {
        capture.filter(expression, true).map_err(|error| {
            Refused::Filter(FilterError::Compile {
                expression: expression.clone(),
                link: link_type,
                message: message(error),
            })
        })?;
    }
    Ok(Opened { capture, link_type, link })
}

pub(super) fn message(error: pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(message) => message,
        other => other.to_string(),
    }
}

/// The kernel's name for all interfaces together; they are not made promiscuous by it.
const ANY: &str = "any";

/// How long the kernel keeps frames back to hand over a block of them.
const BLOCK_MILLIS: i32 = 5;
