//! Who sent to whom: what the outside end of a flow is called, and which service it is, by the first
//! bytes of either direction.
//!
//! # What is looked at
//!
//! Of each direction of a TCP flow at most the first [`START_MAX`] bytes, put in order as they come; of
//! other flows single datagrams. A flow is no longer looked at once all is known of it that its service
//! tells, or once its first bytes are those of no service known here. Only DNS, ICMP and the control
//! connections of FTP are looked at for as long as they live, a packet at a time.
//!
//! # What is believed
//!
//! Nothing: names are what the ends claim ([`Name`] says what it takes to be one). Who judges by a name
//! must ask whether it disagrees with the answers of DNS or the certificate.
//!
//! # Bounds
//!
//! Nothing is allocated for a flow until some of its bytes must be kept. A shard keeps at most
//! [`Options::bytes_max`] for all its flows; beyond, the oldest look ends early and tells what it has,
//! which [`Counters::evicted`] counts. Limits go by shard, and decisions by the packets of a flow alone,
//! so that the same input gives the same names for any number of workers.

#![forbid(unsafe_code)]

mod book;
mod certificate;
mod cursor;
mod destination;
mod directory;
mod dns;
mod dtls;
mod echo;
mod facts;
mod ftp;
mod http;
mod http2;
mod ja4;
mod look;
mod name;
mod program;
mod query;
mod quic;
mod registry;
mod service;
mod smtp;
mod socks;
mod start;
#[cfg(test)]
mod tests;
mod tls;
mod upgrade;
mod usage;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub use book::{Book, Called};
pub use destination::Destination;
pub use directory::{Directory, Said, Turn, Who};
pub(crate) use dns::address_owners;
pub use echo::Echo;
pub use facts::{Answer, Event, Facts, NameSource};
pub use name::Name;
pub use program::{Client, Program};
pub use query::{Query, Told};
pub use registry::{Registry, RegistryError};
pub use service::Service;
pub use start::START_MAX;
pub use usage::{Naming, PortOf, Usage};

use self::look::{Held, Look, Next, Shared};
use self::query::Recent;
use self::service::Sign;
use self::watch::Watch;
use crate::flow::{FlowKey, SHARDS, SHOWN_ALWAYS, Sender};
use crate::net::{Endpoint, Protocol};
use crate::time::Timestamp;

/// Limits.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes kept of flows that are looked at, over all shards.
    pub bytes_max: usize,
    /// Bytes kept of what hosts call addresses.
    pub book_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { bytes_max: 8 << 20, book_bytes_max: 32 << 20 }
    }
}

/// What looking at first bytes came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Looks that ended early, for want of room.
    pub evicted: u64,
    /// Announcements of data connections forgotten, for want of room.
    pub announcements_dropped: u64,
}

impl Counters {
    /// Adds another shard's counters to these.
    pub fn add(&mut self, more: &Self) {
        self.evicted += more.evicted;
        self.announcements_dropped += more.announcements_dropped;
    }
}

/// The payload of one packet of a flow that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// The packet's time.
    pub at: Timestamp,
    /// The end that sent it.
    pub sender: Sender,
    /// The end that opened the flow, as far as is known.
    pub initiator: Sender,
    /// TCP: where in the sender's stream it begins, in bytes.
    pub offset: Option<u32>,
    /// The payload, as far as it was captured.
    pub bytes: &'a [u8],
    /// Was there more of it on the wire?
    pub is_cut: bool,
    /// Pieces of the flow that have been looked at before; [`Gaze::KEPT`] of one whose every packet is.
    pub before: u8,
}

/// Whether a flow is to be looked at any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaze {
    /// Show the next pieces too.
    On,
    /// Show every piece, for as long as the flow lives.
    Kept,
    /// There is nothing more to see.
    Done,
}

impl Gaze {
    /// [`Piece::before`] of a flow that is [`Gaze::Kept`].
    pub const KEPT: u8 = SHOWN_ALWAYS;
    /// Pieces of a flow that are looked at, unless it is [`Gaze::Kept`].
    pub const PIECES_MAX: u8 = 60;
}

