//! No bytes panic the decoder, whatever they claim to be; and no segment says more than its frame.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sekisho::decode::{Segment, decode, outermost, plain_ends};
use sekisho::frame::{Frame, LinkType};
use sekisho::time::Timestamp;
use sekisho_fuzz::{first_frames, seed};

fuzz_target!(init: seed(|files| {
    let input = |frame: Frame<'_>| {
        let cut = frame.wire_len.saturating_sub(frame.bytes.len() as u32).min(65_535) as u16;
        [&frame.link.0.to_le_bytes()[..], &cut.to_le_bytes(), frame.bytes].concat()
    };
    let batches = files.iter().map(|file| first_frames(file, 40));
    batches.flat_map(|batch| batch.frames().map(input).collect::<Vec<_>>()).collect()
}), |input: (u16, u16, &[u8])| {
    let (link, cut, bytes) = input;
    let captured = u32::try_from(bytes.len()).expect("inputs are small");
    let wire_len = captured + u32::from(cut);
    // The known link types have small numbers; the rest must be refused all the same.
    let frame = Frame { at: Timestamp::EPOCH, link: LinkType(link % 300), wire_len, bytes };
    let (inner, outer) = (decode(&frame), outermost(&frame));
    assert_eq!(inner.is_ok(), outer.is_ok(), "a tunnel that cannot be opened is still its own flow");
    if let Some(ends) = plain_ends(&frame) {
        let inner = inner.as_ref().expect("a plain packet is sound");
        assert_eq!((inner.source.addr, inner.destination.addr), ends, "a glance tells what is found");
        assert!(inner.tunnel.is_none(), "a plain packet holds no other");
    }
    for segment in inner.iter().chain(&outer) {
        check(segment, bytes, wire_len);
    }
    if let (Ok(inner), Ok(outer)) = (inner, outer) {
        assert!(outer.tunnel.is_none(), "nothing was opened");
        assert!(inner.tunnel.is_some() || inner == outer, "without a tunnel they are the same");
    }
});

fn check(segment: &Segment<'_>, bytes: &[u8], wire_len: u32) {
    let captured = bytes.as_ptr_range();
    for part in [segment.payload(), segment.transport] {
        let part = part.as_ptr_range();
        let is_within = captured.start <= part.start && part.end <= captured.end;
        assert!(part.is_empty() || is_within, "bytes from outside the frame");
    }
    assert!(
        segment.payload().len() <= segment.payload_len as usize,
        "more captured than there was"
    );
    assert!(segment.payload_len <= segment.ip_len, "more payload than packet");
    assert!(segment.ip_len <= wire_len, "more packet than frame");
    if let Some(tcp) = segment.tcp {
        assert!((20..=60).contains(&tcp.header_len) && segment.tcp_options().len() <= 40);
    }
}
