//! Data connections that an FTP control connection announces (RFC 959, RFC 2428).

use std::net::{IpAddr, Ipv4Addr};

use crate::net::{Addr, Endpoint};

/// An end that a data connection will have.
///
/// `own` is the address of the end that sent the line: the extended reply names a port alone.
pub(super) fn announced(line: &[u8], own: Addr) -> Option<Endpoint> {
    let line = str::from_utf8(line.get(..LINE_MAX).unwrap_or(line)).ok()?.trim_ascii();
    let (word, rest) = line.split_once(' ')?;
    match word.to_ascii_uppercase().as_str() {
        "227" => {
            let numbers = rest.find(|c: char| c.is_ascii_digit())?;
            plain(rest.get(numbers..)?, Some(own))
        }
        "PORT" => plain(rest, None),
        "229" => {
            let inside = rest.split_once('(')?.1.split_once(')')?.0;
            extended(inside, Some(own))
        }
        "EPRT" => extended(rest, None),
        _ => None,
    }
}

/// `h1,h2,h3,h4,p1,p2`. A server behind a translator of addresses names one that only it knows; clients
/// then go to the one they know, and `instead` is that.
fn plain(text: &str, instead: Option<Addr>) -> Option<Endpoint> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(text.len());
    let mut numbers = text[..end].split(',').map(|number| number.parse::<u8>().ok());
    let mut next = || numbers.next().flatten();
    let addr = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    let port = u16::from_be_bytes([next()?, next()?]);
    Some(Endpoint { addr: instead.unwrap_or(addr.into()), port })
}

/// `|protocol|address|port|`, with any delimiter; a reply leaves out the first two.
fn extended(text: &str, own: Option<Addr>) -> Option<Endpoint> {
    let delimiter = text.chars().next()?;
    let mut fields = text[delimiter.len_utf8()..].split(delimiter);
    let (_, addr, port) = (fields.next()?, fields.next()?, fields.next()?);
    let addr = match own {
        Some(own) => own,
        None => addr.parse::<IpAddr>().ok()?.into(),
    };
    Some(Endpoint { addr, port: port.parse().ok()? })
}

/// Longest line that is read.
const LINE_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn four_ways_to_announce() {
        let own = Addr::from_v4([198, 51, 100, 7]);
        let end = |addr: &str, port| {
            Some(Endpoint { addr: addr.parse::<IpAddr>().unwrap().into(), port })
        };
        for (line, announcement) in [
            ("227 Entering Passive Mode (198,51,100,7,195,80).", end("198.51.100.7", 50_000)),
            ("227 Entering Passive Mode (10,0,0,1,195,80)", end("198.51.100.7", 50_000)),
            ("227 =198,51,100,7,195,80", end("198.51.100.7", 50_000)),
            ("PORT 10,0,0,1,4,1", end("10.0.0.1", 1025)),
            ("229 Entering Extended Passive Mode (|||50001|)", end("198.51.100.7", 50_001)),
            ("EPRT |2|2001:db8::1|5282|", end("2001:db8::1", 5282)),
            ("eprt !1!10.0.0.1!5282!", end("10.0.0.1", 5282)),
            ("227 Entering Passive Mode (1,2,3,4,256,1)", None),
            ("PORT 1,2,3,4,5", None),
            ("229 (|||70000|)", None),
            ("RETR x", None),
        ] {
            assert_eq!(announced(line.as_bytes(), own), announcement, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(rest in "\\PC{0,40}", word in "(227|229|PORT|EPRT)") {
            let own = Addr::from_v4([198, 51, 100, 7]);
            let _ = announced(format!("{word} {rest}").as_bytes(), own);
        }
    }
}
