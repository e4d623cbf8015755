//! Traffic as a capture file.

use std::convert::Infallible;
use std::io::{self, Write};

use crate::capture::{Polled, Source};
use crate::frame::{Batch, LinkType};

/// Writes all of `traffic` as a pcap file with nanoseconds, little-endian; answers how many packets.
///
/// # Errors
/// When `out` takes no more.
pub fn write_pcap(
    traffic: &mut impl Source<Error = Infallible>,
    out: &mut impl Write,
) -> io::Result<u64> {
    let mut header = Vec::new();
    for word in [0xa1b2_3c4d, 4 << 16 | 2, 0, 0, SNAP_LEN, u32::from(LinkType::ETHERNET.0)] {
        header.extend(u32::to_le_bytes(word));
    }
    out.write_all(&header)?;
    let (mut batch, mut records, mut packets) = (Batch::default(), Vec::new(), 0);
    loop {
        batch.clear();
        let Ok(polled) = traffic.poll(&mut batch);
        if polled == Polled::End {
            return Ok(packets);
        }
        records.clear();
        for frame in batch.frames() {
            let nanos = frame.at.as_nanos() % 1_000_000_000;
            let captured = frame.bytes.len() as u32;
            for word in [frame.at.as_secs() as u32, nanos as u32, captured, frame.wire_len] {
                records.extend(word.to_le_bytes());
            }
            records.extend_from_slice(frame.bytes);
            packets += 1;
        }
        out.write_all(&records)?;
    }
}

/// The most bytes that a frame may have.
const SNAP_LEN: u32 = 65_535;
