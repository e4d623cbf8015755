//! What capture hands to decode: frames, in batches that own their bytes.

use crate::time::Timestamp;

/// The kind of link header a frame starts with (the `LINKTYPE_` registry of the tcpdump group).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a four-byte address family in the sender's byte order.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP, with or without its HDLC-like framing.
    pub const PPP: Self = Self(9);
    /// PPP in HDLC-like framing (RFC 1662).
    pub const PPP_HDLC: Self = Self(50);
    /// PPP over Ethernet, without the Ethernet header.
    pub const PPP_ETHER: Self = Self(51);
    /// Raw IP, version in the first nibble.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback: a four-byte address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture, version 1.
    pub const LINUX_SLL: Self = Self(113);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);
}

/// One captured frame. `bytes` may be shorter than the frame was: `wire_len` says how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When it was captured.
    pub at: Timestamp,
    /// How its bytes start.
    pub link: LinkType,
    /// Its length on the wire, in bytes.
    pub wire_len: u32,
    /// The captured bytes.
    pub bytes: &'a [u8],
}

/// A frame's place in its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// When it was captured.
    pub at: Timestamp,
    /// Where its bytes begin in the batch.
    pub start: u32,
    /// How many bytes were captured.
    pub captured_len: u32,
    /// How many bytes it had on the wire.
    pub wire_len: u32,
    /// How its bytes start.
    pub link: LinkType,
    /// By which of the source's interfaces it came; 0 where that is not told apart.
    pub port: u16,
}

/// A run of frames in capture order, with the bytes they point into.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// The storage; may hold more than the frames' own bytes (file headers, padding).
    pub bytes: Vec<u8>,
    /// The frames, each within `bytes`.
    pub heads: Vec<FrameHead>,
    /// How much attention they get.
    pub effort: Effort,
    /// Did no more wait when it was filled? Live: nobody need read on before these are judged.
    pub is_all: bool,
}

/// How much attention frames get: all, but live when too many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Are first bytes looked at?
    pub looks: bool,
    /// Frames that each of them stands for, those that were passed over; 1 or more.
    pub weight: u32,
}

impl Default for Effort {
    fn default() -> Self {
        Self { looks: true, weight: 1 }
    }
}

impl Batch {
    /// The frames in order.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = Frame<'_>> {
        self.heads.iter().map(|head| self.frame(*head))
    }

    /// The frame at `head`, which must be one of this batch's own.
    pub fn frame(&self, head: FrameHead) -> Frame<'_> {
        let start = head.start as usize;
        Frame {
            at: head.at,
            link: head.link,
            wire_len: head.wire_len,
            bytes: &self.bytes[start..start + head.captured_len as usize],
        }
    }

    /// Appends a copy of `frame`.
    pub fn push(&mut self, frame: Frame<'_>) {
        self.push_from(frame, 0);
    }

    /// Appends a copy of `frame`, which came by interface `port` of the source.
    pub fn push_from(&mut self, frame: Frame<'_>, port: u16) {
        self.heads.push(FrameHead {
            at: frame.at,
            start: u32::try_from(self.bytes.len()).expect("a batch stays far below 4 GiB"),
            captured_len: u32::try_from(frame.bytes.len()).expect("a frame is below 4 GiB"),
            wire_len: frame.wire_len,
            link: frame.link,
            port,
        });
        self.bytes.extend_from_slice(frame.bytes);
    }

    /// Makes this batch hold what `other` holds, in the storage it has.
    pub fn copy_from(&mut self, other: &Self) {
        self.bytes.clone_from(&other.bytes);
        self.heads.clone_from(&other.heads);
        self.effort = other.effort;
        self.is_all = other.is_all;
    }

    /// Empties the batch, keeping its storage.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.heads.clear();
        self.effort = Effort::default();
        self.is_all = false;
    }
}
