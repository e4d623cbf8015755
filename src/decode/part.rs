//! A run of a frame's bytes, with the two lengths that must not be mixed.

use super::reject::{Layer, Reject};
use crate::frame::Frame;

/// Bytes still to be read: how many there were on the wire, and those of them that were captured.
///
/// Never more captured than on the wire. Everything that is counted comes from `len`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) captured: &'a [u8],
    pub(super) len: u32,
}

impl<'a> Part<'a> {
    /// The whole frame. A recorded wire length below the captured length is a broken record: the
    /// bytes are there, so they count.
    #[inline]
    pub(super) fn of(frame: &Frame<'a>) -> Self {
        let captured_len = u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX);
        Self { captured: frame.bytes, len: frame.wire_len.max(captured_len) }
    }

    /// The first `N` bytes and the rest; `None` unless all `N` were captured.
    #[inline]
    pub(super) fn take<const N: usize>(self) -> Option<(&'a [u8; N], Self)> {
        let (head, captured) = self.captured.split_first_chunk::<N>()?;
        Some((head, Self { captured, len: self.len - N as u32 }))
    }

    /// The first `N` bytes and the rest, or whether the capture or the sender cut them off.
    #[inline]
    pub(super) fn split<const N: usize>(self, layer: Layer) -> Result<(&'a [u8; N], Self), Reject> {
        self.take().ok_or(if (self.len as usize) < N {
            Reject::BadHeader(layer)
        } else {
            Reject::Truncated(layer)
        })
    }

    /// What follows the first `count` bytes, captured or not; `None` if the wire had fewer.
    #[inline]
    pub(super) fn skip(self, count: u32) -> Option<Self> {
        let len = self.len.checked_sub(count)?;
        Some(Self { captured: self.captured.get(count as usize..).unwrap_or_default(), len })
    }

    /// What follows the first `count` bytes; empty if the wire had fewer.
    #[inline]
    pub(super) fn skip_up_to(self, count: u32) -> Self {
        self.skip(count).unwrap_or(Self { captured: &[], len: 0 })
    }

    /// At most the first `count` bytes.
    #[inline]
    pub(super) fn limit(self, count: u32) -> Self {
        let captured = self.captured.get(..count as usize).unwrap_or(self.captured);
        Self { captured, len: self.len.min(count) }
    }
}
