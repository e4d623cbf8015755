//! Which service a flow is, by its first bytes and never by its port.
//!
//! The signatures below are tried in a fixed order, the surest first; each says where it is from. One
//! that needs more bytes than have come holds back those behind it, so that the answer does not depend
//! on how the bytes were cut.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dns;
use super::http2;
use super::quic;
use super::socks::Socks;
use super::tls;

/// An application protocol.
#[derive(
    Debug,
    Default,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    JsonSchema,
    Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Its first bytes are of none of these.
    #[default]
    Unknown,
    /// TLS or SSL 3 from the first byte on (RFC 8446).
    Tls,
    /// TLS over datagrams (RFC 9147).
    Dtls,
    /// HTTP/1 (RFC 9112).
    Http,
    /// HTTP/2 without TLS, with prior knowledge (RFC 9113, section 3.3).
    Http2,
    /// QUIC, version 1 or 2 (RFC 9000, RFC 9369).
    Quic,
    /// A proxy's protocol: SOCKS, versions 4 and 5 (RFC 1928).
    Socks,
    /// Secure shell (RFC 4253).
    Ssh,
    /// File transfer, the control connection (RFC 959).
    Ftp,
    /// A data connection that a control connection announced (RFC 959, RFC 2428).
    FtpData,
    /// Mail transfer (RFC 5321).
    Smtp,
    /// Mail access (RFC 9051).
    Imap,
    /// Mail retrieval (RFC 1939).
    Pop3,
    /// Name service (RFC 1035), the multicast kind and that of NetBIOS too.
    Dns,
    /// Time (RFC 5905).
    Ntp,
    /// Windows file sharing (MS-SMB2, MS-CIFS).
    Smb,
    /// Remote desktop (MS-RDPBCGR).
    Rdp,
    /// The WireGuard tunnel.
    Wireguard,
    /// The OpenVPN tunnel.
    Openvpn,
    /// Session traversal (RFC 8489).
    Stun,
    /// Traversal by a relay (RFC 8656).
    Turn,
    /// Real-time media (RFC 3550).
    Rtp,
    /// File sharing (BEP 3, BEP 5, BEP 29).
    Bittorrent,
}

impl Service {
    /// Every one of them.
    pub const ALL: [Self; 23] = [
        Self::Unknown,
        Self::Tls,
        Self::Dtls,
        Self::Http,
        Self::Http2,
        Self::Quic,
        Self::Socks,
        Self::Ssh,
        Self::Ftp,
        Self::FtpData,
        Self::Smtp,
        Self::Imap,
        Self::Pop3,
        Self::Dns,
        Self::Ntp,
        Self::Smb,
        Self::Rdp,
        Self::Wireguard,
        Self::Openvpn,
        Self::Stun,
        Self::Turn,
        Self::Rtp,
        Self::Bittorrent,
    ];

    /// Its word, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Quic => "quic",
            Self::Socks => "socks",
            Self::Ssh => "ssh",
            Self::Ftp => "ftp",
            Self::FtpData => "ftp-data",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Dns => "dns",
            Self::Ntp => "ntp",
            Self::Smb => "smb",
            Self::Rdp => "rdp",
            Self::Wireguard => "wireguard",
            Self::Openvpn => "openvpn",
            Self::Stun => "stun",
            Self::Turn => "turn",
            Self::Rtp => "rtp",
            Self::Bittorrent => "bittorrent",
        }
    }
}

/// What the first bytes of one direction of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    Is(Service),
    /// A greeting with 220 that says neither SMTP nor FTP: the other direction will tell.
    Greeting,
    /// Words of a client of FTP, which other protocols know too.
    FtpWords,
    /// More bytes must come.
    Wants,
    Nothing,
}

/// How bytes fit a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Yes,
    No,
    Wants,
}

impl Fit {
    fn when(is_fit: bool) -> Self {
        if is_fit { Self::Yes } else { Self::No }
    }