/// The flows of one shard that are looked at.
#[derive(Debug, Clone)]
pub struct Names {
    bytes_max: usize,
    watch: Watch,
    announced: VecDeque<Announced>,
    shared: Shared,
    counters: Counters,
}

/// A data connection that will come.
#[derive(Debug, Clone, Copy)]
struct Announced {
    end: Endpoint,
    at: Timestamp,
    control: FlowKey,
}

impl Names {
    /// A shard that looks at nothing yet and holds its share of `options.bytes_max`.
    pub fn new(options: Options) -> Self {
        Self {
            bytes_max: options.bytes_max / SHARDS,
            watch: Watch::new(),
            announced: VecDeque::new(),
            shared: Shared::default(),
            counters: Counters::default(),
        }
    }

    /// Looks at a piece of a flow, tells what is new, and says whether to show more of it. The flow has a number of its
    /// own until it is [closed](Names::close).
    pub fn look(
        &mut self,
        flow @ (number, key): (u32, &FlowKey),
        piece: &Piece<'_>,
        mut tell: impl FnMut(Event),
    ) -> Gaze {
        if piece.bytes.is_empty() && !piece.is_cut {
            return if piece.before == Gaze::KEPT { Gaze::Kept } else { Gaze::On };
        }
        let gaze = match key.protocol {
            Protocol::TCP => self.look_at_stream(flow, piece, &mut tell),
            Protocol::UDP => self.look_at_datagram(flow, piece, &mut tell),
            _ => Gaze::Done,
        };
        if gaze == Gaze::On && piece.before + 1 >= Gaze::PIECES_MAX {
            self.close(number, tell);
            return Gaze::Done;
        }
        gaze
    }

    /// Ends the look at a flow that has ended, or is not to be looked at any more; tells what it has.
    pub fn close(&mut self, flow: u32, mut tell: impl FnMut(Event)) {
        if let Some(place) = self.watch.find(flow) {
            self.end(place, &mut tell);
        }
    }

    /// Asks for what [`Names::look`] looks at.
    pub fn approach(&self, flow: u32) {
        self.watch.approach(flow);
    }

    /// Ends all looks without a word, when all flows have ended.
    pub fn clear(&mut self) {
        self.watch.clear();
        self.announced.clear();
    }

    /// Memory held for flows that are looked at, in bytes.
    pub fn bytes(&self) -> usize {
        self.watch.bytes()
    }

