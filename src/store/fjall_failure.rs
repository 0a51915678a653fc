//! Why fjall can't go on. When one of its threads fails it tells everybody `Poisoned` from then on, and
//! says the reason through `log` alone: so this listens there, and looks for damaged files.

use crate::damage::Damage;
use crate::database::META_ID;
use crate::limits::FAILURE_READ_OCTETS_MAX;
use crate::salvage::{Manifest, is_sound_file};
use log::{Level, LevelFilter, Log, Metadata, Record};
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

/// Why fjall is poisoned.
#[derive(Debug)]
pub(crate) enum Cause {
    /// Said by the system, or by fjall.
    Told(String),
    /// A file is damaged.
    Damaged(Damage),
}

/// Looks for it. Reads what is stored, up to a bound, unless the system failed.
pub(crate) fn cause(database: &Path) -> Cause {
    let said = FIRST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(error) = said.as_deref().and_then(system_error) {
        return Cause::Told(error.to_string());
    }
    let mut damaged = damaged_files(database).unwrap_or_default().into_iter();
    let Some(file) = damaged.next() else {
        return Cause::Told(said.unwrap_or_else(|| "a thread of the database ended".to_owned()));
    };
    let mut what = "does not match its checksum; met while tables were merged".to_owned();
    for other in damaged {
        what = format!("{what}; neither does {}", other.display());
    }
    Cause::Damaged(Damage { file: Some(file), what, ..Damage::default() })
}

/// The error of the system that is printed within another.
fn system_error(said: &str) -> Option<io::Error> {
    let (_, rest) = said.split_once("Os { code: ")?;
    let code = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    Some(io::Error::from_raw_os_error(code.parse().ok()?))
}

/// From the data directory on.
fn damaged_files(database: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut damaged, mut octets) = (Vec::new(), 0);
    for id in 0..=META_ID {
        let keyspace = database.join("keyspaces").join(id.to_string());
        let Ok(Some(manifest)) = Manifest::read(&keyspace) else { continue };
        let tables = manifest.tables.iter().map(|file| ("tables", file));
        let blob_files = manifest.blob_files.iter().map(|file| ("blobs", file));
        for (directory, (file, checksum)) in tables.chain(blob_files) {
            let path = keyspace.join(directory).join(file.to_string());
            octets += fs::metadata(&path).map_or(0, |file| file.len());
            if octets > FAILURE_READ_OCTETS_MAX {
                return Ok(damaged);
            }
            if !is_sound_file(&path, *checksum)? {
                let root = database.parent().unwrap_or(database);
                damaged.push(path.strip_prefix(root).map(Path::to_owned).unwrap_or(path));
            }
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