    /// Do `bytes` begin with `signature`, or may they yet?
    fn begin(bytes: &[u8], signature: &[u8]) -> Self {
        // Most differ in their first byte, which is seen for less than a comparison costs.
        if let (Some(first), Some(wanted)) = (bytes.first(), signature.first())
            && first != wanted
        {
            Self::No
        } else if bytes.starts_with(signature) {
            Self::Yes
        } else if signature.starts_with(bytes) {
            Self::Wants
        } else {
            Self::No
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Wants, _) | (_, Self::Wants) => Self::Wants,
            (Self::No, Self::No) => Self::No,
        }
    }
}

/// Says which service a stream is whose first bytes in one direction are these.
pub(super) fn of_stream(bytes: &[u8], is_over: bool) -> Guess {
    if bytes.is_empty() {
        return if is_over { Guess::Nothing } else { Guess::Wants };
    }
    for Signature { service, fit } in STREAMS {
        match fit(bytes) {
            Fit::Yes => return Guess::Is(service),
            Fit::Wants if !is_over => return Guess::Wants,
            Fit::Wants | Fit::No => {}
        }
    }
    of_words(bytes, is_over)
}

/// FTP and SMTP greet alike; a client of FTP says what one of POP3 says.
fn of_words(bytes: &[u8], is_over: bool) -> Guess {
    if Fit::begin(bytes, b"220") != Fit::No {
        let greeting = bytes.split_inclusive(|&byte| byte == b'\n');
        let mut is_whole = false;
        for line in greeting {
            let has_word =
                |word: &[u8]| line.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
            if !line.ends_with(b"\n") {
                break;
            }
            if has_word(b"SMTP") {
                return Guess::Is(Service::Smtp);
            }
            if has_word(b"FTP") {
                return Guess::Is(Service::Ftp);
            }
            is_whole |= line.get(3) == Some(&b' ');
        }
        let is_greeting = is_whole || is_over && bytes.len() > 3;
        return match (is_greeting, is_over) {
            (true, _) => Guess::Greeting,
            (false, false) if bytes.len() < LINE_MAX => Guess::Wants,
            (false, _) => Guess::Nothing,
        };
    }
    let fit = [&b"USER "[..], b"AUTH TLS", b"AUTH SSL", b"FEAT\r\n", b"OPTS ", b"HOST ", b"CLNT "]
        .iter()
        .map(|word| Fit::begin(bytes, word))
        .fold(Fit::No, Fit::or);
    match fit {
        Fit::Yes => Guess::FtpWords,
        Fit::Wants if !is_over => Guess::Wants,
        Fit::Wants | Fit::No => Guess::Nothing,
    }
}

/// How the first bytes of a service's streams are known.
struct Signature {
    service: Service,
    fit: fn(&[u8]) -> Fit,
}

/// Signatures of streams, in the order in which they are tried.
const STREAMS: [Signature; 15] = [
    Signature { service: Service::Tls, fit: tls_record },
    Signature { service: Service::Http2, fit: |bytes| Fit::begin(bytes, http2::PREFACE) },
    // RFC 4253, section 4.2.
    Signature { service: Service::Ssh, fit: |bytes| Fit::begin(bytes, b"SSH-") },
    // BEP 3.
    Signature {
        service: Service::Bittorrent,
        fit: |bytes| Fit::begin(bytes, b"\x13BitTorrent protocol"),
    },
    Signature { service: Service::Smb, fit: smb },
    Signature { service: Service::Rdp, fit: rdp },
    Signature { service: Service::Http, fit: http },
    // RFC 9051, section 7.1.
    Signature {
        service: Service::Imap,
        fit: |bytes| Fit::begin(bytes, b"* OK").or(Fit::begin(bytes, b"* PREAUTH")),
    },
    // RFC 1939, section 3.
    Signature { service: Service::Pop3, fit: |bytes| Fit::begin(bytes, b"+OK") },
    // RFC 5321, section 4.1.1.1.
    Signature {
        service: Service::Smtp,
        fit: |bytes| Fit::begin(bytes, b"EHLO ").or(Fit::begin(bytes, b"HELO ")),
    },
    Signature { service: Service::Socks, fit: socks },
    Signature { service: Service::Turn, fit: |bytes| stun(framed(bytes).unwrap_or(bytes), true) },
    Signature { service: Service::Stun, fit: |bytes| stun(framed(bytes).unwrap_or(bytes), false) },
    Signature { service: Service::Dns, fit: dns_over_tcp },
    Signature {
        service: Service::Openvpn,
        fit: |bytes| Fit::when(framed(bytes).is_some_and(is_openvpn_reset)),
    },
];

