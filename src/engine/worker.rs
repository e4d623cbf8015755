//! One worker: decodes frames, counts its shards' flows, reports deltas with their place in the input.

use std::time::Duration;

use crate::decode::{
    NotIp, Reject, Rejects, Segment, Tunnel, decode, outermost, plain_ends, resolution,
};
use crate::flow::{
    self, Duplicates, Fingerprint, Fingerprints, FlowCounters, FlowDelta, FlowEnd, FlowKey,
    FlowTable, Glimpse, Place, SHARDS, SHOWN_ALWAYS, SHOWN_NO_MORE,
};
use crate::frame::{Batch, Effort, Frame, FrameHead};
use crate::machines::{self, Claim};
use crate::names::{self, Echo, Gaze, Names, Piece};
use crate::net::Subnets;
use crate::time::{Advance, PacketClock, Timestamp};

/// How frames become deltas.
#[derive(Debug, Clone)]
pub struct Run {
    /// How flows are kept.
    pub flow: flow::Options,
    /// How first bytes are looked at; `None`: not at all.
    pub names: Option<names::Options>,
    /// Networks that are ours.
    pub internal: Subnets,
    /// Threads. A single one does everything; of more, the caller's reads and judges, and the others count.
    pub workers: usize,
}

/// Where in the input something was reported. The order of positions is the order of judgement, and
/// does not depend on how shards are spread over workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the frame in the input.
    frame: u64,
    /// Was it the frame's own flow, or the tick before the frame?
    is_own: bool,
    /// The shard that reported.
    shard: usize,
    step: Step,
}

/// What is reported in one place comes in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The last that was learned of flows that end.
    LastFacts,
    /// What flows count.
    Delta,
    /// What the frame told.
    News,
}

/// Takes what a worker reports.
pub trait Outbox {
    /// Takes one delta; those of one worker come in the order of their positions.
    fn put(&mut self, position: Position, delta: FlowDelta);

    /// Takes something learned; in the order of positions too.
    fn tell(&mut self, position: Position, event: names::Event);

    /// Takes what is claimed of machines; in the order of positions too.
    fn claim(&mut self, position: Position, claim: Claim);
}

/// Takes the deltas alone.
impl Outbox for Vec<(Position, FlowDelta)> {
    fn put(&mut self, position: Position, delta: FlowDelta) {
        self.push((position, delta));
    }

    fn tell(&mut self, _: Position, _: names::Event) {}

    fn claim(&mut self, _: Position, _: Claim) {}
}

/// What workers reported, each kind in the order of the input.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reports {
    /// What flows counted.
    pub deltas: Vec<(Position, FlowDelta)>,
    /// What was learned of names and services.
    pub events: Vec<(Position, names::Event)>,
    /// What was claimed of machines.
    pub claims: Vec<(Position, Claim)>,
    /// What those who report had counted by then.
    pub counted: WorkerCounters,
    /// How late it was, when the source had nothing to bring.
    pub idle_at: Option<Timestamp>,
}

/// One thing reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported<'a> {
    /// What a flow counted.
    Delta(&'a FlowDelta),
    /// What was learned.
    Event(&'a names::Event),
    /// What was claimed of machines.
    Claim(&'a Claim),
}

impl Reports {
    /// All of it in the order of the input.
    pub fn in_order(&self) -> impl Iterator<Item = Reported<'_>> + Clone {
        let mut deltas = self.deltas.iter().peekable();
        let mut events = self.events.iter().peekable();
        let mut claims = self.claims.iter().peekable();
        std::iter::from_fn(move || {
            let delta = deltas.peek().map(|&(position, _)| *position);
            let event = events.peek().map(|&(position, _)| *position);
            let claim = claims.peek().map(|&(position, _)| *position);
            let next = [claim, event, delta].into_iter().flatten().min()?;
            if claim == Some(next) {
                claims.next().map(|(_, claim)| Reported::Claim(claim))
            } else if event == Some(next) {
                events.next().map(|(_, event)| Reported::Event(event))
            } else {
                deltas.next().map(|(_, delta)| Reported::Delta(delta))
            }
        })
    }

    /// The kind of which there is most.
    pub(super) fn len(&self) -> usize {
        self.deltas.len().max(self.events.len()).max(self.claims.len())
    }

    /// Forgets what was reported; what was counted stays.
    pub(super) fn clear(&mut self) {
        self.deltas.clear();
        self.events.clear();
        self.claims.clear();
        self.idle_at = None;
    }
}

impl Outbox for Reports {
    fn put(&mut self, position: Position, delta: FlowDelta) {
        self.deltas.push((position, delta));
    }

    fn tell(&mut self, position: Position, event: names::Event) {
        self.events.push((position, event));
    }

    fn claim(&mut self, position: Position, claim: Claim) {
        self.claims.push((position, claim));
    }
}

/// What a worker has counted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct WorkerCounters {
    /// Frames that make a segment, whoever counts it.
    pub decoded: u64,
    /// Frames that were not, by reason.
    pub rejects: Rejects,
    /// Earliest and latest frame.
    pub span: Option<(Timestamp, Timestamp)>,
    /// How often time was set back.
    pub turned_back: u64,
    /// Flows held now, of this worker's shards.
    pub held: usize,
    /// Segments that the mirror delivered again, of this worker's shards.
    pub duplicates: u64,
    /// The flow tables' own counters, of this worker's shards.
    pub flows: FlowCounters,
    /// What looking at first bytes came to, of this worker's shards.
    pub names: names::Counters,
}

