//! The flow table: one shard of it, owned by one worker.

use std::hash::BuildHasher;
use std::time::Duration;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::decode::{Segment, Tcp, Tunnel, TunnelKind};
use crate::flow::fragments::Fragments;
use crate::flow::key::{FlowKey, SHARDS, Sender};
use crate::flow::stream::{Added, Reach, Stream, WINDOW_UNKNOWN};
use crate::flow::wheel::Wheel;
use crate::net::{Addr, Endpoint, Protocol};
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
        }
    }
}

/// What one end of a flow sent, in bytes and packets (DESIGN 3.1). The kinds are never mixed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Unique application bytes.
    pub payload: u64,
    /// TCP bytes that the other end acknowledged.
    pub acked: u64,
    /// What left as far as can be known: the greater of `payload` and `acked` for TCP, else `payload`.
    pub sent: u64,
    /// Sum of IP total lengths.
    pub wire: u64,
    /// TCP payload bytes that had been seen before.
    pub retransmitted: u64,
    /// Packets, those counted as duplicates aside.
    pub packets: u64,
    /// Packets that the mirror port delivered again; they count in nothing else.
    pub duplicates: u64,
}

impl Counters {
    /// Adds another account to this one.
    pub fn add(&mut self, more: &Self) {
        self.payload += more.payload;
        self.acked += more.acked;
        self.sent += more.sent;
        self.wire += more.wire;
        self.retransmitted += more.retransmitted;
        self.duplicates += more.duplicates;
        self.packets += more.packets;
    }
}

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowEnd {
    /// Both ends said FIN.
    Fin,
    /// One end said RST.
    Rst,
    /// Nothing came for the idle time.
    Idle,
    /// The table was full.
    Evicted,
    /// The input ended.
    Eof,
}

/// A flow's increments since its last report, never totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowDelta {
    /// The flow.
    pub key: FlowKey,
    /// The end that opened it.
    pub initiator: Sender,
    /// Was that guessed, for want of a SYN?
    pub initiator_inferred: bool,
    /// Time of its first packet.
    pub started_at: Timestamp,
    /// Time of its latest packet: the increments end here.
    pub last_at: Timestamp,
    /// What the lesser end sent since the last report.
    pub low: Counters,
    /// What the greater end sent since the last report.
    pub high: Counters,
    /// The outermost tunnel that its first packet came out of.
    pub tunnel: Option<TunnelEnds>,
    /// Set in the flow's last report.
    pub end: Option<FlowEnd>,
}

impl FlowDelta {
    /// What `side` sent since the last report.
    pub fn sent_by(&self, side: Sender) -> &Counters {
        match side {
            Sender::Low => &self.low,
            Sender::High => &self.high,
        }
    }
}

/// A flow's tunnel, its ends on the sides of the flow's own ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelEnds {
    /// Its kind.
    pub kind: TunnelKind,
    /// Its number, 0 where there is none.
    pub id: u32,
    /// The tunnel's end on the side of the flow's lesser end.
    pub low: Addr,
    /// The tunnel's end on the side of the flow's greater end.
    pub high: Addr,
}

impl TunnelEnds {
    fn of(tunnel: &Tunnel, sender: Sender) -> Self {
        let (low, high) = match sender {
            Sender::Low => (tunnel.source, tunnel.destination),
            Sender::High => (tunnel.destination, tunnel.source),
        };
        Self { kind: tunnel.kind, id: tunnel.id, low, high }
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

/// One shard of the flow table.
#[derive(Debug, Clone)]
pub struct FlowTable {
    options: Options,
    index: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    flows: Vec<Flow>,
    free: Vec<u32>,
    wheel: Wheel,
    fragments: Fragments,
    /// Flows with something to report at the next tick.
    unreported: Vec<u32>,
    due: Vec<u32>,
    /// Where the search for a flow to evict goes on.
    hand: usize,
    counters: FlowCounters,
}

#[derive(Debug, Clone)]
struct Flow {
    key: FlowKey,
    started_at: Timestamp,
    last_at: Timestamp,
    low: Half,
    high: Half,
    tunnel: Option<Box<TunnelEnds>>,
    initiator: Sender,
    initiator_inferred: bool,
    closed: Option<FlowEnd>,
    /// A SYN that would start another connection on the same ports, until it is answered.
    rival_syn: Option<(Sender, u32)>,
    is_unreported: bool,
    is_live: bool,
}

/// What one end of a flow sent.
#[derive(Debug, Clone, Default)]
struct Half {
    stream: Stream,
    is_heard: bool,
    /// Largest window advertised, unscaled.
    window: u16,
    /// Scale of that window, once a SYN told it.
    window_scale: Option<u8>,
    unreported: Counters,
    payload: u64,
    sent: u64,
    /// `unreported.sent` that is reported at once.
    rung: u64,
}

impl FlowTable {
    /// An empty shard that holds its share of `options.flows_max`.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            index: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            flows: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(),
            fragments: Fragments::new(),
            unreported: Vec::new(),
            due: Vec::new(),
            hand: 0,
            counters: FlowCounters::default(),
        }
    }

