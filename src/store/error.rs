//! What can go wrong in a store, said so that an operator knows what to do.

use forebay_engine::ids::{Lane, Offset, QueueId};
use std::error::Error;
use std::fmt;
use std::path::PathBuf;

/// A fault of the store. All of them end the process; none is a client's fault.
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
    /// A newer program wrote the directory.
    #[error(
        "data directory {} has format {found}, this program knows formats up to {supported}: start the newer version that wrote it",
        directory.display()
    )]
    NewerFormat {
        /// The data directory.
        directory: PathBuf,
        /// Its format.
        found: u32,
        /// The newest one known here.
        supported: u32,
    },
    /// Something that was stored is damaged or missing.
    #[error("{0}")]
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

/// What is damaged or missing, as exactly as can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The lane it belongs to, when it belongs to one.
    pub lane: Option<(QueueId, Lane)>,
    /// The offsets concerned: the first, and the one after the last when that is known.
    pub offsets: Option<(Offset, Option<Offset>)>,
    /// What was found, and what was expected.
    pub what: String,
}

impl StoreError {
    pub(crate) fn failed(
        action: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { action, source: source.into() }
    }
}

impl Damage {
    pub(crate) fn of_lane(
        queue: QueueId,
        lane: Lane,
        offsets: Option<(Offset, Option<Offset>)>,
        what: impl Into<String>,
    ) -> StoreError {
        Self { lane: Some((queue, lane)), offsets, what: what.into() }.into()
    }

    pub(crate) fn elsewhere(what: impl Into<String>) -> StoreError {
        Self { lane: None, offsets: None, what: what.into() }.into()
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(Box::new(damage))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("stored data is damaged: ")?;
        if let Some((queue, lane)) = self.lane {
            write!(formatter, "queue id {queue}, lane {lane}, ")?;
        }
        match self.offsets {
            Some((first, Some(end))) => write!(formatter, "offsets {first} to below {end}: ")?,
            Some((first, None)) => write!(formatter, "offsets from {first}: ")?,
            None => {}
        }
        formatter.write_str(&self.what)
    }
}
