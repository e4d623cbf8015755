//! One flow while it is looked at.

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;

use super::Piece;
use super::cursor::Cursor;
use super::dns;
use super::dtls;
use super::facts::{Facts, NameSource};
use super::http::Request;
use super::http2;
use super::ja4::{Carrier, Digests, ja4};
use super::query::Recent;
use super::quic;
use super::service::{self, Guess, Service, Sign};
use super::smtp;
use super::socks::Socks;
use super::start::{START_MAX, Start};
use super::tls::{self, ClientHello, Handshake, Message, ServerFlight};
use super::upgrade::{self, Upgrade};
use crate::flow::Sender;
use crate::time::Timestamp;

/// A flow that is looked at: what it told, and what of its start must be kept to tell more.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) facts: Arc<Facts>,
    /// Have the facts changed since they were told?
    pub(super) has_news: bool,
    initiator: Sender,
    low: Side,
    high: Side,
    has_greeting: bool,
    has_ftp_words: bool,
    datagrams: Option<Box<Datagrams>>,
    /// DNS messages that have not been told, with their lengths.
    messages: Vec<(Sender, usize, dns::Message)>,
}

/// A look as it is kept from one piece to the next. Nearly all are begun for flows of which one end has
/// said nothing known, and the other may.
#[derive(Debug, Clone)]
pub(super) enum Held {
    Brief(Brief),
    Whole(Box<Look>),
}

/// A look at a flow of which one end has said nothing known, and the other nothing at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brief {
    seen_at: Timestamp,
    initiator: Sender,
    done: Sender,
    extra: u8,
}

/// What the looks of a shard share.
#[derive(Debug, Default, Clone)]
pub(super) struct Shared {
    /// Where packets are decrypted.
    scratch: Vec<u8>,
    digests: Digests,
    pub(super) asked: Recent,
}

/// One direction of a stream.
#[derive(Debug, Default, Clone)]
struct Side {
    start: Start,
    /// Bytes that there must be before another look is of use.
    wants: usize,
    /// DNS: where the next message begins.
    message_at: usize,
    /// Pieces that came after it had told all.
    extra: u8,
    is_done: bool,
}

/// What has to be remembered of datagrams.
#[derive(Debug, Default, Clone)]
struct Datagrams {
    /// The handshake of QUIC's client.
    crypto: Start,
    secret: Option<quic::Secret>,
    /// The hello of DTLS's client.
    hello: Option<dtls::Hello>,
    client: Option<Sender>,
    /// Sequence number and source of the last packet that may be RTP, and how many went before it.
    rtp: Option<(Sender, u16, u32, u8)>,
    /// The end that sent what may be OpenVPN's first packet.
    openvpn: Option<Sender>,
}

/// Whether to look on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// More will come, and something must be kept until then.
    Keep,
    /// More may come; nothing has to be kept.
    On,
    /// All is known that will be.
    Done,
}

impl Default for Held {
    fn default() -> Self {
        let (initiator, done) = (Sender::Low, Sender::Low);
        Self::Brief(Brief { seen_at: Timestamp::EPOCH, initiator, done, extra: 0 })
    }
}

impl Held {
    pub(super) fn of(look: Box<Look>) -> Self {
        match look.brief() {
            Some(brief) => Self::Brief(brief),
            None => Self::Whole(look),
        }
    }

    /// The look at a flow whose first piece is nothing known: there is no more to remember of it.
    pub(super) fn begun(piece: &Piece<'_>, offset: usize) -> Option<Self> {
        let &Piece { at: seen_at, initiator, sender: done, bytes, is_cut, .. } = piece;
        let bytes = &bytes[..bytes.len().min(START_MAX)];
        let is_nothing = offset == 0 && service::of_stream(bytes, is_cut) == Guess::Nothing;
        is_nothing.then_some(Self::Brief(Brief { seen_at, initiator, done, extra: 0 }))
    }

