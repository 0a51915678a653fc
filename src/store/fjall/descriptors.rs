//! The descriptors with which this process has a file open: fjall does not lend those of its journals.

use std::fs::{self, File};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// Where the system lists the descriptors of this process; elsewhere there is no such place.
const DESCRIPTORS: &str = "/proc/self/fd";

/// Other handles of them, which share position and flags with the originals.
pub(crate) fn of(path: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(DESCRIPTORS)? {
        let entry = entry?;
        // That of this very listing is gone by the time it is looked at, as others may be.
        if fs::read_link(entry.path()).is_ok_and(|target| target == path)
            && let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok())
        {
            files.push(File::from(duplicate(number)?));
        }
    }
    Ok(files)
}

#[allow(unsafe_code, reason = "fjall does not lend its descriptor")]
fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: borrowed for this one call, which fails when no such descriptor is open; what comes of
    // it is ours. Whether it is the right one is seen afterwards by whoever asked.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}
