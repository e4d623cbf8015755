//! What is normal for a host, in words that a person can sign.

use std::io::{self, Write};

use crate::alert::bytes_text;
use crate::baseline::Profile;

/// What would happen to an upload that was tried on a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    /// Bytes of the upload.
    pub bytes: u64,
    /// Bytes that would have left when it was told of; `None` where it would not be.
    pub left: Option<u64>,
}

/// Writes a host's profile, and what would be seen of uploads.
///
/// # Errors
/// When it cannot be written.
pub fn write_profile(
    to: &mut impl Write,
    profile: &Profile,
    projections: &[Projection],
) -> io::Result<()> {
    let Profile { host, days, first_day, last_day, destinations, .. } = profile;
    writeln!(
        to,
        "{host}: {days} {} with traffic to the outside, {first_day} to {last_day}",
        if *days == 1 { "day" } else { "days" }
    )?;
    if let Some((least, most)) = profile.busiest_hour() {
        writeln!(
            to,
            "  Normally sends {} to {} in the busiest hour of a day, and knows {} {}.",
            bytes_text(least),
            bytes_text(most),
            destinations.len(),
            if destinations.len() == 1 { "destination" } else { "destinations" },
        )?;
    }
    if let Some(largest) = profile.largest() {
        writeln!(
            to,
            "  Largest: {} in a day to {}, on {}.",
            bytes_text(largest.largest),
            largest.key,
            largest.largest_day
        )?;
    }
    for Projection { bytes, left } in projections {
        let bytes = bytes_text(*bytes);
        match left {
            Some(left) => writeln!(
                to,
                "  An upload of {bytes} to a stranger would be reported after about {}.",
                bytes_text(*left)
            )?,
            None => writeln!(to, "  An upload of {bytes} to a stranger would not be reported.")?,
        }
    }
    if !destinations.is_empty() {
        writeln!(to, "  Sends to:")?;
    }
    for known in destinations {
        let mut usual = known.bytes.clone();
        usual.sort_unstable();
        let median = usual.get(usual.len() / 2).copied().unwrap_or(0);
        writeln!(
            to,
            "    {:<40} {:>8} on a usual day, at most {:>8}; {} to {}; {} here",
            known.key,
            bytes_text(median),
            bytes_text(known.largest),
            known.first_day,
            known.last_day,
            if known.hosts == 1 { "1 host".to_owned() } else { format!("{} hosts", known.hosts) },
        )?;
    }
    Ok(())
}
