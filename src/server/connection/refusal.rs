//! What a broker says that does not start because its data is damaged: what is damaged, and how to go
//! on.

use crate::limits::{REFUSAL_DAMAGES_MAX, REFUSAL_READ_BYTES_MAX};
use crate::start_error::StartError;
use forebay_store::{Damage, Missing, StoreError, verify};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A data directory that is damaged.
#[derive(Debug)]
pub struct Refusal {
    directory: PathBuf,
    damages: Vec<Damage>,
    /// Whether everything was looked through.
    is_complete: bool,
}

impl Refusal {
    /// Looks a damaged directory through, when it is small enough for that, so that everything is
    /// named at once. Other errors stay as they are.
    pub(crate) fn of(directory: &Path, error: StoreError) -> StartError {
        let StoreError::Damaged(first) = error else { return error.into() };
        let is_small = bytes(directory) <= REFUSAL_READ_BYTES_MAX;
        let found = is_small.then(|| verify(directory, |_| ()).ok()).flatten();
        let damages = found.map(|found| found.damages).filter(|damages| !damages.is_empty());
        let is_complete = damages.is_some();
        let damages = damages.unwrap_or_else(|| vec![*first]);
        StartError::Damaged(Self { directory: directory.to_owned(), damages, is_complete })
    }
}

/// Bytes of the files in a directory and below.
fn bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        write!(
            formatter,
            "stored data is damaged in data directory {directory}, and the broker does not start: "
        )?;
        let told = self.damages.iter().take(REFUSAL_DAMAGES_MAX).map(ToString::to_string);
        formatter.write_str(&told.collect::<Vec<_>>().join("; "))?;
        match self.damages.len().saturating_sub(REFUSAL_DAMAGES_MAX) {
            0 => {}
            more => write!(formatter, "; and {more} more")?,
        }
        if self.is_complete {
            let missing = Missing::by(&self.damages);
            let verb = if missing.messages == 1 { "is" } else { "are" };
            write!(formatter, "; {missing} {verb} missing in all")?;
        }
        write!(
            formatter,
            ". Nothing was changed. `forebay verify --data-dir {directory}` names everything; restore \
             a backup, or go on without what is missing: `forebay repair --accept-loss --data-dir \
             {directory}`"
        )
    }
}
