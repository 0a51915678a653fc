//! The data directory is for the broker's user only: messages and hashes of passwords lie in it.

use std::fs::{Permissions, metadata, set_permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What nobody but the owner may do.
const OTHERS: u32 = 0o077;

/// Closes a directory that was there before to everybody else. Where that is not ours to do, as in a
/// volume that somebody mounted, the log says it.
pub(crate) fn close_to_others(directory: &Path) {
    let path = directory.display();
    match close(directory) {
        Ok(None) => {}
        Ok(Some(mode)) => {
            tracing::warn!("{path} was open to others (mode {mode:04o}): its mode is 0700 now");
        }
        Err(error) => tracing::warn!("{path} can't be closed to others: {error}"),
    }
}

/// The mode that the directory had, when others could do something with it.
fn close(directory: &Path) -> io::Result<Option<u32>> {
    let mode = match metadata(directory) {
        Ok(found) => found.permissions().mode() & 0o7777,
        // It is about to be made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if mode & OTHERS == 0 {
        return Ok(None);
    }
    set_permissions(directory, Permissions::from_mode(0o700))?;
    Ok(Some(mode))
}
