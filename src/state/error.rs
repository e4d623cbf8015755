//! What can go wrong with a state folder.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::engine::Outgrown;
use crate::time::Timestamp;

/// Why a state folder cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// A file or folder cannot be read or written.
    #[error("{}: cannot be used", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process writes to it.
    #[error("{}: another process of Sekisho is learning here; stop it, or give a folder of its own", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// Nothing was learned yet.
    #[error("{}: nothing was learned here yet; replay captures with --state and --learn first", dir.display())]
    Empty {
        /// The folder.
        dir: PathBuf,
    },
    /// The file is torn, was changed, or is none of ours.
    #[error("{}: is damaged ({problem}); remove it to go on from the one before, or learn anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// The file is of a later version.
    #[error("{}: was written by Sekisho {version}, in a form that this version does not know", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version that wrote it.
        version: String,
    },
    /// Days were learned in another time zone.
    #[error("{}: its days are those of {kept}, and this run's of {given}; give --timezone {kept}", path.display())]
    Timezone {
        /// The file.
        path: PathBuf,
        /// The zone that it was learned in.
        kept: String,
        /// The zone of this run.
        given: String,
    },
    /// It was learned with more room than there is now.
    #[error("{}", path.display())]
    Outgrown {
        /// The file.
        path: PathBuf,
        /// What has outgrown what.
        source: Outgrown,
    },
    /// The same traffic would be learned twice.
    #[error(
        "{}: has learned until {until}, and this traffic begins at {first}; take what is later with --since {until}, or replay without --learn", dir.display()
    )]
    LearnedAlready {
        /// The folder.
        dir: PathBuf,
        /// The first packet.
        first: Timestamp,
        /// The last that was learned.
        until: Timestamp,
    },
    /// The alerts cannot be read or written.
    #[error("{}: the alerts cannot be used", path.display())]
    Incidents {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// No incident, or several, have an id that begins so.
    #[error("{}: {count} incidents have an id that begins with {id:?}; see incidents list", path.display())]
    NoSuchIncident {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        id: String,
        /// How many there are.
        count: usize,
    },
}

impl StateError {
    pub(super) fn unusable(path: &Path, source: std::io::Error) -> Self {
        Self::Unusable { path: path.to_owned(), source }
    }
}
