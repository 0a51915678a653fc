//! Making what is new so that a power loss at any moment leaves either nothing or all of it. A
//! synced file in a directory that is not synced may be nowhere afterwards.

use crate::fjall::database::{Database, Error};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Where fjall makes its files before they get their place.
const DRAFT: &str = "fjall.unfinished";
const KEYSPACES_DIRECTORY: &str = "keyspaces";

/// Makes an empty database at a path at which there is nothing.
pub(crate) fn create_database(path: &Path) -> Result<(), Error> {
    let draft = path.with_file_name(DRAFT);
    match fs::remove_dir_all(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    drop(Database::open(&draft)?);
    // fjall syncs files, and not all of the directories with their names.
    let keyspaces = draft.join(KEYSPACES_DIRECTORY);
    for keyspace in fs::read_dir(&keyspaces)? {
        sync_directory(&keyspace?.path())?;
    }
    sync_directory(&keyspaces)?;
    sync_directory(&draft)?;
    fs::rename(&draft, path)?;
    Ok(sync_name(path)?)
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes the name of a file or directory durable.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_directory(Path::new(".")),
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let draft = directory.path().join(DRAFT);
        fs::create_dir_all(draft.join(KEYSPACES_DIRECTORY)).unwrap();
        fs::write(draft.join("0.jnl"), "torn").unwrap();
        let path = directory.path().join("fjall");
        create_database(&path).unwrap();
        assert!(!draft.exists());
        Database::open(&path).unwrap();
    }
}
