//! Deltas to egress: who inside sent how much to whom outside, today and in sliding windows, or flow by
//! flow.

mod border;
mod class;
mod host;
mod intake;
mod key;
mod ledger;
mod pairs;
mod record;
mod relays;
mod window;

pub use border::{Crossing, Place, Scope};
pub use class::{Class, OfClass};
pub use host::{HOST_BYTES, Host, HostDay, PairDay};
pub use intake::{Intake, IntakeDay, Intakes};
pub use key::{HostKey, NoHost};
pub use ledger::Ledger;
pub use pairs::{FlowBytes, PAIR_BYTES, Pair, Pairs};
pub use record::{Errand, FlowRecord, FlowTunnel, Party, RecordClosing, RecordEnd};
pub use relays::{Onward, Relays};
pub use window::{WINDOWS, WindowSums, Windows};

pub use crate::names::Destination;

use std::hash::BuildHasher;

use serde::{Deserialize, Serialize};

use crate::arena::{Arena, Hand, Index, NIL};
use crate::flow::{FlowDelta, FlowKey};
use crate::net::{Addr, Protocol, Subnets};
use crate::time::{Calendar, Day, Timestamp};

/// Hosts that are compared with one another: those of one declared role.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
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
    /// Bytes between inside relays and the outside, on behalf of hosts that have them in their own sums.
    pub bytes_relayed: u64,
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
    pub host: HostKey,
    /// To whom.
    pub destination: Destination,
    /// Has enough been added, or enough time gone by, to judge the pair again?
    pub is_due: bool,
    /// The numbers of the two, until one of them is forgotten.
    host_at: u32,
    pair_at: u32,
}

/// Where the sums of a delta probably stand.
#[derive(Debug, Clone, Copy)]
pub struct Spot {
    place: Place,
    /// Who the inside host is, where the border is crossed.
    host: Option<HostKey>,
    /// Hashes, then numbers, of host and pair.
    hashes: (u32, u32),
    numbers: (u32, u32),
}

impl Spot {
    /// Where its delta belongs.
    pub fn place(&self) -> Place {
        self.place
    }
}

/// Egress of every host: today's sums per destination, and sliding windows.
///
/// What is read back lives only after [`Egress::resume`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Egress {
    #[serde(skip)]
    options: Options,
    #[serde(skip)]
    calendar: Calendar,
    day: Day,
    #[serde(skip)]
    index: Index,
    hosts: Arena<Host>,
    #[serde(skip)]
    hasher: foldhash::fast::RandomState,
    pairs: Pairs,
    /// Hosts that sent something today, in order of their first sending, by number and key.
    active: Vec<(u32, HostKey)>,
    /// Where the search for something to forget goes on.
    hand: Hand,
    /// What hosts took from one another.
    #[serde(default)]
    intakes: Intakes,
    /// Days cut short because their host made room for another.
    #[serde(skip)]
    forgotten: Vec<HostDay>,
    /// Of this run.
    #[serde(skip)]
    totals: Totals,
}

