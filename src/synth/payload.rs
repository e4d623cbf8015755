//! First bytes by which a program can tell what a conversation is.

use std::net::IpAddr;

use crate::time::Timestamp;

/// The name of server `number`, under a domain that nobody can own (RFC 6761).
pub(super) fn name(number: u32) -> String {
    format!("s{number}.cloud{}.example", number % 97)
}

/// A TLS ClientHello with a server name (RFC 8446, RFC 6066).
pub(super) fn client_hello(name: &str, random: u64) -> Vec<u8> {
    let mut extensions = Vec::new();
    block(&mut extensions, &[0, 0], |out| {
        sized(out, |out| {
            out.push(0);
            sized(out, |out| out.extend(name.as_bytes()));
        });
    });
    block(&mut extensions, &[0, 10], |out| sized(out, |out| out.extend([0, 29])));
    block(&mut extensions, &[0, 16], |out| sized(out, |out| out.extend(b"\x02h2")));
    let mut hello = hello(random);
    hello.push(0);
    sized(&mut hello, |out| out.extend([0x13, 1, 0x13, 2, 0xc0, 0x2f]));
    hello.extend([1, 0]);
    sized(&mut hello, |out| out.extend(&extensions));
    handshake(1, &hello)
}

/// A TLS ServerHello.
pub(super) fn server_hello(random: u64) -> Vec<u8> {
    let mut hello = hello(random);
    hello.extend([0, 0x13, 1, 0]);
    handshake(2, &hello)
}

/// The header of a TLS record that carries `len` encrypted bytes, itself included.
pub(super) fn tls_record(len: usize) -> Vec<u8> {
    let mut record = vec![0x17, 3, 3];
    record.extend((len.saturating_sub(5) as u16).to_be_bytes());
    record.truncate(len);
    record
}

/// A DNS question for the address of `name`, or the answer to it.
pub(super) fn dns(id: u16, name: &str, address: IpAddr, is_answer: bool) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend(if is_answer { [0x81, 0x80] } else { [1, 0] });
    out.extend([0, 1, 0, u8::from(is_answer), 0, 0, 0, 0]);
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    let kind = if address.is_ipv4() { DNS_A } else { DNS_AAAA };
    out.extend([0, 0, kind, 0, 1]);
    if is_answer {
        out.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 1, 0x2c, 0]);
        match address {
            IpAddr::V4(v4) => sized_by_one(&mut out, &v4.octets()),
            IpAddr::V6(v6) => sized_by_one(&mut out, &v6.octets()),
        }
    }
    out
}

fn sized_by_one(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend(bytes);
}

/// What a proxy is asked, to reach a server (RFC 9110, section 9.3.6).
pub(super) fn connect(name: &str) -> Vec<u8> {
    format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n").into_bytes()
}

/// The data of a ping as Linux sends it: the time, and bytes that count up.
pub(super) fn ping(at: Timestamp) -> Vec<u8> {
    let micros = at.as_nanos() % 1_000_000_000 / 1000;
    let stamp = [at.as_secs().to_le_bytes(), micros.to_le_bytes()];
    stamp.into_iter().flatten().chain(16..56).collect()
}

pub(super) fn http_request(name: &str, number: u64) -> Vec<u8> {
    format!("GET /{number} HTTP/1.1\r\nHost: {name}\r\nAccept: */*\r\n\r\n").into_bytes()
}

pub(super) fn http_answer(len: u64) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").into_bytes()
}

/// The header of an encrypted SMB 3 message of `len` bytes, in its NetBIOS session (MS-SMB2 2.2.41).
pub(super) fn smb(len: usize, random: u64) -> Vec<u8> {
    let mut out = (len.saturating_sub(4) as u32 & 0x00ff_ffff).to_be_bytes().to_vec();
    out.extend(b"\xfdSMB");
    for word in 0..4 {
        out.extend(super::random::scramble(random.wrapping_add(word)).to_be_bytes());
    }
    out.extend((len.saturating_sub(SMB_HEADERS) as u32).to_le_bytes());
    out.extend([0, 0, 1, 0]);
    out.extend(random.to_le_bytes());
    out
}

fn hello(random: u64) -> Vec<u8> {
    let mut hello = vec![3, 3];
    for word in 0..4 {
        hello.extend(super::random::scramble(random.wrapping_add(word)).to_be_bytes());
    }
    hello
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    block(&mut out, &[0x16, 3, 1], |out| block(out, &[kind, 0], |out| out.extend(body)));
    out
}

/// `head`, a length in two bytes, and that many bytes.
fn block(out: &mut Vec<u8>, head: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
    out.extend(head);
    sized(out, write);
}

fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend([0, 0]);
    write(out);
    let len = (out.len() - at - 2) as u16;
    out[at..at + 2].copy_from_slice(&len.to_be_bytes());
}

const DNS_A: u8 = 1;
const DNS_AAAA: u8 = 28;

/// Of the session and of the encrypted message.
const SMB_HEADERS: usize = 4 + 52;