/// What a datagram shows by itself.
#[derive(Debug)]
pub(super) enum Sign {
    Is(Service),
    Dns(dns::Message),
    Nothing,
}

/// Says which service a datagram belongs to, if one is enough to tell. DNS comes behind all others: its
/// sign is that all of it can be read.
pub(super) fn of_datagram(bytes: &[u8], is_cut: bool) -> Sign {
    let is = |fit: Fit| fit == Fit::Yes;
    let service = if is(stun(bytes, true)) {
        Service::Turn
    } else if is(stun(bytes, false)) {
        Service::Stun
    } else if quic::is_quic(bytes) {
        Service::Quic
    } else if is_dtls(bytes) {
        Service::Dtls
    } else if is(wireguard(bytes)) {
        Service::Wireguard
    } else if is_openvpn_reset(bytes) {
        Service::Openvpn
    } else if is_bittorrent(bytes) {
        Service::Bittorrent
    } else if is_ntp(bytes) {
        Service::Ntp
    } else {
        return dns::Message::of(bytes, is_cut).map_or(Sign::Nothing, Sign::Dns);
    };
    Sign::Is(service)
}

/// RFC 8446, section 5.1, and RFC 5246, section 6.2.1: a record's type, version and length, and of a
/// handshake the first message's type. A flow met in its middle begins with another type.
fn tls_record(bytes: &[u8]) -> Fit {
    match bytes {
        [tls::HANDSHAKE, 3, 0..=4, high, low, message, ..] => Fit::when(
            matches!(message, 0..=4 | 11..=16 | 20) && (1..=18_432).contains(&number(*high, *low)),
        ),
        [20, 3, 0..=4, high, low, ..] => Fit::when(number(*high, *low) == 1),
        [21, 3, 0..=4, high, low, ..] => Fit::when((2..=64).contains(&number(*high, *low))),
        [23, 3, 1..=4, high, low, ..] => Fit::when((1..=18_432).contains(&number(*high, *low))),
        [20..=23] | [20..=23, 3] | [20..=23, 3, 0..=4] | [20..=23, 3, 0..=4, _] => Fit::Wants,
        [tls::HANDSHAKE, 3, 0..=4, _, _] => Fit::Wants,
        _ => Fit::No,
    }
}

/// MS-SMB2, section 2.1, behind the session header of RFC 1002; or that protocol's session request.
fn smb(bytes: &[u8]) -> Fit {
    match bytes {
        [0, _, _, _, 0xfc..=0xff, b'S', b'M', b'B', ..] => Fit::Yes,
        [0x81, 0, 0, 0x44, 0x20, ..] => Fit::Yes,
        [0] | [0, _] | [0, _, _] | [0, _, _, _] => Fit::Wants,
        [0, _, _, _, 0xfc..=0xff] | [0, _, _, _, 0xfc..=0xff, b'S'] => Fit::Wants,
        [0, _, _, _, 0xfc..=0xff, b'S', b'M'] => Fit::Wants,
        [0x81] | [0x81, 0] | [0x81, 0, 0] | [0x81, 0, 0, 0x44] => Fit::Wants,
        _ => Fit::No,
    }
}

/// MS-RDPBCGR, sections 2.2.1.1 and 2.2.1.2: a connection request or confirmation of X.224 in a TPKT
/// packet, with a cookie or an offer of security. Without either it could be any use of X.224.
fn rdp(bytes: &[u8]) -> Fit {
    let Some((head, rest)) = bytes.split_first_chunk::<11>() else {
        let is_begin = bytes.iter().zip([3, 0]).all(|(byte, wanted)| *byte == wanted);
        return if is_begin { Fit::Wants } else { Fit::No };
    };
    if head[..2] != [3, 0] || !matches!(head[5], 0xe0 | 0xd0) {
        return Fit::No;
    }
    let offer = match rest {
        [1..=3, _, 8, 0, ..] => Fit::Yes,
        [1..=3] | [1..=3, _] | [1..=3, _, 8] => Fit::Wants,
        _ => Fit::No,
    };
    offer.or(Fit::begin(rest, b"Cookie: "))
}

