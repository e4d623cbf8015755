//! One interface: its frames, what it lost, and whether it is still there.

use std::time::Duration;

use pcap::{Active, Capture, Packet, Stat};

use super::super::reader::{BYTES_MAX, FRAMES_MAX};
use super::clock;
use super::error::Notice;
use super::link::Link;
use super::opener::{Opened, Refused, message};
use crate::frame::{Batch, Frame, FrameHead, LinkType};
use crate::time::Timestamp;

/// One interface that is captured from while it is there.
pub(super) struct Port {
    pub(super) name: String,
    /// Its place among the interfaces named.
    number: u16,
    state: State,
    /// What was said last of an interface that is not there: said once, not each second.
    said: Option<Refused>,
    /// Its own losses, over all times that it was opened.
    pub(super) lost: Lost,
    /// What was not yet said of them.
    unsaid: Lost,
    /// Frames that arrived since then, those lost included.
    received: u64,
    lost_since: Duration,
    said_at: Option<Duration>,
    has_said_joined: bool,
    /// Frames that wait for those of other interfaces.
    pending: Batch,
    next: usize,
    /// All frames until then are in `pending`, or were handed out.
    complete_until: Timestamp,
}

enum State {
    Closed,
    Asked,
    Open(Box<Handle>),
}

struct Handle {
    capture: Capture<Active>,
    link_type: LinkType,
    /// As it was when it was opened; `None` where that cannot be seen.
    link: Option<Link>,
    is_up: bool,
    /// As counted last; libpcap counts in 32 bits.
    stat: Stat,
    leaving: Option<Leaving>,
}

/// An interface that went away while the kernel still held frames of it.
struct Leaving {
    /// Later frames are another's: the socket goes on hearing an interface that changed its name.
    at: Timestamp,
    /// When the kernel has handed over all, of the machine's uptime.
    until: Duration,
}

/// Frames that never reached us.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The kernel's ring was full.
    pub ring: u64,
    /// The interface or its driver dropped them.
    pub interface: u64,
}

/// How an interface stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortStanding<'a> {
    /// Its name.
    pub name: &'a str,
    /// Is it captured from?
    pub is_open: bool,
    /// What was lost of it.
    pub lost: Lost,
}

impl Lost {
    pub(super) fn total(&self) -> u64 {
        self.ring + self.interface
    }
}

impl Port {
    pub(super) fn new(name: String, number: u16) -> Self {
        Self {
            name,
            number,
            state: State::Closed,
            said: None,
            lost: Lost::default(),
            unsaid: Lost::default(),
            received: 0,
            lost_since: Duration::ZERO,
            said_at: None,
            has_said_joined: false,
            pending: Batch::default(),
            next: 0,
            complete_until: Timestamp::EPOCH,
        }
    }