    /// Counts one segment. Reports the flow at once when it has sent another rung of bytes.
    ///
    /// A copy that the mirror delivered again counts as that and as nothing else.
    pub fn observe(
        &mut self,
        at: Timestamp,
        segment: &Segment<'_>,
        is_copy: bool,
        mut report: impl FnMut(FlowDelta),
    ) {
        let mut placed = (segment.source, segment.destination, segment.tcp.map(|tcp| tcp.seq));
        if let Some(fragment) = segment.fragment {
            placed = self.fragments.place(at, segment, fragment);
        }
        let (source, destination, tcp_seq) = placed;
        let (mut key, sender) = FlowKey::of(source, destination, segment.protocol);
        key.tag = self.tag(segment);

        if is_copy {
            self.count_copy(at, key, sender);
            return;
        }
        let mut at_index = self.find_or_start(at, key, sender, segment, &mut report);
        if let Some(tcp) = &segment.tcp
            && self.flows[at_index as usize].is_restarted_by(sender, tcp)
        {
            self.end(
                at_index,
                self.flows[at_index as usize].closed.unwrap_or(FlowEnd::Idle),
                &mut report,
            );
            at_index = self.find_or_start(at, key, sender, segment, &mut report);
        }
        let flow = &mut self.flows[at_index as usize];
        let was_closed = flow.closed.is_some();
        self.counters.rejected += flow.count(at, sender, segment, tcp_seq);
        if flow.closed.is_some() && !was_closed {
            self.wheel.remove(at_index);
            self.wheel.insert(at_index, at.plus(self.options.closed_linger).as_secs() + 1);
        }
        if !flow.is_unreported {
            flow.is_unreported = true;
            self.unreported.push(at_index);
        }
        if flow.has_reached_rung() {
            report(flow.take_delta(None));
        }
    }

    /// A copy follows its packet, so the flow is there; unless it was evicted in between.
    fn count_copy(&mut self, at: Timestamp, key: FlowKey, sender: Sender) {
        let hash = self.hasher.hash_one(key);
        let known = self.index.find(hash, |&index| self.flows[index as usize].key == key);
        if let Some(&index) = known {
            let flow = &mut self.flows[index as usize];
            flow.last_at = flow.last_at.max(at);
            flow.half_mut(sender).unreported.duplicates += 1;
            if !flow.is_unreported {
                flow.is_unreported = true;
                self.unreported.push(index);
            }
        }
    }

