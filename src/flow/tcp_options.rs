//! The TCP options that the counting needs.

use smallvec::SmallVec;

use crate::decode::Segment;

/// The window scale of a SYN, at most 14 (RFC 7323): 0 when it has none, `None` when the capture cut
/// the options off before it.
pub(super) fn window_scale(syn: &Segment<'_>) -> Option<u8> {
    let tcp = syn.tcp.as_ref()?;
    let is_whole = syn.header_len >= u16::from(tcp.header_len);
    let mut scale = is_whole.then_some(0);
    each_option(syn.tcp_options(), |kind, value| {
        if let (WINDOW_SCALE, &[shift]) = (kind, value) {
            scale = Some(shift.min(14));
        }
    });
    scale
}

/// The blocks of a SACK option, as sequence numbers (RFC 2018).
pub(super) fn sack_blocks(options: &[u8]) -> SmallVec<[(u32, u32); 4]> {
    let mut blocks = SmallVec::new();
    // Without room for one block, as in nearly every segment, there is nothing to walk.
    if options.len() < 10 {
        return blocks;
    }
    each_option(options, |kind, value| {
        if kind == SACK {
            let (edges, _) = value.as_chunks::<4>();
            let edges: SmallVec<[u32; 8]> =
                edges.iter().map(|edge| u32::from_be_bytes(*edge)).collect();
            blocks.extend(edges.chunks_exact(2).map(|edges| (edges[0], edges[1])));
        }
    });
    blocks
}

/// Walks TCP options (RFC 9293, section 3.1); stops at the first that makes no sense.
fn each_option(mut options: &[u8], mut visit: impl FnMut(u8, &[u8])) {
    loop {
        options = match *options {
            [] | [END_OF_OPTIONS, ..] => return,
            [NO_OPERATION, ref rest @ ..] => rest,
            [kind, len, ref rest @ ..] if len >= 2 && usize::from(len) - 2 <= rest.len() => {
                let (value, rest) = rest.split_at(usize::from(len) - 2);
                visit(kind, value);
                rest
            }
            [_, ..] => return,
        };
    }
}

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const WINDOW_SCALE: u8 = 3;
const SACK: u8 = 5;
