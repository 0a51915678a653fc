//! What can go wrong in a store, said so that an operator knows what to do.

use crate::damage::Damage;
use std::error::Error;
use std::path::PathBuf;

/// A fault of the store; none is a client's fault. All of them end the process, but for a read that meets
/// damage of one queue.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has the data directory open.
    #[error(
        "data directory {} is in use by another process: stop that process, or choose another data directory",
        directory.display()
    )]
    Locked {
        /// The data directory.
        directory: PathBuf,
    },
    /// The directory can't be created or written.
    #[error(
        "data directory {} can't be created or written: {source}; give this user permission to write there, or choose another data directory",
        directory.display()
    )]
    Unwritable {
        /// The data directory.
        directory: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory holds something else.
    #[error(
        "directory {} holds files but no FORMAT file, so it is no data directory: choose an empty or a new one",
        directory.display()
    )]
    ForeignDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// There is no such directory.
    #[error("there is no data directory {}: name the one that the broker is started with", directory.display())]
    NoDirectory {
        /// Where none is.
        directory: PathBuf,
    },
    /// A repair was killed half-way.
    #[error(
        "a repair of data directory {} was interrupted: run `forebay repair --accept-loss` again, which finishes it; nothing further is lost",
        directory.display()
    )]
    RepairInterrupted {
        /// The data directory.
        directory: PathBuf,
    },
    /// The FORMAT file makes no sense.
    #[error(
        "the FORMAT file in data directory {} can't be understood: expected 'forebay data format N', found '{found}'; restore it if it was edited, or choose another data directory",
        directory.display()
    )]
    BadFormat {
        /// The data directory.
        directory: PathBuf,
        /// What stood there.
        found: String,
    },
    /// A program wrote the directory that is older than this one can read.
    #[error(
        "data directory {} has format {found}, this program knows formats {oldest} to {supported}: start the version that wrote it",
        directory.display()
    )]
    OlderFormat {
        /// The data directory.
        directory: PathBuf,
        /// Its format.
        found: u32,
        /// The oldest one known here.
        oldest: u32,
        /// The newest one known here.
        supported: u32,
    },
    /// A newer program wrote the directory.
    #[error(
        "data directory {} has format {found}, this program knows formats {} to {supported}: start the newer version that wrote it",
        directory.display(), crate::limits::FORMAT_VERSION_OLDEST
    )]
    NewerFormat {
        /// The data directory.
        directory: PathBuf,
        /// Its format.
        found: u32,
        /// The newest one known here.
        supported: u32,
    },
    /// The directory is that of a replica, and was to be opened as one of a single machine.
    #[error(
        "data directory {} is that of a node of a cluster, whose other nodes must agree to every change: choose another data directory",
        directory.display()
    )]
    OfReplica {
        /// The data directory.
        directory: PathBuf,
    },
    /// Something that was stored is damaged or missing.
    #[error("stored data is damaged: {0}")]
    Damaged(Box<Damage>),
    /// The system failed to read or write.
    #[error("the store can't {action}: {source}")]
    Failed {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An earlier write failed; what it left on the disk is unknown until a restart.
    #[error("the store takes no more writes because an earlier one failed: restart the broker")]
    Stopped,
}

impl StoreError {
    pub(crate) fn failed(
        action: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { action, source: source.into() }
    }
}
