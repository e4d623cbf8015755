//! What the first bytes of a flow told.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::echo::Echo;
use super::name::Name;
use super::query::Query;
use super::service::Service;
use crate::flow::{FlowKey, Sender};
use crate::net::Addr;
use crate::time::Timestamp;

/// What is known of a flow by its first bytes; all that the two ends claimed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Packet time of the first payload that was looked at.
    pub seen_at: Timestamp,
    /// The application protocol.
    pub service: Service,
    /// What the client called the server, and where it said so.
    pub name: Option<(Name, NameSource)>,
    /// Is the other end asked, as a proxy, to reach the one who is named (CONNECT, or an absolute target)?
    pub asks_proxy: bool,
    /// The end that said so, or said a hello without a name, and so is the client.
    pub named_by: Option<Sender>,
    /// Of mail, the end that sends it.
    pub mail_by: Option<Sender>,
    /// The domain that the first mail is for, if that is another owner's than its sender's.
    pub mail_for: Option<Box<Name>>,
    /// Recipients that the first mail's client named in the clear while that was looked at; 0 where it named none.
    pub recipients: u16,
    /// The client program: JA4 of TLS and QUIC, the banner of SSH, the user agent of HTTP. Printable
    /// ASCII, at most [`Facts::TEXT_MAX`] bytes.
    pub client: Option<Box<str>>,
    /// Application protocols offered within TLS (RFC 7301), first the one liked best; at most
    /// [`Facts::ALPN_MAX`].
    pub alpn: Vec<Cow<'static, str>>,
    /// Names of the server's certificate, where it is not encrypted (TLS 1.2 and before).
    pub certificate: Vec<Name>,
    /// Are these all the names it has?
    pub is_certificate_whole: bool,
    /// Has the hello an encrypted one in it, real or GREASE? Then `name` may be that of whoever serves
    /// many names, and not of the one that is asked.
    pub has_ech: bool,
    /// Did the client say its TLS hello? With it and without `name`, the server is nameless.
    pub has_hello: bool,
    /// The control connection that announced this data connection.
    pub control: Option<Box<FlowKey>>,
}

impl Facts {
    /// Longest text kept of what a program calls itself.
    pub const TEXT_MAX: usize = 255;
    /// Most application protocols kept.
    pub const ALPN_MAX: usize = 8;

    /// Is the server's certificate for the name that the client asked for? `None` where that cannot be
    /// said: no name but an address, or not all of the certificate visible and the name not in that part.
    pub fn is_certified(&self) -> Option<bool> {
        let (name, _) = self.name.as_ref().filter(|(name, _)| !name.is_address())?;
        if self.certificate.iter().any(|own| own.covers(name)) {
            return Some(true);
        }
        self.is_certificate_whole.then_some(false)
    }

    /// Is the server asked to pass on what it is sent?
    pub fn is_passed_on(&self) -> bool {
        self.asks_proxy || self.mail_by.is_some()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let names = self.certificate.iter().chain(self.name.as_ref().map(|(name, _)| name));
        names.map(|name| name.as_str().len() + size_of::<Name>()).sum::<usize>()
            + self.mail_for.as_ref().map_or(0, |name| name.as_str().len() + size_of::<Name>())
            + self.client.as_ref().map_or(0, |client| client.len())
            + self.alpn.iter().map(|one| one.len() + size_of::<Cow<'_, str>>()).sum::<usize>()
            + self.control.as_ref().map_or(0, |_| size_of::<FlowKey>())
    }
}

/// Where a name comes from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum NameSource {
    /// The server name of a TLS hello (RFC 6066).
    TlsSni,
    /// The same of QUIC.
    QuicSni,
    /// The same of DTLS.
    DtlsSni,
    /// The `Host` header or the absolute target of an HTTP/1 request.
    HttpHost,
    /// The target of a CONNECT request to a proxy.
    HttpConnect,
    /// The target of a SOCKS request to a proxy.
    Socks,
    /// A DNS answer that this host got for this address before.
    Dns,
    /// The first name of the server's certificate.
    TlsCertificate,
}

impl NameSource {
    /// Does the client say here, in clear text and unasked, whom it takes its peer for? Only then can
    /// that be compared with what DNS and certificate say.
    pub fn is_sni(self) -> bool {
        matches!(self, Self::TlsSni | Self::QuicSni | Self::DtlsSni)
    }

    /// Its word, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsSni => "tls-sni",
            Self::QuicSni => "quic-sni",
            Self::DtlsSni => "dtls-sni",
            Self::HttpHost => "http-host",
            Self::HttpConnect => "http-connect",
            Self::Socks => "socks",
            Self::Dns => "dns",
            Self::TlsCertificate => "tls-certificate",
        }
    }
}

/// Addresses that a host was answered for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Packet time of the answer.
    pub at: Timestamp,
    /// Who asked.
    pub host: Addr,
    /// What was asked for.
    pub name: Name,
    /// Names that it led to.
    pub aliases: Vec<Name>,
    /// The addresses, with how long they hold.
    pub addresses: Vec<(Addr, Duration)>,
}

/// Something learned from a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// All that is known of a flow by now; takes the place of what was told of it before. Shared, because who looks
    /// at the flow keeps it to tell more.
    Facts(FlowKey, Arc<Facts>),
    /// A DNS answer.
    Answer(Box<Answer>),
    /// A question to a DNS server.
    Query(Box<Query>),
    /// An ICMP echo, or its reply.
    Echo(Box<Echo>),
}