impl WorkerCounters {
    /// Adds what another worker, which read the same frames, counted of its own shards.
    pub fn join(&mut self, other: &Self) {
        self.held += other.held;
        self.duplicates += other.duplicates;
        self.flows.add(&other.flows);
        self.names.add(&other.names);
    }
}

/// Frames that take each step together.
#[derive(Debug)]
struct Group<'b> {
    heads: &'b [FrameHead],
    /// The number of the first in the input.
    first: u64,
    /// Of each head, what it says, and where it is counted; `None`: a segment that another worker counts.
    readings: [Option<Result<Segment<'b>, Reject>>; GROUP],
    spots: [Spot; GROUP],
}

impl Group<'_> {
    const fn new() -> Self {
        let spot = Spot { shard: 0, fingerprint: Fingerprint::NONE, place: Place::NONE };
        Self { heads: &[], first: 0, readings: [None; GROUP], spots: [spot; GROUP] }
    }
}

/// Where a segment is counted.
#[derive(Debug, Clone, Copy)]
struct Spot {
    shard: usize,
    fingerprint: Fingerprint,
    place: Place,
}

/// What is kept of the flows between some pairs of addresses.
#[derive(Debug, Clone)]
struct Shard {
    table: FlowTable,
    duplicates: Duplicates,
    names: Option<Names>,
}

impl Shard {
    /// Looks at payload, and notes whether to look at more of that flow.
    fn look(
        &mut self,
        at: Timestamp,
        segment: &Segment<'_>,
        glimpse: &Glimpse,
        mut tell: impl FnMut(names::Event),
    ) {
        let mut is_passed_on = false;
        let gaze = match &mut self.names {
            None => Gaze::Done,
            Some(_) if segment.protocol.is_icmp() => {
                let echo = Echo::of(at, segment, glimpse.key, glimpse.sender);
                echo.into_iter().for_each(|echo| tell(names::Event::Echo(Box::new(echo))));
                Gaze::Kept
            }
            Some(names) => {
                let piece = Piece {
                    at,
                    sender: glimpse.sender,
                    initiator: glimpse.initiator,
                    offset: glimpse.offset,
                    bytes: segment.payload(),
                    is_cut: segment.payload().len() < segment.payload_len as usize
                        || segment.fragment.is_some_and(|fragment| fragment.more),
                    before: glimpse.shown,
                };
                names.look((glimpse.slot, &glimpse.key), &piece, |event| {
                    if let names::Event::Facts(_, facts) = &event {
                        is_passed_on |= facts.is_passed_on();
                    }
                    tell(event);
                })
            }
        };
        if is_passed_on {
            self.table.hasten(glimpse);
        }
        let shown = match gaze {
            Gaze::Done if machines::is_heard(&glimpse.key) => SHOWN_ALWAYS,
            Gaze::On => glimpse.shown + 1,
            Gaze::Kept => SHOWN_ALWAYS,
            Gaze::Done => SHOWN_NO_MORE,
        };
        self.table.set_shown(glimpse, shown);
    }
}

/// A shard on its way from one worker to another that has read the same frames, or none of them.
pub(super) struct Parting {
    number: usize,
    shard: Shard,
    fingerprints: Option<Fingerprints>,
    clock: PacketClock,
    next_tick: Timestamp,
}