    /// What looking came to.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn look_at_stream(
        &mut self,
        flow @ (number, key): (u32, &FlowKey),
        piece: &Piece<'_>,
        tell: &mut impl FnMut(Event),
    ) -> Gaze {
        let place = self.find(number, piece);
        if piece.before == Gaze::KEPT {
            self.hear_announcements(key, piece);
            if place.is_none() {
                learn_later(&mut self.shared.asked, key, piece, tell);
            }
        }
        let Some(offset) = piece.offset else { return Gaze::On };
        if let Some(place) = place
            && let Some(next) = self.watch.at(place).takes_briefly(piece, offset as usize)
        {
            if next != Next::Done {
                return Gaze::On;
            }
            let (_, held) = self.watch.remove(place);
            tell(Event::Facts(*key, held.facts()));
            return Gaze::Done;
        }
        let mut look = match place {
            Some(place) => self.watch.lend(place).whole(),
            None if piece.before == Gaze::KEPT => return Gaze::Kept,
            // Its look ended early, for want of room, and its beginning is over.
            None if piece.before > 0 && offset > 0 => return Gaze::Done,
            None => {
                if let Some(facts) = self.data_connection(key, piece.at) {
                    tell(Event::Facts(*key, facts.into()));
                    return Gaze::Done;
                }
                if let Some(held) = Held::begun(piece, offset as usize) {
                    self.keep(flow, None, held, tell);
                    return Gaze::On;
                }
                Box::new(Look::new(piece))
            }
        };
        let next = look.stream(piece, offset as usize, &mut self.shared);
        let service = look.facts.service;
        let messages = look.take_messages();
        let kept = match next {
            Next::Done => {
                look.has_news |= service == Service::Unknown;
                place.map(|place| self.watch.remove(place));
                tell_last(key, look, tell);
                None
            }
            Next::Keep | Next::On => {
                tell_news(key, &mut look, tell);
                Some(look)
            }
        };
        for (sender, bytes, message) in messages {
            learn(&mut self.shared.asked, key, (piece.at, sender), (bytes, message), tell);
        }
        if service == Service::Ftp && piece.before != Gaze::KEPT {
            self.hear_announcements(key, piece);
        }
        if let Some(look) = kept {
            self.keep(flow, place, Held::of(look), tell);
        }
        match (service, next) {
            (Service::Ftp | Service::Dns, _) => Gaze::Kept,
            (_, Next::Done) => Gaze::Done,
            (_, Next::Keep | Next::On) => Gaze::On,
        }
    }

    fn look_at_datagram(
        &mut self,
        flow @ (number, key): (u32, &FlowKey),
        piece: &Piece<'_>,
        tell: &mut impl FnMut(Event),
    ) -> Gaze {
        if piece.before == Gaze::KEPT {
            if let Some(message) = dns::Message::of(piece.bytes, piece.is_cut) {
                let sent = (piece.at, piece.sender);
                learn(&mut self.shared.asked, key, sent, (piece.bytes.len(), message), tell);
            }
            return Gaze::Kept;
        }
        let place = self.find(number, piece);
        let kept = place.map(|place| self.watch.lend(place).whole());
        let sign = match &kept {
            Some(look) if matches!(look.facts.service, Service::Quic | Service::Dtls) => {
                Sign::Is(look.facts.service)
            }
            _ => service::of_datagram(piece.bytes, piece.is_cut),
        };
        let seen_at = kept.as_ref().map_or(piece.at, |look| look.facts.seen_at);
        let is =
            |service| Event::Facts(*key, Arc::new(Facts { seen_at, service, ..Facts::default() }));
        // Most datagrams tell all that there is to tell, or nothing, and no look is begun for them.
        match sign {
            Sign::Dns(message) => {
                place.map(|place| self.watch.remove(place));
                tell(is(Service::Dns));
                let sent = (piece.at, piece.sender);
                learn(&mut self.shared.asked, key, sent, (piece.bytes.len(), message), tell);
                return Gaze::Kept;
            }
            Sign::Is(service) if !matches!(service, Service::Quic | Service::Dtls) => {
                place.map(|place| self.watch.remove(place));
                tell(is(service));
                return Gaze::Done;
            }
            Sign::Nothing if kept.is_none() && Look::needs_none(piece) => return Gaze::On,
            Sign::Is(_) | Sign::Nothing => {}
        }
        let mut look = kept.unwrap_or_else(|| Box::new(Look::new(piece)));
        match look.datagram(&sign, piece, &mut self.shared) {
            Next::Done => {
                look.has_news |= look.facts.service == Service::Unknown;
                place.map(|place| self.watch.remove(place));
                tell_last(key, look, tell);
                Gaze::Done
            }
            Next::On => {
                place.map(|place| self.watch.remove(place));
                Gaze::On
            }
            Next::Keep => {
                tell_news(key, &mut look, tell);
                self.keep(flow, place, Held::of(look), tell);
                Gaze::On
            }
        }
    }

    /// Where the look of a flow is. Before its first piece there is none.
    fn find(&self, flow: u32, piece: &Piece<'_>) -> Option<u32> {
        if piece.before == 0 { None } else { self.watch.find(flow) }
    }

    /// Keeps a look for the next piece, at its place if it has one; makes room for it where there is none.
    fn keep(
        &mut self,
        (number, key): (u32, &FlowKey),
        place: Option<u32>,
        held: Held,
        tell: &mut impl FnMut(Event),
    ) {
        let place = match place {
            Some(place) => {
                self.watch.put_back(place, held);
                place
            }
            None => self.watch.insert(number, *key, held),
        };
        while self.watch.bytes() > self.bytes_max {
            self.counters.evicted += 1;
            let Some(oldest) = self.watch.oldest_but(place) else {
                return self.end(place, tell);
            };
            self.end(oldest, tell);
        }
    }

    /// Ends a look, and tells what it has.
    fn end(&mut self, place: u32, tell: &mut impl FnMut(Event)) {
        let (key, held) = self.watch.remove(place);
        // What is held in short has nothing to tell.
        if let Held::Whole(mut look) = held {
            look.finish(&mut self.shared);
            tell_last(&key, look, tell);
        }
    }

    /// Notes the data connections that a line of a control connection announces.
    fn hear_announcements(&mut self, control: &FlowKey, piece: &Piece<'_>) {
        let own = control.end(piece.sender).addr;
        for line in piece.bytes.split(|&byte| byte == b'\n').take(LINES_MAX) {
            if let Some(end) = ftp::announced(line, own) {
                if self.announced.len() == ANNOUNCED_MAX {
                    self.announced.pop_front();
                    self.counters.announcements_dropped += 1;
                }
                self.announced.push_back(Announced { end, at: piece.at, control: *control });
            }
        }
    }

    /// Is this flow a data connection that was announced?
    fn data_connection(&mut self, key: &FlowKey, now: Timestamp) -> Option<Facts> {
        while self.announced.front().is_some_and(|first| first.at.plus(ANNOUNCED_FOR) < now) {
            self.announced.pop_front();
        }
        let place = self
            .announced
            .iter()
            .position(|announced| announced.end == key.low || announced.end == key.high)?;
        let control = self.announced.remove(place)?.control;
        Some(Facts {
            seen_at: now,
            service: Service::FtpData,
            control: Some(Box::new(control)),
            ..Facts::default()
        })
    }
}

