//! What the large tables are made of: values by number, numbers by hash, and memory asked for in time.

mod hand;
mod index;
mod prefetch;
mod values;

pub use hand::Hand;
pub use index::Index;
pub use prefetch::{prefetch, prefetch_whole};
pub use values::Arena;

/// The number of no value.
pub const NIL: u32 = u32::MAX;
