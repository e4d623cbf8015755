//! The references: what finished days taught.

mod document;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::habits::Habits;
use super::tail::{Histogram, Ring, Samples, Tail};
use super::usages::{Custom, Usages};
use crate::arena::Hand;
use crate::covert::ChannelDay;
use crate::egress::{
    Class, Destination, Group, HostDay, HostKey, Intake, OfClass, PairDay, WindowSums,
};
use crate::names::{Program, Usage};
use crate::time::{Day, Timestamp};

/// How much is remembered.
#[derive(Debug, Clone)]
pub struct Options {
    /// Hosts at most; the one not seen for longest among a few is forgotten.
    pub hosts_max: usize,
    /// Destinations at most for each host; likewise.
    pub pairs_per_host_max: usize,
    /// Pairs of host and destination at most over all hosts: of a few hosts, the one with most of them
    /// loses one.
    pub pairs_max: usize,
    /// Destinations at most for the organisation; likewise.
    pub destinations_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hosts_max: 1 << 17,
            pairs_per_host_max: 512,
            pairs_max: 4 << 20,
            destinations_max: 1 << 20,
        }
    }
}

/// Memory that a remembered host takes, in bytes, with full rings and its place in an ordered map: key,
/// hash, index, and half as much again for room to grow.
pub const HOST_BYTES: usize =
    (size_of::<HostHistory>() + MAP_ENTRY) * 3 / 2 + 10 * Ring::<60>::BYTES;
/// The same of a pair.
pub const PAIR_BYTES: usize = (size_of::<PairHistory>() + MAP_ENTRY) * 3 / 2 + Ring::<32>::BYTES;
/// The same of a destination.
pub const DESTINATION_BYTES: usize =
    (size_of::<DestinationHistory>() + MAP_ENTRY) * 3 / 2 + Ring::<32>::BYTES;

const MAP_ENTRY: usize = 40;

/// Everything learned from finished days.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Baseline {
    #[serde(skip)]
    options: Options,
    groups: BTreeMap<Group, GroupHistory>,
    hosts: IndexMap<HostKey, HostHistory, foldhash::fast::RandomState>,
    destinations: IndexMap<Destination, DestinationHistory, foldhash::fast::RandomState>,
    /// Pairs of all hosts.
    pairs: usize,
    /// What hosts took from one another inside.
    #[serde(default)]
    taken: Habits,
    /// How hosts speak with those outside.
    #[serde(default)]
    usages: Usages<Usage>,
    /// The client programs that they speak by.
    #[serde(default)]
    programs: Usages<Program>,
    /// What mail services outside replied.
    #[serde(default)]
    replies: Habits,
    hand: Hand,
    host_days: u64,
    forgotten: u64,
}

/// References pooled over the hosts of a group; one sample is one host-day (DETECTION 2).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct GroupHistory {
    classes: OfClass<ClassHistory>,
    /// Of hosts that answered any, the most in one day to one outside client.
    client: Histogram,
    /// What they answered to all of them.
    clients: Histogram,
}

