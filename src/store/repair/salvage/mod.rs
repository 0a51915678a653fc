//! Reading a database directory without fjall, changing nothing, however damaged it is: `verify` and
//! `repair` read through it. fjall refuses a directory of which one file is damaged, or panics, or cuts
//! off what it does not understand.
//!
//! What is read is what fjall would give: of each key the newest item that is not a removal, from the
//! tables that the manifests name and from the journals. When a manifest can't be read, all tables that
//! are there count: some may be older than others that replaced them, which brings back only what was
//! removed, and that is settled or below a watermark.

mod blob_file;
mod block;
mod item;
mod journal_items;
mod keyspace;
mod lost_commits;
mod manifest;
mod merge;
mod table;

use crate::check::journal_check;
use crate::error::StoreError;
use crate::fjall::database::{DELAYED_ID, META_ID, SPACES, Space, VERSION_FILE};
use crate::format::high_water::Mark;
use crate::format::key;
use crate::format::progress::Progress;
use bytes::Bytes;
pub(crate) use item::Item;
use item::Kind;
use keyspace::KeyspaceFiles;
use lost_commits::CommitSequence;
pub(crate) use lost_commits::LostCommits;
pub(crate) use manifest::Manifest;
pub(crate) use merge::FileDamage;
use merge::{Merge, Trust};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use table::{Found, TableReader};

/// What stands in fjall's marker.
const VERSION: &[u8] = b"FJL\x03";
/// fjall's own keyspace: the names and settings of the others.
const NAMES_ID: u64 = 0;

/// A database directory.
#[derive(Debug)]
pub(crate) struct Salvage {
    keyspaces: Vec<KeyspaceFiles>,
    /// What the journals hold, by keyspace: the newest of each key.
    newest: Vec<BTreeMap<Bytes, Item>>,
    lost_commits: Vec<LostCommits>,
    damages: Vec<FileDamage>,
}

/// The items of one keyspace, in the order of their keys.
pub(crate) struct Items {
    merge: Merge,
    blob_files: PathBuf,
}

impl Salvage {
    /// Looks at every file. `mark`: the high-water mark, when it can be read. `knows_delayed`: the keyspace of
    /// delayed messages was made.
    ///
    /// # Errors
    /// When the system fails to read; damage is no error here.
    pub(crate) fn open(
        database: &Path,
        mark: Option<Mark>,
        knows_delayed: bool,
    ) -> Result<Self, StoreError> {
        let synced = mark.map(|mark| mark.synced);
        let mut salvage = Self {
            keyspaces: Vec::new(),
            newest: SPACES.iter().map(|_| BTreeMap::new()).collect(),
            lost_commits: Vec::new(),
            damages: Vec::new(),
        };
        if synced == Some(0) && !database.join(VERSION_FILE).is_file() {
            // Nothing was ever stored.
            salvage.keyspaces = SPACES.iter().map(|_| KeyspaceFiles::default()).collect();
            return Ok(salvage);
        }
        match fs::read(database.join(VERSION_FILE)) {
            Ok(content) if content == VERSION => {}
            Ok(_) => salvage.damaged(&database.join(VERSION_FILE), "is not as it was written"),
            Err(_) => salvage.damaged(&database.join(VERSION_FILE), "is missing"),
        }
        for id in NAMES_ID..=DELAYED_ID {
            let directory = database.join("keyspaces").join(id.to_string());
            let may_be_new = synced == Some(0) || (id == DELAYED_ID && !knows_delayed);
            let files = KeyspaceFiles::look(&directory, may_be_new, &mut salvage.damages)?;
            if id == NAMES_ID {
                files.check_tables(&mut salvage.damages).map_err(failed)?;
            } else {
                salvage.keyspaces.push(files);
            }
        }
        if database.is_dir() {
            salvage.read_journals(database, mark)?;
        }
        Ok(salvage)
    }

    /// Bytes of all tables.
    pub(crate) fn bytes(&self) -> u64 {
        self.keyspaces.iter().map(KeyspaceFiles::bytes).sum()
    }

    /// What is wrong with files, as far as they were read.
    pub(crate) fn damages(&mut self) -> Vec<FileDamage> {
        std::mem::take(&mut self.damages)
    }

    /// Commits that no journal holds as a whole, although they were on stable storage.
    pub(crate) fn lost_commits(&self) -> &[LostCommits] {
        &self.lost_commits
    }

    /// # Errors
    /// When the system fails to read.
    pub(crate) fn items(&self, space: Space) -> io::Result<Items> {
        let index = space as usize;
        let newest = self.newest.get(index).cloned().unwrap_or_default();
        let keyspace = self.keyspaces.get(index).cloned().unwrap_or_default();
        let trust: Trust = match space {
            // A page holds the checksums of its bodies.
            Space::Bodies => |_: &Item| true,
            Space::Pages | Space::Acks | Space::Meta | Space::Delayed => Item::is_sealed,
        };
        let merge = Merge::new(newest.into_values().collect(), keyspace.tables, trust)?;
        Ok(Items { merge, blob_files: keyspace.blob_directory })
    }

    /// Checks the files beside the tables, which hold large bodies.
    ///
    /// # Errors
    /// When the system fails to read.
    pub(crate) fn check_blob_files(&mut self) -> io::Result<()> {
        for keyspace in &self.keyspaces {
            keyspace.check_blob_files(&mut self.damages)?;
        }
        Ok(())
    }

    fn damaged(&mut self, file: &Path, what: impl Into<String>) {
        self.damages.push(FileDamage { file: file.into(), what: what.into() });
    }