/// Counts the flows of some of the shards.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The shards; `None` where another worker has it.
    shards: Vec<Option<Shard>>,
    /// Known from the first frame on.
    fingerprints: Option<Fingerprints>,
    internal: Subnets,
    clock: PacketClock,
    next_tick: Timestamp,
    counters: WorkerCounters,
}

impl Worker {
    /// Of as many workers as `run` says, the one with this number.
    pub fn new(run: &Run, number: usize) -> Self {
        Self::of(run, |shard| shard % run.workers.max(1) == number)
    }

    /// One that counts nothing before it is given shards.
    pub(super) fn without_shards(run: &Run) -> Self {
        Self::of(run, |_| false)
    }

    fn of(run: &Run, is_own: impl Fn(usize) -> bool) -> Self {
        let shard = |shard| {
            is_own(shard).then(|| Shard {
                table: FlowTable::new(run.flow.clone(), run.internal.clone()),
                duplicates: Duplicates::new(),
                names: run.names.map(Names::new),
            })
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            fingerprints: None,
            internal: run.internal.clone(),
            clock: PacketClock::default(),
            next_tick: Timestamp::EPOCH,
            counters: WorkerCounters::default(),
        }
    }

    /// Does it count anything? Else it need not read.
    pub(super) fn has_shards(&self) -> bool {
        self.shards.iter().any(Option::is_some)
    }

    /// Gives a shard away, with all that was counted of it.
    pub(super) fn part_with(&mut self, number: usize) -> Option<Box<Parting>> {
        let shard = self.shards[number].take()?;
        let Self { fingerprints, ref clock, next_tick, .. } = *self;
        Some(Box::new(Parting { number, shard, fingerprints, clock: clock.clone(), next_tick }))
    }

    /// Counts a shard from now on.
    pub(super) fn adopt(&mut self, parting: Parting) {
        let Parting { number, shard, fingerprints, clock, next_tick } = parting;
        self.shards[number] = Some(shard);
        (self.fingerprints, self.clock, self.next_tick) = (fingerprints, clock, next_tick);
    }

    /// Counts a batch whose first frame is number `first` of the input.
    ///
    /// Some frames at a time take each step together, and the next ones are read before they are
    /// counted: what one waits for in memory, the others wait for meanwhile.
    pub fn run(&mut self, batch: &Batch, first: u64, outbox: &mut impl Outbox) {
        let Some(head) = batch.heads.first() else { return };
        let fingerprints =
            *self.fingerprints.get_or_insert_with(|| Fingerprints::of_capture(head.at));
        let is_shared = self.shards.iter().any(Option::is_none);
        let (mut group, mut next) = (&mut Group::new(), &mut Group::new());
        for (heads, first) in batch.heads.chunks(GROUP).zip((first..).step_by(GROUP)) {
            self.read_group(batch, heads, first, (fingerprints, is_shared), next);
            self.count_group(batch, group, outbox);
            self.approach(next);
            std::mem::swap(&mut group, &mut next);
        }
        self.count_group(batch, group, outbox);
    }