/// What was sent in exchanges of one class.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct ClassHistory {
    /// Largest total to one destination.
    top: Histogram,
    /// Largest total to one young destination: of those that no other host knew, and of the others.
    new: [Histogram; 2],
    /// Sum over all young destinations.
    young: Histogram,
    /// The most that one destination got beyond its largest earlier day, as [`growth`] counts.
    growth: Histogram,
    /// Largest sums of the sliding windows.
    windows: [Histogram; 4],
    /// Big uploads, by age of the host, and how many of them bore the mark of novelty.
    big_uploads: [MarkCount; AGES],
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct MarkCount {
    all: u32,
    marked: u32,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct HostHistory {
    first_day: Day,
    last_day: Day,
    days: u32,
    windows: OfClass<[Ring<60>; 4]>,
    client: Ring<60>,
    clients: Ring<60>,
    pairs: IndexMap<Destination, PairHistory, foldhash::fast::RandomState>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct PairHistory {
    first_day: Day,
    first_at: Timestamp,
    last_day: Day,
    largest: u64,
    #[serde(default)]
    largest_day: Day,
    days: Ring<32>,
    /// The largest day of which a person said that it was in order: that counts from the day after.
    #[serde(default)]
    vouched: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct DestinationHistory {
    last_day: Day,
    /// Hosts that sent there, each counted on its first day.
    hosts: u32,
    /// What hosts sent in a day of their first week with it.
    days: Ring<32>,
    /// Big uploads to it, and how many bore the mark of novelty.
    big_uploads: MarkCount,
}

/// Whose day is judged, against others of its class.
#[derive(Debug, Clone, Copy)]
pub struct Whose {
    /// The host.
    pub host: HostKey,
    /// The hosts that it is compared with.
    pub group: Group,
    /// What kind of exchange it is.
    pub class: Class,
}

/// Who has sent to a destination before today.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prevalence {
    /// When this host first did.
    pub host_since: Option<Timestamp>,
    /// Largest earlier day of this host, in bytes.
    pub host_largest: u64,
    /// Hosts of the organisation that did.
    pub hosts: u32,
}

impl Prevalence {
    /// Has this host never sent a comparable amount there? A small visit last week buys nothing.
    pub fn is_novel(&self, bytes: u64) -> bool {
        is_novel(self.host_largest, bytes)
    }
}

/// How far bytes of a day are beyond the largest earlier one, in [`GROWTH_UNIT`]s: what is little grows by much.
fn growth(bytes: u64, largest: u64) -> u64 {
    bytes.saturating_mul(GROWTH_UNIT) / largest.saturating_add(BIG_UPLOAD)
}

fn is_novel(largest: u64, bytes: u64) -> bool {
    largest < bytes / 32
}

impl Baseline {
    /// Nothing learned yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            groups: BTreeMap::new(),
            hosts: IndexMap::default(),
            destinations: IndexMap::default(),
            pairs: 0,
            taken: Habits::default(),
            usages: Usages::default(),
            programs: Usages::default(),
            replies: Habits::default(),
            hand: Hand::default(),
            host_days: 0,
            forgotten: 0,
        }
    }

    /// Goes on from what another process kept.
    #[must_use]
    pub fn resume(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Learns from a finished day of one host.
    pub fn learn(&mut self, day: &HostDay) {
        let is_first_day = self.age(day.host, day.day) == 0;
        self.learn_big_uploads(day);
        self.learn_growth(day);
        let others: SmallVec<[bool; 64]> = day
            .pairs
            .iter()
            .map(|pair| self.is_known_to_others(day.host, pair.destination))
            .collect();
        let group = self.groups.entry(day.group).or_default();
        let asked = || day.pairs.iter().filter(|pair| !pair.is_served);
        for (class, history) in group.classes.iter_mut().enumerate() {
            let taught = |pair: &PairDay| (pair.taught[class], pair.is_clipped);
            let top = asked().map(taught).max().unwrap_or_default();
            if top.0 < COUNTS_FROM[class] {
                continue;
            }
            history.top.take(top);
            if !is_first_day {
                // On a host's first day the sensor is new, not the destinations.
                let mut most = [(0, false); 2];
                let each = day.pairs.iter().zip(&others);
                for (pair, &others) in each.filter(|(pair, _)| pair.is_young && !pair.is_served) {
                    let most = &mut most[usize::from(others)];
                    *most = taught(pair).max(*most);
                }
                history.new.iter_mut().zip(most).for_each(|(new, most)| new.take(most));
                let is_clipped = asked().any(|pair| pair.is_young && pair.is_clipped);
                history.young.take((day.young_out[class], is_clipped));
            }
            for (histogram, &bytes) in history.windows.iter_mut().zip(&day.windows_max[class]) {
                histogram.take((bytes, day.is_marked));
            }
        }
        if let Some(most) = day.most_served() {
            group.client.take(most);
            let is_clipped = day.pairs.iter().any(|pair| pair.is_served && pair.is_clipped);
            group.clients.take((day.served_out, is_clipped));
        }
        self.learn_host(day);
        self.host_days += 1;
    }

    /// Learns from what a host took from others inside on a finished day.
    pub fn learn_intake(&mut self, who: (HostKey, Group), day: Day, taken: &[Intake]) {
        let largest = taken.iter().map(|intake| intake.bytes).max().unwrap_or(0);
        let worth = taken.iter().filter(|intake| intake.bytes >= INTAKE_LEARNED);
        let channels: Vec<ChannelDay> = worth
            .map(|intake| ChannelDay {
                destination: intake.owner(),
                first_at: intake.first_at,
                clipped: intake.bytes,
            })
            .collect();
        self.taken.learn(who, day, largest, &channels);
    }

    /// Learns how a host spoke with those outside on a finished day.
    pub fn learn_usages(&mut self, who: (HostKey, Group), day: Day, used: &BTreeSet<Usage>) {
        self.usages.learn(who, day, used);
    }

    /// Learns by which programs a host sent to those outside on a finished day.
    pub fn learn_programs(&mut self, who: (HostKey, Group), day: Day, used: &BTreeSet<Program>) {
        self.programs.learn(who, day, used);
    }

    /// How usual it is for a host to speak so.
    pub fn custom(&self, host: HostKey, group: Group, usage: Usage) -> Custom {
        self.usages.custom(host, group, usage)
    }

    /// How usual this program is for a host.
    pub fn program_custom(&self, host: HostKey, group: Group, program: Program) -> Custom {
        self.programs.custom(host, group, program)
    }

    /// Learns what mail services outside replied to a host on a finished day.
    pub fn learn_replies(&mut self, who: (HostKey, Group), day: Day, replied: &[ChannelDay]) {
        let most = replied.iter().map(|service| service.clipped).max().unwrap_or(0);
        self.replies.learn(who, day, most, replied);
    }

    /// What mail services outside usually reply.
    pub fn replies(&self) -> &Habits {
        &self.replies
    }

    /// What hosts usually take from one another inside.
    pub fn taken(&self) -> &Habits {
        &self.taken
    }

    /// A person says that an upload of a finished day was in order: the whole of it is a sample, beside what
    /// was learned of it under suspicion, and so are the host's windows with it. The destination is no longer on
    /// probation, and as much again has not grown.
    pub fn vouch(
        &mut self,
        host: HostKey,
        (to, day, bytes): (Destination, Day, u64),
        (class, windows): (Class, WindowSums),
    ) {
        if let Some(host) = self.hosts.get_mut(&host) {
            if let Some(known) = host.pairs.get_mut(&to) {
                known.learn(day, bytes);
                known.vouched = known.vouched.max(bytes);
            }
            for (ring, bytes) in host.windows[class as usize].iter_mut().zip(windows) {
                ring.add(bytes);
            }
        }
        if let Some(known) = self.destinations.get_mut(&to) {
            known.days.add(bytes);
        }
    }

    /// The same of an upload to many destinations on probation.
    pub fn vouch_many(&mut self, group: Group, class: Class, bytes: u64) {
        self.groups.entry(group).or_default().classes[class as usize].young.add(bytes);
    }

    /// The same of what a server answered to many clients.
    pub fn vouch_served(&mut self, host: HostKey, bytes: u64) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.clients.add(bytes);
        }
    }

    /// A person says that an upload which ended on `day` was a theft. Is that day the first on which the host
    /// met the destination, they have not met: what is sent there next is as new as the first time.
    pub fn disown(&mut self, host: HostKey, to: Destination, day: Day) {
        let Some(host) = self.hosts.get_mut(&host) else { return };
        if host.pairs.get(&to).is_some_and(|known| known.first_day >= day) {
            host.pairs.swap_remove(&to);
            self.pairs -= 1;
            if let Some(known) = self.destinations.get_mut(&to) {
                known.hosts = known.hosts.saturating_sub(1);
            }
        }
    }

    /// What was learned of one host is another's from now on, which has no history of its own: it turned out
    /// to be it.
    pub fn pass_on(&mut self, from: HostKey, to: HostKey) {
        self.taken.pass_on(from, to);
        self.replies.pass_on(from, to);
        if self.hosts.contains_key(&to) {
            return;
        }
        self.usages.pass_on(from, to);
        self.programs.pass_on(from, to);
        if let Some(history) = self.hosts.swap_remove(&from) {
            self.pairs -= history.pairs.len();
            self.take_over(history, to);
        }
    }

    /// What was learned of one host is known of another too, unless that has a later history of its own: for
    /// want of knowing better it is judged as the same.
    pub fn lend(&mut self, from: HostKey, to: HostKey) {
        self.taken.lend(from, to);
        self.replies.lend(from, to);
        self.usages.lend(from, to);
        self.programs.lend(from, to);
        let Some(history) = self.hosts.get(&from) else { return };
        if self.hosts.get(&to).is_none_or(|own| own.last_day < history.last_day) {
            self.take_over(history.clone(), to);
        }
    }

    fn take_over(&mut self, history: HostHistory, to: HostKey) {
        self.make_room_for(to);
        self.pairs += history.pairs.len();
        let before = self.hosts.insert(to, history);
        self.pairs -= before.map_or(0, |before| before.pairs.len());
        self.forget_pairs();
    }

    /// All hosts remembered, addresses in their order before machines.
    pub fn hosts(&self) -> Vec<HostKey> {
        let mut hosts: Vec<HostKey> = self.hosts.keys().copied().collect();
        hosts.sort_unstable();
        hosts
    }

    /// Hosts, pairs and destinations remembered.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.hosts.len(), self.pairs, self.destinations.len())
    }

    /// Host-days learned from.
    pub fn host_days(&self) -> u64 {
        self.host_days
    }

    /// Hosts seen in the three days before `today` or on it.
    pub fn hosts_lately(&self, today: Day) -> usize {
        self.hosts.values().filter(|host| today.since(host.last_day) <= 3).count()
    }

    /// Hosts, pairs and destinations forgotten because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Days since the host was first seen; 0 for one that was not.
    pub fn age(&self, host: HostKey, today: Day) -> u32 {
        self.hosts.get(&host).map_or(0, |host| today.since(host.first_day).max(0).cast_unsigned())
    }

    /// Days on which the host sent something, today aside.
    pub fn days(&self, host: HostKey) -> u32 {
        self.hosts.get(&host).map_or(0, |host| host.days)
    }

    /// Who has sent to this destination before today.
    pub fn prevalence(&self, host: HostKey, destination: Destination) -> Prevalence {
        let pair = self.hosts.get(&host).and_then(|host| host.pairs.get(&destination));
        Prevalence {
            host_since: pair.map(|pair| pair.first_at),
            host_largest: pair.map_or(0, |pair| pair.largest),
            hosts: self.destinations.get(&destination).map_or(0, |known| known.hosts),
        }
    }

    /// Hosts that sent to a destination in the `days` before `today`.
    pub fn hosts_within(&self, destination: Destination, today: Day, days: i32) -> usize {
        let lately = |known: &PairHistory| today.since(known.last_day) <= days;
        self.hosts.values().filter(|host| host.pairs.get(&destination).is_some_and(lately)).count()
    }

    /// Is the destination on probation for this host: first seen less than seven days ago, but not in
    /// the host's own first three days?
    pub fn is_young(&self, host: HostKey, destination: Destination, today: Day) -> bool {
        let Some(history) = self.hosts.get(&host) else { return false };
        let known = history.pairs.get(&destination);
        let first = known.map_or(today, |pair| pair.first_day);
        let is_vouched = known.is_some_and(|pair| pair.vouched > 0);
        !is_vouched
            && first.since(history.first_day) >= PROBATION_STARTS_AFTER
            && today.since(first) < PROBATION
    }

    /// Largest sums of the host's sliding windows on the days remembered, rounded down.
    pub fn windows_largest(&self, host: HostKey, class: Class) -> WindowSums {
        let largest = |host: &HostHistory| {
            std::array::from_fn(|at| host.windows[class as usize][at].largest())
        };
        self.hosts.get(&host).map_or([0; 4], largest)
    }

    /// How likely is a day with this much to one destination that is not on probation?
    ///
    /// By how far it is beyond the largest earlier day, as with other destinations that their hosts knew; where
    /// the host does not know it, because the sensor is new, as with other hosts that did not.
    pub fn usual_destination(&self, whose: Whose, to: Destination, bytes: u64) -> Tail {
        let host = self.hosts.get(&whose.host);
        let Some(pair) = host.and_then(|host| host.pairs.get(&to)) else {
            return self.of_newcomers(self.top(whose, bytes), to, bytes);
        };
        let before = pair.days.before(LATEST);
        let growth = growth(bytes, pair.grew_from());
        let prior = Tail::power_law(growth, GROWTH_UNIT as f64, GROWTH_ALPHA);
        let group = self.of_group(whose);
        let tail = group.map_or(prior, |group| prior.refine(&group.growth, growth, 20.0));
        tail.refine(&before, bytes, 5.0)
    }

    /// How likely is a day with this much to one destination on probation?
    pub fn young_destination(&self, whose: Whose, to: Destination, bytes: u64) -> Tail {
        let tail = self.top(whose, bytes);
        let others = self.is_known_to_others(whose.host, to);
        let group = self.of_group(whose);
        let tail =
            group.map_or(tail, |group| tail.refine(&group.new[usize::from(others)], bytes, 20.0));
        self.of_newcomers(tail, to, bytes)
    }

    /// What hosts sent there in their first week is what another may.
    fn of_newcomers(&self, tail: Tail, to: Destination, bytes: u64) -> Tail {
        match self.destinations.get(&to) {
            Some(known) if known.hosts >= 3 => tail.refine(&known.days, bytes, 10.0),
            Some(_) | None => tail,
        }
    }

    fn is_known_to_others(&self, host: HostKey, to: Destination) -> bool {
        let known = self.prevalence(host, to);
        known.hosts > u32::from(known.host_since.is_some())
    }

    /// How likely is a day with this much to all destinations on probation together?
    pub fn young_sum(&self, whose: Whose, bytes: u64) -> Tail {
        let prior = Tail::prior(whose.class, bytes);
        self.of_group(whose).map_or(prior, |group| prior.refine(&group.young, bytes, 20.0))
    }

    /// How likely is a day with this much answered to one outside client?
    pub fn served(&self, whose: Whose, bytes: u64) -> Tail {
        let mut tail = Tail::prior(whose.class, bytes);
        if let Some(group) = self.groups.get(&whose.group) {
            tail = tail.refine(&group.client, bytes, 20.0);
        }
        self.hosts.get(&whose.host).map_or(tail, |host| tail.refine(&host.client, bytes, 10.0))
    }

    /// How likely is a day with this much answered to all outside clients together?
    pub fn served_together(&self, whose: Whose, bytes: u64) -> Tail {
        let mut tail = Tail::prior(whose.class, bytes);
        if let Some(group) = self.groups.get(&whose.group) {
            tail = tail.refine(&group.clients, bytes, 20.0);
        }
        self.hosts.get(&whose.host).map_or(tail, |host| tail.refine(&host.clients, bytes, 10.0))
    }

    /// How likely is a day on which window number `window` holds this much?
    pub fn window(&self, whose: Whose, window: usize, bytes: u64) -> Tail {
        let mut tail = Tail::prior(whose.class, bytes);
        if let Some(group) = self.of_group(whose) {
            tail = tail.refine(&group.windows[window], bytes, 20.0);
        }
        let own = |host: &HostHistory| {
            tail.refine(&host.windows[whose.class as usize][window], bytes, 5.0)
        };
        self.hosts.get(&whose.host).map_or(tail, own)
    }

    /// Share of big uploads that go where their host had not sent much before: by the age of the
    /// host, then by destination (DETECTION 4.1, 4.2).
    pub fn novelty_share(&self, whose: Whose, to: Destination, today: Day) -> f64 {
        let age = age_bucket(self.age(whose.host, today));
        let seen =
            self.of_group(whose).map_or(MarkCount::default(), |group| group.big_uploads[age]);
        let share = seen.share(NOVELTY_PRIOR[age], 8.0);
        self.destinations.get(&to).map_or(share, |known| known.big_uploads.share(share, 4.0))
    }

    fn top(&self, whose: Whose, bytes: u64) -> Tail {
        let prior = Tail::prior(whose.class, bytes);
        self.of_group(whose).map_or(prior, |group| prior.refine(&group.top, bytes, 20.0))
    }

    fn of_group(&self, whose: Whose) -> Option<&ClassHistory> {
        self.groups.get(&whose.group).map(|group| &group.classes[whose.class as usize])
    }

    fn learn_big_uploads(&mut self, day: &HostDay) {
        let age = age_bucket(self.age(day.host, day.day));
        let group = self.groups.entry(day.group).or_default();
        let hosts = &self.hosts;
        for pair in day.pairs.iter().filter(|pair| !pair.is_served) {
            for (history, bytes) in group.classes.iter_mut().zip(pair.taught) {
                if bytes < BIG_UPLOAD {
                    continue;
                }
                let known = hosts.get(&day.host).and_then(|host| host.pairs.get(&pair.destination));
                let marked = u32::from(is_novel(known.map_or(0, |known| known.largest), bytes));
                let destination = self.destinations.get_mut(&pair.destination);
                let of_group = &mut history.big_uploads[age];
                let of_destination = destination.map(|known| &mut known.big_uploads);
                for count in [Some(of_group), of_destination].into_iter().flatten() {
                    count.all += 1;
                    count.marked += marked;
                }
            }
        }
    }

    /// Learns how far a destination that the host knew went beyond its largest earlier day.
    fn learn_growth(&mut self, day: &HostDay) {
        let Some(host) = self.hosts.get(&day.host) else { return };
        let group = self.groups.entry(day.group).or_default();
        for (class, history) in group.classes.iter_mut().enumerate() {
            let taught = |pair: &&PairDay| pair.taught[class] >= COUNTS_FROM[class];
            let usual = day.pairs.iter().filter(|pair| !pair.is_served && !pair.is_young);
            let growth = usual.filter(taught).filter_map(|pair| {
                let known = host.pairs.get(&pair.destination)?;
                Some((growth(pair.taught[class], known.grew_from()), pair.is_clipped))
            });
            let most = growth.max();
            if most.is_some() || COUNTS_FROM[class] == 0 {
                history.growth.take(most.unwrap_or_default());
            }
        }
    }

    fn learn_host(&mut self, day: &HostDay) {
        self.make_room_for(day.host);
        let host = self.hosts.entry(day.host).or_insert_with(|| HostHistory {
            first_day: day.day,
            last_day: day.day,
            ..HostHistory::default()
        });
        host.last_day = host.last_day.max(day.day);
        host.days += 1;
        for (class, rings) in host.windows.iter_mut().enumerate() {
            let sums = &day.windows_max[class];
            if sums.iter().any(|&bytes| bytes >= COUNTS_FROM[class]) {
                rings.iter_mut().zip(sums).for_each(|(ring, &bytes)| ring.add(bytes));
            }
        }
        // Each client is new to a server; the server's clients together are the reference.
        if let Some(most) = day.most_served() {
            host.client.add(most.0);
            host.clients.add(day.served_out);
        }
        for pair in day.pairs.iter().filter(|pair| !pair.is_served) {
            let is_first_use = !host.pairs.contains_key(&pair.destination);
            if is_first_use {
                let max = self.options.pairs_per_host_max;
                let gone = make_room(&mut host.pairs, max, &mut self.hand, |known| known.last_day);
                self.pairs += 1 - usize::from(gone.is_some());
                self.forgotten += u64::from(gone.is_some());
            }
            let known = host.pairs.entry(pair.destination).or_insert_with(|| PairHistory {
                first_day: day.day,
                first_at: pair.first_at,
                ..PairHistory::default()
            });
            known.last_day = day.day;
            known.learn(day.day, pair.clipped);
            let is_early = day.day.since(known.first_day) < PROBATION;
            learn_destination(
                &mut self.destinations,
                self.options.destinations_max,
                &mut self.hand,
                &mut self.forgotten,
                (day.day, pair, is_first_use, is_early),
            );
        }
        self.forget_pairs();
    }

    fn make_room_for(&mut self, host: HostKey) {
        if !self.hosts.contains_key(&host) {
            let max = self.options.hosts_max;
            let gone = make_room(&mut self.hosts, max, &mut self.hand, |host| host.last_day);
            self.pairs -= gone.as_ref().map_or(0, |host| host.pairs.len());
            self.forgotten += u64::from(gone.is_some());
        }
    }

    /// Keeps the pairs of all hosts below their limit.
    fn forget_pairs(&mut self) {
        while self.pairs > self.options.pairs_max {
            let sample = self.hand.next(self.hosts.len());
            let Some(at) = sample.max_by_key(|&at| self.hosts[at].pairs.len()) else { return };
            let pairs = &mut self.hosts[at].pairs;
            let max = pairs.len().max(1);
            let gone = make_room(pairs, max, &mut self.hand, |known| known.last_day);
            self.pairs -= usize::from(gone.is_some());
            self.forgotten += u64::from(gone.is_some());
        }
    }
}

