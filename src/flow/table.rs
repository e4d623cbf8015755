//! The flow table: one shard of it, owned by one worker.

use std::time::Duration;

use crate::arena::{Arena, Index, NIL, prefetch_whole};
use crate::decode::{Segment, Tcp};
use crate::flow::delta::{FlowDelta, FlowEnd, TunnelEnds};
use crate::flow::fragments::Fragments;
use crate::flow::hash::FlowHasher;
use crate::flow::key::{FlowKey, SHARDS, Sender};
use crate::flow::slot::{Listing, Pace, Phase, SHOWN_NO_MORE, Slot, Wide};
use crate::flow::stream::Reach;
use crate::flow::wheel::Wheel;
use crate::net::{Endpoint, Protocol, Subnets};
use crate::time::Timestamp;

/// How flows are told apart, how long they live, how many there may be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Flows at most, over all shards.
    pub flows_max: usize,
    /// Idle time after which a TCP flow ends.
    pub tcp_idle: Duration,
    /// The same for UDP.
    pub udp_idle: Duration,
    /// The same for every other protocol.
    pub other_idle: Duration,
    /// How long a closed TCP flow waits for late segments.
    pub closed_linger: Duration,
    /// Is the VLAN part of the flow's key?
    pub key_by_vlan: bool,
    /// Is the tunnel's number part of the flow's key?
    pub key_by_tunnel: bool,
    /// When flows report what is new.
    pub reporting: Reporting,
}

/// When flows report what is new of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporting {
    /// While they run: at every tick in which an inside end has sent something, and at once when either
    /// has sent much. The rest goes along with that, or waits for the flow's end.
    InFlight,
    /// At their end, and before only where the slot of a long one has no room for more.
    AtEnd,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            flows_max: 2 << 20,
            tcp_idle: Duration::from_secs(900),
            udp_idle: Duration::from_secs(180),
            other_idle: Duration::from_secs(60),
            closed_linger: Duration::from_secs(10),
            key_by_vlan: false,
            key_by_tunnel: false,
            reporting: Reporting::InFlight,
        }
    }
}

/// What the table itself has to say of its work.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FlowCounters {
    /// Flows started.
    pub started: u64,
    /// Flows ended early because the table was full. Their counts were handed on.
    pub evicted: u64,
    /// Segments and acknowledgements refused as impossible.
    pub rejected: u64,
    /// Flows ended that carried payload.
    pub carried: u64,
    /// Those of them of which only one direction was seen.
    pub one_sided: u64,
}

impl FlowCounters {
    /// Adds another table's counters to these.
    pub fn add(&mut self, more: &Self) {
        self.started += more.started;
        self.evicted += more.evicted;
        self.rejected += more.rejected;
        self.carried += more.carried;
        self.one_sided += more.one_sided;
    }
}

/// Where a table looks for the flow of a segment.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    hash: u32,
    /// The number of the slot that probably holds it, or [`NIL`].
    pub slot: u32,
}

impl Place {
    /// That of no segment yet.
    pub const NONE: Self = Self { hash: 0, slot: NIL };
}

/// Payload of a flow that somebody may still want to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glimpse {
    /// The number of the flow's slot.
    pub slot: u32,
    /// The flow.
    pub key: FlowKey,
    /// The end that sent it.
    pub sender: Sender,
    /// The end that opened the flow, seen or guessed.
    pub initiator: Sender,
    /// TCP: where in the sender's stream it begins, in bytes.
    pub offset: Option<u32>,
    /// How often payload of the flow was shown before.
    pub shown: u8,
}

/// One shard of the flow table.
#[derive(Debug, Clone)]
pub struct FlowTable {
    options: Options,
    internal: Subnets,
    index: Index,
    hasher: FlowHasher,
    slots: Arena<Slot>,
    /// The accounts that are more than a slot can hold.
    wide: Arena<Wide>,
    wheel: Wheel,
    fragments: Fragments,
    /// Slots that have something to report at either pace, each once, or had before their flow ended.
    listed: [Vec<u32>; 2],
    /// How many times [`LATER`] had gone by when those were told that report later.
    later: u64,
    due: Vec<u32>,
    /// Where the search for a flow to evict goes on.
    hand: usize,
    counters: FlowCounters,
}

