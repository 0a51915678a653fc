//! The files of one keyspace.

use super::manifest::Manifest;
use super::merge::{FileDamage, TableFile};
use crate::check::manifest_check::CURRENT_FILE;
use crate::error::StoreError;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// Where they are.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyspaceFiles {
    pub(super) tables: Vec<TableFile>,
    pub(super) blob_directory: PathBuf,
    blob_files: Vec<TableFile>,
}

impl KeyspaceFiles {
    /// `may_be_new`: nothing was ever synced, so that it may not have been made completely.
    ///
    /// # Errors
    /// When the system fails to read.
    pub(super) fn look(
        directory: &Path,
        may_be_new: bool,
        damages: &mut Vec<FileDamage>,
    ) -> Result<Self, StoreError> {
        let current = directory.join(CURRENT_FILE);
        let manifest = match Manifest::read(directory) {
            Ok(Some(manifest)) => Some(manifest),
            Ok(None) if may_be_new => None,
            Ok(None) => {
                damages.push(FileDamage { file: current, what: "is missing".into() });
                None
            }
            Err(StoreError::Damaged(damage)) => {
                damages.push(FileDamage { file: current, what: damage.what });
                None
            }
            Err(error) => return Err(error),
        };
        let (tables, blob_directory) = (directory.join("tables"), directory.join("blobs"));
        let failed = |error| StoreError::failed("read its data", error);
        Ok(match manifest {
            Some(manifest) => Self {
                tables: named(&tables, &manifest.tables, damages),
                blob_files: named(&blob_directory, &manifest.blob_files, damages),
                blob_directory,
            },
            None => Self {
                tables: all(&tables).map_err(failed)?,
                blob_files: all(&blob_directory).map_err(failed)?,
                blob_directory,
            },
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        let sizes = self.tables.iter().map(|table| fs::metadata(&table.path));
        sizes.map(|size| size.map_or(0, |size| size.len())).sum()
    }

    pub(super) fn check_tables(&self, damages: &mut Vec<FileDamage>) -> io::Result<()> {
        check(&self.tables, damages)
    }

    pub(super) fn check_blob_files(&self, damages: &mut Vec<FileDamage>) -> io::Result<()> {
        check(&self.blob_files, damages)
    }
}

/// Files that a manifest names, those that are there.
fn named(directory: &Path, files: &[(u64, u128)], damages: &mut Vec<FileDamage>) -> Vec<TableFile> {
    let mut there = Vec::with_capacity(files.len());
    for (id, checksum) in files {
        let path = directory.join(id.to_string());
        if path.is_file() {
            there.push(TableFile { path, checksum: Some(*checksum) });
        } else {
            damages.push(FileDamage { file: path, what: "is missing".into() });
        }
    }
    there
}

/// All files that are there.
fn all(directory: &Path) -> io::Result<Vec<TableFile>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.parse::<u64>().is_ok()) {
            files.push(TableFile { path, checksum: None });
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn check(files: &[TableFile], damages: &mut Vec<FileDamage>) -> io::Result<()> {
    for TableFile { path, checksum } in files {
        if let Some(expected) = checksum
            && checksum_of(path)? != *expected
        {
            let what = "does not match its checksum".to_owned();
            damages.push(FileDamage { file: path.clone(), what });
        }
    }
    Ok(())
}

pub(super) fn checksum_of(path: &Path) -> io::Result<u128> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    let mut hasher = Xxh3::new();
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            Some(bytes) if !bytes.is_empty() => hasher.update(bytes),
            _ => return Ok(hasher.digest128()),
        }
    }
}
