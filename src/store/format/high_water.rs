//! The high-water mark: the number of the last batch that is on stable storage, kept outside
//! fjall's journals. It is written after each sync, without a sync of its own: it survives the
//! process, and after a power loss it may lag behind, which only makes the check weaker.
//!
//! Two slots are written in turn, so that a torn write leaves the other one.
//!
//! ```text
//! slot: sealed(synced:u64) zeros:47 sealed(synced:u64 messages:u64)
//! ```
//! `messages`: how many had been put into pages with that batch. Earlier versions wrote the first part
//! alone, and read it alone: the second counts when its `synced` is that of the first.

use crate::creation;
use crate::damage::Damage;
use crate::error::StoreError;
use crate::format::checksummed;
use crate::format::cursor::Cursor;
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

const KEY: &[u8] = b"high-water";
const SLOT_SIZE: usize = 17;
const MESSAGES_KEY: &[u8] = b"high-water messages";
const MESSAGES_AT: usize = 64;
const MESSAGES_SIZE: usize = 25;
/// A slot each in different sectors.
const SLOT_DISTANCE: u64 = 4096;

/// What the mark says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// The number of the last batch that was on stable storage.
    pub(crate) synced: u64,
    /// Messages that had ever been put into pages by then; nothing when an earlier version wrote it.
    pub(crate) messages: Option<u64>,
}

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
            new.write(0, 0).and_then(|()| new.write(0, 0)).map_err(failed)?;
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
                let synced = |mark: Option<Mark>| mark.map(|mark| mark.synced);
                let (first, second) = (synced(first), synced(second));
                let synced = first.max(second).unwrap_or(0);
                Ok(Self { file, synced, is_second_next: second != Some(synced) })
            }
        }
    }

    /// What the mark says, without touching it; nothing when there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Mark>, StoreError> {
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

    /// Raises the mark; `messages` had been put into pages by then.
    pub(crate) fn raise(&mut self, synced: u64, messages: u64) -> io::Result<()> {
        if synced > self.synced { self.write(synced, messages) } else { Ok(()) }
    }

    fn write(&mut self, synced: u64, messages: u64) -> io::Result<()> {
        let place = if self.is_second_next { SLOT_DISTANCE } else { 0 };
        self.file.write_all_at(&encode(synced, messages), place)?;
        self.synced = synced;
        self.is_second_next = !self.is_second_next;
        Ok(())
    }
}

/// Whether it was being made when the power went: some of the first two slots, and zeros.
fn is_unfinished(content: &[u8]) -> bool {
    let first = encode(0, 0);
    let mut finished = vec![0; SLOT_DISTANCE as usize];
    finished.splice(..first.len(), first.iter().copied());
    finished.extend_from_slice(&first);
    content.len() <= finished.len()
        && content.iter().zip(&finished).all(|(byte, finished)| *byte == 0 || byte == finished)
}

fn encode(synced: u64, messages: u64) -> [u8; MESSAGES_AT + MESSAGES_SIZE] {
    let mut slot = [0; MESSAGES_AT + MESSAGES_SIZE];
    let both = [synced.to_be_bytes(), messages.to_be_bytes()].concat();
    let (first, second) = slot.split_at_mut(MESSAGES_AT);
    let sealed = checksummed::seal(KEY, &synced.to_be_bytes());
    first.iter_mut().zip(sealed).for_each(|(byte, sealed)| *byte = sealed);
    second
        .iter_mut()
        .zip(checksummed::seal(MESSAGES_KEY, &both))
        .for_each(|(byte, sealed)| *byte = sealed);
    slot
}

fn slot(content: &[u8], at: usize) -> Option<Mark> {
    let sealed = |key, at: usize, size| {
        let value = Bytes::copy_from_slice(content.get(at..at + size)?);
        Some(Cursor::new(checksummed::unseal(key, &value).ok()?))
    };
    let synced = sealed(KEY, at, SLOT_SIZE)?.integer()?;
    let messages = sealed(MESSAGES_KEY, at + MESSAGES_AT, MESSAGES_SIZE).and_then(|mut both| {
        let is_of_it = both.integer()? == synced;
        both.integer().filter(|_| is_of_it)
    });
    Some(Mark { synced, messages })
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
                    torn.iter_mut().take(512).for_each(|byte| *byte = 0);
                }
                std::fs::write(&path, torn).unwrap();
                assert_eq!(HighWater::open(&path, true).unwrap().synced(), 0);
                assert_eq!(HighWater::open(&path, false).unwrap().synced(), 0);
            }
        }
        let mut damaged = whole;
        damaged.iter_mut().for_each(|byte| *byte ^= 1);
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
            mark.raise(synced, 10 * synced).unwrap();
            assert_eq!(HighWater::open(&path, false).unwrap().synced(), synced);
            let told = Mark { synced, messages: Some(10 * synced) };
            assert_eq!(HighWater::read(&path).unwrap(), Some(told));
        }
        mark.raise(3, 3).unwrap();
        drop(mark);
        let content = std::fs::read(&path).unwrap();
        for slot in [0, SLOT_DISTANCE as usize] {
            let mut damaged = content.clone();
            damaged[slot + 10] ^= 4;
            std::fs::write(&path, &damaged).unwrap();
            let mut mark = HighWater::open(&path, false).unwrap();
            assert!((4..=5).contains(&mark.synced()));
            mark.raise(9, 9).unwrap();
            assert_eq!(HighWater::open(&path, false).unwrap().synced(), 9);
            damaged[(SLOT_DISTANCE as usize - slot) + 10] ^= 4;
            std::fs::write(&path, &damaged).unwrap();
            assert!(HighWater::open(&path, false).is_err());
        }
    }

    /// An earlier version goes on with it, and leaves the second part as it finds it.
    #[test]
    fn a_mark_of_an_earlier_version_tells_no_messages() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("HIGH-WATER");
        let mut mark = HighWater::open(&path, true).unwrap();
        mark.raise(5, 50).unwrap();
        mark.file
            .write_all_at(&checksummed::seal(KEY, &6_u64.to_be_bytes()), SLOT_DISTANCE)
            .unwrap();
        let told = Mark { synced: 6, messages: None };
        assert_eq!(HighWater::read(&path).unwrap(), Some(told));
        HighWater::open(&path, false).unwrap().raise(7, 70).unwrap();
        let told = Mark { synced: 7, messages: Some(70) };
        assert_eq!(HighWater::read(&path).unwrap(), Some(told));
    }
}
