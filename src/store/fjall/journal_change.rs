//! Has fjall begin a new journal before the one that it writes is full, so that the old one is unlinked
//! once all of it is in tables. Otherwise a store that was drained keeps up to 64 MiB of journal.
//!
//! fjall looks at the position of its descriptor when it flushes, and begins a new journal beyond
//! 64,000,000. So the position is moved there while nobody writes, memtables are flushed, and the
//! position is set back if fjall did not come to it in time. The file itself is not touched: a crash at
//! any moment finds the journal as it was written.

use crate::check::journal_check;
use crate::fjall::database::{Database, Error};
use crate::fjall::descriptors;
use crate::limits::{JOURNAL_CHANGE_POLL_INTERVAL, JOURNAL_CHANGE_WAIT_MAX};
use rustix::fs::{OFlags, SeekFrom, fcntl_getfl, seek};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where fjall takes a journal for full.
const JOURNAL_FULL: u64 = 64_000_000;

/// Bytes that have been written to the newest journal; `None` where the system does not tell.
pub(crate) fn written_bytes(database: &Path) -> Option<u64> {
    let (file, _) = writing(database).ok()??;
    seek(&file, SeekFrom::Current(0)).ok()
}

/// Has a new journal begun, and the memtables flushed. Says whether there is a new one.
///
/// IMPORTANT: to be called while nothing is committed: what would be written then would stand behind a
/// gap, where it is never found.
pub(crate) fn begin_new(database: &Database, path: &Path) -> Result<bool, Error> {
    // Of a keyspace without anything in memory nothing would be flushed.
    database.put_heartbeats()?;
    let Some((file, journal)) = writing(path)? else { return Ok(false) };
    let position = seek(&file, SeekFrom::Current(0)).map_err(io::Error::from)?;
    seek(&file, SeekFrom::Start(JOURNAL_FULL + 1)).map_err(io::Error::from)?;
    let rotated = database.rotate();
    let began = Instant::now();
    let is_new = loop {
        let is_new = journal_check::journals(path).is_ok_and(|all| all.last() != Some(&journal));
        if is_new || rotated.is_err() || began.elapsed() > JOURNAL_CHANGE_WAIT_MAX {
            break is_new;
        }
        std::thread::sleep(JOURNAL_CHANGE_POLL_INTERVAL);
    };
    // Should fjall have begun a new one just now, this descriptor is not written any more.
    seek(&file, SeekFrom::Start(position)).map_err(io::Error::from)?;
    rotated?;
    Ok(is_new)
}

/// The newest journal, and another handle of the descriptor with which fjall writes it: both share their
/// position. The store's own handle of it has never been written.
fn writing(database: &Path) -> io::Result<Option<(File, PathBuf)>> {
    let Some(journal) = journal_check::journals(&database.canonicalize()?)?.pop() else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for file in descriptors::of(&journal)? {
        let is_writable = fcntl_getfl(&file)?.intersects(OFlags::WRONLY | OFlags::RDWR);
        if is_writable && seek(&file, SeekFrom::Current(0))? > 0 {
            found.push(file);
        }
    }
    // Of several nobody knows which is fjall's.
    let file = found.pop().filter(|_| found.is_empty());
    Ok(file.map(|file| (file, journal)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::fjall::database::Space;
    use bytes::Bytes;
    use forebay_engine::operation::Durability;
    use std::fs;

    /// Commits a value of some size.
    pub(crate) fn put(database: &Database, key: &'static str) {
        let mut batch = database.batch();
        let key = Bytes::from_static(key.as_bytes());
        batch.insert(Space::Meta, key, Bytes::from_static(&[7; 9_999]));
        batch.commit(Durability::Synced).unwrap();
    }

    /// Other tests of this process open and close descriptors while it looks for the one of the journal.
    fn written_for_certain(path: &Path) -> u64 {
        loop {
            if let Some(bytes) = written_bytes(path) {
                return bytes;
            }
            std::thread::yield_now();
        }
    }

    fn begin_new_for_certain(database: &Database, path: &Path) {
        while !begin_new(database, path).unwrap() {}
    }

    #[test]
    fn a_new_journal_is_begun_the_old_one_goes_and_nothing_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let keys = ["a", "b", "c", "d", "e", "f"];
        for pair in keys.chunks(2) {
            // The first journal is one that fjall made, the others are ones that it found.
            let database = Database::open(&path).unwrap();
            put(&database, pair[0]);
            let before = journal_check::journals(&path).unwrap();
            begin_new_for_certain(&database, &path);
            put(&database, pair[1]);
            assert!(written_for_certain(&path) < 30_000);
            while journal_check::journals(&path).unwrap().iter().any(|left| before.contains(left)) {
                database.let_go().unwrap();
                std::thread::yield_now();
            }
        }
        let database = Database::open(&path).unwrap();
        for key in keys {
            assert!(database.view().get(Space::Meta, key.as_bytes()).unwrap().is_some(), "{key}");
        }
    }

    #[test]
    fn both_journals_are_read_when_the_process_ends_before_the_old_one_goes() {
        let directory = tempfile::tempdir().unwrap();
        let (path, crashed) = (directory.path().join("db"), directory.path().join("crashed"));
        drop(Database::open(&path).unwrap());
        copy(&path, &crashed);
        let database = Database::open(&path).unwrap();
        put(&database, "a");
        let old = journal_check::journals(&path).unwrap().pop().unwrap();
        let old_link = directory.path().join("old");
        fs::hard_link(&old, &old_link).unwrap();
        begin_new_for_certain(&database, &path);
        put(&database, "b");
        let new = journal_check::journals(&path).unwrap().pop().unwrap();
        // As a crash leaves it: no memtable has become a table, and so the old journal is there.
        fs::copy(old_link, crashed.join(old.file_name().unwrap())).unwrap();
        fs::copy(&new, crashed.join(new.file_name().unwrap())).unwrap();
        let database = Database::open(&crashed).unwrap();
        for key in ["a", "b"] {
            assert!(database.view().get(Space::Meta, key.as_bytes()).unwrap().is_some(), "{key}");
        }
    }

    /// Copies a directory with all below it.
    pub(crate) fn copy(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &target),
                false => drop(fs::copy(entry.path(), target).unwrap()),
            }
        }
    }

    #[test]
    fn a_journal_that_the_store_has_open_too_is_not_confused_with_fjalls_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let database = Database::open(&path).unwrap();
        put(&database, "a");
        let journal = journal_check::journals(&path).unwrap().pop().unwrap();
        let _held = fs::OpenOptions::new().write(true).open(&journal).unwrap();
        let _read = File::open(&journal).unwrap();
        assert!(written_for_certain(&path) > 9_999);
    }
}
