//! The read that met damage, kept in the data directory for the next start. Pages are not read at a
//! start: without this the broker would come up, be asked for the same page, and end, again and again.
//!
//! ```text
//! DAMAGED: queue lane from octets_max "\n" what was found "\n"      numbers in decimal
//! ```

use crate::creation;
use crate::error::StoreError;
use forebay_engine::ids::{Lane, Offset, QueueId};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DamagedRead {
    pub(crate) queue: QueueId,
    pub(crate) lane: Lane,
    pub(crate) from: Offset,
    pub(crate) octets_max: usize,
}

impl DamagedRead {
    /// Notes it in this file.
    pub(crate) fn note(self, path: &Path, error: &StoreError) -> io::Result<()> {
        let Self { queue, lane, from, octets_max } = self;
        let draft = path.with_extension("new");
        let mut file = File::create(&draft)?;
        writeln!(file, "{} {} {} {octets_max}\n{error}", queue.0, lane.0, from.0)?;
        file.sync_all()?;
        fs::rename(draft, path)?;
        creation::sync_name(path)
    }

    /// What is noted in this file. What can't be understood counts as nothing: `verify` finds it all.
    pub(crate) fn noted(path: &Path) -> io::Result<Option<Self>> {
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let content = String::from_utf8_lossy(&content);
        let mut numbers = content.lines().next().unwrap_or_default().split(' ');
        Ok(Self::parse(&mut numbers))
    }

    fn parse<'a>(numbers: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        Some(Self {
            queue: QueueId(numbers.next()?.parse().ok()?),
            lane: Lane(numbers.next()?.parse().ok()?),
            from: Offset(numbers.next()?.parse().ok()?),
            octets_max: numbers.next()?.parse().ok()?,
        })
    }

    /// It can be read again.
    pub(crate) fn forget(path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_until_it_is_forgotten_and_nonsense_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("DAMAGED");
        assert_eq!(DamagedRead::noted(&path).unwrap(), None);
        let read = DamagedRead {
            queue: QueueId(7),
            lane: Lane(2),
            from: Offset(120),
            octets_max: 1 << 18,
        };
        read.note(&path, &StoreError::Stopped).unwrap();
        assert_eq!(DamagedRead::noted(&path).unwrap(), Some(read));
        DamagedRead::forget(&path).unwrap();
        DamagedRead::forget(&path).unwrap();
        assert_eq!(DamagedRead::noted(&path).unwrap(), None);
        for nonsense in ["", "7 2 120", "7 2 -1 5\n", "\u{fffd}"] {
            fs::write(&path, nonsense).unwrap();
            assert_eq!(DamagedRead::noted(&path).unwrap(), None);
        }
    }
}