    /// What a further piece of a stream changes, where nothing but how many there were: that is noted. With one too
    /// many the look is done.
    pub(super) fn takes_briefly(&mut self, piece: &Piece<'_>, offset: usize) -> Option<Next> {
        let Self::Brief(Brief { done, extra, .. }) = self else { return None };
        if offset >= START_MAX || *done == piece.sender && *extra >= EXTRA_UNKNOWN_MAX {
            return Some(Next::Done);
        }
        if *done != piece.sender {
            return None;
        }
        *extra += 1;
        Some(Next::Keep)
    }

    /// What it has found.
    pub(super) fn facts(self) -> Arc<Facts> {
        match self {
            Self::Whole(look) => look.facts,
            Self::Brief(Brief { seen_at, .. }) => Arc::new(Facts { seen_at, ..Facts::default() }),
        }
    }

    pub(super) fn whole(self) -> Box<Look> {
        match self {
            Self::Whole(look) => look,
            Self::Brief(Brief { seen_at, initiator, done, extra }) => {
                let mut look = Box::new(Look::begun(seen_at, initiator));
                *look.side(done) = Side { extra, is_done: true, ..Side::default() };
                look
            }
        }
    }

    /// Memory that it takes beside itself, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Brief(_) => 0,
            Self::Whole(look) => look.bytes(),
        }
    }
}

impl Datagrams {
    /// Memory that they take, in bytes.
    fn bytes(&self) -> usize {
        let hello = self.hello.as_ref().map_or(0, dtls::Hello::heap_bytes);
        size_of::<Self>() + self.crypto.heap_bytes() + hello
    }
}

impl Look {
    pub(super) fn new(piece: &Piece<'_>) -> Self {
        Self::begun(piece.at, piece.initiator)
    }

    fn begun(seen_at: Timestamp, initiator: Sender) -> Self {
        Self {
            facts: Arc::new(Facts { seen_at, ..Facts::default() }),
            has_news: false,
            initiator,
            low: Side::default(),
            high: Side::default(),
            has_greeting: false,
            has_ftp_words: false,
            datagrams: None,
            messages: Vec::new(),
        }
    }

    /// What there is to remember of a flow of which one end has said nothing known, and the other
    /// nothing at all; `None` of any other.
    fn brief(&self) -> Option<Brief> {
        let done = match (self.low.is_done, self.high.is_done) {
            (true, false) => Sender::Low,
            (false, true) => Sender::High,
            (true, true) | (false, false) => return None,
        };
        let is_brief = self.facts.service == Service::Unknown
            && !self.has_news
            && !self.has_greeting
            && !self.has_ftp_words
            && self.low.start.is_empty()
            && self.high.start.is_empty()
            && self.datagrams.is_none();
        is_brief.then(|| Brief {
            seen_at: self.facts.seen_at,
            initiator: self.initiator,
            done,
            extra: self.low.extra.max(self.high.extra),
        })
    }