    /// Is it to be asked for?
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(&self.state, State::Open(handle) if handle.leaving.is_none())
    }

    pub(super) fn standing(&self) -> PortStanding<'_> {
        PortStanding { name: &self.name, is_open: self.is_open(), lost: self.lost }
    }

    pub(super) fn set_asked(&mut self) {
        self.state = State::Asked;
    }

    /// Where to wait for frames: nowhere while some wait for other interfaces.
    pub(super) fn awaited(&self) -> Option<&Capture<Active>> {
        match &self.state {
            State::Open(handle) if self.is_open() && self.is_spent() => Some(&handle.capture),
            State::Open(_) | State::Asked | State::Closed => None,
        }
    }

    /// Takes what the opener answered.
    pub(super) fn take(&mut self, reply: Result<Opened, Refused>) -> Option<Notice> {
        let name = self.name.clone();
        match reply {
            Ok(Opened { capture, link_type, link }) => {
                let stat = Stat { received: 0, dropped: 0, if_dropped: 0 };
                let (is_up, leaving) = (true, None);
                let handle = Handle { capture, link_type, link, is_up, stat, leaving };
                self.state = State::Open(Box::new(handle));
                self.said = None;
                Some(Notice::Open { name })
            }
            Err(refused) => {
                self.state = State::Closed;
                if self.said.as_ref() == Some(&refused) {
                    return None;
                }
                self.said = Some(refused.clone());
                Some(match refused {
                    Refused::Missing => Notice::Missing { name, present: Link::names() },
                    Refused::Down => Notice::Down { name },
                    Refused::Privilege => {
                        Notice::Lost { name, reason: "may no longer be opened".to_owned() }
                    }
                    Refused::Filter(error) => Notice::Lost { name, reason: error.to_string() },
                    Refused::Other(reason) => Notice::Lost { name, reason },
                })
            }
        }
    }

    /// Looks whether the interface is still there and still the same, and what was lost.
    pub(super) fn check(&mut self, uptime: Duration, tell: &mut impl FnMut(Notice)) {
        let State::Open(handle) = &mut self.state else { return };
        let name = || self.name.clone();
        if let (Some(then), None) = (handle.link, &handle.leaving) {
            let gone = match Link::of(&self.name) {
                None => Some("is gone, or has another name"),
                Some(link) if link.index != then.index => Some("is another interface now"),
                Some(link) if link.is_up != handle.is_up => {
                    handle.is_up = link.is_up;
                    tell(if link.is_up {
                        Notice::Up { name: name() }
                    } else {
                        Notice::Down { name: name() }
                    });
                    None
                }
                Some(_) => None,
            };
            if let Some(reason) = gone {
                self.leave(reason, tell);
            }
        }
        self.count_lost();
        self.tell_lost(uptime, SAY_AGAIN_AFTER, tell);
    }

    /// Puts frames that are there into `batch`, about as much as a batch holds.
    pub(super) fn fill(&mut self, batch: &mut Batch, tell: &mut impl FnMut(Notice)) {
        let State::Open(handle) = &mut self.state else { return };
        let before = batch.heads.len();
        let Handle { capture, link_type, leaving, .. } = &mut **handle;
        let from = (self.number, *link_type);
        let last = leaving.as_ref().map_or(Timestamp::MAX, |leaving| leaving.at);
        let failed = loop {
            let some = FRAMES_AT_ONCE.min(FRAMES_MAX.saturating_sub(batch.heads.len()));
            if some == 0 || batch.bytes.len() >= BYTES_MAX {
                break None;
            }
            match capture.dispatch(Some(some), |packet| push(batch, from, last, &packet)) {
                Ok(0) => break None,
                Ok(_) => {}
                Err(error) => break Some(message(error)),
            }
        };
        if let Some(link) = handle.link
            && !self.has_said_joined
        {
            let room = link.mtu.saturating_add(HEADER_MAX);
            if let Some(head) = batch.heads[before..].iter().find(|head| head.wire_len > room) {
                self.has_said_joined = true;
                let (name, len) = (self.name.clone(), head.wire_len);
                tell(Notice::Joined { name, len, mtu: link.mtu });
            }
        }
        match (&handle.leaving, failed) {
            (Some(leaving), _) if leaving.until <= clock::uptime() => {
                self.count_lost();
                self.state = State::Closed;
            }
            // What the kernel says once more of an interface that is gone is no news.
            (Some(_), _) | (None, None) => {}
            (None, Some(reason)) => self.leave(&reason, tell),
        }
    }

    /// Makes frames wait here, if none do. Until `quiet_until` all have come, if none come now.
    pub(super) fn fill_pending(&mut self, quiet_until: Timestamp, tell: &mut impl FnMut(Notice)) {
        if !self.is_spent() {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.clear();
        self.fill(&mut pending, tell);
        self.complete_until = match pending.heads.last() {
            Some(head) => head.at,
            None => quiet_until,
        };
        (self.pending, self.next) = (pending, 0);
    }

    /// Until when all frames are here; `None` when none will come.
    pub(super) fn horizon(&self) -> Option<Timestamp> {
        let has_more = matches!(self.state, State::Open(_)) || !self.is_spent();
        has_more.then_some(self.complete_until)
    }

    /// The first frame that waits.
    pub(super) fn head(&self) -> Option<FrameHead> {
        self.pending.heads.get(self.next).copied()
    }

    /// Takes the first frame that waits.
    pub(super) fn pop(&mut self, into: &mut Batch) {
        if let Some(head) = self.head() {
            into.push_from(self.pending.frame(head), head.port);
            self.next += 1;
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.next >= self.pending.heads.len()
    }

    /// Adds what was lost since the last call.
    pub(super) fn count_lost(&mut self) {
        let State::Open(handle) = &mut self.state else { return };
        let Ok(stat) = handle.capture.stats() else { return };
        let since = |now: u32, then: u32| u64::from(now.wrapping_sub(then));
        let ring = since(stat.dropped, handle.stat.dropped);
        let interface = since(stat.if_dropped, handle.stat.if_dropped);
        self.received += since(stat.received, handle.stat.received) + interface;
        for lost in [&mut self.lost, &mut self.unsaid] {
            lost.ring += ring;
            lost.interface += interface;
        }
        handle.stat = stat;
    }

    /// Says what was lost: at once, and then no sooner than `again_after`.
    pub(super) fn tell_lost(
        &mut self,
        uptime: Duration,
        again_after: Duration,
        tell: &mut impl FnMut(Notice),
    ) {
        if self.unsaid.total() == 0 {
            (self.received, self.lost_since) = (0, uptime);
            return;
        }
        if self.said_at.is_some_and(|at| uptime < at + again_after) {
            return;
        }
        let Lost { ring, interface } = std::mem::take(&mut self.unsaid);
        let received = std::mem::take(&mut self.received);
        let over = uptime.saturating_sub(self.lost_since);
        tell(Notice::Dropped { name: self.name.clone(), ring, interface, received, over });
        (self.said_at, self.lost_since) = (Some(uptime), uptime);
    }

    /// Closes it once the frames are there that came before it went away.
    fn leave(&mut self, reason: &str, tell: &mut impl FnMut(Notice)) {
        let State::Open(handle) = &mut self.state else { return };
        let until = clock::uptime() + LAST_FRAMES;
        handle.leaving = Some(Leaving { at: clock::now(), until });
        // That there is none of the name any more is no news then.
        self.said = Some(Refused::Missing);
        tell(Notice::Lost { name: self.name.clone(), reason: reason.to_owned() });
    }
}

fn push(batch: &mut Batch, (port, link): (u16, LinkType), last: Timestamp, packet: &Packet<'_>) {
    let header = packet.header;
    let at = Timestamp::from_secs_nanos(
        header.ts.tv_sec.try_into().unwrap_or(0),
        // Asked for nanoseconds, libpcap puts them where microseconds would be.
        header.ts.tv_usec.try_into().unwrap_or(0),
    );
    if at <= last {
        batch.push_from(Frame { at, link, wire_len: header.len, bytes: packet.data }, port);
    }
}

/// Frames taken from the ring before their bytes are added up.
const FRAMES_AT_ONCE: usize = 64;

/// More than any link's header with its VLAN tags.
const HEADER_MAX: u32 = 64;

/// Longer than the kernel holds back frames.
const LAST_FRAMES: Duration = Duration::from_millis(40);

/// Losses go on being said so often.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(60);
