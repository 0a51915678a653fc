//! What is behind an error of fjall's. Its errors name no file, and when one of its threads fails it
//! tells everybody `Poisoned` from then on and says the reason through `log` alone: so this listens
//! there, and looks for the damaged file.

use crate::damage::Damage;
use crate::fjall::database::{self, DELAYED_ID, Error, SPACES, Space};
use crate::limits::FAILURE_READ_BYTES_MAX;
use crate::repair::salvage::{Manifest, is_sound_file};
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

/// The first failure since a store was opened last: what follows it is only what comes of it.
static FIRST: Mutex<Option<String>> = Mutex::new(None);

struct Listener;

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() == Level::Error
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        // Of a thread that ended, or of a write that failed.
        if text.contains("crashed:") || text.contains("FATAL") {
            FIRST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
        }
    }

    fn flush(&self) {}
}

/// Listens from now on, unless the program has a logger of its own.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if log::set_logger(&Listener).is_ok() {
            log::set_max_level(LevelFilter::Error);
        }
    });
    *FIRST.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// What is behind an error of fjall's.
#[derive(Debug)]
pub(crate) enum Cause {
    /// Said by the system, or by fjall.
    Told(String),
    /// A file is damaged.
    Damaged(Damage),
}

/// Looks for it. Reads what is stored, up to a bound, unless the system failed.
pub(crate) fn cause(database: &Path, error: &Error) -> Cause {
    if matches!(error, Error::Poisoned) {
        return cause_of_poison(database);
    }
    if !database::is_damage(error) {
        return Cause::Told(error.to_string());
    }
    let met = format!("fjall says {error}");
    Cause::Damaged(damage_of_files(database, &met).unwrap_or_else(|| {
        let what = format!("a table or journal can't be read: {met}");
        Damage { what, ..Damage::default() }
    }))
}

fn cause_of_poison(database: &Path) -> Cause {
    let said = FIRST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(error) = said.as_deref().and_then(system_error) {
        return Cause::Told(error.to_string());
    }
    let told = || said.unwrap_or_else(|| "a thread of the database ended".to_owned());
    damage_of_files(database, "met by a compaction")
        .map_or_else(|| Cause::Told(told()), Cause::Damaged)
}

/// The files that don't match their checksums, as one damage.
fn damage_of_files(database: &Path, met: &str) -> Option<Damage> {
    let mut damaged = damaged_files(database).unwrap_or_default().into_iter();
    let (space, file) = damaged.next()?;
    let mut what = format!("does not match its checksum (keyspace {space}, {met})");
    for (space, other) in damaged {
        what = format!("{what}; neither does {} (keyspace {space})", other.display());
    }
    Some(Damage { file: Some(file), what, ..Damage::default() })
}

/// The first of these tables of pages that does not match its checksum, or else the first file of large
/// bodies; named from the data directory on.
pub(crate) fn damaged_file(database: &Path, tables: &BTreeSet<u64>) -> Option<PathBuf> {
    let pages = keyspace(database, Space::Pages).join("tables");
    let is_of_pages = |file: &File| {
        let id = file.path.strip_prefix(&pages).ok().and_then(|id| id.to_str()?.parse().ok());
        id.is_some_and(|id| tables.contains(&id))
    };
    let bodies = keyspace(database, Space::Bodies);
    let of_bodies = files(database).filter(|file| file.path.starts_with(&bodies));
    let looked_at = files(database).filter(is_of_pages).chain(of_bodies);
    let damaged = damaged_among(database, looked_at).ok()?;
    damaged.into_iter().next().map(|(_, file)| file)
}

fn keyspace(database: &Path, space: Space) -> PathBuf {
    database.join("keyspaces").join((space as u64 + 1).to_string())
}

/// Whether a file, named from the data directory on, is in use and does not match its checksum.
///
/// # Errors
/// When the system fails to read.
pub(crate) fn is_damaged(database: &Path, file: &Path) -> io::Result<bool> {
    let root = database.parent().unwrap_or(database);
    for File { path, checksum, .. } in files(database) {
        if path.strip_prefix(root) == Ok(file) {
            return Ok(!is_sound_file(&path, checksum)?);
        }
    }
    Ok(false)
}

/// The error of the system that is printed within another.
fn system_error(said: &str) -> Option<io::Error> {
    let (_, rest) = said.split_once("Os { code: ")?;
    let code = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    Some(io::Error::from_raw_os_error(code.parse().ok()?))
}

/// A table, or a file of bodies.
struct File {
    /// The name of its keyspace.
    space: String,
    path: PathBuf,
    checksum: u128,
}

/// All files that the manifests name.
fn files(database: &Path) -> impl Iterator<Item = File> {
    (0..=DELAYED_ID).flat_map(|id| {
        let keyspace = database.join("keyspaces").join(id.to_string());
        let space = SPACES.into_iter().find(|space| *space as u64 + 1 == id);
        // fjall's own keyspace has the number 0.
        let space = space.map_or("0".to_owned(), |space| format!("{space:?}").to_lowercase());
        let manifest = Manifest::read(&keyspace).ok().flatten().unwrap_or_default();
        let tables = manifest.tables.into_iter().map(|file| ("tables", file));
        let blob_files = manifest.blob_files.into_iter().map(|file| ("blobs", file));
        let file = move |(directory, (file, checksum)): (&str, (u64, u128))| {
            let path = keyspace.join(directory).join(file.to_string());
            File { space: space.clone(), path, checksum }
        };
        tables.chain(blob_files).map(file).collect::<Vec<_>>()
    })
}

fn damaged_files(database: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    damaged_among(database, files(database))
}

/// With the names of their keyspaces; paths from the data directory on.
fn damaged_among(
    database: &Path,
    files: impl Iterator<Item = File>,
) -> io::Result<Vec<(String, PathBuf)>> {
    let (mut damaged, mut bytes) = (Vec::new(), 0);
    for File { space, path, checksum } in files {
        bytes += fs::metadata(&path).map_or(0, |file| file.len());
        if bytes > FAILURE_READ_BYTES_MAX {
            break;
        }
        if !is_sound_file(&path, checksum)? {
            let root = database.parent().unwrap_or(database);
            let file = path.strip_prefix(root).map(Path::to_owned).unwrap_or(path);
            damaged.push((space, file));
        }
    }
    Ok(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_the_system_is_found_in_what_fjall_says() {
        let said = "Worker #0 crashed: Storage(Io(Os { code: 28, kind: StorageFull, message: \"No \
                    space left on device\" }))";
        let error = system_error(said).unwrap();
        assert_eq!(error.to_string(), "No space left on device (os error 28)");
        assert!(system_error("Worker #0 crashed: InvalidTrailer").is_none());
    }
}