    /// Reports what is new, and ends what has been idle, at `now`.
    pub fn tick(&mut self, now: Timestamp, mut report: impl FnMut(FlowDelta)) {
        self.report_all(&mut report);
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now.as_secs(), &mut due);
        for index in due.drain(..) {
            let flow = &self.flows[index as usize];
            let deadline = flow.last_at.plus(self.idle_timeout(flow));
            if deadline <= now {
                self.end(index, flow.closed.unwrap_or(FlowEnd::Idle), &mut report);
            } else {
                self.wheel.insert(index, deadline.as_secs() + 1);
            }
        }
        self.due = due;
    }

    /// Ends every flow: the input is over, or its clock was set back to `now`.
    pub fn end_all(&mut self, now: Timestamp, end: FlowEnd, mut report: impl FnMut(FlowDelta)) {
        for index in 0..self.flows.len() {
            let flow = &self.flows[index];
            if flow.is_live {
                self.end(index as u32, flow.closed.unwrap_or(end), &mut report);
            }
        }
        self.wheel.reset(now.as_secs());
    }

    /// Flows held now.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Is no flow held?
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// What the table has to say of its work.
    pub fn counters(&self) -> &FlowCounters {
        &self.counters
    }

    fn tag(&self, segment: &Segment<'_>) -> u32 {
        match (segment.tunnel, segment.vlan) {
            (Some(tunnel), _) if self.options.key_by_tunnel => tunnel.id,
            (_, Some(vlan)) if self.options.key_by_vlan => u32::from(vlan),
            _ => 0,
        }
    }

    fn find_or_start(
        &mut self,
        at: Timestamp,
        key: FlowKey,
        sender: Sender,
        segment: &Segment<'_>,
        report: &mut impl FnMut(FlowDelta),
    ) -> u32 {
        let hash = self.hasher.hash_one(key);
        if let Some(&index) = self.index.find(hash, |&index| self.flows[index as usize].key == key)
        {
            return index;
        }
        if self.index.len() >= (self.options.flows_max / SHARDS).max(1) {
            self.evict(report);
        }
        let flow = Flow::start(at, key, sender, segment);
        let deadline = at.plus(self.idle_timeout(&flow)).as_secs() + 1;
        let index = match self.free.pop() {
            Some(index) => {
                self.flows[index as usize] = flow;
                index
            }
            None => {
                self.flows.push(flow);
                (self.flows.len() - 1) as u32
            }
        };
        self.index.insert_unique(hash, index, |&other| {
            self.hasher.hash_one(self.flows[other as usize].key)
        });
        self.wheel.insert(index, deadline);
        self.counters.started += 1;
        index
    }

    /// Ends the flow that has been idle longest among the next few.
    fn evict(&mut self, report: &mut impl FnMut(FlowDelta)) {
        let victim = (0..self.flows.len())
            .map(|step| (self.hand + step) % self.flows.len())
            .filter(|&index| self.flows[index].is_live)
            .take(EVICTION_SAMPLE)
            .min_by_key(|&index| self.flows[index].last_at);
        if let Some(index) = victim {
            self.hand = index + 1;
            self.counters.evicted += 1;
            self.end(index as u32, FlowEnd::Evicted, report);
        }
    }

    fn end(&mut self, index: u32, end: FlowEnd, report: &mut impl FnMut(FlowDelta)) {
        let flow = &mut self.flows[index as usize];
        flow.is_live = false;
        let key = flow.key;
        let refused = flow.refused();
        for half in [&mut flow.low, &mut flow.high] {
            let added = half.stream.finish();
            half.add(added);
        }
        self.counters.rejected += flow.refused() - refused;
        let has_carried = flow.low.sent + flow.high.sent > 0;
        self.counters.carried += u64::from(has_carried);
        self.counters.one_sided +=
            u64::from(has_carried && flow.low.is_heard != flow.high.is_heard);
        report(flow.take_delta(Some(end)));
        let hash = self.hasher.hash_one(key);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == index) {
            entry.remove();
        }
        self.wheel.remove(index);
        self.free.push(index);
    }

    fn report_all(&mut self, report: &mut impl FnMut(FlowDelta)) {
        for index in self.unreported.drain(..) {
            let flow = &mut self.flows[index as usize];
            flow.is_unreported = false;
            if flow.is_live && flow.has_unreported() {
                report(flow.take_delta(None));
            }
        }
    }

    fn idle_timeout(&self, flow: &Flow) -> Duration {
        match flow.key.protocol {
            Protocol::TCP if flow.closed.is_some() => self.options.closed_linger,
            Protocol::TCP => self.options.tcp_idle,
            Protocol::UDP => self.options.udp_idle,
            _ => self.options.other_idle,
        }
    }
}

impl Flow {
    fn start(at: Timestamp, key: FlowKey, sender: Sender, segment: &Segment<'_>) -> Self {
        let (initiator, initiator_inferred) = initiator(&key, sender, segment.tcp.as_ref());
        let half = || Half { rung: RUNG_MIN, ..Half::default() };
        Self {
            key,
            started_at: at,
            last_at: at,
            low: half(),
            high: half(),
            tunnel: segment.tunnel.map(|tunnel| Box::new(TunnelEnds::of(&tunnel, sender))),
            initiator,
            initiator_inferred,
            closed: None,
            rival_syn: None,
            is_unreported: false,
            is_live: true,
        }
    }

    /// Do these ports now carry another connection? True for the first SYN after a close, and for
    /// the answer to a SYN that came without one. A forged SYN alone changes nothing.
    fn is_restarted_by(&mut self, sender: Sender, tcp: &Tcp<'_>) -> bool {
        if !tcp.has(Tcp::SYN) {
            return false;
        }
        if tcp.has(Tcp::ACK) {
            return self.rival_syn == Some((sender.other(), tcp.ack.wrapping_sub(1)));
        }
        if !self.half(sender).stream.is_foreign_syn(tcp.seq) {
            return false;
        }
        self.rival_syn = Some((sender, tcp.seq));
        self.closed.is_some()
    }