impl FlowTable {
    /// An empty shard that holds its share of `options.flows_max`, for those to whom the networks
    /// `internal` belong.
    pub fn new(options: Options, internal: Subnets) -> Self {
        Self {
            options,
            internal,
            index: Index::new(),
            hasher: FlowHasher::random(),
            slots: Arena::new(),
            wide: Arena::new(),
            wheel: Wheel::new(),
            fragments: Fragments::new(),
            listed: Default::default(),
            later: 0,
            due: Vec::new(),
            hand: 0,
            counters: FlowCounters::default(),
        }
    }

    /// Says where a segment belongs, and asks for what [`FlowTable::approach`] looks at.
    ///
    /// The two steps before [`FlowTable::observe`] only bring memory nearer. To be called for many
    /// segments each, so that their cache misses overlap.
    pub fn place(&self, segment: &Segment<'_>) -> Place {
        let Segment { source, destination, protocol, .. } = *segment;
        let hash = self.hasher.of(source, destination, protocol, self.tag(segment));
        self.index.prefetch(hash);
        Place { hash, slot: NIL }
    }

    /// Asks for what [`FlowTable::observe`] looks at.
    pub fn approach(&self, place: &mut Place) {
        if let Some(slot) = self.index.find(place.hash, |_| true) {
            place.slot = slot;
            prefetch_whole(&self.slots[slot]);
        }
    }

    /// Counts one segment, whose place this is. Reports the flow at once when it has sent another
    /// rung of bytes. All reports come with the number of the slot, which is the flow's until it ends.
    ///
    /// A copy that the mirror delivered again counts as that and as nothing else. Answers the segment's
    /// payload unless the flow is to be [shown no more](FlowTable::set_shown).
    pub fn observe(
        &mut self,
        at: Timestamp,
        segment: &Segment<'_>,
        mut place: Place,
        is_copy: bool,
        mut report: impl FnMut(u32, FlowDelta),
    ) -> Option<Glimpse> {
        let mut tcp_seq = segment.tcp.map(|tcp| tcp.seq);
        let mut ends = (segment.source, segment.destination);
        if let Some(fragment) = segment.fragment {
            (ends.0, ends.1, tcp_seq) = self.fragments.place(at, segment, fragment);
            place.slot = NIL;
        }
        let known = self
            .slots
            .get(place.slot)
            .and_then(|slot| Some((place.slot, slot.sender(segment, self.tag(segment))?)));
        let (mut index, sender) = match known {
            Some(known) => known,
            None => {
                let (key, sender) = self.key(ends.0, ends.1, segment);
                place.hash = self.hash(&key);
                match self.index.find(place.hash, |index| self.slots[index].is(&key)) {
                    Some(index) => (index, sender),
                    None if is_copy => return None,
                    None => (self.start(at, (key, sender), place, segment, &mut report), sender),
                }
            }
        };
        if is_copy {
            self.count_copy(at, index, sender, &mut report);
            return None;
        }
        if let Some(tcp) = &segment.tcp
            && tcp.has(Tcp::SYN)
            && let Some(reach) = self.is_restarted(index, sender, tcp)
        {
            let key = self.slots[index].key();
            self.end(index, self.ended(index).unwrap_or(FlowEnd::Idle), &mut report);
            index = self.start(at, (key, sender), place, segment, &mut report);
            self.with_flow(index, |wide| wide.flow.follow(&reach));
        }
        let slot = &mut self.slots[index];
        slot.note(at, segment);
        if slot.count(sender, segment) {
            if segment.payload_len > 0 {
                self.list(index);
            }
            let slot = &self.slots[index];
            if slot.is_due(sender, self.options.reporting) {
                self.report(index, None, &mut report);
            }
            return self.glimpse(index, sender, segment);
        }
        let was_open = slot.phase == Phase::Open;
        self.counters.rejected += self
            .with_flow(index, |wide| wide.flow.count(sender, segment, tcp_seq, &mut wide.pending));
        if was_open {
            self.settle_phase(index, at);
        }
        self.list(index);
        if self.is_due(index, sender) {
            self.report(index, None, &mut report);
        }
        self.glimpse(index, sender, segment)
    }

    /// The payload of a segment that was just counted, unless nobody wants to see it.
    #[inline]
    fn glimpse(&self, index: u32, sender: Sender, segment: &Segment<'_>) -> Option<Glimpse> {
        if segment.payload_len == 0 || self.slots[index].shown() == SHOWN_NO_MORE {
            return None;
        }
        self.show(index, sender, segment)
    }