impl PairHistory {
    /// The largest day that a later one is compared with: the latest are left out, unless a person has spoken.
    fn grew_from(&self) -> u64 {
        self.days.before(LATEST).largest().max(self.vouched)
    }

    fn learn(&mut self, day: Day, bytes: u64) {
        if bytes >= self.largest {
            (self.largest, self.largest_day) = (bytes, day);
        }
        self.days.add(bytes);
    }
}

impl MarkCount {
    fn share(self, prior: f64, weight: f64) -> f64 {
        (f64::from(self.marked) + weight * prior) / (f64::from(self.all) + weight)
    }
}

fn learn_destination(
    destinations: &mut IndexMap<Destination, DestinationHistory, foldhash::fast::RandomState>,
    max: usize,
    hand: &mut Hand,
    forgotten: &mut u64,
    (day, pair, is_first_use, is_early): (Day, &PairDay, bool, bool),
) {
    if !destinations.contains_key(&pair.destination) {
        let gone = make_room(destinations, max, hand, |known| known.last_day);
        *forgotten += u64::from(gone.is_some());
    }
    let known = destinations.entry(pair.destination).or_default();
    known.last_day = day;
    known.hosts += u32::from(is_first_use);
    if is_early {
        known.days.add(pair.clipped);
    }
}

