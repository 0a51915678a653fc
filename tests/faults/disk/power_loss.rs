//! What a power loss leaves of a history of changes.
//!
//! The disk is as unkind as POSIX allows, and no unkinder: what was synced is there, in files by
//! `fsync` and `fdatasync`, in directories by `fsync` of the directory. Of what was not, anything may
//! be there: nothing, all, the beginning with its last write torn, or some sectors here and there;
//! new files may have no name yet, removed ones may be back. A rename happens or does not. Of one
//! directory more is expected, see [`NAMES_SYNCED_WITH_FILES`].

use super::operation::{Node, Operation};
use super::volume::Volume;
use crate::harness::random::Random;
use std::collections::BTreeMap;

/// Bytes that a disk writes at once or not at all.
const SECTOR_SIZE: usize = 512;

/// The one directory of which more is expected than of POSIX: the store does not sync it, so a new file
/// in it must get its name with its own first sync, as on ext4, XFS, Btrfs and F2FS.
const NAMES_SYNCED_WITH_FILES: &str = "blobs";

/// Decides what becomes of what was not synced.
pub(crate) struct Fate<'a> {
    pub(crate) random: &'a mut Random,
}

/// What becomes of changes that were not synced.
#[derive(Clone, Copy, Debug)]
enum Lot {
    Nothing,
    Everything,
    /// The first of them, and the next one in part.
    Beginning,
    Scattered,
}

impl Fate<'_> {
    fn lot(&mut self) -> Lot {
        match self.random.below(5) {
            0 => Lot::Nothing,
            1 => Lot::Everything,
            2 | 3 => Lot::Beginning,
            _ => Lot::Scattered,
        }
    }

    /// Which of so many changes there are; a torn one is among them.
    fn survivors(&mut self, lot: Lot, count: usize) -> Vec<usize> {
        match lot {
            Lot::Nothing => Vec::new(),
            Lot::Everything => (0..count).collect(),
            Lot::Beginning => (0..self.random.below(count as u64 + 1) as usize).collect(),
            Lot::Scattered => (0..count).filter(|_| self.random.below(2) == 0).collect(),
        }
    }

    /// A write as far as it got.
    fn tear(&mut self, lot: Lot, is_last: bool, operation: &Operation) -> Vec<Operation> {
        let Operation::Write { file, offset, bytes } = operation else {
            return vec![operation.clone()];
        };
        let sectors = bytes.len().div_ceil(SECTOR_SIZE);
        let kept: Vec<usize> = match lot {
            Lot::Beginning if is_last => {
                (0..self.random.below(sectors as u64 + 1) as usize).collect()
            }
            Lot::Scattered => (0..sectors).filter(|_| self.random.below(2) == 0).collect(),
            _ => return vec![operation.clone()],
        };
        // Sectors lie on the disk, not in the write.
        let shift = (*offset % SECTOR_SIZE as u64) as usize;
        let piece = |sector: usize| {
            let start = (sector * SECTOR_SIZE).saturating_sub(shift);
            let end = ((sector + 1) * SECTOR_SIZE - shift).min(bytes.len());
            (start < end).then(|| Operation::Write {
                file: *file,
                offset: offset + start as u64,
                bytes: bytes.slice(start..end),
            })
        };
        kept.into_iter().filter_map(piece).collect()
    }
}

/// What is there after a power loss that ends this history.
pub(crate) fn power_loss(first: &Volume, history: &[Operation], fate: &mut Fate) -> Volume {
    let mut volume = first.clone();
    let mut in_files: BTreeMap<Node, Vec<&Operation>> = BTreeMap::new();
    let mut in_directories: Vec<&Operation> = Vec::new();
    for operation in history {
        match operation {
            Operation::Write { file, .. } | Operation::Resize { file, .. } => {
                in_files.entry(*file).or_default().push(operation);
            }
            Operation::SyncFile { file } => {
                for operation in in_files.remove(file).unwrap_or_default() {
                    volume.apply(operation);
                }
                in_directories.retain(|operation| {
                    let is_synced = is_named_with(operation, *file, &volume);
                    if is_synced {
                        volume.apply(operation);
                    }
                    !is_synced
                });
            }
            Operation::SyncDirectory { directory } => {
                in_directories.retain(|operation| {
                    let is_synced = directory_of(operation) == Some(*directory);
                    if is_synced {
                        volume.apply(operation);
                    }
                    !is_synced
                });
            }
            _ => in_directories.push(operation),
        }
    }
    let lot = fate.lot();
    for index in fate.survivors(lot, in_directories.len()) {
        volume.apply(in_directories[index]);
    }
    for pending in in_files.values() {
        let lot = fate.lot();
        let survivors = fate.survivors(lot, pending.len());
        for index in &survivors {
            let is_last = Some(index) == survivors.last();
            for piece in fate.tear(lot, is_last, pending[*index]) {
                volume.apply(&piece);
            }
        }
    }
    // A file that has a name and never had a synced byte is there, and empty.
    for operation in &in_directories {
        if let Operation::Create { node, is_directory: false, .. } | Operation::Rename { node, .. } =
            operation
            && !volume.directories.contains_key(node)
        {
            volume.files.entry(*node).or_default();
        }
    }
    volume.forget_nameless();
    volume
}

