//! Opening a data directory: everything is checked before fjall may change anything, and fjall is
//! asked afterwards whether it has what the high-water mark says.

use crate::check::journal_check;
use crate::check::manifest_check::CURRENT_FILE;
use crate::creation;
use crate::damage::Damage;
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::fjall::database::{self, Database, Space, VERSION_FILE};
use crate::fjall::journal_preallocation;
use crate::fjall::recovery;
use crate::format::high_water::HighWater;
use crate::format::key;
use crate::format::progress::Progress;
use crate::repair::salvage::{Manifest, applied_in_tables};
use crate::store_memory::StoreMemory;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const KEYSPACES_DIRECTORY: &str = "keyspaces";

/// What was opened.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) high_water: HighWater,
    pub(crate) progress: Progress,
}

/// # Errors
/// When something is damaged or missing; then nothing was changed, or what was cut off is kept.
pub(crate) fn open(directory: &DataDirectory, memory: StoreMemory) -> Result<Opened, StoreError> {
    let path = directory.database();
    let failed = |error| StoreError::failed("look into its data directory", error);
    let is_new = !path.try_exists().map_err(failed)?;
    let high_water = HighWater::open(&directory.high_water(), is_new)?;
    let last_id = last_keyspace(directory);
    if last_id < database::DELAYED_ID {
        begin_upgrade_anew(&path).map_err(failed)?;
    }
    if high_water.synced() > 0 {
        check_files(&path, last_id)?;
    } else if !is_new && !path.join(VERSION_FILE).try_exists().map_err(failed)? {
        // The process ended while fjall made its files: there was never anything in them.
        fs::remove_dir_all(&path).map_err(failed)?;
    }
    if path.try_exists().map_err(failed)? {
        let in_tables = || applied_in_tables(&path);
        let keyspaces = path.join(KEYSPACES_DIRECTORY);
        for id in 0..=last_id {
            Manifest::read(&keyspaces.join(id.to_string()))?;
        }
        if let Some(torn) = journal_check::check(&path, high_water.synced(), in_tables)? {
            torn.cut(&directory.torn_tail())?;
        }
    } else {
        creation::create_database(&path).map_err(|error| open_error(directory, error))?;
    }
    let database =
        Database::open_with(&path, memory).map_err(|error| open_error(directory, error))?;
    let mut progress = progress(&database)?;
    if progress.applied < high_water.synced() {
        return Err(Damage::elsewhere(format!(
            "commits {} to {} of the store were on stable storage and are missing",
            progress.applied + 1,
            high_water.synced()
        )));
    }
    progress.synced = progress.synced.max(high_water.synced());
    journal_preallocation::make(&path);
    Ok(Opened { database, high_water, progress })
}

/// The number of the last keyspace that a database has whose files are all there.
pub(crate) fn last_keyspace(directory: &DataDirectory) -> u64 {
    if directory.knows_delayed() { database::DELAYED_ID } else { database::META_ID }
}

/// An earlier start ended while fjall made a keyspace that this version added: nothing was ever in it. fjall
/// would remove it, too, and give the next one another number.
fn begin_upgrade_anew(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path.join(KEYSPACES_DIRECTORY).join(database::DELAYED_ID.to_string()))
    {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn check_files(path: &Path, last_id: u64) -> Result<(), StoreError> {
    let keyspaces = path.join(KEYSPACES_DIRECTORY);
    let keyspaces = (0..=last_id).map(|id| keyspaces.join(id.to_string()));
    let files = keyspaces.map(|keyspace| keyspace.join(CURRENT_FILE));
    for file in files.chain([path.join(VERSION_FILE)]) {
        if !file.try_exists().unwrap_or(false) {
            return Err(Damage::elsewhere(format!("the file {} is missing", file.display())));
        }
    }
    Ok(())
}

fn progress(database: &Database) -> Result<Progress, StoreError> {
    let key = key::progress();
    match database.view().get(Space::Meta, &key).map_err(recovery::failed)? {
        Some(value) => Progress::decode(&key, &value)
            .map_err(|flaw| Damage::elsewhere(format!("the record of progress: {flaw}"))),
        None => Ok(Progress::NONE),
    }
}

fn open_error(directory: &DataDirectory, error: database::Error) -> StoreError {
    let directory = directory.path().into();
    match error {
        database::Error::Locked => StoreError::Locked { directory },
        error if database::is_damage(&error) => {
            Damage::elsewhere(format!("its tables or journals can't be opened: {error}"))
        }
        database::Error::Io(source) => match source.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                StoreError::Unwritable { directory, source }
            }
            _ => StoreError::failed("open its data", source),
        },
        error => StoreError::failed("open its data", error),
    }
}
