//! A change of a disk.

use bytes::Bytes;

/// A file or a directory, for ever: numbers are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node(pub(crate) u64);

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) directory: Node,
    pub(crate) name: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Write { file: Node, offset: u64, bytes: Bytes },
    Resize { file: Node, size: u64 },
    SyncFile { file: Node },
    Create { entry: Entry, node: Node, is_directory: bool },
    Remove { entry: Entry },
    Rename { from: Entry, to: Entry, node: Node },
    SyncDirectory { directory: Node },
}
