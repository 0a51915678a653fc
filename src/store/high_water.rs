//! The high-water mark: the number of the last batch that is on stable storage, kept outside
//! fjall's journals. It is written after each sync, without a sync of its own: it survives the
//! process, and after a power loss it may lag behind, which only makes the check weaker.
//!
//! Two slots are written in turn, so that a torn write leaves the other one.

use crate::creation;
use crate::cursor::Cursor;
use crate::damage::Damage;
use crate::error::StoreError;
use crate::seal;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

const KEY: &[u8] = b"high-water";
const SLOT_SIZE: usize = 17;
/// A slot each in different sectors.
const SLOT_DISTANCE: u64 = 4096;

/// The open mark.
#[derive(Debug)]
pub(crate) struct HighWater {
    file: File,
    synced: u64,
    is_second_next: bool,
}

impl HighWater {
    /// Reads the mark; makes it when it is not there and may be new.
    pub(crate) fn open(path: &Path, may_be_new: bool) -> Result<Self, StoreError> {
        let failed = |error: io::Error| StoreError::failed("open its high-water mark", error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(may_be_new).truncate(false);
        let mut file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Damage::elsewhere("the high-water mark (file HIGH-WATER) is missing"));
            }
            Err(error) => return Err(failed(error)),
        };
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(failed)?;
        if may_be_new && is_unfinished(&content) {
            let mut new = Self { file, synced: 0, is_second_next: false };
            new.write(0).and_then(|()| new.write(0)).map_err(failed)?;
            new.file.sync_all().map_err(failed)?;
            creation::sync_name(path).map_err(failed)?;
            return Ok(new);
        }
        let slots = [slot(&content, 0), slot(&content, SLOT_DISTANCE as usize)];
        match slots {
            [None, None] => {
                Err(Damage::elsewhere("the high-water mark (file HIGH-WATER) can't be read"))
            }
            [first, second] => {
                let synced = first.max(second).unwrap_or(0);
                Ok(Self { file, synced, is_second_next: second != Some(synced) })
            }
        }
    }

    /// What the mark says, without touching it; nothing when there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<u64>, StoreError> {
        let content = match std::fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::failed("read its high-water mark", error)),
        };
        match (slot(&content, 0), slot(&content, SLOT_DISTANCE as usize)) {
            (None, None) if content.is_empty() => Ok(None),
            (None, None) => {
                Err(Damage::elsewhere("the high-water mark (file HIGH-WATER) can't be read"))
            }
            (first, second) => Ok(first.max(second)),
        }
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }

    /// Raises the mark.
    pub(crate) fn raise(&mut self, synced: u64) -> io::Result<()> {
        if synced > self.synced { self.write(synced) } else { Ok(()) }
    }

    fn write(&mut self, synced: u64) -> io::Result<()> {
        let place = if self.is_second_next { SLOT_DISTANCE } else { 0 };
        self.file.write_all_at(&seal::seal(KEY, &synced.to_be_bytes()), place)?;
        self.synced = synced;
        self.is_second_next = !self.is_second_next;
        Ok(())
    }
}

/// Whether it was being made when the power went: some of the first two slots, and zeros.
fn is_unfinished(content: &[u8]) -> bool {
    let first = seal::seal(KEY, &0_u64.to_be_bytes());
    let mut finished = vec![0; SLOT_DISTANCE as usize];
    finished.splice(..SLOT_SIZE, first.iter().copied());
    finished.extend_from_slice(&first);
    content.len() <= finished.len()
        && content.iter().zip(&finished).all(|(octet, finished)| *octet == 0 || octet == finished)
}

fn slot(content: &[u8], at: usize) -> Option<u64> {
    let value = bytes::Bytes::copy_from_slice(content.get(at..at + SLOT_SIZE)?);
    Cursor::new(seal::unseal(KEY, &value).ok()?).integer()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_being_made_when_the_power_went_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("HIGH-WATER");
        drop(HighWater::open(&path, true).unwrap());
        let whole = std::fs::read(&path).unwrap();
        for size in [0, 5, SLOT_SIZE, 600, whole.len() - 4, whole.len()] {
            for is_first_missing in [false, true] {
                let mut torn = whole.clone();
                torn.truncate(size);
                if is_first_missing {
                    torn.iter_mut().take(512).for_each(|octet| *octet = 0);
                }
                std::fs::write(&path, torn).unwrap();
                assert_eq!(HighWater::open(&path, true).unwrap().synced(), 0);
                assert_eq!(HighWater::open(&path, false).unwrap().synced(), 0);
            }
        }
        let mut damaged = whole;
        damaged.iter_mut().for_each(|octet| *octet ^= 1);
        std::fs::write(&path, damaged).unwrap();
        assert!(HighWater::open(&path, true).is_err());
    }

    #[test]
    fn it_is_kept_and_survives_the_damage_of_one_slot() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("HIGH-WATER");
        assert!(HighWater::open(&path, false).is_err());
        let mut mark = HighWater::open(&path, true).unwrap();
        for synced in 1..=5 {
            mark.raise(synced).unwrap();
            assert_eq!(HighWater::open(&path, false).unwrap().synced(), synced);
        }
        mark.raise(3).unwrap();
        drop(mark);
        let content = std::fs::read(&path).unwrap();
        for slot in [0, SLOT_DISTANCE as usize] {
            let mut damaged = content.clone();
            damaged[slot + 10] ^= 4;
            std::fs::write(&path, &damaged).unwrap();
            let mut mark = HighWater::open(&path, false).unwrap();
            assert!((4..=5).contains(&mark.synced()));
            mark.raise(9).unwrap();
            assert_eq!(HighWater::open(&path, false).unwrap().synced(), 9);
            damaged[(SLOT_DISTANCE as usize - slot) + 10] ^= 4;
            std::fs::write(&path, &damaged).unwrap();
            assert!(HighWater::open(&path, false).is_err());
        }
    }
}
