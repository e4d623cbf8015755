//! Whole flows, as they are cut and mixed on the wire.

use proptest::prelude::*;

use super::watch::ENTRY_BYTES;
use super::*;
use crate::net::Addr;

/// The handshake message of a hello for `name`, with a key share of so many bytes.
pub(super) fn client_hello(name: &str, share_len: usize) -> Vec<u8> {
    fn with_len(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
    }
    let extension =
        |kind: u16, content: &[u8]| [&kind.to_be_bytes()[..], &with_len(content)].concat();
    let sni = with_len(&[&[0][..], &with_len(name.as_bytes())].concat());
    let extensions = [
        extension(0x0a0a, &[]),
        extension(51, &vec![7; share_len]),
        if name.is_empty() { Vec::new() } else { extension(0, &sni) },
        extension(16, &with_len(b"\x02h2\x08http/1.1")),
        extension(13, &with_len(&[4, 3, 8, 4])),
        extension(43, &[4, 0x1a, 0x1a, 3, 4]),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[9; 32],
        &[0],
        &with_len(&[0x2a, 0x2a, 0x13, 1, 0x13, 2]),
        &[1, 0],
        &with_len(&extensions),
    ]
    .concat();
    message(1, &body)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, len @ ..] = (body.len() as u32).to_be_bytes();
    [&[kind][..], &len, body].concat()
}

/// One record around a handshake.
pub(super) fn record(messages: &[u8]) -> Vec<u8> {
    records(messages, usize::from(u16::MAX))
}

/// Records of at most so many bytes.
pub(super) fn records(messages: &[u8], len: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
    messages.chunks(len).flat_map(record).collect()
}

/// A server's answer in TLS 1.2: hello and certificate.
fn server_flight(names: &[&str]) -> Vec<u8> {
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, 0x82][..], &(content.len() as u16).to_be_bytes(), content].concat()
    }
    let common_name = [der(6, &[0x55, 4, 3]), der(12, names[0].as_bytes())].concat();
    let subject = der(0x30, &der(0x31, &der(0x30, &common_name)));
    let list: Vec<u8> = names.iter().flat_map(|name| der(0x82, name.as_bytes())).collect();
    let alternatives = [der(6, &[0x55, 0x1d, 0x11]), der(4, &der(0x30, &list))].concat();
    let body = [
        der(0xa0, &der(2, &[2])),
        der(2, &[1]),
        der(0x30, &[]),
        der(0x30, &[]),
        der(0x30, &[]),
        subject,
        der(0x30, &[]),
        der(0xa3, &der(0x30, &der(0x30, &alternatives))),
    ]
    .concat();
    let leaf = der(0x30, &der(0x30, &body));
    let long = |bytes: &[u8]| {
        let [_, len @ ..] = (bytes.len() as u32).to_be_bytes();
        [&len[..], bytes].concat()
    };
    let hello = [&[3, 3][..], &[8; 32], &[0], &[0xc0, 0x2f, 0], &[0, 0]].concat();
    [message(2, &hello), message(11, &long(&long(&leaf)))].concat()
}

fn key(protocol: Protocol, client_port: u16) -> FlowKey {
    let end = |addr, port| Endpoint { addr: Addr::from_v4(addr), port };
    let (key, sender) =
        FlowKey::of(end([10, 0, 0, 1], client_port), end([203, 0, 113, 9], 8443), protocol);
    assert_eq!(sender, Sender::Low);
    key
}

/// A shard with one flow in it.
struct Flow {
    names: Names,
    key: FlowKey,
    before: u8,
    events: Vec<Event>,
    is_done: bool,
}

impl Flow {
    fn new(protocol: Protocol) -> Self {
        Self {
            names: Names::new(Options::default()),
            key: key(protocol, 50_000),
            before: 0,
            events: Vec::new(),
            is_done: false,
        }
    }