    /// Of a packet in fragments only the first has a beginning that tells something; before the first
    /// byte of a stream lies nothing.
    #[cold]
    fn show(&self, index: u32, sender: Sender, segment: &Segment<'_>) -> Option<Glimpse> {
        let slot = &self.slots[index];
        let offset = match (slot.protocol(), &segment.tcp) {
            (Protocol::TCP, Some(tcp)) if tcp.has(Tcp::RST) => return None,
            (Protocol::TCP, Some(tcp)) => {
                let origin = match slot.wide {
                    NIL => slot.origin(sender),
                    wide => self.wide[wide].flow.half(sender).stream.origin(),
                }?;
                let seq = tcp.seq.wrapping_add(tcp.has(Tcp::SYN).into());
                Some(seq.wrapping_sub(origin)).filter(|offset| offset.cast_signed() >= 0)
            }
            _ => None,
        };
        let has_place = slot.protocol() != Protocol::TCP || offset.is_some();
        let is_first = segment.fragment.is_none_or(|fragment| fragment.offset == 0);
        (has_place && is_first).then(|| Glimpse {
            slot: index,
            key: slot.key(),
            sender,
            initiator: slot.initiator(),
            offset,
            shown: slot.shown(),
        })
    }

    /// Notes how often payload of a flow has been shown, or [`SHOWN_ALWAYS`](super::SHOWN_ALWAYS) or
    /// [`SHOWN_NO_MORE`].
    pub fn set_shown(&mut self, glimpse: &Glimpse, shown: u8) {
        self.slots[glimpse.slot].set_shown(shown);
    }

    /// From now on the flow reports at the next tick what inside ends have sent, also when both are: it is asked to be
    /// passed on.
    pub fn hasten(&mut self, glimpse: &Glimpse) {
        self.slots[glimpse.slot].listing.hasten();
        self.list(glimpse.slot);
    }

    /// Do these ports now carry another connection? Then answers what was known of the old one.
    fn is_restarted(&mut self, index: u32, sender: Sender, tcp: &Tcp) -> Option<Reach> {
        let slot = &self.slots[index];
        // What is held in short has no other SYN that could be answered here.
        if slot.wide == NIL && (tcp.has(Tcp::ACK) || !slot.is_begun(sender)) {
            return None;
        }
        self.with_flow(index, |wide| {
            wide.flow.is_restarted_by(sender, tcp).then(|| wide.flow.reach(sender))
        })
    }

    fn count_copy(
        &mut self,
        at: Timestamp,
        index: u32,
        sender: Sender,
        report: &mut impl FnMut(u32, FlowDelta),
    ) {
        let slot = &mut self.slots[index];
        slot.last_at = slot.last_at.max(at);
        match slot.wide {
            NIL => slot.count_copy(sender),
            wide => self.wide[wide].pending.of_mut(sender).duplicates += 1,
        }
        if self.is_due(index, sender) {
            self.report(index, None, report);
        }
    }