/// RFC 1928: a greeting and a request, whole.
fn socks(bytes: &[u8]) -> Fit {
    match Socks::of(bytes) {
        Socks::Asks(_) => Fit::Yes,
        Socks::Wants => Fit::Wants,
        Socks::No => Fit::No,
    }
}

/// RFC 9112, section 3: a method and, at the end of the line, the version; or a status line.
fn http(bytes: &[u8]) -> Fit {
    let status = Fit::begin(bytes, b"HTTP/1.");
    if status != Fit::No || !bytes.first().is_some_and(u8::is_ascii_uppercase) {
        return status;
    }
    let mut is_begin = false;
    for method in METHODS {
        match Fit::begin(bytes, method.as_bytes()) {
            Fit::Yes if bytes.get(method.len()) == Some(&b' ') => {
                let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
                if line.len() == bytes.len() && line.len() < REQUEST_LINE_MAX {
                    return Fit::Wants;
                }
                let version = line.trim_ascii_end().rsplit(|&byte| byte == b' ').next();
                return Fit::when(version.is_some_and(|version| version.starts_with(b"HTTP/1.")));
            }
            Fit::Yes => is_begin |= bytes.len() == method.len(),
            Fit::Wants => is_begin = true,
            Fit::No => {}
        }
    }
    if is_begin { Fit::Wants } else { Fit::No }
}

/// A message behind its length in two bytes, as DNS, STUN and OpenVPN have it over TCP.
fn framed(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let len = usize::from(u16::from_be_bytes(*len));
    (len >= 14 && rest.len() >= len.min(20)).then(|| &rest[..len.min(rest.len())])
}

/// RFC 8489, section 5: two zero bits, a length of whole words, the magic cookie. Methods of RFC 8656
/// are those of a relay.
fn stun(bytes: &[u8], is_turn: bool) -> Fit {
    let Some(&[high, low, _, len, 0x21, 0x12, 0xa4, 0x42]) = bytes.first_chunk::<8>() else {
        return Fit::No;
    };
    let kind = number(high, low);
    let method = kind & 0x000f | kind >> 1 & 0x0070 | kind >> 2 & 0x0f80;
    Fit::when(high & 0xc0 == 0 && len % 4 == 0 && matches!(method, 3..=9) == is_turn)
}

/// "WireGuard: Next Generation Kernel Network Tunnel" (Donenfeld, NDSS 2017), section 5.4: type and length
/// of the opening packets; of those that carry data the type, whole blocks, and a counter that no tunnel
/// brings past 2^40.
fn wireguard(bytes: &[u8]) -> Fit {
    Fit::when(match bytes {
        [1, 0, 0, 0, ..] => bytes.len() == 148,
        [2, 0, 0, 0, ..] => bytes.len() == 92,
        [4, 0, 0, 0, _, _, _, _, _, _, _, _, _, 0, 0, 0, ..] => {
            bytes.len() >= 32 && bytes.len().is_multiple_of(16)
        }
        _ => false,
    })
}

/// OpenVPN's first packet ("OpenVPN wire protocol"): a client's hard reset, version 2, with a session id of
/// eight bytes, nothing acknowledged and packet number 0.
fn is_openvpn_reset(bytes: &[u8]) -> bool {
    bytes.len() == 14 && bytes[0] == 0x38 && bytes[9..] == [0; 5]
}

/// The same where the channel is signed or encrypted (tls-auth, tls-crypt): what follows the session id is
/// a digest, and only a server's hard reset in return makes it sure.
pub(super) fn may_be_openvpn_reset(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(0x38 | 0x50)) && bytes.len() >= 42
}

/// A server's hard reset, version 2.
pub(super) fn is_openvpn_answer(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x40) && bytes.len() >= 26
}

