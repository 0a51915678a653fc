//! Files and directories at one moment.

use super::content::Content;
use super::operation::{Entry, Node, Operation};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The directory at the top.
pub(crate) const ROOT: Node = Node(1);

#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) files: BTreeMap<Node, Content>,
    pub(crate) directories: BTreeMap<Node, BTreeMap<String, Node>>,
    next: u64,
}

impl Default for Volume {
    fn default() -> Self {
        let directories = BTreeMap::from([(ROOT, BTreeMap::new())]);
        Self { files: BTreeMap::new(), directories, next: ROOT.0 + 1 }
    }
}

impl Volume {
    /// A number that no file has had.
    pub(crate) fn number(&mut self) -> Node {
        self.next += 1;
        Node(self.next - 1)
    }

    pub(crate) fn find(&self, directory: Node, name: &str) -> Option<Node> {
        self.directories.get(&directory)?.get(name).copied()
    }

    /// The path of a file, without the slash at its beginning.
    pub(crate) fn path(&self, node: Node) -> String {
        for (directory, entries) in &self.directories {
            if let Some((name, _)) = entries.iter().find(|(_, inside)| **inside == node) {
                return match *directory {
                    ROOT => name.clone(),
                    directory => format!("{}/{name}", self.path(directory)),
                };
            }
        }
        String::new()
    }

    /// Bytes that its files take; one that is still open and has no name takes none.
    pub(crate) fn room(&self) -> u64 {
        let named = self.directories.values().flat_map(BTreeMap::values);
        named.filter_map(|node| self.files.get(node)).map(Content::room).sum()
    }

    pub(crate) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Write { file, offset, bytes } => {
                self.files.entry(*file).or_default().write(*offset, bytes);
            }
            Operation::Resize { file, size } => {
                self.files.entry(*file).or_default().resize(*size);
            }
            Operation::Create { entry, node, is_directory } => {
                self.next = self.next.max(node.0 + 1);
                if *is_directory {
                    self.directories.entry(*node).or_default();
                } else {
                    self.files.entry(*node).or_default();
                }
                self.enter(entry, *node);
            }
            Operation::Remove { entry } => self.leave(entry),
            Operation::Rename { from, to, node } => {
                self.leave(from);
                self.enter(to, *node);
            }
            Operation::SyncFile { .. } | Operation::SyncDirectory { .. } => {}
        }
    }

    fn enter(&mut self, entry: &Entry, node: Node) {
        let entries = self.directories.entry(entry.directory).or_default();
        entries.insert(entry.name.clone(), node);
    }

    fn leave(&mut self, entry: &Entry) {
        self.directories.entry(entry.directory).or_default().remove(&entry.name);
    }

    /// Forgets what has no name any more.
    pub(crate) fn forget_nameless(&mut self) {
        let mut named = vec![ROOT];
        let mut at = 0;
        while let Some(directory) = named.get(at) {
            named.extend(self.directories.get(directory).into_iter().flat_map(BTreeMap::values));
            at += 1;
        }
        self.files.retain(|node, _| named.contains(node));
        self.directories.retain(|node, _| named.contains(node));
    }

    /// Writes everything below the top into an empty directory of a real file system.
    pub(crate) fn write_to(&self, target: &Path) {
        self.write_directory(ROOT, target);
    }

    fn write_directory(&self, directory: Node, target: &Path) {
        fs::create_dir_all(target).unwrap();
        for (name, node) in &self.directories[&directory] {
            let path = target.join(name);
            if self.directories.contains_key(node) {
                self.write_directory(*node, &path);
            } else {
                let content = &self.files[node];
                let file = File::create(path).unwrap();
                for (offset, bytes) in content.blocks() {
                    file.write_all_at(bytes, offset).unwrap();
                }
                file.set_len(content.size()).unwrap();
            }
        }
    }

    /// Reads a directory of a real file system.
    pub(crate) fn read_from(source: &Path) -> Self {
        let mut volume = Self::default();
        volume.read_directory(ROOT, source);
        volume
    }

    fn read_directory(&mut self, directory: Node, source: &Path) {
        for found in fs::read_dir(source).unwrap() {
            let path = found.unwrap().path();
            let node = self.number();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let is_directory = path.is_dir();
            self.apply(&Operation::Create { entry: Entry { directory, name }, node, is_directory });
            if is_directory {
                self.read_directory(node, &path);
            } else {
                self.files.insert(node, Content::of(&fs::read(&path).unwrap()));
            }
        }
    }
}
