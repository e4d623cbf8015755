//! Deltas to egress: who inside sent how much to whom outside, today and in sliding windows, or flow by
//! flow.

mod border;
mod host;
mod ledger;
mod record;
mod window;

pub use border::{Crossing, Place, Scope};
pub use host::{FlowBytes, HOST_BYTES, Host, HostDay, PAIR_BYTES, Pair, PairDay};
pub use ledger::Ledger;
pub use record::{FlowRecord, FlowTunnel, Party, RecordClosing, RecordEnd};
pub use window::{SlidingSum, WINDOWS, WindowSums};

use indexmap::IndexMap;

use crate::flow::FlowDelta;
use crate::net::{Addr, Subnets};
use crate::time::{Calendar, Day, Timestamp};

/// The owner of an outside end. It is known by its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination(pub Addr);

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Hosts that are compared with one another: those of one declared role.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u8);

impl Group {
    /// Hosts of which nobody said what they are.
    pub const UNDECLARED: Self = Self(0);
}

/// What is inside, and how much is remembered.
#[derive(Debug, Clone)]
pub struct Options {
    /// Networks that are ours.
    pub internal: Subnets,
    /// Days begin at midnight of this zone.
    pub timezone: jiff::tz::TimeZone,
    /// Bytes in a day below which no pair is judged.
    pub floor_bytes: u64,
    /// Hosts at most. The one that sent least among a few makes room.
    pub hosts_max: usize,
    /// Pairs of host and destination at most in one day. The smallest among a few makes room.
    pub pairs_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            internal: Subnets::private(),
            floor_bytes: 1 << 20,
            timezone: jiff::tz::TimeZone::UTC,
            hosts_max: 1 << 17,
            pairs_max: 1 << 20,
        }
    }
}

/// What was seen, by where it went.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Bytes sent by inside hosts to the outside (unique or acknowledged payload).
    pub bytes_out: u64,
    /// Those of them that the capture holds.
    pub bytes_out_seen: u64,
    /// Bytes sent from the outside to inside hosts.
    pub bytes_in: u64,
    /// Bytes between inside hosts.
    pub bytes_inside: u64,
    /// Bytes between two outside ends.
    pub bytes_outside: u64,
    /// Hosts forgotten because there were too many.
    pub hosts_evicted: u64,
    /// Pairs of host and destination forgotten because there were too many; their bytes stay in the
    /// hosts' sums.
    pub pairs_evicted: u64,
}

/// What folding a delta changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// The inside host that sent something.
    pub host: Addr,
    /// To whom.
    pub destination: Destination,
    /// Has enough been added, or enough time gone by, to judge the pair again?
    pub is_due: bool,
    /// Where the two are held, until the next delta.
    at: (usize, usize),
}

/// Egress of every host: today's sums per destination, and sliding windows.
#[derive(Debug, Clone)]
pub struct Egress {
    options: Options,
    calendar: Calendar,
    day: Day,
    hosts: IndexMap<Addr, Host, foldhash::fast::RandomState>,
    /// Hosts that sent something today, in order of their first sending.
    active: Vec<Addr>,
    pairs: usize,
    /// Where the search for something to forget goes on.
    hand: usize,
    /// Days cut short because their host made room for another.
    forgotten: Vec<HostDay>,
    totals: Totals,
}

