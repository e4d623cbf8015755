//! What kind of exchange a host has with a destination.

use serde::{Deserialize, Serialize};

/// A call of an hour sends more than most thefts, so each class has references of its own (EGRESS 4).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Everything that is not the other.
    #[default]
    Bulk,
    /// Calls and their like: over UDP, and at least half as much comes back as goes out.
    Media,
}

impl Class {
    /// Both, in the order of [`OfClass`].
    pub const ALL: [Self; 2] = [Self::Bulk, Self::Media];
}

/// One of each class.
pub type OfClass<T> = [T; Class::ALL.len()];