/// Keeps `map` below `max` entries: of the next few, the one not seen for longest goes.
pub(super) fn make_room<K: std::hash::Hash + Eq, V>(
    map: &mut IndexMap<K, V, foldhash::fast::RandomState>,
    max: usize,
    hand: &mut Hand,
    last_day: impl Fn(&V) -> Day,
) -> Option<V> {
    if map.len() < max {
        return None;
    }
    let oldest = hand.next(map.len()).min_by_key(|&at| last_day(&map[at]))?;
    map.swap_remove_index(oldest).map(|(_, gone)| gone)
}

fn age_bucket(days: u32) -> usize {
    match days {
        0 => 0,
        1 => 1,
        2..=4 => 2,
        5..=9 => 3,
        10.. => 4,
    }
}

/// Ages of a host: 0, 1, 2–4, 5–9, 10 and more days.
const AGES: usize = 5;

/// Share of big uploads that are novel, before any was counted, by age.
const NOVELTY_PRIOR: [f64; AGES] = [0.9, 0.3, 0.15, 0.08, 0.05];

/// What is counted among the big uploads, in bytes.
const BIG_UPLOAD: u64 = 1 << 20;

/// Bytes of a class from which a day counts among those of the class. That there is a call is no evidence of
/// anything, so that calls are judged among calls.
const COUNTS_FROM: OfClass<u64> = [0, BIG_UPLOAD];