    /// Memory that it takes, in bytes.
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.facts.heap_bytes()
            + self.low.start.heap_bytes()
            + self.high.start.heap_bytes()
            + self.datagrams.as_ref().map_or(0, |datagrams| datagrams.bytes())
    }

    /// Looks at a piece of a stream.
    pub(super) fn stream(&mut self, piece: &Piece<'_>, offset: usize, shared: &mut Shared) -> Next {
        if offset >= START_MAX {
            // The other end would have answered by now, if it could be seen.
            self.finish(shared);
            return Next::Done;
        }
        let is_unknown = self.facts.service == Service::Unknown;
        let mut side = mem::take(self.side(piece.sender));
        side.extra += u8::from(side.is_done);
        if side.extra > if is_unknown { EXTRA_UNKNOWN_MAX } else { EXTRA_MAX } {
            self.finish(shared);
            return Next::Done;
        }
        if !side.is_done {
            let is_first = side.start.is_empty() && offset == 0;
            if is_first {
                // Most starts are whole in one piece, and need not be copied.
                let bytes = &piece.bytes[..piece.bytes.len().min(START_MAX)];
                self.read(piece.sender, &mut side, (bytes, piece.is_cut), shared);
            }
            if !side.is_done {
                side.start.add(offset, piece.bytes, piece.is_cut);
            }
            if !side.is_done && !is_first {
                let start = mem::take(&mut side.start);
                self.read(piece.sender, &mut side, (start.prefix(), start.is_over()), shared);
                if !side.is_done {
                    side.start = start;
                }
            }
        }
        *self.side(piece.sender) = side;
        // What one direction said may tell what the other did.
        if self.has_greeting && self.has_ftp_words && self.facts.service == Service::Unknown {
            self.set_service(Service::Ftp);
        }
        for side in [Sender::Low, Sender::High] {
            self.read_again(side, false, shared);
        }
        if self.low.is_done && self.high.is_done { Next::Done } else { Next::Keep }
    }

    /// Takes what can still be had from bytes that stay incomplete: no more will come.
    pub(super) fn finish(&mut self, shared: &mut Shared) {
        for side in [Sender::Low, Sender::High] {
            self.read_again(side, true, shared);
        }
        if let Some(mut datagrams) = self.datagrams.take() {
            self.read_crypto(&mut datagrams, true, shared);
            self.read_dtls(&datagrams);
        }
    }

    fn side(&mut self, sender: Sender) -> &mut Side {
        match sender {
            Sender::Low => &mut self.low,
            Sender::High => &mut self.high,
        }
    }

    fn read_again(&mut self, sender: Sender, is_over: bool, shared: &mut Shared) {
        let side = self.side(sender);
        if side.is_done || side.start.is_empty() {
            return;
        }
        let mut side = mem::take(side);
        let start = mem::take(&mut side.start);
        let bytes = (start.prefix(), is_over || start.is_over());
        self.read(sender, &mut side, bytes, shared);
        if !side.is_done {
            side.start = start;
        }
        *self.side(sender) = side;
    }

    /// Reads the first bytes of what `sender` sent, and whether there will be no more.
    fn read(
        &mut self,
        sender: Sender,
        side: &mut Side,
        (bytes, is_over): (&[u8], bool),
        shared: &mut Shared,
    ) {
        if bytes.len() < side.wants && !is_over {
            return;
        }
        side.wants = 0;
        if self.facts.service == Service::Unknown {
            match service::of_stream(bytes, is_over) {
                Guess::Is(service) => self.set_service(service),
                Guess::Greeting => self.has_greeting = true,
                Guess::FtpWords => self.has_ftp_words = true,
                Guess::Wants => {}
                Guess::Nothing => side.is_done = true,
            }
        }
        let wants = match self.facts.service {
            Service::Unknown => None,
            Service::Tls => self.read_tls(0, (bytes, is_over), shared),
            Service::Http => self.read_http(bytes, is_over),
            Service::Http2 => self.read_http2(bytes, is_over),
            Service::Socks => self.read_socks(bytes),
            Service::Ssh => self.read_ssh(sender, bytes, is_over),
            Service::Dns => Some(self.read_dns(sender, side, bytes)),
            Service::Smtp | Service::Imap | Service::Pop3 | Service::Ftp | Service::Rdp
                if sender == self.initiator =>
            {
                match upgrade::of_client(self.facts.service, bytes) {
                    Upgrade::At(at) => self.read_tls(at, (bytes, is_over), shared),
                    Upgrade::Never if self.facts.service == Service::Smtp => {
                        self.read_mail(bytes, is_over)
                    }
                    Upgrade::Never => None,
                    Upgrade::Wants(len) => Some(len),
                }
            }
            _ => None,
        };
        if self.facts.named_by.is_none() && (self.facts.name.is_some() || self.facts.has_hello) {
            self.facts_mut().named_by = Some(sender);
        }
        side.wants = wants.unwrap_or(0);
        side.is_done |= is_over || self.facts.service != Service::Unknown && wants.is_none();
    }

    /// Reads a TLS stream from byte `at` on; answers how many bytes there must be for more.
    fn read_tls(
        &mut self,
        at: usize,
        (bytes, is_over): (&[u8], bool),
        shared: &mut Shared,
    ) -> Option<usize> {
        let Some(stream) = bytes.get(at..) else { return Some(at) };
        let handshake = Handshake::of(stream);
        let wants = handshake.wants.map(|wants| at + wants);
        let Some(message) = tls::message(&mut Cursor::new(&handshake.messages)) else {
            return wants;
        };
        match message.kind {
            Message::CLIENT_HELLO if self.facts.has_hello => None,
            Message::CLIENT_HELLO if message.is_whole() || is_over || wants.is_none() => {
                self.take_hello(ClientHello::of(&message), Carrier::Tcp, shared);
                None
            }
            Message::CLIENT_HELLO => wants,
            Message::SERVER_HELLO => {
                let flight = ServerFlight::of(&handshake.messages);
                if !flight.is_whole && !is_over && wants.is_some() {
                    return wants;
                }
                if !flight.certificate.list.is_empty() {
                    let facts = self.facts_mut();
                    facts.is_certificate_whole = flight.certificate.is_whole;
                    facts.certificate = flight.certificate.list;
                    self.has_news = true;
                }
                None
            }
            // A request for a hello, before TLS 1.3.
            0 => wants,
            _ => None,
        }
    }

    fn take_hello(&mut self, hello: ClientHello<'_>, carrier: Carrier, shared: &mut Shared) {
        let source = match carrier {
            Carrier::Tcp => NameSource::TlsSni,
            Carrier::Quic => NameSource::QuicSni,
        };
        let facts = self.facts_mut();
        if hello.is_whole {
            facts.client = Some(ja4(carrier, &hello, &mut shared.digests).into());
        }
        facts.has_hello = true;
        facts.has_ech = hello.has_ech;
        facts.alpn = hello.alpn.iter().take(Facts::ALPN_MAX).map(|it| protocol(it)).collect();
        facts.name = hello.server_name.map(|name| (name, source));
        self.has_news = true;
    }

    fn read_http(&mut self, bytes: &[u8], is_over: bool) -> Option<usize> {
        // The other direction: answers, or what lies in the middle of them.
        match service::of_stream(bytes, is_over) {
            Guess::Is(Service::Http) if !bytes.starts_with(b"HTTP/") => {}
            Guess::Wants => return Some(bytes.len() + 1),
            _ => return None,
        }
        self.take_request(Request::of(bytes, is_over), bytes)
    }

    fn read_http2(&mut self, bytes: &[u8], is_over: bool) -> Option<usize> {
        // The other direction begins with a frame.
        let is_client = bytes.starts_with(http2::PREFACE);
        if is_client { self.take_request(http2::request(bytes, is_over), bytes) } else { None }
    }

    fn take_request(&mut self, request: Option<Request>, bytes: &[u8]) -> Option<usize> {
        let Some(request) = request else { return Some(bytes.len() + 1) };
        let source =
            if request.is_connect { NameSource::HttpConnect } else { NameSource::HttpHost };
        let facts = self.facts_mut();
        facts.name = request.host.map(|name| (name, source));
        facts.asks_proxy = request.is_proxied;
        facts.client = request.user_agent.map(|agent| shown(&agent));
        self.has_news = true;
        None
    }

    /// Whom a mail is for is told as soon as it is known, and to how many once all are named, or no more can be
    /// seen.
    fn read_mail(&mut self, bytes: &[u8], is_over: bool) -> Option<usize> {
        let mail = smtp::first_mail(bytes);
        let is_done = mail.is_whole || is_over;
        if is_done || self.facts.mail_for.is_none() && mail.to.is_some() {
            let facts = self.facts_mut();
            (facts.mail_for, facts.recipients) = (mail.to.map(Box::new), mail.recipients);
            self.has_news = true;
        }
        (!is_done).then_some(bytes.len() + 1)
    }

    fn read_socks(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.facts.name.is_none()
            && let Socks::Asks(Some(name)) = Socks::of(bytes)
        {
            let facts = self.facts_mut();
            facts.name = Some((name, NameSource::Socks));
            facts.asks_proxy = true;
            self.has_news = true;
        }
        None
    }

    fn read_ssh(&mut self, sender: Sender, bytes: &[u8], is_over: bool) -> Option<usize> {
        if sender != self.initiator {
            return None;
        }
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        if line.len() == bytes.len() && line.len() < Facts::TEXT_MAX && !is_over {
            return Some(bytes.len() + 1);
        }
        if line.starts_with(b"SSH-") {
            self.facts_mut().client = Some(shown(line.trim_ascii_end()));
            self.has_news = true;
        }
        None
    }

    /// Reads the messages that are whole; answers how many bytes there must be for the next one.
    fn read_dns(&mut self, sender: Sender, side: &mut Side, bytes: &[u8]) -> usize {
        loop {
            let rest = bytes.get(side.message_at..).unwrap_or_default();
            let Some((len, rest)) = rest.split_first_chunk::<2>() else {
                return side.message_at + 2;
            };
            let len = usize::from(u16::from_be_bytes(*len));
            let Some(message) = rest.get(..len) else { return side.message_at + 2 + len };
            let read = dns::Message::of(message, false);
            self.messages.extend(read.map(|message| (sender, len, message)));
            side.message_at += 2 + len;
        }
    }

    /// The DNS messages that came since the last call, with who sent each, and its length.
    pub(super) fn take_messages(&mut self) -> Vec<(Sender, usize, dns::Message)> {
        mem::take(&mut self.messages)
    }

    /// Can a datagram of no service known be let go without a look?
    pub(super) fn needs_none(piece: &Piece<'_>) -> bool {
        piece.before < DATAGRAMS_MAX
            && service::rtp(piece.bytes).is_none()
            && !(piece.before == 0 && service::may_be_openvpn_reset(piece.bytes))
    }

    /// Looks at a datagram of QUIC or DTLS, or one that by itself shows nothing.
    pub(super) fn datagram(&mut self, sign: &Sign, piece: &Piece<'_>, shared: &mut Shared) -> Next {
        match sign {
            Sign::Is(Service::Dtls) => self.dtls_datagram(piece),
            Sign::Is(_) => self.quic_datagram(piece, shared),
            Sign::Dns(_) | Sign::Nothing => self.unnamed_datagram(piece),
        }
    }

    fn dtls_datagram(&mut self, piece: &Piece<'_>) -> Next {
        let mut datagrams = self.datagrams.take().unwrap_or_default();
        let is_next = match &mut datagrams.hello {
            Some(hello) if datagrams.client == Some(piece.sender) => {
                hello.add(piece.bytes, piece.is_cut)
            }
            // What the other end says of it does not matter.
            Some(_) => true,
            None => {
                self.set_service(Service::Dtls);
                datagrams.hello = dtls::Hello::of(piece.bytes, piece.is_cut);
                datagrams.client = Some(piece.sender);
                datagrams.hello.is_some()
            }
        };
        if !is_next || datagrams.hello.as_ref().is_none_or(dtls::Hello::is_over) {
            self.read_dtls(&datagrams);
            return Next::Done;
        }
        self.datagrams = Some(datagrams);
        Next::Keep
    }

    fn read_dtls(&mut self, datagrams: &Datagrams) {
        let Some(hello) = datagrams.hello.as_ref().and_then(dtls::Hello::read) else { return };
        let facts = self.facts_mut();
        facts.has_hello = true;
        facts.has_ech = hello.has_ech;
        facts.alpn = hello.alpn.iter().take(Facts::ALPN_MAX).map(|it| protocol(it)).collect();
        facts.name = hello.server_name.map(|name| (name, NameSource::DtlsSni));
        facts.named_by = datagrams.client;
        self.has_news = true;
    }

    fn quic_datagram(&mut self, piece: &Piece<'_>, shared: &mut Shared) -> Next {
        if self.facts.service == Service::Unknown {
            self.set_service(Service::Quic);
        }
        let mut datagrams = self.datagrams.take().unwrap_or_default();
        if datagrams.client.is_none_or(|client| client == piece.sender) {
            let crypto = &mut datagrams.crypto;
            let known = datagrams.secret.as_ref();
            let opened = quic::open(piece.bytes, known, &mut shared.scratch, |offset, bytes| {
                crypto.add(offset, bytes, false);
            });
            if opened.is_some() {
                datagrams.secret = opened;
                datagrams.client = Some(piece.sender);
            }
        }
        if self.read_crypto(&mut datagrams, false, shared) {
            return Next::Done;
        }
        self.datagrams = Some(datagrams);
        Next::Keep
    }

    /// Reads the handshake of QUIC's client; answers whether it is all there.
    fn read_crypto(
        &mut self,
        datagrams: &mut Datagrams,
        is_over: bool,
        shared: &mut Shared,
    ) -> bool {
        let Some(message) = tls::message(&mut Cursor::new(datagrams.crypto.prefix())) else {
            return false;
        };
        if message.kind != Message::CLIENT_HELLO {
            return true;
        }
        let is_over = is_over || datagrams.crypto.is_over();
        if message.is_whole() || is_over {
            self.take_hello(ClientHello::of(&message), Carrier::Quic, shared);
            self.facts_mut().named_by = datagrams.client;
        }
        message.is_whole() || is_over
    }

    /// Services that one datagram does not show.
    fn unnamed_datagram(&mut self, piece: &Piece<'_>) -> Next {
        let openvpn = self.datagrams.as_ref().and_then(|datagrams| datagrams.openvpn);
        if openvpn.is_some_and(|client| client != piece.sender)
            && service::is_openvpn_answer(piece.bytes)
        {
            self.set_service(Service::Openvpn);
            return Next::Done;
        }
        if piece.before == 0 && service::may_be_openvpn_reset(piece.bytes) {
            self.datagrams.get_or_insert_default().openvpn = Some(piece.sender);
        }
        if let Some((sequence, source)) = service::rtp(piece.bytes) {
            let datagrams = self.datagrams.get_or_insert_default();
            let run = match datagrams.rtp {
                Some((sender, last, same, run)) if sender == piece.sender && same == source => {
                    // A little out of order, or with losses, but not any number.
                    if sequence.wrapping_sub(last) <= RTP_STEP { run + 1 } else { 0 }
                }
                // One end at a time: the other's packets neither help nor harm.
                Some((sender, _, _, run)) if sender != piece.sender && run > 0 => {
                    return Next::Keep;
                }
                Some(_) | None => 0,
            };
            if run + 1 >= RTP_RUN {
                self.set_service(Service::Rtp);
                return Next::Done;
            }
            datagrams.rtp = Some((piece.sender, sequence, source, run));
            return Next::Keep;
        }
        match (piece.before < DATAGRAMS_MAX, &self.datagrams) {
            (false, _) => Next::Done,
            (true, None) => Next::On,
            (true, Some(_)) => Next::Keep,
        }
    }

    fn set_service(&mut self, service: Service) {
        let mail_by = (service == Service::Smtp).then_some(self.initiator);
        let facts = self.facts_mut();
        (facts.service, facts.mail_by) = (service, mail_by);
        self.has_news = true;
    }

    /// The facts, to change them: apart from those that were told.
    fn facts_mut(&mut self) -> &mut Facts {
        Arc::make_mut(&mut self.facts)
    }
}