/// Tells what is new of a flow.
fn tell_news(key: &FlowKey, look: &mut Look, tell: &mut impl FnMut(Event)) {
    if std::mem::take(&mut look.has_news) {
        tell(Event::Facts(*key, look.facts.clone()));
    }
}

/// Tells what is new of a flow whose look is over.
fn tell_last(key: &FlowKey, look: Box<Look>, tell: &mut impl FnMut(Event)) {
    if look.has_news {
        tell(Event::Facts(*key, look.facts));
    }
}

/// Tells what a DNS message asks for, and the addresses that it answers.
fn learn(
    recent: &mut Recent,
    key: &FlowKey,
    (at, sender): (Timestamp, Sender),
    (bytes, message): (usize, dns::Message),
    tell: &mut impl FnMut(Event),
) {
    let is_response = message.is_response;
    for question in message.questions.iter().filter(|_| message.is_lookup) {
        let Some(asked) = recent.asked(&question.name) else { continue };
        tell(Event::Query(Box::new(Query {
            at,
            flow: *key,
            client: if is_response { sender.other() } else { sender },
            is_response,
            bytes: bytes as u32,
            kind: question.kind,
            domain: asked.domain.clone(),
            is_listed: asked.is_listed,
            below: asked.below,
            own: asked.own,
            about: asked.about,
        })));
    }
    if let Some(name) = message.asked
        && message.is_response
        && !message.addresses.is_empty()
    {
        tell(Event::Answer(Box::new(Answer {
            at,
            host: key.end(sender.other()).addr,
            name,
            aliases: message.aliases,
            addresses: message.addresses,
        })));
    }
}

/// Tells what a piece of DNS over TCP has in it whose beginning is no longer kept: messages behind their
/// lengths, or one of which the length came before.
fn learn_later(
    recent: &mut Recent,
    key: &FlowKey,
    piece: &Piece<'_>,
    tell: &mut impl FnMut(Event),
) {
    let (mut rest, sent) = (piece.bytes, (piece.at, piece.sender));
    while let Some((len, behind)) = rest.split_first_chunk::<2>()
        && let Some((message, behind)) = behind.split_at_checked(u16::from_be_bytes(*len).into())
        && let Some(read) = dns::Message::of(message, false)
    {
        learn(recent, key, sent, (message.len(), read), tell);
        rest = behind;
    }
    if rest.len() == piece.bytes.len()
        && let Some(read) = dns::Message::of(rest, false)
    {
        learn(recent, key, sent, (rest.len(), read), tell);
    }
}

/// Data connections that are waited for, in a shard.
const ANNOUNCED_MAX: usize = 64;

/// How long a data connection is waited for.
const ANNOUNCED_FOR: Duration = Duration::from_secs(120);

/// Lines of a piece of a control connection that are read.
const LINES_MAX: usize = 32;