    fn see(&mut self, sender: Sender, offset: Option<usize>, bytes: &[u8], is_cut: bool) -> Gaze {
        if self.is_done {
            return Gaze::Done;
        }
        let piece = Piece {
            at: Timestamp::from_secs_nanos(1000, 0),
            sender,
            initiator: Sender::Low,
            offset: offset.map(|offset| offset as u32),
            bytes,
            is_cut,
            before: self.before,
        };
        let gaze = self.names.look((0, &self.key), &piece, |event| self.events.push(event));
        match gaze {
            Gaze::On => self.before = (self.before + 1).min(Gaze::PIECES_MAX),
            Gaze::Kept => self.before = Gaze::KEPT,
            Gaze::Done => self.is_done = true,
        }
        gaze
    }

    fn client(&mut self, offset: usize, bytes: &[u8]) -> Gaze {
        self.see(Sender::Low, Some(offset), bytes, false)
    }

    fn server(&mut self, offset: usize, bytes: &[u8]) -> Gaze {
        self.see(Sender::High, Some(offset), bytes, false)
    }

    /// What is known once the flow has ended.
    fn facts(mut self) -> Facts {
        self.names.close(0, |event| self.events.push(event));
        assert_eq!(self.names.bytes(), 0, "an ended flow leaves nothing");
        let told = self.events.into_iter().rev().find_map(|event| match event {
            Event::Facts(_, facts) => Some(Arc::unwrap_or_clone(facts)),
            Event::Answer(_) | Event::Query(_) | Event::Echo(_) => None,
        });
        told.unwrap_or_default()
    }
}

fn name_of(facts: &Facts) -> Option<(&str, NameSource)> {
    facts.name.as_ref().map(|(name, source)| (name.as_str(), *source))
}

/// Cuts `bytes` at these places.
fn cut(bytes: &[u8], places: &[prop::sample::Index]) -> Vec<(usize, Vec<u8>)> {
    let mut at: Vec<usize> = places.iter().map(|place| place.index(bytes.len())).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.dedup();
    at.windows(2).map(|pair| (pair[0], bytes[pair[0]..pair[1]].to_vec())).collect()
}

fn places() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..24)
}