    /// Counts one segment; answers how many of its claims were refused as impossible.
    fn count(
        &mut self,
        at: Timestamp,
        sender: Sender,
        segment: &Segment<'_>,
        tcp_seq: Option<u32>,
    ) -> u64 {
        self.last_at = self.last_at.max(at);
        let half = self.half_mut(sender);
        half.is_heard = true;
        half.unreported.packets += 1;
        half.unreported.wire += u64::from(segment.ip_len);
        if segment.protocol != Protocol::TCP {
            half.add_payload(u64::from(segment.payload_len));
            half.settle();
            return 0;
        }
        let Some(seq) = tcp_seq else {
            // A TCP fragment whose first part was missed: its place in the stream is unknown.
            half.add_payload(u64::from(segment.payload_len));
            half.settle();
            return 0;
        };
        let refused = self.refused();
        match &segment.tcp {
            Some(tcp) => self.count_tcp(sender, segment, tcp),
            None => {
                let reach = self.reach(sender);
                let half = self.half_mut(sender);
                let added = half.stream.data(seq, segment.payload_len, reach);
                half.add(added);
            }
        }
        self.refused() - refused
    }

    fn count_tcp(&mut self, sender: Sender, segment: &Segment<'_>, tcp: &Tcp<'_>) {
        let mut seq = tcp.seq;
        self.half_mut(sender).note_window(tcp);
        let (reach, answer_reach) = (self.reach(sender), self.reach(sender.other()));
        let half = self.half_mut(sender);
        if tcp.has(Tcp::SYN) {
            half.stream.syn(seq);
            seq = seq.wrapping_add(1);
        }
        // A reset's sequence number may be anything, and its text is no application data (RFC 9293).
        if tcp.has(Tcp::RST) {
            self.closed.get_or_insert(FlowEnd::Rst);
            return;
        }
        let mut fresh = 0;
        if segment.payload_len > 0 {
            let added = half.stream.data(seq, segment.payload_len, reach);
            fresh = added.fresh;
            half.add(added);
        }
        if tcp.has(Tcp::FIN) {
            half.stream.fin(seq.wrapping_add(segment.payload_len), reach);
        }
        if tcp.has(Tcp::ACK) {
            let other = self.half_mut(sender.other());
            let added = other.stream.ack(tcp.ack, answer_reach);
            other.add(added);
            for (left, right) in sack_blocks(tcp.options) {
                let added = other.stream.sack(left, right);
                other.add(added);
            }
        }
        if self.closed == Some(FlowEnd::Rst) && fresh > 0 {
            // It goes on: the reset was forged, or not for this connection.
            self.closed = None;
        } else if self.low.stream.is_finished() && self.high.stream.is_finished() {
            self.closed.get_or_insert(FlowEnd::Fin);
        }
    }

    /// What `sender` may have outstanding: twice the other end's largest window, for the window may
    /// have grown in a segment that the capture lost.
    fn reach(&self, sender: Sender) -> Reach {
        let receiver = self.half(sender.other());
        let both_scale = self.low.window_scale.zip(self.high.window_scale);
        let window = match both_scale.and(receiver.window_scale) {
            Some(scale) => u64::from(receiver.window) << scale,
            None => WINDOW_UNKNOWN,
        };
        Reach {
            window: 2 * window.max(u64::from(u16::MAX)),
            is_two_sided: receiver.is_heard && self.half(sender).is_heard,
        }
    }

    fn refused(&self) -> u64 {
        u64::from(self.low.stream.rejected()) + u64::from(self.high.stream.rejected())
    }

    fn has_reached_rung(&self) -> bool {
        [&self.low, &self.high].iter().any(|half| half.unreported.sent >= half.rung)
    }

    fn has_unreported(&self) -> bool {
        [&self.low, &self.high]
            .iter()
            .any(|half| half.unreported.packets + half.unreported.duplicates > 0)
    }

    fn take_delta(&mut self, end: Option<FlowEnd>) -> FlowDelta {
        FlowDelta {
            key: self.key,
            initiator: self.initiator,
            initiator_inferred: self.initiator_inferred,
            started_at: self.started_at,
            last_at: self.last_at,
            low: self.low.take(),
            high: self.high.take(),
            tunnel: self.tunnel.as_deref().copied(),
            end,
        }
    }