    /// Decodes frames, finds each one's shard, and asks for the memory that its place there needs.
    fn read_group<'b>(
        &self,
        batch: &'b Batch,
        heads: &'b [FrameHead],
        first: u64,
        (fingerprints, is_shared): (Fingerprints, bool),
        group: &mut Group<'b>,
    ) {
        (group.heads, group.first) = (heads, first);
        for ((&head, place), spot) in heads.iter().zip(&mut group.readings).zip(&mut group.spots) {
            let frame = batch.frame(head);
            if is_shared && self.is_plainly_others(&frame) {
                *place = None;
                continue;
            }
            let mut decoded = decode(&frame);
            if let Ok(Segment { tunnel: Some(tunnel), .. }) = &decoded
                && self.crosses_border(tunnel)
            {
                decoded = outermost(&frame);
            }
            if let Ok(segment) = &mut decoded {
                spot.shard = FlowKey::shard(segment.source.addr, segment.destination.addr);
                let Some(Shard { table, duplicates, .. }) = &self.shards[spot.shard] else {
                    *place = None;
                    continue;
                };
                spot.fingerprint = fingerprints.of(segment);
                if batch.effort.weight > 1 {
                    segment.weigh(batch.effort.weight);
                }
                duplicates.prefetch(spot.fingerprint);
                spot.place = table.place(segment);
            }
            // Moved as late as can be: what was just written in small parts is slow to be read in large ones.
            *place = Some(decoded);
        }
    }

    /// Does a glance tell that another worker counts this frame? Then it need not be decoded.
    fn is_plainly_others(&self, frame: &Frame<'_>) -> bool {
        plain_ends(frame).is_some_and(|(a, b)| self.shards[FlowKey::shard(a, b)].is_none())
    }

    /// Asks for the memory that counting needs.
    fn approach(&self, group: &mut Group<'_>) {
        for (reading, spot) in group.readings[..group.heads.len()].iter().zip(&mut group.spots) {
            if let (Some(Ok(segment)), Some(shard)) = (reading, &self.shards[spot.shard]) {
                shard.table.approach(&mut spot.place);
                if let Some(names) = shard.names.as_ref().filter(|_| segment.payload_len > 0) {
                    names.approach(spot.place.slot);
                }
            }
        }
    }

    fn count_group(&mut self, batch: &Batch, group: &Group<'_>, outbox: &mut impl Outbox) {
        let readings = group.readings.iter().zip(&group.spots);
        for ((number, head), (reading, spot)) in (group.first..).zip(group.heads).zip(readings) {
            self.keep_time(number, head.at, outbox);
            match reading {
                None => self.counters.decoded += 1,
                Some(Ok(segment)) => {
                    self.counters.decoded += 1;
                    self.count((number, head.at), segment, spot, batch.effort, outbox);
                }
                Some(Err(reject)) => {
                    self.counters.rejects.count(*reject);
                    if *reject == Reject::NotIp(NotIp::Arp) {
                        self.hear_resolution(number, &batch.frame(*head), outbox);
                    }
                }
            }
        }
    }

    /// ARP is of no flow, and so of the first shard.
    fn hear_resolution(&self, number: u64, frame: &Frame<'_>, outbox: &mut impl Outbox) {
        if self.shards[0].is_some()
            && let Some(resolution) = resolution(frame)
        {
            let position = Position { frame: number, is_own: true, shard: 0, step: Step::News };
            machines::hear_resolution(frame.at, &resolution, |claim| {
                outbox.claim(position, claim);
            });
        }
    }

    fn count(
        &mut self,
        (number, at): (u64, Timestamp),
        segment: &Segment<'_>,
        spot: &Spot,
        effort: Effort,
        outbox: &mut impl Outbox,
    ) {
        let shard = spot.shard;
        let Some(own) = &mut self.shards[shard] else { return };
        let is_copy = own.duplicates.is_copy(at, segment, spot.fingerprint);
        self.counters.duplicates += u64::from(is_copy);
        let position = Position { frame: number, is_own: true, shard, step: Step::Delta };
        let Shard { table, names, .. } = own;
        let glimpse = table.observe(at, segment, spot.place, is_copy, |slot, delta| {
            hand_on(names.as_mut(), position, (slot, delta), outbox);
        });
        if let Some(glimpse) = glimpse.filter(|_| effort.looks) {
            let position = Position { step: Step::News, ..position };
            own.look(at, segment, &glimpse, |event| outbox.tell(position, event));
            if machines::is_heard(&glimpse.key) {
                machines::hear(at, segment, |claim| outbox.claim(position, claim));
            }
        }
    }

    /// Lets time pass without frames: what is due is reported, what is idle ends. `next` is the number of
    /// the frame that comes next.
    pub fn idle(&mut self, now: Timestamp, next: u64, outbox: &mut impl Outbox) {
        self.pass(next, now, outbox);
    }

    /// Ends all flows: there are no more frames.
    pub fn finish(&mut self, outbox: &mut impl Outbox) {
        let now = self.clock.now();
        self.end_all(u64::MAX, now, FlowEnd::Eof, outbox);
    }

    /// What was counted.
    pub fn counters(&self) -> WorkerCounters {
        let mut counters = self.counters.clone();
        counters.turned_back = self.clock.turned_back();
        for shard in self.shards.iter().flatten() {
            counters.held += shard.table.len();
            counters.flows.add(shard.table.counters());
            if let Some(names) = &shard.names {
                counters.names.add(names.counters());
            }
        }
        counters
    }

    /// Does a tunnel itself cross the border? Then its own ends count, for that is where the bytes go:
    /// what it carries may be said to be between any two addresses.
    fn crosses_border(&self, tunnel: &Tunnel) -> bool {
        self.internal.contains(tunnel.source) != self.internal.contains(tunnel.destination)
    }

    fn keep_time(&mut self, number: u64, at: Timestamp, outbox: &mut impl Outbox) {
        let span = self.counters.span.get_or_insert((at, at));
        *span = (span.0.min(at), span.1.max(at));
        self.pass(number, at, outbox);
    }

    fn pass(&mut self, number: u64, at: Timestamp, outbox: &mut impl Outbox) {
        match self.clock.advance(at) {
            Advance::Forward(now) if now < self.next_tick => {}
            Advance::Forward(now) => {
                self.next_tick = Timestamp::from_secs_nanos(now.as_secs(), 0).plus(TICK);
                for (shard, own) in self.shards.iter_mut().enumerate() {
                    if let Some(Shard { table, names, .. }) = own {
                        let position =
                            Position { frame: number, is_own: false, shard, step: Step::Delta };
                        table.tick(now, |slot, delta| {
                            hand_on(names.as_mut(), position, (slot, delta), outbox);
                        });
                    }
                }
            }
            Advance::Back(now) => {
                self.next_tick = Timestamp::from_secs_nanos(now.as_secs(), 0).plus(TICK);
                self.end_all(number, now, FlowEnd::Idle, outbox);
            }
        }
    }

    fn end_all(&mut self, number: u64, now: Timestamp, end: FlowEnd, outbox: &mut impl Outbox) {
        for (shard, own) in self.shards.iter_mut().enumerate() {
            if let Some(Shard { table, names, .. }) = own {
                let position = Position { frame: number, is_own: false, shard, step: Step::Delta };
                table.end_all(now, end, |slot, delta| {
                    hand_on(names.as_mut(), position, (slot, delta), outbox);
                });
                names.iter_mut().for_each(Names::clear);
            }
        }
    }
}

