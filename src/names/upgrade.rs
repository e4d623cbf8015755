//! Where TLS begins within another protocol: STARTTLS and its like.

use super::service::Service;

/// Whether and where a client goes over to TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// Its hello begins at this byte of its stream.
    At(usize),
    /// It has gone on without.
    Never,
    /// That will be known when its stream has so many bytes.
    Wants(usize),
}

/// Reads what a client of `service` said so far.
///
/// SMTP: RFC 3207. IMAP and POP3: RFC 2595. FTP: RFC 4217. RDP: MS-RDPBCGR, section 5.4.2, behind its
/// first packet.
pub(super) fn of_client(service: Service, bytes: &[u8]) -> Upgrade {
    if service == Service::Rdp {
        return match bytes {
            [3, 0, high, low, ..] => Upgrade::At(usize::from(u16::from_be_bytes([*high, *low]))),
            _ => Upgrade::Wants(4),
        };
    }
    let mut at = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        at += line.len();
        if !line.ends_with(b"\n") {
            break;
        }
        let mut words = line.trim_ascii_end().split(|&byte| byte == b' ');
        let first = words.next().unwrap_or_default();
        let second = words.next().unwrap_or_default();
        let is = |word: &[u8], known: &[&[u8]]| {
            known.iter().any(|known| word.eq_ignore_ascii_case(known))
        };
        let (starts, goes_on) = match service {
            Service::Smtp => {
                (is(first, &[b"STARTTLS"]), is(first, &[b"MAIL", b"AUTH", b"DATA", b"QUIT"]))
            }
            Service::Imap => {
                (is(second, &[b"STARTTLS"]), is(second, &[b"LOGIN", b"AUTHENTICATE", b"SELECT"]))
            }
            Service::Pop3 => (is(first, &[b"STLS"]), is(first, &[b"USER", b"APOP", b"AUTH"])),
            Service::Ftp => (
                is(first, &[b"AUTH"]) && is(second, &[b"TLS", b"SSL", b"TLS-C"]),
                is(first, &[b"USER"]),
            ),
            _ => return Upgrade::Never,
        };
        if starts {
            return Upgrade::At(at);
        }
        if goes_on {
            return Upgrade::Never;
        }
    }
    Upgrade::Wants(bytes.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_tls_begins() {
        for (service, said, upgrade) in [
            (Service::Smtp, &b"EHLO a\r\nstarttls\r\n"[..], Upgrade::At(18)),
            (Service::Smtp, b"EHLO a\r\nMAIL FROM:<STARTTLS>\r\nSTARTTLS\r\n", Upgrade::Never),
            (Service::Smtp, b"EHLO a\r\nSTART", Upgrade::Wants(14)),
            (Service::Imap, b"a1 CAPABILITY\r\na2 STARTTLS\r\n", Upgrade::At(28)),
            (Service::Imap, b"a1 LOGIN me pw\r\n", Upgrade::Never),
            (Service::Pop3, b"STLS\r\n", Upgrade::At(6)),
            (Service::Ftp, b"AUTH TLS\r\n", Upgrade::At(10)),
            (Service::Ftp, b"USER me\r\n", Upgrade::Never),
            (Service::Rdp, b"\x03\x00\x00\x13", Upgrade::At(19)),
        ] {
            assert_eq!(of_client(service, said), upgrade, "{said:?}");
        }
    }
}