    fn half(&self, side: Sender) -> &Half {
        match side {
            Sender::Low => &self.low,
            Sender::High => &self.high,
        }
    }

    fn half_mut(&mut self, side: Sender) -> &mut Half {
        match side {
            Sender::Low => &mut self.low,
            Sender::High => &mut self.high,
        }
    }
}

impl Half {
    fn add(&mut self, added: Added) {
        self.unreported.retransmitted += added.repeated;
        self.unreported.acked += added.acked;
        self.add_payload(added.fresh);
        self.settle();
    }

    fn note_window(&mut self, tcp: &Tcp<'_>) {
        if tcp.has(Tcp::SYN) {
            self.window_scale = Some(window_scale(tcp.options));
        } else {
            // The window of a SYN is never scaled (RFC 7323).
            self.window = self.window.max(tcp.window);
        }
    }

    fn add_payload(&mut self, fresh: u64) {
        self.payload += fresh;
        self.unreported.payload += fresh;
    }

    /// Brings `sent` up to the greater of what was seen and what was acknowledged.
    fn settle(&mut self) {
        let sent = self.payload.max(self.stream.acked());
        self.unreported.sent += sent - self.sent;
        self.sent = sent;
    }

    fn take(&mut self) -> Counters {
        // Rungs grow with the flow: a verdict in flight costs the logarithm of its bytes.
        self.rung = (self.sent / 8).clamp(RUNG_MIN, RUNG_MAX);
        std::mem::take(&mut self.unreported)
    }
}

/// The window scale of a SYN: 0 when it has none, at most 14 (RFC 7323).
fn window_scale(options: &[u8]) -> u8 {
    let mut scale = 0;
    each_option(options, |kind, value| {
        if let (WINDOW_SCALE, &[shift]) = (kind, value) {
            scale = shift.min(14);
        }
    });
    scale
}

/// The blocks of a SACK option, as sequence numbers (RFC 2018).
fn sack_blocks(options: &[u8]) -> SmallVec<[(u32, u32); 4]> {
    let mut blocks = SmallVec::new();
    // Without room for one block, as in nearly every segment, there is nothing to walk.
    if options.len() < 10 {
        return blocks;
    }
    each_option(options, |kind, value| {
        if kind == SACK {
            let (edges, _) = value.as_chunks::<4>();
            let edges: SmallVec<[u32; 8]> =
                edges.iter().map(|edge| u32::from_be_bytes(*edge)).collect();
            blocks.extend(edges.chunks_exact(2).map(|edges| (edges[0], edges[1])));
        }
    });
    blocks
}

/// Walks TCP options (RFC 9293, section 3.1); stops at the first that makes no sense.
fn each_option(mut options: &[u8], mut visit: impl FnMut(u8, &[u8])) {
    loop {
        options = match *options {
            [] | [END_OF_OPTIONS, ..] => return,
            [NO_OPERATION, ref rest @ ..] => rest,
            [kind, len, ref rest @ ..] if len >= 2 && usize::from(len) - 2 <= rest.len() => {
                let (value, rest) = rest.split_at(usize::from(len) - 2);
                visit(kind, value);
                rest
            }
            [_, ..] => return,
        };
    }
}

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const WINDOW_SCALE: u8 = 3;
const SACK: u8 = 5;

/// The end that opened the flow, and whether that is a guess: by SYN, else the end whose port is not
/// a well-known one, else the one who was heard first.
fn initiator(key: &FlowKey, sender: Sender, tcp: Option<&Tcp<'_>>) -> (Sender, bool) {
    if let Some(tcp) = tcp
        && tcp.has(Tcp::SYN)
    {
        return (if tcp.has(Tcp::ACK) { sender.other() } else { sender }, false);
    }
    let is_well_known = |end: Endpoint| (1..1024).contains(&end.port);
    let guess = match (is_well_known(key.low), is_well_known(key.high)) {
        (true, false) => Sender::High,
        (false, true) => Sender::Low,
        (true, true) | (false, false) => sender,
    };
    (guess, true)
}

/// Smallest and largest number of bytes after which a flow reports without waiting for the tick.
const RUNG_MIN: u64 = 1 << 20;
const RUNG_MAX: u64 = 64 << 20;

/// Flows looked at to find one to evict.
const EVICTION_SAMPLE: usize = 16;