/// Whether the sync of a file makes this entry durable.
fn is_named_with(operation: &Operation, file: Node, volume: &Volume) -> bool {
    matches!(operation, Operation::Create { entry, node, .. }
        if *node == file && volume.path(entry.directory).ends_with(NAMES_SYNCED_WITH_FILES))
}

/// The directory whose sync makes a change durable.
fn directory_of(operation: &Operation) -> Option<Node> {
    match operation {
        Operation::Create { entry, .. } | Operation::Remove { entry } => Some(entry.directory),
        Operation::Rename { to, .. } => Some(to.directory),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::Entry;
    use super::super::volume::ROOT;
    use super::*;
    use bytes::Bytes;

    fn entry(name: &str) -> Entry {
        Entry { directory: ROOT, name: name.to_owned() }
    }

    fn create(name: &str, node: u64) -> Operation {
        Operation::Create { entry: entry(name), node: Node(node), is_directory: false }
    }

    fn write(node: u64, byte: u8) -> Operation {
        let bytes = Bytes::from(vec![byte; 2 * SECTOR_SIZE]);
        Operation::Write { file: Node(node), offset: 0, bytes }
    }

    /// What a file holds, of all that many power losses leave.
    fn outcomes(history: &[Operation], name: &str) -> Vec<Option<Vec<u8>>> {
        let mut random = Random::new(1);
        let mut outcomes: Vec<_> = (0..2_000)
            .map(|_| {
                let volume =
                    power_loss(&Volume::default(), history, &mut Fate { random: &mut random });
                volume.find(ROOT, name).map(|node| volume.files[&node].read(0, usize::MAX))
            })
            .collect();
        outcomes.sort();
        outcomes.dedup();
        outcomes
    }

    #[test]
    fn what_is_synced_with_its_name_is_there() {
        let history = [
            create("a", 9),
            write(9, 1),
            Operation::SyncFile { file: Node(9) },
            Operation::SyncDirectory { directory: ROOT },
        ];
        assert_eq!(outcomes(&history, "a"), [Some(vec![1; 2 * SECTOR_SIZE])]);
    }

    #[test]
    fn a_sync_of_a_file_is_none_of_its_name() {
        let history = [create("a", 9), write(9, 1), Operation::SyncFile { file: Node(9) }];
        assert_eq!(outcomes(&history, "a"), [None, Some(vec![1; 2 * SECTOR_SIZE])]);
    }

    #[test]
    fn what_is_not_synced_is_there_in_any_part() {
        let history = [create("a", 9), Operation::SyncDirectory { directory: ROOT }, write(9, 1)];
        let half = [vec![0; SECTOR_SIZE], vec![1; SECTOR_SIZE]].concat();
        let whole = vec![1; 2 * SECTOR_SIZE];
        let possible = [vec![], half, vec![1; SECTOR_SIZE], whole].map(Some);
        assert_eq!(outcomes(&history, "a"), possible);
    }

    #[test]
    fn a_rename_leaves_the_old_or_the_new() {
        let history = [
            create("a", 9),
            write(9, 1),
            Operation::SyncFile { file: Node(9) },
            create("b", 10),
            write(10, 2),
            Operation::SyncFile { file: Node(10) },
            Operation::SyncDirectory { directory: ROOT },
            Operation::Rename { from: entry("b"), to: entry("a"), node: Node(10) },
        ];
        let possible = [1, 2].map(|byte| Some(vec![byte; 2 * SECTOR_SIZE]));
        assert_eq!(outcomes(&history, "a"), possible);
    }
}
