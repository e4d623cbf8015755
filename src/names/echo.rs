//! ICMP echoes (RFC 792, RFC 4443): how much of what they carry is not what programs that ping put there.

use std::hash::{DefaultHasher, Hasher};

use super::query::Told;
use crate::decode::Segment;
use crate::flow::{FlowKey, Sender};
use crate::net::Protocol;
use crate::time::Timestamp;

/// An echo request, or the reply to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// Packet time.
    pub at: Timestamp,
    /// The flow that it came on.
    pub flow: FlowKey,
    /// The end that sent it.
    pub sender: Sender,
    /// Is it the reply?
    pub is_reply: bool,
    /// Bytes of its data.
    pub bytes: u32,
    /// What its data tell, behind the first [`Echo::STAMP`] bytes.
    pub data: Told,
}

impl Echo {
    /// Bytes at the beginning of the data in which programs keep time and count: 16 in ping of Linux, 8 in
    /// that of BSD and macOS, 24 in fping.
    pub const STAMP: usize = 24;

    /// Reads a message of this flow; `None` of any other kind of ICMP.
    pub fn of(at: Timestamp, segment: &Segment<'_>, flow: FlowKey, sender: Sender) -> Option<Self> {
        let [kind, 0, ..] = segment.transport.first_chunk::<HEADER>()? else { return None };
        let is_reply = match (segment.protocol, kind) {
            (Protocol::ICMP, 8) | (Protocol::ICMPV6, 128) => false,
            (Protocol::ICMP, 0) | (Protocol::ICMPV6, 129) => true,
            _ => return None,
        };
        let (data, len) = (segment.payload(), segment.payload_len as usize);
        let data =
            if data.len() < len { told_by_checksum(segment.transport, len) } else { told_by(data) };
        Some(Self { at, flow, sender, is_reply, bytes: len as u32, data })
    }
}

/// What data tell that are there: all bytes behind the stamp that do not repeat the one before, or go on
/// from it by one, as the patterns do that programs fill echoes with.
fn told_by(data: &[u8]) -> Told {
    let behind = data.get(Echo::STAMP..).unwrap_or_default();
    let before = data.get(Echo::STAMP - 1..).unwrap_or_default();
    let news = before.iter().zip(behind).filter(|(last, byte)| byte.wrapping_sub(**last) > 1);
    let mut hasher = DefaultHasher::new();
    hasher.write(behind);
    Told { digest: hasher.finish(), bits: news.count() as u32 * 8 }
}

/// What data tell of which the capture has only the beginning: whether they differ is seen by the checksum,
/// less the part that is there. Data of the length that programs send unasked, of which not even the stamp is
/// there to be left out, are taken for a ping's.
fn told_by_checksum(captured: &[u8], len: usize) -> Told {
    let has_stamp = captured.len() >= HEADER + Echo::STAMP;
    if len <= Echo::STAMP || !has_stamp && len <= PINGED {
        return Told::default();
    }
    let seen = &captured[..if has_stamp { HEADER + Echo::STAMP } else { HEADER }];
    // RFC 1071: the sum of all words is zero, in ones' complement; so the rest is minus what is seen.
    let words = seen.as_chunks::<2>().0.iter().map(|word| u64::from(u16::from_be_bytes(*word)));
    let rest = words.sum::<u64>() % 0xffff;
    Told { digest: rest << 32 | len as u64, bits: (len - Echo::STAMP) as u32 * 8 }
}

/// Bytes of the header that the sender's data stand behind.
const HEADER: usize = 8;

/// The most that programs send unasked: 56 bytes in ping, 64 and 68 where monitors add to it.
const PINGED: usize = 68;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The data of `ping` on Linux, sent at some time, and with any pattern behind.
    fn ping(stamp: u64, behind: &[u8]) -> Vec<u8> {
        [&stamp.to_le_bytes(), &(stamp ^ 0x5a5a).to_le_bytes(), behind].concat()
    }

    /// An echo as it is on the wire, with its checksum.
    fn message(number: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = [&[8, 0, 0, 0, 0x12, 0x34][..], &number.to_be_bytes(), data].concat();
        let mut padded = bytes.clone();
        padded.resize(bytes.len().next_multiple_of(2), 0);
        let words = padded.as_chunks::<2>().0.iter();
        let sum = words.map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>() % 0xffff;
        bytes[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        bytes
    }

    /// What everybody pings with tells nothing, at any time, in any length.
    #[test]
    fn pings_tell_nothing() {
        let counting: Vec<u8> = (16..=55).collect();
        assert_eq!(told_by(&ping(7, &counting)).bits, 0);
        assert_eq!(told_by(&ping(7, &counting)), told_by(&ping(8, &counting)));
        assert_eq!(told_by(b"abcdefghijklmnopqrstuvwabcdefghi").bits, 0);
        assert_eq!(told_by(&[0; 1472]).bits, 0);
        assert_eq!(told_by(&[]).bits, 0);
    }

    #[test]
    fn what_is_carried_tells_nearly_all_of_it() {
        let text =
            b"contents of a table of customers, row by row, as an archive would hold them......";
        let carried = ping(7, &[&[0; 8][..], text].concat());
        assert!(told_by(&carried).bits as usize > text.len() * 6);
    }

    proptest! {
        /// A capture cut behind the stamp, or behind the header, still tells messages of other data apart,
        /// and those of the same data alike.
        #[test]
        fn a_cut_echo_is_known_by_its_checksum(
            data in prop::collection::vec(any::<u8>(), 100..300),
            numbers: (u16, u16), change in 24usize..100, by in 1u8..,
        ) {
            let told = |number, data: &[u8], len: usize| {
                told_by_checksum(&message(number, data)[..len], data.len())
            };
            let mut other = data.clone();
            other[change] = other[change].wrapping_add(by);
            for cut in [HEADER, HEADER + Echo::STAMP] {
                let first = told(numbers.0, &data, cut);
                prop_assert_eq!(first, told(numbers.1, &data, cut));
                prop_assert_ne!(first.digest, told(numbers.0, &other, cut).digest);
                prop_assert_eq!(first.bits as usize, (data.len() - Echo::STAMP) * 8);
            }
        }
    }
}