/// Latest days of use that say nothing of what is usual at a destination: a working week. Who sends twice as much
/// each day is compared with where that began.
const LATEST: usize = 5;

/// As much as on the largest earlier day.
const GROWTH_UNIT: u64 = 1024;

/// Index of the prior of growth. Of days with one power law the latest is the largest by a factor r
/// with a probability below r^−alpha, however many they are; alpha is that of a day (DETECTION 3).
const GROWTH_ALPHA: f64 = 0.7;

/// Bytes taken in a day from one host inside, below which that host is not remembered for it: questions to a resolver,
/// and the other small talk of a network.
const INTAKE_LEARNED: u64 = 1 << 18;

/// Days for which a destination is on probation. Not 24 hours: a daily job drifts across that.
const PROBATION: i32 = 7;

/// Destinations of a host's first days are not on probation: there the sensor is new.
const PROBATION_STARTS_AFTER: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Addr;

    fn host_day(host: u8, day: i32, to: u8, bytes: u64) -> HostDay {
        HostDay {
            host: HostKey::Address(Addr::from_v4([10, 0, 0, host])),
            group: Group::UNDECLARED,
            day: Day(day),
            windows_max: [[bytes; 4], [0; 4]],
            is_marked: false,
            young_out: [0; 2],
            served_out: 0,
            pairs: vec![PairDay {
                destination: destination(to),
                first_at: Timestamp::EPOCH,
                bytes_out: bytes,
                clipped: bytes,
                taught: [bytes, 0],
                is_clipped: false,
                is_young: false,
                is_served: false,
            }],
        }
    }

    fn destination(to: u8) -> Destination {
        Destination::of_address(Addr::from_v4([203, 0, 113, to]))
    }

    /// The nightly backup must become normal, for its own host first of all.
    #[test]
    fn a_daily_upload_becomes_usual() {
        let mut baseline = Baseline::new(Options::default());
        let host = HostKey::Address(Addr::from_v4([10, 0, 0, 1]));
        let p = |baseline: &Baseline| {
            let whose = Whose { host, group: Group::UNDECLARED, class: Class::Bulk };
            baseline.usual_destination(whose, destination(9), 200_000_000).p
        };
        let before = p(&baseline);
        for day in 0..10 {
            baseline.learn(&host_day(1, day, 9, 200_000_000));
        }
        assert!(before < 0.02 && p(&baseline) > 0.5, "{before} {}", p(&baseline));
    }

    #[test]
    fn probation_lasts_a_week_and_spares_the_first_days() {
        let mut baseline = Baseline::new(Options::default());
        let host = HostKey::Address(Addr::from_v4([10, 0, 0, 1]));
        assert!(!baseline.is_young(host, destination(1), Day(100)));
        baseline.learn(&host_day(1, 100, 1, 1000));
        baseline.learn(&host_day(1, 104, 2, 1000));
        assert!(!baseline.is_young(host, destination(1), Day(104)));
        assert!(baseline.is_young(host, destination(2), Day(110)));
        assert!(!baseline.is_young(host, destination(2), Day(111)));
        assert!(baseline.is_young(host, destination(3), Day(111)));
    }

    #[test]
    fn memory_is_bounded() {
        let options =
            Options { hosts_max: 8, pairs_per_host_max: 4, pairs_max: 20, destinations_max: 16 };
        let mut baseline = Baseline::new(options);
        for day in 0..200 {
            baseline.learn(&host_day((day % 50) as u8, day, (day % 90) as u8, 1000));
        }
        // What another sensor learned takes no more room than there is either.
        for host in 50..100 {
            let mut profile =
                baseline.profile(baseline.hosts()[0], |_| "far.example".to_owned()).unwrap();
            profile.host = HostKey::Address(Addr::from_v4([10, 0, 0, host]));
            profile.destinations.truncate(1);
            profile.destinations.iter_mut().for_each(|to| to.key = format!("{host}.example"));
            baseline.adopt(&profile).unwrap();
            profile.destinations = vec![profile.destinations[0].clone(); 5];
            let keyed = profile.destinations.iter_mut().zip(0..);
            keyed.for_each(|(to, number)| to.key = format!("{number}.example"));
            assert!(baseline.adopt(&profile).is_err());
        }
        assert!(baseline.hosts.len() <= 8 && baseline.destinations.len() <= 16);
        assert!(baseline.hosts.values().all(|host| host.pairs.len() <= 4));
        let pairs: usize = baseline.hosts.values().map(|host| host.pairs.len()).sum();
        assert!(pairs == baseline.pairs && pairs <= 20, "{pairs} {}", baseline.pairs);
        assert!(baseline.forgotten() > 0);
    }
}
