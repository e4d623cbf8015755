//! Hand-built frames, and what must hold for all of them.

mod frames;
mod laws;
mod layers;
mod oracles;

use super::*;
use crate::frame::LinkType;
use crate::time::Timestamp;

/// Decodes a frame of which only the first `captured` bytes were kept.
fn cut(link: LinkType, bytes: &[u8], captured: usize) -> Result<Segment<'_>, Reject> {
    let wire_len = u32::try_from(bytes.len()).unwrap();
    decode(&Frame { at: Timestamp::EPOCH, link, wire_len, bytes: &bytes[..captured] })
}

fn whole(link: LinkType, bytes: &[u8]) -> Result<Segment<'_>, Reject> {
    cut(link, bytes, bytes.len())
}

fn eth(bytes: &[u8]) -> Segment<'_> {
    whole(LinkType::ETHERNET, bytes).unwrap()
}

fn addr(text: &str) -> Addr {
    text.parse::<std::net::IpAddr>().unwrap().into()
}
