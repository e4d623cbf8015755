//! What this machine takes at least: the same files read without looking, and by libpcap's own loop.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::PathBuf;

use super::clock::{Spent, timed};
use super::error::BenchError;
use crate::capture::error::CaptureError;

/// Reads all files in chunks of 1 MiB and touches every cache line; answers how many bytes there are.
pub(super) fn bare_read(files: &[PathBuf]) -> Result<(u64, Spent), BenchError> {
    let (outcome, spent) = timed(|| {
        let (mut chunk, mut bytes, mut sum) = (vec![0; CHUNK], 0, 0_u64);
        for path in files {
            let unreadable = |source| CaptureError::Unreadable { path: path.clone(), source };
            let mut file = File::open(path).map_err(unreadable)?;
            loop {
                let len = file.read(&mut chunk).map_err(unreadable)?;
                if len == 0 {
                    break;
                }
                bytes += len as u64;
                sum += chunk[..len].iter().step_by(LINE).map(|&byte| u64::from(byte)).sum::<u64>();
            }
        }
        black_box(sum);
        Ok::<_, BenchError>(bytes)
    });
    Ok((outcome?, spent))
}

/// Counts packets and bytes with libpcap's loop; `None` when it cannot read the files, as when they
/// are compressed.
pub(super) fn libpcap_loop(files: &[PathBuf]) -> Option<(u64, Spent)> {
    let (packets, spent) = timed(|| {
        let (mut packets, mut bytes) = (0, 0);
        for path in files {
            let mut capture = pcap::Capture::from_file(path).ok()?;
            let whole = capture.for_each(None, |packet| {
                packets += 1;
                bytes += u64::from(packet.header.len);
            });
            whole.ok()?;
        }
        black_box(bytes);
        Some(packets)
    });
    Some((packets?, spent))
}

const CHUNK: usize = 1 << 20;
const LINE: usize = 64;