proptest! {
    /// A hello says the same however the wire cuts it and in whatever order its pieces come, some of
    /// them twice: or an upload would lose its name by a lost packet.
    #[test]
    fn a_hello_may_be_cut_and_mixed(
        share_len in prop_oneof![Just(32usize), Just(1216), 0..9000usize],
        record_len in prop_oneof![Just(16_000usize), 50..2000usize],
        places in places(),
        order in prop::collection::vec(any::<u32>(), 50),
    ) {
        let stream = records(&client_hello("files.example", share_len), record_len);
        let mut whole = Flow::new(Protocol::TCP);
        whole.client(0, &stream);
        let whole = whole.facts();
        prop_assert_eq!(name_of(&whole), Some(("files.example", NameSource::TlsSni)));
        prop_assert!(whole.client.as_ref().is_some_and(|client| client.starts_with("t13d0205h2_")));

        let mut pieces = cut(&stream, &places);
        let twice = pieces.iter().step_by(3).cloned().collect::<Vec<_>>();
        pieces.extend(twice);
        let mut mixed: Vec<_> = order.iter().cycle().zip(pieces).collect();
        mixed.sort_by_key(|(order, _)| **order);
        let mut flow = Flow::new(Protocol::TCP);
        for (_, (offset, bytes)) in mixed {
            flow.client(offset, &bytes);
        }
        prop_assert_eq!(flow.facts(), whole);
    }

    /// The same of QUIC, whose clients mix the pieces themselves.
    #[test]
    fn a_quic_hello_may_be_cut_and_mixed(
        share_len in prop_oneof![Just(32usize), Just(1216)],
        places in places(),
        order in prop::collection::vec(any::<u32>(), 26),
        per_packet in 1usize..6,
        per_datagram in 1usize..3,
        version in prop_oneof![Just(quic::Version::V1), Just(quic::Version::V2)],
    ) {
        let hello = client_hello("files.example", share_len);
        let mut pieces: Vec<_> = order.iter().zip(cut(&hello, &places)).collect();
        pieces.sort_by_key(|(order, _)| **order);
        let frames: Vec<Vec<u8>> =
            pieces.iter().map(|(_, (offset, bytes))| quic::tests::crypto(*offset, bytes)).collect();
        let packets: Vec<Vec<u8>> = frames
            .chunks(per_packet)
            .zip(0..)
            .map(|(frames, number)| {
                let mut plain = [&[1, 0, 0][..], &frames.concat()].concat();
                plain.resize(plain.len() + 20, 0);
                quic::tests::seal(version, &[5; 8], &[5; 8], number, &plain)
            })
            .collect();
        let mut flow = Flow::new(Protocol::UDP);
        for datagram in packets.chunks(per_datagram) {
            flow.see(Sender::Low, None, &datagram.concat(), false);
        }
        prop_assert!(flow.is_done);
        let facts = flow.facts();
        prop_assert_eq!(facts.service, Service::Quic);
        prop_assert_eq!(name_of(&facts), Some(("files.example", NameSource::QuicSni)));
        prop_assert!(facts.client.is_some_and(|client| client.starts_with("q13d0205h2_")));
    }

    /// No bytes panic, whichever protocol they resemble.
    #[test]
    fn no_flow_panics(
        pieces in prop::collection::vec(
            (any::<bool>(), 0u32..20_000, prop::collection::vec(any::<u8>(), 0..200), any::<bool>()),
            0..20,
        ),
        is_udp: bool,
    ) {
        let mut flow = Flow::new(if is_udp { Protocol::UDP } else { Protocol::TCP });
        for (is_back, offset, bytes, is_cut) in pieces {
            let sender = if is_back { Sender::High } else { Sender::Low };
            let offset = (!is_udp).then_some(if offset < 10_000 { 0 } else { offset as usize });
            flow.see(sender, offset, &bytes, is_cut);
        }
        flow.facts();
    }

    /// A handshake with some bytes changed goes deeper than any made up from nothing.
    #[test]
    fn no_changed_handshake_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let hello = record(&client_hello("files.example", 20));
        let flight = record(&server_flight(&["files.example", "*.files.example"]));
        let quic = quic::tests::crypto(0, &client_hello("files.example", 20));
        let change = |mut bytes: Vec<u8>| {
            for (at, to) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *to;
            }
            bytes.truncate(cut.index(2 * bytes.len()).max(1));
            bytes
        };
        let mut flow = Flow::new(Protocol::TCP);
        flow.client(0, &change(hello));
        flow.server(0, &change(flight));
        flow.facts();
        let mut flow = Flow::new(Protocol::UDP);
        let sealed = quic::tests::seal(quic::Version::V1, &[5; 8], &[5; 8], 0, &change(quic));
        flow.see(Sender::Low, None, &sealed, false);
        flow.facts();
    }
}

/// Up to TLS 1.2 the certificate is in the clear, over several segments, and tells who really answered.
#[test]
fn a_certificate_is_read_and_compared() {
    let flight = records(&server_flight(&["real.example", "*.real.example"]), 100);
    let seen = |asked: &str| {
        let mut flow = Flow::new(Protocol::TCP);
        assert_eq!(flow.client(0, &record(&client_hello(asked, 0))), Gaze::On);
        for (number, part) in flight.chunks(70).enumerate() {
            flow.server(number * 70, part);
        }
        assert!(flow.is_done);
        flow.facts()
    };
    let honest = seen("www.real.example");
    let names: Vec<&str> = honest.certificate.iter().map(Name::as_str).collect();
    assert_eq!(names, ["real.example", "*.real.example"]);
    assert_eq!(honest.is_certified(), Some(true));
    assert_eq!(seen("harmless.example").is_certified(), Some(false));
    let nameless = seen("");
    assert!(nameless.has_hello && nameless.name.is_none() && nameless.is_certified().is_none());
}

/// A capture of 96 bytes a packet has the hello's beginning alone; what it says still counts.
#[test]
fn a_cut_hello_gives_what_is_there() {
    let stream = record(&client_hello("files.example", 0));
    let mut flow = Flow::new(Protocol::TCP);
    flow.see(Sender::Low, Some(0), &stream[..100], true);
    let facts = flow.facts();
    assert_eq!(name_of(&facts), Some(("files.example", NameSource::TlsSni)));
    assert_eq!((facts.client, facts.has_hello), (None, true));
}

