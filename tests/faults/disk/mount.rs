//! The file system through which a broker uses a disk.

use super::content::BLOCK_SIZE;
use super::operation::{Entry, Node, Operation};
use super::trouble::Deed;
use super::{Disk, State};
use bytes::Bytes;
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// How long the kernel may believe what it was told: nobody else changes anything.
const TTL: Duration = Duration::from_secs(3600);

/// What a disk without a bound says of its size.
const SIZE_SHOWN: u64 = 64 << 30;

/// A mounted disk.
pub(crate) struct Mount {
    directory: TempDir,
    /// Unmounts when it is dropped, before the directory goes.
    session: Option<BackgroundSession>,
}

impl Mount {
    /// Mounts a disk; says so and gives nothing where the system does not allow that.
    pub(crate) fn of(disk: &Disk) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("forebay-faults".to_owned())];
        match fuser::spawn_mount(Served(disk.clone()), directory.path(), &config) {
            Ok(session) => Some(Self { directory, session: Some(session) }),
            Err(error) => {
                eprintln!("PASSED OVER: needs a disk of its own through FUSE: {error}");
                None
            }
        }
    }

    /// Where a broker on it has its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}

struct Served(Disk);

type Answer<T> = Result<T, Errno>;

impl State {
    fn change(&mut self, operation: Operation) {
        self.now.apply(&operation);
        self.history.push(operation);
    }

    /// Fails when a trouble says so.
    fn attempt(&mut self, deed: Deed, path: impl FnOnce(&Self) -> String) -> Answer<()> {
        if self.troubles.is_empty() {
            return Ok(());
        }
        let path = path(self);
        let strike = self.troubles.iter_mut().find_map(|trouble| trouble.strike(deed, &path));
        strike.map_or(Ok(()), Err)
    }

    fn attempt_on(&mut self, deed: Deed, node: Node) -> Answer<()> {
        self.attempt(deed, |state| state.now.path(node))
    }

    fn free(&self) -> u64 {
        match self.capacity {
            0 => SIZE_SHOWN,
            capacity => capacity.saturating_sub(self.now.room()),
        }
    }