/// Hands a delta on; of a flow that ends, before it what was learned last.
fn hand_on(
    names: Option<&mut Names>,
    position: Position,
    (slot, delta): (u32, FlowDelta),
    outbox: &mut impl Outbox,
) {
    if delta.end.is_some()
        && let Some(names) = names
    {
        let position = Position { step: Step::LastFacts, ..position };
        names.close(slot, |event| outbox.tell(position, event));
    }
    outbox.put(position, delta);
}

/// Frames that take each step together: enough to overlap their cache misses, few enough to stay in
/// the first-level cache themselves.
const GROUP: usize = 32;

/// How often active flows report, aligned to whole seconds of packet time.
const TICK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, LinkType};
    use crate::net::Addr;

    /// IPv4 with this protocol and payload, as raw bytes.
    fn ipv4(protocol: u8, source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let total = (20 + payload.len()) as u16;
        let mut packet = vec![0x45, 0, 0, 0, 0, 7, 0, 0, 64, protocol, 0, 0];
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet.extend(source.into_iter().chain(destination));
        packet.extend(payload);
        packet
    }

    /// A host may wrap its upload in GRE to an outside peer and claim any addresses within, those of
    /// a harmless flow among them: the bytes go where the tunnel goes.
    #[test]
    fn a_tunnel_that_crosses_the_border_counts_by_its_own_ends() {
        let udp = [&[0x13, 0x88, 0, 53, 0, 108, 0, 0][..], &[7; 100]].concat();
        let inner = ipv4(17, [192, 168, 9, 9], [192, 168, 1, 5], &udp);
        let gre = |to| ipv4(47, [10, 0, 0, 1], to, &[&[0, 0, 0x08, 0][..], &inner].concat());
        let counted = |to| {
            let run = Run {
                flow: flow::Options::default(),
                names: None,
                internal: Subnets::private(),
                workers: 1,
            };
            let mut worker = Worker::new(&run, 0);
            let mut batch = Batch::default();
            let bytes = gre(to);
            batch.push(Frame {
                at: Timestamp::EPOCH,
                link: LinkType::RAW,
                wire_len: bytes.len() as u32,
                bytes: &bytes,
            });
            let mut outbox = Vec::new();
            worker.run(&batch, 0, &mut outbox);
            worker.finish(&mut outbox);
            let (_, delta) = outbox.pop().unwrap();
            (delta.key.low.addr, delta.key.high.addr, delta.low.payload + delta.high.payload)
        };
        let addr = Addr::from_v4;
        assert_eq!(counted([203, 0, 113, 5]), (addr([10, 0, 0, 1]), addr([203, 0, 113, 5]), 132));
        assert_eq!(counted([10, 0, 0, 2]), (addr([192, 168, 1, 5]), addr([192, 168, 9, 9]), 100));
    }
}
