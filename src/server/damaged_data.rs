//! A data directory on which the broker does not start because it is damaged: what is damaged, and what
//! to do.

use crate::limits::{DAMAGED_DATA_READ_BYTES_MAX, DAMAGED_DATA_SHOWN_MAX};
use forebay_store::{Damage, Missing, verify};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The damage found in a data directory.
#[derive(Debug)]
pub struct DamagedData {
    directory: PathBuf,
    damages: Vec<Damage>,
    /// Whether the whole directory was read.
    is_complete: bool,
}

impl DamagedData {
    /// Reads all of a directory in which `first` was met, when it is small enough for that, so that
    /// everything is named at once.
    pub(crate) fn find(directory: &Path, first: Damage) -> Self {
        let is_small = bytes(directory) <= DAMAGED_DATA_READ_BYTES_MAX;
        let found = is_small.then(|| verify(directory, |_| ()).ok()).flatten();
        let damages = found.map(|found| found.damages).filter(|damages| !damages.is_empty());
        let is_complete = damages.is_some();
        let damages = damages.unwrap_or_else(|| vec![first]);
        Self { directory: directory.to_owned(), damages, is_complete }
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

impl fmt::Display for DamagedData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        write!(
            formatter,
            "stored data is damaged in data directory {directory}, and the broker does not start: "
        )?;
        let told = self.damages.iter().take(DAMAGED_DATA_SHOWN_MAX).map(ToString::to_string);
        formatter.write_str(&told.collect::<Vec<_>>().join("; "))?;
        match self.damages.len().saturating_sub(DAMAGED_DATA_SHOWN_MAX) {
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
