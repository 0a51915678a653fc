//! What the fuzzer does to the readers of damaged files: a data directory of which files are
//! overwritten, cut and removed is verified, repaired, and verified again.
//!
//! ```text
//! input: repair:u8 harm*      repair: odd: it is repaired, too
//! harm:  how:u8 file:u8 at:u16 amount:u8 bytes      (bytes: `amount` of them, of the first kind only)
//!        how % 8: 0, 1, 2 bytes are overwritten | 3 zeroed | 4 one bit of a byte is flipped
//!                 | 5 the file is cut | 6 the file is removed | 7 bytes are taken out
//! ```

use crate::fjall::fjall_store::FjallStore;
use crate::store::Store;
use crate::workload::{Workload, put_record};
use crate::{repair_accepting_loss, verify};
use forebay_engine::model::{Level, QueueId};
use forebay_engine::operation::Durability;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Zeros that are left at the end of a journal, of those that fjall reserves.
const ZEROS: usize = 256;

/// A data directory with tables, bodies in files of their own, and a journal: what is harmed.
#[derive(Debug)]
pub struct Ground {
    /// Relative paths and contents, in the order of the paths.
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Ground {
    /// Made in this directory, which is needed no longer afterwards.
    ///
    /// # Panics
    /// When it can't be made.
    #[allow(clippy::expect_used, reason = "without it there is nothing to try")]
    #[must_use]
    pub fn make(directory: &Path) -> Self {
        let store = FjallStore::open(directory).expect("a store");
        let mut workload = Workload::default();
        for round in 0..30_u64 {
            let queue = QueueId(round % 3);
            let mut operations = vec![put_record(round as u8 % 5, round)];
            operations.push(workload.publish(queue, Level(0), 0, &[20, 200, 700]));
            if round % 7 == 0 {
                operations.push(workload.publish(queue, Level(1), 0, &[66_000]));
            }
            if round % 2 == 0 {
                operations.extend(workload.settle(queue, Level(0), &[0, 2]));
            }
            let commit = workload.commit(operations, Durability::Synced);
            store.apply(&[commit]).expect("a commit");
            if round == 10 || round == 20 {
                store.make_tables();
            }
        }
        drop(store);
        let mut files = Vec::new();
        read_files(directory, Path::new(""), &mut files).expect("files");
        Self { files }
    }

    /// The files and how large they are.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> Vec<(&Path, usize)> {
        self.files.iter().map(|(path, content)| (&**path, content.len())).collect()
    }

    /// Makes a copy of it, harmed as the input says.
    fn harmed(&self, bytes: &[u8], directory: &Path) -> io::Result<()> {
        let mut files: Vec<(&Path, Option<Vec<u8>>)> =
            self.files.iter().map(|(path, content)| (&**path, Some(content.clone()))).collect();
        let mut input = bytes;
        while let Some(harm) = Harm::parse(&mut input) {
            let index = usize::from(harm.file) % files.len().max(1);
            if let Some((_, content)) = files.get_mut(index) {
                harm.apply(content);
            }
        }
        for (path, content) in files {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap_or(directory))?;
            if let Some(content) = content {
                fs::write(path, content)?;
            }
        }
        Ok(())
    }
}

struct Harm<'a> {
    how: u8,
    file: u8,
    at: u16,
    amount: u8,
    bytes: &'a [u8],
}

impl<'a> Harm<'a> {
    fn parse(input: &mut &'a [u8]) -> Option<Self> {
        let (&[how, file, high, low, amount], rest) = input.split_first_chunk()?;
        let size = if how % 8 < 3 { usize::from(amount).min(rest.len()) } else { 0 };
        let (bytes, rest) = rest.split_at_checked(size)?;
        *input = rest;
        Some(Self { how, file, at: u16::from_be_bytes([high, low]), amount, bytes })
    }

    fn apply(&self, file: &mut Option<Vec<u8>>) {
        let Some(content) = file else { return };
        if content.is_empty() {
            return;
        }
        let at = usize::from(self.at) % content.len();
        let end = (at + usize::from(self.amount)).min(content.len());
        match self.how % 8 {
            0..3 => content.iter_mut().skip(at).zip(self.bytes).for_each(|(old, new)| *old = *new),
            3 => content.iter_mut().take(end).skip(at).for_each(|byte| *byte = 0),
            4 => {
                content.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (self.amount % 8))
            }
            5 => content.truncate(at),
            6 => *file = None,
            _ => drop(content.drain(at..end)),
        }
    }
}

/// The number of a manifest of fjall's.
fn version(entry: &fs::DirEntry) -> Option<u64> {
    entry.file_name().to_str()?.strip_prefix('v')?.parse().ok()
}

fn read_files(
    root: &Path,
    directory: &Path,
    files: &mut Vec<(PathBuf, Vec<u8>)>,
) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(root.join(directory))?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let newest = entries.iter().filter_map(version).max();
    for entry in entries {
        if version(&entry) < newest && version(&entry).is_some() {
            // fjall removes manifests that are out of use whenever it comes to it.
            continue;
        }
        let path = directory.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read_files(root, &path, files)?;
        } else {
            let mut content = fs::read(root.join(&path))?;
            let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            content.truncate(used + ZEROS);
            files.push((path, content));
        }
    }
    Ok(())
}

/// Harms a copy of `ground` in `scratch`, an empty directory, and reads it.
///
/// # Panics
/// When what is repaired is not sound afterwards, or is something else than what was said.
#[allow(clippy::expect_used, clippy::panic, reason = "the fuzzer looks for panics")]
pub fn damaged(bytes: &[u8], ground: &Ground, scratch: &Path) {
    let Some((repairs, harms)) = bytes.split_first() else { return };
    ground.harmed(harms, scratch).expect("a directory to write to");
    // That it is no data directory at all any more is said, too.
    let Ok(found) = verify(scratch, |_| {}) else { return };
    if repairs % 2 == 0 {
        return;
    }
    let Ok(repair) = repair_accepting_loss(scratch, |_| {}) else {
        panic!("not repaired: {:?}", found.damages)
    };
    assert_eq!(repair.damaged_files.is_some(), !found.damages.is_empty());
    let again = verify(scratch, |_| {}).expect("a data directory");
    assert_eq!(again.damages, [], "after {:?}", found.damages);
    assert_eq!((again.messages, again.bytes), (repair.kept.messages, repair.kept.bytes));
    let store = FjallStore::open(scratch).expect("what is sound is opened");
    store.recover().expect("and recovered");
}