/// An application protocol; those that nearly all clients offer take no memory.
fn protocol(bytes: &[u8]) -> Cow<'static, str> {
    match bytes {
        b"h2" => "h2".into(),
        b"h3" => "h3".into(),
        b"http/1.1" => "http/1.1".into(),
        _ => shown(bytes).into_string().into(),
    }
}

/// Text of the wire as printable ASCII, of a bounded length.
fn shown(bytes: &[u8]) -> Box<str> {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'\'' | b'"');
    if bytes.len() <= Facts::TEXT_MAX
        && bytes.iter().all(is_plain)
        && let Ok(text) = str::from_utf8(bytes)
    {
        return text.into();
    }
    let escaped = bytes.iter().take(Facts::TEXT_MAX).flat_map(|byte| byte.escape_ascii());
    escaped.map(char::from).take(Facts::TEXT_MAX).collect::<String>().into()
}

/// Pieces of a direction that has told all, after which the other one is taken to be out of sight: within
/// a dialogue before TLS, and where the first bytes were of nothing known.
const EXTRA_MAX: u8 = 24;
const EXTRA_UNKNOWN_MAX: u8 = 3;

/// Datagrams of a flow after which nothing is expected of the next one.
const DATAGRAMS_MAX: u8 = 8;

/// Packets in a row of which each goes on where the last one ended.
const RTP_RUN: u8 = 3;

/// How far a sequence number may be ahead of the last one.
const RTP_STEP: u16 = 16;
