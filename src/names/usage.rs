//! How a flow is spoken: over what, on whose port, to whom by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::service::Service;

/// How a flow is spoken. There are few of these, so that each can be counted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Usage {
    /// The application protocol, by its first bytes.
    pub service: Service,
    /// Whose port it is on.
    pub port: PortOf,
    /// What the server is called.
    pub naming: Naming,
}

/// Whose a port is that something is spoken on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum PortOf {
    /// It is registered for that service.
    Own,
    /// It is registered for none that is known here.
    Nobody,
    /// It is registered for another.
    Another,
    /// It is that of DNS within TLS, DTLS or QUIC (RFC 7858, RFC 8094, RFC 9250).
    EncryptedDns,
}

/// What the server of a flow is called.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// The service has no names.
    None,
    /// By a name that nothing disagrees with.
    Named,
    /// By none: the client says none, the certificate shows none, and no resolver answered with the address.
    Nameless,
    /// By one that the resolver or the certificate disagrees with.
    Disputed,
}

impl Usage {
    /// Is it mail on its way, as far as can be told: SMTP, or TLS on the port of submission within it (RFC 8314)?
    pub fn is_mail(self, port: u16) -> bool {
        self.service == Service::Smtp || self.service == Service::Tls && port == SUBMISSIONS
    }
}

impl PortOf {
    /// Whose `port` is, for this service.
    pub fn of(service: Service, port: u16) -> Self {
        if port == ENCRYPTED_DNS && matches!(service, Service::Tls | Service::Dtls | Service::Quic)
        {
            Self::EncryptedDns
        } else if service == Service::FtpData || ports(service).contains(&port) {
            // Of a data connection any port was announced.
            Self::Own
        } else if Service::ALL.iter().any(|&other| ports(other).contains(&port)) {
            Self::Another
        } else {
            Self::Nobody
        }
    }
}

/// Ports that a service is registered for (IANA, Service Name and Transport Protocol Port Number Registry), and those of
/// WireGuard's documentation. Services within TLS have those of TLS.
fn ports(service: Service) -> &'static [u16] {
    match service {
        Service::Tls => {
            &[443, 465, 563, 636, 989, 990, 992, 993, 994, 995, 3269, 5061, 5223, 5349, 8443]
        }
        Service::Dtls => &[443, 5349, 5684],
        Service::Http | Service::Http2 => &[80, 591, 631, 8008, 8080],
        Service::Quic => &[443],
        Service::Socks => &[1080],
        Service::Ssh => &[22],
        Service::Ftp => &[21],
        Service::Smtp => &[25, 587],
        Service::Imap => &[143],
        Service::Pop3 => &[110],
        Service::Dns => &[53, 137, ENCRYPTED_DNS, 5353, 5355],
        Service::Ntp => &[123],
        Service::Smb => &[139, 445],
        Service::Rdp => &[3389],
        Service::Wireguard => &[51_820],
        Service::Openvpn => &[1194],
        Service::Stun | Service::Turn => &[3478],
        Service::Rtp => &[5004],
        Service::Bittorrent => &[6881],
        Service::Unknown | Service::FtpData => &[],
    }
}

const ENCRYPTED_DNS: u16 = 853;

const SUBMISSIONS: u16 = 465;

impl Service {
    /// Does the client say in clear text whom it wants, as a rule?
    pub(super) fn has_names(self) -> bool {
        matches!(self, Self::Tls | Self::Quic | Self::Dtls | Self::Http)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_whose_they_are() {
        for (service, port, whose) in [
            (Service::Tls, 443, PortOf::Own),
            (Service::Ssh, 443, PortOf::Another),
            (Service::Ssh, 22, PortOf::Own),
            (Service::Unknown, 443, PortOf::Another),
            (Service::Unknown, 31_337, PortOf::Nobody),
            (Service::Tls, 22, PortOf::Another),
            (Service::Tls, 853, PortOf::EncryptedDns),
            (Service::Ssh, 853, PortOf::Another),
            (Service::Tls, 9001, PortOf::Nobody),
            (Service::FtpData, 80, PortOf::Own),
        ] {
            assert_eq!(PortOf::of(service, port), whose, "{service:?} {port}");
        }
    }
}