    fn read_journals(&mut self, database: &Path, mark: Option<Mark>) -> Result<(), StoreError> {
        let synced = mark.unwrap_or_default().synced;
        let torn = match journal_check::check(database, synced, || applied_in_tables(database)) {
            Ok(torn) => torn,
            Err(StoreError::Damaged(damage)) => {
                self.damaged(database, damage.what);
                None
            }
            Err(error) => return Err(error),
        };
        let journals = journal_check::journals(database).map_err(failed)?;
        let (mut lowest_seqno, mut sequence) = (0, CommitSequence::default());
        for (index, path) in journals.iter().enumerate() {
            let cut = torn.as_ref().filter(|torn| torn.journal == *path).map(|torn| torn.at);
            let read = self.read_journal(path, cut, lowest_seqno, &mut sequence).map_err(failed)?;
            if index + 1 < journals.len() {
                sequence.end_of_sealed(read.is_some());
            }
            lowest_seqno = read.unwrap_or(lowest_seqno);
        }
        self.lost_commits = sequence.lost(mark);
        Ok(())
    }

    /// Gives back the number of its last batch; nothing when it has none.
    fn read_journal(
        &mut self,
        path: &Path,
        cut: Option<u64>,
        before: u64,
        sequence: &mut CommitSequence,
    ) -> io::Result<Option<u64>> {
        let mut content = Bytes::from(fs::read(path)?);
        if let Some(cut) = cut.and_then(|cut| usize::try_from(cut).ok()) {
            content.truncate(cut);
        }
        let mut last = None;
        for stretch in journal_items::stretches(&content)? {
            sequence.add(&stretch);
            last = last.max(Some(stretch.seqno.max(before)));
            let mut items = stretch.items;
            if !stretch.is_whole {
                items.retain(|(id, item)| *id == Space::Bodies as u64 + 1 || item.is_sealed());
                let (from, to, saved) = (stretch.from, stretch.to, items.len());
                self.damaged(
                    path,
                    format!(
                        "bytes {from} to {to} are damaged; {saved} values in them could be saved"
                    ),
                );
            }
            for (id, mut item) in items {
                item.seqno = item.seqno.max(before);
                let newest = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
                if let Some(newest) = newest.and_then(|index| self.newest.get_mut(index)) {
                    newest.insert(item.key.clone(), item);
                }
            }
        }
        Ok(last)
    }
}

impl Items {
    /// The next item that has a value, with the value itself where a blob file holds it.
    ///
    /// # Errors
    /// When the system fails to read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Item>> {
        while let Some(mut item) = self.merge.next()? {
            match item.kind {
                Kind::Removal => {}
                Kind::Value => return Ok(Some(item)),
                Kind::Blob => {
                    if let Some(value) = blob_file::value(&self.blob_files, &item.key, item.value)?
                    {
                        item.value = value;
                        return Ok(Some(item));
                    }
                }
            }
        }
        Ok(None)
    }

    /// What was found damaged since this was asked last.
    pub(crate) fn damages(&mut self) -> Vec<FileDamage> {
        self.merge.damages()
    }

    /// Bytes of tables that were read since this was asked last.
    pub(crate) fn bytes_read(&mut self) -> u64 {
        self.merge.bytes_read()
    }
}

/// The last commit that tables hold, in a database whose journals are not looked at.
///
/// # Errors
/// When the system fails to read.
pub(crate) fn applied_in_tables(database: &Path) -> io::Result<u64> {
    let meta = database.join("keyspaces").join(META_ID.to_string());
    let Ok(files) = KeyspaceFiles::look(&meta, true, &mut Vec::new()) else { return Ok(0) };
    let mut merge = Merge::new(Vec::new(), files.tables, Item::is_sealed)?;
    while let Some(item) = merge.next()? {
        if item.key == key::progress() {
            return Ok(Progress::decode(&item.key, &item.value).map_or(0, |found| found.applied));
        }
    }
    Ok(0)
}

/// A damaged part of a table, between the keys before and after it.
pub(crate) struct DamagedStretch {
    pub(crate) before: Option<Bytes>,
    pub(crate) damage: FileDamage,
    pub(crate) after: Option<Bytes>,
}

/// The damaged parts of a table.
///
/// # Errors
/// When the system fails to read.
pub(crate) fn damaged_stretches(path: &Path) -> io::Result<Vec<DamagedStretch>> {
    let mut reader = TableReader::open(path)?;
    let mut stretches: Vec<DamagedStretch> = Vec::new();
    let mut before = None;
    let mut is_open = false;
    loop {
        match reader.next()? {
            Found::Block(items) => {
                if is_open && let Some(stretch) = stretches.last_mut() {
                    stretch.after = items.first().map(|item| item.key.clone());
                }
                is_open = false;
                before = items.last().map(|item| item.key.clone());
            }
            Found::Damage { from, to, .. } => {
                let what = format!("bytes {from} to {to} are damaged");
                let damage = FileDamage { file: path.into(), what };
                stretches.push(DamagedStretch { before: before.clone(), damage, after: None });
                is_open = true;
            }
            Found::End { .. } => return Ok(stretches),
        }
    }
}

/// Whether a file has this checksum, or is gone.
///
/// # Errors
/// When the system fails to read.
pub(crate) fn is_sound_file(path: &Path, checksum: u128) -> io::Result<bool> {
    match keyspace::checksum_of(path) {
        Ok(found) => Ok(found == checksum),
        // It was merged into others.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn failed(error: io::Error) -> StoreError {
    StoreError::failed("read its data", error)
}

#[cfg(test)]
mod tests;
