//! Damage that was met, noted in the data directory for the next start. Pages are not read at a start:
//! without the note of a read, a queue that was set aside would be served again until its damage is met
//! again; without the note of a file, the broker would come up and end with each compaction of it.
//!
//! ```text
//! DAMAGED: (note "\n" what was found "\n")*
//! note:    queue level from bytes_max      a read that can't be answered; numbers in decimal
//!        | "file " path                    a file, from the data directory on
//! ```

use crate::creation;
use crate::error::StoreError;
use crate::limits::DAMAGE_NOTES_MAX;
use forebay_engine::model::{Level, Offset, QueueId};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

/// What a note of a file begins with.
const FILE: &str = "file ";

/// A read that met damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DamagedRead {
    pub(crate) queue: QueueId,
    pub(crate) level: Level,
    pub(crate) from: Offset,
    pub(crate) bytes_max: usize,
}

/// Damage that can be looked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DamageNote {
    Read(DamagedRead),
    /// A file that fjall's threads met.
    File(PathBuf),
}

/// All notes of a data directory.
#[derive(Debug)]
pub(crate) struct DamageNotes {
    path: PathBuf,
    notes: Vec<(DamageNote, String)>,
}

impl DamageNotes {
    /// What is noted in this file. A line that can't be understood is passed over: `verify` finds all
    /// damage.
    pub(crate) fn read(path: PathBuf) -> io::Result<Self> {
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let content = String::from_utf8_lossy(&content);
        let mut notes = Vec::new();
        let mut lines = content.lines().peekable();
        while let Some(line) = lines.next() {
            let Some(note) = DamageNote::parse(line) else { continue };
            let text = lines.next_if(|next| DamageNote::parse(next).is_none()).unwrap_or_default();
            notes.push((note, text.to_owned()));
        }
        Ok(Self { path, notes })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &DamageNote> {
        self.notes.iter().map(|(note, _)| note)
    }

    /// Notes damage, at most [`DAMAGE_NOTES_MAX`] times: what is not noted is met again.
    pub(crate) fn add(&mut self, note: DamageNote, error: &StoreError) -> io::Result<()> {
        let is_known = self.notes.iter().any(|(known, _)| known.is_of_same(&note));
        if is_known || self.notes.len() >= DAMAGE_NOTES_MAX {
            return Ok(());
        }
        self.notes.push((note, error.to_string().replace(['\n', '\r'], " ")));
        self.write()
    }

    /// Forgets those that are not to be kept.
    pub(crate) fn retain(&mut self, keep: impl Fn(&DamageNote) -> bool) -> io::Result<()> {
        let before = self.notes.len();
        self.notes.retain(|(note, _)| keep(note));
        match self.notes.len() {
            0 => match fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            left if left == before => Ok(()),
            _ => self.write(),
        }
    }

    fn write(&self) -> io::Result<()> {
        let draft = self.path.with_extension("new");
        let mut file = File::create(&draft)?;
        for (note, text) in &self.notes {
            writeln!(file, "{note}\n{text}")?;
        }
        file.sync_all()?;
        fs::rename(draft, &self.path)?;
        creation::sync_name(&self.path)
    }
}

impl DamageNote {
    fn parse(line: &str) -> Option<Self> {
        if let Some(path) = line.strip_prefix(FILE) {
            return Some(Self::File(path.into()));
        }
        let mut numbers = line.split(' ');
        let read = DamagedRead {
            queue: QueueId(numbers.next()?.parse().ok()?),
            level: Level(numbers.next()?.parse().ok()?),
            from: Offset(numbers.next()?.parse().ok()?),
            bytes_max: numbers.next()?.parse().ok()?,
        };
        numbers.next().is_none().then_some(Self::Read(read))
    }

    /// Whether both are of one level, or of one file.
    fn is_of_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Read(one), Self::Read(other)) => {
                (one.queue, one.level) == (other.queue, other.level)
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for DamageNote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(DamagedRead { queue, level, from, bytes_max }) => {
                write!(formatter, "{} {} {} {bytes_max}", queue.0, level.0, from.0)
            }
            Self::File(path) => write!(formatter, "{FILE}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn notes(path: &Path) -> Vec<DamageNote> {
        DamageNotes::read(path.to_owned()).unwrap().iter().cloned().collect()
    }

    fn read(queue: u64, from: u64) -> DamageNote {
        let (queue, from) = (QueueId(queue), Offset(from));
        DamageNote::Read(DamagedRead { queue, level: Level(2), from, bytes_max: 1 << 18 })
    }

    #[test]
    fn they_are_kept_until_they_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("DAMAGED");
        assert_eq!(notes(&path), []);
        let mut written = DamageNotes::read(path.clone()).unwrap();
        let file = DamageNote::File("fjall/keyspaces/1/tables/7".into());
        for note in [read(7, 120), file.clone(), read(8, 3)] {
            written.add(note, &StoreError::Stopped).unwrap();
        }
        // The first read of a level is enough.
        written.add(read(7, 500), &StoreError::Stopped).unwrap();
        assert_eq!(notes(&path), [read(7, 120), file, read(8, 3)]);
        written.retain(|note| *note == read(8, 3)).unwrap();
        assert_eq!(notes(&path), [read(8, 3)]);
        written.retain(|_| false).unwrap();
        assert!(!path.exists());
        written.retain(|_| false).unwrap();
    }

    #[test]
    fn the_file_of_an_earlier_version_is_read_and_nonsense_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("DAMAGED");
        fs::write(&path, "7 2 120 262144\nstored data is damaged: queue id 7\n").unwrap();
        assert_eq!(notes(&path), [read(7, 120)]);
        for nonsense in ["", "7 2 120", "7 2 -1 5\n", "7 2 1 5 9\n", "\u{fffd}"] {
            fs::write(&path, nonsense).unwrap();
            assert_eq!(notes(&path), []);
        }
    }

    #[test]
    fn there_are_never_more_than_the_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("DAMAGED");
        let mut written = DamageNotes::read(path.clone()).unwrap();
        for queue in 0..2 * DAMAGE_NOTES_MAX as u64 {
            written.add(read(queue, 0), &StoreError::Stopped).unwrap();
        }
        assert_eq!(notes(&path).len(), DAMAGE_NOTES_MAX);
    }
}
