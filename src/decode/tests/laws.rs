//! What holds for every frame, however cut, forged or random.

use proptest::prelude::*;

use super::frames::{PAYLOAD, PORTS, zoo};
use super::*;

/// The numbers that must come from the wire alone.
fn key(segment: &Segment<'_>) -> (Endpoint, Endpoint, Protocol, Option<Tunnel>, u32) {
    (segment.source, segment.destination, segment.protocol, segment.tunnel, segment.ip_len)
}

/// Nothing a frame says may count more than the frame brought.
fn check_bounds(frame: &Frame<'_>) -> Result<(), TestCaseError> {
    let brought = frame.wire_len.max(frame.bytes.len() as u32);
    let opened = decode(frame);
    if let Ok(segment) = opened {
        prop_assert!(segment.ip_len <= brought);
        prop_assert!(segment.payload_len <= segment.ip_len);
        prop_assert!(segment.payload().len() <= segment.payload_len as usize);
        prop_assert!(segment.tcp.is_none() || segment.protocol == Protocol::TCP);
    }
    if let Some(ends) = plain_ends(frame) {
        prop_assert_eq!(
            opened.map(|segment| (segment.source.addr, segment.destination.addr)),
            Ok(ends)
        );
        prop_assert_eq!(opened, outermost(frame));
    }
    let closed = outermost(frame);
    prop_assert_eq!(opened.err(), closed.err());
    if let (Ok(inner), Ok(outer)) = (opened, closed) {
        prop_assert!(outer.tunnel.is_none());
        prop_assert!(inner.ip_len <= outer.ip_len);
        if let Some(tunnel) = inner.tunnel {
            prop_assert_eq!(
                (tunnel.source, tunnel.destination),
                (outer.source.addr, outer.destination.addr)
            );
        }
    }
    Ok(())
}

fn frame(link: LinkType, wire_len: usize, bytes: &[u8]) -> Frame<'_> {
    Frame { at: Timestamp::EPOCH, link, wire_len: u32::try_from(wire_len).unwrap(), bytes }
}

/// A sensor that keeps 64 bytes of each frame must report what one that keeps them all does.
#[test]
fn snap_length_changes_nothing() {
    for (name, link, bytes) in zoo() {
        let full = whole(link, &bytes).unwrap();
        let ports_end = bytes.len() - bytes.windows(4).rev().position(|at| at == PORTS).unwrap();
        for captured in ports_end..bytes.len() {
            let part = cut(link, &bytes, captured).unwrap();
            assert_eq!(key(&part), key(&full), "{name}, {captured} bytes");
            let header_known = full.protocol == Protocol::UDP || captured >= ports_end + 9;
            if header_known || full.tcp_options().is_empty() {
                assert_eq!(part.payload_len, full.payload_len, "{name}, {captured} bytes");
            }
            if let (Some(part), Some(full)) = (part.tcp, full.tcp) {
                assert_eq!((part.seq, part.ack, part.flags), (full.seq, full.ack, full.flags));
            }
            assert!(full.tcp_options().starts_with(part.tcp_options()));
            assert!(PAYLOAD.starts_with(part.payload()), "{name}, {captured} bytes");
        }
    }
}

/// What most packets are, a glance tells; and of no other that it knows.
#[test]
fn plain_packets_have_plain_ends() {
    let plain = zoo().into_iter().filter_map(|(name, link, bytes)| {
        plain_ends(&frame(link, bytes.len(), &bytes)).map(|_| name)
    });
    let expected = ["ipv4 tcp", "ipv4 udp", "ipv4 offloaded", "ipv6 udp"];
    assert_eq!(plain.collect::<Vec<_>>(), expected);
}

/// A cut anywhere in any header is read to there, or named; and never counts more than the whole.
#[test]
fn every_truncation_is_bounded() {
    for (name, link, bytes) in zoo() {
        for captured in 0..=bytes.len() {
            let kept = &bytes[..captured];
            check_bounds(&frame(link, bytes.len(), kept)).unwrap();
            // The same bytes as a short frame, which is a lie of its headers.
            check_bounds(&frame(link, captured, kept)).unwrap();
            if let Err(reject) = cut(link, &bytes, captured) {
                let truncated = matches!(reject, Reject::Truncated(_));
                assert!(truncated, "{name}, {captured} bytes: {reject:?}");
            }
        }
    }
}

/// Bytes behind the packet (padding, a checksum) are the link's, not the flow's.
#[test]
fn padding_does_not_count() {
    for (name, link, bytes) in zoo() {
        if name == "ipv4 offloaded" {
            continue;
        }
        let padded = [&bytes[..], &[0; 30]].concat();
        let (full, padded) = (whole(link, &bytes).unwrap(), whole(link, &padded).unwrap());
        assert_eq!(key(&padded), key(&full), "{name}");
        assert_eq!(padded.payload(), full.payload(), "{name}");
    }
}

fn any_link() -> impl Strategy<Value = LinkType> {
    let links = [0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 107, 108, 113, 127, 228, 229, 239, 276];
    proptest::sample::select(links.to_vec()).prop_map(LinkType)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn random_bytes_are_bounded(
        link in any_link(),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        wire_len in 0usize..70_000,
    ) {
        check_bounds(&frame(link, wire_len, &bytes))?;
    }

    /// Random bytes seldom get past the first header; real frames with a few bytes changed do.
    #[test]
    fn damaged_frames_are_bounded(
        which in any::<proptest::sample::Index>(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        captured in any::<proptest::sample::Index>(),
        wire_len in 0usize..3000,
    ) {
        let zoo = zoo();
        let (_, link, mut bytes) = which.get(&zoo).clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check_bounds(&frame(link, wire_len, &bytes[..=captured.index(bytes.len())]))?;
        check_bounds(&frame(link, bytes.len(), &bytes))?;
    }
}