    /// Reports what is new, and ends what has been idle, at `now`.
    pub fn tick(&mut self, now: Timestamp, mut report: impl FnMut(u32, FlowDelta)) {
        self.report_all(Pace::Soon, &mut report);
        let later = now.as_secs() / LATER.as_secs();
        if std::mem::replace(&mut self.later, later) != later {
            self.report_all(Pace::Later, &mut report);
        }
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now.as_secs(), &mut due);
        for at in 0..due.len() {
            if let Some(slot) = due.get(at + AHEAD).and_then(|&ahead| self.slots.get(ahead)) {
                prefetch_whole(slot);
            }
            let index = due[at];
            let slot = &self.slots[index];
            let deadline = slot.last_at.plus(self.idle_timeout(slot));
            if deadline <= now {
                self.end(index, self.ended(index).unwrap_or(FlowEnd::Idle), &mut report);
            } else {
                self.wheel.insert(index, deadline.as_secs() + 1);
            }
        }
        due.clear();
        self.due = due;
    }

    /// Ends every flow: the input is over, or its clock was set back to `now`.
    pub fn end_all(
        &mut self,
        now: Timestamp,
        end: FlowEnd,
        mut report: impl FnMut(u32, FlowDelta),
    ) {
        for index in 0..self.slots.len() as u32 {
            if self.slots[index].phase != Phase::Free {
                self.conclude(index, self.ended(index).unwrap_or(end), &mut report);
            }
        }
        // A recording whose clock jumps to and fro pays for the flows of each jump, not for the table.
        self.slots.clear();
        self.wide.clear();
        self.index.clear();
        self.listed.iter_mut().for_each(Vec::clear);
        self.wheel.reset(now.as_secs());
    }

    /// Flows held now.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Is no flow held?
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// What the table has to say of its work.
    pub fn counters(&self) -> &FlowCounters {
        &self.counters
    }

    fn key(
        &self,
        source: Endpoint,
        destination: Endpoint,
        segment: &Segment<'_>,
    ) -> (FlowKey, Sender) {
        let (mut key, sender) = FlowKey::of(source, destination, segment.protocol);
        key.tag = self.tag(segment);
        (key, sender)
    }

    fn hash(&self, key: &FlowKey) -> u32 {
        self.hasher.of(key.low, key.high, key.protocol, key.tag)
    }

    fn tag(&self, segment: &Segment<'_>) -> u32 {
        match (segment.tunnel, segment.vlan) {
            (Some(tunnel), _) if self.options.key_by_tunnel => tunnel.id,
            (_, Some(vlan)) if self.options.key_by_vlan => u32::from(vlan),
            _ => 0,
        }
    }

    fn start(
        &mut self,
        at: Timestamp,
        (key, sender): (FlowKey, Sender),
        place: Place,
        segment: &Segment<'_>,
        report: &mut impl FnMut(u32, FlowDelta),
    ) -> u32 {
        if self.index.len() >= (self.options.flows_max / SHARDS).max(1) {
            self.evict(report);
        }
        let mut slot = Slot::start(at, key, sender, segment);
        let free = self.slots.next_free();
        slot.listing = Listing::of([key.low, key.high].map(|end| self.internal.contains(end.addr)));
        for list in Pace::BOTH {
            let is_on = free.is_some_and(|index| self.slots[index].listing.is_on(list));
            slot.listing.set_on(list, is_on);
        }
        let deadline = at.plus(self.idle_timeout(&slot)).as_secs() + 1;
        let index = self.slots.insert(slot);
        self.index.insert(place.hash, index);
        self.wheel.insert(index, deadline);
        if let Some(tunnel) = &segment.tunnel {
            let mut wide = self.slots[index].widen();
            wide.flow.tunnel = Some(Box::new(TunnelEnds::of(tunnel, sender)));
            self.slots[index].wide = self.wide.insert(wide);
        }
        self.counters.started += 1;
        index
    }

    /// Ends the flow that has been idle longest among the next few.
    fn evict(&mut self, report: &mut impl FnMut(u32, FlowDelta)) {
        let victim = (0..self.slots.len())
            .map(|step| ((self.hand + step) % self.slots.len()) as u32)
            .filter(|&index| self.slots[index].phase != Phase::Free)
            .take(EVICTION_SAMPLE)
            .min_by_key(|&index| self.slots[index].last_at);
        if let Some(index) = victim {
            self.hand = index as usize + 1;
            self.counters.evicted += 1;
            self.end(index, FlowEnd::Evicted, report);
        }
    }

    fn end(&mut self, index: u32, end: FlowEnd, report: &mut impl FnMut(u32, FlowDelta)) {
        self.conclude(index, end, report);
        let slot = &mut self.slots[index];
        slot.phase = Phase::Free;
        let (key, wide) = (slot.key(), slot.wide);
        if wide != NIL {
            self.wide[wide] = Wide::default();
            self.wide.free(wide);
        }
        self.index.remove(self.hash(&key), index);
        self.wheel.remove(index);
        self.slots.free(index);
    }

    /// Says the last of a flow.
    fn conclude(&mut self, index: u32, end: FlowEnd, report: &mut impl FnMut(u32, FlowDelta)) {
        let (has_carried, is_one_sided) = match self.slots[index].wide {
            NIL => self.slots[index].has_carried(),
            wide => {
                let Wide { flow, pending } = &mut self.wide[wide];
                self.counters.rejected += flow.finish(pending);
                flow.has_carried()
            }
        };
        self.counters.carried += u64::from(has_carried);
        self.counters.one_sided += u64::from(has_carried && is_one_sided);
        self.report(index, Some(end), report);
    }

    /// How a flow that has closed ends.
    fn ended(&self, index: u32) -> Option<FlowEnd> {
        match self.slots[index].phase {
            Phase::Closed(close) => Some(close.end()),
            Phase::Open | Phase::Free => None,
        }
    }

    /// Hands out the whole account of a flow, and keeps it in short afterwards if that can be.
    fn with_flow<T>(&mut self, index: u32, work: impl FnOnce(&mut Wide) -> T) -> T {
        let slot = &mut self.slots[index];
        if slot.wide == NIL {
            let mut wide = slot.widen();
            let result = work(&mut wide);
            slot.phase = wide.flow.closed.map_or(Phase::Open, Phase::Closed);
            if !slot.shorten(&wide) {
                slot.wide = self.wide.insert(wide);
            }
            return result;
        }
        let wide = &mut self.wide[slot.wide];
        let result = work(wide);
        slot.phase = wide.flow.closed.map_or(Phase::Open, Phase::Closed);
        if slot.shorten(wide) {
            *wide = Wide::default();
            self.wide.free(std::mem::replace(&mut slot.wide, NIL));
        }
        result
    }

    /// A flow that has just closed waits for late segments no longer than that takes.
    fn settle_phase(&mut self, index: u32, at: Timestamp) {
        if self.slots[index].phase != Phase::Open {
            let deadline = at.plus(self.options.closed_linger).as_secs() + 1;
            self.wheel.remove(index);
            self.wheel.insert(index, deadline);
        }
    }

    /// Takes note that the flow has something to report at its pace, if it has sent what does not wait for more.
    #[inline]
    fn list(&mut self, index: u32) {
        let slot = &mut self.slots[index];
        let pace = slot.listing.pace();
        if slot.listing.is_on(pace) || self.options.reporting == Reporting::AtEnd {
            return;
        }
        if slot.awaits_tick((slot.wide != NIL).then(|| &self.wide[slot.wide])) {
            slot.listing.set_on(pace, true);
            self.listed[pace as usize].push(index);
        }
    }

    /// Must the flow, of which `sender` has just sent something, report without waiting for the tick?
    fn is_due(&self, index: u32, sender: Sender) -> bool {
        let slot = &self.slots[index];
        match slot.wide {
            NIL => slot.is_due(sender, self.options.reporting),
            wide => self.wide[wide].is_due(self.options.reporting),
        }
    }

    /// Reports what is new of a flow.
    fn report(
        &mut self,
        index: u32,
        end: Option<FlowEnd>,
        report: &mut impl FnMut(u32, FlowDelta),
    ) {
        let slot = &mut self.slots[index];
        let wide = (slot.wide != NIL).then(|| &mut self.wide[slot.wide]);
        report(index, slot.take_delta(wide, end));
    }

    fn report_all(&mut self, pace: Pace, report: &mut impl FnMut(u32, FlowDelta)) {
        let mut listed = std::mem::take(&mut self.listed[pace as usize]);
        for (at, &index) in listed.iter().enumerate() {
            if let Some(slot) = listed.get(at + AHEAD).and_then(|&ahead| self.slots.get(ahead)) {
                prefetch_whole(slot);
            }
            let slot = &mut self.slots[index];
            slot.listing.set_on(pace, false);
            let wide = (slot.wide != NIL).then(|| &mut self.wide[slot.wide]);
            if slot.phase != Phase::Free && slot.has_news(wide.as_deref()) {
                report(index, slot.take_delta(wide, None));
            }
        }
        listed.clear();
        self.listed[pace as usize] = listed;
    }

    fn idle_timeout(&self, slot: &Slot) -> Duration {
        match slot.protocol() {
            Protocol::TCP if slot.phase != Phase::Open => self.options.closed_linger,
            Protocol::TCP => self.options.tcp_idle,
            Protocol::UDP => self.options.udp_idle,
            _ => self.options.other_idle,
        }
    }
}

