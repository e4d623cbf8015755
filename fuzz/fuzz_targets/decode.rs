//! No bytes panic the decoder, whatever they claim to be; and no segment says more than its frame.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sekisho::decode::decode;
use sekisho::frame::{Frame, LinkType};
use sekisho::time::Timestamp;

fuzz_target!(|input: (u16, u16, &[u8])| {
    let (link, cut, bytes) = input;
    let captured = u32::try_from(bytes.len()).expect("inputs are small");
    let frame = Frame {
        at: Timestamp::EPOCH,
        // The known link types have small numbers; the rest must be refused all the same.
        link: LinkType(link % 300),
        wire_len: captured + u32::from(cut),
        bytes,
    };
    if let Ok(segment) = decode(&frame) {
        let captured = bytes.as_ptr_range();
        let payload = segment.payload().as_ptr_range();
        assert!(
            segment.payload().is_empty()
                || captured.start <= payload.start && payload.end <= captured.end,
            "payload from outside the frame"
        );
        assert!(segment.payload_len <= segment.ip_len, "more payload than packet");
    }
});