/// What each service's first bytes look like, in the direction that speaks first.
#[test]
fn services_by_their_first_bytes() {
    let dns = dns::tests::query("files.example");
    let dns_tcp = [&(dns.len() as u16).to_be_bytes()[..], &dns].concat();
    let streams: &[(Service, &[u8])] = &[
        (Service::Http, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        (Service::Http, b"HTTP/1.1 200 OK\r\n"),
        (Service::Http2, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (Service::Ssh, b"SSH-2.0-OpenSSH_9.2\r\n"),
        (Service::Ftp, b"220 (vsFTPd 3.0.3)\r\n"),
        (Service::Smtp, b"220 mx.example ESMTP\r\n"),
        (Service::Smtp, b"EHLO pc\r\n"),
        (Service::Imap, b"* OK ready\r\n"),
        (Service::Pop3, b"+OK ready\r\n"),
        (Service::Dns, &dns_tcp),
        (Service::Smb, b"\0\0\0\x40\xfeSMB@\0"),
        (Service::Socks, b"\x05\x01\x00\x05\x01\x00\x01\xcb\x00\x71\x09\x01\xbb"),
        (Service::Unknown, b"\x05\x01\x00"),
        (Service::Rdp, b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x0b\0\0\0"),
        (Service::Tls, b"\x17\x03\x03\0\x20\0\0"),
        (Service::Bittorrent, b"\x13BitTorrent protocol\0"),
        (Service::Openvpn, b"\0\x0e\x38ABCDEFGH\0\0\0\0\0"),
        (Service::Unknown, b"OPTIONS sip:a.example SIP/2.0\r\n"),
        (Service::Unknown, b"what is this\r\n"),
        (Service::Unknown, b"220 hello\r\n"),
    ];
    for (service, bytes) in streams {
        let mut flow = Flow::new(Protocol::TCP);
        flow.client(0, bytes);
        assert_eq!(flow.facts().service, *service, "{}", bytes.escape_ascii());
    }
    let mut stun = [0; 20];
    stun[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
    let mut turn = stun;
    turn[1] = 3;
    let mut wireguard = [7; 148];
    wireguard[..4].copy_from_slice(&[1, 0, 0, 0]);
    let mut ntp = [0; 48];
    ntp[0] = 0x23;
    let mut utp = [3; 20];
    utp[..2].copy_from_slice(&[0x41, 0]);
    utp[16..].copy_from_slice(&[0, 1, 0, 0]);
    let datagrams: &[(Service, &[u8])] = &[
        (Service::Dns, &dns),
        (Service::Ntp, &ntp),
        (Service::Stun, &stun),
        (Service::Turn, &turn),
        (Service::Wireguard, &wireguard),
        (Service::Openvpn, b"\x38ABCDEFGH\0\0\0\0\0"),
        (Service::Bittorrent, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"),
        (Service::Bittorrent, &utp),
        (Service::Dtls, b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x50\x01\0\0\x44"),
        (Service::Unknown, &[0; 48]),
    ];
    for (service, bytes) in datagrams {
        let mut flow = Flow::new(Protocol::UDP);
        flow.see(Sender::Low, None, bytes, false);
        assert_eq!(flow.facts().service, *service, "{}", bytes.escape_ascii());
    }
}

/// What is asked of a proxy, in as many pieces as it comes; and what the proxy says is no request.
#[test]
fn a_socks_request_names_whom_it_is_for() {
    let said = b"\x05\x02\x00\x02\x01\x02me\x02pw\x05\x01\x00\x03\x0dfiles.example\x01\xbb";
    for step in 1..said.len() {
        let mut flow = Flow::new(Protocol::TCP);
        for at in (0..said.len()).step_by(step) {
            flow.client(at, &said[at..(at + step).min(said.len())]);
        }
        flow.server(0, b"\x05\x02");
        let facts = flow.facts();
        assert_eq!(name_of(&facts), Some(("files.example", NameSource::Socks)), "{step}");
        assert!(facts.asks_proxy && facts.service == Service::Socks);
    }
}

/// Whom a mail is for, as far as its sender says it in the clear.
#[test]
fn a_mail_says_whom_it_is_for() {
    let said = b"EHLO pc\r\nMAIL FROM:<a@corp.example>\r\nRCPT TO:<b@files.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";
    for step in [2, 7, 30, 200] {
        let mut flow = Flow::new(Protocol::TCP);
        flow.server(0, b"220 mx.corp.example ESMTP\r\n");
        for at in (0..said.len()).step_by(step) {
            flow.client(at, &said[at..(at + step).min(said.len())]);
        }
        let facts = flow.facts();
        assert_eq!((facts.service, facts.mail_by), (Service::Smtp, Some(Sender::Low)));
        assert_eq!(facts.recipients, 2);
        assert_eq!(facts.mail_for.unwrap().as_str(), "files.example", "{step}");
    }
    // Whom it is for is told before the last is named: the mail itself may come in the same moment.
    let mut flow = Flow::new(Protocol::TCP);
    flow.server(0, b"220 mx.corp.example ESMTP\r\n");
    flow.client(0, &said[..said.len() - 28]);
    let is_told =
        |event: &Event| matches!(event, Event::Facts(_, facts) if facts.mail_for.is_some());
    assert!(flow.events.iter().any(is_told));
    // More recipients than there is room for.
    let mut flow = Flow::new(Protocol::TCP);
    flow.server(0, b"220 mx.corp.example ESMTP\r\n");
    let begin = b"EHLO pc\r\nMAIL FROM:<a@corp.example>\r\n";
    flow.client(0, begin);
    let mut at = begin.len();
    for _ in 0..40 {
        let said = b"RCPT TO:<somebody@files.example>\r\n".repeat(30);
        flow.client(at, &said);
        at += said.len();
    }
    let facts = flow.facts();
    assert_eq!(facts.mail_for.unwrap().as_str(), "files.example");
    assert!((400..500).contains(&facts.recipients), "{}", facts.recipients);
    let mut flow = Flow::new(Protocol::TCP);
    flow.client(0, b"EHLO pc\r\nSTARTTLS\r\n");
    assert_eq!(flow.facts().mail_for, None);
}

#[test]
fn a_dtls_hello_names_the_server() {
    let mut flow = Flow::new(Protocol::UDP);
    flow.see(Sender::High, None, &dtls::tests::datagram("files.example", 90), false);
    let facts = flow.facts();
    assert_eq!(name_of(&facts), Some(("files.example", NameSource::DtlsSni)));
    assert_eq!((facts.service, facts.named_by), (Service::Dtls, Some(Sender::High)));
}

/// Post-quantum key shares make a hello too long for one datagram, and datagrams come in any order.
#[test]
fn a_dtls_hello_may_be_spread_over_datagrams() {
    let whole = dtls::tests::datagram("files.example", 25);
    let mut parts = dtls::tests::apart(&whole);
    assert!(parts.len() > 3);
    for turn in 0..parts.len() {
        parts.rotate_left(1);
        let mut flow = Flow::new(Protocol::UDP);
        for (place, part) in parts.iter().enumerate() {
            let gaze = flow.see(Sender::Low, None, part, false);
            assert_eq!(gaze == Gaze::Done, place + 1 == parts.len(), "{place} of {turn}");
            // What comes twice, or from the other end, changes nothing.
            flow.see(Sender::Low, None, part, false);
            flow.see(Sender::High, None, &whole, false);
        }
        let facts = flow.facts();
        assert_eq!(name_of(&facts), Some(("files.example", NameSource::DtlsSni)));
        assert_eq!((facts.service, facts.named_by), (Service::Dtls, Some(Sender::Low)));
    }
    // One part never comes: what follows ends the look.
    let mut flow = Flow::new(Protocol::UDP);
    for part in &parts[..parts.len() - 1] {
        flow.see(Sender::Low, None, part, false);
    }
    assert_eq!(flow.see(Sender::Low, None, &[23, 0xfe, 0xfd, 0, 1, 0], false), Gaze::Done);
    let facts = flow.facts();
    assert_eq!((facts.service, facts.has_hello), (Service::Dtls, true));
}

/// Knows its server to speak HTTP/2, and says so without TLS.
#[test]
fn a_request_of_http2_names_the_server() {
    let said = http2::tests::stream(
        &[(":authority", "files.example:8080"), ("user-agent", "curl/7.88.1")],
        http2::tests::USUAL,
    );
    for step in [3, 40, 1000] {
        let mut flow = Flow::new(Protocol::TCP);
        flow.server(0, &[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        for at in (0..said.len()).step_by(step) {
            flow.client(at, &said[at..(at + step).min(said.len())]);
        }
        let facts = flow.facts();
        assert_eq!(name_of(&facts), Some(("files.example", NameSource::HttpHost)), "{step}");
        assert_eq!((facts.service, facts.named_by), (Service::Http2, Some(Sender::Low)));
        assert_eq!(facts.client.as_deref(), Some("curl/7.88.1"));
        assert!(!facts.asks_proxy);
    }
}

#[test]
fn every_service_is_called_as_in_json() {
    for service in
        [Service::Unknown, Service::FtpData, Service::Http2, Service::Socks, Service::Bittorrent]
    {
        assert_eq!(serde_json::to_value(service).unwrap(), service.name());
    }
    assert_eq!(serde_json::to_value(NameSource::HttpConnect).unwrap(), "http-connect");
}

/// Media has no mark in a single packet: three that follow each other are one.
#[test]
fn media_is_known_by_three_packets() {
    let packet = |sequence: u16| {
        let [high, low] = sequence.to_be_bytes();
        [&[0x80, 111, high, low, 0, 0, 0, 1, 9, 9, 9, 9][..], &[5; 60]].concat()
    };
    let mut flow = Flow::new(Protocol::UDP);
    for sequence in [65_534, 65_535, 0] {
        flow.see(Sender::Low, None, &packet(sequence), false);
    }
    assert_eq!(flow.facts().service, Service::Rtp);
    let mut flow = Flow::new(Protocol::UDP);
    for sequence in [7, 4000, 99, 12_345, 77, 40_000] {
        flow.see(Sender::Low, None, &packet(sequence), false);
    }
    assert_eq!(flow.facts().service, Service::Unknown);
}

/// FTP greets as SMTP does, and its client says what one of POP3 says; both together tell.
#[test]
fn ftp_is_known_by_both_sides_and_announces_its_data() {
    let mut flow = Flow::new(Protocol::TCP);
    flow.server(0, b"220 ready\r\n");
    assert_eq!(flow.client(0, b"USER me\r\n"), Gaze::Kept);
    flow.server(11, b"227 Entering Passive Mode (203,0,113,9,195,80)\r\n");
    let control = flow.key;
    let end = |addr, port| Endpoint { addr: Addr::from_v4(addr), port };
    let data = |port| {
        FlowKey::of(end([10, 0, 0, 1], 50_001), end([203, 0, 113, 9], port), Protocol::TCP).0
    };
    let piece = Piece {
        at: Timestamp::from_secs_nanos(1001, 0),
        sender: Sender::Low,
        initiator: Sender::Low,
        offset: Some(0),
        bytes: b"GET / HTTP/1.1\r\n\r\n",
        is_cut: false,
        before: 0,
    };
    let mut told = Vec::new();
    assert_eq!(flow.names.look((1, &data(50_000)), &piece, |event| told.push(event)), Gaze::Done);
    let [Event::Facts(key, facts)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((*key, facts.service), (data(50_000), Service::FtpData));
    assert_eq!(facts.control.as_deref(), Some(&control));
    // One announcement is one connection.
    flow.names.look((1, &data(50_000)), &piece, |event| told.push(event));
    let Some(Event::Facts(_, facts)) = told.last() else { panic!("{told:?}") };
    assert_eq!(facts.service, Service::Http);
}

/// A capture may begin in the middle of what a server says; that must not be read as another request, nor
/// may a server rename itself.
#[test]
fn the_other_direction_changes_no_name() {
    let mut flow = Flow::new(Protocol::TCP);
    flow.client(0, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    flow.server(0, b"of a picture\r\nHost: b.example\r\n\r\n");
    assert_eq!(name_of(&flow.facts()), Some(("a.example", NameSource::HttpHost)));
    let mut flow = Flow::new(Protocol::TCP);
    flow.client(0, &record(&client_hello("a.example", 0)));
    flow.server(0, &record(&client_hello("b.example", 0)));
    assert_eq!(name_of(&flow.facts()), Some(("a.example", NameSource::TlsSni)));
}

/// A mail client says who it wants only after STARTTLS.
#[test]
fn starttls_gives_a_name() {
    let mut flow = Flow::new(Protocol::TCP);
    flow.server(0, b"220 mx ESMTP\r\n");
    flow.client(0, b"EHLO pc\r\n");
    flow.server(14, b"250 STARTTLS\r\n");
    flow.client(9, b"STARTTLS\r\n");
    let hello = record(&client_hello("mx.files.example", 0));
    flow.client(19, &hello[..50]);
    assert_eq!(flow.client(69, &hello[50..]), Gaze::Done);
    let facts = flow.facts();
    assert_eq!(facts.service, Service::Smtp);
    assert_eq!(name_of(&facts), Some(("mx.files.example", NameSource::TlsSni)));
}

#[test]
fn dns_answers_are_told_with_who_asked() {
    let answer = dns::tests::answer("files.example", 60, [198, 51, 100, 1]);
    let mut flow = Flow::new(Protocol::UDP);
    assert_eq!(flow.see(Sender::Low, None, &dns::tests::query("files.example"), false), Gaze::Kept);
    flow.see(Sender::High, None, &answer, false);
    let mut stream = Flow::new(Protocol::TCP);
    let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
    let twice = framed.repeat(2);
    stream.server(0, &twice[..30]);
    stream.server(30, &twice[30..]);
    for (flow, count) in [(flow, 1), (stream, 2)] {
        let answers: Vec<&Answer> = flow
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Answer(answer) => Some(&**answer),
                Event::Facts(..) | Event::Query(_) | Event::Echo(_) => None,
            })
            .collect();
        assert_eq!(answers.len(), count);
        assert_eq!(answers[0].host, flow.key.low.addr);
        assert_eq!(answers[0].name.as_str(), "files.example");
        assert_eq!(
            answers[0].addresses,
            [(Addr::from_v4([198, 51, 100, 1]), Duration::from_secs(60))]
        );
    }
}

/// A flood of hellos that never end must not take more than was given, and the oldest give way with
/// what they have told.
#[test]
fn memory_is_bounded() {
    let bytes_max = 100_000;
    let mut names = Names::new(Options { bytes_max: bytes_max * SHARDS, ..Options::default() });
    let hello = record(&client_hello("files.example", 3000));
    let mut told = 0;
    for port in 1..2000u16 {
        let piece = Piece {
            at: Timestamp::EPOCH,
            sender: Sender::Low,
            initiator: Sender::Low,
            offset: Some(0),
            bytes: &hello[..1000],
            is_cut: false,
            before: 0,
        };
        names.look((port.into(), &key(Protocol::TCP, port)), &piece, |_| told += 1);
        assert!(names.bytes() <= bytes_max);
        let held: usize = names.watch.held().map(|held| held.bytes() + ENTRY_BYTES).sum();
        assert_eq!(names.bytes(), held);
    }
    assert_eq!(names.counters().evicted as usize, 1999 - names.watch.held().count());
    assert!(told >= 1999);
    for port in 1..2000u32 {
        names.close(port, |_| {});
    }
    assert_eq!((names.bytes(), names.watch.held().count()), (0, 0));
}

/// A single look that is larger than all the room there is must not be kept either.
#[test]
fn a_look_beyond_all_room_is_told_and_dropped() {
    let mut flow = Flow::new(Protocol::TCP);
    flow.names = Names::new(Options { bytes_max: 2000 * SHARDS, ..Options::default() });
    let hello = record(&client_hello("files.example", 4000));
    assert_eq!(flow.client(0, &hello[..3000]), Gaze::On);
    assert_eq!((flow.names.bytes(), flow.names.counters().evicted), (0, 1));
    assert_eq!(flow.facts().service, Service::Tls);
}

/// An upload in a protocol of its own, of which the capture holds one direction, must not be looked at
/// packet by packet.
#[test]
fn one_direction_of_the_unknown_is_soon_left_alone() {
    let mut flow = Flow::new(Protocol::TCP);
    let seen = (0..100).filter(|n| flow.client(10 * n, b"\x07\x07unknown\x07") == Gaze::On).count();
    assert!(seen < 6 && flow.is_done, "{seen}");
    assert_eq!(flow.facts().service, Service::Unknown);
}

/// Words of many protocols and of none, in order and out of it.
fn dialogue() -> impl Strategy<Value = Vec<(bool, u8, Vec<u8>, bool)>> {
    let word = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..9),
        1 => Just(b"220 hello\r\n".to_vec()),
        1 => Just(b"USER me\r\n".to_vec()),
        1 => Just(b"GET / HT".to_vec()),
        1 => Just(b"SSH-2.0-a\r\n".to_vec()),
        1 => Just(record(&client_hello("files.example", 0))[..9].to_vec()),
    ];
    let step = (any::<bool>(), prop_oneof![6 => Just(0u8), 1 => 1u8..9], word, any::<u8>());
    let step = step.prop_map(|(is_back, gap, word, cut)| (is_back, gap, word, cut < 20));
    prop::collection::vec(step, 1..12)
}

proptest! {
    /// What is held in short must not make a flow another one.
    #[test]
    fn a_look_held_in_short_sees_the_same(steps in dialogue()) {
        let mut shared = Shared::default();
        let mut next = [0usize; 2];
        let mut looks: Option<[Box<Look>; 2]> = None;
        for (is_back, gap, bytes, is_cut) in steps {
            let offset = next[usize::from(is_back)] + usize::from(gap);
            next[usize::from(is_back)] = offset + bytes.len();
            let piece = Piece {
                at: Timestamp::from_secs_nanos(next.iter().sum::<usize>() as u64, 0),
                sender: if is_back { Sender::High } else { Sender::Low },
                initiator: Sender::High,
                offset: Some(offset as u32),
                bytes: &bytes,
                is_cut,
                before: 0,
            };
            let is_first = looks.is_none();
            let [whole, held] = looks.get_or_insert_with(|| [0; 2].map(|_| Box::new(Look::new(&piece))));
            let seen = whole.stream(&piece, offset, &mut shared);
            let begun = if is_first { Held::begun(&piece, offset) } else { None };
            let mut short = Held::of(held.clone());
            if let Some(begun) = begun {
                prop_assert_eq!(seen, Next::Keep);
                *held = begun.whole();
            } else if let Some(next) = short.takes_briefly(&piece, offset) {
                prop_assert_eq!(seen, next);
                prop_assert_eq!(&short.clone().facts(), &whole.facts);
                *held = short.whole();
            } else {
                *held = short.whole();
                prop_assert_eq!(held.stream(&piece, offset, &mut shared), seen);
            }
            prop_assert_eq!(&held.facts, &whole.facts);
            (whole.has_news, held.has_news) = (false, false);
            if seen == Next::Done {
                break;
            }
        }
        if let Some([mut whole, mut held]) = looks {
            whole.finish(&mut shared);
            held.finish(&mut shared);
            prop_assert_eq!((&held.facts, held.has_news), (&whole.facts, whole.has_news));
        }
    }
}

/// What a look takes, and that one that found all in a single packet takes nothing.
#[test]
fn most_flows_take_no_memory() {
    assert!(size_of::<Look>() <= 512, "{}", size_of::<Look>());
    let mut flow = Flow::new(Protocol::UDP);
    flow.see(Sender::Low, None, b"nothing known", false);
    flow.see(Sender::Low, None, &dns::tests::query("files.example"), false);
    assert_eq!(flow.names.bytes(), 0);
    let mut flow = Flow::new(Protocol::TCP);
    flow.client(0, b"\x07\x07unknown\x07");
    assert_eq!(flow.names.bytes(), ENTRY_BYTES);
}