/// Memory that a flow takes, in bytes: its slot, its cell in the index when that has just doubled, its
/// places in the wheel and among those that report, and where its look is, in a list that has just doubled. One whose
/// account is not simple takes three times as much.
pub const FLOW_BYTES: usize = size_of::<Slot>() + 21 + 12 + 4 + 8;

/// How often flows report that do not leave: what inside hosts copy is news, but not one to act on within a second.
const LATER: Duration = Duration::from_secs(10);

/// Flows that are brought into the cache ahead of the one that reports.
const AHEAD: usize = 8;

/// Flows looked at to find one to evict.
const EVICTION_SAMPLE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Addr;

    /// What a table that sees nothing else tells of a segment's flow.
    fn told_of(segment: &Segment<'_>) -> FlowDelta {
        let mut table = FlowTable::new(Options::default(), Subnets::private());
        let (now, mut told) = (Timestamp::from_secs_nanos(1_000_000, 0), None);
        let place = table.place(segment);
        table.observe(now, segment, place, false, &mut |_, _| {});
        table.end_all(now, FlowEnd::Eof, &mut |_, delta| told = Some(delta));
        told.unwrap()
    }

    /// A sensor that begins in the middle of a connection takes the same end for the client whichever it hears first.
    #[test]
    fn a_connection_under_way_has_one_client() {
        let outside = |port| Endpoint { addr: Addr::from_v4([198, 51, 100, 7]), port };
        let inside = |port| Endpoint { addr: Addr::from_v4([10, 0, 0, 1]), port };
        for (client, server) in [
            (inside(49_890), outside(8080)),
            (inside(5000), outside(443)),
            (outside(32_768), inside(3306)),
            (outside(40_000), inside(22)),
        ] {
            for (source, destination) in [(client, server), (server, client)] {
                let segment = Segment {
                    source,
                    destination,
                    protocol: Protocol::TCP,
                    vlan: None,
                    tunnel: None,
                    ip_len: 40,
                    identification: 0,
                    hop_limit: 64,
                    transport: &[0; 20],
                    payload_len: 0,
                    header_len: 20,
                    tcp: Some(Tcp { seq: 1, ack: 1, flags: Tcp::ACK, header_len: 20, window: 1 }),
                    fragment: None,
                };
                let told = told_of(&segment);
                assert_eq!(told.key.end(told.initiator), client);
                assert!(told.initiator_inferred);
            }
        }
    }

    /// Who was asked for an echo did not open the flow, even where the question was not captured.
    #[test]
    fn an_echo_is_opened_by_who_asks() {
        for (protocol, [asks, answers]) in
            [(Protocol::ICMP, [8, 0]), (Protocol::ICMPV6, [128, 129])]
        {
            let end = |last| Endpoint { addr: Addr::from_v4([10, 0, 0, last]), port: 7 };
            for (source, destination) in [(end(1), end(2)), (end(2), end(1))] {
                for (kind, opener) in [(asks, source), (answers, destination)] {
                    let transport = [kind, 0, 0, 0, 0, 7, 0, 1];
                    let segment = Segment {
                        source,
                        destination,
                        protocol,
                        vlan: None,
                        tunnel: None,
                        ip_len: 28,
                        identification: 0,
                        hop_limit: 64,
                        transport: &transport,
                        payload_len: 0,
                        header_len: 8,
                        tcp: None,
                        fragment: None,
                    };
                    let told = told_of(&segment);
                    assert_eq!(told.key.end(told.initiator), opener, "{protocol} {kind}");
                    assert!(!told.initiator_inferred);
                }
            }
        }
    }

    /// A flood of flows, in a recording whose clock stands still and so never ticks, must not take
    /// more memory than the flows that are held.
    #[test]
    fn a_flood_leaves_nothing_behind() {
        let mut table = FlowTable::new(
            Options { flows_max: 100 * SHARDS, ..Options::default() },
            Subnets::private(),
        );
        let end = |addr: u32| Endpoint { addr: Addr::from_v4(addr.to_be_bytes()), port: 7 };
        let (mut packets, now) = (0, Timestamp::from_secs_nanos(1_000_000, 0));
        let mut add = |_, delta: FlowDelta| packets += delta.low.packets + delta.high.packets;
        for n in 0..20_000 {
            let segment = Segment {
                source: end(n),
                destination: end(u32::MAX),
                protocol: if n % 2 == 0 { Protocol::UDP } else { Protocol::ICMP },
                vlan: None,
                tunnel: None,
                ip_len: 36,
                identification: 0,
                hop_limit: 64,
                transport: &[],
                payload_len: 8,
                header_len: 0,
                tcp: None,
                fragment: None,
            };
            table.observe(now, &segment, table.place(&segment), false, &mut add);
        }
        assert_eq!((table.len(), table.slots.len(), table.counters.evicted), (100, 100, 19_900));
        assert!(table.listed.len() <= 100, "{}", table.listed.len());
        table.end_all(now, FlowEnd::Eof, &mut add);
        assert_eq!(packets, 20_000);
    }

    fn datagram((source, destination): (Endpoint, Endpoint), payload_len: u32) -> Segment<'static> {
        Segment {
            source,
            destination,
            protocol: Protocol::UDP,
            vlan: None,
            tunnel: None,
            ip_len: payload_len + 28,
            identification: 0,
            hop_limit: 64,
            transport: &[],
            payload_len,
            header_len: 8,
            tcp: None,
            fragment: None,
        }
    }

    /// What stays inside is told seldom, unless it is asked to be passed on; and a place in the table that such a flow
    /// left keeps no other waiting.
    #[test]
    fn what_stays_inside_is_reported_every_ten_seconds() {
        let end = |addr, port| Endpoint { addr: Addr::from_v4(addr), port };
        let (host, server) = (end([10, 0, 0, 1], 50_000), end([10, 0, 9, 9], 3128));
        let segment = datagram((host, server), 500);
        let mut table = FlowTable::new(Options::default(), Subnets::private());
        let mut told = Vec::new();
        for second in 0..25_u64 {
            let at = |second| Timestamp::from_secs_nanos(1_000_000 + second, 0);
            let place = table.place(&segment);
            let glimpse = table.observe(at(second), &segment, place, false, |_, _| {}).unwrap();
            if second == 22 {
                table.hasten(&glimpse);
            }
            table.tick(at(second + 1), |_, delta| told.push((second + 1, delta.low.sent)));
        }
        assert_eq!(told, [(1, 500), (10, 4500), (20, 5000), (23, 1500), (24, 500), (25, 500)]);

        let mut table =
            FlowTable::new(Options { flows_max: 1, ..Options::default() }, Subnets::private());
        let leaves = datagram((host, end([203, 0, 113, 9], 443)), 700);
        let at = |secs| Timestamp::from_secs_nanos(secs, 0);
        table.tick(at(1_000_001), |_, _| {});
        for segment in [&segment, &leaves] {
            table.observe(at(1_000_002), segment, table.place(segment), false, |_, _| {});
        }
        let mut told = Vec::new();
        table.tick(at(1_000_003), |_, delta| told.push(delta.low.sent));
        assert_eq!((table.len(), told), (1, vec![700]));
    }

    /// What leaves is reported every second; a download is not news until it is large, or over.
    #[test]
    fn what_inside_ends_send_is_reported_at_the_tick() {
        let inside = Endpoint { addr: Addr::from_v4([10, 0, 0, 1]), port: 50_000 };
        let outside = Endpoint { addr: Addr::from_v4([203, 0, 113, 9]), port: 443 };
        let (out, back) = ((inside, outside), (outside, inside));
        let mut table = FlowTable::new(Options::default(), Subnets::private());
        let mut second = 1_000_000;
        // What is reported at once, and at the tick after it.
        let mut pass = |segments: &[Segment<'_>]| {
            let (mut at_once, mut at_tick) = (Vec::new(), Vec::new());
            let sent = |delta: FlowDelta| (delta.low.sent, delta.high.sent);
            let now = Timestamp::from_secs_nanos(second, 0);
            for segment in segments {
                let place = table.place(segment);
                table.observe(now, segment, place, false, |_, delta| {
                    at_once.push(sent(delta));
                });
            }
            second += 1;
            let now = Timestamp::from_secs_nanos(second, 0);
            table.tick(now, |_, delta| at_tick.push(sent(delta)));
            (at_once, at_tick)
        };

        assert_eq!(pass(&[datagram(out, 500)]), (vec![], vec![(500, 0)]));
        assert_eq!(pass(&[datagram(back, 1400)]), (vec![], vec![]));
        assert_eq!(pass(&[datagram(back, 1400), datagram(out, 0)]), (vec![], vec![]));
        assert_eq!(pass(&[datagram(out, 7)]), (vec![], vec![(7, 2800)]));
        assert_eq!(pass(&[datagram(back, 1 << 20)]), (vec![(0, 1 << 20)], vec![]));
        assert_eq!(pass(&[datagram(back, 9)]), (vec![], vec![]));
        let mut last = None;
        let now = Timestamp::from_secs_nanos(1_000_100, 0);
        table.end_all(now, FlowEnd::Eof, |_, delta| last = Some((delta.low.sent, delta.high.sent)));
        assert_eq!(last, Some((0, 9)));
    }
}