impl Egress {
    /// Nothing seen yet.
    pub fn new(options: Options) -> Self {
        Self {
            calendar: Calendar::new(options.timezone.clone()),
            options,
            day: Day::default(),
            index: Index::new(),
            hosts: Arena::new(),
            hasher: foldhash::fast::RandomState::default(),
            pairs: Pairs::default(),
            active: Vec::new(),
            hand: Hand::default(),
            intakes: Intakes::default(),
            forgotten: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Lives again, as another process kept it. `group_of` is asked anew for every host.
    #[must_use]
    pub fn resume(mut self, options: Options, group_of: impl Fn(HostKey) -> Group) -> Self {
        self.calendar = Calendar::new(options.timezone.clone());
        self.options = options;
        for (_, host) in self.hosts.held_mut() {
            host.regroup(group_of(host.key()));
        }
        for (number, host) in self.hosts.held() {
            self.index.insert(hash(&self.hasher, host.key()), number);
        }
        let hosts = &self.hosts;
        self.pairs.resume(|host| hosts[host].key());
        self
    }

    /// The day of `at`, and whether it is another than that of the deltas folded so far.
    ///
    /// The caller then closes the old day before it folds more.
    pub fn day_of(&mut self, at: Timestamp) -> (Day, bool) {
        let day = self.calendar.day(at);
        (day, day != self.day)
    }

    /// Says where a delta belongs, and asks for what [`Egress::approach`] looks at. `route` corrects its
    /// place by what is known of its ends, `who` says whose address the inside one is.
    ///
    /// The three steps before [`Egress::fold`] only bring memory nearer. To be called for some deltas
    /// each, so that their cache misses overlap.
    pub fn place(
        &self,
        delta: &FlowDelta,
        route: impl FnOnce(Place) -> Place,
        who: impl FnOnce(Addr) -> HostKey,
    ) -> Spot {
        let place = route(Place::of(&self.options.internal, &delta.key));
        let mut spot = Spot { place, host: None, hashes: (0, 0), numbers: (NIL, NIL) };
        if let Place::Border(Crossing { host, destination, .. }) = place {
            let host = who(host);
            spot.host = Some(host);
            spot.hashes = (hash(&self.hasher, host), self.pairs.hash(host, destination));
            self.index.prefetch(spot.hashes.0);
            self.pairs.prefetch(spot.hashes.1);
        }
        spot
    }

    /// Says anew where a delta belongs: something was learned since.
    pub fn reroute(
        &self,
        delta: &FlowDelta,
        spot: &mut Spot,
        route: impl FnOnce(Place) -> Place,
        who: impl FnOnce(Addr) -> HostKey,
    ) {
        let place = route(Place::of(&self.options.internal, &delta.key));
        let host = match place {
            Place::Border(Crossing { host, .. }) => Some(who(host)),
            Place::Inside | Place::Outside | Place::Relayed(_) => None,
        };
        if (place, host) != (spot.place, spot.host) {
            *spot = self.place(delta, |_| place, |addr| host.unwrap_or(HostKey::Address(addr)));
        }
    }

    /// Asks for what [`Egress::fold`] looks at.
    pub fn approach(&self, spot: &mut Spot) {
        if let Place::Border(_) = spot.place {
            let host = self.index.find(spot.hashes.0, |_| true).unwrap_or(NIL);
            if let Some(host) = self.hosts.get(host) {
                host.prefetch();
            }
            spot.numbers = (host, self.pairs.guess(spot.hashes.1));
        }
    }

    /// Asks for what lies behind that: in a step of its own.
    pub fn approach_media(&self, delta: &FlowDelta, spot: &Spot) {
        if delta.key.protocol == Protocol::UDP
            && let Some(host) = self.hosts.get(spot.numbers.0)
        {
            host.prefetch_media();
        }
    }

    /// Adds a delta, whose spot this is. `group_of` is asked once for every host, and `is_young`, whether
    /// a destination is on probation for a host, once for every pair and day.
    pub fn fold(
        &mut self,
        delta: &FlowDelta,
        spot: Spot,
        group_of: impl FnOnce(HostKey) -> Group,
        is_young: impl FnOnce(HostKey, Destination) -> bool,
    ) -> Option<Touch> {
        let bytes = delta.low.sent + delta.high.sent;
        let crossing = match spot.place {
            Place::Border(crossing) => crossing,
            Place::Inside => {
                self.totals.bytes_inside += bytes;
                return None;
            }
            Place::Outside => {
                self.totals.bytes_outside += bytes;
                return None;
            }
            Place::Relayed(_) => {
                self.totals.bytes_relayed += bytes;
                return None;
            }
        };
        let out = *delta.sent_by(crossing.side);
        let back = delta.sent_by(crossing.side.other());
        self.totals.bytes_out += out.sent;
        self.totals.bytes_out_seen += out.payload;
        self.totals.bytes_in += back.sent;
        let (addr, destination) = (crossing.host, crossing.destination);
        let key = spot.host.unwrap_or(HostKey::Address(addr));
        let host_at = match self.hosts.get(spot.numbers.0) {
            Some(host) if host.key() == key => spot.numbers.0,
            Some(_) | None => self.number_of(key, spot.hashes.0).unwrap_or_else(|| {
                self.start_host(Host::new(key, addr, group_of(key)), spot.hashes.0)
            }),
        };
        let host = &mut self.hosts[host_at];
        host.receive(addr, back.sent);
        let known = self.pairs.find(host_at, destination, spot.hashes.1, spot.numbers.1);
        let touch = |pair_at, is_due| Touch { host: key, destination, is_due, host_at, pair_at };
        if out.sent == 0 {
            let pair_at = known?;
            self.pairs.get_mut(pair_at).receive(back);
            return Some(touch(pair_at, false));
        }
        if !host.is_active() {
            self.active.push((host_at, key));
        }
        let pair_at = known.unwrap_or_else(|| {
            if self.pairs.len() >= self.options.pairs_max {
                self.forget_pair(host_at);
            }
            let is_young = is_young(key, destination);
            let span = (delta.started_at, delta.last_at);
            self.pairs.start((host_at, &mut self.hosts[host_at]), destination, span, is_young)
        });
        let pair = self.pairs.get_mut(pair_at);
        let host = &mut self.hosts[host_at];
        let is_due = host.send(pair, delta, &crossing, self.options.floor_bytes);
        Some(touch(pair_at, is_due))
    }

    /// The host and the pair that the latest delta touched.
    pub fn touched(&self, touch: &Touch) -> (&Host, &Pair) {
        (&self.hosts[touch.host_at], self.pairs.get(touch.pair_at))
    }

    /// Puts the pair under suspicion: neither it nor its host's windows teach anything more today.
    pub fn mark(&mut self, touch: &Touch) {
        if self.pairs.get_mut(touch.pair_at).mark() {
            self.hosts[touch.host_at].mark();
        }
    }

    /// Puts all destinations on probation of the host under suspicion; where it is a server, its clients.
    pub fn mark_together(&mut self, touch: &Touch) {
        let host = &mut self.hosts[touch.host_at];
        if self.pairs.mark_together(host, touch.pair_at) {
            host.mark();
        }
    }

    /// Counts what a flow has sent under another destination, of which it has just said that it is its
    /// peer's owner. Answers whether anything was moved: only if nobody else has sent anything to the first,
    /// so that nothing of other flows goes with it.
    pub fn join(
        &mut self,
        flow: &FlowKey,
        host: HostKey,
        (from, to): (Destination, Destination),
        is_young: impl FnOnce() -> bool,
    ) -> bool {
        let Some(host_at) = self.number_of(host, hash(&self.hasher, host)) else { return false };
        let host = &mut self.hosts[host_at];
        let Some(moved) = self.pairs.join(flow, (host_at, host), (from, to), is_young) else {
            return false;
        };
        host.move_young(&moved);
        true
    }

    /// Counts all that an address sent today as a machine's, whose it turned out to be. What stays behind is a
    /// host that sent nothing.
    pub fn unite(
        &mut self,
        from: Addr,
        to: HostKey,
        group_of: impl FnOnce(HostKey) -> Group,
        is_young: impl Fn(Destination) -> bool,
    ) {
        let from = HostKey::Address(from);
        if from != to {
            self.intakes.unite(from, to);
        }
        let of = hash(&self.hasher, from);
        let Some(host) = self.number_of(from, of).map(|number| &self.hosts[number]) else { return };
        if from == to || !host.holds_anything() {
            return;
        }
        let (addr, hash) = (host.addr(), hash(&self.hasher, to));
        let to_at = self
            .number_of(to, hash)
            .unwrap_or_else(|| self.start_host(Host::new(to, addr, group_of(to)), hash));
        // It may just have made room.
        let Some(from_at) = self.number_of(from, of) else { return };
        // What is left has the other's key, and is found under neither.
        let emptied = Host::new(to, addr, self.hosts[to_at].group());
        let moved = std::mem::replace(&mut self.hosts[from_at], emptied);
        self.index.remove(of, from_at);
        self.hosts.free(from_at);
        let host = &mut self.hosts[to_at];
        if moved.is_active() && !host.is_active() {
            self.active.push((to_at, to));
        }
        host.absorb(&moved);
        self.pairs.hand_over((from, moved.list), (to_at, host), is_young);
    }

    /// Adds a delta between two inside hosts to what these took from each other. `who` says whose an address is.
    pub fn take_in(&mut self, delta: &FlowDelta, who: impl FnMut(Addr) -> HostKey) {
        self.intakes.add(delta, who);
    }

    /// What hosts took from one another, today and the day before.
    pub fn intakes(&self) -> &Intakes {
        &self.intakes
    }

    /// Puts what a host took from a source under suspicion.
    pub fn mark_intake(&mut self, host: HostKey, source: Addr) {
        self.intakes.mark(host, source);
    }

    /// Ends the day of what hosts took from one another.
    pub fn close_intakes(&mut self) -> Vec<IntakeDay> {
        self.intakes.close_day()
    }

    /// Today's pairs.
    pub fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    fn number_of(&self, host: HostKey, hash: u32) -> Option<u32> {
        self.index.find(hash, |number| self.hosts[number].key() == host)
    }

    fn start_host(&mut self, host: Host, hash: u32) -> u32 {
        if self.hosts.len() >= self.options.hosts_max && self.hosts.next_free().is_none() {
            self.forget_host();
        }
        let number = self.hosts.insert(host);
        self.index.insert(hash, number);
        number
    }

    /// Ends the day: `learn` gets what each host sent in it, in order of its first sending. Windows slide on.
    pub fn close_day(&mut self, next: Day, learn: impl FnMut(HostDay)) {
        let day = std::mem::replace(&mut self.day, next);
        let active = std::mem::take(&mut self.active);
        active.into_iter().filter_map(|(number, _)| self.close_host(number, day)).for_each(learn);
        self.pairs.clear();
    }

    /// Hosts that sent something today, in order of their first sending.
    pub fn active(&self) -> impl Iterator<Item = &Host> {
        let is_it = |(number, key)| Some(&self.hosts[number]).filter(|host| host.key() == key);
        self.active.iter().copied().filter_map(is_it)
    }

    /// The same hosts, each with the pair on which it sent most today.
    pub fn largest_today(&self) -> impl Iterator<Item = (&Host, &Pair)> {
        let largest = self.pairs.largest(self.hosts.len());
        let of = move |&(number, key): &(u32, HostKey)| {
            let host = Some(&self.hosts[number]).filter(|host| host.key() == key)?;
            (largest[number as usize] != NIL)
                .then(|| (host, self.pairs.get(largest[number as usize])))
        };
        self.active.iter().filter_map(of)
    }

    /// The destination a host sent most to in one day, and how much.
    pub fn largest(&self, host: &Host) -> Option<(Destination, u64)> {
        let today = self.pairs.of(host).map(|pair| (pair.destination, pair.out.sent));
        host.largest.into_iter().chain(today).max_by_key(|&(_, bytes)| bytes)
    }

    /// The day that deltas are folded into.
    pub fn day(&self) -> Day {
        self.day
    }

    /// Takes the days that were cut short because their host made room for another.
    pub fn take_forgotten(&mut self) -> Vec<HostDay> {
        std::mem::take(&mut self.forgotten)
    }

    /// A host.
    pub fn host(&self, host: HostKey) -> Option<&Host> {
        self.number_of(host, hash(&self.hasher, host)).map(|number| &self.hosts[number])
    }

    /// All hosts in order of appearance, those that took the place of another in its.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = &Host> {
        (0..self.hosts.len() as u32).map(|number| &self.hosts[number])
    }

    /// What was seen, by where it went.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The networks that are ours.
    pub fn internal(&self) -> &Subnets {
        &self.options.internal
    }

    /// The calendar of that zone.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The zone whose midnight divides the days.
    pub fn zone_name(&self) -> &str {
        self.calendar.zone_name()
    }

    fn close_host(&mut self, number: u32, day: Day) -> Option<HostDay> {
        let host = &mut self.hosts[number];
        let list = host.list;
        host.close_day(day, self.pairs.listed(list))
    }

    /// Makes room for a host: of the next few, the one that sent least goes, and its day is handed on.
    fn forget_host(&mut self) {
        let sample = self.hand.next(self.hosts.len()).map(|place| place as u32);
        let Some(number) = sample.min_by_key(|&number| self.hosts[number].total_out()) else {
            return;
        };
        let list = self.hosts[number].list;
        let day = self.close_host(number, self.day);
        self.forgotten.extend(day);
        let key = self.hosts[number].key();
        self.pairs.forget_all(key, list);
        self.index.remove(hash(&self.hasher, key), number);
        self.hosts.free(number);
        self.totals.hosts_evicted += 1;
    }

    /// Makes room for a pair: of a few hosts and this one, the one with most pairs loses one of its
    /// smallest.
    fn forget_pair(&mut self, newcomer: u32) {
        let sample = self.hand.next(self.hosts.len()).map(|place| place as u32).chain([newcomer]);
        if let Some(number) = sample.max_by_key(|&number| self.hosts[number].list.len)
            && self.pairs.forget_one(&mut self.hosts[number])
        {
            self.totals.pairs_evicted += 1;
        }
    }
}

fn hash(hasher: &foldhash::fast::RandomState, host: HostKey) -> u32 {
    (hasher.hash_one(host.to_bits()) >> 32) as u32
}