impl Egress {
    /// Nothing seen yet.
    pub fn new(options: Options) -> Self {
        Self {
            calendar: Calendar::new(options.timezone.clone()),
            options,
            day: Day::default(),
            hosts: IndexMap::default(),
            active: Vec::new(),
            pairs: 0,
            hand: 0,
            forgotten: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// The day of `at`, and whether it is another than that of the deltas folded so far.
    ///
    /// The caller then closes the old day before it folds more.
    pub fn day_of(&mut self, at: Timestamp) -> (Day, bool) {
        let day = self.calendar.day(at);
        (day, day != self.day)
    }

    /// Adds a delta. `group_of` is asked once for every host, and `is_young`, whether a destination is
    /// on probation for a host, once for every pair and day.
    pub fn fold(
        &mut self,
        delta: &FlowDelta,
        group_of: impl FnOnce(Addr) -> Group,
        is_young: impl FnOnce(Addr, Destination) -> bool,
    ) -> Option<Touch> {
        let crossing = self.crossing(delta)?;
        let out = *delta.sent_by(crossing.side);
        let back = delta.sent_by(crossing.side.other());
        self.totals.bytes_out += out.sent;
        self.totals.bytes_out_seen += out.payload;
        self.totals.bytes_in += back.sent;
        let host_at = match self.hosts.get_index_of(&crossing.host) {
            Some(at) => at,
            None => self.start_host(Host::new(crossing.host, group_of(crossing.host))),
        };
        let destination = Destination(crossing.peer);
        let host = &mut self.hosts[host_at];
        host.receive(back.sent);
        let known = host.pair_index(destination);
        if out.sent == 0 {
            let at = (host_at, known?);
            host.receive_from(at.1, back);
            return Some(Touch { host: crossing.host, destination, is_due: false, at });
        }
        if !host.is_active() {
            self.active.push(crossing.host);
        }
        let pair_at = match known {
            Some(at) => at,
            None => {
                if self.pairs >= self.options.pairs_max {
                    self.forget_pair(host_at);
                }
                self.pairs += 1;
                let is_young = is_young(crossing.host, destination);
                self.hosts[host_at].start_pair(destination, delta, is_young)
            }
        };
        let host = &mut self.hosts[host_at];
        let is_due = host.send(pair_at, delta, crossing.side, self.options.floor_bytes);
        Some(Touch { host: crossing.host, destination, is_due, at: (host_at, pair_at) })
    }

    /// The host and the pair that the latest delta touched.
    pub fn touched(&self, touch: &Touch) -> (&Host, &Pair) {
        let host = &self.hosts[touch.at.0];
        (host, host.pair_at(touch.at.1))
    }

    fn start_host(&mut self, host: Host) -> usize {
        if self.hosts.len() >= self.options.hosts_max {
            self.forget_host();
        }
        self.hosts.insert_full(host.addr(), host).0
    }

    /// Ends the day: what each host sent in it, in order of its first sending. Windows slide on.
    pub fn close_day(&mut self, next: Day) -> Vec<HostDay> {
        let day = std::mem::replace(&mut self.day, next);
        self.pairs = 0;
        let active = std::mem::take(&mut self.active);
        active.into_iter().filter_map(|host| self.hosts.get_mut(&host)?.close_day(day)).collect()
    }

    /// Hosts that sent something today, in order of their first sending.
    pub fn active(&self) -> impl Iterator<Item = &Host> {
        self.active.iter().filter_map(|host| self.hosts.get(host))
    }

    /// The day that deltas are folded into.
    pub fn day(&self) -> Day {
        self.day
    }

    /// Takes the days that were cut short because their host made room for another.
    pub fn take_forgotten(&mut self) -> Vec<HostDay> {
        std::mem::take(&mut self.forgotten)
    }

    /// A host by its address.
    pub fn host(&self, addr: Addr) -> Option<&Host> {
        self.hosts.get(&addr)
    }

    /// A host by its address, to mark one of its pairs.
    pub fn host_mut(&mut self, addr: Addr) -> Option<&mut Host> {
        self.hosts.get_mut(&addr)
    }

    /// All hosts in order of appearance.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = &Host> {
        self.hosts.values()
    }

    /// What was seen, by where it went.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The networks that are ours.
    pub fn internal(&self) -> &Subnets {
        &self.options.internal
    }

    /// The zone whose midnight divides the days.
    pub fn zone_name(&self) -> &str {
        self.calendar.zone_name()
    }

    fn crossing(&mut self, delta: &FlowDelta) -> Option<Crossing> {
        let bytes = delta.low.sent + delta.high.sent;
        match Place::of(&self.options.internal, delta) {
            Place::Border(crossing) => return Some(crossing),
            Place::Inside => self.totals.bytes_inside += bytes,
            Place::Outside => self.totals.bytes_outside += bytes,
        }
        None
    }

    /// Makes room for a host: of the next few, the one that sent least goes, and its day is handed on.
    fn forget_host(&mut self) {
        let sample = sample(&mut self.hand, self.hosts.len());
        let Some(index) = sample.min_by_key(|&index| self.hosts[index].total_out().sent) else {
            return;
        };
        if let Some((_, mut host)) = self.hosts.swap_remove_index(index) {
            self.pairs -= host.pairs().len();
            self.totals.hosts_evicted += 1;
            self.forgotten.extend(host.close_day(self.day));
        }
    }

    /// Makes room for a pair: of a few hosts and this one, the one with most pairs loses its smallest.
    fn forget_pair(&mut self, newcomer: usize) {
        let sample = sample(&mut self.hand, self.hosts.len()).chain([newcomer]);
        if let Some(index) = sample.max_by_key(|&index| self.hosts[index].pairs().len())
            && self.hosts[index].forget_pair()
        {
            self.pairs -= 1;
            self.totals.pairs_evicted += 1;
        }
    }
}

/// The next few places of a table of `len`, going round.
fn sample(hand: &mut usize, len: usize) -> impl Iterator<Item = usize> + use<> {
    let start = *hand;
    *hand = hand.wrapping_add(EVICTION_SAMPLE);
    (0..EVICTION_SAMPLE.min(len)).map(move |step| start.wrapping_add(step) % len)
}

/// Candidates looked at to find something to forget.
const EVICTION_SAMPLE: usize = 16;
