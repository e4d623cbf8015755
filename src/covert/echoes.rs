//! What inside hosts ping outside, and with what.

use std::time::Duration;

use indexmap::IndexMap;
use indexmap::map::Entry;
use serde::{Deserialize, Serialize};

use super::channel::{Channel, ChannelDay, Channels, Tally, Touch};
use super::distinct::mix;
use crate::egress::{Destination, HostKey};
use crate::names::Echo;
use crate::net::{Addr, Subnets};
use crate::time::Timestamp;

/// Today's echoes between inside hosts and outside addresses.
///
/// A request tells what it carries. A reply must return what the request carried (RFC 792), so one that does tells
/// nothing new; a reply that does not tells as much as a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Echoes {
    channels: Channels<Pings>,
    hosts: IndexMap<HostKey, Sweep, foldhash::fast::RandomState>,
    key: u64,
}

/// What only a channel of echoes has.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Pings {
    /// Replies to the host.
    pub replies: u64,
    /// Those of them that returned what one of its latest requests carried.
    pub mirrored: u64,
    has_asked: bool,
    /// Digests of the latest requests, out and in, round and round.
    sent: Latest,
    received: Latest,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Latest {
    digests: [u64; LATEST],
    next: usize,
    count: usize,
}

/// All that a host pings outside today.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sweep {
    /// The first request.
    pub first_at: Timestamp,
    /// The latest request.
    pub last_at: Timestamp,
    /// Requests.
    pub out: Tally,
    /// Addresses that were pinged.
    asked: u64,
    /// Those of them that replied.
    answered: u64,
    /// What `asked` was when it was last noted; all of these have had time to reply.
    settled: u64,
    noted: u64,
    noted_at: Timestamp,
    next_look: u64,
    looked_at: Timestamp,
    clipped: Option<u64>,
}

/// A finished day of a host.
#[derive(Debug, Clone)]
pub struct EchoDay {
    /// Who.
    pub host: HostKey,
    /// What it told whom.
    pub channels: Vec<ChannelDay>,
    /// Addresses that it pinged and that never replied, before it fell under suspicion.
    pub unanswered: u64,
}

impl Latest {
    fn add(&mut self, digest: u64) {
        self.digests[self.next] = digest;
        self.next = (self.next + 1) % LATEST;
        self.count = (self.count + 1).min(LATEST);
    }

    fn has(&self, digest: u64) -> bool {
        self.digests[..self.count].contains(&digest)
    }
}

impl Sweep {
    fn new(at: Timestamp) -> Self {
        Self {
            first_at: at,
            last_at: at,
            out: Tally::default(),
            asked: 0,
            answered: 0,
            settled: 0,
            noted: 0,
            noted_at: at,
            next_look: 0,
            looked_at: at,
            clipped: None,
        }
    }

    /// Addresses pinged that have not replied, though they have had time to.
    pub fn unanswered(&self) -> u64 {
        self.settled.saturating_sub(self.answered)
    }

    fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.out = self.out.plus(other.out);
    }

    fn is_due(&mut self, at: Timestamp) -> bool {
        if at >= self.noted_at.plus(REPLY_WITHIN) {
            (self.settled, self.noted, self.noted_at) = (self.noted, self.asked, at);
        }
        let unanswered = self.unanswered();
        let minute_is_over = at >= self.looked_at.plus(Duration::from_secs(60));
        if unanswered < Echoes::SWEEP_FLOOR || unanswered < self.next_look && !minute_is_over {
            return false;
        }
        self.next_look = unanswered + (unanswered / 10).max(1);
        self.looked_at = at;
        true
    }
}

impl Echoes {
    /// Channels held at most.
    pub const CHANNELS_MAX: usize = 1 << 12;
    /// Hosts held at most; what more of them ping is not counted.
    pub const HOSTS_MAX: usize = 1 << 14;
    /// Bytes told in a day below which nothing is judged.
    pub const FLOOR: u64 = 4096;
    /// Silent addresses below which nothing is judged.
    pub const SWEEP_FLOOR: u64 = 8;
    /// Memory that all of it takes at most, in bytes.
    pub const BYTES_MAX: usize = Self::CHANNELS_MAX * Channels::<Pings>::CHANNEL_BYTES
        + Self::HOSTS_MAX * (size_of::<Sweep>() + 40) * 3 / 2;