/// RFC 9147, section 4, and RFC 6347: a handshake's record in epoch 0 with its first message.
fn is_dtls(bytes: &[u8]) -> bool {
    matches!(bytes, [22, 0xfe, 0xfd | 0xff, 0, 0, _, _, _, _, _, _, _, _, 1..=4, ..])
        || matches!(bytes, [22, 1, 0, 0, 0, _, _, _, _, _, _, _, _, 1..=4, ..])
}

/// BEP 5: a dictionary of a query, a response or an error. BEP 29: the first packet of uTP, with
/// sequence number 1 and nothing acknowledged.
fn is_bittorrent(bytes: &[u8]) -> bool {
    let is_dht = [&b"d1:ad2:id20:"[..], b"d1:rd2:id20:", b"d1:eli20"]
        .iter()
        .any(|signature| bytes.starts_with(signature));
    let is_utp = match bytes.first_chunk::<20>() {
        Some(&[0x41, 0 | 2, .., 0, 1, 0, 0]) => bytes.len() <= 30,
        Some(_) | None => false,
    };
    is_dht || is_utp
}

/// RFC 5905, section 7.3: 48 bytes, alone or with a digest; version 1 to 4; from a client no time of its
/// own clock's source, from a server one that is possible.
fn is_ntp(bytes: &[u8]) -> bool {
    let &[flags, stratum, poll, ..] = bytes else { return false };
    let (version, mode) = (flags >> 3 & 7, flags & 7);
    matches!(bytes.len(), 48 | 52 | 68 | 72)
        && (1..=4).contains(&version)
        && (1..=5).contains(&mode)
        && stratum <= 16
        && poll <= 17
        // Root delay and dispersion of more than a minute belong to no clock.
        && bytes[4] == 0
        && bytes[8] == 0
}

/// RFC 1035, section 4.2.2.
fn dns_over_tcp(bytes: &[u8]) -> Fit {
    let Some((len, rest)) = bytes.split_first_chunk::<2>() else { return Fit::Wants };
    let len = usize::from(u16::from_be_bytes(*len));
    if len < 17 {
        return Fit::No;
    }
    if let Some(message) = rest.get(..len) {
        return Fit::when(dns::Message::of(message, false).is_some());
    }
    // Opcode, and the one question.
    let fits =
        |at: usize, mask: u8, wanted: u8| rest.get(at).is_none_or(|byte| byte & mask == wanted);
    if !(fits(2, 0x78, 0) && fits(4, 0xff, 0) && fits(5, 0xff, 1)) {
        return Fit::No;
    }
    // Of a message that is longer than what is looked at, or cut, a sound part.
    if dns::Message::of(rest, true).is_some() { Fit::Yes } else { Fit::Wants }
}

/// The head of a packet of RFC 3550, section 5.1: version 2, and a payload type that is not one of
/// RTCP's (RFC 5761, section 4). Sequence number and source, to be compared with the next packet's.
pub(super) fn rtp(bytes: &[u8]) -> Option<(u16, u32)> {
    let &[flags, kind, high, low, _, _, _, _, a, b, c, d] = bytes.first_chunk::<12>()?;
    let is_head = flags >> 6 == 2 && !(64..=95).contains(&(kind & 0x7f));
    is_head.then(|| (number(high, low), u32::from_be_bytes([a, b, c, d])))
}

fn number(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

/// Methods of RFC 9110, RFC 5789, RFC 4918, RFC 3253, RFC 5323, UPnP and of programs that speak HTTP.
const METHODS: [&str; 34] = [
    "GET",
    "POST",
    "PUT",
    "HEAD",
    "DELETE",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "CHECKOUT",
    "CHECKIN",
    "MERGE",
    "MKACTIVITY",
    "ACL",
    "BIND",
    "PURGE",
    "NOTIFY",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "M-SEARCH",
    "RPC_IN_DATA",
    "RPC_OUT_DATA",
    "BITS_POST",
    "CCM_POST",
    "BDELETE",
];

/// Longest line of a request that is waited for.
const REQUEST_LINE_MAX: usize = 8 << 10;

/// Longest greeting that is waited for.
const LINE_MAX: usize = 1 << 10;