    fn attributes(&self, node: Node) -> Answer<FileAttr> {
        let is_directory = self.now.directories.contains_key(&node);
        let file = self.now.files.get(&node);
        if file.is_none() && !is_directory {
            return Err(Errno::ENOENT);
        }
        Ok(FileAttr {
            ino: INodeNo(node.0),
            size: file.map_or(0, |file| file.size()),
            blocks: file.map_or(0, |file| file.room() / 512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_directory { FileType::Directory } else { FileType::RegularFile },
            perm: if is_directory { 0o700 } else { 0o600 },
            nlink: 1,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            rdev: 0,
            blksize: BLOCK_SIZE as u32,
            flags: 0,
        })
    }

    fn create(&mut self, parent: INodeNo, name: &OsStr, is_directory: bool) -> Answer<FileAttr> {
        let entry = entry(parent, name)?;
        self.attempt(Deed::Create, |state| state.path_of(&entry))?;
        if self.free() < BLOCK_SIZE as u64 {
            return Err(Errno::ENOSPC);
        }
        let node = self.now.number();
        self.change(Operation::Create { entry, node, is_directory });
        self.attributes(node)
    }

    fn path_of(&self, entry: &Entry) -> String {
        format!("{}/{}", self.now.path(entry.directory), entry.name)
    }

    fn remove(&mut self, parent: INodeNo, name: &OsStr) -> Answer<()> {
        let entry = entry(parent, name)?;
        let node = self.now.find(entry.directory, &entry.name).ok_or(Errno::ENOENT)?;
        if self.now.directories.get(&node).is_some_and(|entries| !entries.is_empty()) {
            return Err(Errno::ENOTEMPTY);
        }
        self.change(Operation::Remove { entry });
        Ok(())
    }

    fn rename(&mut self, from: Entry, to: Entry, flags: RenameFlags) -> Answer<()> {
        let node = self.now.find(from.directory, &from.name).ok_or(Errno::ENOENT)?;
        self.attempt(Deed::Rename, |state| state.path_of(&to))?;
        let is_taken = self.now.find(to.directory, &to.name).is_some();
        if flags.contains(RenameFlags::RENAME_NOREPLACE) && is_taken {
            return Err(Errno::EEXIST);
        }
        self.change(Operation::Rename { from, to, node });
        Ok(())
    }

    fn write(&mut self, node: Node, offset: u64, bytes: &[u8]) -> Answer<u32> {
        self.attempt_on(Deed::Write, node)?;
        let content = self.now.files.get(&node).ok_or(Errno::ENOENT)?;
        if self.capacity > 0 && content.room_for(offset, bytes.len()) > self.free() {
            return Err(Errno::ENOSPC);
        }
        let bytes = Bytes::copy_from_slice(bytes);
        let count = bytes.len() as u32;
        self.change(Operation::Write { file: node, offset, bytes });
        Ok(count)
    }
}

fn entry(parent: INodeNo, name: &OsStr) -> Answer<Entry> {
    let name = name.to_str().ok_or(Errno::EINVAL)?.to_owned();
    Ok(Entry { directory: Node(parent.0), name })
}

fn done(answer: Answer<()>, reply: ReplyEmpty) {
    match answer {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn entered(answer: Answer<FileAttr>, reply: ReplyEntry) {
    match answer {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.0.lock();
        let found = entry(parent, name).and_then(|entry| {
            let node = state.now.find(entry.directory, &entry.name).ok_or(Errno::ENOENT)?;
            state.attributes(node)
        });
        entered(found, reply);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.lock().attributes(Node(node.0)) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.0.lock();
        let node = Node(node.0);
        let resized = match size {
            Some(size) => state.attempt_on(Deed::Write, node).map(|()| {
                state.change(Operation::Resize { file: node, size });
            }),
            None => Ok(()),
        };
        match resized.and_then(|()| state.attributes(node)) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        entered(self.0.lock().create(parent, name, true), reply);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.0.lock().create(parent, name, false) {
            Ok(attributes) => {
                let flags = FopenFlags::empty();
                reply.created(&TTL, &attributes, Generation(0), FileHandle(0), flags);
            }
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.0.lock().remove(parent, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.0.lock().remove(parent, name), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to_parent: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = entry(parent, name).and_then(|from| {
            let to = entry(to_parent, to_name)?;
            self.0.lock().rename(from, to, flags)
        });
        done(renamed, reply);
    }

    fn open(&self, _: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.0.lock().attempt_on(Deed::Open, Node(node.0)) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.lock().now.files.get(&Node(node.0)) {
            Some(content) => reply.data(&content.read(offset, size as usize)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.lock().write(Node(node.0), offset, bytes) {
            Ok(count) => reply.written(count),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut state = self.0.lock();
        if let Some(hanging) = &mut state.hanging {
            return hanging.push(reply);
        }
        let file = Node(node.0);
        let synced = state.attempt_on(Deed::Sync, file);
        done(synced.map(|()| state.change(Operation::SyncFile { file })), reply);
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut state = self.0.lock();
        let directory = Node(node.0);
        let synced = state.attempt_on(Deed::Sync, directory);
        done(synced.map(|()| state.change(Operation::SyncDirectory { directory })), reply);
    }

    fn readdir(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let state = self.0.lock();
        let Some(entries) = state.now.directories.get(&Node(node.0)) else {
            return reply.error(Errno::ENOENT);
        };
        let own = [(".", node.0), ("..", node.0)];
        let entries = entries.iter().map(|(name, node)| (name.as_str(), node.0));
        let entries = own.into_iter().chain(entries).enumerate().skip(offset as usize);
        for (index, (name, node)) in entries {
            let is_directory = state.now.directories.contains_key(&Node(node));
            let kind = if is_directory { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(node), index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let state = self.0.lock();
        let size = if state.capacity == 0 { SIZE_SHOWN } else { state.capacity };
        let (blocks, free) = (size / BLOCK_SIZE as u64, state.free() / BLOCK_SIZE as u64);
        reply.statfs(
            blocks,
            free,
            free,
            1 << 20,
            1 << 20,
            BLOCK_SIZE as u32,
            255,
            BLOCK_SIZE as u32,
        );
    }
}
