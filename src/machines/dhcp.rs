//! DHCP for IPv4 (RFC 2131, RFC 2132, RFC 4702).

use std::time::Duration;

use super::claim::Says;
use super::fqdn;
use super::mac::Mac;
use crate::names::Name;
use crate::net::Addr;

/// What a message says: of a server's acknowledgement the lease, of a client's messages its name.
///
/// Requests and offers bind nothing; a release is not taken, because everybody could send it for others:
/// leases run out.
pub(super) fn read(bytes: &[u8]) -> Option<Says> {
    let (head, rest) = bytes.split_first_chunk::<44>()?;
    let (op, hardware) = (head[0], *head[28..].first_chunk::<6>()?);
    if head[1..3] != ETHERNET {
        return None;
    }
    let mac = Mac::of(hardware)?;
    // Behind the names of server and boot file.
    let options = rest.get(192..)?.strip_prefix(&COOKIE)?;
    let options = Options::read(options)?;
    match (op, options.message?) {
        (REPLY, ACK) => {
            let yours = *head[16..].first_chunk::<4>()?;
            // The answer to INFORM gives no address.
            let lease = options.lease.filter(|_| yours != [0; 4])?;
            Some(Says::Bears { mac, addr: Addr::from_v4(yours), lease: Some(lease) })
        }
        (REQUEST, DISCOVER | REQUESTED | INFORM) => {
            Some(Says::Named(mac, Box::new(options.name.or(options.full_name)?)))
        }
        _ => None,
    }
}

#[derive(Debug, Default)]
struct Options {
    message: Option<u8>,
    lease: Option<Duration>,
    name: Option<Name>,
    full_name: Option<Name>,
}

impl Options {
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut options = Self::default();
        for _ in 0..OPTIONS_MAX {
            let (kind, rest) = match bytes {
                [] | [END, ..] => break,
                [PAD, rest @ ..] => {
                    bytes = rest;
                    continue;
                }
                [kind, rest @ ..] => (*kind, rest),
            };
            let (&len, rest) = rest.split_first()?;
            // Cut by the capture, or by the sender: what came before counts.
            let Some((value, rest)) = rest.split_at_checked(len.into()) else { break };
            match kind {
                MESSAGE => options.message = value.first().copied(),
                LEASE => {
                    let secs = value.first_chunk::<4>().map(|secs| u32::from_be_bytes(*secs));
                    options.lease = secs.map(|secs| Duration::from_secs(secs.into()));
                }
                HOST_NAME => options.name = Name::of(value),
                CLIENT_FQDN => options.full_name = fqdn::of_dhcp(value),
                _ => {}
            }
            bytes = rest;
        }
        Some(options)
    }
}

const ETHERNET: [u8; 2] = [1, 6];
const COOKIE: [u8; 4] = [99, 130, 83, 99];

const REQUEST: u8 = 1;
const REPLY: u8 = 2;

const PAD: u8 = 0;
const HOST_NAME: u8 = 12;
const CLIENT_FQDN: u8 = 81;
const LEASE: u8 = 51;
const MESSAGE: u8 = 53;
const END: u8 = 255;

const DISCOVER: u8 = 1;
const REQUESTED: u8 = 3;
const ACK: u8 = 5;
const INFORM: u8 = 8;

/// Options that are read, padding too.
const OPTIONS_MAX: usize = 512;