    /// Takes an echo; `who` says whose address the inside one is. Those that do not cross the border are not
    /// counted.
    pub fn take(
        &mut self,
        echo: &Echo,
        internal: &Subnets,
        who: impl FnOnce(Addr) -> HostKey,
    ) -> Option<Touch> {
        let (from, to) = (echo.flow.end(echo.sender).addr, echo.flow.end(echo.sender.other()).addr);
        let is_out = match (internal.contains(from), internal.contains(to)) {
            (true, false) => true,
            (false, true) => false,
            (true, true) | (false, false) => return None,
        };
        if self.key == 0 {
            self.key = mix(echo.at.as_nanos()) | 1;
        }
        let (addr, peer) = if is_out { (from, to) } else { (to, from) };
        let host = who(addr);
        let destination = Destination::of_address(peer);
        if !is_out && self.channels.get(host, destination).is_none() && echo.is_reply {
            return None;
        }
        if self.hosts.len() >= Self::HOSTS_MAX && !self.hosts.contains_key(&host) {
            return None;
        }
        let sweep = self.hosts.entry(host).or_insert_with(|| Sweep::new(echo.at));
        let (channel, _) = self.channels.open((host, addr), destination, echo.at);
        channel.meet(peer);
        let tally = if is_out { &mut channel.out } else { &mut channel.back };
        tally.add(echo.bytes);
        let pings = &mut channel.detail;
        match (is_out, echo.is_reply) {
            (true, false) => {
                sweep.asked += u64::from(!pings.has_asked);
                pings.has_asked = true;
                pings.sent.add(echo.data.digest);
                sweep.out.add(echo.bytes);
                sweep.last_at = echo.at;
                channel.tell(echo.data.digest, echo.data.bits, self.key);
            }
            (true, true) if pings.received.count > 0 && !pings.received.has(echo.data.digest) => {
                channel.tell(echo.data.digest, echo.data.bits, self.key);
            }
            (true, true) => {}
            (false, true) => {
                sweep.answered += u64::from(pings.has_asked && pings.replies == 0);
                pings.replies += 1;
                pings.mirrored += u64::from(pings.sent.has(echo.data.digest));
            }
            (false, false) => pings.received.add(echo.data.digest),
        }
        if is_out {
            channel.keep_flow(echo.flow, echo.sender, echo.bytes);
        }
        let is_due = is_out && channel.is_due(Self::FLOOR) | sweep.is_due(echo.at);
        Some(Touch { host, destination, is_due })
    }

    /// What was pinged from an address was pinged by the machine that turns out to have it, but for addresses
    /// that it has pinged itself. Answers which.
    pub fn unite(&mut self, from: HostKey, to: HostKey) -> Vec<Destination> {
        let Some(sweep) = self.hosts.swap_remove(&from) else { return Vec::new() };
        match self.hosts.entry(to) {
            Entry::Vacant(free) => drop(free.insert(sweep)),
            Entry::Occupied(mut known) => known.get_mut().add(&sweep),
        }
        self.channels.unite(from, to)
    }

    /// Today's channels.
    pub fn channels(&self) -> &Channels<Pings> {
        &self.channels
    }

    /// All that a host pings outside today.
    pub fn sweep(&self, host: HostKey) -> Option<&Sweep> {
        self.hosts.get(&host)
    }

    /// Puts a channel under suspicion.
    pub fn mark(&mut self, host: HostKey, destination: Destination) {
        self.channels.mark(host, destination);
    }

    /// Puts under suspicion how many addresses a host pings.
    pub fn mark_sweep(&mut self, host: HostKey) {
        if let Some(sweep) = self.hosts.get_mut(&host) {
            let unanswered = sweep.unanswered();
            sweep.clipped.get_or_insert(unanswered);
        }
    }

    /// Ends the day: what each host has told, in the order in which the hosts began to ping.
    pub fn close_day(&mut self) -> Vec<EchoDay> {
        let hosts = std::mem::take(&mut self.hosts);
        let mut days: IndexMap<HostKey, EchoDay, foldhash::fast::RandomState> = hosts
            .into_iter()
            .map(|(host, sweep)| {
                let unanswered =
                    sweep.clipped.unwrap_or(sweep.asked.saturating_sub(sweep.answered));
                (host, EchoDay { host, channels: Vec::new(), unanswered })
            })
            .collect();
        for channel in self.channels.take() {
            if let Some(day) = days.get_mut(&channel.host)
                && channel.told() > 0
            {
                day.channels.push(channel.finished());
            }
        }
        days.into_values().collect()
    }
}

impl Default for Echoes {
    fn default() -> Self {
        Self { channels: Channels::new(Self::CHANNELS_MAX), hosts: IndexMap::default(), key: 0 }
    }
}

impl Channel<Pings> {
    /// Was it pinged, and has it never replied?
    pub fn is_silent(&self) -> bool {
        self.detail.has_asked && self.detail.replies == 0
    }

    /// Have there been replies, and did most of them return something else than they were sent?
    pub fn is_mismatched(&self) -> bool {
        self.detail.replies >= REPLIES_MIN && self.detail.mirrored * 2 < self.detail.replies
    }
}

/// Requests of which the data are remembered, to know a reply by.
const LATEST: usize = 8;

/// Time in which an address replies that does; twice that at most is waited.
const REPLY_WITHIN: Duration = Duration::from_secs(5);

/// Replies from which something can be said of them.
const REPLIES_MIN: u64 = 8;
